"""What the report says of review."""

import json
from dataclasses import asdict

from finished_run import EMOTIONS, MakeRun
from report_page import page_of
from whylabel.evaluation.predictions import by_model_and_mode, read_predictions
from whylabel.evaluation.review import SHARES, review
from whylabel.report.review import review_of
from whylabel.text.labels import LabelSet


def figures(run, **values):
    predictions = by_model_and_mode(read_predictions(run.predictions))
    found = review(
        predictions, "reasoned", LabelSet(EMOTIONS), None, (0.1, 0.3), bootstrap_samples=200, seed=1
    )
    return [{**asdict(each), **values} for each in found]


def write(run, found):
    metrics = json.loads(run.evaluation_metrics.read_text())
    run.evaluation_metrics.write_text(json.dumps({**metrics, "review": found}))


def test_the_report_says_how_many_errors_a_review_catches(make_run: MakeRun) -> None:
    run = make_run(modes=("fast",))
    found = figures(run)
    write(run, found)
    page = page_of(run)
    text = page.text.replace("\u00a0", " ")
    assert "#review" in [attributes.get("href") for _, attributes in page.tags]
    errors = found[0]["errors"]
    assert f"{errors} of 180 test texts are labelled wrong ({100 * errors / 180:.1f} %)" in text
    assert "whylabel predict --review-share 0.1" in text
    # The ones that are shown most often: all probabilities are equal here, so that 20 % catch 20 %.
    caught = [f"{100 * each['caught'][20]:.1f} %" for each in found]
    assert caught[0] == "20.0 %" and f"20 % {' '.join(caught)}" in text
    needed = found[1]["needed"][0]
    assert f"{100 * needed['share']:.1f} % {100 * needed['ci95'][0]:.1f} to" in text
    lines = [attributes for tag, attributes in page.tags if tag == "polyline"]
    assert [line["class"] for line in lines] == ["best", "probability", "disagreement", "both"]
    points = [tuple(map(float, pair.split(","))) for pair in lines[1]["points"].split()]
    assert len(points) == len(SHARES) and points[0] == (0, 100) and points[-1] == (100, 0)


def test_rates_are_in_order_and_a_model_without_errors_needs_no_section(make_run: MakeRun) -> None:
    run = make_run()
    found = figures(run)
    assert [each.error_rate for each in review_of({"review": found}).needed] == [0.3, 0.1]
    for nothing in (None, [], figures(run, errors=0), figures(run, caught=[0.5])):
        write(run, nothing)
        assert "Which texts should a person see?" not in page_of(run).text
