"""Decide what is kept: the filters, the verifier's verdict, and what a person has decided."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

from whylabel.reasonings.files import dropped_rows, kept_rows
from whylabel.reasonings.filters import Filter, refusal
from whylabel.reasonings.losses import Losses
from whylabel.reasonings.store import Decision, Place, StoredReasoning
from whylabel.stages.augment.rows import OWN, Work, chunks
from whylabel.text.hashes import RowsHash, row_hash
from whylabel.types import Condition, Dropped, Example, Lift, ReasonedExample

UNVERIFIED = "does not lead to its label"
SUSPECT = "suspect label"
REJECTED = "rejected by a person"
FAILURES_LISTED = 1000
"""How many failed rows the metrics name; all are counted."""
_NOTHING = "the engine returned nothing for this row"


@dataclass(slots=True)
class Sorted:
    """Rows in = kept + dropped + failed."""

    kept: int = 0
    dropped: Counter[str] = field(default_factory=Counter)
    """Rows by the reason against them."""
    failed: int = 0
    failures: dict[str, str] = field(default_factory=dict)
    """Row id to error, of the first thousand failed rows."""
    conditions: Counter[str] = field(default_factory=Counter)
    """Kept rows by the condition that their reasoning was written under; `own` came with the data."""
    own_refused: Counter[str] = field(default_factory=Counter)
    """Kept rows that came with their reasoning, by the filter that would have dropped it."""
    content: str = ""
    """SHA-256 over the kept rows."""
    losses: Losses = field(default_factory=Losses)
    """Rows and dropped rows by label."""

    @property
    def rows(self) -> int:
        """How many examples went in."""
        return self.kept + self.dropped.total() + self.failed


def sort_reasonings(examples: Sequence[Example], work: Work, kept: Path, dropped: Path) -> Sorted:
    """Write every row to one of the two files, in the order of the examples, and return the counts."""
    refuse = refusal(work.config.filters)
    outcome = Sorted(losses=Losses(work.separator))
    digest = RowsHash()
    with kept_rows(kept) as keep, dropped_rows(dropped) as drop:
        for chunk in chunks(examples):
            known = _Known.of(chunk, work)
            for row, example in zip(known.hashes, chunk, strict=True):
                result = _sort_row(row, example, known, refuse, work)
                outcome.losses.add(example.label, result.reason if isinstance(result, Dropped) else None)
                if isinstance(result, ReasonedExample):
                    outcome.kept += 1
                    outcome.conditions[result.condition] += 1
                    if result.reasoner == OWN and (reason := refuse(result)) is not None:
                        outcome.own_refused[reason] += 1
                    digest.add(*_values(result))
                    keep(result)
                elif isinstance(result, Dropped):
                    outcome.dropped[result.reason] += 1
                    drop(result)
                else:
                    outcome.failed += 1
                    if len(outcome.failures) < FAILURES_LISTED:
                        outcome.failures[example.id] = result
    outcome.content = digest.hexdigest()
    return outcome


def accepted_rows(chunk: Sequence[Example], work: Work, condition: Condition, refuse: Filter) -> set[str]:
    """Return the rows that have an acceptable reasoning under a condition.

    `refuse` is one for all chunks of a data set: a filter may remember the rows that it has seen.
    """
    known = _Known.of(chunk, work)
    return {
        row
        for row, example in zip(known.hashes, chunk, strict=True)
        for candidate in known.candidates(row, example, work)
        if candidate.condition == condition
        and refuse(candidate) is None
        and work.leads_to_its_label(known.lift(row, candidate))
    }


@dataclass(frozen=True, slots=True)
class _Known:
    """All that the store knows of a chunk of rows."""

    hashes: Sequence[str]
    stored: Mapping[Place, StoredReasoning]
    lifts: Mapping[Place, Lift]
    fluencies: Mapping[Place, Lift]
    decisions: Mapping[str, Decision]

    @classmethod
    def of(cls, chunk: Sequence[Example], work: Work) -> _Known:
        hashes = [row_hash(example) for example in chunk]
        store, stored, verifiers = work.store, work.stored(hashes), work.verifiers
        lifts = store.find_lifts(stored, work.settings, verifiers.identity) if verifiers else {}
        fluencies = store.find_lifts(stored, work.settings, work.fluency.identity) if work.fluency else {}
        return cls(hashes, stored, lifts, fluencies, store.find_decisions(hashes))

    def candidates(self, row: str, example: Example, work: Work) -> list[ReasonedExample]:
        """Return the finished candidates of a row, in the order of preference, with their fluency."""
        found = work.candidates(row, example, self.stored)
        if not self.fluencies:
            return found
        places = [(row, candidate.condition, candidate.candidate) for candidate in found]
        judged = [self.fluencies.get(place) for place in places]
        return [
            candidate if lift is None else replace(candidate, fluency=lift.gold)
            for candidate, lift in zip(found, judged, strict=True)
        ]

    def lift(self, row: str, candidate: ReasonedExample) -> Lift | None:
        return self.lifts.get((row, candidate.condition, candidate.candidate))


def _sort_row(
    row: str, example: Example, known: _Known, refuse: Filter, work: Work
) -> ReasonedExample | Dropped | str:
    """Return what is kept of a row, why it is dropped, or the error with which it failed.

    A reasoning that came with the row is kept, whatever filters and verifier say.
    """
    candidates = known.candidates(row, example, work)
    decision = known.decisions.get(row)
    if decision is not None and decision.applies_to(candidate.reasoning for candidate in candidates):
        return _decided(example, candidates, decision)
    if example.reasoning:
        return candidates[0]
    if example.id in work.excluded:
        return Dropped(ReasonedExample(example.id, example.text, example.label, ""), SUSPECT)
    if not candidates:
        failed = (known.stored.get((row, condition, 0)) for condition in work.conditions)
        return next((item.error for item in failed if item is not None and item.error), _NOTHING)
    return _choose(candidates, [known.lift(row, candidate) for candidate in candidates], refuse, work)


def _choose(
    candidates: Sequence[ReasonedExample], lifts: Sequence[Lift | None], refuse: Filter, work: Work
) -> ReasonedExample | Dropped:
    """Return the best candidate, or why there is none.

    Among those that pass the filters, one that leads to its label comes before one that does not, a preferred
    condition before a fall-back, then the larger lift; without a verifier, the first.
    """
    reasons = [refuse(row) for row in candidates]
    passed = [(row, lift) for row, lift, why in zip(candidates, lifts, reasons, strict=True) if why is None]
    if not passed:
        return Dropped(candidates[0], str(reasons[0]))
    if work.verifiers is None:
        return _with_candidates(passed)
    ranked = sorted(
        passed,
        key=lambda pair: (
            not work.leads_to_its_label(pair[1]),
            work.conditions.index(pair[0].condition),
            -pair[1].margin if pair[1] else float("inf"),
        ),
    )
    best, lift = ranked[0]
    if work.leads_to_its_label(lift):
        return _with_candidates([pair for pair in ranked if work.leads_to_its_label(pair[1])])
    unverified = work.config.verification.unverified
    if unverified == "drop":
        return Dropped(replace(best, scores=_scores([ranked[0]])), UNVERIFIED)
    return replace(_with_candidates(ranked[:1]), weight=work.config.verification.unverified_weight)


def _decided(
    example: Example, candidates: Sequence[ReasonedExample], decision: Decision
) -> ReasonedExample | Dropped:
    own = ReasonedExample(example.id, example.text, example.label, decision.reasoning)
    seen = next((row for row in candidates if row.reasoning == decision.reasoning), own)
    # A person who accepts a reasoning that was cut takes it for a whole one.
    row = replace(seen, finished=True, reasoner=f"{decision.verdict} by {decision.decided_by}")
    return Dropped(row, REJECTED) if decision.verdict == "rejected" else row


def _with_candidates(ranked: Sequence[tuple[ReasonedExample, Lift | None]]) -> ReasonedExample:
    if len(ranked) == 1 and ranked[0][1] is None:
        return ranked[0][0]
    others = tuple(row.reasoning for row, _ in ranked) if len(ranked) > 1 else ()
    return replace(ranked[0][0], candidates=others, scores=_scores(ranked))


def _scores(ranked: Sequence[tuple[ReasonedExample, Lift | None]]) -> tuple[float, ...]:
    return tuple(lift.margin for _, lift in ranked if lift is not None)


def _values(row: ReasonedExample) -> tuple[object, ...]:
    return row.id, row.text, row.label, row.reasoning, row.candidates, row.weight
