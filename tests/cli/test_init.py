import json

import pytest

from whylabel.cli.main import main
from whylabel.data import load_dataset
from whylabel.recipe import load_recipe


@pytest.fixture
def data(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    path = tmp_path / "My tickets.csv"
    path.write_text(
        "Customer says,Intent Name\n" + "".join(f"text {at},intent {at % 2}\n" for at in range(40))
    )
    return path


def test_recipe_loads_and_finds_the_data(data, tmp_path, capsys):
    assert main(["init", data.name]) == 0
    recipe = load_recipe(tmp_path / "My-tickets.yaml")
    assert recipe.task.labels == ["intent 0", "intent 1"]
    assert len(load_dataset(recipe.data, recipe.task, seed=recipe.seed).train) == 29
    assert "Next: whylabel run My-tickets.yaml" in capsys.readouterr().err


def test_output_name_and_question(data, tmp_path):
    arguments = ["--output", "sub/x.yaml", "--name", "Topic", "--question", 'What: "this"?']
    assert main(["init", data.name, *arguments]) == 0
    recipe = load_recipe(tmp_path / "sub" / "x.yaml")
    assert (recipe.name, recipe.task.name, recipe.task.question) == ("x", "Topic", 'What: "this"?')


def test_nothing_is_overwritten_unless_forced(data, capsys):
    assert main(["init", data.name]) == 0
    assert main(["init", data.name]) == 2
    assert "--force" in capsys.readouterr().err
    assert main(["init", data.name, "--force"]) == 0


def test_warnings_are_said(data, capsys):
    data.write_text(data.read_text() + "no label,\n")
    assert main(["init", data.name]) == 0
    assert "without a label" in capsys.readouterr().err


@pytest.mark.parametrize("content", ["", "text,label\nx,a\ny,a\n", "one,two\n1,2\n"])
def test_data_that_is_not_usable(data, tmp_path, capsys, content):
    data.write_text(content)
    assert main(["init", data.name]) == 2
    assert "Error: " in capsys.readouterr().err
    assert not list(tmp_path.glob("*.yaml"))


def test_lists_of_labels_make_a_recipe_for_several_labels(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    rows = [{"text": f"text {at}", "labels": ["joy", "love"] if at % 2 else ["joy"]} for at in range(40)]
    (tmp_path / "moods.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    assert main(["init", "moods.jsonl"]) == 0
    recipe = load_recipe(tmp_path / "moods.yaml")
    assert (recipe.task.type, recipe.classifier.target) == ("multi_label", "label")
    assert recipe.task.question == "Which labels fit the text?"
    assert load_dataset(recipe.data, recipe.task, seed=recipe.seed).labels == ("joy", "love")
