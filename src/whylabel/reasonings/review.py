"""What people see of a run's reasonings: a table of all rows, with what is decided on them."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Literal

from whylabel.errors import RunFolderError
from whylabel.host.atomic import as_written, read_json
from whylabel.host.progress import say
from whylabel.reasonings.files import iterate_dropped, iterate_kept
from whylabel.reasonings.store import Decision, open_store
from whylabel.run_folder import RunFolder
from whylabel.text.hashes import reasoning_hash, row_hash
from whylabel.text.spreadsheet import as_kept, may_be_rewritten
from whylabel.types import Example, ReasonedExample

State = Literal["kept", "dropped", "failed"]


@dataclass(frozen=True, slots=True)
class ReviewRow:
    """One row as people see it.

    `reason` says why it was dropped or failed. `verdict` and `note` are theirs to fill; where something is decided
    on the row, they say so, and `decided_by` and `decided_at` by whom and when. `reasoning_hash` names row and
    reasoning, so that a decision is known to be about what was seen; `columns_hash` stands for other columns that
    nobody edits: state, reason, condition and reasoner, and behind a dash `decided_by` and `decided_at`.
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
    decided_by: str = ""
    decided_at: str = ""
    reasoning_hash: str = ""
    columns_hash: str = ""

    @property
    def seen(self) -> str:
        """What names text and label: the first part of the hash."""
        return self.reasoning_hash.partition("-")[0]

    @property
    def row(self) -> str:
        """What stands for the row in the store."""
        return row_hash(Example(self.id, self.text, self.label))


def review_rows(run: RunFolder) -> Iterator[ReviewRow]:
    """Yield the kept rows, then the dropped ones, then those that failed, each with what is decided on it now.

    Raises `RunFolderError` if the run has no reasonings yet.
    """
    check_reasonings(run)
    record: Mapping[str, Sequence[Decision]] = {}
    if run.store.exists():
        try:
            with open_store(run.store) as store:
                record = store.all_decisions()
        except RunFolderError as error:
            # A run that may only be read can still be looked at.
            say(f"Decisions are not shown. {error}")
    for row in run_rows(run):
        decisions = record.get(row.row)
        yield _with_decision(row, decisions[-1]) if decisions else row


def check_reasonings(run: RunFolder) -> None:
    """Raise `RunFolderError` if the run has no reasonings yet."""
    if not run.augment_metrics.exists():
        raise RunFolderError(
            "This run has no reasonings yet.",
            where=str(run.path),
            fix="write them with: whylabel augment RECIPE",
        )


def run_rows(run: RunFolder) -> Iterator[ReviewRow]:
    """Yield the same rows as `review_rows` does, without what is decided on them."""
    for kept in iterate_kept(run.kept):
        yield _row(kept, "kept", "")
    for item in iterate_dropped(run.dropped):
        yield _row(item.row, "dropped", item.reason)
    metrics = read_json(run.augment_metrics, dict)
    with as_written(run.augment_metrics):
        failures = {row_id: str(error) for row_id, error in metrics["failures"].items()}
    for row_id, error in failures.items():
        example = Example(row_id, "", "")
        row = ReviewRow(row_id, "", "", "", "failed", error, reasoning_hash=seen_hash(example, ""))
        yield replace(row, columns_hash=columns_hash("failed", error, "", ""))


def rows_at(run: RunFolder, state: Literal["kept", "dropped"], at: Sequence[int]) -> list[ReviewRow]:
    """Return the rows with these numbers, which count from 0 and ascend, of those that were kept, or dropped."""
    if state == "kept":
        return [_row(kept, "kept", "") for kept in iterate_kept(run.kept, at)]
    return [_row(item.row, "dropped", item.reason) for item in iterate_dropped(run.dropped, at)]


def seen_hash(example: Example, reasoning: str) -> str:
    """Return what names a row (before the dash) and its reasoning (behind it).

    It begins with a letter, so that no spreadsheet takes it for a number.
    """
    return f"r{row_hash(example)[:8]}-{reasoning_hash(reasoning)}"


def columns_hash(*cells: str) -> str:
    """Return what stands for cells that nobody edits, as far as no spreadsheet rewrites them."""
    return f"c{reasoning_hash(repr(['' if may_be_rewritten(cell) else as_kept(cell) for cell in cells]))}"


def _with_decision(row: ReviewRow, latest: Decision) -> ReviewRow:
    if latest.verdict == "cleared" or not latest.applies_to([row.reasoning]):
        return row
    return replace(
        row,
        verdict=latest.verdict,
        note=latest.note,
        decided_by=latest.decided_by,
        decided_at=latest.decided_at,
        columns_hash=f"{row.columns_hash}-{columns_hash(latest.decided_by, latest.decided_at)}",
    )


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
        reasoning_hash=seen_hash(row.example, row.reasoning),
        columns_hash=columns_hash(state, reason, row.condition, row.reasoner),
    )
