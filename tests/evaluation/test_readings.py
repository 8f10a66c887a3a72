"""Predictions that are dealt out to be read, and what readers think of them."""

from __future__ import annotations

import json
from collections import Counter
from pathlib import Path

import pytest

from finished_run import write_run
from whylabel.data.writers import table_file
from whylabel.errors import DataError, RunFolderError
from whylabel.evaluation.predictions import read_predictions, write_predictions
from whylabel.evaluation.readings import (
    DEALT,
    NOT_BLIND,
    ShownReasonings,
    deal,
    rates,
    read_readings,
    record_readings,
)
from whylabel.run_folder import RunFolder


@pytest.fixture
def run(tmp_path: Path) -> RunFolder:
    """A run whose classifier shows 48 of 60 reasonings in its mode `reasoned`."""
    return write_run(tmp_path / "run", labels=("joy", "fear"), text="The kettle sang – so", modes=("fast",))


@pytest.fixture
def dealt(run: RunFolder) -> list[dict[str, str]]:
    return deal(ShownReasonings.of_run(run), 10, 13, blind=True)


def save(path: Path, rows: list[dict[str, str]]) -> Path:
    with table_file(path, dict.fromkeys(rows[0], "text")) as write:
        for row in rows:
            write(row)
    return path


def judged(rows: list[dict[str, str]], accepted: int) -> list[dict[str, str]]:
    verdicts = ["accepted"] * accepted + ["rejected"] * (len(rows) - accepted)
    return [
        {**row, "verdict": each, "reason": f"it is {each}"} for row, each in zip(rows, verdicts, strict=True)
    ]


def test_only_reasonings_that_are_shown_are_dealt_by_the_seed_and_without_what_gives_the_answer_away(run):
    shown = ShownReasonings.of_run(run)
    assert (shown.mode, len(shown.rows)) == ("reasoned", 48)
    every = deal(shown, 1000, 13, blind=True)
    assert len({row["id"] for row in every}) == 48
    withheld = {
        row.text
        for row in read_predictions(run.predictions)
        if (row.prediction.reasoning_status or "").startswith("withheld")
    }
    assert withheld and not withheld & {row["text"] for row in every}
    drawn = deal(shown, 10, 13, blind=True)
    assert drawn == deal(shown, 10, 13, blind=True) != deal(shown, 10, 14, blind=True)
    assert all(tuple(row) == tuple(DEALT) for row in drawn)
    # The id of the test row has its gold label in it.
    assert not any("test-" in row["id"] for row in drawn)
    open_rows = deal(shown, 10, 13, blind=False)
    assert [{name: row[name] for name in DEALT} for row in open_rows] == drawn
    assert {row["gold"] for row in open_rows} == {"joy", "fear"}
    assert all(
        row["probabilities"] == f"{row['label']} 0.60, " + row["probabilities"].split(", ")[1]
        for row in open_rows
    )


@pytest.mark.parametrize("suffix", ["csv", "jsonl", "parquet"])
def test_verdicts_are_recorded_with_reader_and_reason_and_become_a_rate(run, dealt, tmp_path, suffix):
    rows = [*judged(dealt[:8], 6), *dealt[8:]]
    new, unread = record_readings(run, save(tmp_path / f"read.{suffix}", rows), "Ada")
    assert (len(new), unread) == (8, 2)
    found = read_readings(run)
    assert found == new
    assert {(each.by, each.blind, each.mode) for each in found} == {("Ada", True, "reasoned")}
    assert [(each.id, each.text, each.label, each.reasoning) for each in found] == [
        tuple(row[name] for name in ("id", "text", "label", "reasoning")) for row in rows[:8]
    ]
    assert Counter(each.reason for each in found) == {"it is accepted": 6, "it is rejected": 2}
    (rate,) = rates(run, ShownReasonings.of_run(run))
    assert (rate.by, rate.accepted.count, rate.accepted.n, rate.blind) == ("Ada", 6, 8, 8)
    # The same file again says nothing new, another verdict takes the place of the first.
    assert record_readings(run, tmp_path / f"read.{suffix}", "Ada") == ([], 2)
    changed, _ = record_readings(run, save(tmp_path / "other.csv", judged(rows[:8], 5)), "Ada")
    assert [each.verdict for each in changed] == ["rejected"]
    record_readings(run, tmp_path / "other.csv", "Ben")
    counts = {
        each.by: (each.accepted.count, each.accepted.n) for each in rates(run, ShownReasonings.of_run(run))
    }
    assert counts == {"Ada": (5, 8), "Ben": (5, 8)}


