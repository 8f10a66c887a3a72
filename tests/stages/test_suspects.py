import numpy as np
import pyarrow
import pyarrow.parquet
import pytest

from whylabel.errors import DataError, ModelError, RunFolderError
from whylabel.stages.suspects import find_suspects, out_of_fold, read_suspects, write_suspects
from whylabel.text.labels import LabelSet
from whylabel.types import Example

LABELS = LabelSet(("fear", "joy", "love", "never seen"))


def examples(count=60):
    return [Example(f"r{number}", f"text {number}", LABELS.names[number % 3]) for number in range(count)]


def confident(rows, truth):
    """Return probabilities of a model that is sure of `truth`."""
    found = np.full((len(rows), len(LABELS)), 0.02)
    found[np.arange(len(rows)), [LABELS.index(truth(row)) for row in rows]] = 0.94
    return found


def test_every_row_is_judged_by_a_model_that_has_not_seen_it(tmp_path):
    calls = []

    def fit_predict(train, held_out, fold):
        assert not {row.id for row in train} & {row.id for row in held_out}
        calls.append((fold, len(train), len(held_out)))
        return confident(held_out, lambda row: row.label)

    rows = examples()
    found = out_of_fold(rows, LABELS, 3, 7, fit_predict, tmp_path)
    assert calls == [(0, 40, 20), (1, 40, 20), (2, 40, 20)]
    np.testing.assert_allclose(found, confident(rows, lambda row: row.label))
    # What is finished is not done again.
    np.testing.assert_allclose(out_of_fold(rows, LABELS, 3, 7, fit_predict, tmp_path), found)
    assert len(calls) == 3


def test_a_label_with_fewer_rows_than_folds_is_no_obstacle(tmp_path, recwarn):
    rows = [*examples(12), Example("alone", "text", "never seen")]
    found = out_of_fold(
        rows, LABELS, 3, 7, lambda train, held, fold: confident(held, lambda row: row.label), tmp_path
    )
    assert (found.sum(axis=1) > 0.9).all()
    assert not recwarn.list


def test_there_are_no_more_folds_than_the_most_frequent_label_has_rows(tmp_path, capsys):
    calls = []

    def fit_predict(train, held_out, fold):
        calls.append(fold)
        return confident(held_out, lambda row: row.label)

    found = out_of_fold(examples(8), LABELS, 5, 7, fit_predict, tmp_path)
    assert (found.sum(axis=1) > 0.9).all()
    assert calls == [0, 1, 2]
    assert "3 folds, not 5" in capsys.readouterr().err


@pytest.mark.parametrize("count", [0, 1, 3])
def test_labels_of_one_row_each_are_refused(count, tmp_path):
    with pytest.raises(DataError, match="no label has two train rows") as caught:
        out_of_fold(examples(count), LABELS, 2, 7, lambda *_: pytest.fail("it was trained"), tmp_path)
    assert "augment.suspects.folds" in caught.value.fix


def test_rows_that_contradict_a_sure_model_are_found_and_survive_a_round_trip(tmp_path):
    rows = examples()
    truth = {row.id: row.label for row in rows}
    wrong = {"r4": "fear", "r11": "joy"}
    noisy = [Example(row.id, row.text, wrong.get(row.id, row.label)) for row in rows]
    found = find_suspects(noisy, confident(noisy, lambda row: truth[row.id]), LABELS)
    assert {row.id: row.label for row in found} == wrong
    assert {row.id: row.suggested for row in found} == {name: truth[name] for name in wrong}
    assert found[0].suggested_probability == pytest.approx(0.94)
    write_suspects(tmp_path / "suspects.parquet", found)
    assert read_suspects(tmp_path / "suspects.parquet") == found


def test_a_damaged_list_is_told(tmp_path):
    file = tmp_path / "suspects.parquet"
    file.write_bytes(b"no parquet")
    with pytest.raises(RunFolderError, match="The suspect labels cannot be read") as raised:
        read_suspects(file)
    assert raised.value.where == str(file) and "remove the file" in raised.value.fix
    # Of other columns.
    pyarrow.parquet.write_table(pyarrow.table({"id": ["r1"]}), file)
    with pytest.raises(RunFolderError, match="The suspect labels cannot be read"):
        read_suspects(file)


def test_without_cleanlab_the_cure_is_named(monkeypatch):
    monkeypatch.setitem(__import__("sys").modules, "cleanlab.filter", None)
    with pytest.raises(ModelError, match="cleanlab") as caught:
        find_suspects(examples(), confident(examples(), lambda row: row.label), LABELS)
    assert "whylabel[suspects]" in caught.value.fix


@pytest.mark.parametrize(
    "fold", [b"PAR1 torn", pyarrow.table({"x": [1]}), pyarrow.table({"probabilities": [[1.0]]})]
)
def test_a_damaged_fold_is_told(tmp_path, fold):
    file = tmp_path / "fold-0.parquet"
    if isinstance(fold, bytes):
        file.write_bytes(fold)
    else:
        pyarrow.parquet.write_table(fold, file)
    with pytest.raises(RunFolderError, match="A fold of the suspect labels cannot be read") as raised:
        out_of_fold(examples(), LABELS, 3, 7, lambda *_: pytest.fail("it was trained"), tmp_path)
    assert raised.value.where == str(file) and "remove the file" in raised.value.fix
