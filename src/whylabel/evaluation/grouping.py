"""What test rows have in common: the groups that models are compared within."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping, Sequence

import numpy as np

from whylabel.evaluation.bootstrap import Floats, Ints
from whylabel.evaluation.predictions import PredictionRow
from whylabel.evaluation.slices import Groups
from whylabel.prediction.calibration import margins
from whylabel.text.labels import LabelSet
from whylabel.text.several_labels import Separator
from whylabel.text.stretches import sentences
from whylabel.text.words import count_words
from whylabel.types import Mode

COLUMN = "column:"
"""What stands before the name of a column that is called like a kind of group."""
KINDS = ("label", "length", "margin", "suspects", "steps")
"""The kinds of groups that every data set has, if its model answers so: by gold label, words of the text, margin of
the answer at once, labels that look wrong, and sentences of the reasoning."""
MISSING, OTHERS = "(missing)", "(all others)"
MOST_VALUES = 20
"""Values of a column that get a group of their own; the rarer ones are one group."""

_AT_ONCE: tuple[tuple[str, Mode], ...] = (("classifier", "fast"), ("baseline", "fast"))
_MOST_NUMBERS = 8
_MOST_STEPS = 4
_MOST_DIGITS = 6

Predictions = Mapping[tuple[str, Mode], Sequence[PredictionRow]]
"""The predictions of each model in each mode, in the order of the test rows."""


def column_of(name: str) -> str | None:
    """Return the column of the data that a name in `evaluation.slices` means; None for a kind of group."""
    return None if name in KINDS else name.removeprefix(COLUMN)


def groups_of(
    names: Sequence[str],
    predictions: Predictions,
    default: Mode,
    labels: LabelSet,
    separator: Separator | None,
    cells: Mapping[str, Sequence[str | None]],
) -> dict[str, Groups]:
    """Return the groups by every name in `evaluation.slices`, without those that cannot be told or are all rows.

    `default` is the classifier's default mode; `separator` stands between the labels of a text, None if it has one.
    `cells` are the test rows' cells in each column that is named, as texts, None where there is none.
    """
    rows = predictions[("classifier", default)]
    gold = [row.gold for row in rows]
    made: dict[str, Callable[[], Groups]] = {
        "label": lambda: by_label(gold, labels, separator),
        "length": lambda: by_thirds([count_words(row.text) for row in rows], "words"),
        "margin": lambda: {} if separator else by_margin(predictions, len(labels)),
        "suspects": lambda: {} if separator else by_suspicion(predictions, default, labels),
        "steps": lambda: by_steps(predictions),
    }
    found = {
        name: made[name]() if column is None else by_cells(cells[column])
        for name, column in ((name, column_of(name)) for name in dict.fromkeys(names))
    }
    # A single group is all rows, of which the comparison itself tells.
    return {name: groups for name, groups in found.items() if sum(map(bool, groups.values())) > 1}


def by_label(gold: Sequence[str], labels: LabelSet, separator: Separator | None) -> Groups:
    """Return the rows of each gold label, in label order; a text with several labels is in several groups."""
    held = [separator.split(label) if separator else (label,) for label in gold]
    groups: dict[str, list[int]] = {name: [] for name in labels.names}
    for place, names in enumerate(held):
        for name in names:
            groups[name].append(place)
    none = [place for place, names in enumerate(held) if not names]
    return {**groups, **({"(none)": none} if none else {})}


def by_thirds(values: Sequence[float], unit: str = "", digits: int = 0) -> Groups:
    """Return the rows with small, medium and large values: thirds, as far as equal values can be kept together."""
    numbers = np.asarray(values, dtype=float)
    known = np.flatnonzero(np.isfinite(numbers))
    missing = np.flatnonzero(~np.isfinite(numbers)).tolist()
    groups: dict[str, list[int]] = {}
    if len(known):
        limits = np.quantile(numbers[known], [1 / 3, 2 / 3])
        third = np.searchsorted(limits, numbers[known], side="left")
        parts = [known[third == number] for number in range(3) if (third == number).any()]
        names = [_range(numbers[part], unit, digits) for part in parts]
        while len(set(names)) < len(names) and digits < _MOST_DIGITS:
            digits += 1
            names = [_range(numbers[part], unit, digits) for part in parts]
        for name, part in zip(names, parts, strict=True):
            groups.setdefault(name, []).extend(part.tolist())
    return {**groups, **({MISSING: missing} if missing else {})}


def by_margin(predictions: Predictions, labels: int) -> Groups:
    """Return the rows by the margin at once, best minus second best, of the mean of classifier and baseline.

    The margin of one of the two would favour it where it is sure, even if both were equally good. A row that has
    failed in one of them has no margin.
    """
    sides = [predictions[key] for key in _AT_ONCE if key in predictions]
    found = [
        float(margins(np.log(np.mean([_positive(row) for row in rows], axis=0))))
        if all(len(row.prediction.probabilities) == labels for row in rows)
        else np.nan
        for rows in zip(*sides, strict=True)
    ]
    return by_thirds(found, digits=2) if found else {}


def by_suspicion(predictions: Predictions, default: Mode, labels: LabelSet) -> Groups:
    """Return the rows whose gold label looks wrong, and the others.

    It looks wrong where it does so to each of the models, by confident learning. A row on which they differ is among
    the others: were the surer one to decide, the rows on which it errs would count as wrong labels.
    """
    models = (predictions.get(("baseline", "fast"), ()), predictions[("classifier", default)])
    sides = [side for side in models if side]
    known = [
        place
        for place in range(len(sides[-1]))
        if all(len(side[place].prediction.probabilities) == len(labels) for side in sides)
    ]
    if not known:
        return {}
    gold = np.array([labels.index(sides[-1][place].gold) for place in known])
    probabilities = [np.array([side[place].prediction.probabilities for place in known]) for side in sides]
    suspect = np.all([suspects(gold, values) for values in probabilities], axis=0)
    return {
        "label looks wrong": [place for place, flag in zip(known, suspect, strict=True) if flag],
        "label looks right": [place for place, flag in zip(known, suspect, strict=True) if not flag],
    }


def suspects(gold: Ints, probabilities: Floats) -> Ints:
    """Return which labels look wrong: those off the diagonal of the confident joint.

    A label is possible for a row if its probability reaches the mean probability that it has among the rows that
    bear it. A row whose most probable possible label is another than its own looks wrong (Northcutt et al. 2021,
    arXiv 1911.00068, equation 1).
    """
    counts = np.bincount(gold, minlength=probabilities.shape[1])
    sums = np.zeros(probabilities.shape[1])
    np.add.at(sums, gold, probabilities[np.arange(len(gold)), gold])
    limits = np.divide(sums, counts, out=np.full_like(sums, np.inf), where=counts > 0)
    possible = np.where(probabilities >= limits, probabilities, -1.0)
    best = possible.argmax(axis=1)
    return np.asarray((possible.max(axis=1) >= 0) & (best != gold))


def by_steps(predictions: Predictions) -> Groups:
    """Return the rows by the number of sentences of the classifier's reasoning, written in any mode."""
    modes: tuple[Mode, ...] = ("reasoned", "blend", "vote", "adaptive")
    mode = next((mode for mode in modes if ("classifier", mode) in predictions), None)
    if mode is None:
        return {}
    found: dict[str, list[int]] = {}
    for place, row in enumerate(predictions[("classifier", mode)]):
        if row.prediction.reasoning is None:
            found.setdefault("no reasoning", []).append(place)
            continue
        steps = len(sentences(row.prediction.reasoning))
        name = f"{_MOST_STEPS} or more" if steps >= _MOST_STEPS else str(steps)
        found.setdefault(name, []).append(place)
    return dict(sorted(found.items()))


