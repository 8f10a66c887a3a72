import json

from whylabel.cli.results import _paired, print_results
from whylabel.evaluation.evaluate import evaluate
from whylabel.evaluation.predictions import write_predictions
from whylabel.recipe import EvaluationConfig
from whylabel.run_folder import RunFolder
from whylabel.text.labels import LabelSet
from whylabel.types import Example, Prediction


def test_a_tiny_p_value_is_not_zero():
    line = _paired({"difference": -0.278, "ci95": [-0.367, -0.189], "mcnemar_p": 1e-9})
    assert "−27.8 points" in line
    assert "p < 0.001" in line


def test_the_table_shows_every_model_and_the_reasonings(tmp_path, capsys):
    run = RunFolder(tmp_path / "a[b]c")
    test = [Example(str(number), f"text [bold] {number}", "ab"[number % 2]) for number in range(4)]
    sure = [Prediction(row.id, row.label, (0.9, 0.1)) for row in test]
    reasoned = [Prediction(row.id, "a", (0.7, 0.3), f"because {row.id}\x1b[31m", "reasoned") for row in test]
    outcome = evaluate(
        test,
        test,
        LabelSet(("a", "b")),
        {"baseline": sure, "classifier": reasoned},
        EvaluationConfig(bootstrap_samples=100, floors=["majority"]),
        1,
        modes={"fast": [Prediction(row.id, "b", (0.2, 0.8)) for row in test]},
    )
    run.evaluation_metrics.parent.mkdir(parents=True)
    run.evaluation_metrics.write_text(json.dumps(outcome.to_json()))
    write_predictions(run.predictions, outcome.rows)
    print_results(run, as_json=False)
    shown = capsys.readouterr().out
    for word in (
        "majority",
        "baseline",
        "the default mode first",
        "classifier, reasoned",
        "classifier, fast",
        "classifier − baseline",
        "text [bold] 1",
        "why:   because 1",
    ):
        assert word in shown
    assert "wrong, gold is b" in shown
    assert "because 1\ufffd[31m" in shown and "\x1b" not in shown
    assert f"report:      {run.report}" in shown and f"--model {run.path}" in shown
    print_results(run, as_json=True)
    assert json.loads(capsys.readouterr().out)["classifier"]["n"] == 4


def test_the_predictions_shown_say_why_where_a_mode_does(tmp_path, capsys):
    run = RunFolder(tmp_path)
    test = [Example(str(number), f"text {number}", "ab"[number % 2]) for number in range(4)]
    fast = [Prediction(row.id, row.label, (0.9, 0.1)) for row in test]
    outcome = evaluate(
        test,
        test,
        LabelSet(("a", "b")),
        {"baseline": fast, "classifier": fast},
        EvaluationConfig(bootstrap_samples=100, floors=[]),
        1,
        modes={
            "reasoned": [Prediction(row.id, "a", (0.7, 0.3), f"for {row.id}", "reasoned") for row in test]
        },
    )
    run.evaluation_metrics.parent.mkdir()
    run.evaluation_metrics.write_text(json.dumps(outcome.to_json()))
    write_predictions(run.predictions, outcome.rows)
    print_results(run, as_json=False)
    shown = capsys.readouterr().out
    assert "classifier, fast" in shown and "in mode reasoned:" in shown
    assert f"whylabel predict --model {run.path} --mode reasoned" in shown
    assert shown.count("why:   for") == 4 and shown.count("label: a") == 4
