import json

import numpy as np
import pytest
from scipy.optimize import minimize_scalar

from whylabel.prediction.calibration import (
    LEAST_ROWS,
    Adaptive,
    Calibration,
    calibrate,
    default_mode,
    fit_adaptive,
    fit_temperature,
    fit_weight,
    interpolated,
    margins,
    nll,
    tempered,
)

NAN = np.full(4, np.nan)


def drawn(temperature: float, rows: int = 4000, seed: int = 0):
    """Scores whose probabilities mean what they say at this temperature, and the labels drawn from them."""
    rng = np.random.default_rng(seed)
    scores = rng.normal(size=(rows, 4)) * 3
    chances = np.exp(tempered(scores, temperature))
    gold = np.array([rng.choice(4, p=row) for row in chances])
    return scores, gold


@pytest.mark.parametrize("temperature", [0.5, 1.0, 3.0])
def test_the_temperature_of_the_labels_is_found(temperature):
    scores, gold = drawn(temperature)
    found = fit_temperature(scores, gold)
    assert found.temperature == pytest.approx(temperature, rel=0.06)
    assert found.n == len(gold)
    assert found.nll_before == pytest.approx(nll(tempered(scores, 1.0), gold))
    assert found.nll_after == pytest.approx(nll(tempered(scores, found.temperature), gold))
    best = minimize_scalar(lambda t: nll(tempered(scores, t), gold), bounds=(0.1, 10), method="bounded")
    assert found.nll_after == pytest.approx(best.fun, abs=1e-6)


def test_a_temperature_never_changes_a_label_and_probabilities_sum_to_one():
    scores, _ = drawn(1.0, rows=500)
    for temperature in (0.05, 0.5, 2.0, 20.0):
        found = tempered(scores, temperature)
        np.testing.assert_array_equal(found.argmax(axis=1), scores.argmax(axis=1))
        np.testing.assert_allclose(np.exp(found).sum(axis=1), 1, atol=1e-12)


def test_a_few_rows_that_are_all_right_do_not_make_certain():
    scores = np.eye(4)[np.arange(LEAST_ROWS) % 4] * 2
    found = fit_temperature(scores, np.arange(LEAST_ROWS) % 4)
    assert 0.2 < found.temperature < 1
    assert np.exp(tempered(scores, found.temperature)).max() < 0.999
    assert found.nll_after < found.nll_before


def test_the_weight_is_the_likeliest_and_finds_what_is_worth_something():
    scores, gold = drawn(1.0)
    noise = np.random.default_rng(1).normal(size=scores.shape)
    useful, useless = tempered(scores, 1.0), tempered(noise, 1.0)
    assert fit_weight(useless, useful, gold) == pytest.approx(1, abs=0.03)
    assert fit_weight(useful, useless, gold) == pytest.approx(0, abs=0.03)
    weight = fit_weight(tempered(scores + noise, 1.0), tempered(scores - noise, 1.0), gold)
    assert weight == pytest.approx(0.5, abs=0.05)
    losses = [
        nll(tempered(interpolated(scores + noise, scores - noise, w), 1.0), gold)
        for w in np.linspace(0, 1, 101)
    ]
    assert np.argmin(losses) / 100 == pytest.approx(weight, abs=0.02)


def two(*chances: float) -> np.ndarray:
    """Log-probabilities of two labels, from that of the first."""
    return np.log([[p, 1 - p] for p in chances])


def test_the_threshold_is_where_reasoning_helps_most_within_the_share():
    # Sorted by margin: rows 0 to 4. Fast says label 0 everywhere; reasoning is right, wrong, right, right, wrong.
    fast = two(0.52, 0.6, 0.7, 0.8, 0.9)
    gold = np.array([1, 0, 1, 1, 0])
    reasoned = two(0.1, 0.1, 0.1, 0.1, 0.1)
    assert margins(fast) == pytest.approx([0.04, 0.2, 0.4, 0.6, 0.8])
    everything = fit_adaptive(fast, reasoned, gold, 1.0)
    assert everything.share == 0.8
    assert everything.threshold == pytest.approx(0.7)
    # Within 60 % of the rows, one or three reasoned ones are as good: the fewer.
    some = fit_adaptive(fast, reasoned, gold, 0.6)
    assert (some.share, some.threshold) == (0.2, pytest.approx(0.12))
    assert fit_adaptive(fast, reasoned, gold, 0.0) == Adaptive(0.0, 0.0)
    assert fit_adaptive(fast, fast, gold, 1.0) == Adaptive(0.0, 0.0)


def test_rows_of_one_margin_are_reasoned_about_together_or_not_at_all():
    fast, gold = two(0.6, 0.6, 0.6, 0.9), np.array([1, 1, 1, 0])
    reasoned = two(0.1, 0.1, 0.1, 0.9)
    assert fit_adaptive(fast, reasoned, gold, 0.5).share == 0
    assert fit_adaptive(fast, reasoned, gold, 0.75).share == 0.75
    every = fit_adaptive(two(1 - 1e-12, 1 - 1e-12), two(1e-12, 1e-12), np.array([1, 1]), 1.0)
    assert every.share == 1
    assert every.threshold > 1