def test_a_reader_who_has_seen_the_gold_label_was_not_blind(run, tmp_path):
    rows = judged(deal(ShownReasonings.of_run(run), 3, 13, blind=False), 3)
    assert set(NOT_BLIND) <= set(rows[0])
    record_readings(run, save(tmp_path / "read.csv", rows), "Ada")
    (rate,) = rates(run, ShownReasonings.of_run(run))
    assert (rate.blind, rate.accepted.n) == (0, 3)


def test_readings_of_reasonings_that_are_no_longer_shown_do_not_count(run, dealt, tmp_path):
    record_readings(run, save(tmp_path / "read.csv", judged(dealt, 9)), "Ada")
    rows = [row for row in read_predictions(run.predictions) if row.text != dealt[-1]["text"]]
    write_predictions(run.predictions, rows)
    assert rates(run, ShownReasonings.of_run(run))[0].accepted.n == 9
    assert len(read_readings(run)) == 10
    with pytest.raises(DataError, match=r"shows no reasoning with the id .*evaluated again since"):
        record_readings(run, tmp_path / "read.csv", "Ada")
    new, _ = record_readings(run, save(tmp_path / "again.csv", judged(dealt[:9], 9)), "Ada")
    assert new == []


def refused(run: RunFolder, path: Path, rows: list[dict[str, str]], message: str) -> DataError:
    with pytest.raises(DataError, match=message) as caught:
        record_readings(run, save(path, rows), "Ada")
    assert read_readings(run) == [] and caught.value.where and caught.value.where.startswith(str(path))
    return caught.value


def test_a_file_that_is_damaged_or_of_another_run_is_refused_as_a_whole(run, dealt, tmp_path):
    rows, path = judged(dealt, 7), tmp_path / "read.csv"

    def changed(**cells: str) -> list[dict[str, str]]:
        return [*rows[:3], {**rows[3], **cells}, *rows[4:]]

    error = refused(run, path, changed(id="r0123"), "shows no reasoning with the id 'r0123'")
    assert error.where == f"{path}, line 5"
    refused(
        run,
        path,
        changed(text=rows[3]["text"][:5]),
        r"column 'text', which nobody edits, has changed in 1 of 10",
    )
    refused(run, path, changed(reasoning="better"), "column 'reasoning', which nobody edits")
    refused(run, path, changed(label=""), "column 'label', which nobody edits")
    wrong = [{**row, "text": row["text"].encode().decode("cp1252")} for row in rows]
    refused(run, path, wrong, "in 10 of 10 rows.*another encoding than UTF-8")
    refused(run, path, changed(verdict="fine"), "verdict 'fine'")
    refused(run, path, changed(verdict=""), "a reason, but no verdict")
    refused(
        run,
        path,
        [*rows, {**rows[0], "verdict": "rejected"}],
        "stands twice in the file, with different verdicts",
    )
    refused(
        run,
        path,
        [{("row" if name == "id" else name): row[name] for name in row} for row in rows],
        "There is no column 'id'",
    )
    refused(run, path, [{"id": row["id"]} for row in rows], "There is no column 'verdict'")


def test_a_verdict_is_read_whatever_its_case_and_formulas_and_line_ends_do_no_harm(run, tmp_path):
    rows = read_predictions(run.predictions)
    hostile = [type(row)(row.model, f"=1+1\r\n{row.text}", row.gold, row.prediction) for row in rows]
    write_predictions(run.predictions, hostile)
    dealt = deal(ShownReasonings.of_run(run), 2, 13, blind=True)
    path = save(tmp_path / "read.csv", [{**row, "verdict": " Accepted "} for row in dealt])
    raw = path.read_bytes()
    assert raw.startswith(b"\xef\xbb\xbf") and b"'=1+1" in raw
    path.write_bytes(raw.replace(b"\r\n", b"\n"))
    new, _ = record_readings(run, path, "Ada")
    assert [each.verdict for each in new] == ["accepted", "accepted"] and new[0].text.startswith("=1+1\r\n")


def test_without_predictions_or_shown_reasonings_there_is_nothing_to_read(run, tmp_path):
    with pytest.raises(RunFolderError, match="has not been evaluated yet"):
        ShownReasonings.of_run(RunFolder(tmp_path / "none"))
    rows = [row for row in read_predictions(run.predictions) if row.prediction.mode == "fast"]
    write_predictions(run.predictions, rows)
    with pytest.raises(RunFolderError, match="shows no reasoning in its mode 'reasoned'"):
        ShownReasonings.of_run(run)


@pytest.mark.parametrize("line", ['{"id": "r1"}', "[]", "{", json.dumps({"verdict": 1})])
def test_a_damaged_file_of_readings_is_named(run, dealt, tmp_path, line):
    record_readings(run, save(tmp_path / "read.csv", judged(dealt, 7)), "Ada")
    run.readings.write_text(run.readings.read_text() + line + "\n")
    with pytest.raises(RunFolderError, match=r"readings\.jsonl is not what whylabel writes"):
        read_readings(run)
