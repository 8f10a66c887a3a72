"""The head of the card, read back by the hub's own classes."""

from __future__ import annotations

import json

import pytest
from huggingface_hub import EvalResult, ModelCard

from finished_run import MakeRun
from whylabel.report.model_card import write_model_card
from whylabel.run_folder import RunFolder


def head_of(run: RunFolder):
    """What the hub's client reads of the card; it raises where the form is not that of the specification."""
    return ModelCard(write_model_card(run).read_text(encoding="utf-8"), ignore_metadata_errors=False).data


def with_recipe(run: RunFolder, **sections: str) -> RunFolder:
    run.write_recipe("".join(f"{name}: {value}\n" for name, value in sections.items()))
    return run


def test_the_hub_reads_what_the_run_found(make_run: MakeRun) -> None:
    run = make_run()
    head = head_of(run)
    scores = json.loads(run.evaluation_metrics.read_text(encoding="utf-8"))["classifier"]
    common = {
        "task_type": "text-classification",
        "task_name": "Text Classification",
        "dataset_type": "builtin:emotions",
        "dataset_name": "builtin:emotions",
        "dataset_split": "test",
        "dataset_args": {"rows": 180},
    }
    assert head.model_name == run.path.name
    found = [
        EvalResult(
            metric_type="accuracy",
            metric_name="Accuracy",
            metric_value=round(scores["accuracy"], 4),
            **common,
        ),
        EvalResult(
            metric_type="f1",
            metric_name="Macro-F1",
            metric_value=round(scores["macro_f1"], 4),
            metric_args={"average": "macro"},
            **common,
        ),
    ]
    assert head.eval_results == found
    assert head.metrics == ["accuracy", "f1"]
    assert head.license == "apache-2.0"
    assert head.base_model == "HuggingFaceTB/SmolLM2-135M-Instruct"
    assert head.language == ["en"]
    assert (head.library_name, head.pipeline_tag) == ("whylabel", "text-classification")
    assert {"whylabel", "text-classification", "reasoning"} <= set(head.tags)
    assert head.datasets is None


@pytest.mark.parametrize(
    ("source", "datasets", "kind", "config"),
    [
        ("hub:dair-ai/emotion", ["dair-ai/emotion"], "dair-ai/emotion", None),
        ("hub:dair-ai/emotion:split", ["dair-ai/emotion"], "dair-ai/emotion", "split"),
        ("/home/me/tickets.csv", None, "tickets.csv", None),
    ],
)
def test_a_data_set_of_the_hub_is_linked(make_run: MakeRun, source, datasets, kind, config) -> None:
    head = head_of(with_recipe(make_run(), data=f"{{source: '{source}'}}"))
    assert head.datasets == datasets
    result = head.eval_results[0]
    assert (result.dataset_type, result.dataset_config) == (kind, config)
    assert "/home/me" not in head.to_yaml()


@pytest.mark.parametrize(
    ("base_model", "licence", "name", "said"),
    [
        ("meta-llama/Llama-3.2-1B", "llama3.2", None, "and its licence: llama3.2."),
        ("Qwen/Qwen2.5-3B", "other", "qwen-research", "and its licence: qwen-research."),
        ("owner/model", None, None, "and its licence, which is not known here: look it up"),
    ],
)
def test_the_licence_is_that_of_the_base_model(make_run: MakeRun, base_model, licence, name, said) -> None:
    run = with_recipe(make_run(), base_model=base_model)
    head = head_of(run)
    assert (head.license, head.to_dict().get("license_name")) == (licence, name)
    assert said in run.model_card.read_text(encoding="utf-8")


def test_what_is_not_known_is_left_out(make_run: MakeRun) -> None:
    run = with_recipe(make_run(text="mm"), base_model="/home/me/secret")
    for path in (run.evaluation_metrics,):
        path.unlink()
    head = head_of(run)
    assert head.eval_results is None and head.metrics is None
    assert head.license is None and head.base_model is None
    assert head.language is None


def test_rows_that_were_cut_from_train_are_not_said_to_be_of_a_test_split(make_run: MakeRun) -> None:
    run = make_run()
    data = run.read_manifest()["data"]
    cut = "180 of 1200 train rows, stratified by label, seed 13"
    run.update_manifest(data={**data, "inferred": {"test": cut}})
    result = head_of(run).eval_results[0]
    assert (result.dataset_split, result.dataset_args) == ("train", {"rows": 180, "cut": cut})


def test_figures_on_a_test_file_of_its_own_are_not_of_the_data_set(make_run: MakeRun) -> None:
    run = with_recipe(make_run(), data="{source: 'hub:dair-ai/emotion', test: /home/me/held_out.csv}")
    head = head_of(run)
    result = head.eval_results[0]
    assert (result.dataset_type, result.dataset_name, result.dataset_split) == (*["held_out.csv"] * 2, None)
    assert head.datasets == ["dair-ai/emotion"] and "/home/me" not in head.to_yaml()


@pytest.mark.parametrize(
    ("fingerprint", "shown"),
    [("0f" * 32, None), ("models/llama@3f1c", "models/llama"), (None, "models/llama")],
)
def test_a_relative_folder_is_not_taken_for_a_model_of_the_hub(make_run: MakeRun, fingerprint, shown) -> None:
    run = with_recipe(make_run(), base_model="models/llama")
    run.update_manifest(base_model={"name": "models/llama", "fingerprint": fingerprint})
    assert head_of(run).base_model == shown
    assert ("models/llama" in run.model_card.read_text(encoding="utf-8")) is (shown is not None)


def test_a_model_that_learnt_no_reasoning_does_not_say_that_it_reasons(make_run: MakeRun) -> None:
    run = with_recipe(make_run(), classifier="{target: label}")
    head = head_of(run)
    assert "reasoning" not in head.tags
    text = run.model_card.read_text(encoding="utf-8")
    assert "reasonings" not in text.split("## Limits")[1].split("## Lineage")[0]
