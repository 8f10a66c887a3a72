"""The modes over scripted scores, where exact numbers matter, and over a trained model."""

from dataclasses import replace

import numpy as np
import pytest

from trained_models import LABELS, RECIPE, labelled, train_tiny
from whylabel.engines.base import Completion
from whylabel.engines.scripted import ScriptedEngine
from whylabel.errors import ModelError
from whylabel.models.load import load, prepare_for_training
from whylabel.prediction.answers import Answer
from whylabel.prediction.calibration import Adaptive, Calibration, Temperature, tempered
from whylabel.prediction.card import MODES, ModelCard, Vote
from whylabel.prediction.modes import Reader, averaged
from whylabel.prediction.multi_label import MultiLabel
from whylabel.prediction.scoring import probabilities, score_one_by_one
from whylabel.prediction.trained import TrainedClassifier
from whylabel.recipe import override_recipe
from whylabel.text.prompts import Prompts

ALL = ("fast", "reasoned", "vote", "adaptive", "blend")
FITTED = Calibration(
    {
        "fast": Temperature(2.0, 30, 1.0, 0.9),
        "reasoned": Temperature(0.5, 30, 1.0, 0.9),
        "vote": Temperature(1.5, 30, 1.0, 0.9),
        "blend": Temperature(0.8, 30, 1.0, 0.9),
    },
    Adaptive(0.25, 0.5),
    0.75,
)
TEXTS = [f"text {number}" for number in range(4)]
FAST = np.log([[0.6, 0.2, 0.1, 0.1], [0.4, 0.38, 0.12, 0.1], [0.9, 0.05, 0.03, 0.02], [0.3, 0.3, 0.2, 0.2]])
REASONED = np.log([[0.1, 0.7, 0.1, 0.1], [0.2, 0.6, 0.1, 0.1], [0.1, 0.1, 0.7, 0.1], [0.1, 0.1, 0.1, 0.7]])


class Scripted:
    """A dual model whose scores are given: `FAST` after a text, `REASONED` after a reasoning."""

    def __init__(self, tiny_model_folder, **engine):
        loaded = load(str(tiny_model_folder), device="cpu")
        prepare_for_training(loaded)
        self.prompts = Prompts(loaded.tokenizer)
        self.card = ModelCard(LABELS, "dual", "?", "Label", "compact", 64, 16, {}, ALL, FITTED, Vote(3))
        self.engine = ScriptedEngine(["because of that"], delay_seconds=0.001, **engine)
        self.reader = Reader(loaded, self.card, self.prompts, self.engine)
        self.reader.answerer._scorer.log_scores = self.log_scores
        self.scored = 0

    def log_scores(self, prompts):
        self.scored += len(prompts)
        return np.array([self.row(list(prompt)) for prompt in prompts])

    def row(self, prompt):
        for place, text in enumerate(TEXTS):
            if prompt == self.prompts.classifier(text, "label"):
                return FAST[place]
            if prompt == self.prompts.after_reasoning(text, "because of that"):
                return REASONED[place]
        raise AssertionError(self.prompts.tokenizer.decode(prompt))


@pytest.fixture
def scripted(tiny_model_folder):
    return Scripted(tiny_model_folder)


def scores(answers):
    return np.array([answer.log_scores for answer in answers])


def test_fast_and_reasoned_are_the_scores_as_they_are(scripted):
    found = scripted.reader.read(TEXTS, ["fast", "reasoned"])
    np.testing.assert_array_equal(scores(found["fast"]), FAST)
    np.testing.assert_array_equal(scores(found["reasoned"]), REASONED)
    assert {answer.reasoning for answer in found["fast"]} == {None}
    assert {answer.reasoning for answer in found["reasoned"]} == {"because of that"}
    assert {answer.tokens for answer in found["reasoned"]} == {3}


def test_blend_interpolates_calibrated_log_probabilities_and_costs_both(scripted):
    found = scripted.reader.read(TEXTS, ["fast", "reasoned", "blend"])
    expected = 0.25 * tempered(FAST, 2.0) + 0.75 * tempered(REASONED, 0.5)
    np.testing.assert_allclose(scores(found["blend"]), expected)
    for fast, reasoned, blend in zip(found["fast"], found["reasoned"], found["blend"], strict=True):
        assert blend.seconds == fast.seconds + reasoned.seconds
        assert (blend.tokens, blend.reasoning) == (3, "because of that")


