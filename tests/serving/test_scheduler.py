"""How texts share a model, over a scorer and a writer that only count."""

from dataclasses import replace

import pytest

from whylabel.engines.base import Sampling
from whylabel.engines.writer import Row
from whylabel.errors import EngineError, ModelError
from whylabel.prediction.answers import Answer
from whylabel.prediction.steps import Score, Write
from whylabel.serving.lanes import Job
from whylabel.serving.scheduler import Delta, Done, Scheduler, Shares
from whylabel.types import Prediction

GREEDY = Sampling(4, ())


class Scorer:
    def __init__(self):
        self.batches = []

    def score(self, prompts):
        self.batches.append(list(prompts))
        return [Answer(None, error=prompt) for prompt in prompts]


class Tokenizer:
    def decode(self, ids, skip_special_tokens=True):
        return "".join(f"w{token} " for token in ids)


class Writer:
    """Writes a token of every row in each step."""

    def __init__(self):
        self.rows, self.cancelled, self.steps = [], [], 0
        self.fails = False

    def submit(self, index, prompt, sampling):
        self.rows.append(Row(index, prompt, sampling))
        return self.rows[-1]

    def step(self):
        if self.fails:
            raise EngineError("it broke off")
        self.steps += 1
        ended = []
        for row in self.rows:
            row.generated.append(len(row.generated))
            if len(row.generated) == row.sampling.max_new_tokens:
                ended.append(row)
        self.rows = [row for row in self.rows if row not in ended]
        return ended

    def cancel(self, row):
        if row in self.rows:
            self.rows.remove(row)
            self.cancelled.append(row.index)

    @property
    def is_idle(self):
        return not self.rows


class World:
    def __init__(self, **shares):
        self.scorer, self.writer, self.told = Scorer(), Writer(), []
        self.scheduler = Scheduler(self.scorer, self.writer, Tokenizer(), self.told.append, Shares(**shares))
        self.numbers = 0

    def ask(self, steps, request=None, streams=False):
        self.numbers += 1
        self.scheduler.ask(Job(self.numbers, request or self.numbers, steps, streams))
        return self.numbers

    def done(self):
        return [event.job for event in self.told if isinstance(event, Done)]

    def finish(self):
        for _ in range(200):
            if self.scheduler.is_idle:
                return
            self.scheduler.iterate()
        raise AssertionError("it does not end")


@pytest.fixture
def world():
    return World()


def prediction(label):
    return Prediction("1", label, ())


def fast(name):
    (answer,) = yield Score([name], True)
    return prediction(answer.error)


def reasoned(name, tokens=4, samplings=1):
    completions = yield Write([name], [replace(GREEDY, max_new_tokens=tokens)] * samplings)
    answers = yield Score([name] * len(completions))
    return prediction(f"{answers[-1].error} {completions[0].text}")


def evidence(name, count):
    answers = yield Score([f"{name}{number}" for number in range(count)])
    return prediction(" ".join(answer.error for answer in answers))


def at_once(name):
    return prediction(name)
    yield


def test_every_job_gets_its_own_answer(world):
    for number in range(1, 30):
        world.ask((fast, reasoned)[number % 2](f"text{number}"))
    world.finish()
    assert sorted(world.done()) == list(range(1, 30))
    for event in world.told:
        assert event.prediction.label.split()[0] == f"text{event.job}"


def test_what_needs_nothing_is_told_at_once(world):
    world.ask(at_once("x"))
    assert world.done() == [1]
    assert world.scheduler.is_idle


def test_an_answer_at_once_waits_for_one_step_of_writing_at_most():
    world = World(at_once=8, others=2)
    for number in range(32):
        world.ask(reasoned(f"r{number}", tokens=50))
    world.scheduler.iterate()
    steps = world.writer.steps
    number = world.ask(fast("f"))
    world.scheduler.iterate()
    assert (world.done(), world.writer.steps) == ([number], steps)
    # One that comes now waits for one step.
    number = world.ask(fast("g"))
    world.scheduler.iterate()
    world.scheduler.iterate()
    assert world.done()[1:] == [number]
    assert world.writer.steps == steps + 1


def test_reasonings_go_on_beside_any_number_of_answers_at_once():
    world = World(at_once=4, others=1, alone=4)
    number = world.ask(reasoned("r", tokens=4))
    for number in range(8):
        for _ in range(10):
            world.ask(fast(f"f{number}"))
        world.scheduler.iterate()
        world.scheduler.iterate()
    assert number in world.done()
    assert max(map(len, world.scorer.batches)) <= 4


