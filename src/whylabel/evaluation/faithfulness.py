"""Is the reasoning used? What becomes of the label where the reasoning before it is cut, spoilt or exchanged.

A label that stays whatever stands before it does not rest on its reasoning; one that goes where the reasoning goes
reads it (Lanham et al. 2023, arXiv 2307.13702; Turpin et al. 2023, arXiv 2305.04388). Neither says that a reasoning
is right, nor that it says all that the label rests on. So there are figures and no score.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from whylabel.evaluation.bootstrap import Floats, Interval, percentile_intervals
from whylabel.evaluation.metrics import wilson_interval
from whylabel.evaluation.predictions import PredictionRow
from whylabel.evaluation.quality import Share, share_of
from whylabel.evaluation.simulatability import Simulatability
from whylabel.reasonings.controls import controlled
from whylabel.text.labels import LabelSet
from whylabel.text.stretches import words
from whylabel.types import Control, ReasonedExample

LogP = Callable[[Sequence[str], Sequence[str]], Floats]
"""From texts, and a reasoning for each, to log p of every label after it, shape (texts, labels); NaN if it failed."""
Argue = Callable[[Sequence[str], Sequence[str]], Sequence[str | None]]
"""From texts, and a label for each, to a reasoning that argues for it; None if it failed."""
Use = Literal["hardly", "follows", "in part", "unclear"]
"""What the figures say of the reasoning's use: see `use_of`."""

SHARES = (0.0, 0.25, 0.5, 0.75)
"""The shares of a reasoning, in words, after which the label is asked early; 0 is a blank reasoning."""
MOST_RIVALS = 5
"""Other labels that are argued for about a text, at most: the most probable ones."""
HARDLY = 0.1
"""The label hardly rests on what the reasoning says if surely fewer labels than this share change with it."""
FOLLOWS = 0.5
"""The label follows the reasoning if surely more labels than this share go where another reasoning argues."""

_SAMPLES = 10_000
_SPOILT: tuple[Control, ...] = ("shuffled_words", "filler")


@dataclass(frozen=True, slots=True)
class Intervention:
    """What becomes of the labels if something is done to the reasonings of `n` texts.

    `changed`: labels that are not those after the whole reasoning. `right`: gold labels. `lost`: by how much the
    probability of the label after the whole reasoning falls, mean, with a bootstrap interval over texts. `follows`:
    labels that became those that the other reasoning stands for, None where it stands for none.

    Of several reasonings about a text each counts; `n` is that of the texts, and the intervals take the reasonings of
    a text for one.
    """

    n: int
    changed: Share
    right: Share
    lost: float
    lost_ci95: Interval
    follows: Share | None = None


@dataclass(frozen=True, slots=True)
class Faithfulness:
    """The figures of a sample of `n` reasonings of one mode; the label is the one after the reasoning.

    `right` is after the whole reasoning, `early` after a share of its words. Interventions by name: `another_text`,
    the reasoning of another text with the same label; `another_label`, with another; `shuffled_words`; `filler`;
    `argued`, one that a reasoner has written about the text for each of up to `MOST_RIVALS` other labels. `agreement`
    counts the test rows that fast and reasoned label alike. Figures that could not be had are None or left out.
    """

    mode: str
    n: int
    right: Share
    early: dict[str, Intervention]
    interventions: dict[str, Intervention]
    agreement: Share | None = None
    simulatability: Simulatability | None = None


@dataclass
class _Changed:
    """A reasoning put in the place of that of the row at `place`; it stands for the label `towards`, or for none."""

    place: int
    reasoning: str
    towards: int | None = None


