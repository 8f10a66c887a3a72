"""What the report says of slices and of the texts that reasoning mended."""

import json

from finished_run import MakeRun
from report_page import page_of
from whylabel.evaluation.mended import reasoning_effect
from whylabel.evaluation.outcomes import NO_PREDICTIONS, Predictions
from whylabel.report.slices import mended_of, slices_of


def sliced(value, difference, holm_p, by="label"):
    interval = [difference - 0.1, difference + 0.1]
    found = {"by": by, "value": value, "n": 30, "baseline": 0.5, "classifier": 0.5 + difference}
    return {**found, "difference": difference, "ci95": interval, "mcnemar_p": holm_p / 2, "holm_p": holm_p}


def run_with(make_run, modes=("fast",), **figures):
    run = make_run(modes=modes)
    metrics = json.loads(run.evaluation_metrics.read_text())
    effect = reasoning_effect(Predictions.of_file(run.predictions), "reasoned")
    counts = {name: getattr(effect, name) for name in effect.__slots__}
    run.evaluation_metrics.write_text(json.dumps({**metrics, "reasoning_effect": counts, **figures}))
    return run, effect


def test_only_adjusted_differences_count_as_shown(make_run: MakeRun) -> None:
    slices = [sliced("joy", 0.3, 0.01), sliced("fear", -0.1, 0.06), sliced("<web>", 0.0, 1.0, by="topic")]
    run, _ = run_with(make_run, slices=slices)
    page = page_of(run)
    assert "#slices" in [attributes.get("href") for _, attributes in page.tags]
    assert (
        "A difference is shown in 1 of 3 slices, taking into account how many there are: joy (better)."
        in page.text
    )
    assert "Gold label" in page.text and "Column topic" in page.text and "<web>" in page.text
    assert "joy 30 50.0 % 80.0 % +30.0 +20.0 to +40.0 p = 0.010" in page.text.replace("\u00a0", " ")
    none = slices_of({"slices": slices[1:]})
    assert none is not None and none.sentence.startswith("In none of the 2 slices")
    # Zero, where both are equal, is on the axis of every plot.
    assert none.axis.low < 0 < none.axis.high


def test_of_many_slices_those_are_shown_that_are_the_least_likely_to_be_chance() -> None:
    slices = [sliced(f"label {at}", 0.01 * (at % 7), 1 - at / 100) for at in range(40)]
    ((title, rows),) = slices_of({"slices": slices}).groups
    assert title.startswith("Gold label (20 of 40, the least likely to be chance first")
    assert [row["value"] for row in rows] == [f"label {at}" for at in range(39, 19, -1)]


def test_mended_and_broken_texts_stand_side_by_side(make_run: MakeRun) -> None:
    run, effect = run_with(make_run)
    found = mended_of(json.loads(run.evaluation_metrics.read_text()), Predictions.of_file(run.predictions), 3)
    assert len(found.mended) == len(found.broken) == 3
    assert all(pair.reasoned.right and not pair.without.right for pair in found.mended)
    assert all(pair.without.right and not pair.reasoned.right for pair in found.broken)
    assert len({pair.reasoned.gold for pair in found.mended}) == 3
    text = page_of(run).text
    assert f"{effect.mended} mended, {effect.broken} broken, exact McNemar" in text
    assert "the classifier itself, answering at once," in text


def test_without_an_answer_at_once_the_baseline_is_compared(make_run: MakeRun) -> None:
    run, _ = run_with(make_run, modes=())
    assert "test texts, the baseline labels" in page_of(run).text


def test_a_run_without_these_figures_has_no_such_section(make_run: MakeRun) -> None:
    run, _ = run_with(make_run, slices=None, reasoning_effect=None)
    assert "Where does the reasoning help?" not in page_of(run).text
    assert slices_of({}) is None and mended_of({}, NO_PREDICTIONS, 3) is None
