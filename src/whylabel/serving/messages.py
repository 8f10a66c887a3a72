"""What the two processes say to each other: one JSON object a line, over the engine's stdin and stdout."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from typing import Any

from whylabel.types import Mode


@dataclass(frozen=True, slots=True)
class EngineSettings:
    """What an engine process loads: the first line that it is sent."""

    model: str
    device: str = "auto"
    engine: str = "auto"


@dataclass(frozen=True, slots=True)
class Question:
    """How texts are to be answered."""

    mode: Mode
    evidence: bool = False
    abstain_below: float = 0.0
    show_all: bool = False
    stream: bool = False


@dataclass(frozen=True, slots=True)
class ModelInfo:
    """What the HTTP process knows of the model."""

    labels: tuple[str, ...]
    modes: tuple[Mode, ...]
    question: str
    name: str
    target: str
    label_separator: str | None
    """What stands between labels where a text may have several; None: each text has one."""
    max_text_tokens: int
    engine: str
    device: str
    load_seconds: float

    @property
    def mode(self) -> Mode:
        """The mode in which the model answers by default."""
        return self.modes[0]

    @property
    def multi_label(self) -> bool:
        """Whether a text may have several labels, each decided separately."""
        return self.label_separator is not None

    @classmethod
    def from_json(cls, given: dict[str, Any]) -> ModelInfo:
        """Read what `asdict` made of it."""
        return cls(**{**given, "labels": tuple(given["labels"]), "modes": tuple(given["modes"])})


def line(**message: Any) -> bytes:
    """Return a message as a line of ASCII, whatever characters its texts have."""
    return json.dumps(message, separators=(",", ":")).encode("ascii") + b"\n"


def ask(number: int, request: int, text: str, question: Question) -> bytes:
    """Return the line that asks for the prediction of one text."""
    return line(ask=number, request=request, text=text, **asdict(question))


def cancel(number: int) -> bytes:
    """Return the line that takes a question back."""
    return line(cancel=number)
