"""Stage 1: the reasoner, which the run trains or which exists already."""

from __future__ import annotations

from typing import Annotated
from urllib.parse import urlsplit, urlunsplit

from pydantic import Field, field_validator, model_validator

from whylabel.recipe.section import Execution, Later, Section
from whylabel.recipe.training import ReasonerTrainingConfig

OWN_ROWS = "own"
"""What stands in `reasoner.data` for the train rows that came with a reasoning."""


def endpoint_url(url: str) -> str:
    """Return the base URL of an OpenAI-compatible endpoint; one without a path gets `/v1`.

    Raises `ValueError` if it is not a plain http(s) URL, or holds a password or key, because recipes are kept.
    """
    parts = urlsplit(url.strip())
    _ = parts.port  # raises ValueError if it is not a number
    if parts.scheme not in ("http", "https") or not parts.hostname:
        raise ValueError("it must be a URL such as http://127.0.0.1:8000/v1")
    if parts.username or parts.password or parts.query or parts.fragment:
        raise ValueError(
            "the URL may hold no password, key or query; the API key is read from the environment"
        )
    return urlunsplit(parts._replace(path=parts.path.rstrip("/") or "/v1"))


class ReasonerConfig(Section):
    """Stage 1: the model that writes a reasoning given a question and its answer."""

    model: str | None = None
    """A reasoner that exists already (default model, hub id, folder or GGUF file); stage 1 is then skipped."""
    endpoint: Execution[str | None] = None
    """URL of an OpenAI-compatible endpoint that serves `reasoner.model` (`http://127.0.0.1:8000/v1`); stage 1 is
    then skipped and no model is loaded. The API key is read from OPENAI_API_KEY."""
    base_model: str | None = None
    """The model that stage 1 fine-tunes. Default: the recipe's `base_model`."""
    data: str | list[str] = "builtin:cues"
    """Rows of (question, answer, reasoning): a file, folder, `hub:owner/name[:config]`, `builtin:cues` (short: a
    quoted cue, what it shows, another answer that it is not) or `builtin:reasoning` (free, longer); `own`: the train
    rows with a reasoning of your own (`data.reasoning_column`); or a list of these."""
    question_column: str = "question"
    """Column with the question."""
    answer_column: str = "answer"
    """Column with the answer."""
    reasoning_column: str = "reasoning"
    """Column with the reasoning."""
    rows: int | None = Field(None, ge=1)
    """Use only this many training rows (drawn with the seed). Rows of `own` are all used, and do not count."""
    without_answer_share: Annotated[float | None, Later()] = Field(None, ge=0, le=1)
    """Share of the training rows whose prompt shows the question without its answer, as `augment.condition: free`
    and `free_then_label` ask. Default: 0.5 for these conditions, 0 for `label`."""
    validation_rows: int = Field(40, ge=1)
    """Held-out rows for the gate. They are taken from train if the data has no validation split, and from `own` only
    if there is no other data."""
    training: ReasonerTrainingConfig = ReasonerTrainingConfig()
    """How stage 1 is trained."""

    @property
    def sources(self) -> list[str]:
        """The sources of reasoning rows, `own` among them."""
        return [self.data] if isinstance(self.data, str) else self.data

    @field_validator("data")
    @classmethod
    def _named_once(cls, data: str | list[str]) -> str | list[str]:
        if not data:
            raise ValueError("name at least one source, such as builtin:cues")
        if isinstance(data, list) and len(set(data)) < len(data):
            raise ValueError("it names a source twice")
        return data

    @field_validator("endpoint")
    @classmethod
    def _base_url(cls, endpoint: str | None) -> str | None:
        return None if endpoint is None else endpoint_url(endpoint)

    @model_validator(mode="after")
    def _served_model(self) -> ReasonerConfig:
        if self.endpoint is not None and self.model is None:
            raise ValueError("endpoint needs the name of the model that it serves: reasoner.model")
        return self
