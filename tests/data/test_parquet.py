import random
import re

import pyarrow
import pytest
from pyarrow import parquet

from whylabel.data.parquet import read_rows
from whylabel.data.readers import read_table
from whylabel.data.writers import parquet_file
from whylabel.errors import RunFolderError

SCHEMA = {"id": "text", "scores": "numbers", "note": "text"}


def rows_of(path):
    return list(read_rows(path, SCHEMA, what="The notes", fix="write them again", optional=["note"]))


def write(path, count=1):
    rows = [{"id": f"row {at}", "scores": [at / 7, -0.5], "note": None} for at in range(count)]
    with parquet_file(path, SCHEMA) as put:
        for row in rows:
            put(row)
    return rows


def refused(path):
    with pytest.raises(RunFolderError) as caught:
        rows_of(path)
    assert re.fullmatch(r"The notes cannot be read: .*[^.]\.", caught.value.what)
    assert caught.value.where == str(path) and caught.value.fix == "write them again"
    return caught.value.what


def test_what_was_written_comes_back(tmp_path):
    rows = write(tmp_path / "notes.parquet", 10_000)
    assert rows_of(tmp_path / "notes.parquet") == rows


def test_a_missing_or_foreign_file_is_refused(tmp_path):
    path = tmp_path / "notes.parquet"
    refused(path)
    for content in (b"", b"PAR1 torn", b"id,scores,note\n"):
        path.write_bytes(content)
        refused(path)


@pytest.mark.parametrize(
    ("columns", "message"),
    [
        ({"id": ["a"]}, "there is no column 'scores'"),
        ({"id": ["a"], "scores": [3], "note": ["x"]}, "cast"),
        ({"id": ["a"], "scores": [["x"]], "note": ["x"]}, "'x'"),
        ({"id": [None], "scores": [[1.0]], "note": ["x"]}, "column 'id' has empty cells"),
        ({"id": ["a"], "scores": [None], "note": ["x"]}, "column 'scores' has empty cells"),
        ({"id": ["a"], "scores": [[1.0, None]], "note": ["x"]}, "column 'scores' has empty cells"),
    ],
)
def test_other_columns_are_refused(tmp_path, columns, message):
    path = tmp_path / "notes.parquet"
    parquet.write_table(pyarrow.table(columns), path)
    assert message in refused(path)


def test_columns_of_a_kindred_type_and_others_beside_them_do_no_harm(tmp_path):
    path = tmp_path / "notes.parquet"
    ids = pyarrow.array(["a"], pyarrow.large_string())
    parquet.write_table(pyarrow.table({"more": [1], "note": ["x"], "scores": [[1]], "id": ids}), path)
    assert rows_of(path) == [{"id": "a", "scores": [1.0], "note": "x"}]


def test_damage_anywhere_is_refused_or_does_no_harm(tmp_path):
    path = tmp_path / "notes.parquet"
    rows = write(path, 500)
    whole, draw = path.read_bytes(), random.Random(1)
    refusals = 0
    for _ in range(200):
        damaged = bytearray(whole)
        damaged[draw.randrange(len(whole))] ^= 0xFF
        path.write_bytes(damaged)
        try:
            assert rows_of(path) == rows
        except RunFolderError:
            refusals += 1
    assert refusals > 180
    for length in draw.sample(range(len(whole)), 20):
        path.write_bytes(whole[:length])
        refused(path)


def test_nested_metadata_gives_no_class_names(tmp_path):
    table = pyarrow.table({"text": ["a"], "label": [0]})
    parquet.write_table(
        table.replace_schema_metadata({"huggingface": "[" * 100_000}), tmp_path / "table.parquet"
    )
    assert read_table(tmp_path / "table.parquet").columns == {"text": ["a"], "label": [0]}
