"""Stage 2b: the classifier (text -> reasoning + label) and the baseline (text -> label).

Training is `train_classifier`; a trained model folder is used through `TrainedClassifier`.
"""

from __future__ import annotations

import math
import time
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from whylabel.audit import audit
from whylabel.engines.base import Completion, Engine, Sampling
from whylabel.engines.transformers import TransformersEngine
from whylabel.errors import ModelError, RecipeError
from whylabel.labels import LabelSet
from whylabel.models import LoadedModel, load, prepare_for_training, read_card, save
from whylabel.progress import say
from whylabel.prompts import Prompt, Prompts, PromptStyle
from whylabel.recipe import ClassifierTrainingConfig, Recipe, SelectionConfig
from whylabel.run_folder import RunFolder
from whylabel.runtime import first_line
from whylabel.scoring import LabelScorer, probabilities
from whylabel.training import Selection, train
from whylabel.training_set import TrainingSet
from whylabel.types import Example, Form, Mode, Prediction, ReasonedExample, Status, Target
from whylabel.version import __version__

_Row = NDArray[np.float64]

_CHUNK_ROWS = 512
_RELOADED_ROWS = 5
# What a reasoning may take at prediction: nearly all lengths seen in training, and a quarter more.
_BUDGET_QUANTILE, _BUDGET_FACTOR, _BUDGET_LEAST = 0.99, 1.25, 16


@dataclass(frozen=True, slots=True)
class ModelCard:
    """What `whylabel.json` says of a trained model: all that prediction needs besides the weights."""

    labels: LabelSet
    target: Target
    question: str
    name: str
    prompt_style: PromptStyle
    max_text_tokens: int
    max_reasoning_tokens: int
    lineage: dict[str, Any]

    @property
    def mode(self) -> Mode:
        """How a model of this target answers."""
        return "reasoned" if self.target == "reasoning_label" else "fast"

    def to_json(self) -> dict[str, Any]:
        """Return the content of `whylabel.json`."""
        return {
            "format": 1,
            "whylabel": __version__,
            "task": {"type": "single_label", "question": self.question, "name": self.name},
            "labels": list(self.labels.names),
            "label_descriptions": dict(self.labels.descriptions),
            "target": self.target,
            "modes": [self.mode],
            "calibration": None,
            "prompt_style": self.prompt_style,
            "max_text_tokens": self.max_text_tokens,
            "max_reasoning_tokens": self.max_reasoning_tokens,
            "lineage": self.lineage,
        }

    @classmethod
    def from_json(cls, card: dict[str, Any], where: Path) -> ModelCard:
        """Read `whylabel.json`. Raises `ModelError` if it is not a classifier's."""
        try:
            return cls(
                labels=LabelSet(tuple(card["labels"]), card["label_descriptions"]),
                target=card["target"],
                question=card["task"]["question"],
                name=card["task"]["name"],
                prompt_style=card["prompt_style"],
                max_text_tokens=int(card["max_text_tokens"]),
                max_reasoning_tokens=int(card["max_reasoning_tokens"]),
                lineage=dict(card["lineage"]),
            )
        except (KeyError, TypeError, ValueError) as error:
            raise ModelError(
                f"This model is no classifier: whylabel.json has no usable {error}.",
                where=str(where),
                fix="name a run folder, or its classifier/model or baseline/model",
            ) from None


