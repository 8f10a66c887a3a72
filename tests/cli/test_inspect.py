import json

import pytest

from whylabel.cli.main import main

GOOD = "Customer says,Intent Name\n" + "".join(f"[bold]text {at},intent {at % 2}\n" for at in range(40))


@pytest.fixture
def data(tmp_path):
    path = tmp_path / "tickets.csv"
    path.write_text(GOOD)
    return path


def test_table_for_a_person(data, capsys):
    assert main(["inspect", str(data)]) == 0
    out, err = capsys.readouterr()
    assert "40 rows" in out and "Customer says (recognised)" in out
    assert "intent 0" in out and "Nothing is wrong" in out
    assert not err


def test_json(data, capsys):
    data.write_text(GOOD + ",intent 1\nx,\n")
    assert main(["inspect", str(data), "--json"]) == 2
    result = json.loads(capsys.readouterr().out)
    assert [finding["kind"] for finding in result["findings"]] == ["missing_text", "missing_label"]
    assert result["rows_read"] == 42


def test_errors_are_shown_with_their_cure(data, capsys):
    data.write_text(GOOD + ",intent 1\n")
    assert main(["inspect", str(data)]) == 2
    out = capsys.readouterr().out
    assert "error: 1 of 41 rows without a text" in out and "fix: " in out and "line 42" in out


def test_unreadable_file(tmp_path, capsys):
    assert main(["inspect", str(tmp_path / "none.csv")]) == 2
    assert "no such file" in capsys.readouterr().out


def test_recipe_with_overrides(data, tmp_path, capsys):
    data.write_text(GOOD + ",intent 1\n")
    recipe = tmp_path / "r.yaml"
    recipe.write_text(f"data:\n  source: {data}\n")
    assert main(["inspect", str(recipe)]) == 2
    assert main(["inspect", str(recipe), "data.bad_rows=drop"]) == 0
    assert main(["inspect", str(recipe), "--label-column", "Nothing"]) == 2
    assert "Unknown column 'Nothing'" in capsys.readouterr().out


def test_overrides_need_a_recipe(data, capsys):
    assert main(["inspect", str(data), "data.bad_rows=drop"]) == 2
    assert "Overrides belong to a recipe" in capsys.readouterr().err


def test_control_characters_are_not_sent_to_the_terminal(tmp_path, capsys):
    path = tmp_path / "d.jsonl"
    rows = [{"text": f"t {at}", "label": ["\x1b[31mred", "blue"][at % 2]} for at in range(20)]
    path.write_text("\n".join(map(json.dumps, rows)))
    main(["inspect", str(path)])
    assert "\x1b" not in capsys.readouterr().out


def test_lists_of_labels_are_counted_label_by_label(tmp_path, capsys):
    path = tmp_path / "moods.jsonl"
    rows = [{"text": f"text {at}", "moods": ["joy", "love"] if at % 2 else []} for at in range(40)]
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    assert main(["inspect", str(path), "--label-column", "moods"]) == 0
    out = capsys.readouterr().out
    assert "task type: multi_label, since 'moods' holds lists (recognised)" in out
    recipe = tmp_path / "r.yaml"
    recipe.write_text(
        f"data: {{source: {path}, label_column: moods}}\n"
        "task: {type: multi_label}\nclassifier: {target: label}\n"
    )
    assert main(["inspect", str(recipe), "--json"]) == 0
    counts = json.loads(capsys.readouterr().out)["labels"]
    assert sum(split["joy"] for split in counts.values()) == 20
    assert main(["inspect", str(recipe), "task.type=single_label"]) == 2
    assert "task.type: multi_label" in capsys.readouterr().out
