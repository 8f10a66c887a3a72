"""Trained models on labelled texts that they were not trained with."""

import json
import shutil

import pytest

from report_page import Page
from whylabel.cli.main import main
from whylabel.cli.results import print_results
from whylabel.data import load_dataset
from whylabel.errors import DataError, LabelError, UsageError
from whylabel.evaluation.arms import arms_of, read_runs
from whylabel.evaluation.predictions import read_predictions
from whylabel.pipeline.labelled import LabelledEvaluation
from whylabel.reasonings.files import iterate_kept
from whylabel.run_folder import RunFolder


@pytest.fixture(scope="module")
def rows(recipe):
    return list(load_dataset(recipe.data, recipe.task, seed=recipe.seed).test)


@pytest.fixture(scope="module")
def labelled(rows, tmp_path_factory):
    """The test rows of the run, as a file."""
    file = tmp_path_factory.mktemp("data") / "labelled.jsonl"
    lines = [{"id": row.id, "text": row.text, "label": row.label} for row in rows]
    file.write_text("".join(json.dumps(line) + "\n" for line in lines))
    return file


@pytest.fixture
def evaluated(finished, labelled, tmp_path):
    return evaluate(finished.path, labelled, tmp_path / "out", "evaluation.bootstrap_samples=200")


def evaluate(model, data, output, *overrides):
    evaluation = LabelledEvaluation.of(model, str(data), overrides, output)
    with evaluation.output.locked():
        assert evaluation.run() == 0
    return evaluation.output


def said(run):
    return {
        (row.model, row.prediction.mode, row.prediction.id): (row.gold, row.prediction.label)
        for row in read_predictions(run.predictions)
        if row.model in ("baseline", "classifier")
    }


def test_a_runs_models_say_of_its_test_rows_what_they_said_in_the_run(finished, evaluated):
    assert said(evaluated) == said(finished)
    own, known = (json.loads(run.evaluation_metrics.read_text()) for run in (evaluated, finished))
    assert (
        own["paired"] == known["paired"] and own["classifier"]["accuracy"] == known["classifier"]["accuracy"]
    )
    assert own["floors"] == {}
    # It can be compared with the run itself; here, all answers are the same.
    assert [arm.name.split(": ")[1] for arm in arms_of(read_runs([finished.path, evaluated.path]))] == [
        "baseline",
        f"classifier, {known['classifier']['mode']}",
    ]
    manifest = evaluated.read_manifest()
    assert manifest["data"]["rows"] == {"test": 12} and set(manifest["model"]) == {"baseline", "classifier"}
    assert "Comparison" in Page(evaluated.report.read_text()).text


def test_the_table_says_of_which_texts_it_is(finished, evaluated, labelled, capsys):
    print_results(evaluated, as_json=False, with_model=False)
    title = " ".join(capsys.readouterr().out.partition("95 % intervals")[0].split())
    assert title == f"{labelled}, 12 rows,"
    print_results(finished, as_json=False)
    assert capsys.readouterr().out.strip().startswith("test split, 12 rows,")


def test_what_has_not_changed_is_skipped_and_other_rows_are_not(finished, labelled, evaluated, capsys):
    evaluate(finished.path, labelled, evaluated.path, "evaluation.bootstrap_samples=200")
    assert "evaluate: nothing has changed, skipped" in capsys.readouterr().err
    evaluate(finished.path, labelled, evaluated.path, "data.test_rows=6")
    assert "skipped" not in capsys.readouterr().err
    assert evaluated.read_manifest()["data"]["rows"] == {"test": 6}


def test_one_model_folder_is_evaluated_alone(finished, labelled, tmp_path):
    run = evaluate(finished.baseline_model, labelled, tmp_path / "out")
    metrics = json.loads(run.evaluation_metrics.read_text())
    assert metrics["classifier"] is None and metrics["baseline"]["n"] == 12
    assert run.recipe.read_text() == finished.recipe.read_text()
    alone = tmp_path / "alone"
    shutil.copytree(finished.classifier_model, alone)
    run = evaluate(alone, labelled, tmp_path / "out2", "evaluation.modes=[]")
    mode = json.loads(run.evaluation_metrics.read_text())["classifier"]["mode"]
    assert not run.recipe.exists()
    (first, second) = read_runs([tmp_path / "out", run.path])
    assert list(first.answers) == [("baseline", "fast")] and list(second.answers) == [("classifier", mode)]
    assert second.settings is None and second.seed == 13


def test_the_columns_of_the_training_are_found_again(finished, rows, tmp_path):
    file = tmp_path / "wide.csv"
    lines = [
        f"a long remark on the row that is not its text {at},{at % 2},{row.label}"
        for at, row in enumerate(rows)
    ]
    file.write_text("text,flag,label\n" + "\n".join(lines) + "\n")
    run = evaluate(finished.path, file, tmp_path / "out")
    assert {row.gold for row in read_predictions(run.predictions)} == {row.label for row in rows}
    file.write_text(
        "body,mood\n" + "\n".join(f"some words {at},{row.label}" for at, row in enumerate(rows)) + "\n"
    )
    run = evaluate(finished.path, file, tmp_path / "out2", "data.text_column=body", "data.label_column=mood")
    assert len(said(run)) == 36


