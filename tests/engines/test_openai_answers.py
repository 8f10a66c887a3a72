"""What endpoints really answer, one row each: OpenAI's format as its imitators write it."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from whylabel.engines.openai_answers import read_answer
from whylabel.engines.openai_errors import EndpointError

TEXT = "The words tell it."
USAGE = {"prompt_tokens": 10, "completion_tokens": 5, "total_tokens": 15}


def chat(content=TEXT, finish="stop", usage=USAGE, message=None, **choice):
    said = {"role": "assistant", "content": content, **(message or {})}
    return {
        "object": "chat.completion",
        "choices": [{"index": 0, "message": said, "finish_reason": finish, **choice}],
        "usage": usage,
    }


def completion(text=TEXT, finish="stop", **choice):
    return {
        "object": "text_completion",
        "choices": [{"index": 0, "text": text, "finish_reason": finish, **choice}],
        "usage": USAGE,
    }


def read(body, **named):
    content = body if isinstance(body, bytes) else json.dumps(body).encode()
    return read_answer(content, **named)


# -- answers -----------------------------------------------------------------------------------------------

WHOLE = {
    "OpenAI chat": chat(message={"refusal": None, "annotations": []}, logprobs=None),
    "OpenAI completions": completion(logprobs=None),
    "OpenAI reasoning": chat(usage={**USAGE, "completion_tokens_details": {"reasoning_tokens": 3}}),
    "vLLM": chat(message={"reasoning_content": None, "tool_calls": []}, stop_reason=None),
    "vLLM, stopped by a string": completion(stop_reason="###"),
    "vLLM, thinking apart": chat(message={"reasoning": "Maybe joy?"}),
    "SGLang": completion(finish={"type": "stop", "matched": 2}, matched_stop=2),
    "llama.cpp, older": completion(finish="eos"),
    "TGI": chat(finish="eos_token"),
    "TGI, stop sequence": chat(finish="stop_sequence"),
    "Ollama": chat(message={"thinking": "Maybe joy?"}),
    "Gemini": chat(finish="STOP"),
    "Gemini, the name of the enumeration": chat(finish="FinishReason.STOP"),
    "Vertex": chat(finish="FINISH_REASON_STOP"),
    "Anthropic": chat(finish="end_turn"),
    "Anthropic, a list of parts": chat([{"type": "text", "text": TEXT}]),
    "Mistral": chat([{"type": "thinking", "thinking": [{"type": "text", "text": "Joy?"}]}, TEXT]),
    "DeepSeek": chat(message={"reasoning_content": "Maybe joy?"}),
    "Together": chat(finish="eos", seed=3),
    "OpenRouter": chat(
        message={"reasoning": "Joy?", "refusal": None}, native_finish_reason="STOP", error=None
    ),
    "OpenRouter, clean end beside an error": chat(error={"code": 502, "message": "late"}),
    "Azure": chat(content_filter_results={"hate": {"filtered": False, "severity": "safe"}}),
    "Cohere": chat(finish="COMPLETE"),
    "Bedrock": chat(finish="endTurn"),
    "null": chat(finish=None),
    "a null in quotes": chat(finish="null"),
    "tags in the content": chat(f"<think>Maybe joy?</think>\n\n{TEXT}"),
    "a closing tag alone": completion(f"Maybe joy?\n</think>\n\n{TEXT}"),
    "a stop string and no finish word": completion(finish=None, stop_reason="###"),
    "no usage": chat(usage=None),
    "usage that is no number": {**chat(), "usage": {"prompt_tokens": float("nan"), "completion_tokens": "5"}},
    "broken usage": chat(usage=["?"]),
    "a chat that is answered as a completion": completion(),
    "error: null": {**chat(), "error": None},
}


@pytest.mark.parametrize("body", WHOLE.values(), ids=WHOLE)
def test_a_whole_answer(body):
    answer = read(body, token_limit=20)
    assert (answer.text, answer.finish, answer.error, answer.refused) == (TEXT, "stop", None, False)
    if body["usage"] is USAGE:
        assert (answer.prompt_tokens, answer.tokens) == (10, 5)


@pytest.mark.parametrize(
    "word",
    [
        "length",
        "max_tokens",
        "MAX_TOKENS",
        "model_length",
        "repetition",
        "max_new_tokens",
        "maxTokens",
        "max_output_tokens",
    ],
)
def test_the_token_limit_in_other_words(word):
    assert read(chat(finish=word)).finish == "length"


@pytest.mark.parametrize("field", ["finishReason", "stop_reason", "native_finish_reason"])
def test_the_finish_word_in_another_field(field):
    assert read(chat(finish=None, **{field: "MAX_TOKENS"})).finish == "length"
    assert read(chat(finish="stop", **{field: "MAX_TOKENS"})).finish == "stop"


@pytest.mark.parametrize("body", [chat(finish=None), {"choices": [{"text": TEXT}], "usage": USAGE}])
def test_without_a_word_an_answer_as_long_as_the_limit_was_cut(body):
    assert [read(body, token_limit=limit).finish for limit in (5, 6, None)] == ["length", "stop", "stop"]


def test_only_a_number_is_a_stop_token():
    assert [read(completion(stop_reason=stop)).stop_id for stop in (7, "###", None, True)] == [
        7,
        None,
        None,
        None,
    ]


def test_half_a_character_is_replaced():
    assert read(completion("cut \ud83d")).text == "cut ?"


# -- rows that fail, by name -------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("body", "said"),
    [
        (chat(None, "content_filter"), "content_filter"),
        (chat(None, "SAFETY"), "safety"),
        (chat("", "RECITATION"), "recitation"),
        (chat(None, "refusal"), "refusal"),
        (chat(None, "sensitive"), "sensitive"),
        (
            chat(None, message={"refusal": "I cannot help\nwith that."}),
            "refused to answer: I cannot help with that",
        ),
        (chat([{"type": "refusal", "refusal": "I cannot."}]), "refused to answer: I cannot"),
    ],
)
def test_refusals_are_named(body, said):
    answer = read(body)
    assert (answer.finish, answer.refused) == ("error", True)
    assert said in answer.error


@pytest.mark.parametrize(
    ("body", "said"),
    [
        (chat("<think>Maybe joy?", "length"), "still thinking"),
        (chat("<think>Maybe joy?"), "still thinking"),
        (chat(None, message={"reasoning_content": "Joy."}), "stands in reasoning_content"),
        (chat(None, message={"reasoning": "Joy."}), "stands in reasoning:"),
        (chat(" ", "length", message={"thinking": "Joy."}), "stands in thinking"),
        (chat(None, message={"reasoning_details": [{"type": "reasoning.text"}]}), "reasoning_details"),
        (chat([{"type": "thinking", "thinking": "Joy."}]), "stands in its content"),
        (chat("<think>Joy.</think>"), "stands in its content"),
        (chat("", "length", {"completion_tokens_details": {"reasoning_tokens": 64}}), "64 hidden tokens"),
        (chat(None, "length"), "before its first word"),
        (
            {"choices": [{"message": {"role": "assistant"}, "finish_reason": "length"}]},
            "before its first word",
        ),
    ],
)
def test_an_answer_that_is_all_thinking_says_so(body, said):
    answer = read(body)
    assert (answer.finish, answer.refused) == ("error", False)
    assert said in answer.error
    assert "max_new_tokens" in answer.error and "extra_body" in answer.error


@pytest.mark.parametrize("word", ["tool_calls", "OTHER", "surprise", 3])
def test_an_unknown_end_is_named(word):
    answer = read(chat(finish=word))
    assert answer.finish == "error"
    assert str(word).lower() in answer.error


def test_an_empty_answer_that_ended_by_itself_is_no_error():
    assert (read(chat("")).finish, read(chat(None)).finish, read(completion("", "length")).finish) == (
        "stop",
        "stop",
        "length",
    )


# -- errors ------------------------------------------------------------------------------------------------


def error_of(body, **named):
    with pytest.raises(EndpointError) as raised:
        read(body, **named)
    return raised.value


@pytest.mark.parametrize(
    ("body", "status"),
    [
        ({"error": {"message": "Rate limit exceeded", "code": 429}}, 429),
        ({"error": {"code": 402, "message": "Insufficient credits", "metadata": {}}}, 402),
        ({"error": {"code": "402", "message": "pay"}}, 402),
        ({"error": {"message": "Incorrect API key", "code": "invalid_api_key"}}, 401),
        ({"error": {"message": "no", "type": "permission_error"}}, 403),
        ({"error": {"message": "no", "type": "rate_limit_error", "code": None}}, 429),
        ({"error": {"message": "quota", "type": "insufficient_quota"}}, 402),
        ({"error": {"message": "no", "type": "invalid_request_error"}}, 400),
        ({"type": "error", "error": {"type": "overloaded_error", "message": "Overloaded"}}, 503),
        ({"error": {"message": "The model `x` does not exist", "code": "model_not_found"}}, 404),
        ([{"error": {"code": 429, "message": "wait", "status": "RESOURCE_EXHAUSTED"}}], 429),
        ({"error": {"code": 429, "message": "wait", "details": "soon"}}, 429),
        ({"error": "Too many requests"}, 429),
        ({"error": "rate limit", "status": 429}, 429),
        ({"error": True, "status": 503, "message": "busy"}, 503),
        ({"object": "error", "message": "no", "type": "BadRequestError", "code": 400}, 400),
        ({"detail": "Internal Server Error"}, 503),
        ({"code": 1113, "msg": "insufficient balance"}, 402),
        ({"choices": None, "base_resp": {"status_code": 1008, "status_msg": "insufficient balance"}}, 402),
        (chat("The words", "error", error={"code": 502, "message": "upstream"}), 502),
        (chat(None, None, error={"code": 429, "message": "wait"}), 429),
        ({**chat(None, None), "error": {"code": 402, "message": "pay"}}, 402),
        (chat("The words", "insufficient_system_resource"), 503),
        (chat("The words", "network_error"), 503),
        (chat(None, "abort"), 503),
        ({"error": {"message": "surprise"}}, None),
    ],
)
def test_an_error_in_a_success_has_its_own_status(body, status):
    error = error_of(body)
    assert (error.status, error.refused) == (status, False)


@pytest.mark.parametrize(
    "body",
    [
        b"<!DOCTYPE html><html><body>Welcome</body></html>",
        b"",
        b"data: {}\n\ndata: [DONE]",
        b"[" * 100_000,
        {},
        [],
        [1],
        "text",
        {"choices": []},
        {"choices": None},
        {"choices": [{"text": "a"}, 3]},
        {"choices": [{"delta": {"content": "a"}}]},
        {"choices": [{"message": {"content": 3}}]},
        {"model": "m", "message": {"role": "assistant", "content": TEXT}, "done": True},  # Ollama's own
        {"candidates": [{"content": {"parts": [{"text": TEXT}]}}]},  # Gemini's own
        {
            "type": "message",
            "content": [{"type": "text", "text": TEXT}],
            "stop_reason": "end_turn",
        },  # Anthropic's
        [{"generated_text": TEXT}],  # TGI's own
        {"content": TEXT, "stop": True, "tokens_predicted": 5},  # llama.cpp's own
    ],
)
def test_what_is_no_completion_is_shown(body):
    error = error_of(body)
    assert error.status is None
    assert str(error).startswith("the answer is not in the format of the OpenAI API")


def test_content_filters_are_refusals_whatever_the_status():
    azure = {"error": {"code": "content_filter", "status": 400, "message": "filtered"}}
    inner = {"error": {"code": None, "message": "no", "innererror": {"code": "ResponsibleAIPolicyViolation"}}}
    flagged = {"error": {"code": 403, "message": "no", "metadata": {"flagged_input": "x"}}}
    assert [error_of(azure, status=400).refused, error_of(inner, status=400).refused] == [True, True]
    assert [error_of(flagged).refused, error_of(flagged, status=403).refused] == [True, True]
    assert not error_of({"error": {"message": "too long"}}, status=400).refused


def test_a_spent_quota_does_not_come_back_by_waiting():
    spent = {"error": {"message": "check your billing details", "code": "insufficient_quota"}}
    busy = {"error": {"message": "raise your limit at /billing", "code": "rate_limit_exceeded"}}
    assert [error_of(spent, status=429).status, error_of(busy, status=429).status] == [402, 429]


def test_the_body_may_ask_to_wait():
    gemini = {"error": {"code": 429, "message": "no", "details": [{"@type": "x"}, {"retryDelay": "34.5s"}]}}
    assert error_of([gemini], status=429).retry_after == 34.5
    assert error_of({"error": {"code": 429, "message": "no", "retry_after": 2}}).retry_after == 2
    assert error_of({"error": {"code": 429, "message": "no"}}, status=429).retry_after == 0


def test_an_error_says_what_the_endpoint_says():
    assert str(error_of(b"", status=503)) == "HTTP 503: Service Unavailable"
    assert str(error_of(b"oops\n\nagain", status=500)) == "HTTP 500: oops again"
    assert str(error_of({"detail": [{"loc": ["body"]}]}, status=422)) == (
        'HTTP 422: {"detail": [{"loc": ["body"]}]}'
    )
    assert str(error_of({"error": {"code": 402, "message": "pay\nme"}})) == (
        "error 402 in an answer with HTTP 200: pay me"
    )


# -- whatever comes ----------------------------------------------------------------------------------------

NAMES = st.sampled_from(
    [
        "choices",
        "message",
        "content",
        "text",
        "finish_reason",
        "stop_reason",
        "usage",
        "error",
        "refusal",
        "reasoning",
        "type",
        "code",
        "status",
        "details",
    ]
)
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5) | st.just("<think>"),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(NAMES, inner, max_size=4),
    max_leaves=12,
)
BODIES = JSON | st.builds(
    lambda said, more, usage: {"choices": [{"message": said, **more}], "usage": usage},
    st.dictionaries(NAMES, JSON, max_size=4),
    st.dictionaries(NAMES, JSON, max_size=3),
    JSON,
)


@given(body=BODIES, status=st.sampled_from([200, 201, 400, 429, 503, 529, 999]))
def test_whatever_comes_is_an_answer_or_an_endpoint_error(body, status):
    try:
        answer = read(body, status=status, token_limit=20)
    except EndpointError as error:
        assert error.status is None or isinstance(error.status, int)
        assert "\n" not in str(error)
        str(error).encode()
    else:
        assert (answer.finish == "error") == (answer.error is not None)
        answer.text.encode()
        assert "<think>" not in answer.text or answer.finish == "error"
