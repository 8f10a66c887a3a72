"""The shapes of a run's JSON files: what the report reads of them, and what it may rely on.

Every value may be missing or null, and values that the report does not read are not checked.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, Literal, TypeVar

from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from whylabel.host.atomic import as_written

Count = Annotated[int, Field(ge=0)]
Amount = Annotated[float, Field(ge=0)]
Share = Annotated[float, Field(ge=0, le=1)]
Number = float
Difference = Annotated[float, Field(ge=-1, le=1)]
_Bound = TypeVar("_Bound")
Interval = Annotated[list[_Bound], Field(min_length=2, max_length=2)]


class _Shape(BaseModel):
    model_config = ConfigDict(strict=True, extra="ignore", allow_inf_nan=False)


class LabelScores(_Shape):
    """How well one label is predicted."""

    f1: Share | None = None
    precision: Share | None = None
    recall: Share | None = None
    support: Count | None = None
    predicted: Count | None = None


class Cost(_Shape):
    """What a prediction takes."""

    seconds_per_row: Amount | None = None
    tokens_per_row: Amount | None = None
    seconds_p50: Amount | None = None
    seconds_p95: Amount | None = None


class Coverage(_Shape):
    """Accuracy where the model abstains below a threshold."""

    threshold: Share | None = None
    coverage: Share | None = None
    accuracy: Share | None = None


class Guaranteed(_Shape):
    """The threshold from which on an error rate is kept."""

    error_rate: Share | None = None
    threshold: Share | None = None
    coverage: Share | None = None
    errors: Share | None = None


class ModelScores(_Shape):
    """The scores of one model in one mode."""

    mode: str | None = None
    n: Count | None = None
    accuracy: Share | None = None
    accuracy_ci95: Interval[Share] | None = None
    micro_f1: Share | None = None
    micro_f1_ci95: Interval[Share] | None = None
    macro_f1: Share | None = None
    macro_f1_ci95: Interval[Share] | None = None
    subset_accuracy: Share | None = None
    hamming_loss: Share | None = None
    labels_per_text: Amount | None = None
    gold_labels_per_text: Amount | None = None
    negative_log_likelihood: Amount | None = None
    expected_calibration_error: Share | None = None
    per_class: dict[str, LabelScores | None] | None = None
    confusion_matrix: list[list[Count]] | None = None
    cost: Cost | None = None
    rates: dict[str, Share | None] | None = None
    coverage: list[Coverage] | None = None
    abstention: list[Guaranteed] | None = None


class Discordant(_Shape):
    """On how many rows only one of the models is right."""

    classifier_only_right: Count | None = None
    baseline_only_right: Count | None = None


class Paired(_Shape):
    """The comparison of classifier and baseline."""

    n: Count | None = None
    difference: Difference | None = None
    ci95: Interval[Difference] | None = None
    micro_f1_difference: Difference | None = None
    micro_f1_difference_ci95: Interval[Difference] | None = None
    macro_f1_difference: Difference | None = None
    macro_f1_difference_ci95: Interval[Difference] | None = None
    mcnemar_p: Share | None = None
    discordant: Discordant | None = None


class Proportion(_Shape):
    """A count among others."""

    count: Count | None = None
    n: Count | None = None
    share: Share | None = None
    ci95: Interval[Share] | None = None


class ReasoningContent(_Shape):
    """What reasonings say."""

    quoting: Proportion | None = None
    grounded: Proportion | None = None
    contradictions: Proportion | None = None
    near_duplicates: Proportion | None = None


class ReasoningQuality(_Shape):
    """How good the reasonings of one mode are."""

    written: Proportion | None = None
    shown: Proportion | None = None
    afterthoughts: Proportion | None = None
    withheld: Proportion | None = None
    withheld_by_reason: dict[str, Proportion | None] | None = None
    disagrees: Proportion | None = None
    content: ReasoningContent | None = None
    content_for_readers: ReasoningContent | None = None


class Fluency(_Shape):
    """How fluent reasonings are."""

    median: Number | None = None
    training_n: Count | None = None
    training_median: Number | None = None
    limit: Number | None = None
    below: Proportion | None = None


class Support(_Shape):
    """Whether reasonings lead to their label."""

    positive: Proportion | None = None
    mean_margin: Number | None = None


class Overlap(_Shape):
    """Whether reasonings quote what the label rests on."""

    rows: Count | None = None
    characters: Count | None = None
    inside: Share | None = None
    by_chance: Share | None = None


class JudgedQuality(_Shape):
    """What models say of a sample of reasonings."""

    mode: str | None = None
    n: Count | None = None
    fluency: Fluency | None = None
    support: Support | None = None
    overlap: Overlap | None = None


class BestModel(_Shape):
    """The best model of all, and its difference to ours."""

    model: str | None = None
    mode: str | None = None
    score: Share | None = None
    candidates: Count | None = None
    minus: str | None = None
    difference: Difference | None = None
    ci95: Interval[Difference] | None = None
    mcnemar_p: Share | None = None
    p_holm: Share | None = None


class SliceScores(_Shape):
    """Baseline and classifier within one slice of the test rows."""

    by: str | None = None
    value: str | None = None
    n: Count | None = None
    baseline: Share | None = None
    classifier: Share | None = None
    difference: Difference | None = None
    ci95: Interval[Difference] | None = None
    mcnemar_p: Share | None = None
    holm_p: Share | None = None


class NeededShare(_Shape):
    """Which share of the rows has to be reviewed for a wanted error rate."""

    error_rate: Share | None = None
    share: Share | None = None
    ci95: Interval[Share] | None = None


class Review(_Shape):
    """Errors caught by reviewing the most doubtful rows first."""

    signal: str | None = None
    mode: str | None = None
    n: Count | None = None
    errors: Count | None = None
    aurc: Share | None = None
    aurc_ci95: Interval[Share] | None = None
    best_aurc: Share | None = None
    caught: list[Share] | None = None
    needed: list[NeededShare] | None = None


class ReasoningEffect(_Shape):
    """How many answers the reasoning mended and broke."""

    without: str | None = None
    mode: str | None = None
    n: Count | None = None
    both_right: Count | None = None
    mended: Count | None = None
    broken: Count | None = None
    both_wrong: Count | None = None
    mcnemar_p: Share | None = None


class StageCost(_Shape):
    """What a stage took."""

    flops: Amount | None = None
    tokens: Count | None = None
    seconds: Amount | None = None


class RunCost(_Shape):
    """What the stages of a run took."""

    stages: dict[str, StageCost | None] | None = None


class Seen(_Shape):
    """How many test texts occur in train."""

    rows: Count | None = None
    leaked: Count | None = None


class Evaluation(_Shape):
    """`evaluation/metrics.json`."""

    target: str | None = None
    calibrated: bool | None = None
    seen_in_training: Seen | None = None
    labels: list[str] | None = None
    baseline: ModelScores | None = None
    classifier: ModelScores | None = None
    floors: dict[str, ModelScores | None] | None = None
    rivals: dict[str, ModelScores | None] | None = None
    best: BestModel | None = None
    modes: dict[str, ModelScores] | None = None
    paired: Paired | None = None
    reasonings: dict[str, ReasoningQuality | None] | None = None
    reasonings_judged: JudgedQuality | None = None
    slices: list[SliceScores] | None = None
    reasoning_effect: ReasoningEffect | None = None
    review: list[Review] | None = None
    cost: RunCost | None = None

    @model_validator(mode="after")
    def _square(self) -> Evaluation:
        size = len(self.labels or ())
        for model in (self.baseline, self.classifier):
            matrix = (model and model.confusion_matrix) or []
            if size and matrix and [len(row) for row in matrix] != [size] * size:
                raise ValueError(f"a confusion_matrix has not {size} rows and columns, one for each label")
        return self


class Intervention(_Shape):
    """What becomes of the labels if something is done to the reasonings."""

    n: Count | None = None
    changed: Proportion | None = None
    right: Proportion | None = None
    lost: Difference | None = None
    lost_ci95: Interval[Difference] | None = None
    follows: Proportion | None = None


class Simulatability(_Shape):
    """How often a small reader tells the model's label."""

    n: Count | None = None
    text: Proportion | None = None
    masked: Proportion | None = None
    unmasked: Proportion | None = None
    gain: Difference | None = None
    gain_ci95: Interval[Difference] | None = None
    mcnemar_p: Share | None = None


