"""Import people's decisions about a run's reasonings from an exported file, and record them.

A decision is about a row and the reasoning that the person saw. An exported file identifies both (`reasoning_hash`).
So an edit differs from a reasoning that the run has written since, and a verdict on the current reasoning from one on
an older reasoning.
"""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import get_args

from whylabel.data.cells import escaped
from whylabel.errors import DataError, UsageError, unknown_name
from whylabel.host.machine import user_name
from whylabel.host.progress import say
from whylabel.reasonings.exported import Cells, ExportedFile
from whylabel.reasonings.review import ReviewRow, check_reasonings, run_rows
from whylabel.reasonings.store import Decision, Verdict, open_store
from whylabel.run_folder import RunFolder
from whylabel.text.hashes import reasoning_hash
from whylabel.text.words import is_broken

VERDICTS: tuple[Verdict, ...] = get_args(Verdict)


def import_decisions(run: RunFolder, path: Path, *, decided_by: str | None = None) -> Counter[str]:
    """Record a person's decisions in an exported table, and return how many rows got which verdict.

    A row counts if its `verdict` or its `reasoning` (then it is `edited`) differs from the exported one. Decisions
    that are already recorded are not recorded again. If one row cannot be recorded, none is: raises `DataError` for a
    missing column, an unknown id or verdict, an empty edit, text that cannot be read, verdicts on reasonings that
    the run no longer has, and a file in which a column that nobody edits, or every reasoning, has changed.
    """
    check_reasonings(run)
    file = ExportedFile.read(path, run_rows(run))
    person = person_named(decided_by)
    with run.locked(), open_store(run.store) as store:
        review = _Review(file, store.all_decisions())
        decisions = review.decisions(person, time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()))
        store.put_decisions(decisions)
    review.report_ignored_cells()
    return Counter(decision.verdict for decision in decisions)


def person_named(decided_by: str | None) -> str:
    """Return the name of the person, or the user's; raises `UsageError` for a name that cannot be stored."""
    if decided_by:
        if is_broken(decided_by):
            raise UsageError(
                f"The name {decided_by!r} is not readable as text.", fix="name who decided: --by NAME"
            )
        return decided_by
    return escaped(user_name())


