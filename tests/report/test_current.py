"""Only stages of this recipe that are up to date are shown."""

from __future__ import annotations

from typing import Any

import pytest

from finished_run import MakeRun, with_recipe
from report_page import page_of
from whylabel.report.contents import read_run
from whylabel.report.current import is_of_recipe, outdated
from whylabel.report.model_card import render_model_card
from whylabel.run_folder import RunFolder

OF_REASONINGS = ("The reasoner was asked", "Held-out loss", "train-reasoner", "Dropped, by reason")


def test_a_recipe_without_reasonings_shows_none_of_an_earlier_one(make_run: MakeRun) -> None:
    run = make_run()
    assert all(words in page_of(run).text for words in OF_REASONINGS)
    with_recipe(run, classifier__target="label")
    page = page_of(run)
    assert not [words for words in OF_REASONINGS if words in page.text]
    hrefs = [attributes.get("href") for tag, attributes in page.tags if tag == "a"]
    assert "#augment" not in hrefs and "#reasoner" not in hrefs and "#training" in hrefs
    card = render_model_card(read_run(run))
    assert (
        "Reasonings:" not in card and "train-reasoner" not in card and "not proven to be faithful" not in card
    )


def test_a_ready_reasoner_was_not_trained(make_run: MakeRun) -> None:
    run = with_recipe(make_run(), reasoner__model="big-one", reasoner__endpoint="http://127.0.0.1:8000/v1")
    text = page_of(run).text
    assert "Held-out loss" not in text and "train-reasoner" not in text and "Dropped, by reason" in text


@pytest.mark.parametrize(
    ("stage", "settings", "expected"),
    [
        ("train-folds", {}, False),
        ("train-folds", {"augment": {"verification": {"verifier": "baseline"}}}, True),
        ("suspects", {"augment": {"suspects": {"folds": 3}}}, True),
        ("suspects", {"augment": {"suspects": {"folds": 3}}, "classifier": {"target": "label"}}, False),
        ("evaluate", {"classifier": {"target": "label"}}, True),
        ("of a later version", {}, True),
    ],
)
def test_which_stages_a_recipe_has(stage: str, settings: dict[str, Any], expected: bool) -> None:
    assert is_of_recipe(stage, settings, {}) is expected


def record(run: RunFolder, stage: str, **values: Any) -> None:
    stages = run.read_manifest()["stages"]
    run.update_manifest(stages={**stages, stage: {**stages[stage], **values}})


@pytest.mark.parametrize("status", ["running", "undone"])
def test_a_stage_that_is_not_done_is_not_shown(make_run: MakeRun, status: str) -> None:
    run = make_run()
    record(run, "evaluate", status=status)
    assert "This run has not been evaluated yet" in page_of(run).text
    record(run, "evaluate", status="done")
    record(run, "augment", status=status)
    text = page_of(run).text
    assert "The reasoner was asked" not in text and "has not been evaluated" not in text


def test_what_an_earlier_result_was_made_of_is_outdated(make_run: MakeRun) -> None:
    run = make_run()
    record(run, "augment", content="a" * 64)
    record(run, "train-classifier", decided_by={"reasonings": "a" * 64})
    assert "outdated" not in page_of(run).text
    record(run, "augment", content="b" * 64)
    text = page_of(run).text
    assert (
        "The results of train-classifier are outdated (augment has been run again since) and not shown"
        in text
    )
    assert "The classifier was trained" not in text
    record(run, "train-classifier", decided_by={"reasonings": "b" * 64, "training.learning_rate": 0.5})
    assert "training.learning_rate was 0.5, and the recipe says 0.0001" in page_of(run).text


def test_numbers_that_yaml_reads_as_text_have_not_changed() -> None:
    entry = {
        "status": "done",
        "decided_by": {"training.learning_rate": 1e-05, "base_model": "c" * 64, "seed": 13},
    }
    recipe = {"training": {"learning_rate": "1e-5"}, "base_model": "smollm2-135m-instruct", "seed": 13}
    assert outdated({"train-baseline": entry}, recipe) == {}
    assert outdated({"train-baseline": entry}, {**recipe, "seed": 14}) == {
        "train-baseline": "seed was 13, and the recipe says 14"
    }
