"""Reasonings dealt to people, and what they decide: into the run's store, and among its readings."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import get_args

from whylabel.evaluation import readings
from whylabel.evaluation.quality import share_of
from whylabel.evaluation.readings import ReadingVerdict, ShownReasonings
from whylabel.page import runs
from whylabel.page.runs import Place, ServedRun
from whylabel.page.schemas import (
    DealtReading,
    DealtReadings,
    DealtReasoning,
    DealtReasonings,
    Decided,
    DecisionAnswer,
    DecisionRequest,
    Progress,
    Rate,
    ReadingAnswer,
    ReadingQuery,
    ReadingRequest,
    ReasoningQuery,
)
from whylabel.reasonings.deciding import Wish, decide, is_decided, standing, verdicts
from whylabel.reasonings.decisions import person_named
from whylabel.reasonings.review import ReviewRow
from whylabel.reasonings.store import Decision
from whylabel.serving.errors import RefusedError

_VERDICTS: tuple[ReadingVerdict, ...] = get_args(ReadingVerdict)


class ConflictError(Exception):
    """Somebody else has decided on the row in the meantime, or the run has another reasoning; `row` as it now is."""

    def __init__(self, message: str, row: DealtReasoning) -> None:
        super().__init__(message)
        self.message, self.row = message, row


# -- reasonings for training ----------------------------------------------------------------------------------


def deal_reasonings(run: ServedRun, query: ReasoningQuery) -> DealtReasonings:
    """Return the part of the reasonings that is asked for, in this person's order."""
    record = runs.all_decisions(run)
    wanted = query.which == "decided"
    with runs.unchanged(run.folder.kept, run.folder.dropped):
        places = runs.places(run, query.state)
        left = [
            row
            for row in runs.dealt_reasonings(run, query.state, query.by)
            if is_decided(record.get(row, ()), [places[row].reasoning_hash]) == wanted
        ]
        rows = runs.reasonings(run, query.state, runs.page(left, query.offset, query.limit))
        every = [runs.places(run, state) for state in runs.STATES]
    return DealtReasonings(
        found=len(left),
        progress=_progress(every, record, query.by),
        data=[_dealt(row, record.get(row.row, [])) for row in rows],
    )


def record_decision(run: ServedRun, body: DecisionRequest) -> DecisionAnswer:
    """Record a decision.

    Raises `ConflictError` if the person has not seen everything that it would stand beside, `RefusedError` if the
    run has no such row, `DataError` for text that cannot be stored, `RunInUseError` if the folder is in use or being
    written.
    """
    by = person_named(body.by)
    with runs.unchanged(run.folder.kept, run.folder.dropped):
        row = runs.reasoning(run, body.row)
        every = [runs.places(run, state) for state in runs.STATES]
    if row is None:
        raise RefusedError(404, "The run has no such row any more.", "row")
    if row.reasoning_hash != body.reasoning_hash:
        history = runs.all_decisions(run).get(row.row, [])
        raise ConflictError("The run has another reasoning for this row by now.", _dealt(row, history))
    wish = Wish(body.verdict, body.known, body.reasoning, body.note)
    done, history = run.write(lambda: decide(run.folder, row, wish, by))
    if not done:
        latest = history[-1] if history else None
        who = "Somebody" if latest is None else latest.decided_by
        raise ConflictError(f"{who} has decided on this row in the meantime.", _dealt(row, history))
    return DecisionAnswer(row=_dealt(row, history), progress=_progress(every, runs.all_decisions(run), by))


def _dealt(row: ReviewRow, history: list[Decision]) -> DealtReasoning:
    decision = standing(row, history)
    return DealtReasoning(
        row=row.row,
        id=row.id,
        text=row.text,
        label=row.label,
        reasoning=row.reasoning,
        state=row.state,
        reason=row.reason,
        reasoning_hash=row.reasoning_hash,
        known=len(history),
        decision=None
        if decision is None
        else Decided(
            verdict=decision.verdict,
            reasoning=decision.reasoning,
            note=decision.note,
            by=decision.decided_by,
            at=decision.decided_at,
        ),
    )


def _progress(every: Sequence[Mapping[str, Place]], record: dict[str, list[Decision]], by: str) -> Progress:
    """Return how far the review is; `every`: the rows that were kept and those that were dropped."""
    decided = [
        history
        for row, history in record.items()
        if is_decided(history, [places[row].reasoning_hash for places in every if row in places])
    ]
    found = verdicts(decided)
    mine = verdicts([history for history in decided if history[-1].decided_by == by])
    return Progress(
        verdicts=dict(found),
        accepted=_rate(found["accepted"], found.total()),
        mine=_rate(mine["accepted"], mine.total()),
    )


# -- reasonings beside predictions ----------------------------------------------------------------------------


def deal_readings(run: ServedRun, query: ReadingQuery) -> DealtReadings:
    """Return reasonings beside predictions that a person has not read, in this person's order."""
    read = {each.id for each in readings.read_readings(run.folder) if each.by == query.by}
    blind = query.blind == "yes"
    try:
        with runs.unchanged(run.folder.predictions, run.folder.evaluation_metrics):
            shown = runs.shown_reasonings(run)
            left = runs.in_order([row for row in shown.rows if row not in read], query.by)
            part = runs.page(left, query.offset, query.limit)
            data = [readings.dealt(shown, row_id, blind=blind) for row_id in part]
    except ValueError as error:
        raise runs.other_evaluation(run) from error
    return DealtReadings(
        found=len(left),
        accepted=_reader_rate(run, shown, query.by),
        data=[_to_read(cells) for cells in data],
    )


def record_reading(run: ServedRun, body: ReadingRequest) -> ReadingAnswer:
    """Record a person's verdict, or take it back. Raises `RefusedError` if the run shows no such reasoning."""
    by = person_named(body.by)
    with runs.unchanged(run.folder.predictions, run.folder.evaluation_metrics):
        shown = runs.shown_reasonings(run)
        if body.id not in shown.rows:
            raise RefusedError(404, "The run shows no such reasoning any more.", "id")
        reading = None
        if body.verdict != "cleared":
            reason = body.reason.strip()
            reading = readings.new_reading(shown, body.id, body.verdict, by, reason=reason, blind=body.blind)
    if reading is None:
        run.write(lambda: readings.take_back(run.folder, body.id, by))
    else:
        run.write(lambda: readings.record_reading(run.folder, reading))
    return ReadingAnswer(accepted=_reader_rate(run, shown, by))


def _to_read(cells: dict[str, str]) -> DealtReading:
    names: Sequence[str] = ("id", "text", "label", "reasoning", "gold", "probabilities")
    return DealtReading.model_validate({name: cells.get(name) for name in names})


def _reader_rate(run: ServedRun, shown: ShownReasonings, by: str) -> Rate | None:
    mine = next((each for each in readings.rates(run.folder, shown) if each.by == by), None)
    return None if mine is None else _rate(mine.accepted.count, mine.accepted.n)


def _rate(count: int, n: int) -> Rate | None:
    if not n:
        return None
    share = share_of(count, n)
    return Rate(count=share.count, n=share.n, share=share.share, ci95=share.ci95)
