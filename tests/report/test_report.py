"""The report: complete, self-contained, escaped, and content with missing parts."""

from __future__ import annotations

import json
from dataclasses import replace
from itertools import pairwise
from pathlib import Path

import pytest

from finished_run import MakeRun, write_run
from report_page import page_of
from whylabel.errors import RunFolderError
from whylabel.evaluation.predictions import read_predictions, write_predictions
from whylabel.host.atomic import read_json, write_json
from whylabel.recipe import BaselineConfig, ClassifierConfig, Recipe, override_recipe
from whylabel.report.contents import read_run
from whylabel.report.model_card import render_model_card
from whylabel.report.report import write_report
from whylabel.run_folder import RunFolder

HOSTILE = "</style><script>alert(1)</script> \"'>&amp; {{ 7*7 }} \x00"


def test_the_numbers_are_on_the_page(make_run: MakeRun) -> None:
    run = make_run()
    text = page_of(run).text
    metrics = json.loads(run.evaluation_metrics.read_text(encoding="utf-8"))
    for model in (metrics["baseline"], metrics["classifier"], *metrics["floors"].values()):
        assert f"{100 * model['accuracy']:.1f} %" in text
        assert f"{100 * model['macro_f1']:.1f} %" in text
    assert f"{abs(100 * metrics['paired']['difference']):.1f} points" in text
    assert f"p = {metrics['paired']['mcnemar_p']:.2f}" in text
    for expected in ("480", "431 kept", "47 dropped", "2 failed", "unfinished", "1.834", "6.26", "97.5 %"):
        assert expected in text
    for expected in ("learning_rate: 0.0001", "AMD EPYC", "cd34cd34", "train-reasoner", "2.13.0"):
        assert expected in text


def test_the_modes_of_a_classifier_stand_side_by_side_and_say_what_abstaining_does(make_run: MakeRun) -> None:
    run = make_run(modes=("fast", "blend"))
    text = page_of(run).text
    metrics = json.loads(run.evaluation_metrics.read_text(encoding="utf-8"))
    assert list(metrics["modes"]) == ["blend", "fast", "reasoned"]
    assert "The classifier in each mode that was evaluated, the default first" in text
    assert text.index("reasoned reasoning, then label") < text.index("fast label at once")
    for mode, model in metrics["modes"].items():
        assert f"{100 * model['accuracy']:.1f} %" in text
        assert f"abstains where it is unsure, mode {mode}" in text
    assert "Predictions of the classifier, mode reasoned" in text
    alone = page_of(make_run()).text
    assert "in each mode that was evaluated" not in alone
    assert "If the classifier abstains where it is unsure Texts that get a label" in alone
    assert "0.60 100.0 %" in alone
    assert "0.70 0.0 % –" in alone


def test_nothing_is_fetched_and_no_script_runs(make_run: MakeRun) -> None:
    page = page_of(make_run())
    assert not {"script", "link", "img", "iframe", "object"} & {tag for tag, _ in page.tags}
    for _, attributes in page.tags:
        assert not [name for name in attributes if name.startswith("on")]
        for name in ("src", "href", "xlink:href", "action"):
            assert (attributes.get(name) or "#").startswith("#")
    policy = next(a["content"] for t, a in page.tags if t == "meta" and "http-equiv" in a)
    assert policy is not None
    assert policy.startswith("default-src 'none'; style-src 'unsafe-inline'; img-src data:")
    assert "@import" not in (style := write_report(RunFolder(make_run().path)).read_text("utf-8"))
    assert "url(" not in style


def test_everything_from_data_is_escaped(make_run: MakeRun) -> None:
    labels = [f"{HOSTILE}{i}" for i in range(3)]
    run = make_run(labels=labels, text=HOSTILE, reasoning=HOSTILE)
    manifest = {"versions": {HOSTILE: HOSTILE}, "seed": HOSTILE, "stages": {HOSTILE: {"status": HOSTILE}}}
    write_json(run.manifest, manifest)
    write_json(run.augment_metrics, {"rows": 3, "dropped_by_reason": {HOSTILE: 3}})
    write_json(
        run.reasoner_metrics, {"examples": [{"question": HOSTILE, "answer": HOSTILE, "reasoning": HOSTILE}]}
    )
    run.write_recipe(f"task: {{question: {json.dumps(HOSTILE)}}}\n")
    page = page_of(run)
    html = run.report.read_text(encoding="utf-8")
    assert "<script" not in html
    assert html.count("</style>") == 1
    assert "\x00" not in html
    assert "<script>alert(1)</script> \"'>&amp; {{ 7*7 }} \ufffd" in page.text
    known = {
        "class",
        "style",
        "title",
        "id",
        "lang",
        "charset",
        "name",
        "content",
        "http-equiv",
        "href",
        "dir",
    }
    known |= {
        "role",
        "tabindex",
        "scope",
        "colspan",
        "rx",
        "x",
        "y",
        "cx",
        "cy",
        "r",
        "dy",
        "text-anchor",
        "x1",
        "x2",
        "y1",
        "y2",
        "width",
        "height",
    }
    for _, attributes in page.tags:
        assert not {name for name in attributes if name not in known and not name.startswith("aria-")}


