import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from whylabel.errors import ModelError
from whylabel.prediction.calibration import Adaptive, Calibration, Temperature
from whylabel.prediction.card import MODES, ModelCard, TrainingColumns, Vote
from whylabel.prediction.multi_label import MultiLabel
from whylabel.text.labels import LabelSet
from whylabel.text.several_labels import Separator

FIT = Temperature(1.5, 40, 0.7, 0.6)
BOTH = Calibration({"fast": FIT, "reasoned": FIT, "blend": FIT}, Adaptive(0.2, 0.3), 0.4)


def card(target, **values):
    labels = LabelSet(("a", "b"), {"a": "first"})
    return ModelCard(
        labels, target, "Which?", "Kind", "compact", 64, 16, {"seed": 1}, MODES[target], **values
    )


@pytest.mark.parametrize("target", MODES)
def test_it_comes_back(target):
    for mine in (card(target), card(target, calibration=Calibration({MODES[target][0]: FIT}))):
        assert ModelCard.from_json(mine.to_json(), Path("m")) == mine
    voting = card(target, vote=Vote(7, 0.9, 3))
    assert (ModelCard.from_json(voting.to_json(), Path("m")).vote == voting.vote) == ("vote" in voting.modes)


def test_calibrated_it_knows_more_modes_and_its_default():
    plain = card("dual")
    assert plain.mode == "fast"
    assert plain.calibrated(BOTH, "blend").modes == ("blend", "fast", "reasoned", "vote", "adaptive")
    assert plain.calibrated(Calibration({"fast": FIT}), "fast").modes == plain.modes


def test_a_mode_that_is_not_there_is_refused_with_a_way_out():
    with pytest.raises(ModelError, match="It can: fast, reasoned, vote") as caught:
        card("dual").check_mode("blend")
    assert "validation rows" in caught.value.fix
    with pytest.raises(ModelError, match="It can: fast") as caught:
        card("label").check_mode("adaptive")
    assert "classifier.target: dual" in caught.value.fix
    card("label").check_mode("fast")


@pytest.mark.parametrize(
    "change", [{"labels": 3}, {"calibration": {"fast": {"x": 1}}}, {"modes": None}, {"columns": {"txt": "a"}}]
)
def test_a_damaged_card_is_one_clear_error(change):
    with pytest.raises(ModelError):
        ModelCard.from_json({**card("dual").to_json(), **change}, Path("m"))


def test_a_card_without_votes_is_still_read():
    known = {key: value for key, value in card("reasoning_label").to_json().items() if key != "vote"}
    assert ModelCard.from_json(known, Path("m")) == card("reasoning_label")
    assert replace(card("label"), target="dual").modes == ("fast",)


def test_thresholds_come_back():
    for thresholds in ((), (0.1, 0.7)):
        mine = card("label", multi_label=MultiLabel(Separator("|"), thresholds))
        said = json.loads(json.dumps(mine.to_json()))
        assert said["task"]["type"] == "multi_label"
        assert said["thresholds"] == (dict(zip("ab", thresholds, strict=True)) if thresholds else None)
        assert ModelCard.from_json(said, Path("m")) == mine
    assert card("label").to_json()["thresholds"] is None
    del said["thresholds"]["b"]
    with pytest.raises(ModelError, match="no usable 'b'"):
        ModelCard.from_json(said, Path("m"))


def test_what_scores_speak_for():
    label, probabilities = card("label").answer("fast", np.array([1.0, 2.0]))
    assert label == "b" and probabilities.sum() == pytest.approx(1)
    label, probabilities = card("label", multi_label=MultiLabel()).answer("fast", np.array([1.0, 2.0]))
    assert label == "a, b" and probabilities.sum() > 1.5


def test_the_columns_of_the_training_data_come_back():
    for columns in (None, TrainingColumns("body"), TrainingColumns("body", "topic", "ref")):
        mine = card("label", columns=columns)
        assert ModelCard.from_json(json.loads(json.dumps(mine.to_json())), Path("m")) == mine
    assert mine.to_json()["columns"] == {"text": "body", "label": "topic", "id": "ref"}
    assert card("label").to_json()["columns"] is None
    older = {key: value for key, value in mine.to_json().items() if key != "columns"}
    assert ModelCard.from_json(older, Path("m")).columns is None
