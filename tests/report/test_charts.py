"""Positions of marks, and which examples are shown."""

from __future__ import annotations

import pytest

from whylabel.evaluation.outcomes import Predictions
from whylabel.evaluation.predictions import PredictionRow
from whylabel.report.charts import axis_over, difference_plot, score_plots
from whylabel.report.examples import round_robin, shown_predictions
from whylabel.types import Mode, Prediction

MODES: tuple[Mode, ...] = ("fast", "reasoned", "blend", "adaptive")


def test_an_axis_has_round_ticks_around_its_values() -> None:
    axis = axis_over([0.57, 0.71], 0, 1)
    assert axis.ticks == (0.55, 0.6, 0.65, 0.7, 0.75)
    assert axis.at(0.55) == 0
    assert axis.at(0.65) == pytest.approx(50)


@pytest.mark.parametrize("values", [[0.0], [1.0], [0.0, 1.0], [0.5, 0.5], [0.999, 1.0]])
def test_an_axis_never_leaves_its_bounds(values: list[float]) -> None:
    axis = axis_over(values, 0, 1)
    assert 0 <= axis.low < axis.high <= 1
    assert all(0 <= axis.at(value) <= 100 for value in values)


def test_the_difference_plot_always_shows_zero() -> None:
    plot = difference_plot({"paired": {"difference": 0.2, "ci95": [0.15, 0.25]}})
    assert plot is not None
    assert plot.axis.low <= 0 <= plot.axis.high


def test_nothing_evaluated_nothing_drawn() -> None:
    assert score_plots({}) == ()
    assert difference_plot({"paired": None}) is None


def rows(model: str, labels: str, gold: str) -> list[PredictionRow]:
    return [
        PredictionRow(model, "t", g, Prediction(str(i), label, (0.7, 0.3)))
        for i, (label, g) in enumerate(zip(labels, gold, strict=True))
    ]


def test_disagreements_come_first() -> None:
    shown = shown_predictions(
        Predictions.of_rows(rows("baseline", "ab", "aa") + rows("classifier", "aa", "aa")), 1
    )
    assert shown is not None
    (first,) = shown.right
    assert first.row.prediction.id == "1"
    assert first.disagrees
    assert first.probability == 0.7
    assert shown.wrong == ()


def test_a_mode_that_reasons_is_shown() -> None:
    said = {
        mode: [PredictionRow("classifier", "t", "a", Prediction("1", "a", (0.7, 0.3), mode=mode))]
        for mode in MODES
    }
    for modes, shown in (
        (("fast", "reasoned", "blend"), "reasoned"),
        (("blend", "adaptive"), "blend"),
        (("adaptive",), "adaptive"),
    ):
        found = shown_predictions(Predictions.of_rows([row for mode in modes for row in said[mode]]), 1)
        assert found is not None and found.mode == shown


def test_without_a_classifier_the_baseline_is_shown() -> None:
    shown = shown_predictions(Predictions.of_rows(rows("baseline", "ab", "aa")), 5)
    assert shown is not None
    assert shown.model == "baseline"
    assert (len(shown.right), len(shown.wrong)) == (1, 1)
    assert shown_predictions(Predictions.of_rows(rows("tfidf", "a", "a")), 5) is None


def test_groups_take_turns() -> None:
    assert round_robin("aaabbc", lambda letter: letter, 5) == ("a", "b", "c", "a", "b")
    assert round_robin("ab", lambda letter: letter, 0) == ()
