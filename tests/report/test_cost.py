"""What the report says of cost."""

import json
import math

import pytest

from finished_run import MakeRun
from report_page import page_of
from whylabel.report.cost import costs_of


def written(run, **values):
    metrics = json.loads(run.evaluation_metrics.read_text())
    run.evaluation_metrics.write_text(json.dumps({**metrics, **values}))
    return {**metrics, **values}


def test_every_model_and_mode_stands_at_its_time_and_score(make_run: MakeRun) -> None:
    run = make_run(modes=("fast",))
    evaluation = written(run)
    found = costs_of(evaluation)
    assert found is not None and found.measure == "Accuracy"
    by_name = {one.name: one for one in found.priced}
    assert {"Classifier, fast", "Classifier, reasoned"} <= by_name.keys()
    reasoned, fast = by_name["Classifier, reasoned"], by_name["Classifier, fast"]
    assert (reasoned.p50, fast.p95) == (pytest.approx(0.4), pytest.approx(0.03))
    assert [tick for _, tick in found.ticks][-4:] == ["1\u00a0ms", "10\u00a0ms", "100\u00a0ms", "1\u00a0s"]
    low, high = 1 - len(found.ticks), 0
    # Rightmost is slowest, on a logarithmic scale; uppermost is best.
    assert reasoned.x == pytest.approx(100 * (math.log10(0.4) - low) / (high - low), abs=0.01)
    assert reasoned.x > fast.x and fast.x >= 0 and reasoned.x <= 100
    assert (reasoned.y < fast.y) == (reasoned.score > fast.score)


def test_the_page_shows_stages_and_quantiles(make_run: MakeRun) -> None:
    run = make_run()
    stages = {
        "augment": {"flops": None, "tokens": 15321, "seconds": 181.4},
        "train-classifier": {"flops": 3.5e12, "tokens": 26000, "seconds": 210},
    }
    written(run, cost={"stages": stages})
    page = page_of(run)
    text = page.text.replace("\u00a0", " ")
    assert "#cost" in [attributes.get("href") for _, attributes in page.tags]
    assert "Reasonings – 15,321" in text and "Classifier 3.500 26,000" in text
    assert sum(tag == "circle" for tag, _ in page.tags) == len(costs_of(written(run)).priced)


def test_without_times_there_is_no_section(make_run: MakeRun) -> None:
    run = make_run()
    nothing = written(run, floors={}, modes={}, baseline=None, classifier={"mode": "fast", "accuracy": 0.5})
    assert costs_of(nothing) is None
    assert "What it costs" not in page_of(run).text
    # Runs of earlier versions have no quantiles and no stages.
    older = {"classifier": {"mode": "fast", "accuracy": 0.5, "cost": {"seconds_per_row": 0.2}}}
    assert costs_of(older).priced[0].p50 is None and costs_of(older).stages == ()
