"""The typed recipe: one YAML file, plus `key=value` overrides, that every verb reads.

A field's doc string is its help: `whylabel recipe` prints this file's fields as a reference.
"""

from __future__ import annotations

import re
import types
import typing
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, ClassVar, Literal
from urllib.parse import urlsplit, urlunsplit

import yaml
from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator, model_validator

from whylabel.errors import LabelError, RecipeError, unknown_name
from whylabel.multi_label import Separator
from whylabel.types import Control, Mode, Target


class Section(BaseModel):
    """A part of the recipe: frozen, and unknown keys are errors."""

    model_config = ConfigDict(extra="forbid", frozen=True, use_attribute_docstrings=True, allow_inf_nan=False)

    short_for: ClassVar[str | None] = None
    """The field that is meant where a plain word stands in the section's place (`engine: vllm`)."""

    @model_validator(mode="before")
    @classmethod
    def _empty_sections(cls, values: Any) -> Any:
        if cls.short_for is not None and isinstance(values, str):
            return {cls.short_for: values}
        # `training:` with all its lines commented out is null in YAML, and means the defaults.
        if not isinstance(values, dict):
            return values
        fields = cls.model_fields
        empty = {key for key, value in values.items() if value is None and key in fields}
        sections = {key for key in empty if _is_section(fields[key].annotation)}
        return {key: value for key, value in values.items() if key not in sections}


def endpoint_url(url: str) -> str:
    """Return the base URL of an OpenAI-compatible endpoint; one without a path gets `/v1`.

    Raises `ValueError` if it is no plain http(s) URL; a password or key in it is refused, as recipes are kept.
    """
    parts = urlsplit(url.strip())
    if parts.scheme not in ("http", "https") or not parts.hostname:
        raise ValueError("a URL such as http://127.0.0.1:8000/v1 is wanted")
    if parts.username or parts.password or parts.query or parts.fragment:
        raise ValueError(
            "the URL may hold no password, key or query; the API key is read from the environment"
        )
    return urlunsplit(parts._replace(path=parts.path.rstrip("/") or "/v1"))


class TaskConfig(Section):
    """What is asked of a text."""

    type: Literal["single_label", "multi_label"] = "single_label"
    """`single_label`: each text has exactly one label; `multi_label`: any number of them, each decided by itself."""
    label_separator: str = Field(",", min_length=1)
    """`multi_label`: what stands between the labels of a text where a cell is a string; no label may contain it.
    In JSON lines and Parquet a cell may be a list, and an empty list says that no label applies."""
    question: str = Field("Which label fits the text?", min_length=1)
    """The question about each text; the reasoner and the chat prompts show it."""
    name: str = Field("Label", min_length=1)
    """One word for what the label is (Emotion, Intent, ...); compact prompts end in it."""
    labels: list[str] | dict[str, str] | None = None
    """All labels in their order, as a list or as `name: description`; default: those in the data, sorted.
    For integer labels, the list gives the name of 0, 1, 2, ..."""

    @model_validator(mode="after")
    def _told_apart(self) -> TaskConfig:
        if self.type == "multi_label":
            try:
                Separator(self.label_separator).check(self.labels or ())
            except LabelError as error:
                raise ValueError(f"{error.what} Fix: {error.fix}") from None
        return self


