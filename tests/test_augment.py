import pyarrow.parquet
import pytest

from whylabel.augment import Reasoner, augment, differences, row_hash
from whylabel.engines import Sampling
from whylabel.engines.scripted import ScriptedEngine
from whylabel.prompts import Prompts
from whylabel.reasoned_rows import read_reasoned
from whylabel.recipe import AugmentConfig
from whylabel.store import open_store
from whylabel.types import Example

EXAMPLES = [Example(f"row-{number}", f"The text of number {number}", "joy") for number in range(20)]
REASON = "a reason of five words"


@pytest.fixture
def store(tmp_path):
    with open_store(tmp_path / "store.sqlite") as store:
        yield store


@pytest.fixture
def write(tokenizer, store, tmp_path):
    """Return a function that augments and gives (what was kept, the outcome)."""

    def run(engine, examples=EXAMPLES, *, limit=50, retry=(), settings=None, temperature=0.0, **config):
        prompts = Prompts(tokenizer)
        sampling = Sampling(limit, (prompts.eos_id,), temperature)
        settings = {"temperature": temperature, **(settings or {})}
        reasoner = Reasoner("reasoner", engine, prompts.reasoner_for_text, sampling, settings)
        values = {"sampling": {"temperature": temperature}, **config}
        files = {"kept": tmp_path / "train.parquet", "dropped": tmp_path / "dropped.parquet"}
        outcome = augment(examples, reasoner, store, AugmentConfig(**values), retry=frozenset(retry), **files)
        return read_reasoned(files["kept"]), outcome

    return run


def test_rows_in_are_kept_plus_dropped_plus_failed(write, tmp_path):
    kept, outcome = write(ScriptedEngine([REASON, "short"], fail_every=5, cut_every=7))
    figures = outcome.to_json()
    assert figures["rows"] == 20
    assert figures["kept"] + figures["dropped"] + figures["failed"] == 20
    assert figures["failed"] == 4
    assert set(figures["failures"]) == {"row-4", "row-9", "row-14", "row-19"}
    assert figures["dropped_by_reason"] == {"too short": 7, "unfinished": 2}
    assert [row.reasoning for row in kept] == [REASON] * 7
    dropped = pyarrow.parquet.read_table(tmp_path / "dropped.parquet").to_pylist()
    assert sorted(row["reason"] for row in dropped) == ["too short"] * 7 + ["unfinished"] * 2


def test_what_was_written_is_not_written_again_and_failures_only_when_asked(write, capsys):
    write(ScriptedEngine([REASON], fail_every=5))
    again = ScriptedEngine([REASON])
    _, outcome = write(again)
    assert (again.generated, outcome.failed, outcome.reused) == (0, 4, 20)
    kept, outcome = write(again, retry=["failed"])
    assert (again.generated, outcome.failed, outcome.reused) == (4, 0, 16)
    assert len(kept) == 20
    assert "4 rows run again: failed" in capsys.readouterr().err


def test_cut_rows_run_again_under_a_higher_limit_and_no_others(write, capsys):
    answers = [REASON, "one two three four five six seven eight"]
    kept, _ = write(ScriptedEngine(answers), limit=6)
    assert len(kept) == 10
    engine = ScriptedEngine(lambda index: "this one is finished at last")
    kept, outcome = write(engine, limit=9)
    assert (engine.generated, len(kept), outcome.reused) == (10, 20, 10)
    assert "10 rows run again: max_new_tokens is now 9" in capsys.readouterr().err
    assert write(engine, limit=20)[1].reused == 20
    assert engine.generated == 10


def test_rows_that_were_cut_are_tried_again_when_asked(write):
    write(ScriptedEngine([REASON], cut_every=4))
    engine = ScriptedEngine([REASON])
    assert write(engine)[1].dropped == {"unfinished": 5}
    assert engine.generated == 0
    assert len(write(engine, retry=["length"])[0]) == 20
    assert engine.generated == 5


