"""The report and the card say of each recipe what was done, and nothing else."""

from __future__ import annotations

import json
from typing import Any

import pytest

from finished_run import MakeRun, with_recipe
from report_page import page_of
from whylabel.host.atomic import write_json
from whylabel.report.account import account_of
from whylabel.report.contents import read_run
from whylabel.report.model_card import render_model_card


def spoil(path: Any, **values: Any) -> None:
    write_json(path, {**json.loads(path.read_text(encoding="utf-8")), **values})


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        (
            {},
            "The reasoner was asked for a reasoning about each of 480 training texts, given the gold label.",
        ),
        (
            {"augment__condition": "free", "augment__verification__verifier": "base"},
            "without being shown the gold label. The base model, untrained, judged whether each leads to its label.",
        ),
        (
            {"augment__condition": "free_then_label", "augment__verification__verifier": "baseline"},
            "first without being shown the gold label, then with it where nothing acceptable was written. Baselines "
            "that had not seen the text judged whether each leads to its label.",
        ),
        (
            {"reasoner__model": "big-one", "reasoner__endpoint": "http://127.0.0.1:8000/v1"},
            "The model big-one, behind an endpoint, was asked for a reasoning about each of 480 training texts",
        ),
        ({"reasoner__model": "/home/me/secret/reasoner"}, "The ready reasoner reasoner was asked"),
        (
            {"augment__candidates": 4, "augment__sampling__temperature": 0.7},
            "4 were drawn for each, and the first that passes all filters is kept.",
        ),
    ],
)
def test_how_the_reasonings_came_about(make_run: MakeRun, settings: dict[str, Any], said: str) -> None:
    run = with_recipe(make_run(), **settings)
    card = render_model_card(read_run(run)).replace("\\", "")
    assert said in page_of(run).text and said in card
    assert ("it was given the gold label" in card) == ("augment__condition" not in settings)
    assert "/home/me" not in card


def test_texts_that_came_with_their_reasoning_need_no_reasoner(make_run: MakeRun) -> None:
    run = make_run()
    spoil(run.augment_metrics, kept_by_condition={"own": 480}, kept=480, dropped=0, failed=0)
    text = page_of(run).text
    assert "All 480 training texts came with a reasoning, which they keep: no reasoner was asked." in text
    assert "it was given the gold label" not in render_model_card(read_run(run))
    assert "was asked for" not in text and "Held-out loss" not in text and "train-reasoner" not in text


def test_a_script_is_not_called_a_reasoner(make_run: MakeRun) -> None:
    run = with_recipe(make_run(), reasoner__model="tiny", augment__engine="scripted")
    text = page_of(run).text
    assert "A script in place of the reasoner (engine scripted) was asked for a reasoning" in text
    assert "ready reasoner" not in text


def test_texts_whose_label_looks_wrong_are_said_to_get_none(make_run: MakeRun) -> None:
    run = make_run()
    spoil(run.augment_metrics, dropped_by_reason={"suspect label": 12})
    text = page_of(run).text
    assert "12 texts have a label that looks wrong, and get no reasoning." in text
    assert "about each of the others" in text


@pytest.mark.parametrize(
    ("settings", "said", "not_said"),
    [
        ({"classifier__target": "label"}, "on the labels alone, like the baseline", "reasoning first"),
        (
            {"classifier__target": "reasoning_label"},
            "the reasoning first and then the label, on those texts alone whose reasoning was kept.",
            "At most",
        ),
        (
            {"classifier__target": "label_reasoning"},
            "the label first and then the reasoning, on those texts alone",
            "the reasoning first",
        ),
        (
            {"classifier__target": "dual"},
            "to label every text at once, and to write the reasoning first and then the label where a reasoning was "
            "kept. At most 50\u00a0% of the examples hold a reasoning.",
            "spoilt",
        ),
        ({"classifier__reasoned_share": 0.8}, "to label texts at once", "every text"),
        ({"classifier__target": "multi_task"}, "as a task of its own, to write the reasoning", "spoilt"),
        (
            {"classifier__control": "filler"},
            "These reasonings were spoilt on purpose (filler: dots in place of words).",
            "took turns",
        ),
    ],
)
def test_what_the_classifier_was_trained_on(
    make_run: MakeRun, settings: dict[str, Any], said: str, not_said: str
) -> None:
    run = with_recipe(make_run(), **settings)
    learnt = account_of(read_run(run)).learnt
    assert said in learnt and not_said not in learnt
    page = page_of(run)
    assert said.replace("\u00a0", " ") in page.text.replace("\u00a0", " ")
    assert "the classifier was trained on the reasonings that were kept" not in page.text