class DataConfig(Section):
    """Where the labelled texts come from."""

    source: str = "builtin:emotions"
    """A CSV, TSV, JSONL or Parquet file, a folder with train/validation/test files, `hub:owner/name[:config]`
    or `builtin:emotions`. Relative paths start at the current folder."""
    validation: str | None = None
    """A separate file with the validation split, if the source has none."""
    test: str | None = None
    """A separate file with the test split, if the source has none."""
    text_column: str | None = None
    """The column with the text; default: recognised by name and content."""
    label_column: str | None = None
    """The column with the label; default: recognised by name and content."""
    id_column: str | None = None
    """The column with a unique row id; default: `id` if there is one, else a hash of the text."""
    validation_fraction: float = Field(0.1, gt=0, lt=0.5)
    """Share of the train rows that becomes validation where no validation split is given (stratified)."""
    test_fraction: float = Field(0.2, gt=0, lt=0.9)
    """Share of the rows that becomes test where no test split is given (stratified)."""
    train_rows_per_label: int | None = Field(None, ge=1)
    """Use only this many train rows of each label, or all where there are fewer; `multi_label`: of each label that is
    the rarest of a row."""
    train_rows: int | None = Field(None, ge=2)
    """Use only this many train rows (stratified by label; `multi_label`: by the rarest label of a row)."""
    validation_rows: int | None = Field(None, ge=1)
    """Use only this many validation rows (stratified by label)."""
    test_rows: int | None = Field(None, ge=1)
    """Use only this many test rows (stratified by label)."""
    bad_rows: Literal["error", "drop"] = "error"
    """What to do with rows that have no text or no label: stop, or leave them out and say so."""
    max_text_tokens: int | None = Field(None, ge=8)
    """Trim longer texts to this many tokens, counted and reported; default: one that does not fit is an error."""


class LoraSettings(Section):
    """Low-rank adapters (PEFT), merged into a plain model at the end."""

    r: int = Field(16, ge=1)
    """Rank of the adapters."""
    lora_alpha: int = Field(32, ge=1)
    """Scale of the adapters (PEFT's name)."""
    lora_dropout: float = Field(0.0, ge=0, lt=1)
    """Dropout inside the adapters."""
    target_modules: str | list[str] = "all-linear"
    """The layers that get an adapter, as PEFT names them."""


class LossConfig(Section):
    """How the tokens of a completion count: cross-entropy, weighted by segment; the weights of a step sum to 1."""

    normalise: Literal["token", "segment"] = "token"
    """`token`: every token counts alike, so that a long reasoning outweighs its label; `segment`: the tokens of
    labels and those of reasonings are averaged apart, then the two averages are."""
    label_weight: float = Field(1.0, gt=0)
    """Weight of label tokens, or of their average."""
    reasoning_weight: float = Field(1.0, ge=0)
    """Weight of reasoning tokens, or of their average."""
    label_only_share: float = Field(0.0, ge=0, lt=1)
    """The last share of the steps trains the label tokens alone (SFTKey's answer-only stage)."""
    label_smoothing: float = Field(0.0, ge=0, lt=1)
    """Share of the probability that is spread over the vocabulary."""


class TrainingConfig(Section):
    """The supervised loop; names as Hugging Face spells them."""

    method: Literal["full", "lora", "qlora"] = "full"
    """Train all weights, low-rank adapters, or adapters over a copy of the weights in 4 bits, which saves memory
    (`pip install 'whylabel[qlora]'`). Adapters are merged into the plain weights at the end."""
    lora: LoraSettings = LoraSettings()
    """The adapters of `lora` and `qlora`."""
    num_train_epochs: float = Field(3.0, gt=0)
    """Passes over the training rows."""
    max_steps: int | None = Field(None, ge=1)
    """Train for this many optimizer steps instead of epochs."""
    max_supervised_tokens: int | None = Field(None, ge=1)
    """Train until the loss was taken on this many tokens, instead of epochs."""
    max_train_flops: float | None = Field(None, gt=0)
    """Train for this many floating-point operations instead of epochs. Of several budgets the first spent ends it."""
    learning_rate: float = Field(1e-4, gt=0)
    """Peak learning rate."""
    lr_scheduler_type: Literal["linear", "cosine", "constant", "constant_with_warmup"] = "linear"
    """Shape of the learning rate after warm-up."""
    warmup_steps: float = Field(0.05, ge=0)
    """Optimizer steps of warm-up, or a share of all steps if below 1."""
    weight_decay: float = Field(0.0, ge=0)
    """Decoupled weight decay."""
    optim: str = "adamw_torch_fused"
    """Optimizer, by its Hugging Face name."""
    max_grad_norm: float = Field(1.0, gt=0)
    """Gradients whose norm is larger are scaled down to it."""
    loss: LossConfig = LossConfig()
    """How label and reasoning tokens count."""
    per_device_train_batch_size: int = Field(16, ge=1)
    """Rows (or packs) in a batch."""
    gradient_accumulation_steps: int = Field(1, ge=1)
    """Batches in an optimizer step."""
    tokens_per_batch: int = Field(2048, ge=32)
    """Largest number of tokens, padding included, that are computed at once: memory and speed only. A step whose rows
    hold more is computed in parts."""
    max_length: int = Field(1024, ge=32)
    """Tokens of prompt and completion together; a longer row is an error, never cut silently."""
    packing: bool = False
    """Join rows into sequences of up to `max_length` tokens in which none sees another; a batch then counts such
    sequences. Fast where FlashAttention 2 is installed; elsewhere a mask keeps rows apart."""
    gradient_checkpointing: bool = False
    """Trade speed for memory."""
    dtype: Literal["auto", "float32", "bfloat16"] = "auto"
    """Arithmetic of training (weights stay float32); auto: bfloat16 where the hardware computes it, else float32."""
    save_steps: int | None = Field(None, ge=1)
    """Optimizer steps between checkpoints; default: one every five minutes."""


