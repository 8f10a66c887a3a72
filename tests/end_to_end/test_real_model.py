"""The whole method on the real SmolLM2-135M, with a few rows: what `make demo` does, in small."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

from whylabel.evaluation.predictions import read_predictions
from whylabel.run_folder import STAGES, RunFolder

ROOT = Path(__file__).parents[2]
NAME = "smollm2-135m-instruct"


def whylabel(*arguments: str, stdin: str | None = None) -> subprocess.CompletedProcess:
    return subprocess.run(
        [sys.executable, "-m", "whylabel", *arguments],
        input=stdin,
        capture_output=True,
        text=True,
        check=False,
    )


@pytest.mark.end_to_end
def test_every_stage_with_the_default_model(tmp_path):
    pulled = whylabel("models", "pull", NAME)
    assert pulled.returncode == 0, pulled.stderr
    run = RunFolder(tmp_path / "run")
    arguments = [
        *("run", str(ROOT / "recipes" / "quickstart.yaml"), "--output", str(run.path), "--limit", "12"),
        *("reasoner.validation_rows=4", "reasoner.training.max_steps=2", "training.max_steps=3"),
        # A reasoner is only trained where rows lack a reasoning.
        *("data.reasoning_column=null", "reasoner.data=builtin:cues"),
        *("classifier.reasoning_attempts=1", "evaluation.quality_rows=4"),
        *("augment.sampling.max_new_tokens=24", "augment.filters.names=[empty]"),
        # The other engine is compared with this one in test_openvino_real_model.py.
        "augment.engine=transformers",
    ]
    first = whylabel(*arguments)
    assert first.returncode == 0, first.stderr
    assert "classifier − baseline" in first.stdout
    metrics = json.loads(run.evaluation_metrics.read_text())
    assert metrics["classifier"]["n"] == metrics["baseline"]["n"] == 12
    reasoned = [row.prediction for row in read_predictions(run.predictions) if row.model == "classifier"]
    assert any(prediction.reasoning for prediction in reasoned)
    assert all(sum(prediction.probabilities) == pytest.approx(1) for prediction in reasoned)

    second = whylabel(*arguments)
    assert second.returncode == 0, second.stderr
    assert second.stderr.count("nothing has changed, skipped") == len(STAGES)

    for mode, reasons in (("fast", False), ("reasoned", True)):
        predict = ("predict", "--model", str(run.path), "--mode", mode)
        found = whylabel(*predict, stdin="I could not stop smiling.\n")
        assert found.returncode == 0, found.stderr
        row = json.loads(found.stdout)
        assert row["label"] in metrics["labels"]
        assert (row["reasoning_status"] is not None) == reasons


@pytest.mark.end_to_end
def test_the_default_model_knows_something():
    from whylabel.models.load import load
    from whylabel.prediction.scoring import LabelScorer
    from whylabel.text.prompts import Prompts

    loaded = load(NAME, device="cpu")
    prompts = Prompts(loaded.tokenizer)
    answers = ["Paris", "Madrid", "Rome"]
    scorer = LabelScorer(loaded, [prompts.answer_ids(answer) for answer in answers])
    prompt = prompts.recovery("What is the capital of Spain?", "")
    assert answers[int(scorer.log_scores([prompt])[0].argmax())] == "Madrid"
    assert loaded.honours_tree_masks is True
