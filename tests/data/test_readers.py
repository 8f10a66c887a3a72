import codecs
import csv
import json
import os

import pyarrow
import pytest
from pyarrow import parquet

from whylabel.data import delimited, readers, table
from whylabel.data import parquet as parquet_reader
from whylabel.data.readers import read_lines, read_table, stream_table
from whylabel.errors import DataError

TEXTS = [
    'one, two; "three"',
    "line\nbreak",
    "tab\there | pipe",
    "emoji 😢🇩🇰",
    "  blanks kept  ",
    "sep\u2028arator",
]


def write(folder, name, content):
    path = folder / name
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    return path


def refused(path):
    with pytest.raises(DataError) as caught:
        read_table(path)
    assert caught.value.where and caught.value.fix
    assert path.name in caught.value.where
    return caught.value


def write_texts(folder, suffix):
    path = folder / f"data{suffix}"
    rows = [{"text": text, "label": "a"} for text in TEXTS]
    if suffix in (".csv", ".tsv"):
        with path.open("w", newline="", encoding="utf-8") as file:
            writer = csv.DictWriter(file, ["text", "label"], delimiter="\t" if suffix == ".tsv" else ",")
            writer.writeheader()
            writer.writerows(rows)
    elif suffix == ".json":
        path.write_text(json.dumps(rows), encoding="utf-8")
    elif suffix == ".parquet":
        parquet.write_table(pyarrow.Table.from_pylist(rows), path)
    else:
        path.write_text("".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows), encoding="utf-8")
    return path


@pytest.mark.parametrize("suffix", [".csv", ".tsv", ".jsonl", ".ndjson", ".json", ".parquet", ".CSV"])
def test_every_format_returns_texts_unchanged(tmp_path, suffix):
    table = read_table(write_texts(tmp_path, suffix.lower()).rename(tmp_path / f"data{suffix}"))
    assert table.columns == {"text": TEXTS, "label": ["a"] * len(TEXTS)}


@pytest.mark.parametrize("delimiter", list(",;\t|"))
def test_delimiter_of_csv_is_read_from_the_header(tmp_path, delimiter):
    content = f"text{delimiter}label\nhi there{delimiter}a\n"
    assert read_table(write(tmp_path, "d.csv", content)).columns == {"text": ["hi there"], "label": ["a"]}


@pytest.mark.parametrize("start", ["\n", " \r\n\n", "sep=;\r\n", '"SEP=;"\n', "\nsep=;\n\n"])
def test_blank_lines_and_the_sep_line_of_excel_stand_before_the_header(tmp_path, start):
    table = read_table(write(tmp_path, "d.csv", f"{start}text;label\nhi, there;a\n"))
    assert table.columns == {"text": ["hi, there"], "label": ["a"]}
    assert table.places == [start.count("\n") + 2]


@pytest.mark.parametrize(
    ("mark", "encoding"),
    [
        (codecs.BOM_UTF8, "utf-8"),
        (codecs.BOM_UTF16_LE, "utf-16-le"),
        (codecs.BOM_UTF16_BE, "utf-16-be"),
        (codecs.BOM_UTF32_LE, "utf-32-le"),
    ],
)
def test_byte_order_marks(tmp_path, mark, encoding):
    path = write(tmp_path, "d.csv", mark + "text,label\nsød 😢,a\n".encode(encoding))
    assert read_table(path).columns == {"text": ["sød 😢"], "label": ["a"]}


def test_line_numbers_are_those_of_the_file(tmp_path):
    table = read_table(write(tmp_path, "d.csv", '\ntext,label\n"a\nb",x\n\nc,y\n'))
    assert [table.place(row) for row in range(2)] == [f"{tmp_path / 'd.csv'}, line {n}" for n in (3, 6)]


def test_fields_longer_than_the_csv_modules_limit(tmp_path):
    before = csv.field_size_limit()
    table = read_table(write(tmp_path, "d.csv", f"text,label\n{'x' * 300_000},a\n"))
    assert len(table.columns["text"][0]) == 300_000
    assert csv.field_size_limit() == before


def test_tsv_without_quoting(tmp_path):
    table = read_table(write(tmp_path, "d.tsv", 'text\tlabel\n"lone quote\ta\nhe said "hi"\tb\n'))
    assert table.columns["text"] == ['"lone quote', 'he said "hi"']


def test_a_lone_quote_in_a_tsv_takes_in_no_rows(tmp_path):
    texts = ["one", '"Big news today', "two", "three", 'a screen of 24"', "four"]
    content = "text\tlabel\n" + "".join(f"{text}\ta\n" for text in texts)
    assert read_table(write(tmp_path, "d.tsv", content)).columns["text"] == texts