class SelectionConfig(Section):
    """Which checkpoint is kept: by accuracy on validation rows; `multi_label`: by micro-F1 at its best threshold."""

    steps: int | None = Field(None, ge=1)
    """Optimizer steps between two looks at the validation rows; default: none, the last weights are kept."""
    rows: int = Field(200, ge=1)
    """Most validation rows of a look."""
    patience: int | None = Field(None, ge=1)
    """Stop early after this many looks without a better one; default: train to the end."""


class ClassifierTrainingConfig(TrainingConfig):
    """The supervised loop of stage 2, the same for classifier and baseline."""

    class_weight: Literal["balanced"] | None = None
    """`balanced`: a row counts n / (labels x rows of its label), as in scikit-learn; default: all count alike."""
    balanced_sampling: bool = False
    """Every epoch shows as many rows of each label as of the most frequent one: rows of rarer labels come again."""
    selection: SelectionConfig = SelectionConfig()
    """Which checkpoint is kept."""


class ReasonerTrainingConfig(TrainingConfig):
    """The supervised loop of stage 1."""

    num_train_epochs: float = Field(1.0, gt=0)
    """Passes over the reasoning rows."""


class SamplingConfig(Section):
    """How a reasoning is drawn from the reasoner."""

    max_new_tokens: int = Field(96, ge=1)
    """Longest reasoning in tokens; one that does not end by then is dropped as unfinished."""
    temperature: float = Field(0.0, ge=0)
    """0 is greedy decoding; above 0 samples."""
    top_p: float = Field(1.0, gt=0, le=1)
    """Nucleus sampling; used with a temperature above 0."""


class ReasonerConfig(Section):
    """Stage 1: the model that writes a reasoning given a question and its answer."""

    model: str | None = None
    """A ready reasoner (default model, hub id, folder or GGUF file); stage 1 is then skipped."""
    endpoint: str | None = None
    """URL of an OpenAI-compatible endpoint that serves `reasoner.model` (`http://127.0.0.1:8000/v1`); stage 1 is
    skipped, no model is loaded. The API key is read from OPENAI_API_KEY."""
    base_model: str | None = None
    """What stage 1 fine-tunes; default: the recipe's `base_model`."""
    data: str = "builtin:reasoning"
    """(question, answer, reasoning) rows: a file, folder, `hub:owner/name[:config]`, `builtin:reasoning`."""
    question_column: str = "question"
    """Column with the question."""
    answer_column: str = "answer"
    """Column with the answer."""
    reasoning_column: str = "reasoning"
    """Column with the reasoning."""
    rows: int | None = Field(None, ge=1)
    """Use only this many training rows (drawn with the seed)."""
    validation_rows: int = Field(40, ge=1)
    """Held-out rows for the gate; taken from train where the data has no validation split."""
    training: ReasonerTrainingConfig = ReasonerTrainingConfig()
    """How stage 1 is trained."""

    @field_validator("endpoint")
    @classmethod
    def _base_url(cls, endpoint: str | None) -> str | None:
        return None if endpoint is None else endpoint_url(endpoint)

    @model_validator(mode="after")
    def _served_model(self) -> ReasonerConfig:
        if self.endpoint is not None and self.model is None:
            raise ValueError("endpoint needs the name of the model that it serves: reasoner.model")
        return self


