"""An endpoint as reasoner, from the recipe to the row store."""

import threading
from pathlib import Path

import pytest

from fake_endpoint import Reply, answer, content, fake_endpoint
from whylabel.errors import EngineError
from whylabel.reasonings.files import read_reasoned
from whylabel.reasonings.store import open_store
from whylabel.recipe import Recipe, override_recipe
from whylabel.stages.augment import Work, augment, open_reasoner
from whylabel.types import Example

EXAMPLES = [Example(f"row-{number}", f"The text of number {number}", "joy") for number in range(20)]


@pytest.fixture
def served(monkeypatch):
    """Return a function from an endpoint to the recipe that names it."""
    monkeypatch.setattr("whylabel.engines.openai._FIRST_WAIT_SECONDS", 0.001)
    monkeypatch.delenv("OPENAI_API_KEY", raising=False)
    monkeypatch.setattr("whylabel.models.load.ModelSource.tokenizer", None)

    def recipe(endpoint, **options):
        return override_recipe(
            Recipe(),
            reasoner__endpoint=endpoint.url,
            reasoner__model="big",
            task__question="Which mood?",
            augment__engine_options=options,
        )

    return recipe


@pytest.fixture
def write(tmp_path):
    """Return a function that augments and gives (what was kept, the outcome)."""

    def run(recipe):
        kept = tmp_path / "train.parquet"
        with (
            open_store(tmp_path / "store.sqlite") as store,
            open_reasoner(recipe, Path("no-such-folder"), {}) as reasoner,
        ):
            work = Work(reasoner, store, recipe.augment)
            outcome = augment(EXAMPLES, work, kept=kept, dropped=tmp_path / "dropped.parquet")
        return read_reasoned(kept), outcome

    return run


def test_an_endpoint_is_asked_by_chat_and_no_model_is_loaded(served, write):
    with fake_endpoint() as endpoint:
        kept, outcome = write(served(endpoint, price_per_million_output_tokens=1000))
    assert len(kept) == 20
    assert {row.reasoner for row in kept} == {"big"}
    assert outcome.to_json()["cost"] == pytest.approx(20 * 5 / 1000)
    asked = content(endpoint.bodies[0])
    assert "Which mood?" in asked
    assert "Answer: joy" in asked
    assert {body["model"] for body in endpoint.bodies} == {"big"}
    assert set(endpoint.paths) == {"/v1/chat/completions"}


def test_finished_rows_survive_when_the_endpoint_goes_away(served, write, tmp_path):
    with fake_endpoint() as endpoint:

        def reply(number, body):
            if number == 12:
                threading.Thread(target=endpoint.stop).start()
            return Reply(drop=True) if number >= 12 else answer(body)

        endpoint.reply = reply
        with pytest.raises(EngineError, match="There is no connection"):
            write(served(endpoint, concurrency=1, max_retries=3))
    with open_store(tmp_path / "store.sqlite") as store:
        assert len(store) == 12
    with fake_endpoint() as endpoint:
        kept, outcome = write(served(endpoint))
    assert len(endpoint.bodies) == 8
    assert outcome.written.reused == 12
    assert len(kept) == 20


def test_the_engine_is_closed_however_it_ends(served, monkeypatch):
    closed = []
    monkeypatch.setattr("whylabel.engines.openai.OpenAIEngine.close", lambda self: closed.append(self.name))
    with fake_endpoint() as endpoint:
        recipe = served(endpoint)
    with pytest.raises(ZeroDivisionError), open_reasoner(recipe, Path("none"), {}) as reasoner:
        reasoner.engine.generate([], reasoner.sampling)
        raise ZeroDivisionError
    assert closed == ["openai"]
