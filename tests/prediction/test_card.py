import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from whylabel.errors import ModelError
from whylabel.prediction.calibration import Adaptive, Calibration, Temperature
from whylabel.prediction.card import MODES, ModelCard, TrainingColumns, Vote, check_modes
from whylabel.prediction.multi_label import MultiLabel
from whylabel.recipe import ShownConfig
from whylabel.text.labels import LabelSet
from whylabel.text.prompts import FORMAT_VERSION
from whylabel.text.several_labels import Separator
from whylabel.version import __version__

FIT = Temperature(1.5, 40, 0.7, 0.6)
BOTH = Calibration({"fast": FIT, "reasoned": FIT, "blend": FIT}, Adaptive(0.2, 0.3), 0.4)


def card(target, **values):
    labels = LabelSet(("a", "b"))
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


@pytest.mark.parametrize(
    ("learnt", "known", "read"),
    [
        (1, 1, True),
        (None, 1, True),
        (2, 1, False),
        (1, 2, False),
        (None, 2, False),
        (2, 2, True),
    ],
)
def test_a_model_that_has_learnt_another_text_format_is_refused(monkeypatch, learnt, known, read):
    monkeypatch.setattr("whylabel.models.load.FORMAT_VERSION", known)
    said = {**card("dual").to_json(), "prompt_format": learnt}
    if learnt is None:  # one that was saved before the card said it
        del said["prompt_format"]
    if read:
        assert ModelCard.from_json(said, Path("m")) == card("dual")
        return
    with pytest.raises(ModelError) as caught:
        ModelCard.from_json(said, Path("m"))
    assert caught.value.what == (
        f"This model has learnt prompts of format {learnt or 1}, and this whylabel writes format {known}."
    )
    assert caught.value.where == "m" and __version__ in caught.value.fix


def test_a_card_with_descriptions_of_labels_is_still_read():
    mine = card("dual")
    old = {**mine.to_json(), "label_descriptions": {"a": "first"}}
    assert ModelCard.from_json(old, Path("m")) == mine


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


def test_the_first_mode_that_reasons_explains():
    assert card("dual").explaining_mode == "reasoned"
    assert card("dual").calibrated(BOTH, "adaptive").explaining_mode == "reasoned"
    assert card("dual").calibrated(BOTH, "blend").explaining_mode == "blend"
    assert replace(card("dual"), modes=("fast", "vote")).explaining_mode == "vote"
    assert card("reasoning_label").explaining_mode == "reasoned"
    assert card("label").explaining_mode == "fast"


def test_a_model_that_kept_no_reasoning_gets_no_mode_that_needs_one():
    fast = replace(card("dual"), modes=("fast",))
    assert fast.calibrated(Calibration({"fast": FIT}), "fast").modes == ("fast",)
    with pytest.raises(ModelError, match="It can: fast") as caught:
        fast.check_mode("reasoned")
    assert "augment kept none" in caught.value.fix


@pytest.mark.parametrize(
    ("target", "can"),
    [
        ("label", ["fast"]),
        ("multi_task", ["fast"]),
        ("label_reasoning", ["fast"]),
        ("reasoning_label", ["reasoned", "vote"]),
        ("dual", ["fast", "reasoned", "vote", "adaptive", "blend"]),
    ],
)
def test_what_a_target_can_ever_answer_in(target, can):
    check_modes(target, can)
    for mode in {"fast", "reasoned", "vote", "adaptive", "blend"} - set(can):
        with pytest.raises(
            ModelError, match=f"A model of target {target} cannot answer in mode '{mode}'"
        ) as caught:
            check_modes(target, [*can, mode])
        assert f"It can: {', '.join(can)}." in str(caught.value)
        needed = caught.value.fix.rpartition("classifier.target: ")[2]
        # What the cure names has the mode.
        named = needed.replace("(or ", "").replace(")", "").split()
        for each in named:
            check_modes(each, [mode])


def test_a_model_of_several_labels_cannot_abstain():
    card("label").check_abstaining()
    with pytest.raises(ModelError, match="cannot abstain"):
        card("label", multi_label=MultiLabel()).check_abstaining()


def test_a_card_without_modes_has_those_of_its_target():
    said = {**card("dual").to_json(), "modes": []}
    assert ModelCard.from_json(said, Path("m")).modes == MODES["dual"]


def test_each_mode_has_its_own_temperature():
    scores = np.array([1.0, 2.0])
    mine = card("dual", calibration=Calibration({"fast": FIT}))
    cold = np.exp([1.0, 2.0]) / np.exp([1.0, 2.0]).sum()
    warm = np.exp(scores / 1.5) / np.exp(scores / 1.5).sum()
    np.testing.assert_allclose(mine.answer("fast", scores)[1], warm)
    np.testing.assert_allclose(mine.answer("reasoned", scores)[1], cold)


def test_the_file_says_all_there_is():
    said = card("dual", calibration=BOTH, vote=Vote(3, 0.5, 1)).to_json()
    assert said == {
        "format": 1,
        "whylabel": __version__,
        "task": {"type": "single_label", "question": "Which?", "name": "Kind"},
        "labels": ["a", "b"],
        "columns": None,
        "target": "dual",
        "modes": ["fast", "reasoned", "vote"],
        "calibration": BOTH.to_json(),
        "thresholds": None,
        "vote": {"reasonings": 3, "temperature": 0.5, "seed": 1},
        "prompt_style": "compact",
        "prompt_format": FORMAT_VERSION,
        "max_text_tokens": 64,
        "max_reasoning_tokens": 16,
        "reasoning_filters": ShownConfig().model_dump(mode="json"),
        "reasoning_attempts": 1,
        "lineage": {"seed": 1},
    }
    several = card("label", multi_label=MultiLabel(Separator("|"))).to_json()
    assert several["task"] == {
        "type": "multi_label",
        "question": "Which?",
        "name": "Kind",
        "label_separator": "|",
    }
    assert several["vote"] is None


def test_only_a_model_that_can_do_both_says_whether_the_reasoning_changes_its_label():
    assert [mode for mode in card("dual").modes if card("dual").compares(mode)] == ["reasoned", "vote"]
    assert not any(card("reasoning_label").compares(mode) for mode in card("reasoning_label").modes)