def test_a_lower_limit_runs_what_would_not_fit_again(write):
    write(ScriptedEngine([REASON, "one two three four five six seven"]))
    engine = ScriptedEngine(["one two three four five six seven"])
    _, outcome = write(engine, limit=6)
    assert engine.generated == 10
    assert outcome.dropped == {"unfinished": 10}


def test_a_killed_engine_loses_nothing_that_was_finished(write, store):
    def dies(index):
        if index == 12:
            raise KeyboardInterrupt
        return REASON

    with pytest.raises(KeyboardInterrupt):
        write(ScriptedEngine(dies))
    assert len(store) == 12
    after = ScriptedEngine([REASON])
    write(after)
    assert after.generated == 8


def test_only_what_a_change_touches_runs_again_and_the_verb_says_why(write, capsys):
    write(ScriptedEngine([REASON]), settings={"question": "A?"}, temperature=0.7)
    changed = [
        *EXAMPLES[:18],
        Example("row-18", "another text", "joy"),
        Example("row-19", EXAMPLES[19].text, "fear"),
    ]
    engine = ScriptedEngine([REASON])
    write(engine, changed, settings={"question": "A?"}, temperature=0.7)
    assert engine.generated == 2
    capsys.readouterr()
    engine = ScriptedEngine([REASON])
    write(engine, changed, settings={"question": "B?"}, temperature=0.2)
    assert engine.generated == 20
    said = capsys.readouterr().err
    assert "20 rows run again because question 'A?' -> 'B?', temperature 0.7 -> 0.2" in said
    # What was written under the first settings is still there.
    engine = ScriptedEngine([REASON])
    write(engine, changed, settings={"question": "A?"}, temperature=0.7)
    assert engine.generated == 0


def test_equal_rows_share_one_reasoning_and_keep_their_ids(write, monkeypatch):
    monkeypatch.setattr("whylabel.augment._CHUNK_ROWS", 2)
    twins = [Example(name, "the same text", "joy") for name in "abcde"]
    engine = ScriptedEngine([REASON])
    kept, _ = write(engine, twins)
    assert engine.generated == 1
    assert [row.id for row in kept] == list("abcde")
    assert row_hash(twins[0]) == row_hash(twins[4])


def test_an_engine_that_forgets_a_row_does_not_lose_it_silently(write):
    class Forgetful(ScriptedEngine):
        def generate(self, prompts, sampling):
            yield from list(super().generate(prompts, sampling))[:-1]

    _, outcome = write(Forgetful([REASON]))
    assert outcome.to_json()["failures"] == {"row-19": "the engine returned nothing for this row"}


def test_the_first_candidate_that_passes_is_kept_with_the_others_that_do(write):
    engine = ScriptedEngine(
        lambda index: ["short", f"a reason of number {index}", "another reason it is"][index % 3]
    )
    kept, outcome = write(engine, EXAMPLES[:2], temperature=0.7, candidates=3)
    assert (engine.generated, outcome.kept) == (6, 2)
    assert [row.reasoning for row in kept] == ["a reason of number 1", "a reason of number 4"]
    assert kept[0].candidates == ("a reason of number 1", "another reason it is")
    # One more candidate is one more reasoning a row, not all of them again.
    write(engine, EXAMPLES[:2], temperature=0.7, candidates=4)
    assert engine.generated == 8


def test_candidates_need_a_temperature():
    with pytest.raises(ValueError, match="temperature 0"):
        AugmentConfig(candidates=2)


def test_calls_are_drawn_apart(write):
    seeds = []

    class Watched(ScriptedEngine):
        def generate(self, prompts, sampling):
            seeds.append(sampling.seed)
            yield from super().generate(prompts, sampling)

    write(Watched([REASON], cut_every=1), EXAMPLES[:3], temperature=0.7)
    write(Watched([REASON]), EXAMPLES[:3], temperature=0.7, retry=["length"])
    write(Watched([REASON]), EXAMPLES[:3], temperature=0.7, candidates=2)
    assert len(set(seeds)) == 3


def test_differences_are_named():
    assert differences({"a": 1, "b": 2}, {"b": 3, "c": "x"}) == "a 1 -> None, b 2 -> 3, c None -> 'x'"
