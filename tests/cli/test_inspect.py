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


def table(out, title):
    """Return the cells of a printed table by the first of each line."""
    lines = out[out.index(title) :].splitlines()[1:]
    rows = [line.strip("│┃ ").replace("┃", "│").split("│") for line in lines]
    return {cells[0].strip(): [cell.strip() for cell in cells[1:]] for cells in rows if len(cells) > 1}


def test_labels_are_counted_by_split_the_most_frequent_first(tmp_path, capsys):
    for split, counts in {"train": (8, 20), "validation": (1, 4), "test": (3, 2)}.items():
        rows = [
            f"{split} text {label} {at},{label}"
            for label, n in zip("ab", counts, strict=True)
            for at in range(n)
        ]
        (tmp_path / f"{split}.csv").write_text("\n".join(["text,label", *rows]) + "\n")
    assert main(["inspect", str(tmp_path)]) == 0
    out = capsys.readouterr().out
    found = table(out, "Rows by label")
    assert list(found)[:3] == ["label", "b", "a"]
    assert "more (--json" not in out
    assert found["label"] == ["train", "validation", "test"]
    assert (found["b"], found["a"]) == (["20", "4", "2"], ["8", "1", "3"])
    assert found["2 labels"] == ["28", "5", "5"]
    lengths = table(out, "Length of a text")
    assert len(lengths["in"]) > 1 and lengths["words"] == ["4"] * len(lengths["in"])


def test_of_very_many_labels_and_rows_a_few_are_shown_and_the_rest_counted(tmp_path, capsys):
    path = tmp_path / "many.csv"
    labels = [f"label {at:02}" for at in range(45) for _ in range(10)]
    rows = [f"text {at},{label}" for at, label in enumerate(labels)] + [f",label {at:02}" for at in range(12)]
    path.write_text("\n".join(["text,label", *rows]) + "\n")
    assert main(["inspect", str(path)]) == 2
    out = capsys.readouterr().out
    assert "label 39" in out and "label 40" not in out
    assert "... 5 more (--json shows all)" in out and "45 labels" in out
    # Ten of the twelve rows that have no text.
    listed = next(line for line in out.splitlines() if line.startswith("  rows: "))
    assert listed.count(",") == 10 and listed.endswith(", ... (--json shows all 12)")
    assert "rows that cannot be used: 12" in out


def test_ten_rows_are_shown_as_all(tmp_path, capsys):
    path = tmp_path / "ten.csv"
    rows = [f"text {at},{'ab'[at % 2]}" for at in range(40)] + [",a"] * 10
    path.write_text("\n".join(["text,label", *rows]) + "\n")
    assert main(["inspect", str(path)]) == 2
    listed = next(line for line in capsys.readouterr().out.splitlines() if line.startswith("  rows: "))
    assert listed.count(",") == 9 and "--json" not in listed


def test_columns_that_are_named_are_looked_at(tmp_path, capsys):
    path = tmp_path / "d.csv"
    rows = [f"text {at},note {at},mood {at % 2},topic {at % 4},key {at % 39}" for at in range(40)]
    path.write_text("\n".join(["text,note,label,topic,key", *rows]) + "\n")
    named = ["--text-column", "note", "--label-column", "topic", "--id-column", "key"]
    main(["inspect", str(path), *named, "--json"])
    found = json.loads(capsys.readouterr().out)
    assert (found["text_column"], found["label_column"]) == ("note", "topic")
    assert any("id" in finding["kind"] for finding in found["findings"])
    main(["inspect", str(path), "--json"])
    plain = json.loads(capsys.readouterr().out)
    assert (plain["text_column"], plain["label_column"]) == ("text", "label")
    recipe = tmp_path / "r.YML"
    recipe.write_text(f"data: {{source: {path}}}\n")
    main(["inspect", str(recipe), *named, "--json"])
    assert json.loads(capsys.readouterr().out)["label_column"] == "topic"


def test_lengths_in_tokens_need_the_base_model_and_it_is_said(data, tmp_path, monkeypatch, capsys):
    monkeypatch.setenv("WHYLABEL_CACHE", str(tmp_path / "empty"))
    assert main(["inspect", str(data)]) == 0
    out, err = capsys.readouterr()
    assert "Lengths in tokens need smollm2-135m-instruct" in err
    assert "tokens" not in table(out, "Length of a text")
    assert main(["inspect", str(data), "--json"]) == 0
    assert capsys.readouterr().err == ""


def test_findings_are_ordered_by_severity(data, capsys):
    data.write_text(GOOD + ",intent 1\n[bold]text 1,intent 0\n")
    main(["inspect", str(data)])
    said = [line.split(":")[0] for line in capsys.readouterr().out.splitlines()]
    severities = [word for word in said if word in ("error", "warning", "info")]
    assert severities == sorted(severities, key=("error", "warning", "info").index) and "error" in severities
    assert "Nothing is wrong with this data." not in said
    main(["inspect", str(data), "--json"])
    # Each once.
    assert len(severities) == len(json.loads(capsys.readouterr().out)["findings"])


def test_names_from_the_data_are_shown_as_they_are_without_what_a_terminal_obeys(tmp_path, capsys):
    folder = tmp_path / "a[bold]b"
    folder.mkdir()
    path = folder / "d.jsonl"
    rows = [{"text": f"t {at}", "\x1b[31mlabel": "ab"[at % 2]} for at in range(20)]
    path.write_text("\n".join(map(json.dumps, rows)))
    assert main(["inspect", str(path), "--label-column", "\x1b[31mlabel"]) == 0
    out = capsys.readouterr().out
    assert out.startswith(f"{path}: 20 rows\n") and "\x1b" not in out
    data = tmp_path / "d.csv"
    data.write_text("te\x1bxt,label\n" + "".join(f"some words {at},{'ab'[at % 2]}\n" for at in range(20)))
    main(["inspect", str(data)])
    out = capsys.readouterr().out
    assert "te\ufffdxt (recognised)" in out and "\x1b" not in out


def test_on_a_terminal_what_is_wrong_has_the_colour_of_its_severity(data, monkeypatch, capsys):
    monkeypatch.setenv("FORCE_COLOR", "1")
    monkeypatch.setenv("TERM", "xterm")
    for name in ("NO_COLOR", "COLORTERM"):
        monkeypatch.delenv(name, raising=False)
    assert main(["inspect", str(data)]) == 0
    assert "\x1b[32mNothing is wrong with this data.\x1b[0m" in capsys.readouterr().out
    data.write_text(GOOD + ",intent 1\n[bold]text 1,intent 0\n")
    assert main(["inspect", str(data)]) == 2
    out = capsys.readouterr().out
    assert "\x1b[1;31merror: 1 of 42 rows without a text" in out and "\x1b[33mwarning: " in out
