import json
from dataclasses import replace

import pytest

from whylabel.errors import RunFolderError
from whylabel.reasonings.files import dropped_rows, kept_rows
from whylabel.reasonings.review import ReviewRow, review_rows, seen_hash
from whylabel.reasonings.store import Decision, open_store
from whylabel.run_folder import RunFolder
from whylabel.text.hashes import reasoning_hash
from whylabel.types import Dropped, Example, ReasonedExample

REASON = "=a reason, of five words"


def shown(run):
    return {row.id: row for row in review_rows(run)}


def test_every_row_is_there_with_its_state(sort):
    rows = shown(sort())
    assert set(rows) == {f"r{number}" for number in range(6)}
    assert (rows["r0"].state, rows["r0"].reasoning) == ("kept", REASON)
    assert (rows["r1"].state, rows["r1"].reason) == ("dropped", "too short")
    assert (rows["r5"].state, rows["r5"].reason) == ("failed", "scripted failure")


def test_a_row_is_shown_with_all_that_is_known_of_it(tmp_path):
    run = RunFolder(tmp_path)
    judged = ReasonedExample(
        "1", "text", "joy", "because", "smollm2", condition="free", scores=(0.5, -1.0), candidate=1
    )
    plain = ReasonedExample("2", "words", "fear", "so", "smollm2")
    with kept_rows(run.kept) as keep, dropped_rows(run.dropped) as drop:
        keep(judged)
        drop(Dropped(plain, "too short"))
    run.augment_metrics.write_text(json.dumps({"failures": {"3": "timed out"}}))
    # `columns_hash` has tests of its own, with the import that it is for.
    assert all(row.columns_hash for row in review_rows(run))
    kept, dropped, failed = (replace(row, columns_hash="") for row in review_rows(run))
    assert kept == ReviewRow(
        *("1", "text", "joy", "because", "kept", "", "free", 0.5, "smollm2"),
        reasoning_hash=seen_hash(judged.example, "because"),
    )
    assert dropped == ReviewRow(
        *("2", "words", "fear", "so", "dropped", "too short", "label", None, "smollm2"),
        reasoning_hash=seen_hash(plain.example, "so"),
    )
    assert failed == ReviewRow(
        *("3", "", "", "", "failed", "timed out"), reasoning_hash=seen_hash(Example("3", "", ""), "")
    )


def test_the_hash_names_row_and_reasoning(sort):
    rows = shown(sort())
    row_of, reasoning_of = zip(
        *(rows[name].reasoning_hash.split("-") for name in ("r0", "r1", "r2")), strict=True
    )
    assert len(set(row_of)) == 3
    assert reasoning_of[0] == reasoning_of[2] == reasoning_hash(REASON) != reasoning_of[1]
    # A spreadsheet makes a number of 12e45678.
    assert all(row.reasoning_hash.startswith("r") for row in rows.values())


def test_what_is_decided_on_a_row_is_shown_as_long_as_it_applies(sort):
    run = sort()
    rows = shown(run)
    seen = reasoning_hash(REASON)
    made = [
        ("r0", "rejected", REASON, seen, "off topic"),
        ("r1", "accepted", "short", None, ""),
        ("r2", "accepted", "an older one", reasoning_hash("an older one"), "good"),
        ("r3", "edited", "by hand", None, ""),
        ("r4", "rejected", REASON, seen, "no"),
        ("r4", "cleared", REASON, None, "never mind"),
    ]
    with open_store(run.store) as store:
        store.put_decisions(
            Decision(rows[name].row, verdict, text, "Ada", "2026-01-02T03:04:05Z", note, hashed)
            for name, verdict, text, hashed, note in made
        )
    rows = shown(run)
    assert {name: row.verdict for name, row in rows.items() if row.verdict} == {
        "r0": "rejected",
        "r1": "accepted",
        "r3": "edited",
    }
    assert (rows["r0"].note, rows["r0"].decided_by) == ("off topic", "Ada")
    assert rows["r0"].decided_at == "2026-01-02T03:04:05Z"
    assert (rows["r4"].note, rows["r4"].decided_by, rows["r4"].decided_at) == ("", "", "")


def test_rows_are_shown_where_the_store_cannot_be_opened(sort, capsys):
    run = sort()
    run.store.write_bytes(b"no store at all" * 100)
    assert len(shown(run)) == 6
    assert "Decisions are not shown. The row store cannot be used" in capsys.readouterr().err


def test_a_run_without_reasonings_says_so(tmp_path):
    with pytest.raises(RunFolderError, match="no reasonings yet"):
        next(review_rows(RunFolder(tmp_path)))
