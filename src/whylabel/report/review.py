"""Which rows a person should see: the curve of errors caught, and what a wanted error rate needs."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from whylabel.evaluation.review import SHARES
from whylabel.report.formats import count, is_number, percent

_NAMES = {
    "probability": ("Probability", "Probability of the label"),
    "disagreement": ("Disagreement", "Disagreement of fast and reasoned"),
    "both": ("Both", "Both: where they disagree first, then by probability"),
}
_SHOWN = (5, 10, 20, 30, 50)
"""The shares reviewed that the table has, in percent."""


@dataclass(frozen=True, slots=True)
class Curve:
    """Errors caught by one signal: `points` are those of an SVG polyline in a box of 100 by 100, from below left."""

    kind: str
    short: str
    name: str
    points: str
    caught: tuple[float, ...]
    """The share of errors caught at each share reviewed in the table."""
    aurc: Any
    aurc_ci95: Any


@dataclass(frozen=True, slots=True)
class Needed:
    """The share of rows to review for a wanted error rate, by each signal."""

    error_rate: float
    shares: tuple[Mapping[str, Any], ...]


@dataclass(frozen=True, slots=True)
class Reviewed:
    """What the report says of review; `best` is the line of a review that knows the errors."""

    mode: str
    sentence: str
    n: int
    errors: int
    curves: tuple[Curve, ...]
    best: str
    best_aurc: Any
    needed: tuple[Needed, ...]
    reviewed: tuple[float, ...] = tuple(percent / 100 for percent in _SHOWN)

    @property
    def error_rate(self) -> float:
        """The share of wrong rows, without review."""
        return self.errors / self.n


def review_of(evaluation: Mapping[str, Any]) -> Reviewed | None:
    """Return what `evaluation/metrics.json` says of review; None if it says nothing, or if there is no error."""
    found = [each for each in evaluation.get("review") or () if len(each.get("caught") or ()) == len(SHARES)]
    if not found or not all(each.get("n") and each.get("errors") for each in found):
        return None
    first = found[0]
    n, errors = first["n"], first["errors"]
    return Reviewed(
        mode=str(first.get("mode")),
        sentence=_sentence(first),
        n=n,
        errors=errors,
        curves=tuple(_curve(each, bool(evaluation.get("calibrated"))) for each in found),
        best=_points([(0.0, 0.0), (errors / n, 1.0), (1.0, 1.0)]),
        best_aurc=first.get("best_aurc"),
        needed=tuple(_needed(found)),
    )


def _sentence(review: Mapping[str, Any]) -> str:
    n, errors = review["n"], review["errors"]
    caught = dict(zip(SHARES, review["caught"], strict=True))[0.1]
    return (
        f"{count(errors)} of {count(n)} test texts are labelled wrong ({percent(errors / n)}). A person who reviews "
        f"the 10\u00a0% with the least probable labels sees {percent(caught)} of these errors; 10\u00a0% drawn at "
        "random would have 10\u00a0% of them."
    )


def _curve(review: Mapping[str, Any], calibrated: bool) -> Curve:
    signal = str(review.get("signal"))
    caught = review["caught"]
    short, name = _NAMES.get(signal, (signal, signal))
    if signal == "probability" and calibrated:
        name = "Calibrated probability of the label"
    return Curve(
        kind=signal if signal in _NAMES else "",
        short=short,
        name=name,
        points=_points(zip(SHARES, caught, strict=True)),
        caught=tuple(caught[at] for at in _SHOWN),
        aurc=review.get("aurc"),
        aurc_ci95=review.get("aurc_ci95"),
    )


def _points(pairs: Any) -> str:
    return " ".join(f"{100 * share:g},{round(100 * (1 - caught), 2):g}" for share, caught in pairs)


def _needed(found: Sequence[Mapping[str, Any]]) -> Iterator[Needed]:
    rates = [each.get("error_rate") for each in found[0].get("needed") or ()]
    for rate in sorted(filter(is_number, rates), reverse=True):
        shares: list[Mapping[str, Any]] = [
            next((each for each in review.get("needed") or () if each.get("error_rate") == rate), {})
            for review in found
        ]
        yield Needed(rate, tuple(shares))
