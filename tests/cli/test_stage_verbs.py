"""What the verbs over a recipe ask of the pipeline, and what they print: no stage runs here."""

import json

import pytest

from finished_run import write_run
from whylabel.cli.main import main
from whylabel.errors import RunFolderError
from whylabel.recipe import Recipe
from whylabel.run_folder import STAGES, RunFolder


class Asked:
    """Stands for the pipeline: notes what it is asked, and whether the run folder is held meanwhile."""

    failed_rows = 0

    def __init__(self, recipe, run):
        self.recipe, self.run, self.calls, self.held = recipe, run, [], []
        Asked.last = self

    def __getattr__(self, name):
        def asked(*arguments, **values):
            self.calls.append((name, *arguments, *values.items()))
            try:
                with self.run.locked():
                    self.held.append(False)
            except RunFolderError:
                self.held.append(True)

        return asked

    def plan(self):
        return ["train-reasoner: would run", "augment: nothing has changed, skipped"]

    def would_run(self):
        return dict.fromkeys(STAGES, "it is new")


@pytest.fixture
def run(tmp_path, monkeypatch):
    monkeypatch.setattr("whylabel.pipeline.Pipeline", Asked)
    return write_run(tmp_path / "run", labels=("joy", "fear"))


@pytest.fixture
def verb(run, tmp_path):
    """Return a function that runs a verb over a recipe, and returns what the pipeline was asked."""
    recipe = tmp_path / "recipe.yaml"
    recipe.write_text(Recipe(name="mine").to_yaml())

    def ask(name, *options):
        assert main([name, str(recipe), "--output", str(run.path), *options]) == 0
        # A rehearsal writes nothing, and locks nothing.
        assert all(held != ("--dry-run" in options) for held in Asked.last.held)
        return Asked.last.calls

    return ask


MODELS = {"baseline": "train_baseline", "classifier": "train_classifier"}


def test_train_trains_both_models_or_one(verb, run, capsys):
    assert verb("train") == [("begin",), ("train_models",)]
    assert capsys.readouterr().out == (
        f"metrics: {run.baseline_metrics}\nmetrics: {run.classifier_metrics}\n"
    )
    for model, method in MODELS.items():
        assert verb("train", "--only", model) == [("begin",), (method,)]
        assert capsys.readouterr().out == f"metrics: {run.path / model / 'metrics.json'}\n"
    verb("train", "--json", "--only", "classifier")
    assert json.loads(capsys.readouterr().out) == {
        "classifier": json.loads(run.classifier_metrics.read_text())
    }
    verb("train", "--json")
    assert set(json.loads(capsys.readouterr().out)) == set(MODELS)


@pytest.mark.parametrize(
    ("name", "calls"),
    [
        ("train-reasoner", [("begin",), ("train_reasoner",)]),
        ("augment", [("begin",), ("augment", frozenset())]),
    ],
)
def test_a_stage_is_done_and_its_metrics_are_named_or_printed(verb, run, capsys, name, calls):
    metrics = {"train-reasoner": run.reasoner_metrics, "augment": run.augment_metrics}[name]
    assert verb(name) == calls
    assert capsys.readouterr().out == f"metrics: {metrics}\n"
    assert verb(name, "--json") == calls
    assert capsys.readouterr().out == metrics.read_text()
    metrics.unlink()
    verb(name)
    assert capsys.readouterr().out == ""


@pytest.mark.parametrize(
    ("name", "calls"),
    [
        ("run", [("run_all",)]),
        ("evaluate", [("begin", ("evaluated", True)), ("evaluate", ("faithfulness", False))]),
    ],
)
def test_the_comparison_is_printed_at_the_end(verb, run, capsys, name, calls):
    assert verb(name) == calls
    out = capsys.readouterr().out
    assert "classifier − baseline" in out and f"report:      {run.report}" in out
    verb(name, "--json")
    assert capsys.readouterr().out == run.evaluation_metrics.read_text()


def test_faithfulness_is_measured_where_it_is_asked_for(verb, run, capsys):
    assert verb("evaluate", "--faithfulness")[-1] == ("evaluate", ("faithfulness", True))
    capsys.readouterr()
    share = {"count": 3, "n": 10, "share": 0.3, "ci95": [0.1, 0.6]}
    run.faithfulness.write_text(json.dumps({"n": 10, "early": {"0": {"n": 10, "changed": share}}}))
    verb("evaluate")
    said = capsys.readouterr().out.replace("\u00a0", " ")
    assert "labels that change with the reasoning, of 10: 30.0 % without it\n" in said


def test_a_dry_run_says_what_would_run_and_runs_nothing(verb, capsys):
    checked = [("check", ("evaluated", True)), ("say_time",)]
    assert verb("run", "--dry-run") == checked
    assert capsys.readouterr().out == "train-reasoner: would run\naugment: nothing has changed, skipped\n"
    assert verb("run", "--dry-run", "--json") == checked
    said = [{"stage": stage, "would_run": True, "reason": "it is new"} for stage in STAGES]
    assert json.loads(capsys.readouterr().out) == said


def test_the_run_folder_is_named_for_the_recipe_where_no_other_is(run, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    write_run(tmp_path / "runs" / "mine", labels=("joy", "fear"))
    (tmp_path / "r.yaml").write_text(Recipe(name="mine").to_yaml())
    assert main(["evaluate", "r.yaml", "seed=7"]) == 0
    assert Asked.last.run.path.resolve() == RunFolder(tmp_path / "runs" / "mine").path.resolve()
    assert Asked.last.recipe.seed == 7


@pytest.mark.parametrize("name", ["run", "train-reasoner", "augment", "train", "evaluate"])
def test_rows_that_failed_are_an_exit_code_of_their_own(run, tmp_path, monkeypatch, capsys, name):
    monkeypatch.setattr(Asked, "failed_rows", 1234)
    recipe = tmp_path / "recipe.yaml"
    recipe.write_text(Recipe(name="mine").to_yaml())
    assert main([name, str(recipe), "--output", str(run.path)]) == 4
    assert "1,234 rows failed" in capsys.readouterr().err


def test_there_are_two_models_to_train(run, tmp_path, capsys):
    recipe = tmp_path / "recipe.yaml"
    recipe.write_text(Recipe(name="mine").to_yaml())
    assert main(["train", str(recipe), "--output", str(run.path), "--only", "both"]) == 2
    assert "'both' is not one of 'baseline', 'classifier'" in capsys.readouterr().err
