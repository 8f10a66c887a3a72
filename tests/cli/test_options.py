"""What the arguments that several verbs share mean."""

from pathlib import Path

import pytest

from whylabel.cli.options import finish, open_run
from whylabel.recipe import build_recipe
from whylabel.run_folder import RunFolder

ROWS = ("train_rows", "validation_rows", "test_rows")


@pytest.fixture
def opened(tmp_path):
    """Return a function that opens a recipe with these values, and returns it with its run folder."""
    path = tmp_path / "recipe.yaml"

    def of(*overrides, output=None, limit=None, **values):
        path.write_text(build_recipe({"name": "mine", **values}).to_yaml())
        return open_run(path, overrides, output, limit)

    return of


@pytest.mark.parametrize(
    ("rows", "limited"), [(None, 8), (12, 8), (8, 8), (6, 6)], ids=lambda rows: f"{rows} rows"
)
def test_a_limit_makes_every_number_of_rows_smaller_and_none_larger(opened, rows, limited):
    values = {"data": dict.fromkeys(ROWS, rows), "reasoner": {"rows": rows}}
    recipe, _ = opened(limit=8, **values)
    assert {getattr(recipe.data, name) for name in ROWS} == {limited}
    assert recipe.reasoner.rows == limited
    recipe, _ = opened(**values)
    assert {getattr(recipe.data, name) for name in ROWS} == {rows} and recipe.reasoner.rows == rows


def test_a_rehearsal_trains_no_longer_than_its_rows_take(opened):
    steps = {"training": {"min_steps": 300}, "reasoner": {"training": {"min_steps": 200}}}
    recipe, _ = opened(limit=8, **steps)
    assert (recipe.training.min_steps, recipe.reasoner.training.min_steps) == (None, None)
    recipe, _ = opened(**steps)
    assert (recipe.training.min_steps, recipe.reasoner.training.min_steps) == (300, 200)


def test_a_run_has_the_folder_that_is_named_else_that_of_its_recipe(opened, tmp_path):
    recipe, run = opened("seed=7", output=tmp_path / "there")
    assert (recipe.seed, recipe.name, run.path) == (7, "mine", tmp_path / "there")
    assert opened()[1].path == Path("runs/mine")


def test_rows_that_failed_are_counted_and_where_they_are_is_said(tmp_path, capsys):
    class Done:
        failed_rows, run = 0, RunFolder(tmp_path)

    assert finish(Done()) == 0 and capsys.readouterr().err == ""
    Done.failed_rows = 1000
    assert finish(Done()) == 4
    listed = f"{Done.run.augment_metrics} and {Done.run.predictions}"
    assert capsys.readouterr().err == f"1,000 rows failed. They are listed in {listed}.\n"
    Done.failed_rows = 1234
    assert finish(Done()) == 4
    listed = f"{Done.run.augment_metrics} (1,000 at most) and {Done.run.predictions}"
    assert capsys.readouterr().err == f"1,234 rows failed. They are listed in {listed}.\n"
