import csv
import io
import json
from datetime import date, datetime
from decimal import Decimal

import pandas
import pyarrow
import pytest
from pyarrow import parquet

from whylabel.data.readers import read_table
from whylabel.data.writers import json_writer, require_format, table_file, written_columns
from whylabel.errors import UsageError

SCHEMA = {"name": "text", "count": "whole", "share": "number", "fine": "truth", "tags": "texts"}
ROWS = [
    {"name": 'said "hi",\nand left 🙂', "count": -3, "share": -0.5, "fine": True, "tags": ["a", "b"]},
    {"name": "=SUM(A1)"},
    {"name": "broken \ud800 and \0", "share": float("nan"), "tags": []},
]


def write(path, rows=ROWS, schema=SCHEMA):
    with table_file(path, schema) as put:
        for row in rows:
            put(row)


def test_csv_is_safe_for_spreadsheets_and_numbers_stay_numbers(tmp_path):
    path = tmp_path / "new" / "rows.csv"
    write(path, schema={**SCHEMA, "=x": "text"})
    header, *rows = csv.reader(io.StringIO(path.read_text(encoding="utf-8-sig")))
    assert header == [*SCHEMA, "'=x"]
    assert rows == [
        ['said "hi",\nand left 🙂', "-3", "-0.5", "true", '["a", "b"]', ""],
        ["'=SUM(A1)", "", "", "", "", ""],
        ["broken \\ud800 and \\x00", "", "", "", "[]", ""],
    ]


def test_a_csv_begins_with_a_byte_order_mark_and_is_read_back(tmp_path):
    path = tmp_path / "rows.csv"
    write(path)
    assert path.read_bytes().startswith(b"\xef\xbb\xbfname,")
    assert written_columns(path) == list(read_table(path).columns) == list(SCHEMA)


def test_json_lines_leave_out_what_is_not_there(tmp_path):
    path = tmp_path / "rows.jsonl"
    write(path)
    first, second, third = map(json.loads, path.read_text(encoding="utf-8").splitlines())
    assert first == ROWS[0] and second == {"name": "=SUM(A1)"}
    assert third == {"name": "broken \\ud800 and \\x00", "share": None, "tags": []}
    stream = io.StringIO()
    json_writer(stream)(ROWS[0])
    assert json.loads(stream.getvalue()) == ROWS[0]


def test_parquet_has_the_types_of_the_schema(tmp_path):
    path = tmp_path / "rows.parquet"
    write(path, schema={**SCHEMA, "day": pyarrow.date32()}, rows=[*ROWS[:2], {"day": date(2024, 1, 2)}])
    table = parquet.read_table(path)
    assert [str(kind) for kind in table.schema.types] == [
        *("string", "int64", "double", "bool", "list<element: string>", "date32[day]"),
    ]
    assert table.to_pylist()[0] == {**ROWS[0], "day": None}
    assert table.to_pylist()[2]["day"] == date(2024, 1, 2)
    write(path, [{"name": "half \ud800"}, {"name": {"a": [1, "\ud800"]}}, {"name": 3}])
    assert parquet.read_table(path)["name"].to_pylist() == ["half \\ud800", '{"a": [1, "\\\\ud800"]}', "3"]
    nested = pyarrow.struct({"a": pyarrow.list_(pyarrow.string())})
    write(path, [{"n": {"a": ["\ud800"]}}], {"n": nested})
    assert parquet.read_table(path)["n"].to_pylist() == [{"a": ["\\ud800"]}]


@pytest.mark.parametrize("suffix", ["csv", "jsonl"])
def test_values_of_every_kind_can_be_written(tmp_path, suffix):
    cells = [date(2024, 1, 2), datetime(2024, 1, 2, 3), Decimal("1.50"), b"\xff", pandas.NaT, float("inf")]
    path = tmp_path / f"rows.{suffix}"
    write(path, [{"cell": cell} for cell in cells], {"cell": "text"})
    said = ["2024-01-02", "2024-01-02T03:00:00", "1.50", "/w==", None, "inf"]
    text = path.read_text(encoding="utf-8")
    if suffix == "jsonl":
        assert [json.loads(line)["cell"] for line in text.splitlines()] == said
    else:
        assert [row[0] if row else "" for row in csv.reader(io.StringIO(text))][1:] == [x or "" for x in said]


@pytest.mark.parametrize("suffix", ["csv", "jsonl", "parquet"])
def test_a_file_appears_whole_or_not_at_all(tmp_path, suffix):
    path = tmp_path / f"rows.{suffix}"
    with pytest.raises(KeyboardInterrupt), table_file(path, SCHEMA) as put:
        put(ROWS[0])
        raise KeyboardInterrupt
    assert list(tmp_path.iterdir()) == []
    write(path, [])
    assert path.exists()


def test_an_unknown_suffix_is_refused(tmp_path):
    with pytest.raises(UsageError, match=r"Notes cannot be written as '\.xls'") as caught:
        require_format(tmp_path / "a.xls", "Notes")
    assert caught.value.fix == "name a file that ends in .csv, .jsonl, .parquet"
    with pytest.raises(UsageError, match="a file without suffix"):
        require_format(tmp_path / "a", "Notes")
    require_format(tmp_path / "A.CSV", "Notes")
