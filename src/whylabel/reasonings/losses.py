"""How many rows each label loses to each filter, and which label loses far more than the others."""

from __future__ import annotations

import math
from collections import Counter, defaultdict
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

from whylabel.text.several_labels import Separator

_LEAST_ROWS = 3
_LEAST_DIFFERENCE = 0.2
_TIMES = 3.0
# The chance that any label of an even filter is named, for each reason.
_FALSE_ALARMS = 0.01
_EXACT_ROWS = 500
_SHOWN = 5
_ALL_FILTERS = "all reasons together"


@dataclass(slots=True)
class Losses:
    """Counts of rows by label. A row with several labels counts for each of them."""

    separator: Separator | None = None
    """What separates the labels of a row; None if each row has one."""
    rows: Counter[str] = field(default_factory=Counter)
    dropped: dict[str, Counter[str]] = field(default_factory=lambda: defaultdict(Counter))
    """Dropped rows by reason, then by label."""

    def add(self, label: str, reason: str | None) -> None:
        """Count a row, with the reason against it if there is one."""
        names = (label,) if self.separator is None else self.separator.split(label)
        self.rows.update(names)
        if reason is not None:
            self.dropped[reason].update(names)

    def by_label(self) -> dict[str, dict[str, int]]:
        """Return the dropped rows as JSON can hold them."""
        return {reason: dict(counts.most_common()) for reason, counts in self.dropped.items()}

    def uneven(self) -> list[str]:
        """Return in words which labels lose far more of their rows than the other labels, for what reason."""
        found = []
        named = set()
        for reason, counts in self._by_reason().items():
            for label, lost in counts.most_common():
                if self._is_uneven(label, counts):
                    named.add(label)
                    found.append((lost / self.rows[label], self._sentence(label, counts, reason)))
        together = sum(self.dropped.values(), Counter())
        for label, lost in together.items():
            if label not in named and len(self.dropped) > 1 and self._is_uneven(label, together):
                found.append((lost / self.rows[label], self._sentence(label, together, _ALL_FILTERS)))
        return [sentence for _, sentence in sorted(found, key=lambda pair: (-pair[0], pair[1]))]

    def _by_reason(self) -> dict[str, Counter[str]]:
        """Return the counts by reason; languages that are not that of the text are one reason."""
        found: dict[str, Counter[str]] = defaultdict(Counter)
        for reason, counts in self.dropped.items():
            found["another language" if reason.startswith("language ") else reason].update(counts)
        return found

    def _others(self, label: str, counts: Counter[str]) -> tuple[int, int]:
        return counts.total() - counts[label], self.rows.total() - self.rows[label]

    def _is_uneven(self, label: str, counts: Counter[str]) -> bool:
        lost, rows = counts[label], self.rows[label]
        others_lost, others = self._others(label, counts)
        if lost < _LEAST_ROWS or not others:
            return False
        share, usual = lost / rows, others_lost / others
        far_more = share >= _TIMES * usual or 1 - usual >= _TIMES * (1 - share)
        if not far_more or share - usual < _LEAST_DIFFERENCE:
            return False
        return _at_least(lost, rows, (others_lost + 1) / (others + 2)) < _FALSE_ALARMS / len(self.rows)

    def _sentence(self, label: str, counts: Counter[str], reason: str) -> str:
        others_lost, others = self._others(label, counts)
        return (
            f"label {label!r} loses {counts[label]:,} of {self.rows[label]:,} rows ({reason}), "
            f"the other labels {others_lost:,} of {others:,}"
        )


def _at_least(count: int, rows: int, chance: float) -> float:
    """Return the probability that so many rows or more are lost if each is lost with this chance."""
    if rows > _EXACT_ROWS:
        deviations = (count - 0.5 - rows * chance) / math.sqrt(rows * chance * (1 - chance))
        return math.erfc(deviations / math.sqrt(2)) / 2
    return sum(
        math.comb(rows, lost) * chance**lost * (1 - chance) ** (rows - lost)
        for lost in range(count, rows + 1)
    )


def shown(uneven: list[str]) -> Iterator[str]:
    """Yield the first sentences as a person sees them, and how many there are besides."""
    for sentence in uneven[:_SHOWN]:
        yield f"  Warning: {sentence}"
    if len(uneven) > _SHOWN:
        yield f"  Warning: {len(uneven) - _SHOWN:,} more labels lose far more rows than the others"


def figures(losses: Losses) -> dict[str, Any]:
    """Return the entries of `metrics.json`."""
    return {
        "rows_by_label": dict(losses.rows.most_common()),
        "dropped_by_label": losses.by_label(),
        "uneven": losses.uneven(),
    }