def test_what_reasonings_and_evidence_need_does_not_come_before_answers_at_once():
    world = World(at_once=8, others=2)
    world.ask(reasoned("r", tokens=100))
    world.scheduler.iterate()
    for _ in range(10):
        world.ask(evidence("e", 12))
    number = world.ask(fast("f"))
    world.scheduler.iterate()
    assert world.done() == [number]
    # Evidence and writing alternate, and each is soon done.
    seen = []
    for _ in range(4):
        world.scheduler.iterate()
        seen.append((len(world.scorer.batches), world.writer.steps))
    assert seen == [(2, 1), (2, 2), (3, 2), (3, 3)]
    assert [len(batch) for batch in world.scorer.batches] == [1, 2, 2]


def test_iterations_may_be_longer_where_no_answer_at_once_was_wanted_lately():
    world = World(gathered=8, others=1)
    world.ask(reasoned("r", tokens=100))
    world.ask(evidence("e", 12))
    for _ in range(4):
        world.scheduler.iterate()
    assert [len(batch) for batch in world.scorer.batches] == [8, 4]
    world.ask(fast("f"))
    world.ask(evidence("e", 2))
    for _ in range(5):
        world.scheduler.iterate()
    assert [len(batch) for batch in world.scorer.batches] == [8, 4, 1, 1, 1]


@pytest.mark.parametrize(("last", "steps"), [(4, 4), (9, 8)])
def test_prompts_after_reasonings_are_gathered_for_some_steps(last, steps):
    world = World(gathered=4)
    for number in range(8):
        world.ask(reasoned(f"long{number}", tokens=100))
    for name, tokens in (("a", 1), ("b", 2), ("c", 3), ("d", last)):
        world.ask(reasoned(name, tokens=tokens))
    while not world.scorer.batches:
        world.scheduler.iterate()
    assert world.writer.steps == steps
    assert world.scorer.batches == [["a", "b", "c", "d"][: 4 if last == steps else 3]]


def test_few_reasonings_wait_for_no_others():
    world = World()
    for name, tokens in (("a", 2), ("b", 100)):
        world.ask(reasoned(name, tokens=tokens))
    while not world.scorer.batches:
        world.scheduler.iterate()
    assert (world.writer.steps, world.scorer.batches) == (2, [["a"]])


def test_requests_take_turns(world):
    world = World(alone=4)
    many = [world.ask(fast(f"m{number}"), request=100) for number in range(20)]
    one = world.ask(fast("o"), request=200)
    world.scheduler.iterate()
    assert one in world.done()
    world.finish()
    assert set(world.done()) == {*many, one}


def test_the_prompts_of_one_text_are_scored_together(world):
    # Also where answers at once were wanted lately: a text with its reasoning and without, in one pass.
    world.ask(fast("f"))
    world.ask(reasoned("long", tokens=50))
    for name in "ab":
        world.ask(reasoned(name, tokens=1, samplings=2))
    world.finish()
    assert world.scorer.batches == [["f"], ["a", "a"], ["b", "b"], ["long"]]


def test_how_many_were_answered_together_is_said_of_the_last_turn_alone(world):
    # An engine waits a moment for the next requests of clients that were answered together, not after every step.
    world.ask(reasoned("r", tokens=9))
    for name in "abc":
        world.ask(fast(name))
    world.scheduler.iterate()
    assert world.scheduler.at_once_together == 3
    world.scheduler.iterate()
    assert world.scheduler.at_once_together == 0


def test_a_step_of_many_prompts_is_scored_over_several_iterations_in_order():
    world = World(gathered=5, others=2)
    world.ask(evidence("a", 12))
    world.ask(evidence("b", 3))
    world.finish()
    labels = {event.job: event.prediction.label for event in world.told}
    assert labels == {1: " ".join(f"a{n}" for n in range(12)), 2: "b0 b1 b2"}
    assert max(map(len, world.scorer.batches)) == 5


def test_a_cancelled_job_frees_its_rows_and_prompts_and_no_others():
    world = World(gathered=1, others=1)
    written = world.ask(reasoned("w", tokens=50, samplings=3))
    scored = world.ask(evidence("s", 12))
    other = world.ask(reasoned("o", tokens=6))
    for _ in range(3):
        world.scheduler.iterate()
    world.scheduler.cancel(written)
    world.scheduler.cancel(scored)
    world.scheduler.cancel(999)
    assert world.writer.cancelled == [written] * 3
    assert (world.scheduler.waiting, world.scheduler.writing) == (0, 1)
    world.finish()
    assert world.done() == [other]
    assert world.told[0].prediction.label == "o w0 w1 w2 w3 w4 w5"


