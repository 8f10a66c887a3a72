import threading
from pathlib import Path

import pytest

from fake_endpoint import Reply, answer, content, fake_endpoint
from whylabel.augment import Reasoner, augment, open_reasoner, row_key
from whylabel.engines import Sampling
from whylabel.engines.scripted import ScriptedEngine
from whylabel.errors import EngineError
from whylabel.prompts import Prompts
from whylabel.recipe import FilterConfig, Recipe, override_recipe
from whylabel.store import open_store
from whylabel.types import Example

EXAMPLES = [Example(f"row-{number}", f"The text of number {number}", "joy") for number in range(20)]


@pytest.fixture
def store(tmp_path):
    with open_store(tmp_path / "store.sqlite") as store:
        yield store


def make(tokenizer, engine, identity="one"):
    prompts = Prompts(tokenizer)
    return Reasoner("reasoner", engine, prompts.reasoner_for_text, Sampling(50, (prompts.eos_id,)), identity)


def test_rows_in_are_kept_plus_dropped_plus_failed(tokenizer, store):
    engine = ScriptedEngine(["a reason of five words", "short"], fail_every=5, cut_every=7)
    outcome = augment(EXAMPLES, make(tokenizer, engine), store, FilterConfig())
    figures = outcome.to_json()
    assert figures["rows"] == 20
    assert figures["kept"] + figures["dropped"] + figures["failed"] == 20
    assert figures["failed"] == 4
    assert set(figures["failures"]) == {"row-4", "row-9", "row-14", "row-19"}
    assert figures["dropped_by_reason"] == {"too short": 7, "unfinished": 2}
    assert [row.reasoning for row in outcome.filtered.kept] == ["a reason of five words"] * 7


def test_what_was_written_is_not_written_again_and_failures_are_tried_again(tokenizer, store):
    first = ScriptedEngine(["a reason of five words"], fail_every=5)
    augment(EXAMPLES, make(tokenizer, first), store, FilterConfig())
    second = ScriptedEngine(["a reason of five words"])
    outcome = augment(EXAMPLES, make(tokenizer, second), store, FilterConfig())
    assert second.generated == 4
    assert outcome.reused == 16
    assert len(outcome.filtered.kept) == 20


def test_a_killed_engine_loses_nothing_that_was_finished(tokenizer, store):
    def dies(index):
        if index == 12:
            raise KeyboardInterrupt
        return "a reason of five words"

    with pytest.raises(KeyboardInterrupt):
        augment(EXAMPLES, make(tokenizer, ScriptedEngine(dies)), store, FilterConfig())
    assert len(store) == 12
    after = ScriptedEngine(["a reason of five words"])
    augment(EXAMPLES, make(tokenizer, after), store, FilterConfig())
    assert after.generated == 8


def test_only_what_a_change_touches_runs_again(tokenizer, store):
    answer = ["a reason of five words"]
    augment(EXAMPLES, make(tokenizer, ScriptedEngine(answer)), store, FilterConfig())
    changed = [
        *EXAMPLES[:18],
        Example("row-18", "another text", "joy"),
        Example("row-19", EXAMPLES[19].text, "fear"),
    ]
    engine = ScriptedEngine(answer)
    augment(changed, make(tokenizer, engine), store, FilterConfig())
    assert engine.generated == 2
    engine = ScriptedEngine(answer)
    augment(changed, make(tokenizer, engine, identity="two"), store, FilterConfig())
    assert engine.generated == 20


def test_equal_rows_share_one_reasoning_and_keep_their_ids(tokenizer, store):
    twins = [Example("a", "the same text", "joy"), Example("b", "the same text", "joy")]
    engine = ScriptedEngine(["a reason of five words"])
    reasoner = make(tokenizer, engine)
    outcome = augment(twins, reasoner, store, FilterConfig())
    assert engine.generated == 1
    assert [row.id for row in outcome.filtered.kept] == ["a", "b"]
    assert row_key(twins[0], reasoner) == row_key(twins[1], reasoner)


def test_an_engine_that_forgets_a_row_does_not_lose_it_silently(tokenizer, store):
    class Forgetful(ScriptedEngine):
        def generate(self, prompts, sampling):
            yield from list(super().generate(prompts, sampling))[:-1]

    engine = Forgetful(["a reason of five words"])
    outcome = augment(EXAMPLES, make(tokenizer, engine), store, FilterConfig())
    assert outcome.to_json()["failures"] == {"row-19": "the engine returned nothing for this row"}


# -- an endpoint as reasoner -------------------------------------------------------------------------------


@pytest.fixture
def served(monkeypatch):
    """Return a function from an endpoint to the recipe that names it."""
    monkeypatch.setattr("whylabel.engines.openai._FIRST_WAIT_SECONDS", 0.001)
    monkeypatch.delenv("OPENAI_API_KEY", raising=False)
    monkeypatch.setattr("whylabel.models.ModelSource.tokenizer", None)

    def recipe(endpoint, **options):
        return override_recipe(
            Recipe(),
            reasoner__endpoint=endpoint.url,
            reasoner__model="big",
            task__question="Which mood?",
            augment__engine_options=options,
        )

    return recipe


def run(recipe, store):
    with open_reasoner(recipe, Path("no-such-folder"), "identity") as reasoner:
        return augment(EXAMPLES, reasoner, store, FilterConfig())


def test_an_endpoint_is_asked_by_chat_and_no_model_is_loaded(served, store):
    with fake_endpoint() as endpoint:
        prices = {"price_per_million_output_tokens": 1000}
        outcome = run(served(endpoint, **prices), store)
    assert len(outcome.filtered.kept) == 20
    assert {row.reasoner for row in outcome.filtered.kept} == {"big"}
    assert outcome.to_json()["cost"] == pytest.approx(20 * 5 / 1000)
    asked = content(endpoint.bodies[0])
    assert "Which mood?" in asked
    assert "Answer: joy" in asked
    assert {body["model"] for body in endpoint.bodies} == {"big"}
    assert set(endpoint.paths) == {"/v1/chat/completions"}


def test_finished_rows_survive_when_the_endpoint_goes_away(served, store):
    with fake_endpoint() as endpoint:

        def reply(number, body):
            if number == 12:
                threading.Thread(target=endpoint.stop).start()
            return Reply(drop=True) if number >= 12 else answer(body)

        endpoint.reply = reply
        with pytest.raises(EngineError, match="There is no connection"):
            run(served(endpoint, concurrency=1, max_retries=3), store)
    assert len(store) == 12
    with fake_endpoint() as endpoint:
        outcome = run(served(endpoint), store)
    assert len(endpoint.bodies) == 8
    assert outcome.reused == 12
    assert len(outcome.filtered.kept) == 20


def test_the_engine_is_closed_however_it_ends(served, store, monkeypatch):
    closed = []
    monkeypatch.setattr("whylabel.engines.openai.OpenAIEngine.close", lambda self: closed.append(self.name))
    with fake_endpoint() as endpoint:
        recipe = served(endpoint)
    with pytest.raises(ZeroDivisionError), open_reasoner(recipe, Path("none"), "identity"):
        raise ZeroDivisionError
    assert closed == ["openai"]
