import pyarrow.parquet
import pytest

from whylabel.errors import RunFolderError
from whylabel.reasonings.files import dropped_rows, iterate_dropped, kept_rows, read_reasoned
from whylabel.types import Dropped, ReasonedExample

ROWS = (
    ReasonedExample(
        *("1", "text\nwith 'quotes', \"commas\" 🤔", "joy", "because", "smollm2", True),
        condition="free",
        candidate=2,
        candidates=("because", "so"),
        scores=(0.5, -1.0),
        weight=0.5,
    ),
    ReasonedExample("2", "", "fear of flying", "cut o", "", False),
)


def write_kept(path, rows):
    with kept_rows(path) as keep:
        for row in rows:
            keep(row)


def write_dropped(path, items):
    with dropped_rows(path) as drop:
        for item in items:
            drop(item)


def test_kept_rows_come_back(tmp_path):
    write_kept(tmp_path / "augment" / "train.parquet", ROWS)
    assert read_reasoned(tmp_path / "augment" / "train.parquet") == ROWS


def test_dropped_rows_have_their_reason(tmp_path):
    write_dropped(tmp_path / "dropped.parquet", [Dropped(ROWS[1], "unfinished")])
    (row,) = pyarrow.parquet.read_table(tmp_path / "dropped.parquet").to_pylist()
    assert row["reason"] == "unfinished" and row["id"] == "2" and row["finished"] is False
    write_dropped(tmp_path / "more.parquet", [Dropped(ROWS[1], "unfinished"), Dropped(ROWS[0], "a copy")])
    assert list(iterate_dropped(tmp_path / "more.parquet")) == [
        Dropped(ROWS[1], "unfinished"),
        Dropped(ROWS[0], "a copy"),
    ]


@pytest.mark.parametrize("write", [write_kept, write_dropped])
def test_no_rows_still_make_a_file_with_typed_columns(tmp_path, write):
    path = tmp_path / "rows.parquet"
    write(path, [])
    schema = pyarrow.parquet.read_schema(path)
    assert schema.names[:6] == ["id", "text", "label", "reasoning", "reasoner", "finished"]
    assert str(schema.field("text").type) == "string" and str(schema.field("finished").type) == "bool"
    assert read_reasoned(path) == ()


def test_a_column_that_was_added_by_hand_does_no_harm(tmp_path):
    write_kept(tmp_path / "a.parquet", ROWS)
    table = pyarrow.parquet.read_table(tmp_path / "a.parquet")
    pyarrow.parquet.write_table(table.append_column("note", [["x", "y"]]), tmp_path / "b.parquet")
    assert read_reasoned(tmp_path / "b.parquet") == ROWS


def test_the_files_of_the_first_versions_are_read(tmp_path):
    first = ReasonedExample("2", "a text", "joy", "because", "smollm2", True)
    write_dropped(tmp_path / "now.parquet", [Dropped(first, "unfinished")])
    names = ["id", "text", "label", "reasoning", "reasoner", "finished", "reason"]
    table = pyarrow.parquet.read_table(tmp_path / "now.parquet", columns=names)
    pyarrow.parquet.write_table(table, tmp_path / "old.parquet")
    assert list(iterate_dropped(tmp_path / "old.parquet")) == [Dropped(first, "unfinished")]
    assert read_reasoned(tmp_path / "old.parquet") == (first,)


def test_many_rows_are_written_as_they_come_and_none_is_there_before_all_are(tmp_path):
    path = tmp_path / "many.parquet"
    with kept_rows(path) as keep:
        for number in range(20_000):
            keep(ReasonedExample(str(number), "text", "joy", "because"))
        assert not path.exists()
    assert [row.id for row in read_reasoned(path)] == [str(number) for number in range(20_000)]


def test_a_writer_that_is_interrupted_leaves_nothing(tmp_path):
    with pytest.raises(KeyboardInterrupt), kept_rows(tmp_path / "rows.parquet") as keep:
        keep(ROWS[0])
        raise KeyboardInterrupt
    assert list(tmp_path.iterdir()) == []


def test_a_damaged_file_is_one_clear_error(tmp_path):
    path = tmp_path / "train.parquet"
    path.write_bytes(b"PAR1 torn")
    with pytest.raises(RunFolderError, match=r"^The reasonings cannot be read: .*") as caught:
        read_reasoned(path)
    assert caught.value.fix.startswith("remove the file")
    pyarrow.parquet.write_table(pyarrow.table({"id": ["1"]}), path)
    with pytest.raises(RunFolderError, match="cannot be read"):
        read_reasoned(path)
