"""Reads what OpenAI-compatible endpoints answer: each has words, fields and errors of its own.

`read_answer` is the one place that knows them: a body goes in, an `Answer` or an `EndpointError` comes out.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from http import HTTPStatus
from typing import Any

from whylabel.engines.base import Finish
from whylabel.engines.openai_errors import (
    EndpointError,
    encodable,
    error_in_body,
    http_error,
    one_line,
    snake,
)
from whylabel.engines.thinking import without_thinking

# What finish words mean, in the spelling of `_word`.
_ENDS = {
    "stop": "stop(ped|_(sequence|string|str|token))?|eos(_token)?|end(_(turn|of_turn|of_text))?"
    "|complete|completed|done|finish|finished|normal|success",
    "length": "length|limit|token_limit|(max_|max_new_|max_output_|max_completion_)(tokens|length)|model_length"
    "|context_length(_exceeded)?|model_context_window_exceeded"
    "|repetition",  # vLLM has stopped a loop
    "refused": "refus(al|ed)|content_filter(ed)?|(image_)?safety|recitation|block(ed|list)|prohibited_content|spii"
    "|sensitive|moderation|flagged|language|model_armor|error_toxic|guardrail_intervened",
    # The same request may succeed later.
    "broken off": "(network_|server_)?error|timeout|abort(ed)?|cancell?ed|failed|engine_overloaded"
    "|insufficient_system_resource",
}
_END_FIELDS = ("finish_reason", "finishReason", "stop_reason", "done_reason", "native_finish_reason")
_NO_WORD = ("", "none", "null", "unspecified")
_THINKING_FIELDS = ("reasoning_content", "reasoning", "thinking", "reasoning_details")
_THINKING_PARTS = ("thinking", "reasoning", "redacted_thinking", "thought")
_CURE = (
    "raise augment.sampling.max_new_tokens, or switch the model's thinking off in engine_options.extra_body"
)

_Parts = Sequence[tuple[str, str]]


@dataclass(frozen=True, slots=True)
class Answer:
    """What an endpoint wrote for one row: a text without thinking, or why there is none (`error`).

    `refused` says that this is about the row: a content filter, or a model that does not want to answer. Counts of
    tokens are 0 where the endpoint gives none.
    """

    text: str
    finish: Finish
    error: str | None = None
    refused: bool = False
    prompt_tokens: int = 0
    tokens: int = 0
    stop_id: int | None = None


def read_answer(content: bytes, *, status: int = HTTPStatus.OK, token_limit: int | None = None) -> Answer:
    """Return what the body of an answer says.

    `token_limit` is what was asked for: where no word says how the answer ended, one of this length was cut.
    Raises `EndpointError` if status or body is an error, or the body is no completion.
    """
    try:
        body = json.loads(content)
    except (ValueError, RecursionError):  # no JSON, or thousands of brackets
        body = None
    if not 200 <= status < 300:
        raise http_error(status, body, content)
    if (error := error_in_body(body, status)) is not None:
        raise error
    try:
        return _answer(body, token_limit)
    except (LookupError, TypeError, AttributeError):
        shown = one_line(content.decode("utf-8", "replace"))
        raise EndpointError(f"the answer is not in the format of the OpenAI API: {shown}") from None


def _answer(body: Any, token_limit: int | None) -> Answer:
    """Return the first choice. Raises what look-ups raise if the body has another format."""
    choices = body["choices"]
    if not all(isinstance(choice, dict) for choice in choices):
        raise TypeError("a choice is no object")
    choice = choices[0]
    said = choice.get("message") or {"content": choice["text"]}
    prompt_tokens, tokens, hidden_tokens = _usage(body.get("usage"))
    word, end = _end(choice, is_full=token_limit is not None and tokens >= token_limit)
    if end == "broken off":
        raise EndpointError(f"the endpoint broke off (finish_reason {word})", HTTPStatus.SERVICE_UNAVAILABLE)
    parts = list(_parts(said.get("content")))
    text, is_open = without_thinking(_joined(parts, "text"))
    refused = _refusal(said, parts, end, word)
    error = refused
    if not refused and end == "unknown":
        error = f"the endpoint ended the answer with {word!r}: neither an end of its own nor the token limit"
    elif not refused and is_open:
        error = f"the answer ends while the model is still thinking: {_CURE}"
    elif not refused and not text:
        error = _why_empty(said, parts, hidden_tokens, is_cut=end == "length" and "message" in choice)
    stop = choice.get("stop_reason")
    return Answer(
        text=encodable(text),
        finish="error" if error else "length" if end == "length" else "stop",
        error=one_line(error) if error else None,
        refused=refused is not None,
        prompt_tokens=prompt_tokens,
        tokens=tokens,
        stop_id=stop if type(stop) is int else None,
    )


def _end(choice: Mapping[str, Any], *, is_full: bool) -> tuple[str, str]:
    """Return the finish word of a choice, and the key of `_ENDS` that it belongs to, or `unknown`."""
    word, *others = (_word(choice.get(name)) for name in _END_FIELDS)
    if word not in _NO_WORD:
        return word, _meaning(word)
    # These may hold other things than finish words.
    word = next((other for other in others if _meaning(other) != "unknown"), "")
    return word, _meaning(word) if word else "length" if is_full else "stop"


def _meaning(word: str) -> str:
    return next((end for end, words in _ENDS.items() if re.fullmatch(words, word)), "unknown")


def _word(reason: Any) -> str:
    """Return a finish word in one spelling: `FinishReason.MAX_TOKENS` and `maxTokens` are both `max_tokens`."""
    if isinstance(reason, dict):  # SGLang
        reason = reason.get("type")
    return snake(str(reason or "").rpartition(".")[2]).removeprefix("finish_reason_")


def _parts(content: Any) -> Iterator[tuple[str, str]]:
    """Yield a message's content, a text or a list of parts, as (text | thinking | refusal, what it says)."""
    if isinstance(content, str):
        yield "text", content
    elif isinstance(content, list):
        for part in content:
            yield from _parts(part)
    elif content is not None:
        kind = str(content.get("type", "text"))
        if kind == "refusal":
            yield kind, str(content.get("refusal") or content.get("text") or "")
        elif kind.partition(".")[0] in _THINKING_PARTS:
            yield "thinking", ""
        elif "text" in kind:
            yield from _parts(content.get("text", content.get("content")))