class FilterConfig(Section):
    """Which reasonings are dropped, and when."""

    names: list[str] = ["empty", "unfinished", "length", "repetition", "copy"]
    """Filters in the order in which they are asked; the first that refuses gives the reason.
    Also: `leak`, `language`, `pattern`, `near_duplicate` (last), and those added by entry point."""
    min_words: int = Field(4, ge=0)
    """`length`: shorter reasonings are dropped. In scripts without blanks, two characters of Han or kana, or four of
    Thai, Lao, Khmer or Burmese, count as a word."""
    max_words: int = Field(120, ge=1)
    """`length`: longer reasonings are dropped."""
    max_repeats: int = Field(3, ge=1)
    """`repetition`: a run of four words may stand this often in a reasoning."""
    max_copied: float = Field(0.8, gt=0, le=1)
    """`copy`: largest share of a reasoning's words that may be one verbatim stretch of the text or the question."""
    question: str | None = None
    """`copy`: the question that a reasoning may not repeat; default: `task.question`."""
    leak_words: int = Field(8, ge=1)
    """`leak`: a reasoning that names its label, or a relative of it, in so many first words is dropped."""
    drop_patterns: list[str] = []
    """`pattern`: a reasoning in which one of these regular expressions (Python's) is found is dropped; they heed
    case unless they begin with `(?i)`."""
    max_similarity: float = Field(0.9, ge=0.5, lt=1)
    """`near_duplicate`: largest share of word triples that a reasoning may have in common with an earlier one."""

    @model_validator(mode="after")
    def _ordered(self) -> FilterConfig:
        if self.min_words > self.max_words:
            raise ValueError(f"min_words {self.min_words} is above max_words {self.max_words}")
        return self

    @field_validator("drop_patterns")
    @classmethod
    def _regular_expressions(cls, patterns: list[str]) -> list[str]:
        for pattern in patterns:
            try:
                re.compile(pattern)
            except re.error as error:
                raise ValueError(f"{pattern!r} is no regular expression ({error})") from None
        return patterns

    @model_validator(mode="after")
    def _patterns_are_used(self) -> FilterConfig:
        if self.drop_patterns and "pattern" not in self.names:
            raise ValueError("drop_patterns are given, but names has no filter `pattern` to use them")
        return self


class VerificationConfig(Section):
    """Whether each reasoning leads to its label, as judged by a model that did not write it."""

    verifier: str | None = None
    """Who judges: `baseline` (this run's, then trained first), `base` (the base model, untrained), a model folder or
    hub id; default: nobody, the first candidate that passes the filters is kept."""
    min_margin: float = 0.0
    """The margin that the best candidate needs, in nats: its lift of the gold label's log-probability above that of
    the strongest rival, the labels' words masked."""
    unverified: Literal["drop", "keep"] = "drop"
    """What becomes of a row whose best candidate falls short."""
    unverified_weight: float = Field(0.5, gt=0, le=1)
    """`unverified: keep`: the weight that such a row gets."""


class SuspectsConfig(Section):
    """Training rows whose label looks wrong; they are listed in `augment/suspects.parquet`, never relabelled."""

    folds: int | None = Field(None, ge=2)
    """Look for them with this many baselines, each trained without a part of the rows; default: do not look."""
    exclude: bool = False
    """Write no reasoning for them: a reasoning for a wrong label teaches fabrication."""


