import json
import shutil
from dataclasses import replace

import pyarrow.parquet
import pytest

from whylabel.engines import Sampling
from whylabel.engines.scripted import ScriptedEngine
from whylabel.errors import ModelError
from whylabel.reasonings.files import read_reasoned
from whylabel.reasonings.store import Decision, open_store
from whylabel.recipe import AugmentConfig, Recipe, override_recipe
from whylabel.stages.augment import Reasoner, Work, augment, open_reasoner, rehearse
from whylabel.stages.augment.verification import Verifiers
from whylabel.stages.augment.write import differences
from whylabel.text.hashes import reasoning_hash, row_hash
from whylabel.text.prompts import Prompts
from whylabel.types import Example, Lift

EXAMPLES = [Example(f"row-{number}", f"The text of number {number}", "joy") for number in range(20)]
REASON = "a reason of five words"


@pytest.fixture
def store(tmp_path):
    with open_store(tmp_path / "store.sqlite") as store:
        yield store


@pytest.fixture
def write(tokenizer, store, tmp_path):
    """Return a function that augments and gives (what was kept, the outcome)."""

    def run(
        engine,
        examples=EXAMPLES,
        *,
        limit=50,
        retry=(),
        settings=None,
        temperature=0.0,
        verifier=None,
        **config,
    ):
        prompts = Prompts(tokenizer)
        sampling = Sampling(limit, (prompts.eos_id,), temperature)
        settings = {"temperature": temperature, **(settings or {})}
        reasoner = Reasoner("reasoner", engine, prompts.reasoner_for_text, sampling, settings)
        values = {"sampling": {"temperature": temperature}, **config}
        files = {"kept": tmp_path / "train.parquet", "dropped": tmp_path / "dropped.parquet"}
        verifiers = verifier and Verifiers("judge", [lambda: verifier])
        work = Work(reasoner, store, AugmentConfig(**values), verifiers, frozenset(retry))
        outcome = augment(examples, work, **files)
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
    assert (again.generated, outcome.sorted.failed, outcome.written.reused) == (0, 4, 20)
    kept, outcome = write(again, retry=["failed"])
    assert (again.generated, outcome.sorted.failed, outcome.written.reused) == (4, 0, 16)
    assert len(kept) == 20
    assert "4 rows run again: failed" in capsys.readouterr().err


def test_cut_rows_run_again_under_a_higher_limit_and_no_others(write, capsys):
    answers = [REASON, "one two three four five six seven eight"]
    kept, _ = write(ScriptedEngine(answers), limit=6)
    assert len(kept) == 10
    engine = ScriptedEngine(lambda index: "this one is finished at last")
    kept, outcome = write(engine, limit=9)
    assert (engine.generated, len(kept), outcome.written.reused) == (10, 20, 10)
    assert "10 rows run again: max_new_tokens is now 9" in capsys.readouterr().err
    assert write(engine, limit=20)[1].written.reused == 20
    assert engine.generated == 10


def test_rows_that_were_cut_are_tried_again_when_asked(write):
    write(ScriptedEngine([REASON], cut_every=4))
    engine = ScriptedEngine([REASON])
    assert write(engine)[1].sorted.dropped == {"unfinished": 5}
    assert engine.generated == 0
    assert len(write(engine, retry=["length"])[0]) == 20
    assert engine.generated == 5


def test_a_lower_limit_runs_what_would_not_fit_again(write):
    write(ScriptedEngine([REASON, "one two three four five six seven"]))
    engine = ScriptedEngine(["one two three four five six seven"])
    _, outcome = write(engine, limit=6)
    assert engine.generated == 10
    assert outcome.sorted.dropped == {"unfinished": 10}


SEVEN = "one two three four five six seven"


def test_what_is_too_long_for_a_lower_limit_waits_for_a_higher_one(write, capsys):
    judge = Judge(lambda row: 1.0)
    first, _ = write(ScriptedEngine([SEVEN]), verifier=judge)
    low = ScriptedEngine([SEVEN])
    kept, outcome = write(low, limit=6, verifier=judge)
    assert (kept, low.generated, outcome.sorted.dropped) == ((), 20, {"unfinished": 20})
    assert len(judge.judged) == 40
    never = ScriptedEngine(["something else altogether"])
    assert write(never, limit=50, verifier=judge)[0] == first
    assert write(never, limit=6, verifier=judge)[1].sorted.dropped == {"unfinished": 20}
    assert write(never, limit=70, verifier=judge)[0] == first
    assert (never.generated, len(judge.judged)) == (0, 40)


