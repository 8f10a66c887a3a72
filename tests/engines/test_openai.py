import os
import signal
import threading
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime

import pytest

from fake_endpoint import ANSWER, Reply, answer, content, fake_endpoint
from whylabel.engines import Sampling, make_engine
from whylabel.engines.openai import OpenAIEngine, _retry_after
from whylabel.engines.openai_options import OpenAIOptions
from whylabel.errors import EngineError
from whylabel.models.load import ModelSource
from whylabel.text.prompts import Prompt

KEY = "sk-very-secret-0123456789"
GREEDY = Sampling(20, (7,))


@pytest.fixture(autouse=True)
def quick(monkeypatch):
    monkeypatch.setattr("whylabel.engines.openai._FIRST_WAIT_SECONDS", 0.001)
    monkeypatch.delenv("OPENAI_API_KEY", raising=False)


def prompts(count):
    return [Prompt((1, 2, index), f"text {index}") for index in range(count)]


def engine_for(endpoint, **options):
    return OpenAIEngine(OpenAIOptions(base_url=endpoint.url, model="served", **options))


def make(options):
    return make_engine("openai", ModelSource("none"), options)


def collect(rows, completions):
    """Like `rows.extend`, but what came before an error is there."""
    for row in completions:
        rows.append(row)


# -- what is sent ------------------------------------------------------------------------------------------


def test_completions_are_asked_with_token_ids():
    with fake_endpoint(lambda _number, body: answer(body, " reason ", stop_reason=7)) as endpoint:
        engine = engine_for(endpoint, send_stop_token_ids=True)
        (row,) = engine.generate(prompts(1), GREEDY)
    assert endpoint.paths == ["/v1/completions"]
    assert endpoint.bodies == [
        {"model": "served", "prompt": [1, 2, 0], "max_tokens": 20, "temperature": 0.0, "stop_token_ids": [7]}
    ]
    assert (row.text, row.finish, row.prompt_tokens, row.tokens, row.stop_id) == ("reason", "stop", 10, 5, 7)
    assert endpoint.keys == [None]


def test_without_ids_or_where_the_server_takes_none_the_text_is_sent():
    with fake_endpoint() as endpoint:
        list(engine_for(endpoint).generate([Prompt((), "asked")], GREEDY))
        rendered = Prompt((1, 2), "asked", "<user> asked </user>")
        list(engine_for(endpoint, send_token_ids=False).generate([rendered], GREEDY))
    assert [body["prompt"] for body in endpoint.bodies] == ["asked", "<user> asked </user>"]
    assert all("stop_token_ids" not in body for body in endpoint.bodies)


def test_chat_is_one_user_message():
    with fake_endpoint() as endpoint:
        (row,) = engine_for(endpoint, api="chat").generate(prompts(1), GREEDY)
    assert endpoint.paths == ["/v1/chat/completions"]
    assert endpoint.bodies[0]["messages"] == [{"role": "user", "content": "text 0"}]
    assert row.text == ANSWER


def test_equal_prompts_are_drawn_with_seeds_of_their_own():
    drawn = Sampling(20, (), temperature=0.7, top_p=0.9, seed=100)
    with fake_endpoint() as endpoint:
        list(engine_for(endpoint).generate([Prompt((), "same")] * 3, drawn))
    assert sorted(body["seed"] for body in endpoint.bodies) == [100, 101, 102]
    assert {(body["temperature"], body["top_p"]) for body in endpoint.bodies} == {(0.7, 0.9)}


def test_extra_fields_are_added_and_null_leaves_one_out():
    extra = {"max_tokens": None, "max_completion_tokens": 20, "reasoning_effort": "low"}
    with fake_endpoint() as endpoint:
        list(engine_for(endpoint, extra_body=extra).generate(prompts(1), GREEDY))
    assert "max_tokens" not in endpoint.bodies[0]
    assert endpoint.bodies[0]["max_completion_tokens"] == 20
    assert endpoint.bodies[0]["reasoning_effort"] == "low"


def test_the_key_comes_from_the_environment(monkeypatch):
    monkeypatch.setenv("OPENAI_API_KEY", f"{KEY}\n")
    monkeypatch.setenv("MY_KEY", "other")
    with fake_endpoint() as endpoint:
        list(engine_for(endpoint).generate(prompts(1), GREEDY))
        list(engine_for(endpoint, api_key_variable="MY_KEY").generate(prompts(1), GREEDY))
    assert endpoint.keys == [f"Bearer {KEY}", "Bearer other"]


# -- what comes --------------------------------------------------------------------------------------------