def test_failed_rows_are_left_out_and_too_few_are_not_fitted():
    scores, gold = drawn(2.0, rows=60)
    holes = scores.copy()
    holes[::2] = NAN
    found = calibrate({"fast": holes}, gold, 0.3)
    assert found.temperatures["fast"] == fit_temperature(scores[1::2], gold[1::2])
    assert found.adaptive is None and found.blend_weight is None
    holes[: 60 - LEAST_ROWS] = NAN
    assert calibrate({"fast": holes}, gold, 0.3) == Calibration()
    # Each has 30 rows, but they are not the same.
    other = scores.copy()
    other[1::2] = NAN
    apart = calibrate({"fast": np.where(np.isnan(other), scores, np.nan), "reasoned": other}, gold, 0.3)
    assert set(apart.temperatures) == {"fast", "reasoned"}
    assert apart.blend_weight is None
    votes = calibrate({"reasoned": scores, "vote": scores[:30]}, gold, 0.3)
    assert votes.temperatures["vote"] == fit_temperature(scores[:30], gold[:30])


def test_blend_and_adaptive_stand_on_calibrated_scores():
    scores, gold = drawn(2.0, rows=400)
    fast = scores + np.random.default_rng(2).normal(size=scores.shape) * 2
    found = calibrate({"fast": fast, "reasoned": scores * 5}, gold, 0.5)
    assert set(found.temperatures) == {"fast", "reasoned", "blend"}
    expected = interpolated(
        tempered(fast, found.temperatures["fast"].temperature),
        tempered(scores * 5, found.temperatures["reasoned"].temperature),
        found.blend_weight,
    )
    np.testing.assert_allclose(found.blended(fast, scores * 5), expected)
    np.testing.assert_allclose(found.blended(fast[3], scores[3] * 5), expected[3])
    close = found.is_close(fast)
    assert close.mean() == found.adaptive.share
    assert bool(found.is_close(fast[0])) == close[0]


def test_the_json_comes_back():
    scores, gold = drawn(2.0, rows=100)
    found = calibrate({"fast": scores, "reasoned": scores * 2, "vote": scores[:40]}, gold, 0.5)
    entries = json.loads(json.dumps(found.to_json()))
    assert set(entries) == {"fast", "reasoned", "vote", "blend", "adaptive"}
    assert set(entries["fast"]) == {"temperature", "n", "nll_before", "nll_after"}
    assert set(entries["blend"]) == {"temperature", "n", "nll_before", "nll_after", "weight"}
    assert set(entries["adaptive"]) == {"threshold", "share"}
    assert Calibration.from_json(entries) == found
    assert Calibration().to_json() is None
    assert Calibration.from_json(None) == Calibration()


def test_the_default_mode_is_the_likeliest_and_a_dearer_one_must_earn_it():
    scores, gold = drawn(1.0, rows=400)
    noise = np.random.default_rng(3).normal(size=scores.shape) * 3

    def chosen(fast, reasoned):
        by_mode = {"fast": fast, "reasoned": reasoned}
        return default_mode(calibrate(by_mode, gold, 0.3), by_mode, gold)

    assert chosen(scores, scores) == "fast"
    assert chosen(scores, noise) == "fast"
    assert chosen(noise, scores) == "reasoned"
    assert chosen(scores + noise, scores - noise) == "blend"


def test_the_default_mode_is_chosen_on_the_rows_that_both_ways_could_score():
    scores, gold = drawn(1.0, rows=400)
    noise = np.random.default_rng(3).normal(size=scores.shape) * 3
    fast, reasoned = scores.copy(), noise.copy()
    fast[:150] = reasoned[250:] = NAN
    by_mode = {"fast": fast, "reasoned": reasoned}
    found = calibrate(by_mode, gold, 0.3)
    assert found.blend_weight is not None
    whole = {mode: rows[150:250] for mode, rows in by_mode.items()}
    assert default_mode(found, by_mode, gold) == default_mode(found, whole, gold[150:250]) == "fast"
    # The other way round it is the dearer one that is right.
    swapped = {"fast": noise.copy(), "reasoned": scores.copy()}
    swapped["fast"][:150] = swapped["reasoned"][250:] = NAN
    assert default_mode(calibrate(swapped, gold, 0.3), swapped, gold) == "reasoned"


def test_exactly_enough_rows_are_enough():
    scores, gold = drawn(2.0, rows=LEAST_ROWS)
    found = calibrate({"fast": scores, "reasoned": scores * 2}, gold, 0.3)
    assert set(found.temperatures) == {"fast", "reasoned", "blend"} and found.adaptive is not None
    assert found.temperatures["blend"].n == LEAST_ROWS
    less = {"fast": scores[:-1], "reasoned": scores}
    assert set(calibrate(less, gold, 0.3).temperatures) == {"reasoned"}


def test_only_reasoned_scores_make_no_blend():
    scores, gold = drawn(2.0, rows=60)
    found = calibrate({"reasoned": scores, "vote": scores}, gold, 0.3)
    assert set(found.temperatures) == {"reasoned", "vote"}
    assert (found.adaptive, found.blend_weight) == (None, None)


def test_a_temperature_is_kept_within_bounds_and_never_makes_labels_less_likely():
    certain = np.eye(4)[np.arange(400) % 4] / 5
    found = fit_temperature(certain, np.arange(400) % 4)
    assert np.exp(-3) <= found.temperature < 0.06
    wrong = fit_temperature(np.eye(4)[np.arange(400) % 4] * 50, (np.arange(400) + 1) % 4)
    assert 19 < wrong.temperature <= np.exp(3)
    assert wrong.nll_after < wrong.nll_before


def test_an_uncalibrated_mode_has_temperature_one():
    scores = np.array([[2.0, 1.0]])
    np.testing.assert_allclose(Calibration().log_probabilities("fast", scores), tempered(scores, 1.0))


def test_margins_are_between_the_two_best_wherever_they_stand():
    log_probabilities = np.log([[0.1, 0.6, 0.3], [0.5, 0.5, 1e-9], [0.3, 0.1, 0.6]])
    np.testing.assert_allclose(margins(log_probabilities), [0.3, 0.0, 0.3])