def test_adaptive_reasons_about_the_close_rows_alone(scripted):
    close = [
        number for number, row in enumerate(np.sort(np.exp(tempered(FAST, 2.0)))) if row[-1] - row[-2] < 0.25
    ]
    assert close == [0, 1, 3]
    found = scripted.reader.read(TEXTS, ["adaptive"])["adaptive"]
    assert scripted.engine.generated == 3
    assert scripted.scored == 4 + 3
    expected = tempered(REASONED, 0.5)
    expected[2] = tempered(FAST, 2.0)[2]
    np.testing.assert_allclose(scores(found), expected)
    assert [answer.reasoning is None for answer in found] == [False, False, True, False]
    assert [answer.tokens for answer in found] == [3, 3, 0, 3]
    # Both took part in the same fast pass; only the second waited for a reasoning.
    assert found[2].seconds + 0.001 <= found[0].seconds


def test_a_score_that_is_no_number_is_no_answer(scripted, monkeypatch):
    broken = FAST.copy()
    broken[1, 2] = np.nan
    monkeypatch.setitem(globals(), "FAST", broken)
    found = scripted.reader.read(TEXTS, ["fast"])["fast"]
    assert [answer.log_scores is None for answer in found] == [False, True, False, False]
    assert found[1].error == "the model gave no finite score"


def test_what_several_modes_need_is_computed_once(scripted):
    found = scripted.reader.read(TEXTS, ALL)
    assert list(found) == list(ALL)
    assert scripted.engine.generated == 4 + 3 * 4
    assert scripted.scored == 4 + 4 + 3 * 4
    alone = scripted.reader.read(TEXTS, ["adaptive"])["adaptive"]
    np.testing.assert_array_equal(scores(found["adaptive"]), scores(alone))
    fast, reasoned, adaptive = found["fast"], found["reasoned"], found["adaptive"]
    assert adaptive[0].seconds == fast[0].seconds + reasoned[0].seconds
    assert adaptive[2].seconds == fast[2].seconds


def test_a_reasoning_that_fails_takes_down_its_own_row_alone(tiny_model_folder):
    scripted = Scripted(tiny_model_folder, fail_every=2)
    found = scripted.reader.read(TEXTS, ["fast", "reasoned", "blend", "adaptive"])
    failed = {mode: [answer.log_scores is None for answer in rows] for mode, rows in found.items()}
    assert failed["fast"] == [False] * 4
    assert failed["reasoned"] == failed["blend"] == [False, True, False, True]
    # The second and the fourth are close, too, and keep their fast answers.
    assert failed["adaptive"] == [False] * 4
    np.testing.assert_allclose(found["adaptive"][1].log_scores, tempered(FAST, 2.0)[1])
    assert [answer.status for answer in found["adaptive"]] == [
        "ok",
        "reasoning_failed",
        "ok",
        "reasoning_failed",
    ]
    assert {rows[1].error for mode, rows in found.items() if mode != "fast"} == {"scripted failure"}
    # Of three votes on a row one or two are left.
    votes = scripted.reader.read(TEXTS, ["vote"])["vote"]
    np.testing.assert_allclose(np.exp(scores(votes)), np.exp(REASONED))


def test_a_reasoning_after_which_nothing_can_be_scored_leaves_the_fast_answer(scripted):
    scored = scripted.reader.answerer._scorer.log_scores

    def too_long(prompts):
        if any(len(prompt) > 15 for prompt in prompts):
            raise IndexError("index out of range in self")
        return scored(prompts)

    assert len(scripted.prompts.after_reasoning(TEXTS[0], "because of that")) > 15
    scripted.reader.answerer._scorer.log_scores = too_long
    found = scripted.reader.read(TEXTS, ["adaptive"])["adaptive"]
    np.testing.assert_allclose(scores(found), tempered(FAST, 2.0))
    assert [answer.error for answer in found] == [
        *["index out of range in self"] * 2,
        None,
        "index out of range in self",
    ]


def test_a_fault_that_is_no_row_s_ends_the_prediction(scripted):
    def broken(prompts):
        raise TypeError("forward() got an unexpected keyword argument 'past'")

    scripted.reader.answerer._scorer.log_scores = broken
    with pytest.raises(ModelError, match=r"cannot score labels at all: TypeError: forward\(\)") as raised:
        scripted.reader.read(TEXTS, ["fast"])
    assert isinstance(raised.value.__cause__, TypeError)