def test_finish_reasons_counts_and_cost():
    ends = ["stop", "length", "content_filter"]
    with fake_endpoint(lambda number, body: answer(body, finish=ends[number])) as endpoint:
        prices = {"price_per_million_input_tokens": 2.0, "price_per_million_output_tokens": 8.0}
        rows = list(engine_for(endpoint, concurrency=1, **prices).generate(prompts(3), GREEDY))
    assert [row.finish for row in rows] == ["stop", "length", "error"]
    assert "content_filter" in rows[2].error
    assert [row.cost for row in rows] == [pytest.approx(6e-5)] * 3


def test_half_a_surrogate_pair_does_not_leave_the_engine():
    def reply(number, body):
        return answer(body, "cut \ud83d") if number == 0 else Reply(400, {"error": "no \ud83d"})

    with fake_endpoint(reply) as endpoint:
        rows = list(engine_for(endpoint, concurrency=1).generate(prompts(2), GREEDY))
    assert (rows[0].text, rows[1].error) == ("cut ?", "HTTP 400: no ?")


@pytest.mark.parametrize("body", ["<html>", '{"choices": []}', "[1]", '{"choices": [{"text": "a"}, 3]}'])
def test_an_answer_in_another_format_fails_its_row_alone(body):
    def reply(_number, request):
        return Reply(body=body) if content(request) == [1, 2, 0] else answer(request)

    with fake_endpoint(reply) as endpoint:
        rows = {row.index: row for row in engine_for(endpoint).generate(prompts(2), GREEDY)}
    assert rows[0].finish == "error"
    assert rows[1].finish == "stop"


def test_no_more_requests_are_in_flight_than_allowed():
    with fake_endpoint(lambda _number, body: Reply(**{**vars(answer(body)), "delay": 0.02})) as endpoint:
        rows = list(engine_for(endpoint, concurrency=4).generate(prompts(20), GREEDY))
    assert sorted(row.index for row in rows) == list(range(20))
    assert endpoint.most_in_flight == 4


# -- what goes wrong ---------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "trouble",
    [
        Reply(429, headers={"Retry-After": "0.01"}),
        Reply(429, headers={"Retry-After": "60", "retry-after-ms": "10"}),
        Reply(408),
        Reply(500, "oops"),
        Reply(503),
        Reply(drop=True),
        Reply(delay=1.0),
    ],
    ids=["429", "429 in milliseconds", "408", "500", "503", "dropped", "timed out"],
)
def test_what_may_pass_is_tried_again(trouble):
    with fake_endpoint(lambda number, body: trouble if number < 2 else answer(body)) as endpoint:
        (row,) = engine_for(endpoint, timeout_seconds=0.3).generate(prompts(1), GREEDY)
    assert row.finish == "stop"
    assert len(endpoint.bodies) == 3


def test_after_all_retries_the_row_fails_alone():
    def reply(_number, body):
        return Reply(500, {"error": {"message": "no\nluck"}}) if content(body) == [1, 2, 1] else answer(body)

    with fake_endpoint(reply) as endpoint:
        rows = {row.index: row for row in engine_for(endpoint, max_retries=3).generate(prompts(3), GREEDY)}
    assert [rows[index].finish for index in range(3)] == ["stop", "error", "stop"]
    assert rows[1].error == "HTTP 500: no luck"
    assert sum(content(body) == [1, 2, 1] for body in endpoint.bodies) == 4


def test_a_refused_row_is_not_tried_again():
    with fake_endpoint(lambda _number, _body: Reply(400, {"error": "too long"})) as endpoint:
        (row,) = engine_for(endpoint).generate(prompts(1), GREEDY)
    assert (row.finish, row.error, row.prompt_tokens) == ("error", "HTTP 400: too long", 3)
    assert len(endpoint.bodies) == 1


def test_who_is_told_to_wait_for_long_does_not_wait():
    with fake_endpoint(lambda _number, _body: Reply(429, "quota", {"Retry-After": "86400"})) as endpoint:
        (row,) = engine_for(endpoint).generate(prompts(1), GREEDY)
    assert row.error == "HTTP 429: quota"
    assert len(endpoint.bodies) == 1


def test_retry_after_is_seconds_or_a_date():
    assert _retry_after("1.5") == 1.5
    assert _retry_after("-3") == 0
    never = f"Fri, 31 Dec {10**20} 23:59:59 GMT"
    assert [_retry_after(nothing) for nothing in ("", "soon", "inf", never)] == [0, 0, 0, 0]
    later = _retry_after(format_datetime(datetime.now(UTC) + timedelta(hours=1), usegmt=True))
    assert 3500 < later <= 3600
    assert _retry_after("Wed, 21 Oct 2015 07:28:00 GMT") == 0


