"""What `inspect` finds is kept with the run, for its report."""

import json

from whylabel.data import inspect_dataset
from whylabel.models.load import token_counter
from whylabel.pipeline.inputs import Inputs
from whylabel.pipeline.inspection import inspect_data
from whylabel.pipeline.job import Job
from whylabel.recipe import override_recipe
from whylabel.run_folder import RunFolder
from whylabel.types import Dataset, Example


def inspected(recipe, folder, dataset=None):
    job = Job("evaluate", "key", Inputs(recipe, dataset), RunFolder(folder))
    inspect_data(job)
    return json.loads(job.run.inspection.read_text())


def test_a_finished_run_has_what_inspect_says_of_its_data(finished, recipe):
    found = json.loads(finished.inspection.read_text())
    said = inspect_dataset(recipe.data, recipe.task, recipe.seed, token_counter(recipe.base_model)).to_json()
    for name in (
        "columns",
        "text_column",
        "label_column",
        "rows",
        "rows_read",
        "labels",
        "lengths",
        "inferred",
    ):
        assert found[name] == said[name]
    assert [one["message"] for one in found["findings"]] == [one["message"] for one in said["findings"]]
    assert all(len(one["ids"]) <= 10 for one in found["findings"])


def test_leakage_is_counted_among_the_rows_that_the_run_uses(recipe, tmp_path):
    train, test = tmp_path / "train.csv", tmp_path / "test.csv"
    rows = [f"text number {at},{'yes' if at % 2 else 'no'}" for at in range(40)]
    train.write_text("\n".join(["text,label", *rows]))
    test.write_text("\n".join(["text,label", "Text  number 3,no", "text number 4,no", "another one,yes"]))
    changed = override_recipe(recipe, data__source=str(train), data__test=str(test), data__train_rows=None)
    changed = override_recipe(changed, data__validation_rows=None, data__test_rows=None)
    found = inspected(changed, tmp_path / "run")
    (leak,) = [one for one in found["leakage"] if one["split"] == "test"]
    assert leak["leaked"] in (1, 2) and leak["rows"] == 3
    assert any(one["kind"] == "shared_texts" for one in found["findings"])


def test_it_is_looked_for_once_and_again_for_other_data(recipe, tmp_path, monkeypatch):
    asked = []
    import whylabel.pipeline.inspection as inspection

    real = inspection.inspect_dataset
    monkeypatch.setattr(inspection, "inspect_dataset", lambda *args: asked.append(1) or real(*args))
    inspected(recipe, tmp_path)
    inspected(recipe, tmp_path)
    assert len(asked) == 1
    inspected(override_recipe(recipe, data__test_rows=11), tmp_path)
    assert len(asked) == 2


def test_rows_of_a_program_are_looked_at_too(recipe, tmp_path):
    rows = tuple(Example(str(at), f"text {at}", "yes" if at % 2 else "no") for at in range(20))
    dataset = Dataset(rows, test=(*rows[:2], Example("x", "new", "yes")))
    found = inspected(recipe, tmp_path, dataset)
    assert found["rows"] == {"train": 20, "validation": 0, "test": 3} and found["columns"] == []
    assert found["leakage"] == [{"split": "test", "rows": 3, "leaked": 2, "other_label": 0}]
    assert any(one["kind"] == "shared_texts" for one in found["findings"])
