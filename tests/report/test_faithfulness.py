"""What the report says of the use of the reasonings."""

import json

import pytest

from finished_run import MakeRun
from report_page import page_of
from whylabel.report.faithfulness import faithfulness_line, faithfulness_of


def share(count, n=50):
    return {
        "count": count,
        "n": n,
        "share": count / n,
        "ci95": [max(0.0, count / n - 0.1), min(1.0, count / n + 0.1)],
    }


def done(changed, follows=None):
    found = {
        "n": 50,
        "changed": share(changed),
        "right": share(30),
        "lost": changed / 100,
        "lost_ci95": [0.0, 0.5],
    }
    return {**found, "follows": None if follows is None else share(follows)}


FIGURES = {
    "of": "a",
    "key": "b",
    "use": "follows",
    "mode": "reasoned",
    "n": 50,
    "right": share(40),
    "early": {"0": done(20), "0.25": done(18), "0.5": done(9), "0.75": done(2)},
    "interventions": {"another_label": done(40, 35), "argued": done(45, 42), "filler": done(22)},
    "agreement": share(100, 150),
    "simulatability": {
        "n": 150,
        **{name: share(count, 150) for name, count in (("text", 60), ("masked", 75), ("unmasked", 140))},
        "gain": 0.1,
        "gain_ci95": [0.02, 0.18],
        "mcnemar_p": 0.02,
    },
}


def test_all_figures_stand_side_by_side_with_how_to_read_them(make_run: MakeRun) -> None:
    run = make_run()
    run.faithfulness.write_text(json.dumps(FIGURES))
    metrics = json.loads(run.evaluation_metrics.read_text())
    judged = {"overlap": {"rows": 31, "characters": 400, "inside": 0.45, "by_chance": 0.21}}
    run.evaluation_metrics.write_text(json.dumps({**metrics, "reasonings_judged": judged}))
    page = page_of(run)
    text = page.text.replace("\u00a0", " ")
    assert "#faithfulness" in [attributes.get("href") for _, attributes in page.tags]
    assert "The labels follow the reasonings" in text and "surely more than 50 % of the labels" in text
    assert "How to read this: 50 reasonings of the classifier (mode reasoned)" in text
    assert "there is no score" in text
    assert "Left out the label is read after a blank reasoning 50 40.0 % 30.0 to 50.0 %" in text
    assert "50 90.0 % 80.0 to 100.0 % 84.0 % 74.0 to 94.0 % 60.0 %" in text
    assert (
        "Fast and reasoned agree test texts that get the same label at once and after the reasoning 66.7 %"
        in text
    )
    assert "label words masked +10.0 points, 95 % CI +2.0 to +18.0, exact McNemar p = 0.020 50.0 %" in text
    assert "in the measured evidence, 31 texts; 21.0 % at random places 45.0 %" in text


@pytest.mark.parametrize(
    ("use", "said"),
    [("hardly", "hardly rest"), ("in part", "in part"), ("unclear", "do not tell"), ("new", "do not tell")],
)
def test_the_sentence_says_no_more_than_the_figures(use, said) -> None:
    found = faithfulness_of({**FIGURES, "use": use}, {})
    assert said in found.sentence


def test_one_line_has_the_most_telling_figures() -> None:
    line = faithfulness_line(FIGURES).replace("\u00a0", " ")
    assert line == (
        "labels that change with the reasoning, of 50: 40.0 % without it, 80.0 % with that of another label, "
        "84.0 % go where one argues that is for another label"
    )
    assert faithfulness_line({}) is None


def test_without_figures_there_is_no_such_section(make_run: MakeRun) -> None:
    run = make_run()
    assert "Is the reasoning used?" not in page_of(run).text
    for nothing in ({}, {"early": None, "interventions": {"argued": None}}):
        run.faithfulness.write_text(json.dumps(nothing))
        assert "Is the reasoning used?" not in page_of(run).text
