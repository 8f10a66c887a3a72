"""Trackers of experiments: what they get, and that none of them can end a training."""

import sys
from types import ModuleType, SimpleNamespace

import pytest

from whylabel.errors import RecipeError, UsageError
from whylabel.recipe import Recipe, TrainingConfig, override_recipe
from whylabel.training import Selection, tracking


@pytest.fixture
def trackio(monkeypatch):
    """The package's functions that accelerate calls, and what they were told."""
    seen = SimpleNamespace(project=None, settings={}, figures=[], closed=0, broken_from=None, starts=True)

    def log(values, step=None, **_):
        if seen.broken_from is not None and step >= seen.broken_from:
            raise ConnectionError("the server is gone\nand more")
        seen.figures.append((step, values))

    def finish():
        seen.closed += 1

    def init(project, **named):
        if not seen.starts:
            raise PermissionError("not logged in")
        seen.project, seen.named = project, named
        return SimpleNamespace(log=log, finish=finish)

    module = ModuleType("trackio")
    module.init, module.log, module.finish = init, log, finish
    module.config = SimpleNamespace(update=lambda values, **_: seen.settings.update(values))
    monkeypatch.setitem(sys.modules, "trackio", module)
    return seen


def test_by_default_nothing_is_reported(loaded, tmp_path, run, trackio):
    assert TrainingConfig().report_to is None
    run(loaded, tmp_path)
    assert trackio.project is None and not trackio.figures


def test_every_step_and_evaluation_is_reported(loaded, tmp_path, run, trackio):
    selection = Selection(lambda: 0.25, 6, None)
    result = run(loaded, tmp_path, report_to="trackio", select=lambda _: selection)
    assert (trackio.project, trackio.named, trackio.closed) == ("whylabel", {"name": "test"}, 1)
    assert trackio.settings["learning_rate"] == 5e-3 and trackio.settings["loss.normalise"] == "segment"
    steps = [(step, values) for step, values in trackio.figures if "loss" in values]
    assert [step for step, _ in steps] == list(range(1, result.steps + 1))
    assert sum(values["loss"] for _, values in steps) / len(steps) == pytest.approx(result.train_loss)
    assert steps[-1][1]["tokens"] == result.tokens
    rates = [values["learning_rate"] for _, values in steps]
    assert max(rates) <= 5e-3 and rates[-1] < rates[0]
    assert [(step, values) for step, values in trackio.figures if "accuracy" in values] == [
        (6, {"accuracy": 0.25}),
        (12, {"accuracy": 0.25}),
    ]


def test_a_tracker_that_fails_is_told_nothing_more_and_the_training_goes_on(
    loaded, tmp_path, run, trackio, capsys
):
    trackio.broken_from = 3
    assert run(loaded, tmp_path, report_to="trackio").steps == 12
    assert [step for step, _ in trackio.figures] == [1, 2]
    assert capsys.readouterr().err.count("trackio takes no more figures: the server is gone") == 1


def test_one_that_does_not_start_is_an_error_before_the_first_step(loaded, tmp_path, run, trackio):
    trackio.starts = False
    with pytest.raises(UsageError, match="trackio cannot be started: not logged in") as caught:
        run(loaded, tmp_path, report_to="trackio")
    assert "remove report_to" in caught.value.fix


@pytest.mark.parametrize("section", ["training", "reasoner.training"])
def test_a_missing_package_is_refused_before_the_first_stage(monkeypatch, section):
    from whylabel.pipeline import preflight

    recipe = override_recipe(Recipe(), **{f"{section.replace('.', '__')}__report_to": "mlflow"})
    monkeypatch.setattr(tracking, "find_spec", lambda _name: None)
    with pytest.raises(RecipeError, match=f"{section}.report_to: mlflow needs the package mlflow") as caught:
        preflight._check_packages(recipe)
    assert caught.value.fix == "pip install mlflow"
    monkeypatch.setattr(tracking, "find_spec", lambda _name: object())
    preflight._check_packages(recipe)
