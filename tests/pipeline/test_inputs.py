import pandas
import pytest

from whylabel.data import dataset_from_frame
from whylabel.pipeline.inputs import Inputs
from whylabel.prediction.card import TrainingColumns
from whylabel.recipe import Recipe, override_recipe
from whylabel.types import Dataset, Example

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