def test_what_was_cut_stays_beside_what_a_higher_limit_lets_be_finished(write):
    filters = {"names": ["length"]}
    cut, _ = write(ScriptedEngine([SEVEN]), limit=6, filters=filters)
    whole, _ = write(ScriptedEngine([SEVEN]), limit=9, filters=filters)
    assert (cut[0].reasoning, whole[0].reasoning) == (SEVEN.rsplit(" ", 1)[0], SEVEN)
    never = ScriptedEngine(["something else altogether"])
    assert write(never, limit=6, filters=filters)[0] == cut
    assert write(never, limit=9, filters=filters)[0] == whole
    assert never.generated == 0


def test_a_kill_under_another_limit_loses_nothing(write):
    def dies(index):
        if index == 12:
            raise KeyboardInterrupt
        return SEVEN

    whole, _ = write(ScriptedEngine([SEVEN]))
    with pytest.raises(KeyboardInterrupt):
        write(ScriptedEngine(dies), limit=6)
    never = ScriptedEngine(["something else altogether"])
    assert write(never)[0] == whole
    assert never.generated == 0


def test_what_is_too_long_is_not_used_where_nothing_else_could_be_written(write):
    write(ScriptedEngine([SEVEN]), EXAMPLES[:2])

    class Forgetful(ScriptedEngine):
        def generate(self, prompts, sampling):
            yield from list(super().generate(prompts, sampling))[:-1]

    _, outcome = write(Forgetful(["a few words"]), EXAMPLES[:2], limit=3)
    assert outcome.to_json()["failures"] == {"row-1": "the engine returned nothing for this row"}


def test_a_failure_under_one_limit_hides_nothing_that_was_written_under_another(write):
    whole, _ = write(ScriptedEngine([SEVEN]), EXAMPLES[:4])
    failing = ScriptedEngine([SEVEN], fail_every=1)
    assert write(failing, EXAMPLES[:4], limit=6)[1].sorted.failed == 4
    assert write(failing, EXAMPLES[:4], limit=6, retry=["failed"])[1].sorted.failed == 4
    assert failing.generated == 8
    assert write(failing, EXAMPLES[:4], retry=["failed"])[0] == whole
    assert write(failing, EXAMPLES[:4])[0] == whole
    assert failing.generated == 8


def test_a_retry_that_fails_leaves_what_was_cut_and_says_so(write, capsys):
    filters = {"names": ["length"]}
    cut, _ = write(ScriptedEngine([REASON], cut_every=2), EXAMPLES[:4], filters=filters)
    capsys.readouterr()
    kept, outcome = write(
        ScriptedEngine([REASON], fail_every=1), EXAMPLES[:4], filters=filters, retry=["length"]
    )
    assert kept == cut and outcome.sorted.failed == 0
    assert "2 tries failed; the reasonings that were cut before are still there" in capsys.readouterr().err


def test_candidates_and_conditions_that_are_not_asked_for_wait(write):
    engine = ScriptedEngine(lambda index: f"a reason of number {index}")
    asked = dict(examples=EXAMPLES[:4], temperature=0.7)
    three, _ = write(engine, candidates=3, **asked)
    one, _ = write(engine, candidates=1, **asked)
    assert [row.candidates for row in one] == [()] * 4
    assert write(engine, candidates=3, **asked)[0] == three
    assert engine.generated == 12
    free, _ = write(engine, condition="free", **asked)
    assert engine.generated == 16 and {row.condition for row in free} == {"free"}
    assert write(engine, candidates=3, **asked)[0] == three
    assert write(engine, condition="free", **asked)[0] == free
    # Under another limit, each candidate for itself.
    write(engine, candidates=2, limit=4, **asked)
    assert engine.generated == 24
    assert write(engine, candidates=3, **asked)[0] == three
    assert engine.generated == 24


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
    monkeypatch.setattr("whylabel.stages.augment.rows._CHUNK_ROWS", 2)
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
    assert (engine.generated, outcome.sorted.kept) == (6, 2)
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


class Judge:
    """Gives each reasoning the margin that a function says."""

    def __init__(self, margin):
        self.margin = margin
        self.judged = []

    def lifts(self, rows):
        self.judged += [row.reasoning for row in rows]
        return [Lift(self.margin(row), "fear", 0.0) for row in rows]


