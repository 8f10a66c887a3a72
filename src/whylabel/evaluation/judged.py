"""What models say of a sample of the reasonings: figures from their judgements, which are made elsewhere.

Three questions: is a reasoning as fluent as those that the classifier was trained on? Does it lead a model that has
not learnt to label to the label beside it? And does it quote what the label rests on?
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np

from whylabel.evaluation.quality import Share, share_of
from whylabel.text.quotes import find, quotations
from whylabel.text.stretches import Stretch
from whylabel.types import Evidence

SHARE_BELOW = 0.05
"""The share of the training reasonings that are less fluent than the limit, by its definition."""


@dataclass(frozen=True, slots=True)
class Quoted:
    """How many characters of a text are quoted; `inside`: of these, those that are evidence.

    `by_chance`: how many would be evidence on average if each quotation stood at any other place of the text.
    """

    characters: int
    inside: int
    by_chance: float


@dataclass(frozen=True, slots=True)
class Judgement:
    """What models say of one reasoning: `fluency` and `margin` are in nats (see `JudgedQuality`)."""

    fluency: float
    margin: float
    quoted: Quoted | None


@dataclass(frozen=True, slots=True)
class FluencyFigures:
    """Mean log-probability of a reasoning's tokens under the base model: medians of `n` predictions and of training.

    `limit` is what 5 % of the training reasonings do not reach, `below` the predictions that do not reach it.
    """

    median: float
    training_n: int
    training_median: float
    limit: float
    below: Share


@dataclass(frozen=True, slots=True)
class SupportFigures:
    """The verifier's margin of the label beside a reasoning; where it is above 0, the reasoning leads there."""

    positive: Share
    mean_margin: float


@dataclass(frozen=True, slots=True)
class OverlapFigures:
    """The share of quoted characters that are evidence, over the `rows` with both a quotation and evidence."""

    rows: int
    characters: int
    inside: float
    by_chance: float


@dataclass(frozen=True, slots=True)
class JudgedQuality:
    """The figures of `n` reasonings of one mode, drawn with the seed; a figure without a row is None."""

    mode: str
    n: int
    fluency: FluencyFigures | None
    support: SupportFigures
    overlap: OverlapFigures | None


def judged_quality(
    mode: str, judgements: Sequence[Judgement], training_fluencies: Sequence[float]
) -> JudgedQuality:
    """Return the figures of judgements, of which there is at least one."""
    fluencies, margins = (
        np.array([getattr(each, name) for each in judgements]) for name in ("fluency", "margin")
    )
    n = len(judgements)
    fluency = None
    if training_fluencies:
        limit = float(np.quantile(training_fluencies, SHARE_BELOW))
        fluency = FluencyFigures(
            median=float(np.median(fluencies)),
            training_n=len(training_fluencies),
            training_median=float(np.median(training_fluencies)),
            limit=limit,
            below=share_of(int((fluencies < limit).sum()), n),
        )
    support = SupportFigures(share_of(int((margins > 0).sum()), n), float(margins.mean()))
    return JudgedQuality(mode, n, fluency, support, _overlap(judgements))


def quoted_evidence(reasoning: str, text: str, evidence: Iterable[Evidence]) -> Quoted | None:
    """Return how much of what a reasoning quotes of its text is evidence; None without such a quotation or evidence.

    The chance of a quotation is the mean over all places in the text at which as many characters could stand.
    """
    found = quoted_stretches(reasoning, text)
    is_evidence = _marked(text, [(each.start, each.end) for each in evidence])
    if not found or not is_evidence.any():
        return None
    is_quoted = _marked(text, found)
    characters = int(is_quoted.sum())
    before = np.concatenate([[0], np.cumsum(is_evidence)])
    shares = [
        float((before[size:] - before[:-size]).mean()) / size
        for size in (end - start for start, end in found)
    ]
    lengths = [end - start for start, end in found]
    return Quoted(
        characters,
        int((is_quoted & is_evidence).sum()),
        characters * float(np.average(shares, weights=lengths)),
    )


def quoted_stretches(reasoning: str, text: str) -> list[Stretch]:
    """Return where the text says what a reasoning quotes; quotations that it does not say are left out."""
    return [place for quotation in quotations(reasoning) if (place := find(quotation, text)) is not None]


def _marked(text: str, stretches: Iterable[Stretch]) -> np.ndarray[tuple[int], np.dtype[np.bool_]]:
    marked = np.zeros(len(text), dtype=bool)
    for start, end in stretches:
        marked[start:end] = True
    return marked


def _overlap(judgements: Sequence[Judgement]) -> OverlapFigures | None:
    quoted = [each.quoted for each in judgements if each.quoted is not None]
    characters = sum(each.characters for each in quoted)
    if not characters:
        return None
    return OverlapFigures(
        rows=len(quoted),
        characters=characters,
        inside=sum(each.inside for each in quoted) / characters,
        by_chance=sum(each.by_chance for each in quoted) / characters,
    )