@pytest.mark.parametrize(
    ("content", "texts"),
    [
        ('text\tlabel\n"two\nlines"\ta\n"a\tb\nc\td\ne"\ta\n', ["two\nlines", "a\tb\nc\td\ne"]),
        ('text\n"two\nlines"\n', ["two\nlines"]),
        ('text\tlabel\n"said ""hi"""\ta\n', ['said "hi"']),
    ],
)
def test_quotes_of_a_tsv_that_mean_something_are_heeded(tmp_path, content, texts):
    assert read_table(write(tmp_path, "d.tsv", content)).columns["text"] == texts


def test_windows_line_ends(tmp_path):
    table = read_table(write(tmp_path, "d.csv", "text,label\r\nhi,a\r\nho,b\r\n"))
    assert table.columns == {"text": ["hi", "ho"], "label": ["a", "b"]}


def test_nameless_columns_are_numbered(tmp_path):
    assert list(read_table(write(tmp_path, "d.csv", ",text\n0,hi\n")).columns) == ["column 1", "text"]


def test_json_rows_may_miss_keys(tmp_path):
    table = read_table(write(tmp_path, "d.jsonl", '{"text": "a"}\n\n{"label": 3, "text": "b"}\n'))
    assert table.columns == {"text": ["a", "b"], "label": [None, 3]}
    assert table.places == [1, 3]


def test_json_lines_in_a_json_file(tmp_path):
    assert len(read_table(write(tmp_path, "d.json", '{"text": "a"}\n{"text": "b"}\n'))) == 2


def test_parquet_brings_its_class_names(tmp_path):
    features = {"label": {"_type": "ClassLabel", "names": ["no", "yes"]}, "text": {"_type": "Value"}}
    metadata = {"huggingface": json.dumps({"info": {"features": features}})}
    table = pyarrow.Table.from_pylist([{"text": "a", "label": 1}]).replace_schema_metadata(metadata)
    parquet.write_table(table, tmp_path / "d.parquet")
    assert read_table(tmp_path / "d.parquet").class_names == {"label": ("no", "yes")}


def test_wrong_encoding_names_line_byte_and_cure(tmp_path):
    error = refused(write(tmp_path, "d.csv", "text,label\nok,a\nsød,b\n".encode("latin-1")))
    assert "line 3" in error.where and "0xF8" in error.where
    assert "iconv" in error.fix and "UTF-8" in error.what


def test_ragged_row_names_line_and_counts(tmp_path):
    error = refused(write(tmp_path, "d.csv", "text,label\nok,a\none, two,a\n"))
    assert "line 3" in error.where
    assert "2 fields" in error.what and "has 3" in error.what
    assert "quotes" in error.fix


def test_unclosed_quote_names_the_line_where_it_opens(tmp_path):
    assert "line 3" in refused(write(tmp_path, "d.csv", 'text,label\nok,a\n"open,a\nb,c\n')).where


def test_json_line_that_is_no_object(tmp_path):
    error = refused(write(tmp_path, "d.jsonl", '{"text": "a"}\n["b"]\n'))
    assert "line 2" in error.where and "object" in error.what


def test_broken_json_list_names_its_line(tmp_path):
    assert "line 3" in refused(write(tmp_path, "d.json", '[\n{"text": "a"},\n{"text" "b"}\n]')).where


@pytest.mark.parametrize(
    "broken", [lambda data: data[:-20], lambda data: data[:-60] + b"\xff" * 40 + data[-20:]]
)
def test_broken_parquet(tmp_path, broken):
    whole = write_texts(tmp_path, ".parquet").read_bytes()
    error = refused(write(tmp_path, "broken.parquet", broken(whole)))
    assert "not readable as Parquet" in error.what


def test_parquet_checksums_are_checked(tmp_path):
    path = tmp_path / "d.parquet"
    content = pyarrow.table({"text": TEXTS})
    parquet.write_table(content, path, write_page_checksum=True, compression="none", use_dictionary=False)
    data = path.read_bytes()
    assert data.count(b"line\nbreak") == 1
    path.write_bytes(data.replace(b"line\nbreak", b"line\nbroke"))
    assert "not readable as Parquet" in refused(path).what


def test_broken_json_line(tmp_path):
    assert "line 2" in refused(write(tmp_path, "d.jsonl", '{"text": "a"}\n{"text": "b"\n')).where


@pytest.mark.parametrize(
    ("name", "content", "said"),
    [
        ("d.csv", b"", "empty"),
        ("d.csv", b" \n\n", "empty"),
        ("d.jsonl", b"", "empty"),
        ("d.parquet", b"", "empty"),
        ("d.csv", b"text,label\n", "no rows"),
        ("d.json", b"[]", "no rows"),
        ("d.json", b'{"data": []}', "not a list of rows"),
        ("d.json", b"[1]", "JSON object"),
        ("d.jsonl", b"[" * 100_000, "not valid JSON"),
        ("d.csv", b"text,label\na\0b,c\n", "NUL"),
        ("d.csv", "text,label\nhi,a\n".encode("utf-16-le"), "NUL"),
        ("d.csv", b"text,label,text\na,b,c\n", "twice"),
        ("d.parquet", b"text,label\nhi,a\n", "Parquet"),
        ("d.xlsx", b"PK", "not known"),
        ("d", b"text", "not known"),
    ],
)
def test_bad_files_are_refused(tmp_path, name, content, said):
    assert said in refused(write(tmp_path, name, content)).what