class EngineConfig(Section):
    """What generates; a plain name, `engine: vllm`, means that engine in this process."""

    short_for: ClassVar[str | None] = "name"

    name: str = "auto"
    """`transformers`, `openvino` (the fast one on a CPU), `vllm`, `openai`, `scripted`, an engine added by entry
    point, or `auto`: openvino where it is installed, the device is the CPU and it can run the model, else
    transformers."""
    distributed: Literal["ray"] | None = None
    """`ray`: run the engine in worker processes of a Ray cluster (`pip install 'whylabel[ray]'`); default: here."""
    address: str | None = Field(None, min_length=1)
    """The cluster: `auto` (the one that runs on this machine), `HOST:PORT` or `ray://HOST:PORT`; default: one of our
    own on this machine, ended with the stage. Name only a cluster that you trust: Ray's processes run each other's
    code."""
    workers: int | None = Field(None, ge=1)
    """Worker processes, each with its own copy of the model; default: one for each GPU, or without GPUs for each
    node."""
    cpus_per_worker: int | None = Field(None, ge=1)
    """CPU cores that a worker reserves and computes with; default: 1 beside a GPU, else its share of the smallest
    node's."""
    gpus_per_worker: float | None = Field(None, ge=0)
    """GPUs that a worker reserves; 0: it computes on the CPU; default: 1 where the cluster has any, unless `device`
    is another than CUDA."""
    rows_per_task: int = Field(64, ge=1)
    """Most prompts that a worker is handed at a time; fewer where there would not be enough for all workers."""

    @model_validator(mode="after")
    def _for_a_cluster(self) -> EngineConfig:
        given = sorted(self.model_fields_set - {"name", "distributed"})
        changed = [key for key in given if getattr(self, key) != type(self).model_fields[key].default]
        if changed and self.distributed is None:
            raise ValueError(f"{' and '.join(changed)} need a cluster: add distributed: ray")
        return self


class AugmentConfig(Section):
    """Stage 2a: a reasoning for every labelled training text."""

    engine: EngineConfig = EngineConfig()
    """What generates: an engine's name (`engine: vllm`), or these fields."""
    engine_options: dict[str, Any] = {}
    """Settings of that engine alone."""
    sampling: SamplingConfig = SamplingConfig()
    """How reasonings are drawn."""
    candidates: int = Field(1, ge=1)
    """Reasonings drawn for every text; more than one needs a `sampling.temperature` above 0."""
    condition: Literal["label", "free", "free_then_label"] = "label"
    """What the reasoner is shown beside the text: its label, nothing, or first nothing and then the label for rows
    that have no acceptable reasoning without it."""
    filters: FilterConfig = FilterConfig()
    """What is dropped."""
    verification: VerificationConfig = VerificationConfig()
    """Which candidate is best, and whether it is good enough."""
    suspects: SuspectsConfig = SuspectsConfig()
    """Which labels look wrong."""

    @model_validator(mode="after")
    def _drawn_apart(self) -> AugmentConfig:
        if self.candidates > 1 and self.sampling.temperature == 0:
            raise ValueError(f"{self.candidates} candidates are all the same at sampling.temperature 0")
        return self


