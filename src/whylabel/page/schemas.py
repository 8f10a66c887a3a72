"""What the page asks of a run, and what it is told."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field

from whylabel.serving import schemas

_LONGEST_NAME = 200
_LONGEST_TEXT = 20_000

Name = Annotated[str, Field(min_length=1, max_length=_LONGEST_NAME)]
Person = Annotated[str, Field(min_length=1, max_length=_LONGEST_NAME, pattern=r"\S")]
Label = Annotated[str, Field(max_length=_LONGEST_NAME * 10)]
Offset = Annotated[int, Field(ge=0, le=2**31)]
Limit = Annotated[int, Field(ge=1, le=100)]


class Query(BaseModel):
    """Parameters in the address: exactly the documented ones."""

    model_config = ConfigDict(extra="forbid", use_attribute_docstrings=True)

    offset: Offset = 0
    limit: Limit = 25


class PredictionQuery(Query):
    """Which predictions; what is left out may be anything."""

    model: Name | None = None
    mode: Name | None = None
    gold: Label | None = None
    label: Label | None = None
    answer: Literal["right", "wrong", "failed"] | None = None
    disagrees: Literal["yes", "no"] | None = None
    """Whether the answer without the reasoning is another one."""
    reasoning: Literal["shown", "withheld"] | None = None
    search: Annotated[str, Field(max_length=500)] = ""
    """Words that all stand in text, reasoning or error, whatever their case."""


class ReasoningQuery(Query):
    """Which reasonings for training are dealt, and to whom: each person gets them in an order of their own."""

    by: Person
    state: Literal["kept", "dropped"] = "kept"
    which: Literal["undecided", "decided"] = "undecided"


class ReadingQuery(Query):
    """Which reasonings beside predictions are dealt, and to whom."""

    by: Person
    blind: Literal["yes", "no"] = "yes"
    """Without gold label and probabilities."""


class DecisionRequest(schemas.Request):
    """A decision on a reasoning for training."""

    by: Person
    row: Annotated[str, Field(pattern="^[0-9a-f]{32}$")]
    reasoning_hash: Annotated[str, Field(max_length=64)]
    """That of the row as it was dealt: a decision is about what was seen."""
    known: Annotated[int, Field(ge=0, le=2**31)]
    """How many decisions on the row were seen; if there are more by now, nothing is recorded (409)."""
    verdict: Literal["accepted", "edited", "rejected", "cleared"]
    """`cleared` undoes what was decided."""
    reasoning: Annotated[str, Field(max_length=_LONGEST_TEXT)] = ""
    """The new reasoning, if it was edited."""
    note: Annotated[str, Field(max_length=_LONGEST_TEXT)] = ""


class ReadingRequest(schemas.Request):
    """A verdict on a reasoning beside a prediction."""

    by: Person
    id: Annotated[str, Field(max_length=64)]
    verdict: Literal["accepted", "rejected", "cleared"]
    """`cleared` takes one's own verdict back."""
    reason: Annotated[str, Field(max_length=_LONGEST_TEXT)] = ""
    blind: bool = True


class RunParts(schemas.Reply):
    """What there is of a run."""

    name: str
    predictions: bool
    reasonings: bool
    report: bool


class PageLimits(schemas.Reply):
    """What a request may have."""

    max_texts: int
    max_text_chars: int
    max_body_bytes: int
    max_queue: int


class PageFacts(schemas.Reply):
    """What the page needs to know beside the models."""

    limits: PageLimits
    runs: list[RunParts]


class FoundPrediction(schemas.Reply):
    """One prediction of a test row."""

    id: str
    model: str
    mode: str
    text: str
    gold: str
    label: str
    right: bool
    probability: float | None
    probabilities: dict[str, float]
    """The most probable labels."""
    reasoning: str | None
    reasoning_status: str | None
    disagrees: bool | None
    status: str
    error: str | None
    evidence: list[dict[str, Any]] | None


class FoundPredictions(schemas.Reply):
    """A part of those that were found."""

    found: int
    offset: int
    models: dict[str, list[str]]
    """Models with their modes."""
    labels: list[str]
    data: list[FoundPrediction]


class Rate(schemas.Reply):
    """`count` of `n`, with Wilson's 95 % interval."""

    count: int
    n: int
    share: float
    ci95: tuple[float, float]


class Decided(schemas.Reply):
    """What a person decided."""

    verdict: str
    reasoning: str
    note: str
    by: str
    at: str


class DealtReasoning(schemas.Reply):
    """A reasoning for training, to be accepted, edited or rejected."""

    row: str
    id: str
    text: str
    label: str
    reasoning: str
    state: str
    reason: str
    reasoning_hash: str
    known: int
    decision: Decided | None


class Progress(schemas.Reply):
    """How far the review is: `accepted` as they stand, of those decided on; `mine`: those of one person."""

    verdicts: dict[str, int]
    accepted: Rate | None
    mine: Rate | None


class DealtReasonings(schemas.Reply):
    """A part of the reasonings that are left, and how far the review is."""

    found: int
    progress: Progress
    data: list[DealtReasoning]


class DecisionAnswer(schemas.Reply):
    """The row as it now stands, and how far the review is."""

    row: DealtReasoning
    progress: Progress


class DealtReading(schemas.Reply):
    """A reasoning beside a prediction, to be accepted or rejected."""

    id: str
    text: str
    label: str
    reasoning: str
    gold: str | None
    probabilities: str | None


class DealtReadings(schemas.Reply):
    """A part of the reasonings that a person has not read, and the rate of those that they have."""

    found: int
    accepted: Rate | None
    data: list[DealtReading]


class ReadingAnswer(schemas.Reply):
    """The rate with this verdict."""

    accepted: Rate | None


class ReportAddress(schemas.Reply):
    """Where the report can be opened for a minute."""

    url: str
