"""What people see and decide of a run's reasonings: a table of all rows, and decisions read back from one."""

from __future__ import annotations

import getpass
import json
import time
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal

from whylabel.data.readers import read_table
from whylabel.data.table import Table
from whylabel.errors import DataError, RunFolderError, unknown_name
from whylabel.reasonings.files import iterate_dropped, iterate_kept
from whylabel.reasonings.store import Decision, Verdict, open_store, row_hash
from whylabel.run_folder import RunFolder
from whylabel.text.spreadsheet import restored
from whylabel.types import Example, ReasonedExample

State = Literal["kept", "dropped", "failed"]

VERDICTS: tuple[Verdict, ...] = ("accepted", "edited", "rejected")


@dataclass(frozen=True, slots=True)
class ReviewRow:
    """One row as people see it.

    `reason` says why it was dropped or failed; `verdict` and `note` are theirs to fill.
    """

    id: str
    text: str
    label: str
    reasoning: str
    state: State
    reason: str = ""
    condition: str = ""
    margin: float | None = None
    reasoner: str = ""
    verdict: str = ""
    note: str = ""


def review_rows(run: RunFolder) -> Iterator[ReviewRow]:
    """Yield the kept rows, then the dropped ones, then those that failed.

    Raises `RunFolderError` if the run has no reasonings yet.
    """
    if not run.augment_metrics.exists():
        raise RunFolderError(
            "This run has no reasonings yet.",
            where=str(run.path),
            fix="write them with: whylabel augment RECIPE",
        )
    for row in iterate_kept(run.kept):
        yield _row(row, "kept", "")
    for item in iterate_dropped(run.dropped):
        yield _row(item.row, "dropped", item.reason)
    failures = json.loads(run.augment_metrics.read_text(encoding="utf-8"))["failures"]
    for row_id, error in failures.items():
        yield ReviewRow(row_id, "", "", "", "failed", error)


def import_decisions(run: RunFolder, path: Path, *, decided_by: str | None = None) -> Counter[str]:
    """Record what a person decided in an exported table, and return how many rows got which verdict.

    A row counts where its `verdict` is filled, or its `reasoning` is not what it was (`edited`). Nothing is recorded
    unless every row can be: raises `DataError` for a missing column, an unknown id or verdict, an empty edit.
    """
    table = _table(path)
    for name in ("id", "reasoning"):
        if name not in table.columns:
            raise DataError(f"There is no column {name!r}.", where=str(path), fix="export the rows again")
    known = {row.id: row for row in review_rows(run)}
    person = decided_by or getpass.getuser()
    now = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime())
    decisions = []
    for at in range(len(table)):
        row = known.get(_cell(table, "id", at))
        if row is None:
            raise DataError(
                f"No row of this run has the id {_cell(table, 'id', at)!r}.", where=table.place(at)
            )
        reasoning = _cell(table, "reasoning", at)
        verdict = _verdict(table, at, changed=reasoning != row.reasoning)
        if verdict is not None and row.state == "failed":
            raise DataError(
                f"Row {row.id!r} failed: there is nothing to decide on.",
                where=table.place(at),
                fix="write it again first: whylabel augment RECIPE --retry-failed",
            )
        if verdict is not None:
            place = row_hash(Example(row.id, row.text, row.label))
            decisions.append(Decision(place, verdict, reasoning, person, now, _cell(table, "note", at)))
    with run.locked(), open_store(run.store) as store:
        store.put_decisions(decisions)
    return Counter(decision.verdict for decision in decisions)


def _table(path: Path) -> Table:
    """Return the rows of a file; those of a CSV were made harmless for spreadsheets."""
    table = read_table(path)
    if path.suffix.lower() not in (".csv", ".tsv"):
        return table
    return replace(table, columns={name: [*map(restored, cells)] for name, cells in table.columns.items()})


def _verdict(table: Table, at: int, *, changed: bool) -> Verdict | None:
    said = _cell(table, "verdict", at).strip().lower()
    if said and said not in VERDICTS:
        raise DataError(unknown_name("verdict", said, VERDICTS), where=table.place(at))
    if said == "rejected":
        return "rejected"
    if (said or changed) and not _cell(table, "reasoning", at).strip():
        raise DataError(
            "The reasoning is empty.", where=table.place(at), fix="write one, or set verdict to rejected"
        )
    if changed:
        return "edited"
    return "accepted" if said else None


def _cell(table: Table, name: str, at: int) -> str:
    value = table.columns[name][at] if name in table.columns else None
    return "" if value is None else str(value)


def _row(row: ReasonedExample, state: State, reason: str) -> ReviewRow:
    return ReviewRow(
        id=row.id,
        text=row.text,
        label=row.label,
        reasoning=row.reasoning,
        state=state,
        reason=reason,
        condition=row.condition,
        margin=row.scores[0] if row.scores else None,
        reasoner=row.reasoner,
    )
