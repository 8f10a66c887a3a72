"""Reasonings dealt to people while a run goes on, without a server."""

from dataclasses import replace

import pytest

from finished_run import EMOTIONS
from whylabel.page import review
from whylabel.page.runs import ServedRun
from whylabel.page.schemas import DecisionRequest, ReasoningQuery
from whylabel.reasonings.files import kept_rows, read_reasoned


@pytest.fixture
def served(run):
    return ServedRun("quickstart", run, EMOTIONS)


def deal(served, which="undecided", by="Ada"):
    return review.deal_reasonings(served, ReasoningQuery(by=by, which=which, limit=100))


def decide(served, row, verdict, reasoning=""):
    body = DecisionRequest(
        by="Ada",
        row=row.row,
        reasoning_hash=row.reasoning_hash,
        known=row.known,
        verdict=verdict,
        reasoning=reasoning,
    )
    return review.record_decision(served, body)


def write_again(run, change):
    """Write the kept rows again as `change` makes them of the list of the old ones."""
    rows = change(list(read_reasoned(run.kept)))
    with kept_rows(run.kept) as keep:
        for row in rows:
            keep(row)


def with_other_reasonings(rows):
    return [replace(row, reasoning=f"Another reasoning: {row.reasoning}") for row in rows]


# -- a decision is about the reasoning that was seen ----------------------------------------------------------


@pytest.mark.parametrize("verdict", ["accepted", "rejected"])
def test_a_reasoning_that_was_written_again_is_dealt_again(run, served, verdict):
    dealt = deal(served)
    row = dealt.data[0]
    answer = decide(served, row, verdict)
    assert answer.progress.verdicts == {verdict: 1} and answer.progress.mine.n == 1
    assert deal(served).found == dealt.found - 1
    write_again(run, with_other_reasonings)
    again = deal(served)
    assert again.found == dealt.found
    (found,) = [each for each in again.data if each.row == row.row]
    assert found.decision is None and found.known == 1
    assert again.progress.verdicts == {} and again.progress.accepted is None
    assert deal(served, "decided").found == 0
    assert decide(served, found, "accepted").progress.verdicts == {"accepted": 1}
    assert deal(served, "decided").data[0].row == row.row


def test_what_a_person_wrote_stands_whatever_was_written_since(run, served):
    row = deal(served).data[0]
    decide(served, row, "edited", "better words")
    write_again(run, with_other_reasonings)
    decided = deal(served, "decided")
    assert [each.row for each in decided.data] == [row.row]
    assert decided.progress.verdicts == {"edited": 1}