class Faithfulness(_Shape):
    """`evaluation/faithfulness.json`."""

    mode: str | None = None
    use: str | None = None
    n: Count | None = None
    right: Proportion | None = None
    early: dict[str, Intervention | None] | None = None
    interventions: dict[str, Intervention | None] | None = None
    agreement: Proportion | None = None
    simulatability: Simulatability | None = None


class Recovery(_Shape):
    """How often the answer is found from a reasoning."""

    n: Count | None = None
    with_reasoning: Share | None = None
    without_reasoning: Share | None = None


class Reasoner(_Shape):
    """`reasoner/metrics.json`."""

    held_out_loss: Amount | None = None
    perplexity: Amount | None = None
    stopped_share: Share | None = None
    stopped_share_without_answer: Share | None = None
    length_quantiles: dict[str, Amount | None] | None = None
    answer_recovery: Recovery | None = None
    examples: list[dict[str, Any]] | None = None


class Augmentation(_Shape):
    """`augment/metrics.json`."""

    rows: Count | None = None
    kept: Count | None = None
    dropped: Count | None = None
    failed: Count | None = None
    reused: Count | None = None
    tokens: Count | None = None
    seconds: Amount | None = None
    dropped_by_reason: dict[str, Count] | None = None
    kept_by_condition: dict[str, Count] | None = None
    uneven: list[str] | None = None


