import pyarrow
import pyarrow.parquet
import pytest

from sure_models import LABELS, confident, examples
from whylabel.errors import ModelError, RunFolderError
from whylabel.stages.suspects import find_suspects, read_suspects, write_suspects
from whylabel.types import Example


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