@pytest.mark.parametrize(("status", "said"), [(401, "OPENAI_API_KEY"), (404, "model name 'served'")])
def test_an_endpoint_that_refuses_everything_ends_the_call(status, said):
    refusal = Reply(status, {"error": {"message": "no"}})
    with (
        fake_endpoint(lambda _number, _body: refusal) as endpoint,
        pytest.raises(EngineError, match=f"HTTP {status}: no") as raised,
    ):
        list(engine_for(endpoint).generate(prompts(9), GREEDY))
    assert said in raised.value.fix
    assert "\n" not in raised.value.what


def test_what_is_finished_comes_before_the_error():
    with fake_endpoint() as endpoint:

        def reply(number, body):
            if number == 5:
                threading.Thread(target=endpoint.stop).start()
            return Reply(drop=True) if number >= 5 else answer(body)

        endpoint.reply = reply
        engine = engine_for(endpoint, concurrency=1, max_retries=2)
        rows = []
        with pytest.raises(EngineError, match=f"There is no connection to {endpoint.url}"):
            collect(rows, engine.generate(prompts(20), GREEDY))
    assert [row.index for row in rows] == [0, 1, 2, 3, 4]


def test_nobody_there():
    with fake_endpoint() as endpoint:
        pass
    with pytest.raises(EngineError, match="There is no connection") as raised:
        list(engine_for(endpoint, max_retries=1).generate(prompts(3), GREEDY))
    assert "start the endpoint" in raised.value.fix


def test_an_endpoint_that_fails_row_after_row_ends_the_call():
    with fake_endpoint(lambda number, body: answer(body) if number < 3 else Reply(500)) as endpoint:
        engine = engine_for(endpoint, max_retries=0, concurrency=1)
        rows = []
        with pytest.raises(EngineError, match="failed on 20 rows in a row: HTTP 500"):
            collect(rows, engine.generate(prompts(500), GREEDY))
    assert [row.finish for row in rows] == ["stop"] * 3 + ["error"] * 20


def test_an_endpoint_that_refuses_row_after_row_from_the_start_ends_the_call():
    with fake_endpoint(lambda _number, _body: Reply(400, {"error": "Unsupported parameter"})) as endpoint:
        rows = []
        with pytest.raises(EngineError, match="failed on 20 rows in a row: HTTP 400: Unsupported") as raised:
            collect(rows, engine_for(endpoint, concurrency=1).generate(prompts(200), GREEDY))
    assert len(rows) == len(endpoint.bodies) == 20
    assert "augment.engine_options" in raised.value.fix


@pytest.mark.parametrize("body", ["<!DOCTYPE html>", '{"message": {"content": "hi"}}', '{"error": "odd"}'])
def test_what_is_no_endpoint_ends_the_call_after_the_first_answers(body):
    with fake_endpoint(lambda _number, _body: Reply(body=body)) as endpoint:
        rows = []
        with pytest.raises(EngineError, match="5 rows in a row: ") as raised:
            collect(rows, engine_for(endpoint, concurrency=1).generate(prompts(200), GREEDY))
    assert len(rows) == len(endpoint.bodies) == 5
    assert rows[0].error in raised.value.what
    assert "URL (most end in /v1)" in raised.value.fix


def test_what_stops_being_an_endpoint_ends_the_call():
    with fake_endpoint(lambda number, body: answer(body) if number < 5 else Reply(body="<html>")) as endpoint:
        rows = []
        with pytest.raises(EngineError, match="20 rows in a row: .* OpenAI API: <html>"):
            collect(rows, engine_for(endpoint, concurrency=1).generate(prompts(200), GREEDY))
    assert [row.finish for row in rows] == ["stop"] * 5 + ["error"] * 20


@pytest.mark.parametrize(("code", "said"), [(401, "OPENAI_API_KEY"), (402, "add credit"), (403, "may do")])
def test_an_error_in_a_success_ends_the_call_like_its_status(code, said):
    reported = Reply(body={"error": {"code": code, "message": "no credits left"}})
    with fake_endpoint(lambda number, body: answer(body) if number == 0 else reported) as endpoint:
        rows = []
        with pytest.raises(
            EngineError, match=f"error {code} in an answer with HTTP 200: no credits"
        ) as raised:
            collect(rows, engine_for(endpoint, concurrency=1).generate(prompts(200), GREEDY))
    assert [row.finish for row in rows] == ["stop"]
    assert len(endpoint.bodies) == 2
    assert said in raised.value.fix


