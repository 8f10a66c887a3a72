import numpy as np
import pyarrow
import pyarrow.parquet
import pytest

from sure_models import LABELS, confident, examples
from whylabel.errors import DataError, RunFolderError
from whylabel.stages.folds import OutOfFold, divide, out_of_fold, read_out_of_fold, write_out_of_fold
from whylabel.types import Example


def test_every_row_is_judged_by_a_model_that_has_not_seen_it(tmp_path):
    calls = []

    def fit_predict(train, held_out, fold):
        assert not {row.id for row in train} & {row.id for row in held_out}
        calls.append((fold, len(train), len(held_out)))
        return confident(held_out, lambda row: row.label)

    rows = examples()
    found = out_of_fold(rows, LABELS, 3, 7, fit_predict, tmp_path)
    assert calls == [(0, 40, 20), (1, 40, 20), (2, 40, 20)]
    assert (found.ids, found.count) == ([row.id for row in rows], 3)
    np.testing.assert_allclose(found.probabilities, confident(rows, lambda row: row.label))
    # What is finished is not done again.
    again = out_of_fold(rows, LABELS, 3, 7, fit_predict, tmp_path)
    np.testing.assert_allclose(again.probabilities, found.probabilities)
    assert len(calls) == 3


def test_rows_with_the_same_text_are_in_the_same_fold():
    again = [Example(f"again {row.id}", f"  {row.text.upper()} ", "joy") for row in examples()[:20]]
    folds = divide([*examples(), *again], LABELS, 3, 7)
    assert folds[60:] == folds[:20] and set(folds) == {0, 1, 2}
    # Where no text occurs twice, the labels of every fold are those of all rows.
    assert divide(examples(), LABELS, 3, 7) == folds[:60]
    assert all(6 <= folds[:60][label::3].count(fold) <= 7 for label in range(3) for fold in range(3))


def test_a_label_with_fewer_rows_than_folds_is_no_obstacle(tmp_path, recwarn):
    rows = [*examples(12), Example("alone", "text", "never seen")]
    found = out_of_fold(
        rows, LABELS, 3, 7, lambda train, held, fold: confident(held, lambda row: row.label), tmp_path
    )
    assert (found.probabilities.sum(axis=1) > 0.9).all()
    assert not recwarn.list


def test_there_are_no_more_folds_than_the_most_frequent_label_has_rows(tmp_path, capsys):
    calls = []

    def fit_predict(train, held_out, fold):
        calls.append(fold)
        return confident(held_out, lambda row: row.label)

    found = out_of_fold(examples(8), LABELS, 5, 7, fit_predict, tmp_path)
    assert (found.probabilities.sum(axis=1) > 0.9).all()
    assert calls == [0, 1, 2]
    assert "3 folds, not 5" in capsys.readouterr().err


@pytest.mark.parametrize("count", [0, 1, 3])
def test_labels_of_one_row_each_are_refused(count, tmp_path):
    with pytest.raises(DataError, match="no label has two train texts") as caught:
        out_of_fold(examples(count), LABELS, 2, 7, lambda *_: pytest.fail("it was trained"), tmp_path)
    assert "augment.suspects.folds" in caught.value.where


@pytest.mark.parametrize(
    "fold", [b"PAR1 torn", pyarrow.table({"x": [1]}), pyarrow.table({"probabilities": [[1.0]]})]
)
def test_a_damaged_fold_is_told(tmp_path, fold):
    file = tmp_path / "fold-0.parquet"
    if isinstance(fold, bytes):
        file.write_bytes(fold)
    else:
        pyarrow.parquet.write_table(fold, file)
    with pytest.raises(RunFolderError, match="A fold cannot be read") as raised:
        out_of_fold(examples(), LABELS, 3, 7, lambda *_: pytest.fail("it was trained"), tmp_path)
    assert raised.value.where == str(file) and "remove the file" in raised.value.fix


def test_folds_come_back_from_their_file(tmp_path):
    file = tmp_path / "folds.parquet"
    write_out_of_fold(file, OutOfFold(["a", "b"], [1, 0], np.array([[0.25, 0.75], [0.5, 0.5]])))
    found = read_out_of_fold(file)
    assert (found.ids, found.folds, found.count) == (["a", "b"], [1, 0], 2)
    np.testing.assert_array_equal(found.probabilities, [[0.25, 0.75], [0.5, 0.5]])
    file.write_bytes(b"no parquet")
    with pytest.raises(RunFolderError, match="The folds cannot be read"):
        read_out_of_fold(file)