def _joined(parts: _Parts, kind: str) -> str:
    return "".join(text for found, text in parts if found == kind)


def _refusal(said: Mapping[str, Any], parts: _Parts, end: str, word: str) -> str | None:
    """Return who refused the row, and why; None if nobody did."""
    if refusal := said.get("refusal") or _joined(parts, "refusal"):
        return f"the model refused to answer: {refusal}"
    if end == "refused":
        return f"the endpoint refused the text or its answer (finish_reason {word})"
    return None


def _why_empty(said: Mapping[str, Any], parts: _Parts, hidden_tokens: int, *, is_cut: bool) -> str | None:
    """Return why an answer has no text; None if it just has none."""
    place = next((name for name in _THINKING_FIELDS if said.get(name)), None)
    if place is None and (_joined(parts, "text").strip() or any(kind == "thinking" for kind, _ in parts)):
        place = "its content"
    if place is None and hidden_tokens:
        place = f"{hidden_tokens} hidden tokens"
    if place is not None:
        return f"the answer is empty, and the model's thinking stands in {place}: {_CURE}"
    return f"the token limit ended the answer before its first word: {_CURE}" if is_cut else None


def _usage(usage: Any) -> tuple[int, int, int]:
    """Return the tokens of the prompt, of the completion, and those of hidden thinking in it; 0 where unknown."""
    if not isinstance(usage, dict):
        return 0, 0, 0
    details = usage.get("completion_tokens_details")
    hidden = details.get("reasoning_tokens") if isinstance(details, dict) else 0
    counts = (
        usage.get("prompt_tokens") or usage.get("input_tokens"),
        usage.get("completion_tokens") or usage.get("output_tokens"),
        hidden,
    )
    # JSON may hold NaN, which is in no range.
    known = [int(count) if isinstance(count, (int, float)) and 0 < count < 2**53 else 0 for count in counts]
    return known[0], known[1], known[2]