class ClassifierConfig(Section):
    """Stage 2b: the model that writes its reasoning, then the label."""

    target: Target = "reasoning_label"
    """What a training example looks like after the text: `label`, `reasoning_label`, `label_reasoning`, `dual` (one
    model that does the first two, as it is asked) or `multi_task` (label and reasoning as two tasks)."""
    reasoned_share: float = Field(0.5, gt=0, lt=1)
    """`dual`, `multi_task`: the share of training examples that hold a reasoning."""
    negatives: int = Field(4, ge=1)
    """`multi_label`: labels that do not apply which are shown of each text, drawn anew in each epoch, beside all that
    do; classifier and baseline alike."""
    reasonings_per_text: int = Field(1, ge=1)
    """Acceptable candidates of a text that are used (`augment.candidates`), another one in each epoch."""
    self_training_rounds: int = Field(0, ge=0)
    """Rounds before the last training in which the classifier writes reasonings of its own for the training texts,
    without their labels; those that lead to the label and pass the filters join the next round, which starts from the
    base model again."""
    control: Control | None = None
    """Spoil the reasonings on purpose, to see what they are worth: `shuffled_words`, `another_text`, `another_label`,
    `filler` or `key_words`; default: train on them as they are."""
    max_reasoning_tokens: int | None = Field(None, ge=1)
    """Tokens a reasoning may take at prediction; default: from the lengths seen in training.
    At the limit the reasoning is closed and the label is still scored."""
    votes: int = Field(5, ge=1)
    """Mode `vote`: reasonings drawn for a text."""
    vote_temperature: float = Field(0.7, gt=0)
    """Mode `vote`: temperature at which they are drawn."""
    calibration_rows: int = Field(500, ge=0)
    """Validation rows on which the probabilities of classifier and baseline are calibrated; below 20 none are."""
    adaptive_share: float = Field(0.3, ge=0, le=1)
    """Mode `adaptive`: the largest share of validation rows that are reasoned about; the threshold is where, within
    it, most of their labels are right."""

    @model_validator(mode="after")
    def _writes_reasonings(self) -> ClassifierConfig:
        if self.self_training_rounds and self.target not in ("reasoning_label", "dual"):
            raise ValueError(
                f"self_training_rounds need a model that reasons before its label, and target is {self.target}: "
                "set target to reasoning_label or dual"
            )
        if self.control and (self.self_training_rounds or self.target == "label"):
            raise ValueError(
                f"control: {self.control} spoils the reasoner's reasonings, which needs a target with reasonings "
                "and no self_training_rounds"
            )
        return self


class BaselineConfig(Section):
    """The same model, trained on the label alone."""

    budget: Literal["same", "matched_steps", "matched_flops"] = "same"
    """`same`: that of `training`, as the classifier's; `matched_steps`, `matched_flops`: as many optimizer steps, or
    as much arithmetic, as the classifier's training took, which is then trained first."""


class EvaluationConfig(Section):
    """How the models are compared."""

    bootstrap_samples: int = Field(10_000, ge=100)
    """Resamples of the paired bootstrap."""
    floors: list[Literal["majority", "tfidf"]] = ["majority", "tfidf"]
    """Simple models beside which the others must stand."""
    modes: list[Mode] | None = None
    """Modes in which the classifier is evaluated, beside its default one; default: all that it has but `vote`."""
    shown: int = Field(20, ge=1)
    """Right and wrong predictions that the report shows of each."""


