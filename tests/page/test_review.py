"""Reasonings dealt to people while a run goes on, without a server."""

from dataclasses import replace

import pytest

from finished_run import EMOTIONS
from whylabel.errors import RunFolderError, RunInUseError
from whylabel.evaluation.predictions import read_predictions, write_predictions
from whylabel.evaluation.readings import read_readings
from whylabel.host.atomic import read_json, write_json
from whylabel.page import review, runs
from whylabel.page.runs import ServedRun
from whylabel.page.schemas import DecisionRequest, ReadingQuery, ReadingRequest, ReasoningQuery
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


def before_reading(monkeypatch, name, change):
    """Let `change` happen once, right before the rows of a file are read by their numbers."""
    read = getattr(runs, name)
    waiting = [change]

    def read_late(*args):
        if waiting:
            waiting.pop()()
        return read(*args)

    monkeypatch.setattr(runs, name, read_late)


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


# -- a file that is replaced while it is read -----------------------------------------------------------------


@pytest.mark.parametrize("change", [lambda rows: rows[:1], lambda rows: rows[::-1]])
def test_rows_that_are_written_in_between_are_not_dealt(run, served, monkeypatch, change):
    before_reading(monkeypatch, "rows_at", lambda: write_again(run, change))
    with pytest.raises(RunInUseError, match="being written"):
        deal(served)
    assert deal(served).found == len(read_reasoned(run.kept))


def test_no_decision_is_recorded_on_rows_that_are_written_in_between(run, served, monkeypatch):
    row = deal(served).data[0]
    before_reading(monkeypatch, "rows_at", lambda: write_again(run, lambda rows: rows[::-1]))
    with pytest.raises(RunInUseError, match="being written"):
        decide(served, row, "accepted")
    assert deal(served).progress.verdicts == {}


def test_readings_are_not_of_a_file_that_is_written_in_between(run, served, monkeypatch):
    (dealt,) = review.deal_readings(served, ReadingQuery(by="Ada", limit=1)).data
    shown = runs.shown_reasonings

    def shown_then_written(of):
        found = shown(of)
        write_predictions(run.predictions, read_predictions(run.predictions)[::-1])
        return found

    monkeypatch.setattr(runs, "shown_reasonings", shown_then_written)
    with pytest.raises(RunInUseError, match="being written"):
        review.deal_readings(served, ReadingQuery(by="Ada", limit=1))
    with pytest.raises(RunInUseError, match="being written"):
        review.record_reading(served, ReadingRequest(by="Ada", id=dealt.id, verdict="accepted"))
    assert read_readings(run) == []


def test_readings_with_other_labels_than_the_figures_are_not_dealt(run, served):
    metrics = read_json(run.evaluation_metrics, dict)
    write_json(run.evaluation_metrics, {**metrics, "labels": ["no", "yes"]})
    with pytest.raises(RunFolderError, match="another evaluation"):
        review.deal_readings(served, ReadingQuery(by="Ada", blind="no"))
    assert review.deal_readings(served, ReadingQuery(by="Ada")).data