def test_twenty_right_and_twenty_wrong_predictions(make_run: MakeRun) -> None:
    page = page_of(make_run())
    cards = [a["class"] for tag, a in page.tags if tag == "article"]
    assert cards.count("card right") == 20
    assert cards.count("card wrong") == 20


def test_tables_and_drawings_are_accessible(make_run: MakeRun) -> None:
    page = page_of(make_run())
    for tag, attributes in page.tags:
        if tag == "svg":
            assert attributes.get("aria-label") or attributes.get("aria-hidden") == "true"
        if tag == "th":
            assert attributes.get("scope") in ("row", "col")
    assert [tag for tag, _ in page.tags].count("h1") == 1


def test_headings_regions_and_tables_are_named_for_screen_readers(make_run: MakeRun) -> None:
    run = make_run(modes=("fast",))
    write_json(run.inspection, {"rows": {"train": 480}, "columns": ["text"], "text_column": "text"})
    page = page_of(run)
    levels = [int(tag[1]) for tag, _ in page.tags if tag in ("h1", "h2", "h3", "h4", "h5")]
    assert levels[0] == 1
    assert all(later <= level + 1 for level, later in pairwise(levels))
    ids = [attributes["id"] for _, attributes in page.tags if "id" in attributes]
    assert len(ids) == len(set(ids))
    names = [tag for tag, _ in page.tags]
    assert [names.count(tag) for tag in ("header", "nav", "main", "footer")] == [1, 1, 1, 1]
    assert names.count("table") == names.count("caption") > 10
    assert names.count("figure") == names.count("figcaption")
    for tag, attributes in page.tags:
        if (attributes.get("href") or "").startswith("#"):
            assert (attributes["href"] or "")[1:] in ids
        if tag == "section":
            assert attributes["aria-labelledby"] in ids
        if attributes.get("role") in ("region", "img") or tag == "nav":
            assert attributes.get("aria-label")
        if attributes.get("role") == "region":
            # Whoever has no mouse scrolls it with the keys.
            assert attributes.get("tabindex") == "0"


def test_many_labels_list_the_confusions_instead_of_a_matrix(make_run: MakeRun) -> None:
    page = page_of(make_run(labels=[f"intent_{i}" for i in range(77)]))
    assert "most frequent confusions" in page.text
    assert "F1 of all 77 labels" in page.text
    assert not [a for tag, a in page.tags if tag == "table" and "heat" in (a.get("class") or "")]


def test_what_the_baseline_was_given_is_said(make_run: MakeRun) -> None:
    run = make_run()
    assert "with the same settings" in page_of(run).text
    run.write_recipe(Recipe(baseline=BaselineConfig(budget="matched_flops")).to_yaml())
    assert "as much arithmetic as the classifier" in page_of(run).text
    assert "the same base model, with the same settings and seed but for the budget" in page_of(run).text
    run.write_recipe(Recipe(baseline=BaselineConfig(budget="matched_steps")).to_yaml())
    assert "as many optimizer steps as the classifier" in page_of(run).text


def test_a_control_says_that_it_is_one(make_run: MakeRun) -> None:
    run = make_run()
    assert "spoilt on purpose" not in page_of(run).text + render_model_card(read_run(run))
    spoilt = Recipe(name="spoilt", classifier=ClassifierConfig(control="filler"))
    run.write_recipe(spoilt.to_yaml())
    assert "spoilt on purpose (filler)" in page_of(run).text
    assert "spoilt on purpose (filler)" in render_model_card(read_run(run))


def test_a_control_says_nothing_of_what_reasoning_is_worth(make_run: MakeRun) -> None:
    run = make_run()
    figures = read_json(run.evaluation_metrics, dict)
    write_json(
        run.evaluation_metrics, {**figures, "slices": [{"by": "label", "value": "joy", "difference": 0.1}]}
    )
    assert "with reasoning against" in page_of(run).text
    run.write_recipe(Recipe(classifier=ClassifierConfig(control="filler")).to_yaml())
    text = page_of(run).text
    assert "with reasoning against" not in text and "of the classifier against" in text
    assert "Where do the two differ?" in text
    assert "reasoning against" not in render_model_card(read_run(run))


@pytest.mark.parametrize("only", ["baseline", "classifier"])
def test_one_model_alone(make_run: MakeRun, only: str) -> None:
    text = page_of(make_run(models=[only])).text
    assert f"Only the {only} has been evaluated" in text
    assert "Where the two disagree" not in text