@dataclass
class _Measured:
    """The sample, its labels after the whole reasoning, and what is read after others."""

    rows: Sequence[PredictionRow]
    labels: LabelSet
    read: LogP
    seed: int
    gold: NDArray[np.int64] = field(init=False)
    whole: Floats = field(init=False)
    """Log p of every label after the whole reasoning."""

    def __post_init__(self) -> None:
        texts, reasonings = zip(*((row.text, _reasoning(row)) for row in self.rows), strict=True)
        self.whole = self.read(texts, reasonings)
        scored = _scored(self.whole)
        self.rows = [self.rows[place] for place in scored]
        self.whole = self.whole[scored]
        self.gold = np.array([self.labels.index(row.gold) for row in self.rows], dtype=np.int64)

    @property
    def said(self) -> NDArray[np.int64]:
        """The label after the whole reasoning."""
        return np.asarray(self.whole.argmax(axis=1))

    def after(self, changed: Sequence[_Changed]) -> Intervention | None:
        """Return what becomes of the labels; None if nothing could be read."""
        if not changed:
            return None
        found = self.read(
            [self.rows[each.place].text for each in changed], [each.reasoning for each in changed]
        )
        scored = _scored(found)
        if not scored:
            return None
        places = np.array([changed[at].place for at in scored])
        towards = np.array([-1 if changed[at].towards is None else changed[at].towards for at in scored])
        log_p = found[scored]
        said, label = log_p.argmax(axis=1), self.said[places]
        lost = np.exp(self.whole[places, label]) - np.exp(log_p[np.arange(len(scored)), label])
        mean, interval = _mean(lost, places, self.seed)
        texts = len(set(places.tolist()))
        return Intervention(
            n=texts,
            changed=_share(said != label, texts),
            right=_share(said == self.gold[places], texts),
            lost=mean,
            lost_ci95=interval,
            follows=_share(said == towards, texts) if (towards >= 0).all() else None,
        )


def measure(
    sample: Sequence[PredictionRow],
    others: Sequence[PredictionRow],
    labels: LabelSet,
    read: LogP,
    argue: Argue,
    seed: int,
) -> Faithfulness | None:
    """Return the figures of a sample of predictions with reasonings, of one mode; None if nothing could be read.

    `others` are predictions whose reasonings are exchanged for those of the sample. Each stands for the label after
    it, which in mode `reasoned` is that of the prediction; in `blend` and `vote` it need not be, so that there the
    reasonings of the sample are exchanged among themselves.
    """
    if not sample:
        return None
    measured = _Measured(sample, labels, read, seed)
    if not measured.rows:
        return None
    right = measured.said == measured.gold
    lent = [(row, labels.index(row.prediction.label)) for row in others]
    if sample[0].prediction.mode != "reasoned":
        lent = list(zip(measured.rows, map(int, measured.said), strict=True))
    found: dict[str, list[_Changed]] = {
        **_swapped(measured, lent, random.Random(f"{seed}-swapped")),
        **{control: _spoilt(measured, control) for control in _SPOILT},
        "argued": _argued(measured, argue),
    }
    return Faithfulness(
        mode=sample[0].prediction.mode,
        n=len(measured.rows),
        right=share_of(int(right.sum()), len(right)),
        early=_known({f"{share:g}": measured.after(_cut(measured, share)) for share in SHARES}),
        interventions=_known({name: measured.after(changed) for name, changed in found.items()}),
    )


def use_of(found: Faithfulness) -> Use:
    """Return what the figures say of the reasoning's use, by the 95 % intervals.

    Only whole reasonings that stand for another label decide: what is cut or spoilt has a form that the model has
    never seen, and may change a label by that alone. `hardly`: fewer than `HARDLY` of the labels change after such a
    reasoning. `follows`: more than `FOLLOWS` become the label that is argued for (else: that of the other text).
    `in part`: more than `HARDLY` change. `unclear`: too few rows to tell, or nothing stands for other labels.
    """
    done = found.interventions
    exchanged = [done[name] for name in ("argued", "another_label") if name in done]
    if not exchanged:
        return "unclear"
    if all(each.changed.ci95[1] < HARDLY for each in exchanged):
        return "hardly"
    follows = exchanged[0].follows
    if follows is not None and follows.ci95[0] > FOLLOWS:
        return "follows"
    return "in part" if any(each.changed.ci95[0] > HARDLY for each in exchanged) else "unclear"