class Recipe(Section):
    """Everything that decides a run."""

    name: str = Field("run", pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]*$")
    """Name of the run; its folder is `runs/NAME` unless --output says otherwise."""
    seed: int = 13
    """Seed of splits, data order, training and sampling."""
    base_model: str = "smollm2-135m-instruct"
    """What is fine-tuned: the default model, a hub id, a local folder or a GGUF file of a causal LM."""
    prompt_style: Literal["compact", "chat"] = "compact"
    """`compact`: a short own format, far fewer tokens; `chat`: the model's chat template."""
    device: str = "auto"
    """`auto`, `cpu`, `cuda` or a torch device name."""
    task: TaskConfig = TaskConfig()
    """What is asked."""
    data: DataConfig = DataConfig()
    """The labelled texts."""
    reasoner: ReasonerConfig = ReasonerConfig()
    """Stage 1."""
    augment: AugmentConfig = AugmentConfig()
    """Stage 2a."""
    training: ClassifierTrainingConfig = ClassifierTrainingConfig()
    """How classifier and baseline are trained: the same for both, so that they can be compared."""
    classifier: ClassifierConfig = ClassifierConfig()
    """Stage 2b."""
    baseline: BaselineConfig = BaselineConfig()
    """What the classifier is compared with."""
    evaluation: EvaluationConfig = EvaluationConfig()
    """The comparison."""

    @model_validator(mode="after")
    def _trained_in_an_order(self) -> Recipe:
        verified = self.augment.verification.verifier == "baseline"
        if verified and self.baseline.budget != "same":
            raise ValueError(
                f"baseline.budget: {self.baseline.budget} trains the baseline after the classifier, and "
                "augment.verification.verifier: baseline wants it before: name another verifier (base, or a folder)"
            )
        return self

    @model_validator(mode="after")
    def _endpoint_alone(self) -> Recipe:
        if self.reasoner.endpoint is None:
            return self
        engine = self.augment.engine.name
        if engine not in ("auto", "openai"):
            raise ValueError(
                f"reasoner.endpoint is served by the engine openai, and augment.engine is {engine!r}: "
                "leave one of them out"
            )
        twice = sorted({"base_url", "model"} & set(self.augment.engine_options))
        if twice:
            raise ValueError(
                f"augment.engine_options gives {' and '.join(twice)}, which reasoner.endpoint and reasoner.model "
                "give already: leave them out"
            )
        return self

    @model_validator(mode="after")
    def _can_decide_by_label(self) -> Recipe:
        if self.task.type == "multi_label":
            for key, holds, instead in self._single_label_alone():
                if holds:
                    raise ValueError(f"{key} is not there for task.type: multi_label: {instead}")
        return self

    def _single_label_alone(self) -> Iterator[tuple[str, bool, str]]:
        """Yield (what only tasks of one label have, whether it is asked for, what to do instead)."""
        target, training, augment = self.classifier.target, self.training, self.augment
        targets = "set classifier.target to label or multi_task"
        yield f"classifier.target: {target}", target not in ("label", "multi_task"), targets
        yield "training.class_weight", training.class_weight is not None, "leave it out"
        yield "training.balanced_sampling", training.balanced_sampling, "leave it out"
        yield "augment.verification.verifier", augment.verification.verifier is not None, "leave it out"
        yield "augment.suspects.folds", augment.suspects.folds is not None, "leave it out"

    def to_yaml(self) -> str:
        """Return the resolved recipe as YAML, in the order of the fields."""
        return yaml.safe_dump(self.model_dump(mode="json"), sort_keys=False, allow_unicode=True)


def load_recipe(path: str | Path, overrides: Sequence[str] = ()) -> Recipe:
    """Read a recipe file and apply `key=value` overrides with dots (`training.learning_rate=1e-5`).

    Raises `RecipeError` if the file cannot be read, a key is unknown or a value does not fit.
    """
    path = Path(path)
    try:
        values = yaml.safe_load(path.read_text(encoding="utf-8-sig"))
    except FileNotFoundError:
        raise RecipeError(
            f"There is no recipe at {str(path)!r}.",
            fix="check the path, or write one with: whylabel init DATA",
        ) from None
    except (OSError, UnicodeDecodeError) as error:
        raise RecipeError(f"The recipe cannot be read: {error}.", where=str(path)) from None
    except yaml.YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        line = f"{path}, line {mark.line + 1}" if mark else str(path)
        problem = getattr(error, "problem", None) or str(error).replace("\n", " ")
        raise RecipeError(f"The recipe is not valid YAML: {problem}.", where=line) from None
    if values is None:
        values = {}
    if not isinstance(values, dict):
        raise RecipeError("A recipe is a YAML mapping of keys to values.", where=str(path))
    values.setdefault("name", re.sub(r"[^A-Za-z0-9._-]+", "-", path.stem).strip("-._") or "run")
    for override in overrides:
        _apply(values, override)
    return build_recipe(values, where=str(path))


def build_recipe(values: Mapping[str, Any], *, where: str = "recipe") -> Recipe:
    """Return the recipe of nested plain values. Raises `RecipeError` naming the first wrong key."""
    try:
        return Recipe.model_validate(values)
    except ValidationError as error:
        raise _readable(error, where) from None


def override_recipe(recipe: Recipe, **values: object) -> Recipe:
    """Return the recipe with values replaced; keys use two underscores for dots (`data__train_rows=8`)."""
    nested = recipe.model_dump(mode="python")
    for key, value in values.items():
        *parents, last = key.split("__")
        target = nested
        for parent in parents:
            target = target[parent]
        target[last] = value
    return build_recipe(nested)