class TrainedClassifier:
    """A trained model in memory: labels texts, with the probability of every label and the reasoning.

    >>> model = TrainedClassifier.from_folder("runs/quickstart")
    >>> next(model.predict([("1", "I could not stop smiling.")])).label
    """

    def __init__(self, loaded: LoadedModel, card: ModelCard, engine: Engine | None = None) -> None:
        self.loaded = loaded
        self.card = card
        self.labels = card.labels
        self.mode: Mode = card.mode
        self.prompts = Prompts(loaded.tokenizer, card.prompt_style, card.question, card.name)
        self._engine = engine or TransformersEngine(loaded)
        self._form: Form = "label_reasoning" if card.target == "label_reasoning" else "label"
        ends = [self.prompts.label_ids(name, self._form) for name in card.labels.names]
        self._scorer = LabelScorer(loaded, ends)

    @classmethod
    def from_folder(
        cls, folder: str | Path, *, device: str = "auto", dtype: str = "auto"
    ) -> TrainedClassifier:
        """Load a run folder's classifier, or a model folder. Raises `ModelError` if it is neither."""
        path = model_folder(folder)
        card = ModelCard.from_json(read_card(path), path)
        return cls(load(str(path), device=device, dtype=dtype), card)

    def predict(self, rows: Sequence[tuple[str, str]]) -> Iterator[Prediction]:
        """Yield a prediction for every (id, text), in order; a blank text fails alone."""
        for start in range(0, len(rows), _CHUNK_ROWS):
            yield from self._predict_chunk(rows[start : start + _CHUNK_ROWS])

    def _predict_chunk(self, rows: Sequence[tuple[str, str]]) -> list[Prediction]:
        found: dict[int, Prediction] = {
            place: self._failed(row_id, "the text is blank")
            for place, (row_id, text) in enumerate(rows)
            if not text.strip()
        }
        places = [place for place in range(len(rows)) if place not in found]
        texts = [self.prompts.trim(rows[place][1], self.card.max_text_tokens) for place in places]
        trimmed = [text != rows[place][1] for place, text in zip(places, texts, strict=True)]
        predict = self._fast if self.mode == "fast" else self._reasoned
        ids = [rows[place][0] for place in places]
        for place, prediction in zip(places, predict(ids, texts, trimmed), strict=True):
            found[place] = prediction
        return [found[place] for place in range(len(rows))]

    def _fast(self, ids: list[str], texts: list[str], trimmed: list[bool]) -> Iterator[Prediction]:
        started = time.monotonic()
        scores = self._scores([self.prompts.classifier(text, self._form) for text in texts])
        seconds = (time.monotonic() - started) / max(1, len(texts))
        for row_id, row, cut in zip(ids, scores, trimmed, strict=True):
            if isinstance(row, str):
                yield self._failed(row_id, row)
                continue
            yield self._prediction(row_id, row, status="truncated" if cut else "ok", seconds=seconds)

    def _reasoned(self, ids: list[str], texts: list[str], trimmed: list[bool]) -> Iterator[Prediction]:
        completions = self._write_reasonings(texts)
        started = time.monotonic()
        scores = self._scores(
            [
                self.prompts.after_reasoning(text, completion.text)
                for text, completion in zip(texts, completions, strict=True)
            ]
        )
        scoring = (time.monotonic() - started) / max(1, len(texts))
        for row_id, row, completion, cut in zip(ids, scores, completions, trimmed, strict=True):
            if completion.finish == "error" or isinstance(row, str):
                yield self._failed(row_id, completion.error or str(row))
                continue
            yield self._prediction(
                row_id,
                row,
                reasoning=completion.text,
                status=self._status(completion, cut),
                seconds=completion.seconds + scoring,
                tokens=completion.tokens,
            )

    def _write_reasonings(self, texts: Sequence[str]) -> list[Completion]:
        sampling = Sampling(self.card.max_reasoning_tokens, tuple(sorted(self.prompts.stop_ids)))
        prompts = [Prompt(tuple(self.prompts.classifier(text, "reasoning_label"))) for text in texts]
        written = {item.index: item for item in self._engine.generate(prompts, sampling)}
        return [written[place] for place in range(len(texts))]

    def _scores(self, prompts: Sequence[Sequence[int]]) -> list[_Row | str]:
        """Return the probabilities of every prompt, or why it has none: no row can take the others down."""
        try:
            return list(probabilities(self._scorer.log_scores(prompts)))
        except Exception as error:  # out of memory, or an input that the model cannot take
            if len(prompts) == 1:
                return [first_line(error)]
        middle = len(prompts) // 2
        return [*self._scores(prompts[:middle]), *self._scores(prompts[middle:])]

    def _status(self, completion: Completion, trimmed: bool) -> Status:
        if completion.finish == "length":
            return "reasoning_cut"
        if completion.stop_id is not None and completion.stop_id != self.prompts.marker_id:
            return "label_forced"
        return "truncated" if trimmed else "ok"

    def _failed(self, row_id: str, error: str) -> Prediction:
        return Prediction(row_id, "", (), mode=self.mode, status="failed", error=error)

    def _prediction(
        self,
        row_id: str,
        row: _Row,
        *,
        status: Status,
        seconds: float,
        reasoning: str | None = None,
        tokens: int = 0,
    ) -> Prediction:
        return Prediction(
            id=row_id,
            label=self.labels.names[int(row.argmax())],
            probabilities=tuple(float(value) for value in row),
            reasoning=reasoning,
            mode=self.mode,
            status=status,
            seconds=seconds,
            tokens=tokens,
        )


def model_folder(path: str | Path) -> Path:
    """Return the model folder of a path: a model folder itself, or a run folder's classifier."""
    folder = Path(path).expanduser()
    if not folder.is_dir():
        raise ModelError(
            f"There is no model folder {str(path)!r}.", fix="name a run folder, or a model folder inside it"
        )
    classifier = RunFolder(folder).classifier_model
    return classifier if not (folder / "config.json").exists() and classifier.is_dir() else folder