class Training(_Shape):
    """`baseline/metrics.json` and `classifier/metrics.json`."""

    target: str | None = None
    rows: Count | None = None
    steps: Count | None = None
    tokens: Count | None = None
    supervised_tokens: Count | None = None
    self_training: list[dict[str, Any]] | None = None
    train_loss: Amount | None = None
    seconds: Amount | None = None


class DataDescription(_Shape):
    """The entry `data` of `run.json`."""

    rows: dict[str, Any] | None = None
    labels: list[Any] | None = None
    inferred: dict[str, Any] | None = None


class FoundLeakage(_Shape):
    """Texts of a split that also occur in train."""

    split: str
    rows: Count
    leaked: Count
    other_label: Count


class DataFinding(_Shape):
    """One finding of `inspect`."""

    severity: Literal["error", "warning", "info"] | None = None
    count: Count | None = None
    message: str | None = None
    fix: str | None = None
    ids: list[str] | None = None


class Inspected(_Shape):
    """`inspection.json`."""

    columns: list[str] | None = None
    text_column: str | None = None
    label_column: str | None = None
    id_column: str | None = None
    rows: dict[str, Count] | None = None
    rows_unusable: Count | None = None
    labels: dict[str, dict[str, Count]] | None = None
    lengths: dict[str, dict[str, Amount]] | None = None
    inferred: dict[str, Any] | None = None
    findings: list[DataFinding] | None = None
    leakage: list[FoundLeakage] | None = None


class BaseModelDescription(_Shape):
    """The entry `base_model` of `run.json`."""

    quantisation: str | None = None


class Stage(_Shape):
    """An entry of `stages` in `run.json`."""

    status: str | None = None
    seconds: Amount | None = None
    fingerprint: str | None = None
    content: str | None = None
    decided_by: dict[str, Any] | None = None
    recipe: dict[str, Any] | None = None


class Manifest(_Shape):
    """`run.json`."""

    data: DataDescription | None = None
    base_model: BaseModelDescription | None = None
    versions: dict[str, Any] | None = None
    stages: dict[str, Stage] | None = None


class Recipe(_Shape):
    """The sections of `recipe.yaml` that the report reads."""

    task: dict[str, Any] | None = None
    data: dict[str, Any] | None = None
    reasoner: dict[str, Any] | None = None
    augment: dict[str, Any] | None = None
    classifier: dict[str, Any] | None = None
    baseline: dict[str, Any] | None = None
    evaluation: dict[str, Any] | None = None


def check_shape(path: Path, values: Mapping[str, Any], shape: type[BaseModel]) -> None:
    """Raise `RunFolderError` if the values of a file do not have the shape; the first wrong value is named."""
    with as_written(path):
        try:
            shape.model_validate(values)
        except ValidationError as error:
            first = error.errors()[0]
            place = ".".join(map(str, first["loc"]))
            raise ValueError(f"{place}: {first['msg']}" if place else first["msg"]) from None
