"""What report and card say of the reasonings."""

import json

from finished_run import MakeRun
from report_page import page_of
from whylabel.report.contents import read_run
from whylabel.report.model_card import render_model_card
from whylabel.report.quality import judged_of, quality_of, reasonings_line


def test_the_report_says_how_good_the_reasonings_are(make_run: MakeRun) -> None:
    run = make_run(modes=("fast",))
    found = json.loads(run.evaluation_metrics.read_text())["reasonings"]
    assert list(found) == ["reasoned"]
    page = page_of(run)
    assert "#quality" in [attributes.get("href") for _, attributes in page.tags]
    text = page.text
    assert "Are the reasons any good?" in text
    assert (
        "For 180 test texts the classifier wrote 180 reasonings. A reader sees 108 of them as the reason for the "
        "label and 36 as an afterthought: the label rests more on the answer without it. 36 are withheld."
        in text
    )
    assert "ungrounded 20.0 % 14.8 to 26.4 % 36 of 180" in text
    assert "Quotes the text with words between quotation marks 0.0 % 0.0 to 2.1 % 0 of 180" in text
    # No reasoning quotes anything, so there is no share of grounded ones.
    assert "all that is quoted stands in the text – –" in text
    card = render_model_card(read_run(run))
    assert (
        "## Are the reasons any good?" in card
        and "| Quotes the text | 0.0 % (0.0 to 2.1 %) |" in card.replace("\u00a0", " ")
    )


def test_a_run_without_these_figures_has_no_such_section(make_run: MakeRun) -> None:
    run = make_run()
    metrics = json.loads(run.evaluation_metrics.read_text())
    for value in ({}, {"reasoned": None}, None):
        run.evaluation_metrics.write_text(json.dumps({**metrics, "reasonings": value}))
        assert "Are the reasons any good?" not in page_of(run).text
        assert "reasons any good" not in render_model_card(read_run(run))
    del metrics["reasonings"]
    assert quality_of(metrics) is None and reasonings_line(metrics) is None
    incomplete = {"reasoned": {}, "blend": {"shown": None}}
    run.evaluation_metrics.write_text(json.dumps({**metrics, "reasonings": incomplete}))
    assert "For – test texts the classifier wrote – reasonings." in page_of(run).text


def test_one_line_says_how_many_are_shown_and_why_others_are_not() -> None:
    def of(count, n=150):
        return {"count": count, "n": n, "share": count / n, "ci95": [0.0, 1.0]}

    quality = {
        "written": of(150, 160),
        "shown": of(90),
        "afterthoughts": of(0),
        "withheld": of(60),
        "withheld_by_reason": {"leads to another label": of(20), "ungrounded": of(40)},
    }
    metrics = {"classifier": {"mode": "fast"}, "modes": {"blend": {}, "reasoned": {}}}
    metrics["reasonings"] = {
        "blend": {**quality, "shown": of(0), "afterthoughts": of(90)},
        "reasoned": quality,
    }
    assert reasonings_line(metrics) == (
        "reasonings, mode reasoned: 150 written, 90 shown, 60 withheld (40 ungrounded, 20 leads to another label)"
    )
    metrics["classifier"]["mode"] = "blend"
    line = reasonings_line(metrics)
    assert (
        line is not None
        and "mode blend: 150 written, 0 shown, 90 shown as afterthoughts, 60 withheld" in line
    )
    found = quality_of(metrics)
    assert found is not None and [row.mode for row in found.modes] == ["blend", "reasoned"]
    assert [reason for reason, _ in found.reasons] == ["ungrounded", "leads to another label"]


def test_what_models_say_stands_beside_what_it_is_to_be_compared_with(make_run: MakeRun) -> None:
    run = make_run()
    metrics = json.loads(run.evaluation_metrics.read_text())
    share = {"count": 11, "n": 50, "share": 0.22, "ci95": [0.128, 0.352]}
    metrics["reasonings_judged"] = {
        "mode": "reasoned",
        "n": 50,
        "fluency": {
            "median": -2.1,
            "training_n": 48,
            "training_median": -1.85,
            "limit": -2.56,
            "below": share,
        },
        "support": {"positive": {**share, "share": 0.62}, "mean_margin": 0.2},
        "overlap": None,
    }
    run.evaluation_metrics.write_text(json.dumps(metrics))
    text = page_of(run).text
    assert "What models say of 50 reasonings, drawn with the seed, mode reasoned" in text
    assert "median, in nats −2.10 −1.85 48 training reasonings" in text
    assert "below −2.56 22.0 % 12.8 to 35.2 % 11 of 50 5.0 % training reasonings, by definition" in text
    assert "62.0 %" in text and "Quotes what the label rests on" not in text
    assert "No reader has judged them yet" in text
    card = render_model_card(read_run(run)).replace("\u00a0", " ")
    assert (
        "| Less fluent than 95 % of training: below −2.56 | 22.0 % (12.8 to 35.2 %) | 5.0 %, training" in card
    )
    assert judged_of({}) is None and judged_of({"reasonings_judged": {"n": 3}}) is None
