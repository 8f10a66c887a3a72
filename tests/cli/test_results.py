import io
import json

from rich.console import Console

from finished_run import write_run
from whylabel.cli.results import _comparison, _paired, _predictions, print_results
from whylabel.evaluation.evaluate import evaluate
from whylabel.evaluation.predictions import PredictionRow, write_predictions
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
            "reasoned": [
                Prediction(row.id, "a", (0.7, 0.3), f"for {row.id}", "reasoned", reasoning_status=status)
                for row, status in zip(test, ("ok", "ok", "ok", "withheld: too short"), strict=True)
            ]
        },
    )
    run.evaluation_metrics.parent.mkdir()
    run.evaluation_metrics.write_text(json.dumps(outcome.to_json()))
    write_predictions(run.predictions, outcome.rows)
    print_results(run, as_json=False)
    shown = capsys.readouterr().out
    assert "classifier, fast" in shown and "in mode reasoned:" in shown
    assert f"whylabel predict --model {run.path} --mode reasoned" in shown
    assert shown.count("why:   for") == 3 and shown.count("label: a") == 4
    assert "why:   (withheld: too short)" in shown
    assert "\nreasonings, mode reasoned: 4 written, 3 shown, 1 withheld (1 too short)\n" in shown


def test_what_models_said_has_no_colours_of_its_own_on_a_terminal(tmp_path, monkeypatch, capsys):
    run = RunFolder(tmp_path)
    monkeypatch.setenv("FORCE_COLOR", "1")
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.delenv("NO_COLOR", raising=False)
    rows = [
        PredictionRow(model, "in 2024 [red]1 'x'", "joy", Prediction("1", "joy", (0.75, 0.25)))
        for model in ("baseline", "classifier")
    ]
    write_predictions(run.predictions, rows)
    metrics = {
        "classifier": figures(0.5),
        "paired": {"difference": 0.25, "ci95": [0.125, 0.375], "mcnemar_p": 0.25},
    }
    run.evaluation_metrics.write_text(json.dumps(metrics))
    print_results(run, as_json=False)
    lines = capsys.readouterr().out.splitlines()
    assert "• in 2024 [red]1 'x'" in lines and "    label: joy (75%; right)" in lines
    assert f"report:      {run.report}" in lines
    assert f"predict:     echo 'your text' | whylabel predict --model {run.path}" in lines
    assert _paired(metrics["paired"]) in lines


def figures(accuracy, mode="fast", interval=True, key="accuracy"):
    between = [accuracy - 0.125, accuracy + 0.125] if interval else None
    return {
        key: accuracy,
        f"{key}_ci95": between,
        "macro_f1": accuracy / 2,
        "macro_f1_ci95": between,
        "mode": mode,
        "n": int(1000 * accuracy) + 1000,
        "cost": {"seconds_per_row": accuracy / 10, "tokens_per_row": accuracy * 10},
    }


def cells(metrics):
    """Return the title and the rows of the table."""
    console = Console(width=200, file=io.StringIO())
    table = _comparison(metrics)
    console.print(table)
    lines = console.file.getvalue().splitlines()
    rows = [line.replace("┃", "│").strip("│ ").split("│") for line in lines if "│" in line or "┃" in line]
    assert [column.justify for column in table.columns] == ["left", *["right"] * 4]
    return table.title, [[cell.strip() for cell in row] for row in rows]


def test_every_number_of_the_comparison_stands_in_its_cell():
    one = {
        "baseline": figures(0.5),
        "classifier": figures(0.625),
        "floors": {"majority": figures(0.25, interval=False)},
    }
    title, rows = cells(one)
    assert title == "test split, 1,625 rows, 95 % intervals"
    assert rows == [
        ["model", "accuracy", "macro-F1", "seconds/row", "tokens/row"],
        ["majority", "25.0 %", "12.5 %", "0.025", "2.5"],
        ["baseline", "50.0 %  [37.5, 62.5]", "25.0 %  [37.5, 62.5]", "0.050", "5.0"],
        ["classifier", "62.5 %  [50.0, 75.0]", "31.2 %  [50.0, 75.0]", "0.062", "6.2"],
    ]