def test_new_text_is_told_after_every_step(world):
    number = world.ask(reasoned("r", tokens=4), streams=True)
    world.ask(reasoned("quiet", tokens=4))
    world.finish()
    deltas = [event for event in world.told if isinstance(event, Delta)]
    assert {event.job for event in deltas} == {number}
    assert [event.text for event in deltas] == ["w0", " w1", " w2", " w3"]
    assert {event.draft for event in deltas} == {1}


def test_a_second_reasoning_is_another_draft(world):
    def twice():
        yield from reasoned("a", 2)
        return (yield from reasoned("b", 2))

    world.ask(twice(), streams=True)
    world.finish()
    told = [(event.draft, event.text) for event in world.told if isinstance(event, Delta)]
    assert told == [(1, "w0"), (1, " w1"), (2, "w0"), (2, " w1")]


def test_of_reasonings_that_are_written_together_none_is_told(world):
    world.ask(reasoned("r", samplings=3), streams=True)
    world.finish()
    assert not [event for event in world.told if isinstance(event, Delta)]


def test_a_job_that_fails_fails_alone(world):
    def broken():
        yield Score(["x"])
        raise ValueError("no such\nthing")

    bad, good = world.ask(broken()), world.ask(fast("g"))
    world.finish()
    outcomes = {event.job: event for event in world.told}
    assert outcomes[bad].prediction is None
    assert outcomes[bad].error == "ValueError: no such"
    assert outcomes[good].prediction.label == "g"


def test_an_engine_that_breaks_off_ends_the_loop(world):
    world.ask(reasoned("r"))
    world.writer.fails = True
    with pytest.raises(EngineError):
        world.scheduler.iterate()


def test_reasonings_of_requests_take_turns():
    world = World(joining_tokens=1)
    large = [world.ask(reasoned(f"l{number}", tokens=3), request=100) for number in range(64)]
    world.scheduler.iterate()
    small = world.ask(reasoned("s", tokens=3), request=200)
    # Its first token comes in the next steps, not after the 64 first tokens of the large request.
    for _ in range(8):
        world.scheduler.iterate()
    assert small in world.done()
    assert not set(large) <= set(world.done())
    for _ in range(200):
        world.scheduler.iterate()
    assert set(world.done()) == {*large, small}


def test_a_step_always_has_prompts_to_fill_it():
    world = World(joining_tokens=3)
    for number in range(10):
        world.ask(reasoned(f"r{number}", tokens=50))
    for expected in (3, 6, 9, 10):
        world.scheduler.iterate()
        assert len(world.writer.rows) == expected


def test_of_long_prompts_one_follows_the_other():
    world = World(joining_tokens=3)

    def long():
        yield Write(["w"] * 10, [GREEDY])

    for _ in range(5):
        world.ask(long())
    world.scheduler.iterate()
    assert len(world.writer.rows) == 2


def test_reasonings_that_wait_count_and_can_be_taken_back():
    world = World(joining_tokens=1)
    numbers = [world.ask(reasoned(f"r{number}", tokens=50), request=1) for number in range(10)]
    world.scheduler.iterate()
    assert world.scheduler.writing == 10
    for number in numbers[1:]:
        world.scheduler.cancel(number)
    assert world.scheduler.writing == 1
    world.finish()
    assert world.done() == [numbers[0]]


def test_several_reasonings_of_a_text_are_begun_over_several_steps():
    world = World(joining_tokens=1)
    number = world.ask(reasoned("r", tokens=3, samplings=5))
    world.finish()
    assert world.done() == [number]
    assert world.scorer.batches == [["r"] * 5]


def test_a_turn_scores_few_tokens_or_one_prompt():
    world = World(scored_tokens=10)
    for number, length in enumerate((4, 4, 4, 30, 4)):
        world.ask(fast(str(number) * length))
    world.finish()
    assert [[len(prompt) for prompt in batch] for batch in world.scorer.batches] == [[4, 4], [4], [30], [4]]


def test_a_text_that_the_model_cannot_take_fails_alone(world):
    score = world.scorer.score

    def picky(prompts):
        if "bad" in prompts:
            raise ModelError("it does not fit", fix="trim it")
        return score(prompts)

    world.scorer.score = picky
    world.ask(fast("good"))
    world.ask(fast("bad"))
    world.ask(fast("better"))
    world.finish()
    assert {event.job: event.prediction.label for event in world.told} == {
        1: "good",
        2: "it does not fit",
        3: "better",
    }


def test_a_step_that_wants_nothing_is_over_at_once(world):
    number = world.ask(evidence("e", 0))
    world.finish()
    assert world.done() == [number]


def test_where_nothing_else_is_wanted_every_turn_scores_answers_at_once():
    world = World(alone=1)
    for name in "abc":
        world.ask(fast(name))
    for _ in range(3):
        world.scheduler.iterate()
    assert world.scorer.batches == [["a"], ["b"], ["c"]]
