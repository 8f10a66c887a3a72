"""The evaluation: floors, scores of every model, and the paired comparison, computed from predictions only."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import chain
from typing import Any, Protocol

from whylabel.errors import DataError, unknown_name
from whylabel.evaluation.best import Best, best_of, corrected_p, difference_of, main_score
from whylabel.evaluation.floors import FLOORS, Floor, learnt
from whylabel.evaluation.metrics import in_test_order, score
from whylabel.evaluation.paired import compare_pair
from whylabel.evaluation.predictions import PredictionRow, PredictionRows
from whylabel.evaluation.quality import ReasoningQuality, quality_by_mode
from whylabel.evaluation.stored import StoredPredictions
from whylabel.recipe import EvaluationConfig
from whylabel.text.labels import LabelSet
from whylabel.types import Example, Mode, Prediction

MODELS = ("baseline", "classifier")


class Score(Protocol):
    """One model on the test rows, a dataclass of plain values."""

    @property
    def mode(self) -> Mode:
        """The mode in which the model answered."""


@dataclass(frozen=True, slots=True)
class Measures:
    """The measures for one type of task: floors, the score of one model, and the comparison of two models.

    `score` and `compare` have the parameters of `metrics.score` and `paired.compare_pair`.
    """

    floors: Mapping[str, Floor]
    score: Callable[..., Score]
    compare: Callable[..., object]
    learnt: Callable[..., Sequence[Prediction]]
    """Predictions of a simple model, with the parameters of `floors.learnt`."""


SINGLE_LABEL = Measures(FLOORS, score, compare_pair, learnt)


@dataclass(frozen=True, slots=True)
class Evaluation:
    """All scores on the test rows; `predictions` are those behind them by model and mode, floors included.

    `classifier` is the score in the default mode; `modes` has the scores of all evaluated modes, including the
    default. `baseline`, `classifier` and `paired` are None if a model was not evaluated. `reasonings` has the modes
    that wrote any. `rivals` are other models that learnt from the same rows; `best` is the best of all.
    """

    labels: tuple[str, ...]
    baseline: Score | None
    classifier: Score | None
    modes: dict[Mode, Score]
    floors: dict[str, Score]
    paired: object | None
    reasonings: dict[Mode, ReasoningQuality]
    rivals: dict[str, Score]
    best: Best | None
    predictions: dict[tuple[str, Mode], PredictionRows]

    @property
    def rows(self) -> Iterator[PredictionRow]:
        """All predictions, one model and mode after the other."""
        return chain.from_iterable(self.predictions.values())

    def to_json(self) -> dict[str, Any]:
        """Return the content of `evaluation/metrics.json`: JSON values, without the predictions."""
        return {
            name: _to_json(getattr(self, name))
            for name in (
                *("labels", "baseline", "classifier", "modes", "floors", "paired", "reasonings"),
                *("rivals", "best"),
            )
        }


def evaluate(
    test: Sequence[Example],
    train: Sequence[Example],
    label_set: LabelSet,
    models: Mapping[str, Sequence[Prediction]],
    config: EvaluationConfig,
    seed: int,
    *,
    modes: Mapping[Mode, Sequence[Prediction]] | None = None,
    measures: Measures = SINGLE_LABEL,
    rivals: Mapping[str, Sequence[Prediction]] | None = None,
) -> Evaluation:
    """Score `models` (`baseline`, `classifier` or both) and the floors, and compare the two models by row.

    `modes` are the classifier's predictions in every mode; by default only those in `models`.
    `rivals` are the predictions of other models by name.
    Without train rows there are no floors. Raises `DataError` if a model's ids differ from those of the test rows.
    """
    for name in models:
        if name not in MODELS:
            raise DataError(unknown_name("model", name, MODELS))
    floors: dict[str, Sequence[Prediction]] = {
        name: StoredPredictions(measures.floors[name](train, test, label_set, seed))
        for name in config.floors
        if train
    }
    samples = config.bootstrap_samples
    given = {**floors, **(rivals or {}), **models}
    ordered = {name: in_test_order(test, rows) for name, rows in given.items()}
    scores = {
        name: measures.score(test, rows, label_set, bootstrap_samples=samples, seed=seed)
        for name, rows in ordered.items()
    }
    classifier = scores.get("classifier")
    by_mode = {} if classifier is None else {classifier.mode: classifier}
    others = {mode: in_test_order(test, rows) for mode, rows in (modes or {}).items() if mode not in by_mode}
    by_mode |= {
        mode: measures.score(test, rows, label_set, bootstrap_samples=samples, seed=seed)
        for mode, rows in others.items()
    }

    def compared(base: Sequence[Prediction], other: Sequence[Prediction]) -> object:
        return measures.compare(test, base, other, label_set, bootstrap_samples=samples, seed=seed)

    paired = None
    if all(name in models for name in MODELS):
        paired = compared(ordered["baseline"], ordered["classifier"])
    said = {(name, scores[name].mode): found for name, found in ordered.items()}
    said |= {("classifier", mode): found for mode, found in others.items()}
    predictions = {key: PredictionRows(key[0], test, found) for key, found in said.items()}
    return Evaluation(
        labels=label_set.names,
        baseline=scores.get("baseline"),
        classifier=classifier,
        modes=by_mode,
        floors={name: scores[name] for name in floors},
        paired=paired,
        reasonings=quality_by_mode(predictions, label_set.names),
        rivals={name: scores[name] for name in rivals or ()},
        best=_best(test, scores, by_mode, ordered, others, compared),
        predictions=predictions,
    )


def _best(
    test: Sequence[Example],
    scores: Mapping[str, Score],
    by_mode: Mapping[Mode, Score],
    ordered: Mapping[str, Sequence[Prediction]],
    others: Mapping[Mode, Sequence[Prediction]],
    compared: Callable[[Sequence[Prediction], Sequence[Prediction]], object],
) -> Best | None:
    """Return the best of all; `ordered` are the predictions by model, `others` the classifier's by further mode."""
    every = {(name, score.mode): score for name, score in scores.items()}
    every |= {("classifier", mode): score for mode, score in by_mode.items()}
    ours = next((name for name in ("classifier", "baseline") if name in scores), None)
    if ours is None or len(every) < 2:
        return None
    model, mode = best_of(every)
    best = Best(model, mode, main_score(every[model, mode]), len(every), ours)
    if (model, mode) == (ours, scores[ours].mode):
        return best
    said = {(name, scores[name].mode): rows for name, rows in ordered.items() if name != ours}
    said |= {("classifier", each): rows for each, rows in others.items()}
    found = replace(best, **difference_of(compared(ordered[ours], said[model, mode])))
    if found.mcnemar_p is None:
        return found
    return replace(found, p_holm=corrected_p(test, ordered[ours], said)[model, mode])


def _to_json(value: Any) -> Any:
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        return {field.name: _to_json(getattr(value, field.name)) for field in dataclasses.fields(value)}
    if isinstance(value, Mapping):
        return {name: _to_json(item) for name, item in value.items()}
    if isinstance(value, tuple | list):
        return [_to_json(item) for item in value]
    return value