@pytest.mark.parametrize("part", ["reasoner", "augment", "baseline", "classifier", "evaluation"])
def test_a_missing_part_is_left_out(make_run: MakeRun, part: str) -> None:
    run = make_run()
    for path in (run.path / part).iterdir():
        path.unlink()
    assert "Recipe and lineage" in page_of(run).text


def test_an_empty_run_folder_says_so(tmp_path: Path) -> None:
    assert "This run has not been evaluated yet" in page_of(RunFolder(tmp_path)).text


def test_empty_json_files_do_no_harm(make_run: MakeRun) -> None:
    run = make_run()
    for path in run.path.rglob("*.json"):
        write_json(path, {})
    assert "not been evaluated" in page_of(run).text


def test_a_missing_run_folder_is_one_clear_error(tmp_path: Path) -> None:
    with pytest.raises(RunFolderError, match="There is no run folder"):
        write_report(RunFolder(tmp_path / "nowhere"))


@pytest.mark.parametrize("name", ["evaluation/metrics.json", "augment/train.parquet", "recipe.yaml"])
def test_a_damaged_file_is_one_clear_error(make_run: MakeRun, name: str) -> None:
    run = make_run()
    (run.path / name).write_text("{: torn", encoding="utf-8")
    with pytest.raises(RunFolderError, match="cannot be read"):
        write_report(run)


def test_the_same_run_gives_the_same_page(make_run: MakeRun) -> None:
    run = make_run()
    first = write_report(run).read_bytes()
    assert write_report(run).read_bytes() == first


def test_labels_that_lose_far_more_rows_than_others_are_shown(make_run: MakeRun) -> None:
    run = make_run()
    sentence = "label 'IT' loses 10 of 12 rows (too short), the other labels 1 of 90"
    write_json(
        run.augment_metrics, {"rows": 102, "kept": 91, "dropped": 11, "failed": 0, "uneven": [sentence]}
    )
    assert f"Uneven: {sentence}." in page_of(run).text


def test_reasonings_that_came_with_the_data_are_not_said_to_be_written_by_the_reasoner(
    make_run: MakeRun,
) -> None:
    run = make_run()
    metrics = json.loads(run.augment_metrics.read_text(encoding="utf-8"))
    plain = page_of(run).text, render_model_card(read_run(run))
    write_json(run.augment_metrics, {**metrics, "kept_by_condition": {"own": 123, "label": 308}})
    page, card = page_of(run).text, render_model_card(read_run(run))
    asked = "The reasoner was asked for a reasoning about each of"
    for text in plain:
        assert f"{asked} 480 training texts, given the gold label." in text and "came with" not in text
    for text in (page, card):
        assert "Of 480 training texts, 123 came with a reasoning, which they keep." in text
        assert f"{asked} the others, given the gold label." in text


def test_the_report_says_from_where_on_an_error_rate_is_kept(tmp_path: Path) -> None:
    run = write_run(tmp_path / "run")
    metrics = json.loads(run.evaluation_metrics.read_text())
    metrics["classifier"]["abstention"] = [
        {"error_rate": 0.1, "threshold": 0.8123, "coverage": 0.5, "errors": 0.04},
        {"error_rate": 0.01, "threshold": None, "coverage": None, "errors": None},
    ]
    run.evaluation_metrics.write_text(json.dumps(metrics))
    text = page_of(run).text
    assert "At most wrong" in text and "0.812" in text
    assert "no threshold can be guaranteed with 180 test texts" in text


def test_a_run_without_reasonings_does_not_speak_of_them(make_run: MakeRun) -> None:
    run = make_run(models=("baseline", "classifier"))
    metrics = json.loads(run.evaluation_metrics.read_text(encoding="utf-8"))
    fast = {**metrics["baseline"]}
    keys = {"reasonings": {}, "modes": {"fast": fast}, "classifier": fast, "reasoning_effect": None}
    run.evaluation_metrics.write_text(json.dumps({**metrics, **keys}), encoding="utf-8")
    rows = [row for row in read_predictions(run.predictions) if row.prediction.mode == "fast"]
    again = [replace(row, model="classifier") for row in rows if row.model == "baseline"]
    write_predictions(run.predictions, [*rows, *again])
    run.write_recipe(override_recipe(Recipe(name="quickstart"), classifier__target="label").to_yaml())
    # All but the recipe and the stages.
    shown, _, _ = page_of(run).text.lower().partition("what this run was made with")
    for sentence in ("in this mode the classifier writes no reasoning.", "no reasoning took part"):
        assert sentence in shown
        shown = shown.replace(sentence, "")
    assert "reasoning" not in shown