@pytest.mark.parametrize(
    "body",
    [
        {"error": {"code": 429, "message": "slow down"}},
        {"error": {"message": "Overloaded", "type": "overloaded_error"}},
        {"choices": [{"message": {"content": "half"}, "finish_reason": "error", "error": {"code": 502}}]},
        {"choices": [{"text": "half", "finish_reason": "insufficient_system_resource"}]},
    ],
)
def test_an_error_in_a_success_that_may_pass_is_tried_again(body):
    with fake_endpoint(lambda number, asked: Reply(body=body) if number < 2 else answer(asked)) as endpoint:
        (row,) = engine_for(endpoint).generate(prompts(1), GREEDY)
    assert (row.finish, row.text, len(endpoint.bodies)) == ("stop", ANSWER, 3)


def test_a_refusal_fails_its_row_alone_whatever_its_status():
    flagged = {"error": {"code": 403, "message": "flagged", "metadata": {"flagged_input": "x"}}}
    replies = [Reply(403, flagged), Reply(body=flagged), Reply(400, {"error": {"code": "content_filter"}})]

    def reply(number, body):
        return answer(body) if number == 0 else replies[number % 3]

    with fake_endpoint(reply) as endpoint:
        rows = list(engine_for(endpoint, concurrency=1).generate(prompts(40), GREEDY))
    assert [row.finish for row in rows] == ["stop"] + ["error"] * 39


def test_a_firewall_before_the_endpoint_refuses_one_text():
    page = Reply(403, "<html>", {"Content-Type": "text/html"})
    with fake_endpoint(lambda number, body: page if number == 1 else answer(body)) as endpoint:
        rows = list(engine_for(endpoint, concurrency=1).generate(prompts(3), GREEDY))
        assert [row.finish for row in rows] == ["stop", "error", "stop"]
    with fake_endpoint(lambda _number, _body: page) as endpoint, pytest.raises(EngineError, match="HTTP 403"):
        list(engine_for(endpoint, concurrency=1).generate(prompts(3), GREEDY))


@pytest.mark.parametrize(
    ("said", "error"),
    [
        ({"finish": "surprise"}, "surprise"),
        ({"text": "<think>Maybe joy"}, "still thinking"),
        ({"text": None, "finish": "length"}, "before its first word"),
    ],
)
@pytest.mark.parametrize(("first", "most"), [(0, 5), (1, 20)])
def test_an_endpoint_whose_answers_cannot_be_used_ends_the_call(said, error, first, most):
    rows = []
    with fake_endpoint(lambda number, body: answer(body, **({} if number < first else said))) as endpoint:
        engine = engine_for(endpoint, api="chat", concurrency=1)
        with pytest.raises(EngineError, match=f"{most} rows in a row: .*{error}"):
            collect(rows, engine.generate(prompts(200), GREEDY))
    assert [row.finish for row in rows] == ["stop"] * first + ["error"] * most
    assert rows[-1].tokens == 5  # it was paid for


def test_thinking_in_the_content_is_taken_off():
    with fake_endpoint(lambda _number, body: answer(body, f"<think>Joy?</think>\n{ANSWER}")) as endpoint:
        (row,) = engine_for(endpoint, api="chat").generate(prompts(1), GREEDY)
    assert (row.text, row.finish) == (ANSWER, "stop")


def test_rows_that_are_refused_after_an_answer_fail_alone():
    too_long = Reply(400, {"error": "too long"})
    with fake_endpoint(lambda number, body: answer(body) if number == 0 else too_long) as endpoint:
        engine = engine_for(endpoint, concurrency=1)
        rows = list(engine.generate(prompts(30), GREEDY))
        rows += engine.generate(prompts(30), GREEDY)
    assert [row.finish for row in rows] == ["stop"] + ["error"] * 59


@pytest.mark.parametrize("status", [400, 401, 429, 500])
def test_the_key_is_in_no_error(status, monkeypatch):
    monkeypatch.setenv("OPENAI_API_KEY", KEY)
    body = {"error": {"message": f"wrong key Bearer {KEY}."}}
    with fake_endpoint(lambda _number, _body: Reply(status, body)) as endpoint:
        try:
            (row,) = engine_for(endpoint, max_retries=1).generate(prompts(1), GREEDY)
            said = row.error
        except EngineError as error:
            said = str(error)
    assert "wrong key Bearer ***." in said
    assert KEY not in said


