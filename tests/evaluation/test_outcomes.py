"""Predictions as numbers: the same from memory and from a file, and rows only where they are asked for."""

import numpy as np
import pytest

from evaluated_runs import answers, test_rows
from whylabel.errors import RunFolderError
from whylabel.evaluation.outcomes import NO_OUTCOMES, NO_PREDICTIONS, Predictions
from whylabel.evaluation.predictions import PredictionRows, write_predictions

ROWS = test_rows(9_000)
SAID = [
    row
    for model, mode, right in (
        ("baseline", "fast", 0.6),
        ("classifier", "reasoned", 0.7),
        ("classifier", "fast", 0.5),
    )
    for row in PredictionRows(model, ROWS, answers(ROWS, right, seed=len(mode), mode=mode))
]


@pytest.fixture(scope="module")
def file(tmp_path_factory):
    path = tmp_path_factory.mktemp("run") / "predictions.parquet"
    write_predictions(path, SAID)
    return path


def test_a_file_says_what_its_rows_say(file):
    found, known = Predictions.of_file(file), Predictions.of_rows(SAID)
    assert list(found.outcomes) == [("baseline", "fast"), ("classifier", "reasoned"), ("classifier", "fast")]
    for key, outcomes in known.outcomes.items():
        for name in outcomes.__slots__:
            assert np.array_equal(getattr(found.outcomes[key], name), getattr(outcomes, name))
    outcomes = found.outcomes["classifier", "fast"]
    assert outcomes.right.tolist() == [row.right for row in SAID[18_000:]]
    assert outcomes.places.tolist() == list(range(18_000, 27_000))


def test_rows_are_read_by_their_number(file):
    wanted = [26_999, 0, 4_095, 4_096, 8_191, 8_192, 17_999, 18_000, 4_096]
    found = Predictions.of_file(file).at(wanted)
    assert found == {place: SAID[place] for place in wanted} == Predictions.of_rows(SAID).at(wanted)
    assert Predictions.of_file(file).at([]) == {}


def test_only_the_parts_that_hold_the_rows_are_read(file, monkeypatch):
    import pyarrow.parquet

    read = []
    whole = pyarrow.parquet.ParquetFile.iter_batches

    def counted(self, *args, row_groups=None, **kwargs):
        read.append(row_groups)
        return whole(self, *args, row_groups=row_groups, **kwargs)

    found = Predictions.of_file(file)
    monkeypatch.setattr(pyarrow.parquet.ParquetFile, "iter_batches", counted)
    found.at([5, 20_000])
    assert read == [[0], [2]]


def test_rows_of_two_models_are_joined_by_id():
    first = Predictions.of_rows(SAID[:5]).outcomes["baseline", "fast"]
    other = Predictions.of_rows([SAID[9_003], SAID[9_001], SAID[9_100]]).outcomes["classifier", "reasoned"]
    assert first.positions_in(other).tolist() == [-1, 1, -1, 0, -1]
    assert first.positions_in(NO_OUTCOMES).tolist() == [-1] * 5
    assert NO_OUTCOMES.positions_in(first).tolist() == []


def test_a_sample_is_spread_over_the_test_rows():
    found = Predictions.of_rows(SAID).spread(3)
    assert [row.prediction.id for row in found] == ["t0", "t4499", "t8999"]
    assert len(Predictions.of_rows(SAID[:2]).spread(200)) == 2
    assert NO_PREDICTIONS.spread(3) == [] and NO_PREDICTIONS.at([]) == {}


def test_a_damaged_file_is_one_clear_error(tmp_path):
    path = tmp_path / "predictions.parquet"
    path.write_bytes(b"not parquet")
    with pytest.raises(RunFolderError, match="The predictions cannot be read"):
        Predictions.of_file(path)