def train_classifier(
    loaded: LoadedModel,
    rows: Sequence[Example | ReasonedExample],
    labels: LabelSet,
    recipe: Recipe,
    *,
    target: Target,
    title: str,
    checkpoints: Path,
    lineage: dict[str, Any],
    validation: Sequence[Example] = (),
    training: ClassifierTrainingConfig | None = None,
) -> tuple[ModelCard, dict[str, Any]]:
    """Fine-tune the model in place to what the target says, and return its card and the figures of the training.

    `validation` rows choose the checkpoint that is kept, where the recipe asks for it. `training` replaces the
    recipe's. Raises `AuditError` if a row would teach something wrong, for example because it is too long.
    """
    prepare_for_training(loaded)
    training = training or recipe.training
    prompts = Prompts(loaded.tokenizer, recipe.prompt_style, recipe.task.question, recipe.task.name)
    limit = recipe.data.max_text_tokens
    trimmed_rows = [
        row if limit is None else replace(row, text=prompts.trim(row.text, limit)) for row in rows
    ]
    trimmed = sum(row.text != other.text for row, other in zip(trimmed_rows, rows, strict=True))
    if trimmed:
        say(f"  {trimmed:,} of {len(rows):,} texts were trimmed to {limit} tokens")
    shown = TrainingSet(prompts, trimmed_rows, target, recipe.classifier, training, recipe.seed)
    ids, examples = zip(*shown.every(), strict=True) if rows else ((), ())
    checked = audit(examples, ids, prompts, training.max_length)
    say(f"  {checked['rows']:,} examples, {checked['tokens']:,} tokens; trained is what stands in ⟦ ⟧:")
    say(f"  {checked['example']!r}")
    card = ModelCard(
        labels=labels,
        target=target,
        question=recipe.task.question,
        name=recipe.task.name,
        prompt_style=recipe.prompt_style,
        max_text_tokens=limit or training.max_length,
        max_reasoning_tokens=recipe.classifier.max_reasoning_tokens
        or reasoning_budget(prompts, shown.reasonings()),
        lineage=lineage,
    )
    select = None
    if training.selection.steps is not None:
        if not validation:
            raise RecipeError(
                "training.selection looks at validation rows, and there are none.",
                fix="set data.validation or data.validation_fraction, or leave training.selection out",
            )
        select = partial(_selection, card, list(validation[: training.selection.rows]), training.selection)
    result = train(
        loaded,
        shown.epoch,
        training,
        seed=recipe.seed,
        checkpoints=checkpoints,
        title=title,
        select=select,
    )
    figures = {**asdict(result), "rows": len(rows), "examples_per_epoch": result.rows}
    return card, {**figures, "target": target, "texts_trimmed": trimmed, "audit": checked}


def _selection(
    card: ModelCard, rows: Sequence[Example], config: SelectionConfig, in_training: LoadedModel
) -> Selection:
    """Return how a model in training is looked at: by the accuracy of its labels on validation rows."""
    assert config.steps is not None
    texts = [(row.id, row.text) for row in rows]

    def accuracy() -> float:
        predictions = TrainedClassifier(in_training, card).predict(texts)
        right = sum(found.label == row.label for found, row in zip(predictions, rows, strict=True))
        return right / len(rows)

    return Selection(accuracy, config.steps, config.patience)


def reasoning_budget(prompts: Prompts, reasonings: Sequence[str]) -> int:
    """Return the tokens that a reasoning may take: the 99 % quantile of training and a quarter more."""
    lengths = [prompts.count(reasoning) for reasoning in reasonings]
    if not lengths:
        return 0
    return max(_BUDGET_LEAST, math.ceil(_BUDGET_FACTOR * float(np.quantile(lengths, _BUDGET_QUANTILE))))


def save_checked(
    loaded: LoadedModel, card: ModelCard, rows: Sequence[Example | ReasonedExample], folder: Path
) -> None:
    """Save the model, load it again from disk and let it predict five rows.

    Raises `ModelError` if what comes back is not what was trained: other probabilities, or only empty reasonings.
    """
    save(loaded, folder, card.to_json())
    texts = [(row.id, row.text) for row in rows[:_RELOADED_ROWS]]
    before = list(TrainedClassifier(loaded, card).predict(texts))
    dtype = str(loaded.model.dtype).removeprefix("torch.")
    reloaded = TrainedClassifier.from_folder(folder, device=str(loaded.device), dtype=dtype)
    after = list(reloaded.predict(texts))
    same = all(
        first.reasoning == second.reasoning
        and np.allclose(first.probabilities, second.probabilities, atol=1e-4)
        for first, second in zip(before, after, strict=True)
    )
    if not same:
        raise ModelError("The saved model predicts otherwise than the trained one.", where=str(folder))
    if card.mode == "reasoned" and not any(prediction.reasoning for prediction in after):
        raise ModelError(
            "The trained model writes only empty reasonings.",
            where=str(folder),
            fix="train longer, or look at augment/train.parquet",
        )