@pytest.mark.parametrize("shift", range(0, len(KEY) + 1, 5))
def test_a_key_where_a_long_error_is_cut_is_not_shown_in_part(shift, monkeypatch):
    monkeypatch.setenv("OPENAI_API_KEY", KEY)
    body = {"error": {"message": f"{'x' * (300 - shift)}{KEY} and more"}}
    with fake_endpoint(lambda _number, _body: Reply(400, body)) as endpoint:
        (row,) = engine_for(endpoint).generate(prompts(1), GREEDY)
    assert KEY[:3] not in row.error
    assert len(row.error) <= len("HTTP 400: ") + 300


# -- how it ends -------------------------------------------------------------------------------------------


def slow(number, body):
    return answer(body) if number == 0 else Reply(delay=30.0)


def background_threads():
    return [thread for thread in threading.enumerate() if thread.name == "whylabel-background"]


def test_closing_the_iterator_cancels_what_is_in_flight():
    with fake_endpoint(slow) as endpoint:
        rows = engine_for(endpoint, concurrency=3).generate(prompts(9), GREEDY)
        assert next(rows).finish == "stop"
        rows.close()
        assert not background_threads()
    assert len(endpoint.bodies) <= 4


def test_closing_the_engine_cancels_what_is_in_flight():
    with fake_endpoint(slow) as endpoint:
        engine = engine_for(endpoint, concurrency=3)
        rows = engine.generate(prompts(9), GREEDY)
        next(rows)
        engine.close()
        engine.close()
        assert not background_threads()
        assert list(rows) == []


def test_an_interrupt_ends_it():
    rows = []
    seen = threading.Event()

    def interrupting(number, body):
        if number == 1 and seen.wait(60):
            os.kill(os.getpid(), signal.SIGINT)
        return slow(number, body)

    with fake_endpoint(interrupting) as endpoint:
        before = signal.signal(signal.SIGINT, signal.default_int_handler)
        try:
            with pytest.raises(KeyboardInterrupt):
                for row in engine_for(endpoint, concurrency=1).generate(prompts(9), GREEDY):
                    rows.append(row.index)
                    seen.set()
        finally:
            signal.signal(signal.SIGINT, before)
    assert rows == [0]
    assert not background_threads()


def test_it_works_inside_a_running_loop():
    import asyncio

    async def notebook():
        return [row.finish for row in engine_for(endpoint).generate(prompts(2), GREEDY)]

    with fake_endpoint() as endpoint:
        assert asyncio.run(notebook()) == ["stop", "stop"]


def test_no_prompts_no_requests():
    with fake_endpoint() as endpoint:
        assert list(engine_for(endpoint).generate([], GREEDY)) == []
    assert endpoint.bodies == []


# -- options -----------------------------------------------------------------------------------------------

URL = "http://127.0.0.1:1/v1"


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        ({"model": "m"}, "The option 'base_url' is missing"),
        ({"base_url": URL}, "The option 'model' is missing"),
        ({"base_url": URL, "model": "m", "concurency": 3}, "Did you mean 'concurrency'"),
        ({"base_url": URL, "model": "m", "concurrency": 0}, "concurrency: .* got 0"),
        ({"base_url": URL, "model": "m", "api": "responses"}, "'completions' or 'chat', got 'responses'"),
        ({"base_url": "localhost:80", "model": "m"}, "a URL such as"),
        ({"base_url": f"http://me:{KEY}@host/v1", "model": "m"}, "may hold no password"),
        ({"base_url": f"http://host/v1?key={KEY}", "model": "m"}, "may hold no password"),
        ({"base_url": URL, "model": "m", "api_key": KEY}, "Unknown option 'api_key'"),
        ({"base_url": URL, "model": "m", "api_key_variable": KEY}, "api_key_variable"),
        ({"base_url": URL, "model": "m", "api_key_variable": KEY.replace("-", "_")}, "is not set"),
    ],
)
def test_wrong_options_are_refused_and_keys_not_shown(options, expected):
    with pytest.raises(EngineError, match=expected) as raised:
        make(options)
    assert KEY not in str(raised.value)
    assert KEY.replace("-", "_") not in str(raised.value)
    assert "augment.engine_options." in raised.value.where


def test_a_key_with_blanks_is_refused_unseen(monkeypatch):
    monkeypatch.setenv("OPENAI_API_KEY", f"{KEY} {KEY}")
    with pytest.raises(EngineError, match="holds blanks") as raised:
        make({"base_url": URL, "model": "m"})
    assert KEY not in str(raised.value)


def test_a_url_without_a_path_gets_one():
    assert OpenAIOptions(base_url="http://127.0.0.1:8000/", model="m").base_url == "http://127.0.0.1:8000/v1"
    assert OpenAIOptions(base_url="https://host/api/v1/", model="m").base_url == "https://host/api/v1"
