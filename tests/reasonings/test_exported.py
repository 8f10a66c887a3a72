"""Exported files that a spreadsheet has opened and saved: rows are recognised, and damage is never recorded."""

import csv
import re

import pytest

from review_file import edit
from whylabel.cli.review_files import write_rows
from whylabel.data.readers import read_table
from whylabel.errors import DataError
from whylabel.reasonings.decisions import import_decisions
from whylabel.reasonings.review import review_rows
from whylabel.reasonings.store import open_store
from whylabel.types import Example

REASONS = ["café à la carte, he says", "a plain reason of five words", "“quoted” words – and a dash"]
TEXTS = ["Ein schöner Tag", "plain text", "=1+1 is a sum", "lines\nof a text", "plain too", "déjà vu"]
IDS = ["007", "1E5", "12345678901234567890", "1-2", "MAR1", "r5"]


def examples(ids=IDS, texts=TEXTS):
    return [
        Example(row_id, text, "joy" if at % 2 else "fear")
        for at, (row_id, text) in enumerate(zip(ids, texts, strict=True))
    ]


@pytest.fixture
def run(sort):
    return sort(lambda index: REASONS[index % 3], examples=examples(), fail_every=0)


@pytest.fixture
def path(tmp_path):
    return tmp_path / "rows.csv"


def export(run, path):
    write_rows(path, list(review_rows(run)))


def decided(run):
    with open_store(run.store) as store:
        return {
            decision.row: decision for decisions in store.all_decisions().values() for decision in decisions
        }


def changed(path, change):
    """Change every row of a CSV file, as a mapping; the header stays."""
    with path.open(encoding="utf-8-sig", newline="") as stream:
        rows = list(csv.DictReader(stream))
    with path.open("w", encoding="utf-8", newline="") as stream:
        writer = csv.DictWriter(stream, list(rows[0]))
        writer.writeheader()
        writer.writerows([change(at, dict(row)) for at, row in enumerate(rows)])


def refused(run, path, message):
    with pytest.raises(DataError, match=message) as caught:
        import_decisions(run, path, decided_by="Ada")
    assert not decided(run)
    assert caught.value.fix and str(path) in caught.value.where
    return caught.value


# -- encodings ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("encoding", ["cp1252", "latin-1", "mac_roman", "cp1251", "cp437", "gb18030"])
@pytest.mark.parametrize("decide", [False, True])
def test_a_file_in_a_wrong_encoding_is_refused(run, path, encoding, decide):
    export(run, path)
    if decide:
        edit(path, {"r5": {"verdict": "rejected"}})
    content = path.read_bytes().removeprefix(b"\xef\xbb\xbf").decode(encoding, "replace")
    path.write_text(content, encoding="utf-8", newline="")
    error = refused(
        run, path, "'text', which nobody edits, has changed in 2 of 6 rows: most likely the file was opened"
    )
    assert "UTF-8" in error.fix and "lines" in error.where


def test_characters_that_were_lost_are_refused(run, path):
    export(run, path)
    content = path.read_text(encoding="utf-8-sig").encode("ascii", "replace")
    path.write_bytes(content)
    refused(run, path, "another encoding than UTF-8")


@pytest.mark.parametrize("encoding", ["cp1252", "mac_roman"])
def test_reasonings_alone_that_are_garbled_are_no_edits(sort, path, encoding):
    plain = examples(texts=[f"plain {at}" for at in range(6)])
    run = sort(lambda index: REASONS[index % 3], examples=plain, fail_every=0)
    export(run, path)
    path.write_text(path.read_bytes().decode(encoding, "replace"), encoding="utf-8", newline="")
    # The mark is garbled, too, and would hide the column id.
    content = path.read_text(encoding="utf-8")
    path.write_text("id," + content.partition(",")[2], encoding="utf-8", newline="")
    refused(run, path, "not edited but garbled: most likely the file was opened or saved in another encoding")


def test_a_mark_that_is_garbled_itself_is_known(run, path):
    export(run, path)
    path.write_text(path.read_bytes().decode("cp1252", "replace"), encoding="utf-8", newline="")
    refused(
        run, path, "There is no column 'id'. Most likely the file was opened or saved in another encoding"
    )


def test_a_file_with_its_mark_or_in_utf_16_comes_back(run, path):
    export(run, path)
    edit(path, {"r5": {"reasoning": "by hand: é"}})
    path.write_text(path.read_text(encoding="utf-8-sig"), encoding="utf-16", newline="")
    assert import_decisions(run, path, decided_by="Ada") == {"edited": 1}