def _cut(measured: _Measured, share: float) -> list[_Changed]:
    found = []
    for place, row in enumerate(measured.rows):
        reasoning = _reasoning(row)
        stretches = words(reasoning)
        count = round(share * len(stretches))
        found.append(_Changed(place, reasoning[: stretches[count - 1][1]] if count else ""))
    return found


def _spoilt(measured: _Measured, control: Control) -> list[_Changed]:
    rows = [
        ReasonedExample(row.prediction.id, row.text, row.prediction.label, _reasoning(row))
        for row in measured.rows
    ]
    return [
        _Changed(place, row.reasoning) for place, row in enumerate(controlled(rows, control, measured.seed))
    ]


def _swapped(
    measured: _Measured, lent: Sequence[tuple[PredictionRow, int]], draw: random.Random
) -> Mapping[str, list[_Changed]]:
    """Return the reasonings of other texts, each lent with the place of the label that it stands for.

    A text for which there is none with such a label is left out.
    """
    by_label: dict[int, list[PredictionRow]] = {}
    for row, label in lent:
        by_label.setdefault(label, []).append(row)
    found: dict[str, list[_Changed]] = {"another_text": [], "another_label": []}
    for place, row in enumerate(measured.rows):
        own = int(measured.said[place])
        same = [other for other in by_label.get(own, ()) if other.text != row.text]
        if same:
            found["another_text"].append(_Changed(place, _reasoning(draw.choice(same)), own))
        others_of = {
            label: [other for other in rows if other.text != row.text] for label, rows in by_label.items()
        }
        different = sorted(label for label, rows in others_of.items() if rows and label != own)
        if different:
            label = draw.choice(different)
            found["another_label"].append(_Changed(place, _reasoning(draw.choice(others_of[label])), label))
    return found


def _argued(measured: _Measured, argue: Argue) -> list[_Changed]:
    """Return for each text a reasoning for each of its most probable other labels; failed ones are left out."""
    order = np.argsort(-measured.whole, axis=1, kind="stable")[:, 1 : MOST_RIVALS + 1]
    pairs = [(place, int(rival)) for place, rivals in enumerate(order) for rival in rivals]
    argued = argue(
        [measured.rows[place].text for place, _ in pairs],
        [measured.labels.names[rival] for _, rival in pairs],
    )
    return [
        _Changed(place, reasoning, rival)
        for (place, rival), reasoning in zip(pairs, argued, strict=True)
        if reasoning is not None
    ]


def _scored(log_p: Floats) -> list[int]:
    """Return the places of the texts for which log p is known."""
    return [place for place, row in enumerate(log_p) if np.isfinite(row).all()]


def _reasoning(row: PredictionRow) -> str:
    return row.prediction.reasoning or ""


def _known(found: Mapping[str, Intervention | None]) -> dict[str, Intervention]:
    return {name: each for name, each in found.items() if each is not None}


def _share(holds: NDArray[np.bool_], texts: int) -> Share:
    """Return a share of reasonings about so many texts. For its interval, those about a text count as one."""
    share = float(holds.mean())
    interval = wilson_interval(round(share * texts), texts)
    return Share(int(holds.sum()), len(holds), share, interval)


def _mean(values: Floats, places: NDArray[np.int64], seed: int) -> tuple[float, Interval]:
    """Return the mean of values about texts, and its interval over resampled texts."""
    _, text = np.unique(places, return_inverse=True)
    sums, counts = np.bincount(text, weights=values), np.bincount(text).astype(float)

    def mean(weights: Floats) -> Floats:
        return np.asarray((weights @ sums) / (weights @ counts))[:, None]

    (interval,) = percentile_intervals(np.ones(len(sums), dtype=np.int64), mean, _SAMPLES, seed)
    return float(values.mean()), interval