def numbered(index):
    return f"a reason of number {index}"


def test_the_candidate_with_the_largest_margin_is_kept(write):
    margins = {numbered(0): 0.5, numbered(1): 2.0, numbered(2): -1.0}
    judge = Judge(lambda row: margins[row.reasoning])
    kept, _ = write(ScriptedEngine(numbered), EXAMPLES[:1], temperature=0.7, candidates=3, verifier=judge)
    assert kept[0].reasoning == numbered(1)
    assert kept[0].candidates == (numbered(1), numbered(0))
    assert kept[0].scores == (2.0, 0.5)
    assert kept[0].candidate == 1


@pytest.mark.parametrize("unverified", ["drop", "keep"])
def test_a_row_whose_best_candidate_falls_short_is_dropped_or_weighs_less(write, tmp_path, unverified):
    judge = Judge(lambda row: -0.5 if row.id == "row-1" else 0.5)
    verification = {"unverified": unverified, "unverified_weight": 0.25}
    kept, outcome = write(ScriptedEngine([REASON]), EXAMPLES[:3], verifier=judge, verification=verification)
    if unverified == "drop":
        assert [row.id for row in kept] == ["row-0", "row-2"]
        assert outcome.sorted.dropped == {"does not lead to its label": 1}
        (dropped,) = pyarrow.parquet.read_table(tmp_path / "dropped.parquet").to_pylist()
        assert dropped["scores"] == [-0.5]
    else:
        assert [row.weight for row in kept] == [1.0, 0.25, 1.0]


def test_a_verdict_is_asked_for_once_and_again_after_a_retry(write):
    judge = Judge(lambda row: 1.0)
    write(ScriptedEngine([REASON], cut_every=2), EXAMPLES[:4], verifier=judge)
    write(ScriptedEngine([REASON]), EXAMPLES[:4], verifier=judge)
    assert len(judge.judged) == 4
    write(ScriptedEngine([REASON]), EXAMPLES[:4], verifier=judge, retry=["length"])
    assert len(judge.judged) == 6


def test_rows_without_an_acceptable_free_reasoning_fall_back_on_the_label(write):
    asked = []

    class Watched(ScriptedEngine):
        def generate(self, prompts, sampling):
            asked.append([prompt.text for prompt in prompts])
            yield from super().generate(prompts, sampling)

    judge = Judge(lambda row: 1.0 if row.condition == "label" or row.id == "row-0" else -1.0)
    kept, outcome = write(Watched([REASON]), EXAMPLES[:3], verifier=judge, condition="free_then_label")
    assert [row.condition for row in kept] == ["free", "label", "label"]
    assert outcome.to_json()["kept_by_condition"] == {"free": 1, "label": 2}
    free, label = asked
    assert len(free) == 3 and not any("joy" in text for text in free)
    assert len(label) == 2 and all("Answer: joy" in text for text in label)
    write(Watched([REASON]), EXAMPLES[:3], verifier=judge, condition="free_then_label")
    assert len(asked) == 2


def test_a_free_reasoning_that_repeats_one_of_an_earlier_chunk_falls_back_on_the_label(write, monkeypatch):
    monkeypatch.setattr("whylabel.stages.augment.rows._CHUNK_ROWS", 2)

    class Repeating(ScriptedEngine):
        def generate(self, prompts, sampling):
            for row in super().generate(prompts, sampling):
                asked = prompts[row.index].text
                words = " ".join(f"{word}{len(asked)}" for word in reversed(asked.split()))
                yield replace(row, text=f"by its label {words}" if "Answer: joy" in asked else REASON)

    texts = ["one word", "two words more", "three words they are", "four words of their own"]
    examples = [Example(text, text, "joy") for text in texts]
    filters = {"names": ["near_duplicate"]}
    kept, outcome = write(Repeating([REASON]), examples, condition="free_then_label", filters=filters)
    assert [row.condition for row in kept] == ["free", "label", "label", "label"]
    assert outcome.sorted.dropped == {}