# -- columns that nobody edits ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("column", ["text", "label", "state", "reason", "condition", "reasoner"])
@pytest.mark.parametrize("suffix", ["csv", "jsonl", "parquet"])
def test_a_changed_column_is_refused(run, tmp_path, column, suffix):
    path = tmp_path / f"rows.{suffix}"
    export(run, path)
    edit(path, {"r5": {column: "something else", "verdict": "rejected"}})
    refused(run, path, f"The column '{column}', which nobody edits, has changed in 1 of 6 rows")


def test_who_decided_earlier_is_nothing_to_edit(run, path):
    export(run, path)
    edit(path, {"r5": {"verdict": "rejected", "decided_by": "filled in by hand"}})
    assert import_decisions(run, path, decided_by="José") == {"rejected": 1}
    for change in ({"decided_by": "Ada"}, {"decided_by": "JosÃ©"}):
        export(run, path)
        edit(path, {"r5": {"verdict": "accepted", **change}})
        with pytest.raises(
            DataError, match="'decided_by or decided_at', which nobody edits, has changed in 1 of 6"
        ):
            import_decisions(run, path, decided_by="Ada")
    export(run, path)
    edit(path, {"r5": {"verdict": "accepted", "decided_at": "02.01.2026 03:04"}})
    assert import_decisions(run, path, decided_by="Ada") == {"accepted": 1}


def test_a_column_that_was_sorted_without_the_others_is_refused(run, path):
    for columns in (["text"], ["id"], ["reasoning_hash"], ["id", "text", "label"]):
        export(run, path)
        with path.open(encoding="utf-8-sig", newline="") as stream:
            rows = list(csv.DictReader(stream))
        kept = [{name: row[name] for name in columns} for row in rows]
        changed(
            path,
            lambda at, row, kept=kept, rows=rows: {**row, **kept[at - len(rows) + 1], "verdict": "accepted"},
        )
        error = refused(run, path, "which nobody edits, ha")
        assert "sorted or moved" in error.what


@pytest.mark.parametrize("value", ["", "edited", "r00000000-0", "#NAME?"])
def test_a_hash_that_is_none_is_refused(run, path, value):
    export(run, path)
    changed(path, lambda _, row: {**row, "reasoning_hash": value or "x", "verdict": "rejected"})
    refused(run, path, "'reasoning_hash', which nobody edits, has changed in 6 of 6 rows")


def test_a_cell_that_was_cut_is_refused(sort, path):
    run = sort(
        ["a plain reason of five words"],
        examples=[Example("a", "word " * 8000, "joy"), Example("b", "short", "fear")],
        fail_every=0,
    )
    export(run, path)
    changed(path, lambda _, row: {**row, "text": row["text"][:32767]})
    refused(run, path, "a spreadsheet has cut long cells")


# -- every row ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "change", [lambda text: f"{text} ", lambda text: text.replace(" ", "\u00a0"), lambda text: text[:-1]]
)
def test_a_file_in_which_every_reasoning_has_changed_is_refused(run, path, change):
    export(run, path)
    changed(path, lambda _, row: {**row, "reasoning": change(row["reasoning"])})
    error = refused(run, path, r"The reasoning of every row \(6\) has changed: most likely")
    assert "set verdict to edited" in error.fix
    changed(path, lambda at, row: {**row, "verdict": "rejected" if at == 2 else "accepted" if at else ""})
    refused(run, path, r"The reasoning of every row \(6\) has changed")
    # The cure for people who did edit all of them.
    changed(path, lambda _, row: {**row, "verdict": "edited"})
    assert import_decisions(run, path, decided_by="Ada") == {"edited": 6}


def test_every_row_may_be_rejected_or_edited_but_for_one(run, path):
    export(run, path)
    changed(path, lambda at, row: {**row, "reasoning": f"by hand {at}"} if at else row)
    assert import_decisions(run, path, decided_by="Ada") == {"edited": 5}
    changed(path, lambda _, row: {**row, "verdict": "rejected"})
    assert import_decisions(run, path, decided_by="Ada") == {"rejected": 6}


# -- what spreadsheets may do ---------------------------------------------------------------------------------------

REWRITTEN = {
    "007": "7",
    "1E5": "1.00E+05",
    "12345678901234567890": "1.23457E+19",
    "1-2": "02. Jan",
    "MAR1": "01-Mar",
}