def test_parquet_with_a_column_twice(tmp_path):
    table = pyarrow.table([pyarrow.array(["a"]), pyarrow.array(["b"])], names=["text", "text"])
    parquet.write_table(table, tmp_path / "d.parquet")
    assert "twice" in refused(tmp_path / "d.parquet").what


def test_missing_file_and_folder(tmp_path):
    assert "no such file" in refused(tmp_path / "none.csv").what
    assert "folder" in refused(tmp_path).what


def test_lines_of_a_text_file(tmp_path):
    path = write(tmp_path, "d.txt", "\ufeffone\r\n\nthr\u2028ee\n")
    assert read_lines(path) == ["one", "", "thr\u2028ee"]


@pytest.mark.parametrize("suffix", [".csv", ".tsv", ".jsonl", ".parquet"])
def test_a_stream_is_read_in_pieces_from_its_start_every_time(tmp_path, monkeypatch, suffix):
    for module in (readers, delimited, parquet_reader):
        monkeypatch.setattr(module, "PIECE_ROWS", 2)
    monkeypatch.setattr(table, "HEAD_ROWS", 3)
    path = write_texts(tmp_path, suffix)
    stream = stream_table(path)
    assert stream.head.columns["text"] == TEXTS[:4]
    for _ in range(2):
        pieces = list(stream.pieces(None))
        assert [len(piece) for piece in pieces] == [2, 2, 2]
        assert [cell for piece in pieces for cell in piece.columns["text"]] == TEXTS
    assert stream.whole() == read_table(path)
    places = [piece.place(row) for piece in pieces for row in range(2)]
    assert places == [stream.whole().place(row) for row in range(6)]
    (first, *_) = stream.pieces(["label"])
    assert first.column("label") == ["a", "a"] and first.column("none") == [None, None]


def test_a_stream_of_json_lines_fills_what_a_piece_lacks(tmp_path, monkeypatch):
    monkeypatch.setattr(readers, "PIECE_ROWS", 1)
    stream = stream_table(write(tmp_path, "d.jsonl", '{"text": "a"}\n{"label": 3, "text": "b"}\n'))
    assert [piece.column("label") for piece in stream.pieces({"text", "label"})] == [[None], [3]]
    assert stream.whole().columns == {"text": ["a", "b"], "label": [None, 3]}


def test_quotes_of_a_tsv_are_decided_by_its_last_row_too(tmp_path, monkeypatch):
    monkeypatch.setattr(delimited, "PIECE_ROWS", 1)
    path = write(tmp_path, "d.tsv", 'text\tlabel\n"quoted"\ta\n"lone quote\tb\n')
    assert read_table(path).columns["text"] == ['"quoted"', '"lone quote']


def test_a_wrong_encoding_far_from_the_start(tmp_path):
    lines = b"text,label\n" + b"a text of some length,a\n" * 20_000
    error = refused(write(tmp_path, "d.csv", lines + "sød,b\n".encode("latin-1")))
    assert "line 20002" in error.where and f"byte {len(lines) + 1} is 0xF8" in error.where
    error = refused(write(tmp_path, "d.csv", lines + b"a\0b,a\n"))
    assert "NUL" in error.what and "line 20002" in error.where


def test_only_the_columns_that_are_wanted_are_read_from_parquet(tmp_path):
    content = pyarrow.table({" text": ["a"], "label": ["x"], "vector": [[0.0] * 4]})
    parquet.write_table(content, tmp_path / "d.parquet")
    (piece,) = stream_table(tmp_path / "d.parquet").pieces({"text", "label"})
    assert piece.columns == {"text": ["a"], "label": ["x"]}


def test_a_pipe_is_refused_before_anybody_waits_for_it(tmp_path):
    os.mkfifo(tmp_path / "texts.csv")
    assert "pipe" in refused(tmp_path / "texts.csv").what


@pytest.mark.parametrize("suffix", [".csv", ".tsv", ".jsonl", ".json", ".parquet"])
@pytest.mark.parametrize(
    ("content", "what"),
    [
        ("version https://git-lfs.github.com/spec/v1\noid sha256:4d7a\nsize 12345\n", "pointer of Git LFS"),
        ("\ufeff\n<!DOCTYPE html>\n<html><body>\nLog in, please\n</body></html>\n", "web page"),
        ("<HTML lang=en>\n<body>\n", "web page"),
    ],
)
def test_what_stands_in_place_of_the_data_is_no_table(tmp_path, suffix, content, what):
    error = refused(write(tmp_path, f"d{suffix}", content))
    assert what in error.what and "line 1" in error.where and error.fix