def test_the_reasoner_is_asked_about_a_text_as_the_recipe_trims_it(tokenizer, tiny_model_folder):
    recipe = override_recipe(
        Recipe(),
        reasoner__model=str(tiny_model_folder),
        augment__engine="scripted",
        data__max_text_tokens=20,
    )
    prompts = Prompts(tokenizer, question=recipe.task.question, name=recipe.task.name)
    text = "It rained and rained. " * 100
    with open_reasoner(recipe, tiny_model_folder, {}) as reasoner:
        for label in ("joy", None):
            asked = reasoner.ask(text, label)
            assert asked == prompts.reasoner_for_text(prompts.trim(text, 20), label)
            assert len(asked.ids) < 100
        assert reasoner.ask("short", "joy") == prompts.reasoner_for_text("short", "joy")


@pytest.mark.parametrize(
    ("card", "condition", "warned"),
    [
        ({"role": "reasoner"}, "free", True),
        ({"role": "reasoner", "without_answer_share": 0.0}, "free_then_label", True),
        ({"role": "reasoner", "without_answer_share": 0.5}, "free", False),
        ({"role": "reasoner"}, "label", False),
        ({"role": "another"}, "free", False),
    ],
)
def test_a_reasoner_that_never_did_without_the_answer_is_warned_of(
    tiny_model_folder, tmp_path, capsys, card, condition, warned
):
    folder = shutil.copytree(tiny_model_folder, tmp_path / "reasoner")
    (folder / "whylabel.json").write_text(json.dumps(card))
    recipe = override_recipe(
        Recipe(), reasoner__model=str(folder), augment__engine="scripted", augment__condition=condition
    )
    with open_reasoner(recipe, folder, {}):
        pass
    assert ("has never seen a prompt without an answer" in capsys.readouterr().err) == warned


def test_a_reasoner_of_another_text_format_is_refused(tiny_model_folder, tmp_path):
    folder = shutil.copytree(tiny_model_folder, tmp_path / "reasoner")
    (folder / "whylabel.json").write_text(json.dumps({"role": "reasoner", "prompt_format": 99}))
    recipe = override_recipe(Recipe(), reasoner__model=str(folder), augment__engine="scripted")
    with pytest.raises(ModelError, match="prompts of format 99"), open_reasoner(recipe, folder, {}):
        pass


def test_a_rehearsal_renders_and_times_a_few_rows_and_stores_nothing(tokenizer, store):
    prompts = Prompts(tokenizer)
    engine = ScriptedEngine(["one two three four"], fail_every=4)
    reasoner = Reasoner(
        "reasoner", engine, prompts.reasoner_for_text, Sampling(50, (prompts.eos_id,)), {}, tokenizer.decode
    )
    work = Work(reasoner, store, AugmentConfig())
    many = [Example(f"r{number}", f"The text of number {number}", "joy") for number in range(320)]
    found = rehearse(many, work)
    assert (found.rows, found.to_write, found.failed) == (320, 320, 4)
    assert engine.generated == 16
    assert found.new_tokens == 320 * 4 * 12 // 16
    assert len(store) == 0
    assert len(found.prompts) == 3
    text, tokens = found.prompts[0]
    assert text.startswith("Question: The text of number ")
    assert found.prompt_tokens == pytest.approx(320 * tokens, rel=0.05)
    assert found.to_json()["prompts"][0] == {"prompt": text, "tokens": tokens}


def test_a_rehearsal_counts_what_is_there(tokenizer, store, write):
    write(ScriptedEngine([REASON]), EXAMPLES[:15], settings={"temperature": 0.0})
    prompts = Prompts(tokenizer)
    engine = ScriptedEngine([REASON])
    reasoner = Reasoner(
        "r", engine, prompts.reasoner_for_text, Sampling(50, (prompts.eos_id,)), {"temperature": 0.0}
    )
    assert rehearse(EXAMPLES, Work(reasoner, store, AugmentConfig())).to_write == 5
    assert rehearse(EXAMPLES[:15], Work(reasoner, store, AugmentConfig())).to_write == 0
    assert engine.generated == 5


@pytest.mark.parametrize(("retry", "to_write"), [("failed", 5), ("length", 2)])
def test_a_rehearsal_counts_what_a_retry_would_write(tokenizer, store, write, retry, to_write):
    write(ScriptedEngine([REASON], fail_every=4, cut_every=7), settings={"temperature": 0.0})
    prompts = Prompts(tokenizer)
    reasoner = Reasoner(
        "r", ScriptedEngine([REASON]), prompts.reasoner_for_text, Sampling(50, ()), {"temperature": 0.0}
    )
    assert rehearse(EXAMPLES, Work(reasoner, store, AugmentConfig())).to_write == 0
    assert (
        rehearse(EXAMPLES, Work(reasoner, store, AugmentConfig(), retry=frozenset([retry]))).to_write
        == to_write
    )