def test_votes_are_averaged_as_probabilities(scripted):
    one = Answer(np.log([0.9, 0.1]), "first", "ok", 1.0, 10)
    two = Answer(np.log([0.2, 0.8]) - 7, "second", "reasoning_cut", 2.0, 20)
    gone = Answer(None, seconds=0.5, error="lost")
    found = averaged([gone, two, one], [False] * 3)
    np.testing.assert_allclose(np.exp(found.log_scores), [0.55, 0.45])
    assert (found.reasoning, found.status, found.error) == ("first", "ok", None)
    assert (found.seconds, found.tokens) == (3.5, 30)
    assert averaged([gone, gone], [False] * 2) == Answer(None, seconds=1.0, error="lost")
    assert np.isfinite(averaged([Answer(np.array([0.0, -2000.0]))], [False]).log_scores).all()


def test_of_equally_sure_votes_the_first_that_voted_speaks():
    votes = [
        Answer(np.log([0.4, 0.6]), "no"),
        Answer(np.log([0.8, 0.2]), "one"),
        Answer(np.log([0.8, 0.2]), "two"),
    ]
    assert averaged(votes, [False] * 3).reasoning == "one"


def test_of_votes_on_the_winner_the_one_that_may_be_shown_speaks():
    votes = [
        Answer(np.log([0.9, 0.1]), "surest", leads_to=0),
        Answer(np.log([0.6, 0.4]), "shown", leads_to=0),
        Answer(np.log([0.4, 0.6]), "elsewhere", leads_to=1),
    ]
    assert averaged(votes, [False, True, True]).reasoning == "shown"
    assert averaged(votes, [False, False, True]).reasoning == "surest"


class Stopping:
    """An engine whose completions end as they are told, and which notes what it was asked."""

    name = "stopping"

    def __init__(self, *ends):
        self.ends, self.asked = ends, []

    def generate(self, prompts, sampling):
        self.asked.append((prompts, sampling))
        # The last comes first: engines may answer in any order.
        for index, (finish, stop_id) in reversed(list(enumerate(self.ends))):
            yield Completion(index, "because of that", 9, 3, finish, 0.5, stop_id=stop_id)

    def close(self):
        pass


def test_how_a_reasoning_ended_is_said_of_the_prediction(scripted):
    marker, end = scripted.prompts.marker_id, scripted.prompts.eos_id
    engine = Stopping(("stop", marker), ("length", None), ("stop", end), ("stop", None))
    scripted.reader.answerer._engine = engine
    found = scripted.reader.read(TEXTS, ["reasoned"])["reasoned"]
    assert [answer.status for answer in found] == ["ok", "reasoning_cut", "label_forced", "ok"]
    np.testing.assert_array_equal(scores(found), REASONED)
    assert all(answer.seconds >= 0.5 for answer in found)
    ((prompts, sampling),) = engine.asked
    assert [list(prompt.ids) for prompt in prompts] == [
        scripted.prompts.classifier(text, "reasoning_label") for text in TEXTS
    ]
    assert sampling.max_new_tokens == 16 and sampling.temperature == 0
    assert set(sampling.stop_ids) == set(scripted.prompts.stop_ids)


def test_votes_are_drawn_as_the_card_says(scripted):
    scripted.reader._card = replace(scripted.card, vote=Vote(2, 0.9, 5))
    engine = scripted.reader.answerer._engine = Stopping(*[("stop", None)] * 8)
    found = scripted.reader.read(TEXTS, ["vote"])["vote"]
    np.testing.assert_allclose(np.exp(scores(found)), np.exp(REASONED))
    assert {answer.tokens for answer in found} == {6}
    ((prompts, sampling),) = engine.asked
    assert (sampling.temperature, sampling.seed) == (0.9, 5)
    assert [prompt.ids for prompt in prompts[::2]] == [prompt.ids for prompt in prompts[1::2]]
    assert len({prompt.ids for prompt in prompts}) == 4


def test_seconds_are_shared_among_the_texts_that_were_scored_together(scripted, monkeypatch):
    clock = iter([10.0, 18.0, 20.0, 23.0])
    monkeypatch.setattr("whylabel.prediction.answers.time.monotonic", lambda: next(clock))
    assert [answer.seconds for answer in scripted.reader.read(TEXTS, ["fast"])["fast"]] == [2.0] * 4
    assert [answer.seconds for answer in scripted.reader.read(TEXTS[:1], ["fast"])["fast"]] == [3.0]


def test_no_texts_have_no_answers(scripted):
    assert scripted.reader.read([], ["fast", "reasoned", "blend", "adaptive"]) == {
        mode: [] for mode in ("fast", "reasoned", "blend", "adaptive")
    }


def untrained(tiny_model_folder, target, **values):
    loaded = load(str(tiny_model_folder), device="cpu")
    prepare_for_training(loaded)
    prompts = Prompts(loaded.tokenizer)
    card = ModelCard(LABELS, target, "?", "Label", "compact", 64, 16, {}, MODES[target], **values)
    return loaded, prompts, Reader(loaded, card, prompts, ScriptedEngine(["so"]))