@dataclass(slots=True)
class _Review:
    """A file of decisions, compared with the rows of the run and the recorded decisions."""

    file: ExportedFile
    record: dict[str, list[Decision]]
    stale: list[int] = field(default_factory=list)
    """Rows of the file with verdicts about reasonings that the run no longer has."""
    perhaps_edited: list[int] = field(default_factory=list)
    emptied: list[int] = field(default_factory=list)
    notes_alone: list[int] = field(default_factory=list)

    def decisions(self, person: str, now: str) -> list[Decision]:
        """Return the new decisions in the file. Raises `DataError` unless all of them can be recorded."""
        found: dict[str, tuple[str, Decision]] = {}
        matched = self.file.matched()
        for at, cells, row in matched:
            _check_readable(cells, row)
            decision = self._decision(at, cells, row)
            if decision is None:
                continue
            if row.state == "failed":
                raise DataError(
                    f"Row {row.id!r} failed: there is nothing to decide on.",
                    where=cells.place,
                    fix="write it again first: whylabel augment RECIPE --retry-failed",
                )
            before, other = found.setdefault(decision.row, (row.id, decision))
            if decision != other:
                raise DataError(
                    f"Rows {before!r} and {row.id!r} have the same text and label, but are decided differently.",
                    where=cells.place,
                    fix="decide the same on both, or on one of them",
                )
        if self.stale:
            raise DataError(
                f"{len(self.stale):,} of the verdicts {'is' if len(self.stale) == 1 else 'are'} about reasonings "
                "that are not the run's any more.",
                where=self.file.where(self.stale),
                fix="export the rows again, and decide on what they say now",
            )
        self.file.refuse_if_all_are_edited(matched)
        return [replace(decision, decided_by=person, decided_at=now) for _, decision in found.values()]

    def report_ignored_cells(self) -> None:
        """Report which cells were filled or emptied without deciding anything, and where."""
        unknown = (
            "Some reasonings are not the run's. They were ignored, because the file does not say whether they "
            "were edited (it has no reasoning_hash); set verdict to edited for those that count"
        )
        emptied = "An emptied verdict changes nothing; to undo a decision, write cleared"
        alone = "Notes without a verdict were not recorded"
        for what, at in ((unknown, self.perhaps_edited), (emptied, self.emptied), (alone, self.notes_alone)):
            if at:
                say(f"{what}: {self.file.places(at)}")

    def _decision(self, at: int, cells: Cells, row: ReviewRow) -> Decision | None:
        """Return the new decision in a row of the file, or None; note cells that decide nothing."""
        shown = self._shown(cells, row)
        given = _verdict(cells)
        # A verdict that was exported is not new.
        changed = None if shown is not None and given == shown.verdict else given
        edited, older = self._compared(cells, row, changed)
        verdict = self._new_verdict(cells, row, changed, edited)
        if verdict is None:
            if older and not cells.reasoning_hash:
                self.perhaps_edited.append(at)
            return self._note(at, cells, row, shown, given)
        decision = self._made(cells, row, verdict, edited)
        if _is_on_record(decision, self._latest(row.row)):
            return None
        # An edit contains its own reasoning, so it only has to be about the same text and label.
        if verdict == "edited":
            older = bool(cells.reasoning_hash) and not cells.is_about(row)
        if older:
            self.stale.append(at)
        return decision

    def _compared(self, cells: Cells, row: ReviewRow, given: Verdict | None) -> tuple[bool, bool]:
        """Return whether the reasoning was edited, and whether the run no longer has the exported one."""
        if cells.reasoning_hash:
            return cells.edited, cells.reasoning_hash != row.reasoning_hash
        # The file was made by hand, or exported before there were hashes. Without verdicts it can only mean edits.
        differs = cells.reasoning != row.reasoning
        edited = differs and (given == "edited" or "verdict" not in self.file.table.columns)
        return edited, differs and not edited and bool(cells.reasoning.strip())

    def _new_verdict(
        self, cells: Cells, row: ReviewRow, given: Verdict | None, edited: bool
    ) -> Verdict | None:
        """Return the verdict that follows from the changes in a row, or None if nothing was decided."""
        if given == "rejected":
            return given
        if given == "cleared":
            if edited:
                raise DataError(
                    "The verdict is cleared, but the reasoning was edited.",
                    where=cells.place,
                    fix="leave the reasoning as it was exported, or set verdict to edited",
                )
            return given
        if (given or edited) and not cells.reasoning.strip():
            raise DataError(
                "The reasoning is empty.", where=cells.place, fix="write one, or set verdict to rejected"
            )
        if edited:
            return "edited"
        latest = self._latest(row.row)
        if given == "edited" and latest is not None and latest.verdict == "edited":
            return None
        return "accepted" if given else None

    def _made(self, cells: Cells, row: ReviewRow, verdict: Verdict, edited: bool) -> Decision:
        """Return the decision, without who made it and when."""
        if verdict == "edited":
            return Decision(row.row, verdict, cells.reasoning, "", "", cells.note)
        seen = row.reasoning if edited or not cells.reasoning.strip() else cells.reasoning
        if verdict == "cleared":
            return Decision(row.row, verdict, seen, "", "", cells.note)
        own = any(each.verdict == "edited" and each.reasoning == seen for each in self._earlier(row))
        return Decision(row.row, verdict, seen, "", "", cells.note, None if own else reasoning_hash(seen))

    def _note(
        self, at: int, cells: Cells, row: ReviewRow, shown: Decision | None, given: Verdict | None
    ) -> Decision | None:
        """Return the earlier decision with another note, if only the note was changed."""
        columns = self.file.table.columns
        if shown is None:
            if cells.note and not given:
                self.notes_alone.append(at)
            return None
        if not given and "verdict" in columns:
            self.emptied.append(at)
        elif "note" in columns and cells.note != shown.note:
            decision = replace(shown, note=cells.note, decided_by="", decided_at="")
            latest = self._latest(row.row)
            if _is_on_record(decision, latest):
                return None
            if shown is not latest:
                self.stale.append(at)
            return decision
        return None

    def _shown(self, cells: Cells, row: ReviewRow) -> Decision | None:
        """Return the decision that was exported with a row, if any."""
        same = [
            each
            for each in self._earlier(row)
            if (each.decided_by, each.decided_at) == (cells.decided_by, cells.decided_at)
        ]
        return same[-1] if same else None

    def _earlier(self, row: ReviewRow) -> Sequence[Decision]:
        return self.record.get(row.row, [])

    def _latest(self, row: str) -> Decision | None:
        decisions = self.record.get(row)
        return decisions[-1] if decisions else None


def _verdict(cells: Cells) -> Verdict | None:
    given = cells.verdict.strip().lower()
    if not given:
        return None
    for verdict in VERDICTS:
        if given == verdict:
            return verdict
    raise DataError(unknown_name("verdict", given, VERDICTS), where=cells.place)


def _is_on_record(decision: Decision, latest: Decision | None) -> bool:
    """Return whether only the person and the time would change."""
    if latest is None or latest.verdict == "cleared":
        return decision.verdict == "cleared"
    return decision == replace(latest, decided_by="", decided_at="")


def _check_readable(cells: Cells, row: ReviewRow) -> None:
    """Raise `DataError` for text that files and the store cannot hold."""
    for name, text in (("reasoning", cells.reasoning), ("note", cells.note)):
        # A reasoning that the run has written is allowed in any case.
        if is_broken(text) and text != row.reasoning:
            raise DataError(
                f"The {name} is not readable as text: it holds NUL or half a surrogate pair.",
                where=cells.place,
                fix="write it again with whole characters",
            )
