"""The requests and answers of `/v1/classify`, of the model and of its health."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, model_validator
from pydantic_core import PydanticCustomError

from whylabel.types import Mode, Status

Include = Literal["reasoning", "probabilities", "evidence"]

MOST_FIELDS = 20_000
"""A request may have so many fields in all, those of objects within objects included."""


def _whole(value: object) -> object:
    """Return 2 for 2.0, which JSON does not tell apart."""
    return int(value) if isinstance(value, float) and value.is_integer() else value


Count = Annotated[int, Field(ge=1, le=2**31), BeforeValidator(_whole)]
"""A whole number from 1 on."""


class Request(BaseModel):
    """A request of exactly the documented fields and types."""

    model_config = ConfigDict(extra="forbid", strict=True, allow_inf_nan=False, use_attribute_docstrings=True)


class Reply(BaseModel):
    """An answer, or a part of one; the doc strings of its fields stand in the description of the API."""

    model_config = ConfigDict(use_attribute_docstrings=True)


class Body(Request):
    """A whole request.

    What checks it works on while nobody else is answered, and an error for each of a million fields takes seconds. So
    the number of fields is limited, and a list is checked up to its first error (`fail_fast`).
    """

    @model_validator(mode="before")
    @classmethod
    def _limit_fields(cls, given: Any) -> Any:
        if _has_more_fields(given, MOST_FIELDS):
            raise PydanticCustomError("too_many_fields", f"A request may have {MOST_FIELDS} fields in all.")
        return given


def _has_more_fields(given: object, most: int) -> bool:
    fields, rest = 0, [given]
    while rest:
        value = rest.pop()
        if isinstance(value, dict):
            fields += len(value)
            if fields > most:
                return True
            rest += value.values()
        elif isinstance(value, list):
            rest += [one for one in value if isinstance(one, dict | list)]
    return False


class ClassifyRequest(Body):
    """Texts to be labelled."""

    input: Annotated[
        str | Annotated[list[str], Field(min_length=1, fail_fast=True)],
        Field(examples=["I could not stop smiling."]),
    ]
    """One text, or several."""
    model: str | None = None
    """The name of the model, as `/v1/models` gives it; it may be left out."""
    mode: Mode | None = None
    """How the model answers; by default as it was trained to."""
    top_k: Count | None = None
    """How many of the most probable labels `probabilities` has; all if left out."""
    include: Annotated[list[Include], Field(fail_fast=True)] = Field(default=["reasoning", "probabilities"])
    """What is wanted beside the label. `evidence` takes up to 13 passes of the model for a text."""
    abstain_below: Annotated[float, Field(ge=0, le=1)] = 0.0
    """A text whose best probability is below this gets the status `abstained`; it keeps its label."""
    show_all: bool = False
    """Show every reasoning, also those that are to be withheld: `reasoning_status` says why."""
    stream: bool = False
    """Answer with server-sent events: reasonings as they are written, and each result when it is there."""


class EvidenceStretch(Reply):
    """A stretch of the text, `start` and `end` in characters, and how much the label rests on it, in nats."""

    start: int
    end: int
    text: str
    effect: float
    """The log-probability of the label minus that without the stretch."""


class Classified(Reply):
    """The answer to one text."""

    index: int
    """The place of the text in the request, from 0."""
    label: str | None
    """Null if the text could not be labelled; `error` says why."""
    probs: list[float]
    """The probability of each label, in the order of `/v1/labels`; empty if `probabilities` are not included."""
    num_classes: int
    """The number of labels."""
    probabilities: dict[str, float] | None
    """The same by label, the most probable first, at most `top_k`."""
    reasoning: str | None
    """Null if the mode writes none, if it is withheld, or if it was not asked for."""
    reasoning_status: str | None
    """`ok`, `afterthought`, or why the reasoning is withheld."""
    disagrees: bool | None
    """Whether the model would give another label without the reasoning."""
    evidence: list[EvidenceStretch] | None
    """The stretches of the text that the label rests on, the largest effect first; null if not asked for."""
    status: Status
    """The words are those of `whylabel predict`."""
    mode: Mode
    """How the model has answered."""
    error: str | None
    """Why the text could not be labelled."""
    seconds: float
    """The share of this text of the model's time."""


class Usage(Reply):
    """What was computed for a request."""

    texts: int
    prompt_tokens: int
    """Tokens of the texts."""
    completion_tokens: int
    """Tokens of the reasonings."""
    total_tokens: int


class ClassifyResponse(Reply):
    """The answers in the order of the texts."""

    id: str
    """`classify-` and the id of the request."""
    object: Literal["list"] = "list"
    created: int
    """When it was answered, in seconds since 1970."""
    model: str
    """The name of the model that answered."""
    data: list[Classified]
    """One entry for each text."""
    usage: Usage


class Model(Reply):
    """The model that is served."""

    id: str
    """Its name, for requests."""
    object: Literal["model"] = "model"
    created: int
    """When the server was started, in seconds since 1970."""
    owned_by: Literal["whylabel"] = "whylabel"
    task: Literal["single_label", "multi_label"]
    target: str
    """What it was trained to write (`classifier.target` of its recipe)."""
    question: str
    """What it was trained to answer."""
    modes: list[Mode]
    """The default first."""
    labels: int
    """The number of its labels."""
    max_text_tokens: int
    """Longer texts are trimmed, which `status` says."""
    engine: str
    """What writes its reasonings."""
    device: str
    """What computes it."""


class Models(Reply):
    """All models that are served."""

    object: Literal["list"] = "list"
    data: list[Model]
    """The first answers where a request names none."""


class LabelsQuery(BaseModel):
    """Of which model."""

    model_config = ConfigDict(extra="forbid", use_attribute_docstrings=True)

    model: str | None = None
    """The name of the model; by default the first."""


class Labels(Reply):
    """The labels in their order."""

    labels: list[str]
    multi_label: bool
    """Whether a text may have several labels."""
    label_separator: str | None
    """What stands between labels where a text may have several."""


class Health(Reply):
    """Whether a process works."""

    status: str
    """`ok` or `ready`."""