def test_modes_follow_the_default_one():
    modes = {"fast": figures(0.375), "reasoned": figures(0.625, "reasoned"), "blend": figures(0.75, "blend")}
    title, rows = cells({"classifier": figures(0.625, "reasoned"), "baseline": None, "modes": modes})
    assert title.endswith("95 % intervals; the default mode first")
    assert [row[:2] for row in rows[1:]] == [
        ["classifier, reasoned", "62.5 %  [50.0, 75.0]"],
        ["classifier, fast", "37.5 %  [25.0, 50.0]"],
        ["classifier, blend", "75.0 %  [62.5, 87.5]"],
    ]
    # One mode alone is no choice of several.
    title, rows = cells({"classifier": figures(0.5), "modes": {"fast": figures(0.5)}})
    assert "default" not in title and [row[0] for row in rows[1:]] == ["classifier"]


def test_where_labels_are_decided_one_by_one_f1_takes_the_place_of_accuracy():
    _, rows = cells({"classifier": figures(0.5, key="micro_f1"), "baseline": figures(0.25, key="micro_f1")})
    assert rows[0][1] == "micro-F1"
    assert [row[:2] for row in rows[1:]] == [
        ["baseline", "25.0 %  [12.5, 37.5]"],
        ["classifier", "50.0 %  [37.5, 62.5]"],
    ]
    line = _paired({"micro_f1_difference": 0.25, "micro_f1_difference_ci95": [0.125, 0.375]})
    assert line == "classifier − baseline: +25.0 points of micro-F1, 95 % interval +12.5 to +37.5"
    line = _paired({"difference": 0.25, "ci95": [0.125, 0.375], "mcnemar_p": 0.25})
    assert line == (
        "classifier − baseline: +25.0 points of accuracy, 95 % interval +12.5 to +37.5, exact McNemar p = 0.25"
    )


def test_a_few_predictions_are_shown_with_what_is_wrong_with_them(tmp_path):
    run = RunFolder(tmp_path)
    said = [
        ("a  text\nof lines", "joy", Prediction("1", "joy", (0.75, 0.25), "so\nit  is", "reasoned")),
        ("long " * 60, "joy", Prediction("2", "fear", (0.25, 0.75), "why " * 80, "reasoned")),
        ("failed", "", Prediction("3", "", (), mode="reasoned", status="failed", error="lost")),
        ("none fits", "joy", Prediction("4", "", (0.1, 0.2), "", "reasoned")),
        ("all", "fear", Prediction("5", "fear", (0.0, 1.0), None, "reasoned")),
        ("one more", "fear", Prediction("6", "fear", (0.0, 1.0), None, "reasoned")),
    ]
    rows = [
        PredictionRow(model, text, gold, prediction)
        for model in ("baseline", "classifier")
        for text, gold, prediction in said
    ]
    write_predictions(run.predictions, rows)
    metrics = {"classifier": figures(0.5, "reasoned")}
    assert _predictions(run, metrics) == [
        "• a text of lines",
        "    why:   so it is",
        "    label: joy (75%; right)",
        f"• {'long ' * 28}".rstrip(),
        f"    why:   {'why ' * 55}".rstrip(),
        "    label: fear (75%; wrong, gold is joy)",
        "• failed",
        "    label: nothing (0%; wrong, gold is nothing)",
        "• none fits",
        "    why:   ",
        "    label: nothing (20%; wrong, gold is joy)",
        "• all",
        "    label: fear (100%; right)",
    ]
    several = {"classifier": figures(0.5, "reasoned", key="micro_f1"), "modes": {"fast": {}, "reasoned": {}}}
    lines = _predictions(run, several)
    assert lines[0] == "in mode reasoned:" and "    label: joy (right)" in lines


def test_the_best_of_all_is_named(tmp_path, capsys):
    run = write_run(tmp_path / "run", labels=("joy", "fear"))
    print_results(run, as_json=False)
    out = capsys.readouterr().out
    best = json.loads(run.evaluation_metrics.read_text())["best"]
    assert f"Best of all {best['candidates']} models and modes: TF-IDF + logistic regression" in out
    assert "points above the classifier" in out
