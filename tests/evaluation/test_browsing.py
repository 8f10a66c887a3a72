import pytest

from whylabel.evaluation.browsing import Wanted, find_predictions, model_modes, predictions_at
from whylabel.evaluation.predictions import PredictionRow, write_predictions
from whylabel.text.several_labels import Separator
from whylabel.types import Prediction


def row(number, gold="joy", label="joy", mode="fast", **more):
    prediction = Prediction(f"t{number}", label, (0.5, 0.5), mode=mode, **more)
    return PredictionRow("classifier", f"text number {number}", gold, prediction)


ROWS = (
    row(0),
    row(1, label="sad"),
    row(2, label="", status="failed", error="Nothing came"),
    row(3, "sad", "sad", "reasoned", reasoning="Ärger", reasoning_status="ok", disagrees=True),
    row(4, "sad", "joy", "reasoned", reasoning="x", reasoning_status="withheld: unsure", disagrees=False),
)


@pytest.fixture
def path(tmp_path):
    write_predictions(tmp_path / "predictions.parquet", ROWS)
    return tmp_path / "predictions.parquet"


@pytest.mark.parametrize(
    ("wanted", "numbers"),
    [
        ({}, (0, 1, 2, 3, 4)),
        ({"mode": "reasoned"}, (3, 4)),
        ({"model": "baseline"}, ()),
        ({"gold": "sad"}, (3, 4)),
        ({"gold": "joy", "label": "sad"}, (1,)),
        ({"right": True}, (0, 3)),
        ({"right": False}, (1, 2, 4)),
        ({"right": False, "failed": False}, (1, 4)),
        ({"failed": True}, (2,)),
        ({"disagrees": True}, (3,)),
        ({"disagrees": False}, (0, 1, 2, 4)),
        ({"withheld": True}, (4,)),
        ({"withheld": False}, (0, 1, 2, 3)),
        ({"search": "NUMBER 3"}, (3,)),
        ({"search": "ärger"}, (3,)),
        ({"search": "nothing"}, (2,)),
        ({"search": "number ."}, ()),
    ],
)
def test_what_is_wanted_is_found(path, wanted, numbers):
    assert find_predictions(path, Wanted(**wanted)) == numbers
    assert predictions_at(path, numbers) == [ROWS[number] for number in numbers]


def test_single_labels_are_found_where_a_text_may_have_several(tmp_path):
    path = tmp_path / "predictions.parquet"
    golds = ("joy, love", "love", "", "lovely, joy")
    write_predictions(path, [row(at, gold, "") for at, gold in enumerate(golds)])
    for label, numbers in (("love", (0, 1)), ("joy", (0, 3)), ("", (2,))):
        assert find_predictions(path, Wanted(gold=label), Separator(",")) == numbers


def test_models_and_their_modes(path):
    assert model_modes(path) == {"classifier": ["fast", "reasoned"]}


def test_rows_beyond_the_first_part_of_the_file(tmp_path):
    path = tmp_path / "predictions.parquet"
    write_predictions(path, [row(at, label="joy" if at % 1000 else "sad") for at in range(20_000)])
    found = find_predictions(path, Wanted(label="sad"))
    assert found == tuple(range(0, 20_000, 1000))
    assert [each.prediction.id for each in predictions_at(path, found)] == [f"t{at}" for at in found]
    assert predictions_at(path, ()) == []