def test_what_cannot_be_evaluated_is_refused(finished, tmp_path):
    file = tmp_path / "d.csv"
    file.write_text("text,label\nsome words,joy\nother words,rage\n")
    with pytest.raises(LabelError, match="rage"):
        evaluate(finished.path, file, tmp_path / "out")
    with pytest.raises(UsageError, match="training.learning_rate has no effect on a model that is trained"):
        evaluate(finished.path, file, tmp_path / "out", "training.learning_rate=1")
    with pytest.raises(UsageError, match="evaluation.slices has no effect"):
        evaluate(finished.path, file, tmp_path / "out", "evaluation.slices=[label]")
    with pytest.raises(DataError):
        evaluate(finished.path, tmp_path / "none.csv", tmp_path / "out")
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "thesis.txt").write_text("x")
    with pytest.raises(UsageError, match="holds other things"):
        evaluate(finished.path, file, tmp_path / "mine")
    assert not RunFolder(tmp_path / "out").predictions.exists()


def test_what_whylabel_has_predicted_is_not_taken_for_what_people_labelled(
    finished, labelled, tmp_path, monkeypatch
):
    monkeypatch.setattr("signal.signal", lambda *_: None)
    output = tmp_path / "predicted.csv"
    assert (
        main(["predict", "--model", str(finished.path), "--input", str(labelled), "--output", str(output)])
        == 0
    )
    with pytest.raises(DataError, match=r"(?s)predicted by whylabel.*data\.label_column=input_label"):
        evaluate(finished.path, output, tmp_path / "out")
    run = evaluate(finished.path, output, tmp_path / "out", "data.label_column=input_label")
    assert said(run)


def test_the_verb_writes_beside_the_runs(finished, labelled, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("signal.signal", lambda *_: None)
    assert main(["evaluate", str(finished.path), "--data", str(labelled), "--faithfulness"]) == 2
    assert "--faithfulness reads the test rows of a run" in capsys.readouterr().err
    assert main(["evaluate", str(finished.path), "--data", str(labelled), "--limit", "8"]) == 0
    out = capsys.readouterr().out
    folder = f"runs/{finished.path.name}-on-labelled"
    assert f"report:      {folder}/report.html" in out and "predict:" not in out and "8 rows" in out
    assert main(["evaluate", str(finished.baseline_model), "--data", str(labelled)]) == 0
    assert f"{finished.path.name}-baseline-on-labelled/report.html" in capsys.readouterr().out


def test_texts_that_the_model_was_trained_on_are_pointed_out(finished, recipe, rows, tmp_path, capsys):
    train = load_dataset(recipe.data, recipe.task, seed=recipe.seed).train
    file = tmp_path / "d.jsonl"
    # Another case is the same text.
    lines = [{"text": row.text.upper(), "label": row.label} for row in [*train][:5]]
    lines += [{"text": row.text, "label": row.label} for row in rows]
    file.write_text("".join(json.dumps(line) + "\n" for line in lines))
    run = evaluate(finished.path, file, tmp_path / "out")
    note = "5 of 17 test texts are among those that the model was trained on"
    assert f"Warning: {note}" in capsys.readouterr().err
    metrics = json.loads(run.evaluation_metrics.read_text())
    assert metrics["seen_in_training"] == {"split": "test", "rows": 17, "leaked": 5, "other_label": 0}
    assert note in Page(run.report.read_text()).text
    print_results(run, as_json=False, with_model=False)
    assert note in capsys.readouterr().out
    # One model of the run is of the run, too.
    run = evaluate(finished.baseline_model, file, tmp_path / "out2")
    assert json.loads(run.evaluation_metrics.read_text())["seen_in_training"]["leaked"] == 5


def test_where_the_data_have_changed_the_kept_rows_tell(finished, labelled, tmp_path, capsys):
    copy = RunFolder(shutil.copytree(finished.path, tmp_path / "run"))
    data = copy.read_manifest()["data"]
    copy.update_manifest(data={**data, "fingerprint": "other"})
    kept = next(iterate_kept(copy.kept))
    file = tmp_path / "d.jsonl"
    lines = labelled.read_text() + json.dumps({"id": "k", "text": kept.text, "label": kept.label}) + "\n"
    file.write_text(lines)
    run = evaluate(copy.path, file, tmp_path / "out")
    assert json.loads(run.evaluation_metrics.read_text())["seen_in_training"]["leaked"] == 1
    copy.kept.unlink()
    run = evaluate(copy.path, file, tmp_path / "out2")
    assert json.loads(run.evaluation_metrics.read_text())["seen_in_training"] is None
    assert "Whether the model was trained on these texts is not known" in capsys.readouterr().err


def test_texts_that_are_new_need_no_warning(evaluated, capsys):
    found = json.loads(evaluated.evaluation_metrics.read_text())["seen_in_training"]
    assert (found["rows"], found["leaked"]) == (12, 0)
    assert "learnt by heart" not in Page(evaluated.report.read_text()).text
