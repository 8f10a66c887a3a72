import json
from pathlib import Path

import pytest

from whylabel.data import inspect_dataset
from whylabel.data.draft import draft_recipe, draft_task, run_name
from whylabel.recipe import DataConfig, TaskConfig, load_recipe

AWKWARD = ["no", "1e3", "~", "# x", "a: b", 'quo"te', "emoji 😢", "line\nbreak", "it's", "null"]


def drafted(folder, rows, **settings):
    path = folder / "d.jsonl"
    path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    data = DataConfig(source=str(path), **settings)
    inspection = inspect_dataset(data, TaskConfig(), 13)
    recipe_path = folder / "d.yaml"
    recipe_path.write_text(draft_recipe(inspection, data, name="d"), encoding="utf-8")
    return recipe_path.read_text(encoding="utf-8"), load_recipe(recipe_path)


def test_recipe_holds_what_was_found(tmp_path):
    rows = [{"Customer says": f"text {at}", "Intent Name": label} for label in AWKWARD for at in range(3)]
    text, recipe = drafted(tmp_path, rows)
    assert recipe.data.text_column == "Customer says"
    assert recipe.data.label_column == "Intent Name"
    assert recipe.task.labels == sorted(AWKWARD)
    assert (recipe.task.name, recipe.task.question) == ("Intent", "Which intent fits the text?")
    assert "# 3 rows" in text and "# train_rows: 2000" in text
    assert max(map(len, text.splitlines())) < 120 + len(str(tmp_path))


def test_recipe_asks_for_what_the_best_one_does(tmp_path):
    rows = [{"text": f"text {at}", "label": "ab"[at % 2]} for at in range(60)]
    _, recipe = drafted(tmp_path, rows)
    best = load_recipe(Path(__file__).parents[2] / "recipes" / "best.yaml")
    # A first answer sooner: the best recipe trains for longer on few rows.
    assert recipe.training.min_steps < best.training.min_steps
    assert recipe.training == best.training.model_copy(update={"min_steps": recipe.training.min_steps})
    assert recipe.classifier == best.classifier
    assert recipe.baseline == best.baseline


def test_integer_labels_are_in_order(tmp_path):
    rows = [{"text": f"text {at}", "label": at % 12} for at in range(60)]
    text, recipe = drafted(tmp_path, rows)
    assert recipe.task.labels == [str(at) for at in range(12)]
    assert "names here" in text


def test_large_data_gets_limits(tmp_path):
    rows = [{"text": f"text {at}" + " word" * 400, "label": at % 2} for at in range(4000)]
    _, recipe = drafted(tmp_path, rows)
    assert (recipe.data.train_rows, recipe.data.test_rows) == (2000, 500)
    assert recipe.data.max_text_tokens == 512


def test_task_of_plain_label_column(tmp_path):
    inspection = inspect_dataset(DataConfig(), TaskConfig(), 13)
    assert draft_task(inspection).question == "Which label fits the text?"
    assert draft_task(inspection, name="Mood").question == "Which mood fits the text?"
    assert draft_task(inspection, question="Why?").question == "Why?"


@pytest.mark.parametrize(
    ("source", "name"),
    [
        ("folder/My data (1).csv", "My-data-1"),
        ("hub:dair-ai/emotion:split", "emotion"),
        ("builtin:emotions", "emotions"),
        ("datas/tickets/", "tickets"),
        ("日本.csv", "run"),
    ],
)
def test_run_name(source, name):
    assert run_name(source) == name


def test_recipe_uses_a_column_of_reasonings(tmp_path):
    rows = [{"text": f"text {at}", "label": "ab"[at % 2], "rationale": f"because {at}"} for at in range(40)]
    _, recipe = drafted(tmp_path, rows)
    assert recipe.data.reasoning_column == "rationale"
    assert recipe.reasoner.data == ["builtin:cues", "own"]


def test_recipe_names_no_column_of_reasonings_that_no_train_row_has(tmp_path):
    rows = [{"text": f"text {at}", "label": "ab"[at % 2], "rationale": None} for at in range(40)]
    _, recipe = drafted(tmp_path, rows)
    assert (recipe.data.reasoning_column, recipe.reasoner.data) == (None, "builtin:cues")