@pytest.mark.parametrize("hashes", [True, False])
def test_rows_are_recognised_where_a_spreadsheet_has_rewritten_their_ids(run, path, hashes):
    export(run, path)
    rows = {row.id: row.row for row in review_rows(run)}

    def rewritten(_, row):
        row |= {"id": REWRITTEN.get(row["id"], row["id"]), "verdict": "rejected" if row["id"] != "r5" else ""}
        return (
            row
            if hashes
            else {k: v for k, v in row.items() if k != "reasoning_hash"} | {"reasoning_hash": ""}
        )

    changed(path, rewritten)
    assert import_decisions(run, path, decided_by="Ada") == {"rejected": 5}
    assert decided(run).keys() == {rows[row_id] for row_id in REWRITTEN}


def test_an_id_that_becomes_another_rows_id_is_still_its_own_row(sort, path):
    run = sort(REASONS[1:2], examples=examples(["007", "7", "07", "1.0", "1", "b"]), fail_every=0)
    rows = {row.id: row.row for row in review_rows(run)}
    export(run, path)

    def rewritten(_, row):
        verdict = {"007": "rejected", "1.0": "accepted"}.get(row["id"], "")
        return {**row, "id": re.sub(r"^0+|\.0$", "", row["id"]), "verdict": verdict}

    changed(path, rewritten)
    assert import_decisions(run, path, decided_by="Ada") == {"rejected": 1, "accepted": 1}
    found = {row: decision.verdict for row, decision in decided(run).items()}
    assert found == {rows["007"]: "rejected", rows["1.0"]: "accepted"}


def test_ids_that_no_spreadsheet_rewrites_are_refused_with_their_places(run, path):
    export(run, path)
    changed(
        path, lambda at, row: {**row, "id": f"x{at}", "verdict": "rejected"} if row["id"] == "r5" else row
    )
    error = refused(run, path, "No row of this run has the id 'x5'")
    assert error.where == f"{path}, line 8" and "leave the column id as it was exported" in error.fix


def test_labels_and_texts_that_a_spreadsheet_rewrites_are_those_of_the_row(sort, path):
    rows = [Example("a", "1-2", "1.0"), Example("b", "0012", "1.1"), Example("c", "some text", "TRUE")]
    run = sort(REASONS[1:2], examples=rows, fail_every=0)
    export(run, path)
    new = {"1-2": "02. Jan", "0012": "12", "1.0": "1", "TRUE": "WAHR"}
    changed(
        path,
        lambda _, row: {
            **row,
            "text": new.get(row["text"], row["text"]),
            "label": new.get(row["label"], row["label"]),
            "verdict": "rejected",
        },
    )
    assert import_decisions(run, path, decided_by="Ada") == {"rejected": 3}


@pytest.mark.parametrize("ends", ["\r\n", "\r"])
def test_other_line_ends_are_no_edits(sort, path, ends):
    run = sort(["one line here,\nand another one"], examples=examples(), fail_every=0)
    export(run, path)
    changed(
        path,
        lambda _, row: {**row, **{name: row[name].replace("\n", ends) for name in ("text", "reasoning")}},
    )
    assert import_decisions(run, path, decided_by="Ada") == {}
    changed(path, lambda at, row: {**row, "verdict": "" if at else "rejected"})
    assert import_decisions(run, path, decided_by="Ada") == {"rejected": 1}
    assert [row.verdict for row in review_rows(run)].count("rejected") == 1


def test_blank_rows_at_the_end_are_left_out(run, path):
    export(run, path)
    edit(path, {"r5": {"verdict": "rejected"}})
    blank = "," * (len(read_table(path).columns) - 1)
    path.write_text(path.read_text(encoding="utf-8") + f"{blank}\n{blank}\n", encoding="utf-8")
    assert import_decisions(run, path, decided_by="Ada") == {"rejected": 1}


def test_an_export_of_an_older_whylabel_has_no_hash_of_its_columns(run, path):
    export(run, path)
    edit(path, {"r5": {"verdict": "rejected"}}, drop=("columns_hash",))
    assert import_decisions(run, path, decided_by="Ada") == {"rejected": 1}


def test_ids_that_are_garbled_are_refused_with_the_cause(sort, path):
    plain = examples(ids=[f"é{at}" for at in range(6)], texts=[f"plain {at}" for at in range(6)])
    run = sort(REASONS[1:2], examples=plain, fail_every=0)
    export(run, path)
    content = path.read_bytes().removeprefix(b"\xef\xbb\xbf").decode("cp1252")
    path.write_text(content, encoding="utf-8", newline="")
    error = refused(
        run, path, "No row of this run has the id 'Ã©0'. Most likely the file was opened or saved"
    )
    assert error.where == f"{path}, lines 2, 3, 4, 5, 6, 7"
