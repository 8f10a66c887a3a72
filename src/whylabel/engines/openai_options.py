"""The options of the `openai` engine, and their validation."""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from typing import Annotated, Any, Literal, TypeVar
from urllib.parse import urlsplit

from pydantic import AfterValidator, Field, ValidationError

from whylabel.errors import EngineError, unknown_name
from whylabel.recipe import Section, endpoint_url

_Options = TypeVar("_Options", bound=Section)

DEFAULT_KEY_VARIABLE = "OPENAI_API_KEY"
"""Environment variable that holds the API key."""

# Errors do not show the values of these: they may contain a key by mistake.
_PRIVATE = ("base_url", "api_key_variable", "extra_body")


class OpenAIOptions(Section):
    """`augment.engine_options` of the engine `openai`."""

    base_url: Annotated[str, AfterValidator(endpoint_url)]
    """URL of the endpoint, as in `http://127.0.0.1:8000/v1`; without a path, `/v1` is added."""
    model: str = Field(min_length=1)
    """The name under which the endpoint serves the model."""
    api: Literal["completions", "chat"] = "completions"
    """`completions`: prompts rendered here; `chat`: one user message, rendered by the server's chat template."""
    concurrency: int = Field(16, ge=1)
    """Requests in flight at once."""
    timeout_seconds: float = Field(120.0, gt=0)
    """Longest wait for one answer."""
    max_retries: int = Field(5, ge=0)
    """How often a request is sent again after HTTP 429 or 5xx, a time-out or a lost connection."""
    api_key_variable: str = Field(DEFAULT_KEY_VARIABLE, pattern=r"^[A-Za-z_][A-Za-z0-9_]*$")
    """The environment variable that holds the API key; a recipe never contains the key itself."""
    price_per_million_input_tokens: float | None = Field(None, ge=0)
    """Price of a million prompt tokens, in any currency; if given, the cost is reported."""
    price_per_million_output_tokens: float | None = Field(None, ge=0)
    """Price of a million generated tokens."""
    send_token_ids: bool = True
    """`completions`: send prompts as token ids if a tokenizer is known (vLLM, SGLang, llama.cpp); False: as text."""
    send_stop_token_ids: bool = False
    """Also send the ids of the stop tokens: vLLM and SGLang accept them, other servers may not."""
    extra_body: dict[str, Any] = Field(default_factory=dict)
    """Additional fields of every request (`reasoning_effort: low`); null removes a field that is sent by default."""

    def cost(self, prompt_tokens: int, tokens: int) -> float | None:
        """Return what a request cost, or None where no price is given."""
        prices = (self.price_per_million_input_tokens, self.price_per_million_output_tokens)
        if prices == (None, None):
            return None
        return (prompt_tokens * (prices[0] or 0) + tokens * (prices[1] or 0)) / 1e6

    def key(self) -> str | None:
        """Return the API key from the environment, or None if there is no key.

        Raises `EngineError` if the named variable is not set, or its value cannot be a key.
        """
        key = os.environ.get(self.api_key_variable, "").strip()
        if not key:
            if self.api_key_variable == DEFAULT_KEY_VARIABLE:
                return None
            raise EngineError(
                "The environment variable that api_key_variable names is not set.",
                where="augment.engine_options.api_key_variable",
                fix="name the variable (not the key), and export the key in it",
            )
        if re.search(r"[^\x21-\x7e]", key):
            raise EngineError(
                "The API key holds blanks or characters that no key has.",
                where=f"environment variable {self.api_key_variable}",
                fix="export the key again, without other text",
            )
        return key

    @property
    def is_local(self) -> bool:
        """Whether the endpoint is on this machine; if so, no proxy is used."""
        return urlsplit(self.base_url).hostname in ("localhost", "127.0.0.1", "::1")


def read_options(kind: type[_Options], options: Mapping[str, Any]) -> _Options:
    """Return an engine's validated options. Raises `EngineError` that names the first wrong option."""
    try:
        return kind.model_validate(dict(options))
    except ValidationError as error:
        first = error.errors()[0]
    key = str(first["loc"][0]) if first["loc"] else ""
    if first["type"] == "extra_forbidden":
        what = unknown_name("option", key, kind.model_fields)
    elif first["type"] == "missing":
        what = f"The option {key!r} is missing."
    else:
        got = "" if key in _PRIVATE else f", got {first['input']!r}"
        what = f"{key}: {first['msg'].removeprefix('Value error, ')}{got}."
    raise EngineError(
        what,
        where=f"augment.engine_options.{key}",
        fix=f"the options are: {', '.join(kind.model_fields)}",
    )
