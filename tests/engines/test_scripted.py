import pytest

from whylabel.engines import Sampling, make_engine
from whylabel.engines.scripted import ScriptedEngine
from whylabel.errors import EngineError
from whylabel.models.load import ModelSource
from whylabel.text.prompts import Prompt

PROMPTS = [Prompt((1, 2)), Prompt((3,)), Prompt((4, 5, 6)), Prompt((7,))]


def test_answers_failures_and_cuts_come_as_scripted():
    engine = ScriptedEngine(["one two three", "four"], fail_every=4, cut_every=3)
    rows = list(engine.generate(PROMPTS, Sampling(10, (0,))))
    assert [row.finish for row in rows] == ["stop", "stop", "length", "error"]
    assert [row.text for row in rows] == ["one two three", "four", "one two three", ""]
    assert [row.prompt_tokens for row in rows] == [2, 1, 3, 1]
    assert rows[3].error
    assert engine.generated == 4


def test_a_long_answer_is_cut_at_the_limit():
    (row,) = ScriptedEngine(lambda index: "a b c d").generate([Prompt((1,))], Sampling(2, (0,)))
    assert (row.text, row.tokens, row.finish) == ("a b", 2, "length")


def test_an_unknown_engine_or_option_is_refused():
    with pytest.raises(EngineError, match="Did you mean 'scripted'"):
        make_engine("scriptd", ModelSource("none"), {})
    with pytest.raises(EngineError, match="does not take these options"):
        make_engine("scripted", ModelSource("none"), {"speed": 3})


def test_an_outsiders_engine_arrives_by_entry_point(monkeypatch):
    class Point:
        name = "theirs"

        @staticmethod
        def load():
            return lambda model, options: ScriptedEngine([options["say"]])

    monkeypatch.setattr("whylabel.engines.entry_points", lambda group: [Point()])
    engine = make_engine("theirs", ModelSource("none"), {"say": "hello"})
    assert next(engine.generate([Prompt((1,))], Sampling(5, (0,)))).text == "hello"
