"""The model card: front matter that Hugging Face reads, honest text, nothing that data can break."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import yaml

from finished_run import MakeRun
from whylabel.report.model_card import write_model_card
from whylabel.run_folder import RunFolder


def card_of(run: RunFolder) -> tuple[dict[str, Any], str]:
    text = write_model_card(run).read_text(encoding="utf-8")
    _, front, body = text.split("---\n", 2)
    return yaml.safe_load(front), body


def test_front_matter(make_run: MakeRun) -> None:
    run = make_run()
    front, _ = card_of(run)
    assert front["library_name"] == "whylabel"
    assert front["pipeline_tag"] == "text-classification"
    assert front["base_model"] == "HuggingFaceTB/SmolLM2-135M-Instruct"
    assert "whylabel" in front["tags"]
    (result,) = front["model-index"][0]["results"]
    metrics = json.loads(run.evaluation_metrics.read_text(encoding="utf-8"))
    assert result["metrics"][0]["value"] == pytest.approx(metrics["classifier"]["accuracy"], abs=1e-4)


def test_the_card_says_what_matters(make_run: MakeRun) -> None:
    run = make_run()
    _, body = card_of(run)
    metrics = json.loads(run.evaluation_metrics.read_text(encoding="utf-8"))
    assert f"{100 * metrics['classifier']['accuracy']:.1f}\u00a0%" in body
    assert "whylabel predict --model" in body
    assert "\n\nTrained with whylabel" in body
    assert "not proven to be faithful" in body
    assert "Of 480, 431 were kept" in body
    assert "Labels: sadness, joy, love, anger, fear, surprise." in body
    assert "builtin:emotions (480 train, 60 validation, 180 test texts)" in body


@pytest.mark.parametrize(
    ("base_model", "recorded", "said"),
    [
        ("smollm2-135m-instruct", {}, "- Base model: HuggingFaceTB/SmolLM2-135M-Instruct. Its weights were"),
        ("owner/model", {}, None),
        (
            "mine.gguf",
            {"quantisation": "Q8_0"},
            "- Base model: mine.gguf. Its weights were de-quantised from Q8_0",
        ),
        ("mine.gguf", {"name": "mine.gguf"}, None),
    ],
)
def test_the_card_says_from_which_form_the_base_model_was_de_quantised(make_run, base_model, recorded, said):
    run = make_run()
    run.write_recipe(f"base_model: {base_model}\n")
    run.update_manifest(base_model=recorded)
    _, body = card_of(run)
    assert ("de-quantised from" in body) == (said is not None)
    assert said is None or said in body.replace("\\", "")
    assert "\n- Reasonings: The reasoner was asked" in body


def test_the_card_lists_the_modes(make_run: MakeRun) -> None:
    run = make_run(modes=("adaptive",))
    _, body = card_of(run)
    metrics = json.loads(run.evaluation_metrics.read_text(encoding="utf-8"))
    for mode, words in (("adaptive", "reasoning where unsure"), ("reasoned", "reasoning, then label")):
        accuracy = f"{100 * metrics['modes'][mode]['accuracy']:.1f}\u00a0%"
        assert f"| {mode}: {words} | {accuracy}" in body
    assert 'classifier.predict(["a text"], mode="adaptive")' in body
    assert "in each mode that was evaluated" not in card_of(make_run())[1]


def test_data_starts_no_markup(make_run: MakeRun) -> None:
    hostile = "a | b\n# c <script>x</script> [l](http://e.vil) `k`"
    run = make_run(labels=[hostile, "plain"])
    _, body = card_of(run)
    assert "<script>" not in body
    assert "\n# c" not in body
    assert r"a \| b \# c \<script\>x\</script\> \[l\](http://e.vil) \`k\`" in body


@pytest.mark.parametrize(
    ("base_model", "expected"),
    [
        ("meta-llama/Llama-3.2-1B-Instruct", "meta-llama/Llama-3.2-1B-Instruct"),
        ("/home/me/models/secret", None),
        ("./models/secret", None),
        ("models/secret.gguf", None),
    ],
)
def test_only_hub_ids_are_base_models(make_run: MakeRun, base_model: str, expected: str | None) -> None:
    run = make_run()
    run.write_recipe(f"base_model: {base_model}\n")
    assert card_of(run)[0].get("base_model") == expected


def test_a_local_path_is_not_given_away(make_run: MakeRun) -> None:
    run = make_run()
    run.write_recipe("base_model: /home/me/models/llama\ndata: {source: /home/me/data/tickets.csv}\n")
    front, body = card_of(run)
    assert "/home/me" not in body + str(front)
    assert "tickets.csv" in body


def test_an_empty_run_folder_gives_a_card(tmp_path: Path) -> None:
    front, body = card_of(RunFolder(tmp_path))
    assert "model-index" not in front
    assert "This run has not been evaluated yet." in body
