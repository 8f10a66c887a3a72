import json
from pathlib import Path

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


def test_a_sample_is_said_to_be_one(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    rows = "".join(f"a text of number {number},{'ab'[number % 2]}\n" for number in range(4000))
    Path("many.csv").write_text(f"text,label\n{rows}")
    assert main(["init", "many.csv"]) == 0
    said = capsys.readouterr().err
    assert "The recipe takes 2,000 of 2,880 train rows and 500 of 800 test rows" in " ".join(said.split())


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


def test_columns_that_are_named_are_those_of_the_recipe(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    lines = [f"text {at},note {at},mood {at % 2},topic {at % 4},key {at},{at}" for at in range(40)]
    (tmp_path / "many.csv").write_text("\n".join(["text,note,label,topic,key,id", *lines]) + "\n")
    named = ["--text-column", "note", "--label-column", "topic", "--id-column", "key"]
    assert main(["init", "many.csv", *named]) == 0
    recipe = load_recipe(tmp_path / "many.yaml")
    assert recipe.data.source == "many.csv"
    assert (recipe.data.text_column, recipe.data.label_column, recipe.data.id_column) == (
        "note",
        "topic",
        "key",
    )
    row = load_dataset(recipe.data, recipe.task, seed=recipe.seed).test[0]
    assert row.text.startswith("note") and row.label.startswith("topic") and row.id.startswith("key")
    said = capsys.readouterr().err
    assert "Wrote many.yaml: text 'note', label 'topic', train " in said and " · test " in said


def test_what_is_merely_worth_knowing_is_not_said(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    rows = [f"text {at},label {min(at % 20, 1)}" for at in range(60)]
    (tmp_path / "rare.csv").write_text("\n".join(["text,label", *rows, "text 1,label 1"]) + "\n")
    assert main(["inspect", "rare.csv", "--json"]) == 0
    found = {
        finding["severity"]: finding["message"] for finding in json.loads(capsys.readouterr().out)["findings"]
    }
    assert main(["init", "rare.csv"]) == 0
    said = capsys.readouterr().err
    for severity, message in found.items():
        assert (f"{severity}: {message}\n  fix: " in said) == (severity != "info")
    assert "info:" not in said


def test_data_of_one_label_is_refused_with_its_first_error(data, tmp_path, capsys):
    data.write_text("text,label\n" + "".join(f"text {at},a\n" for at in range(9)))
    assert main(["init", data.name]) == 2
    said = capsys.readouterr().err
    assert f"where: {data.name}\n  fix: " in said
    data.write_text("text,label\n" + "".join(f"text {at},{'ab'[at % 2]}\n" for at in range(9)))
    assert main(["init", data.name]) == 0


@pytest.mark.parametrize("command", ["init", "inspect"])
def test_lengths_are_counted_in_tokens_of_the_base_model_where_it_is_there(
    data, monkeypatch, capsys, command
):
    asked = []
    monkeypatch.setattr(
        "whylabel.models.load.token_counter", lambda name: asked.append(name) or (lambda text: 9999)
    )
    assert main([command, data.name]) == 0
    said = "".join(capsys.readouterr())
    assert "40 texts longer than" in said and "tokens" in said
    assert asked == ["smollm2-135m-instruct"]


def test_the_data_is_not_replaced_even_if_forced(data, tmp_path, capsys):
    before = data.read_text()
    (tmp_path / "link.yaml").symlink_to(data)
    for name in (data.name, "link.yaml"):
        assert main(["init", data.name, "--output", name, "--force"]) == 2
        assert "would replace what it is made from" in capsys.readouterr().err
    other = tmp_path / "other.csv"
    other.write_text("mine")
    assert main(["init", data.name, "--output", "other.csv", "--force"]) == 2
    assert (data.read_text(), other.read_text()) == (before, "mine")


@pytest.mark.parametrize("forced", [True, False])
def test_a_link_stays_and_the_recipe_is_written_behind_it(data, tmp_path, forced):
    real, link = tmp_path / "real.yaml", tmp_path / "link.yaml"
    link.symlink_to(real)
    if forced:
        real.write_text("name: before\n")
    assert main(["init", data.name, "--output", "link.yaml", *(["--force"] if forced else [])]) == 0
    assert link.is_symlink()
    assert load_recipe(real).data.source.endswith("My tickets.csv")


def test_labels_that_look_alike_and_splits_without_labels_are_said(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    rows = "".join(f"text {at},{'Joy' if at % 2 else 'joy'}\n" for at in range(40))
    (tmp_path / "train.csv").write_text("text,mood\n" + rows)
    (tmp_path / "test.csv").write_text("text,mood\nnew,\n")
    assert main(["init", ".", "--output", "moods.yaml"]) == 0
    said = capsys.readouterr().err
    assert "warning: Labels differ only by case: 'Joy' (20), 'joy' (20)" in said
    assert "warning: The test split (test.csv) has no labels; its row is set aside" in said
    recipe = load_recipe(tmp_path / "moods.yaml")
    assert len(load_dataset(recipe.data, recipe.task, seed=recipe.seed).test) == 8


def test_whole_numbers_are_said(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "d.csv").write_text("text,label\n" + "".join(f"text {at},{at % 2}.0\n" for at in range(40)))
    assert main(["init", "d.csv"]) == 0
    assert "Labels 0.0, 1.0 read as 0, 1" in capsys.readouterr().err
    assert load_recipe(tmp_path / "d.yaml").task.labels == ["0", "1"]
