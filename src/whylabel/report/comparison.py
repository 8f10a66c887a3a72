"""The comparison of runs in sentences, and as one self-contained page."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path

from whylabel.evaluation.best import rank
from whylabel.evaluation.comparison import LEVEL, ArmScore, Comparison, PairScore
from whylabel.host.atomic import write_text
from whylabel.report.charts import IntervalPlot, Mark, axis_over
from whylabel.report.formats import count, p_value, percent, points
from whylabel.report.rendering import render_html

MEASURES = {"accuracy": "accuracy", "micro_f1": "micro-F1"}
_FEW_SEEDS = 5
_TESTS = {
    "exact McNemar": "the exact McNemar test where both models were trained once",
    "bootstrap": "the bootstrap over test texts where both were trained once and a text may have several labels",
    "t test": "a t test over texts and seeds where one or both were trained several times",
}
GENERATOR = '<meta name="generator" content="whylabel comparison">'
"""The line by which a page of ours is known."""


def write_comparison(path: Path, comparison: Comparison) -> None:
    """Write the page of a comparison."""
    write_text(path, render_comparison(comparison))


def render_comparison(comparison: Comparison) -> str:
    """Return the page: no script, no network, all data escaped."""
    return render_html(
        "comparison_page.html.j2",
        comparison=comparison,
        measure=MEASURES[comparison.measure],
        title=_title(comparison),
        generator=GENERATOR,
        claim=claim(comparison),
        notes=notes(comparison),
        plots=tuple(_score_plots(comparison)),
        differences=_difference_plot(comparison.pairs),
        level=LEVEL,
    )


def best_arm(arms: Iterable[ArmScore]) -> ArmScore:
    """Return the arm with the best score; of equal ones the fastest."""
    return max(arms, key=lambda arm: rank(arm.score.mean, arm.seconds_per_row))


def claim(comparison: Comparison) -> str:
    """Return which arm is best, and over how many of the others that is shown, in one sentence."""
    best = best_arm(comparison.arms)
    measure = MEASURES[comparison.measure]
    own = [pair for pair in comparison.pairs if best.name in (pair.arm, pair.against)]
    shown = sum(_is_shown(pair) for pair in own)
    rest = len(own)
    lead = f"{best.name} has the best {measure}, {percent(best.score.mean)}"
    if rest == 1:
        other = own[0].against if own[0].arm == best.name else own[0].arm
        return f"{lead}; that it is better than {other} is {'shown' if shown else 'not shown'}."
    if shown == rest:
        return f"{lead}; that it is better than each of the {rest} others is shown."
    return f"{lead}; that it is better is shown for {shown} of the {rest} others it was compared with."


def notes(comparison: Comparison) -> tuple[str, ...]:
    """Return what a reader must know beside the figures."""
    return tuple(_notes(comparison))


def reasoning_claim(comparison: Comparison) -> str | None:
    """Return whether reasoning paid, in one sentence; None unless one classifier stands beside one baseline."""
    ours, base = (
        [arm for arm in comparison.arms if arm.model == model] for model in ("classifier", "baseline")
    )
    if len(ours) != 1 or len(base) != 1:
        return None
    names = {ours[0].name, base[0].name}
    pair = next((pair for pair in comparison.pairs if {pair.arm, pair.against} == names), None)
    if pair is None:
        return None
    turned = -1.0 if pair.arm == base[0].name else 1.0
    low, high = sorted(turned * bound for bound in pair.ci95)
    difference = turned * pair.difference
    effect = "a gain" if difference > 0 else "a loss"
    cause = "" if ours[0].target == "label" else " from reasoning"
    seeds = len(ours[0].seeds)
    return (
        f"Classifier minus baseline{f' over {seeds} seeds' if seeds > 1 else ''}: {points(difference)} points"
        f" (95\u00a0% CI {points(low)} to {points(high)}, corrected {p_value(pair.p_holm)});"
        f" {effect if difference else 'a difference'}{cause} is {'' if _is_shown(pair) else 'not '}shown."
    )


def _notes(comparison: Comparison) -> Iterator[str]:
    pairs, arms = comparison.pairs, comparison.arms
    reasoning = reasoning_claim(comparison)
    if reasoning:
        yield reasoning
    unseen = [pair.detectable for pair in pairs if pair.detectable and not _is_shown(pair)]
    if unseen:
        low, high = points(min(unseen)).lstrip("+"), points(max(unseen)).lstrip("+")
        span = low if low == high else f"{low} to {high}"
        yield (
            f"Where no difference is shown: a true one of {span} points would be found four times in five with these"
            f" {count(comparison.n)} test texts; smaller ones are easily missed."
        )
    if len(pairs) > 1:
        yield (
            f"{len(pairs)} pairs were compared: a difference counts as shown if its p-value, corrected for that"
            f" number (Holm), is below {LEVEL}. Intervals and p-values before correction are of each pair by itself."
        )
    yield from _seed_notes(arms)
    tests = [_TESTS[test] for test in _TESTS if any(pair.test == test for pair in pairs)]
    if len(tests) > 1:
        yield f"p-values are of {', '.join(tests[:-1])}, and of {tests[-1]}."


def _seed_notes(arms: Sequence[ArmScore]) -> Iterator[str]:
    seeds = {len(arm.seeds) for arm in arms}
    if seeds == {1}:
        yield "Each model was trained once: the intervals do not cover the effect of another seed."
        return
    yield "Intervals and p-values cover test texts and seeds alike."
    if min(seeds) < _FEW_SEEDS:
        yield (
            "From fewer than five seeds the spread between seeds is known badly, which makes intervals wide: more"
            " seeds may show what these do not."
        )
    if len(seeds) > 1:
        numbers = "; ".join(f"{arm.name}: {len(arm.seeds)}" for arm in arms)
        yield f"The models were trained with unequal numbers of seeds ({numbers})."
    if 1 in seeds:
        yield (
            "One training says nothing about the spread between seeds: in a pair, that of the other model stands for"
            " it, and the interval of the model itself covers the texts alone."
        )


def _title(comparison: Comparison) -> str:
    measure = MEASURES[comparison.measure]
    return measure[0].upper() + measure[1:]


def _is_shown(pair: PairScore) -> bool:
    return pair.p_holm < LEVEL


def _score_plots(comparison: Comparison) -> Iterator[IntervalPlot]:
    for title, field in ((_title(comparison), "score"), ("Macro-F1", "macro_f1")):
        marks = []
        for arm in comparison.arms:
            value = getattr(arm, field)
            marks.append(Mark(arm.name, _kind(arm.model), value.mean, *value.ci95))
        yield _plot(title, marks, 0.0, 1.0)


def _difference_plot(pairs: Sequence[PairScore]) -> IntervalPlot:
    marks = [
        Mark(f"{pair.arm} − {pair.against}", _shade(pair), pair.difference, *pair.ci95) for pair in pairs
    ]
    return _plot("Differences, in points", marks, -1.0, 1.0, 0.0)


def _plot(title: str, marks: Sequence[Mark], lowest: float, highest: float, *shown: float) -> IntervalPlot:
    values = [*shown, *(x for mark in marks for x in (mark.value, mark.low, mark.high))]
    return IntervalPlot(title, axis_over(values, lowest, highest), tuple(marks))


def _kind(model: str) -> str:
    return model if model in ("baseline", "classifier") else "floor"


def _shade(pair: PairScore) -> str:
    """Differences that are shown stand out."""
    return "classifier" if _is_shown(pair) else "floor"