def test_where_a_text_may_have_several_labels_each_is_decided_by_itself(tiny_model_folder):
    loaded, prompts, reader = untrained(tiny_model_folder, "label", multi_label=MultiLabel())
    found = scores(reader.read(TEXTS, ["fast"])["fast"])
    answers = [prompts.decision_answer(True), prompts.decision_answer(False)]
    for row, text in zip(found, TEXTS, strict=True):
        whole = [[*prompts.decision_prefix(text), *prompts.decision_question(name)] for name in LABELS.names]
        expected = score_one_by_one(loaded, whole, answers)
        np.testing.assert_allclose(row, expected[:, 0] - expected[:, 1], atol=1e-4)


@pytest.mark.parametrize("target", ["label", "label_reasoning", "multi_task"])
def test_labels_are_scored_in_the_form_that_the_target_was_trained_in(tiny_model_folder, target):
    loaded, prompts, reader = untrained(tiny_model_folder, target)
    form = "label_reasoning" if target == "label_reasoning" else "label"
    expected = score_one_by_one(
        loaded,
        [prompts.classifier(text, form) for text in TEXTS],
        [prompts.label_ids(name, form) for name in LABELS.names],
    )
    np.testing.assert_allclose(scores(reader.read(TEXTS, ["fast"])["fast"]), expected, atol=1e-4)


@pytest.fixture(scope="module")
def dual(tiny_model_folder, tmp_path_factory):
    recipe = override_recipe(RECIPE, training__num_train_epochs=3)
    model = train_tiny(tiny_model_folder, tmp_path_factory.mktemp("dual"), "dual", recipe=recipe)
    return TrainedClassifier(model.loaded, replace(model.card, modes=ALL, calibration=FITTED))


ROWS = [(row.id, row.text) for row in labelled(False, 200, 12)]


@pytest.mark.parametrize("mode", ["fast", "reasoned", "adaptive", "blend"])
def test_a_batch_changes_no_label_in_any_mode(dual, mode):
    together = list(dual.predict(ROWS, mode))
    alone = [next(dual.predict([row], mode)) for row in ROWS]
    assert [(row.label, row.reasoning) for row in together] == [(row.label, row.reasoning) for row in alone]
    np.testing.assert_allclose(
        [row.probabilities for row in together], [row.probabilities for row in alone], atol=1e-5
    )


def test_the_modes_equal_a_brute_force_computation(dual):
    found = {
        mode: list(dual.predict(ROWS[:4], mode, show_all=True)) for mode in ("fast", "reasoned", "blend")
    }
    ends = [dual.prompts.label_ids(name) for name in LABELS.names]

    def brute(prompts):
        return score_one_by_one(dual.loaded, prompts, ends)

    fast = tempered(brute([dual.prompts.classifier(text, "label") for _, text in ROWS[:4]]), 2.0)
    reasoned = tempered(
        brute(
            [
                dual.prompts.after_reasoning(text, row.reasoning)
                for (_, text), row in zip(ROWS[:4], found["reasoned"], strict=True)
            ]
        ),
        0.5,
    )
    expected = {
        "fast": np.exp(fast),
        "reasoned": np.exp(reasoned),
        "blend": probabilities((0.25 * fast + 0.75 * reasoned) / 0.8),
    }
    for mode, rows in found.items():
        np.testing.assert_allclose([row.probabilities for row in rows], expected[mode], atol=1e-5)


def test_votes_are_drawn_by_the_seed(dual):
    def vote(seed, temperature=1.5):
        card = replace(dual.card, vote=Vote(4, temperature, seed))
        return [
            (row.reasoning, row.probabilities)
            for row in TrainedClassifier(dual.loaded, card).predict(ROWS, "vote", show_all=True)
        ]

    assert vote(1) == vote(1)
    assert vote(1) != vote(2)
    assert len({row.tokens for row in dual.predict(ROWS, "vote")}) >= 1
    assert all(row.tokens > 0 for row in dual.predict(ROWS, "vote"))


def test_all_modes_at_once_say_what_each_says_alone(dual):
    together = list(dual.predict_in_modes(ROWS, ("fast", "reasoned", "blend", "adaptive")))
    for mode in ("fast", "reasoned", "blend", "adaptive"):
        alone = list(dual.predict(ROWS, mode))
        assert [row[mode].label for row in together] == [row.label for row in alone]
        assert {row[mode].mode for row in together} == {mode}
        np.testing.assert_allclose(
            [row[mode].probabilities for row in together], [row.probabilities for row in alone], atol=1e-5
        )