def by_cells(cells: Sequence[str | None]) -> Groups:
    """Return the rows by a column of the data: each value, or thirds if it holds many different numbers.

    Values beyond the most frequent ones are one group, as are missing cells.
    """
    values = [cell for cell in cells if cell is not None]
    numbers = [_number(cell) for cell in values]
    if len(set(values)) > _MOST_NUMBERS and all(number is not None for number in numbers):
        known = [np.nan if cell is None else float(cell) for cell in cells]
        return by_thirds(known, digits=0 if all(number == int(number) for number in numbers if number) else 2)
    counts = Counter(values)
    shown = {value for value, _ in counts.most_common(MOST_VALUES)}
    found: dict[str, list[int]] = {value: [] for value in sorted(shown)}
    for place, cell in enumerate(cells):
        name = MISSING if cell is None else cell if cell in shown else OTHERS
        found.setdefault(name, []).append(place)
    return found


def _number(cell: str) -> float | None:
    try:
        number = float(cell)
    except ValueError:
        return None
    return number if np.isfinite(number) else None


def _positive(row: PredictionRow) -> Floats:
    return np.asarray(np.maximum(row.prediction.probabilities, np.finfo(np.float64).tiny), dtype=np.float64)


def _range(values: Floats, unit: str, digits: int) -> str:
    low, high = (f"{value:,.{digits}f}" for value in (values.min(), values.max()))
    span = low if low == high else f"{low} to {high}"
    return f"{span} {unit}".strip()
