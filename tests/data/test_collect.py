import csv
import json
import tracemalloc
from collections import Counter

import pyarrow
import pytest
from pyarrow import parquet

from whylabel.data import load_dataset, readers, spool, table
from whylabel.data.table import HEAD_ROWS, PIECE_ROWS
from whylabel.errors import DataError
from whylabel.recipe import DataConfig, TaskConfig

BORDERS = (0, PIECE_ROWS - 1, PIECE_ROWS, PIECE_ROWS + 1, HEAD_ROWS - 1, HEAD_ROWS, 3 * PIECE_ROWS - 1)
ROWS = 3 * PIECE_ROWS


def write(path, rows):
    names = list(rows[0])
    if path.suffix == ".parquet":
        parquet.write_table(pyarrow.Table.from_pylist(rows), path, row_group_size=1000)
    elif path.suffix == ".csv":
        with path.open("w", newline="", encoding="utf-8") as file:
            writer = csv.DictWriter(file, names)
            writer.writeheader()
            writer.writerows(rows)
    elif path.suffix == ".json":
        path.write_text(json.dumps(rows))
    else:
        path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return str(path)


def numbered(count=ROWS):
    return [{"id": f"row {at}", "text": f"text number {at}", "label": "abc"[at % 3]} for at in range(count)]


def load(source, **settings):
    return load_dataset(DataConfig(source=source, **settings), TaskConfig(), seed=1)


def everything(data):
    return [example for part in data.splits().values() for example in part]


@pytest.mark.parametrize("suffix", [".csv", ".jsonl", ".json", ".parquet"])
def test_rows_in_are_rows_out_and_rows_reported_at_the_borders_of_pieces(tmp_path, suffix, capsys):
    rows = numbered()
    for at in BORDERS:
        rows[at]["label"] = None
    source = write(tmp_path / f"data{suffix}", rows)
    with pytest.raises(DataError, match=f"{len(BORDERS)} of {ROWS} rows cannot be used") as caught:
        load(source)
    first = 2 if suffix == ".csv" else 1
    unit = "line" if suffix in (".csv", ".jsonl") else "row"
    assert f"{unit} {first} (id row 0)" in caught.value.where
    assert f"{unit} {first + PIECE_ROWS} (id row {PIECE_ROWS})" in caught.value.where
    data = load(source, bad_rows="drop")
    ids = sorted(int(example.id.removeprefix("row ")) for example in everything(data))
    assert ids == [at for at in range(ROWS) if at not in BORDERS]
    assert f"Left out {len(BORDERS)} of {ROWS} rows" in capsys.readouterr().err
    assert all(example.text == f"text number {example.id[4:]}" for example in everything(data))


def test_ids_that_occur_in_two_pieces(tmp_path):
    rows = numbered()
    rows[PIECE_ROWS]["id"] = rows[-1]["id"] = "row 5"
    with pytest.raises(DataError, match="2 rows have an id that an earlier row has") as caught:
        load(write(tmp_path / "data.jsonl", rows))
    assert f"line {PIECE_ROWS + 1} (id row 5)" in caught.value.where
    assert f"line {ROWS} (id row 5)" in caught.value.where


def test_equal_texts_in_two_pieces_get_different_ids(tmp_path):
    rows = [{"text": f"text {at % (ROWS - 2)}", "label": "abc"[at % 3]} for at in range(ROWS)]
    ids = [example.id for example in everything(load(write(tmp_path / "data.jsonl", rows)))]
    assert len(set(ids)) == ROWS
    assert sum(row_id.endswith("-2") for row_id in ids) == 2


def test_a_given_id_that_is_the_hash_of_another_text(tmp_path):
    rows = [{"id": None, "text": f"text {at}", "label": "ab"[at % 2]} for at in range(10)]
    made = everything(load(write(tmp_path / "made.jsonl", rows)))
    rows[9]["id"] = next(example.id for example in made if example.text == "text 0")
    with pytest.raises(DataError, match="1 rows have an id that an earlier row has") as caught:
        load(write(tmp_path / "given.jsonl", rows))
    assert "line 10" in caught.value.where


def test_a_label_that_is_first_seen_in_a_later_piece(tmp_path):
    rows = [{"text": f"text {at}", "label": "late" if at > 2 * HEAD_ROWS else at % 2} for at in range(20_000)]
    data = load(write(tmp_path / "data.jsonl", rows))
    assert data.labels == ("0", "1", "late")
    counts = Counter(example.label for example in everything(data))
    assert counts["late"] == 20_000 - 2 * HEAD_ROWS - 1
    # Integers are names only where all cells are integers, those of the last piece included.
    declared = {"no": "", "yes": "", "late": "", "0": "", "1": ""}
    named = load_dataset(DataConfig(source=str(tmp_path / "data.jsonl")), TaskConfig(labels=declared), seed=1)
    assert {example.label for example in everything(named)} == {"0", "1", "late"}


def test_a_broken_line_after_the_first_piece(tmp_path):
    path = tmp_path / "data.jsonl"
    write(path, numbered())
    with path.open("a") as file:
        file.write('{"text": "torn\n')
    with pytest.raises(DataError, match="not valid JSON") as caught:
        load(str(path))
    assert f"line {ROWS + 1}" in caught.value.where


def test_splits_are_stratified_and_repeatable_over_many_pieces(tmp_path):
    source = write(tmp_path / "data.parquet", numbered())
    data, again = load(source), load(source)
    assert data == again
    assert len(everything(data)) == len({example.id for example in everything(data)}) == ROWS
    for part in data.splits().values():
        counts = Counter(example.label for example in part)
        assert set(counts) == set("abc")
        assert max(counts.values()) - min(counts.values()) <= 1
    small, large = load(source, train_rows=100), load(source, train_rows=5000)
    assert set(small.train) < set(large.train) < set(data.train)


def test_equal_texts_of_different_pieces_stay_in_one_split(tmp_path):
    rows = [
        {"text": f"text {at % 2000}" + " " * (at % 3), "label": "abc"[at % 2000 % 3]} for at in range(ROWS)
    ]
    data = load(write(tmp_path / "data.jsonl", rows))
    texts = [{example.text.strip() for example in part} for part in data.splits().values()]
    assert sum(map(len, texts)) == 2000


def test_texts_are_not_held_in_memory(tmp_path, monkeypatch):
    # 16,000 texts of 4,000 characters are 64 MB. A piece of the stream is 2 MB, the rows in memory 1 MB.
    monkeypatch.setattr(spool, "_BYTES_IN_MEMORY", 1 << 20)
    monkeypatch.setattr(readers, "PIECE_ROWS", 500)
    monkeypatch.setattr(table, "HEAD_ROWS", 1000)
    path = tmp_path / "data.jsonl"
    with path.open("w") as file:
        for at in range(16_000):
            file.write(json.dumps({"text": f"{at} " + "x" * 4000, "label": "ab"[at % 2]}) + "\n")
    tracemalloc.start()
    try:
        data = load(str(path))
        held, peak = tracemalloc.get_traced_memory()
        tracemalloc.reset_peak()
        characters = sum(len(example.text) for rows in data.splits().values() for example in rows)
        walked = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert characters > 16_000 * 4000
    assert held < 8 << 20
    assert peak < 32 << 20
    assert walked < 32 << 20
