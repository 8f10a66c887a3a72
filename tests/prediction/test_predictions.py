"""What becomes of the answers to texts, whatever the model: the answers are given, no model is trained."""

from dataclasses import replace

import numpy as np
import pytest

from whylabel.engines.scripted import ScriptedEngine
from whylabel.models.load import load, prepare_for_training
from whylabel.prediction import trained
from whylabel.prediction.answers import Answer
from whylabel.prediction.card import MODES, ModelCard
from whylabel.prediction.multi_label import MultiLabel
from whylabel.prediction.trained import TrainedClassifier, model_folder
from whylabel.text.labels import LabelSet

LABELS = LabelSet(("joy", "sad"))
SURE, UNSURE = np.log([0.75, 0.25]), np.log([0.4, 0.6])
CARD = ModelCard(LABELS, "dual", "?", "Label", "compact", 8, 16, {}, MODES["dual"])


class Answering:
    """Stands for the reader: gives the same answer to every text in each mode, and notes what it was asked."""

    def __init__(self, **answers):
        self.answers, self.asked = answers, []

    def read(self, texts, modes):
        self.asked.append((list(texts), tuple(modes)))
        return {mode: [self.answers[mode]] * len(texts) for mode in modes}

    def read_each(self, texts, modes):
        found = self.read(texts, modes)
        return iter([{mode: found[mode][place] for mode in modes} for place in range(len(texts))])


@pytest.fixture(scope="module")
def loaded(tiny_model_folder):
    loaded = load(str(tiny_model_folder), device="cpu")
    prepare_for_training(loaded)
    return loaded


@pytest.fixture
def model(loaded):
    """Return a function that makes a model of these answers."""

    def make(card=CARD, **answers):
        found = TrainedClassifier(loaded, card, ScriptedEngine(["so"]))
        found._reader = Answering(**answers)
        return found

    return make


def test_a_prediction_says_all_that_the_answer_does(model):
    answer = Answer(UNSURE, "because", "ok", 0.5, 7)
    mine = model(fast=Answer(SURE), reasoned=answer)
    (found,) = mine.predict([("a", "text")], "reasoned")
    assert (found.id, found.label, found.reasoning, found.mode) == ("a", "sad", "because", "reasoned")
    assert (found.status, found.seconds, found.tokens, found.error) == ("ok", 0.5, 7, None)
    assert found.probabilities == pytest.approx((0.4, 0.6)) and type(found.probabilities[0]) is float
    assert next(mine.predict([("a", "text")])).mode == "fast"
    (both,) = mine.predict_in_modes([("a", "text")], ["fast", "reasoned"])
    assert (both["fast"].label, both["reasoned"].label) == ("joy", "sad")


@pytest.mark.parametrize(
    ("status", "text", "expected"),
    [
        ("ok", "short", "ok"),
        ("ok", "long " * 99, "truncated"),
        ("reasoning_cut", "short", "reasoning_cut"),
        ("reasoning_cut", "long " * 99, "reasoning_cut"),
        ("label_forced", "long " * 99, "label_forced"),
    ],
)
def test_a_text_that_was_trimmed_is_said_so_unless_something_worse_happened(model, status, text, expected):
    mine = model(reasoned=Answer(SURE, "because", status))
    (found, other) = mine.predict([("a", text), ("b", "short")], "reasoned")
    assert (found.status, other.status) == (expected, status)
    ((texts, _),) = mine._reader.asked
    assert texts == [mine.prompts.trim(text, 8), "short"]


def test_below_so_much_probability_it_abstains(model):
    mine = model(fast=Answer(UNSURE), reasoned=Answer(None, error="lost"))
    best = float(np.exp(CARD.calibration.log_probabilities("fast", UNSURE)).max())
    for below, status in (
        (0.0, "ok"),
        (best, "ok"),
        (np.nextafter(best, 1), "abstained"),
        (1.0, "abstained"),
    ):
        (found,) = mine.predict([("a", "text")], abstain_below=below)
        assert (found.status, found.label) == (status, "sad")
        (failed,) = mine.predict([("a", "text")], "reasoned", abstain_below=below)
        assert (failed.status, failed.error, failed.label, failed.probabilities) == ("failed", "lost", "", ())


def test_a_model_of_several_labels_refuses_to_abstain_at_once(model):
    several = model(replace(CARD, multi_label=MultiLabel()), fast=Answer(np.array([5.0, 5.0])))
    with pytest.raises(trained.ModelError, match="cannot abstain"):
        several.predict([("a", "text")], abstain_below=0.5)
    (found,) = several.predict([("a", "text")], abstain_below=0.0)
    assert found.label == "joy, sad"


def test_texts_that_no_model_can_read_fail_and_the_others_get_their_own_answers(model):
    mine = model(fast=Answer(SURE))
    mine._reader.read = lambda texts, modes: {
        mode: [Answer(SURE if text.startswith("joy") else UNSURE) for text in texts] for mode in modes
    }
    rows = [
        ("1", "joy"),
        ("2", None),
        ("3", " \n"),
        ("4", "no"),
        ("5", "a\0"),
        ("6", "joy again"),
        ("7", "\ud800"),
    ]
    found = list(mine.predict(rows))
    assert [(row.id, row.label) for row in found] == [
        *(("1", "joy"), ("2", ""), ("3", ""), ("4", "sad"), ("5", ""), ("6", "joy"), ("7", ""))
    ]
    assert [row.error for row in found if row.status == "failed"] == [
        trained._UNREADABLE.error,
        "the text is blank",
        *[trained._UNREADABLE.error] * 2,
    ]
    scores = mine.log_scores(rows, ["fast"])["fast"]
    assert np.isnan(scores).all(axis=1).tolist() == [False, True, True, False, True, False, True]
    np.testing.assert_array_equal(scores[[0, 3]], [SURE, UNSURE])


def test_rows_are_read_a_chunk_at_a_time_and_only_when_they_are_asked_for(model, monkeypatch):
    monkeypatch.setattr(trained, "_CPU_CHUNK_ROWS", 2)
    mine = model(fast=Answer(SURE), reasoned=Answer(UNSURE, "so"))
    rows = [(str(at), f"text {at}") for at in range(5)]
    found = mine.predict_in_modes(rows, ["fast", "reasoned"])
    assert mine._reader.asked == []
    assert [next(found)["fast"].id, next(found)["fast"].id] == ["0", "1"]
    assert mine._reader.asked == [(["text 0", "text 1"], ("fast", "reasoned"))]
    assert [row["reasoned"].id for row in found] == ["2", "3", "4"]
    assert [len(texts) for texts, _ in mine._reader.asked] == [2, 2, 1]
    scores = mine.log_scores(rows, ["fast", "reasoned"])
    np.testing.assert_array_equal(scores["fast"], [SURE] * 5)
    np.testing.assert_array_equal(scores["reasoned"], [UNSURE] * 5)


def test_the_folder_of_a_model_is_found(tmp_path):
    run = tmp_path / "run"
    (run / "classifier" / "model").mkdir(parents=True)
    assert model_folder(run) == run / "classifier" / "model"
    assert model_folder(str(run / "classifier" / "model")) == run / "classifier" / "model"
    # A model folder that has a folder of that name in it is still a model folder.
    (run / "config.json").write_text("{}")
    assert model_folder(run) == run
    assert model_folder(tmp_path) == tmp_path
