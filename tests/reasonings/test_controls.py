import json
from collections import Counter

import pytest

from whylabel.errors import RecipeError
from whylabel.pipeline import Pipeline
from whylabel.reasonings.controls import KEY_WORDS, controlled
from whylabel.recipe import build_recipe
from whylabel.run_folder import RunFolder
from whylabel.types import ReasonedExample

LABELS = ["joy", "fear", "anger"]
ROWS = [
    ReasonedExample(
        str(number),
        f"text {number}",
        LABELS[number % 3],
        f"The writer of number{number} speaks of what is {LABELS[number % 3]} in seven words or more.",
        candidates=("one", "two"),
        weight=0.5,
    )
    for number in range(12)
]
WRITTEN_FOR = {row.reasoning: row for row in ROWS}


@pytest.mark.parametrize(
    "control", ["shuffled_words", "another_text", "another_label", "filler", "key_words"]
)
def test_only_the_reasoning_changes_and_the_seed_decides_how(control):
    found = controlled(ROWS, control, 3)
    assert found == controlled(ROWS, control, 3)
    for row, spoilt in zip(ROWS, found, strict=True):
        assert (spoilt.id, spoilt.text, spoilt.label, spoilt.weight) == (row.id, row.text, row.label, 0.5)
        assert spoilt.reasoning != row.reasoning
        # A further candidate would bring the real reasoning back.
        assert spoilt.candidates == (spoilt.reasoning,)


def test_shuffled_words_are_the_same_words():
    for row, spoilt in zip(ROWS, controlled(ROWS, "shuffled_words", 3), strict=True):
        assert Counter(spoilt.reasoning.split()) == Counter(row.reasoning.split())
    assert controlled(ROWS, "shuffled_words", 3) != controlled(ROWS, "shuffled_words", 4)


def test_reasonings_of_other_rows():
    for row, spoilt in zip(ROWS, controlled(ROWS, "another_text", 3), strict=True):
        other = WRITTEN_FOR[spoilt.reasoning]
        assert other.id != row.id and other.label == row.label
    for row, spoilt in zip(ROWS, controlled(ROWS, "another_label", 3), strict=True):
        assert WRITTEN_FOR[spoilt.reasoning].label != row.label


def test_a_label_of_one_row_borrows_from_any():
    rows = [*ROWS[:2], ROWS[3]]
    found = {row.id: row.reasoning for row in controlled(rows, "another_text", 3)}
    assert found["1"] in (ROWS[0].reasoning, ROWS[3].reasoning)
    assert found["0"] == ROWS[3].reasoning
    # From any but itself, whatever the draw.
    borrowed = {controlled(rows, "another_text", seed)[1].reasoning for seed in range(20)}
    assert borrowed == {ROWS[0].reasoning, ROWS[3].reasoning}
    assert controlled(ROWS[:1], "another_text", 3)[0].reasoning == ROWS[0].reasoning


def test_filler_keeps_the_length_alone():
    found = controlled(ROWS, "filler", 3)
    assert {row.reasoning for row in found} == {" ".join(["..."] * len(ROWS[0].reasoning.split()))}


@pytest.mark.parametrize(("reasoning", "dots"), [("", 1), ("one", 1), ("one two", 2)])
def test_filler_has_a_dot_for_every_word_and_one_at_least(reasoning, dots):
    (found,) = controlled([ReasonedExample("1", "text", "joy", reasoning)], "filler", 3)
    assert found.reasoning == " ".join(["..."] * dots)


def test_key_words_are_the_particular_ones_in_their_order():
    for row, spoilt in zip(ROWS, controlled(ROWS, "key_words", 3), strict=True):
        words = spoilt.reasoning.split()
        assert len(words) == KEY_WORDS
        assert f"number{row.id}" in words and row.label in words
        places = [row.reasoning.lower().index(word) for word in words]
        assert places == sorted(places)


@pytest.mark.parametrize("classifier", [{"target": "label"}, {"target": "dual", "self_training_rounds": 1}])
def test_there_must_be_something_to_spoil(classifier):
    with pytest.raises(RecipeError, match="control: filler"):
        build_recipe({"classifier": {**classifier, "control": "filler"}})


def test_a_control_is_trained_on_spoilt_reasonings_and_says_so(tiny_model_folder, tmp_path, capsys):
    settings = {
        "name": "tiny",
        "base_model": str(tiny_model_folder),
        "data": {"train_rows": 12, "validation_rows": 6, "test_rows": 6},
        "reasoner": {"model": str(tiny_model_folder)},
        "augment": {
            "engine": "scripted",
            "engine_options": {"answers": ["The words as written tell it."]},
            "filters": {"names": ["empty"]},
        },
        "training": {"max_steps": 1},
        "classifier": {"target": "reasoning_label", "max_reasoning_tokens": 8, "control": "filler"},
    }
    run = RunFolder(tmp_path)
    pipeline = Pipeline(build_recipe(settings), run)
    pipeline.begin()
    pipeline.augment()
    pipeline.train_classifier()
    assert "spoilt on purpose (filler)" in capsys.readouterr().err
    trained = json.loads(run.classifier_metrics.read_text())
    assert "Reasoning:⟦ ... ... ... ... ... ...<|label|>" in trained["audit"]["example"]
    capsys.readouterr()
    del settings["classifier"]["control"]
    plain = Pipeline(build_recipe(settings), run)
    plain.augment()
    plain.train_classifier()
    assert "augment: nothing has changed" in capsys.readouterr().err
    trained = json.loads(run.classifier_metrics.read_text())
    assert "The words as written tell it.<|label|>" in trained["audit"]["example"]
