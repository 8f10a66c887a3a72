import pytest

from whylabel.augment import Reasoner, augment, row_key
from whylabel.engines import Sampling
from whylabel.engines.scripted import ScriptedEngine
from whylabel.prompts import Prompts
from whylabel.recipe import FilterConfig
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
