"""Ask an export the same as the model that it was made from, through token ids, and compare the answers.

A label that changes although the model was not in two minds about it is an error of the export. All else is counted
and shown: how far scores and probabilities differ, whether reasonings are the same, and whether the runtime's own
tokenizer reads texts as the model's does.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from whylabel.engines.base import Sampling
from whylabel.engines.transformers import TransformersEngine
from whylabel.export.runtime import Ids, Runtime
from whylabel.host.progress import progress
from whylabel.prediction.card import REASONS, ModelCard
from whylabel.prediction.multi_label import DEFAULT_THRESHOLD
from whylabel.prediction.scoring import LabelScorer
from whylabel.text.prompts import Prompt, Prompts
from whylabel.types import Mode

if TYPE_CHECKING:
    from whylabel.prediction.trained import TrainedClassifier

    Floats = NDArray[np.float64]

CLEAR_MARGIN = 0.05
"""A label that changes is an error if the model gives it this much more probability than the export's label."""

_ROWS_AT_ONCE = 8


@dataclass(frozen=True, slots=True)
class Change:
    """A row whose label is another one in the export; `margin` is how much less probable the model finds it."""

    id: str
    mode: Mode
    label: str
    exported_label: str
    margin: float

    @property
    def is_clear(self) -> bool:
        """Whether the model was not in two minds about it."""
        return not self.margin < CLEAR_MARGIN


@dataclass(frozen=True, slots=True)
class ModeParity:
    """The comparison in one mode: rows, and the largest differences of any label's log-score and probability."""

    mode: Mode
    rows: int
    same_labels: int
    log_score_difference: float
    probability_difference: float


@dataclass(frozen=True, slots=True)
class Parity:
    """The whole comparison. `reasonings` and `texts` are (same, compared), None where nothing could be compared."""

    modes: tuple[ModeParity, ...]
    changes: tuple[Change, ...]
    reasonings: tuple[int, int] | None = None
    texts: tuple[int, int] | None = None

    @property
    def clear_changes(self) -> tuple[Change, ...]:
        """The changes that make an export wrong."""
        return tuple(change for change in self.changes if change.is_clear)

    def to_json(self) -> dict[str, Any]:
        """Return the content of `parity.json`."""
        return {"clear_margin": CLEAR_MARGIN, **asdict(self)}

    def lines(self) -> list[str]:
        """Return the comparison in words, a line each."""
        found = [
            f"{one.mode}: {one.same_labels} of {one.rows} labels are the same; the largest difference is "
            f"{one.log_score_difference:.2g} in log p, {one.probability_difference:.2g} in probability"
            for one in self.modes
        ]
        if self.reasonings is not None:
            found.append("reasonings: {} of {} are the same".format(*self.reasonings))
        if self.texts is not None:
            found.append("texts: {} of {} become the same tokens in its own tokenizer".format(*self.texts))
        found += [
            f"row {change.id}, {change.mode}: {change.label!r} has become {change.exported_label!r}, "
            f"margin {change.margin:.3f}{'' if change.is_clear else ' (nearly equal for the model)'}"
            for change in self.changes
        ]
        return found


def compare(model: TrainedClassifier, runtime: Runtime, rows: Sequence[tuple[str, str]]) -> Parity:
    """Compare an export with its model on rows (id, text), which the model can read as they are."""
    card, prompts = model.card, model.prompts
    texts = [text for _, text in rows]
    continuations = continuations_of(card, prompts)
    scorer = LabelScorer(model.loaded, continuations)
    asked, reasonings = _asked(model, runtime, texts)
    modes: list[ModeParity] = []
    changes: list[Change] = []
    for mode, ids in asked.items():
        with progress(f"compare, {mode}", total=len(ids)) as bar:
            expected, found = [], []
            for start in range(0, len(ids), _ROWS_AT_ONCE):
                chunk = ids[start : start + _ROWS_AT_ONCE]
                expected.append(scorer.log_scores(chunk))
                found.append(runtime.log_scores(chunk, continuations))
                bar.advance(len(chunk))
        one = _of_mode(card, mode, np.concatenate(expected), np.concatenate(found))
        modes.append(one[0])
        changes += [
            Change(rows[place][0], mode, label, other, margin) for place, label, other, margin in one[1]
        ]
    read = [(runtime.tokenized(text), prompts.tokens(text)) for text in texts]
    known = [found == expected for found, expected in read if found is not None]
    return Parity(tuple(modes), tuple(changes), reasonings, (sum(known), len(known)) if known else None)


