"""Learning curves in sentences, and as one self-contained page."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from whylabel.evaluation.comparison import LEVEL, PairScore
from whylabel.evaluation.curve import Curve, Point
from whylabel.host.atomic import write_text
from whylabel.report.charts import Axis, axis_over
from whylabel.report.comparison import MEASURES, best_arm
from whylabel.report.formats import count, percent, points
from whylabel.report.rendering import render_html
from whylabel.report.verdict import MODEL_NAMES

_MARGIN = 4.0
"""Percent of the width that stay free on both sides, so that no mark is cut."""

_ASIDE = 0.8


@dataclass(frozen=True, slots=True)
class Spot:
    """A point of a curve with its interval; all positions are percentages of the drawing, from left and top."""

    x: float
    y: float
    low: float
    high: float
    said: str


@dataclass(frozen=True, slots=True)
class Line:
    """The curve of one model; `kind` chooses colour and dashes."""

    name: str
    kind: str
    spots: tuple[Spot, ...]

    @property
    def pieces(self) -> tuple[tuple[Spot, Spot], ...]:
        """The stretches between neighbouring points."""
        return tuple(zip(self.spots, self.spots[1:], strict=False))


@dataclass(frozen=True, slots=True)
class Drawing:
    """All curves over a logarithmic axis of train rows; `sizes` are (rows a label, position)."""

    axis: Axis
    sizes: tuple[tuple[int, float], ...]
    lines: tuple[Line, ...]

    def height(self, value: float) -> float:
        """Return the position of a score from the top."""
        return round(100 - self.axis.at(value), 3)


def write_curve(path: Path, curve: Curve) -> None:
    """Write the page of a learning curve."""
    write_text(path, render_curve(curve))


def render_curve(curve: Curve) -> str:
    """Return the page: no script, no network, all data escaped."""
    return render_html(
        "curve_page.html.j2",
        curve=curve,
        measure=MEASURES[curve.measure],
        names=MODEL_NAMES,
        drawing=draw_curve(curve),
        claims=claims(curve),
        level=LEVEL,
    )


def draw_curve(curve: Curve) -> Drawing:
    """Return the positions of all points and intervals."""
    every = [point.score.score for found in curve.models.values() for point in found]
    axis = axis_over([value for one in every for value in (one.mean, *one.ci95)], 0.0, 1.0)
    logs = {size: math.log(curve.rows(size)) for size in curve.sizes}
    first, last = min(logs.values()), max(logs.values())
    at = {
        size: round(_MARGIN + (100 - 2 * _MARGIN) * (value - first) / (last - first), 3)
        for size, value in logs.items()
    }
    empty = Drawing(axis, tuple(at.items()), ())
    lines = tuple(
        Line(
            MODEL_NAMES.get(model, model),
            model,
            tuple(_spot(empty, at[point.per_label] + aside, point) for point in found),
        )
        for (model, found), aside in zip(curve.models.items(), _asides(len(curve.models)), strict=True)
    )
    return Drawing(axis, empty.sizes, lines)


def claims(curve: Curve) -> tuple[str, ...]:
    """Return where more labels would pay, and which model is ahead where, in sentences."""
    return (*_gains(curve), *_leaders(curve), *_merged(curve))


def _gains(curve: Curve) -> Iterator[str]:
    for model, found in curve.models.items():
        last = found[-1].gain
        if last is None or model == "majority":
            continue
        smaller, larger = found[-2].per_label, found[-1].per_label
        low, high = last.ci95
        before, after = curve.rows(smaller), curve.rows(larger)
        doublings = math.log2(after / before)
        gain = (
            f"{MODEL_NAMES.get(model, model)}: from {count(smaller)} to {count(larger)} a label"
            f" ({count(before)} to {count(after)} train texts) {points(last.difference)} points"
            f" (95\u00a0% CI {points(low)} to {points(high)}),"
            f" {points(last.difference / doublings)} for each doubling"
        )
        if _is_shown(last) and last.difference > 0:
            yield f"{gain}. More labels are likely to pay."
        elif high <= 0:
            yield f"{gain}. More labels did not help."
        else:
            yield f"{gain}. That more labels pay is not shown."


def _leaders(curve: Curve) -> Iterator[str]:
    for place, size in enumerate(curve.sizes):
        scores = {model: found[place].score for model, found in curve.models.items()}
        best = best_arm(scores.values()).model
        score = scores[best].score
        shown = [pair for pair in curve.ahead[size] if _is_shown(pair)]
        better = sum(pair.difference > 0 for pair in shown)
        yield (
            f"With {count(size)} a label the best is {_name(curve, best, place)} ({percent(score.mean)}); the"
            f" {curve.ours} is better than {better} of the {len(curve.ahead[size])} others and worse than"
            f" {len(shown) - better}, as far as that is shown."
        )


def _name(curve: Curve, model: str, place: int) -> str:
    """Return the name of a model; that of the classifier with its mode, which may be another one at each size."""
    name = MODEL_NAMES.get(model, model)
    return f"{name} ({curve.models[model][place].score.mode})" if model == "classifier" else name


def _merged(curve: Curve) -> Iterator[str]:
    for size, same in curve.merged.items():
        yield (
            f"With {count(size)} a label there were no more train texts than with {count(same)}: they are one size"
            " here."
        )


def _is_shown(pair: PairScore) -> bool:
    return pair.p_holm < LEVEL


def _asides(lines: int) -> list[float]:
    """Return how far each curve is drawn aside, so that intervals at the same size stand beside each other."""
    return [_ASIDE * (place - (lines - 1) / 2) for place in range(lines)]


def _spot(drawing: Drawing, x: float, point: Point) -> Spot:
    score = point.score.score
    low, high = score.ci95
    said = f"{count(point.per_label)} a label: {percent(score.mean)}, {percent(low)} to {percent(high)}"
    height = drawing.height
    return Spot(round(x, 3), height(score.mean), height(low), height(high), said)