def reference() -> Iterator[tuple[str, str, str, str]]:
    """Yield (dotted key, type, default, help) for every field of the recipe, in order."""
    yield from _reference(Recipe, "")


def _apply(values: dict[str, Any], override: str) -> None:
    key, equals, text = override.partition("=")
    key = key.strip()
    if not equals or not key:
        raise RecipeError(
            f"Override {override!r} is not of the form key=value.",
            fix="for example: training.learning_rate=1e-5",
        )
    try:
        value = yaml.safe_load(text)
    except yaml.YAMLError:
        value = text
    target = values
    *parents, last = key.split(".")
    for depth, parent in enumerate(parents, start=1):
        child = target.get(parent)
        section = _section_at(parents[:depth])
        if child is None:
            child = target[parent] = {}
        elif isinstance(child, str) and section is not None and section.short_for is not None:
            child = target[parent] = {section.short_for: child}
        if not isinstance(child, dict):
            raise RecipeError(f"Override {key!r}: {parent!r} is a value, not a section.")
        target = child
    target[last] = value


def _readable(error: ValidationError, where: str) -> RecipeError:
    details = error.errors()
    unknown = [item for item in details if item["type"] == "extra_forbidden"]
    first = (unknown or details)[0]
    # Where several types are allowed, pydantic names the one it tried (`list[str]`) in the location.
    location = [str(part) for part in first["loc"] if "[" not in str(part)]
    key = ".".join(location)
    more = f" ({len(details) - 1} more after this one)" if len(details) > 1 else ""
    fix = "every field is explained by: whylabel recipe"
    if first["type"] == "extra_forbidden":
        section = _section_at(location[:-1])
        known = list(section.model_fields) if section else []
        what = unknown_name("key", location[-1], known) + more
    else:
        message = first["msg"].removeprefix("Value error, ")
        # A whole section is no news, and a refused URL may hold a password.
        shown = not isinstance(first["input"], (dict, Section)) and location[-1:] != ["endpoint"]
        got = f", got {first['input']!r}" if shown else ""
        what = f"{key or 'recipe'}: {message}{got}.{more}"
        if first["type"] == "string_type" and isinstance(first["input"], (bool, int, float)):
            fix = "put it in quotes: YAML reads yes, no, on, off and digits as other things than text"
    return RecipeError(what, where=f"{where}: {key}" if key else where, fix=fix)


def _section_at(location: Sequence[str]) -> type[Section] | None:
    section: type[Section] = Recipe
    for name in location:
        field = section.model_fields.get(name)
        if field is None or not _is_section(field.annotation):
            return None
        section = typing.cast(type[Section], field.annotation)
    return section


def _is_section(annotation: object) -> bool:
    return isinstance(annotation, type) and issubclass(annotation, Section)


def _reference(section: type[Section], prefix: str) -> Iterator[tuple[str, str, str, str]]:
    for name, field in section.model_fields.items():
        key = f"{prefix}{name}"
        description = " ".join((field.description or "").split())
        if _is_section(field.annotation):
            yield key, "section", "", description
            yield from _reference(typing.cast(type[Section], field.annotation), f"{key}.")
        else:
            default = "null" if field.default is None else _plain(field.default)
            yield key, _type_name(field.annotation), default, description


def _plain(value: object) -> str:
    return yaml.safe_dump(value, default_flow_style=True).removesuffix("\n...\n").strip()


def _type_name(annotation: object) -> str:
    origin = typing.get_origin(annotation)
    arguments = typing.get_args(annotation)
    if origin is Literal:
        return " | ".join(str(value) for value in arguments)
    if origin is types.UnionType or origin is typing.Union:
        return " | ".join(_type_name(item) for item in arguments)
    if origin is not None:
        return f"{origin.__name__}[{', '.join(_type_name(item) for item in arguments)}]"
    return "null" if annotation is type(None) else getattr(annotation, "__name__", str(annotation))