def continuations_of(card: ModelCard, prompts: Prompts) -> list[list[int]]:
    """Return what is scored after a prompt: the labels, or yes and no of every decision in turn."""
    if card.multi_label is not None:
        answers = [prompts.decision_answer(yes) for yes in (True, False)]
        questions = [prompts.decision_question(name) for name in card.labels.names]
        return [[*question, *answer] for question in questions for answer in answers]
    return [prompts.label_ids(name, card.label_form) for name in card.labels.names]


def _asked(
    model: TrainedClassifier, runtime: Runtime, texts: Sequence[str]
) -> tuple[dict[Mode, list[Ids]], tuple[int, int] | None]:
    """Return the prompts before the labels, by mode, and how many reasonings are the same.

    After a reasoning, the label is asked of both behind the model's own.
    """
    card, prompts = model.card, model.prompts
    asked: dict[Mode, list[Ids]] = {}
    if card.multi_label is not None:
        asked["fast"] = [prompts.decision_prefix(text) for text in texts]
    elif "fast" in card.modes:
        asked["fast"] = [prompts.classifier(text, card.label_form) for text in texts]
    if not set(card.modes) & set(REASONS):
        return asked, None
    sampling = Sampling(card.max_reasoning_tokens, tuple(sorted(prompts.stop_ids)))
    before = [Prompt(prompts.classifier(text, "reasoning_label")) for text in texts]
    written = _written_by_model(model, before, sampling)
    usable = [place for place, reasoning in enumerate(written) if reasoning is not None]
    if usable:
        asked["reasoned"] = [prompts.after_reasoning(texts[place], written[place] or "") for place in usable]
    found: list[list[int]] = []
    with progress("write them there", total=len(before)) as bar:
        for start in range(0, len(before), _ROWS_AT_ONCE):
            chunk = [prompt.ids for prompt in before[start : start + _ROWS_AT_ONCE]]
            more = runtime.write(chunk, sampling)
            found += more
            bar.advance(len(chunk), sum(map(len, more)))
    decoded = [str(prompts.tokenizer.decode(ids, skip_special_tokens=True)).strip() for ids in found]
    return asked, (sum(one == other for one, other in zip(written, decoded, strict=True)), len(texts))


def _written_by_model(
    model: TrainedClassifier, before: Sequence[Prompt], sampling: Sampling
) -> list[str | None]:
    written: list[str | None] = [None] * len(before)
    with progress("write reasonings", total=len(before)) as bar:
        for completion in TransformersEngine(model.loaded).generate(before, sampling):
            written[completion.index] = completion.text if completion.finish != "error" else None
            bar.advance(1, completion.tokens)
    return written


def _of_mode(
    card: ModelCard, mode: Mode, expected: Floats, found: Floats
) -> tuple[ModeParity, list[tuple[int, str, str, float]]]:
    """Return the comparison in a mode, and (row, label, label of the export, margin) of each label that changed."""
    log_scores = float(np.abs(expected - found).max())
    if card.multi_label is not None:
        expected, found = (scores[:, 0::2] - scores[:, 1::2] for scores in (expected, found))
    changes = []
    differences = []
    for place, (one, other) in enumerate(zip(expected, found, strict=True)):
        label, probabilities = card.answer(mode, one)
        exported, exported_probabilities = card.answer(mode, other)
        differences.append(np.abs(probabilities - exported_probabilities).max())
        if not np.isfinite(other).all():
            changes.append((place, label, "no answer", np.inf))
        elif label != exported:
            changes.append((place, label, exported, _margin(card, probabilities, label, exported)))
    return (
        ModeParity(mode, len(expected), len(expected) - len(changes), log_scores, float(max(differences))),
        changes,
    )


def _margin(card: ModelCard, probabilities: Floats, label: str, exported: str) -> float:
    """Return by how much the model prefers its label to that of the export.

    Of several decisions it is the surest that was changed: how far its probability is from its threshold.
    """
    names = card.labels
    if card.multi_label is None:
        return float(probabilities[names.index(label)] - probabilities[names.index(exported)])
    limits = np.array(card.multi_label.thresholds or (DEFAULT_THRESHOLD,) * len(names))
    decided = card.multi_label.separator.matrix([label, exported], names)
    changed = decided[0] != decided[1]
    return float(np.abs(probabilities - limits)[changed].max())
