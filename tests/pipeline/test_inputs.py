import pandas
import pytest

from whylabel.data import dataset_from_frame
from whylabel.pipeline import inputs
from whylabel.pipeline.inputs import Inputs
from whylabel.prediction.card import TrainingColumns
from whylabel.recipe import Recipe, build_recipe, override_recipe
from whylabel.text.hashes import fingerprint
from whylabel.types import Dataset, Example, QuestionAnswer

FRAME = pandas.DataFrame(
    {
        "Ref": [f"r{number}" for number in range(20)],
        "body": [f"text {number}" for number in range(20)],
        "topic": ["a", "b"] * 10,
    }
)


@pytest.mark.parametrize(
    ("named", "expected"),
    [
        ({}, TrainingColumns("body", "topic")),
        ({"data__id_column": "Ref"}, TrainingColumns("body", "topic", "Ref")),
        ({"data__text_column": "body", "data__label_column": "topic"}, TrainingColumns("body", "topic")),
    ],
)
def test_columns_are_known_whether_named_or_recognised(tmp_path, named, expected):
    FRAME.to_csv(tmp_path / "d.csv", index=False)
    recipe = override_recipe(Recipe(name="t"), data__source=str(tmp_path / "d.csv"), **named)
    assert Inputs(recipe).columns == expected


def test_a_data_set_in_memory_has_the_columns_of_its_frame_or_none():
    recipe = override_recipe(Recipe(name="t"), data__text_column="what the recipe says")
    plain = override_recipe(recipe, data__text_column=None)
    frame = dataset_from_frame(FRAME, plain.data, plain.task, seed=1)
    assert Inputs(recipe, frame).columns == TrainingColumns("body", "topic")
    assert Inputs(recipe, Dataset(train=(Example("1", "x", "a"),))).columns is None


def test_a_data_set_is_described_whole():
    rows = tuple(Example(str(at), f"text {at}", "ab"[at % 2]) for at in range(6))
    given = Dataset(rows[:3], rows[3:4], rows[4:], inferred={"text_column": "body"})
    found = Inputs(build_recipe({}), given)
    assert found.description == {
        "source": "given by a program",
        "fingerprint": fingerprint(found.data_fingerprints),
        "rows": {"train": 3, "validation": 1, "test": 2},
        "labels": ["a", "b"],
        "inferred": {"text_column": "body"},
    }


def test_what_a_recipe_names_is_read_with_its_seed(monkeypatch):
    read = []
    pairs = ((QuestionAnswer("1", "q", "a", "r"),), ())
    monkeypatch.setattr(
        inputs, "load_reasoning", lambda *given, **named: read.append((given, named)) or pairs
    )
    data = Dataset((Example("1", "x", "a"),))
    monkeypatch.setattr(inputs, "load_dataset", lambda *given, **named: read.append((given, named)) or data)
    recipe = build_recipe({"seed": 5})
    found = Inputs(recipe)
    assert (found.reasoning_rows, found.dataset) == (pairs, data)
    assert read == [((recipe.reasoner,), {"seed": 5}), ((recipe.data, recipe.task), {"seed": 5})]
    # Each is read once.
    assert found.reasoning_rows is pairs and found.dataset is data and len(read) == 2