def test_without_a_kept_reasoning_it_learnt_labels_alone(make_run: MakeRun) -> None:
    run = make_run()
    spoil(run.augment_metrics, kept=0)
    assert "No reasoning was kept, so the classifier was trained on the labels alone." in page_of(run).text


def test_rounds_of_self_training_are_told(make_run: MakeRun) -> None:
    run = make_run()
    rounds = [{"kept": 5, "rows": 9}, {"kept": 7, "rows": 9}]
    spoil(run.classifier_metrics, self_training=rounds)
    text = page_of(run).text
    assert "in 2 rounds: 7 of the last led to the label, passed the filters and are learnt first." in text
    assert (
        "own for these texts" in text and "more optimizer steps" not in text and "as many tokens" not in text
    )
    spoil(run.classifier_metrics, tokens=50, self_training=[{"kept": 0, "steps": 30, "tokens": 450}])
    spoil(run.baseline_metrics, tokens=100)
    text = page_of(run).text
    assert "in one round: none of the last led to the label and passed the filters." in text
    assert (
        "The round took 30 more optimizer steps." in text
        and "5.0 times as many tokens as the baseline" in text
    )
    spoil(run.augment_metrics, kept_by_condition={"own": 3})
    assert "own for the texts that came without one" in page_of(run).text


def test_people_who_decided_are_counted(make_run: MakeRun) -> None:
    from whylabel.reasonings.files import kept_rows, read_reasoned

    run = make_run()
    rows = read_reasoned(run.kept)
    with kept_rows(run.kept) as keep:
        for at, row in enumerate(rows):
            keep(
                type(row)(
                    row.id, row.text, row.label, row.reasoning, "edited by Ann" if at < 3 else row.reasoner
                )
            )
    text = page_of(run).text
    assert "People accepted or edited 3 of those that were kept." in text
    assert "edited by Ann 3" in text


def test_settings_that_differ_between_the_two_models_are_named(make_run: MakeRun) -> None:
    run = with_recipe(make_run())
    assert "with the same settings and seed" in page_of(run).text
    stages = run.read_manifest()["stages"]
    stages["train-baseline"]["recipe"]["training"]["learning_rate"] = 0.5
    run.update_manifest(stages=stages)
    text = page_of(run).text
    assert "with the same settings" not in text.replace("not trained with the same settings", "")
    assert "training.learning_rate 0.5 for the baseline, 0.0001 for the classifier" in text
    stages["train-baseline"]["decided_by"], stages["train-classifier"]["decided_by"] = (
        {"train rows": "a" * 64},
        {"train rows": "b" * 64},
    )
    run.update_manifest(stages=stages)
    assert "they had different training texts" in page_of(run).text


def test_how_many_more_tokens_it_saw_is_counted(make_run: MakeRun) -> None:
    assert "2.2 times as many tokens as the baseline" in page_of(make_run()).text


def test_a_run_without_floors_claims_none(make_run: MakeRun) -> None:
    run = make_run()
    assert "The two floors use no language model" in page_of(run).text
    metrics = json.loads(run.evaluation_metrics.read_text(encoding="utf-8"))
    del metrics["floors"]["tfidf"]
    write_json(run.evaluation_metrics, metrics)
    assert "The floor uses no language model: the most frequent training label." in page_of(run).text
    write_json(run.evaluation_metrics, {**metrics, "floors": {}})
    assert "use no language model" not in page_of(run).text


def test_predictions_without_reasonings_claim_none(make_run: MakeRun) -> None:
    assert "A reasoning is the text that the model wrote before its label" in page_of(make_run()).text
    text = page_of(make_run(models=["baseline"])).text
    assert "The baseline writes no reasoning." in text and "wrote before its label" not in text


def test_the_length_of_reasonings_is_in_words(make_run: MakeRun) -> None:
    assert "Length, quantile 0.5 31 words" in page_of(make_run()).text


def test_a_folder_of_other_labelled_texts_trained_no_model(make_run: MakeRun) -> None:
    run = make_run()
    run.update_manifest(model={"classifier": "runs/other/classifier/model"})
    text = page_of(run).text
    assert "No model was trained here" in text and "The recipe that the models were trained by" in text