OWN = [
    replace(row, reasoning=f"a person wrote why {row.text} is so") if at % 2 else row
    for at, row in enumerate(EXAMPLES)
]


def test_rows_keep_the_reasoning_that_they_came_with_and_the_reasoner_writes_the_others(write, capsys):
    engine = ScriptedEngine([REASON])
    kept, outcome = write(engine, OWN)
    assert engine.generated == 10
    assert [row.reasoning for row in kept] == [row.reasoning or REASON for row in OWN]
    assert [(row.reasoner, row.condition) for row in kept[:2]] == [("reasoner", "label"), ("data", "own")]
    assert outcome.to_json()["kept_by_condition"] == {"label": 10, "own": 10}
    assert outcome.to_json()["own_refused_by_filters"] == {}
    again = ScriptedEngine([REASON])
    _, outcome = write(again, OWN)
    assert (again.generated, outcome.written.reused) == (0, 10)
    assert "10 of 10 rows were written before" in capsys.readouterr().err


def test_reasonings_that_rows_came_with_are_kept_whatever_filters_and_verifier_say(write):
    judge = Judge(lambda row: -1.0)
    short = [replace(OWN[1], reasoning="so"), OWN[3], OWN[2]]
    kept, outcome = write(ScriptedEngine([REASON]), short, verifier=judge)
    assert [row.reasoning for row in kept] == ["so", OWN[3].reasoning]
    assert outcome.to_json()["own_refused_by_filters"] == {"too short": 1}
    assert outcome.sorted.dropped == {"does not lead to its label": 1}
    assert len(judge.judged) == 1


def test_a_row_with_the_same_text_and_label_does_not_take_the_reasoning_of_another(write):
    twin = replace(OWN[1], id="twin", reasoning="")
    kept, outcome = write(ScriptedEngine([REASON]), [OWN[1], twin])
    assert [row.reasoning for row in kept] == [OWN[1].reasoning, REASON]
    _, outcome = write(ScriptedEngine([REASON]), [OWN[1], twin])
    assert outcome.written.reused == 1


def test_without_a_row_to_write_no_engine_is_asked(write):
    engine = ScriptedEngine([REASON])
    kept, outcome = write(engine, OWN[1::2])
    assert (engine.generated, len(kept), outcome.sorted.rows) == (0, 10, 10)


@pytest.mark.parametrize(
    ("verdict", "about", "reasoning"),
    [
        ("rejected", "own", None),
        ("accepted", "own", "own"),
        ("edited", None, "an edit by a person"),
        ("rejected", "another", "own"),
    ],
)
def test_a_decision_outweighs_the_reasoning_of_a_row(write, store, verdict, about, reasoning):
    row = OWN[1]
    own = {"own": row.reasoning, "another": "another reasoning", None: "an edit by a person"}[about]
    seen = None if about is None else reasoning_hash(own)
    store.put_decisions([Decision(row_hash(row), verdict, own, "Ada", "2026-01-01T00:00:00Z", "", seen)])
    kept, outcome = write(ScriptedEngine([REASON]), [row])
    expected = row.reasoning if reasoning == "own" else reasoning
    assert [item.reasoning for item in kept] == ([] if expected is None else [expected])
    assert sum(outcome.sorted.dropped.values()) == (expected is None)


def test_a_rehearsal_leaves_out_rows_that_came_with_a_reasoning(tokenizer, store):
    prompts = Prompts(tokenizer)
    sampling = Sampling(50, (prompts.eos_id,))
    reasoner = Reasoner("r", ScriptedEngine([REASON]), prompts.reasoner_for_text, sampling, {})
    found = rehearse(OWN, Work(reasoner, store, AugmentConfig()))
    assert (found.rows, found.to_write, found.own) == (10, 10, 10)


def test_rows_that_fall_back_do_not_include_those_with_a_reasoning(write):
    judge = Judge(lambda row: 1.0 if row.condition == "label" else -1.0)
    engine = ScriptedEngine([REASON])
    kept, _ = write(engine, OWN[:4], verifier=judge, condition="free_then_label")
    assert [row.condition for row in kept] == ["label", "own", "label", "own"]
    assert engine.generated == 4
