from dataclasses import replace

import pandas
import pytest

from whylabel.data import dataset_from_frame
from whylabel.errors import DataError, RecipeError
from whylabel.pipeline import inputs
from whylabel.pipeline.inputs import Inputs
from whylabel.prediction.card import TrainingColumns
from whylabel.recipe import Recipe, build_recipe, override_recipe
from whylabel.text.hashes import fingerprint
from whylabel.text.prompts import Prompts
from whylabel.types import Dataset, Example, QuestionAnswer

FRAME = pandas.DataFrame(
    {
        "Ref": [f"r{number}" for number in range(20)],
        "body": [f"text {number}" for number in range(20)],
        "topic": ["a", "b"] * 10,
    }
)


@pytest.mark.parametrize(
    ("named", "expected"),
    [
        ({}, TrainingColumns("body", "topic")),
        ({"data__id_column": "Ref"}, TrainingColumns("body", "topic", "Ref")),
        ({"data__text_column": "body", "data__label_column": "topic"}, TrainingColumns("body", "topic")),
    ],
)
def test_columns_are_known_whether_named_or_recognised(tmp_path, named, expected):
    FRAME.to_csv(tmp_path / "d.csv", index=False)
    recipe = override_recipe(Recipe(name="t"), data__source=str(tmp_path / "d.csv"), **named)
    assert Inputs(recipe).columns == expected


def test_a_data_set_in_memory_has_the_columns_of_its_frame_or_none():
    recipe = override_recipe(Recipe(name="t"), data__text_column="what the recipe says")
    plain = override_recipe(recipe, data__text_column=None)
    frame = dataset_from_frame(FRAME, plain.data, plain.task, seed=1)
    assert Inputs(recipe, frame).columns == TrainingColumns("body", "topic")
    assert Inputs(recipe, Dataset(train=(Example("1", "x", "a"),))).columns is None


def test_a_data_set_is_described_whole():
    rows = tuple(Example(str(at), f"text {at}", "ab"[at % 2]) for at in range(6))
    given = Dataset(rows[:3], rows[3:4], rows[4:], inferred={"text_column": "body"})
    found = Inputs(build_recipe({}), given)
    assert found.description == {
        "source": "given by a program",
        "fingerprint": fingerprint(found.data_fingerprints),
        "rows": {"train": 3, "validation": 1, "test": 2},
        "labels": ["a", "b"],
        "inferred": {"text_column": "body"},
    }


@pytest.mark.parametrize(
    ("values", "labels"),
    [
        ({}, None),
        ({"augment": {"condition": "free"}}, None),
        ({"augment": {"filters": {"names": ["leak"]}}}, None),
        ({"augment": {"filters": {"names": ["contradiction"]}}}, ["a", "b"]),
        ({"augment": {"filters": {"names": ["leak"]}, "condition": "free"}}, ["a", "b"]),
        ({"augment": {"filters": {"names": ["leak"]}, "condition": "free_then_label"}}, ["a", "b"]),
        # A classifier writes its own reasonings without the label, too.
        (
            {"augment": {"filters": {"names": ["leak"]}}, "classifier": {"self_training_rounds": 1}},
            ["a", "b"],
        ),
        ({"augment": {"filters": {"names": ["leak"], "labels": ["a"]}, "condition": "free"}}, ["a"]),
    ],
    ids=str,
)
def test_filters_that_look_for_labels_get_those_of_the_task(values, labels):
    rows = (Example("1", "x", "b"), Example("2", "y", "a"))
    assert Inputs(build_recipe(values), Dataset(rows)).filters.labels == labels


def test_what_a_recipe_names_is_read_with_its_seed(monkeypatch):
    read = []
    pairs = ((QuestionAnswer("1", "q", "a", "r"),), ())
    monkeypatch.setattr(
        inputs, "load_reasoning", lambda *given, **named: read.append((given, named)) or pairs
    )
    data = Dataset((Example("1", "x", "a"),))
    monkeypatch.setattr(inputs, "load_dataset", lambda *given, **named: read.append((given, named)) or data)
    recipe = build_recipe({"seed": 5})
    found = Inputs(recipe)
    assert (found.reasoning_rows, found.dataset) == (pairs, data)
    assert read == [((recipe.reasoner,), {"seed": 5, "own": ()}), ((recipe.data, recipe.task), {"seed": 5})]
    # Each is read once.
    assert found.reasoning_rows is pairs and found.dataset is data and len(read) == 2


OWN = tuple(
    Example(str(at), f"The text of row {at}", "ab"[at % 2], f"why {at}" if at % 3 else "") for at in range(12)
)


def inputs_with(reasoner=None, rows=OWN, **values):
    reasoner = {"data": ["builtin:reasoning", "own"], "validation_rows": 10, **(reasoner or {})}
    return Inputs(build_recipe({"reasoner": reasoner, **values}), Dataset(rows))


def test_own_rows_are_asked_about_as_stage_2a_asks(tokenizer):
    question = "Which mood?"
    train, held_out = inputs_with(task={"question": question}).reasoning_rows
    own = [row for row in train if row.id.isdecimal()]
    assert [(row.id, row.answer, row.reasoning) for row in own] == [
        (row.id, row.label, row.reasoning) for row in OWN if row.reasoning
    ]
    for style in ("compact", "chat"):
        prompts = Prompts(tokenizer, style, question)
        for row, example in zip(own, [row for row in OWN if row.reasoning], strict=True):
            asked = prompts.reasoner_for_text(example.text, example.label).ids
            assert prompts.reasoner_example(row.question, row.answer, row.reasoning).prompt_ids == asked
    assert len(held_out) == 10 and not {row.id for row in held_out} & {row.id for row in OWN}


def test_texts_of_own_rows_are_cut_as_the_reasoner_sees_them(tiny_model_folder, tokenizer):
    rows = (Example("1", "It rained and rained. " * 50, "a", "why"), *OWN)
    data = {"max_text_tokens": 20}
    train, _ = inputs_with(rows=rows, data=data, base_model=str(tiny_model_folder)).reasoning_rows
    (own,) = [row for row in train if row.reasoning == "why"]
    assert own.question.startswith(Prompts(tokenizer).trim(rows[0].text, 20) + "\n")
    assert len(own.question) < 200


def test_a_cap_on_the_rows_is_for_the_others():
    train, _ = inputs_with({"rows": 5}).reasoning_rows
    assert len(train) == 5 + sum(bool(row.reasoning) for row in OWN)


def test_own_rows_alone_are_held_out_themselves():
    train, held_out = inputs_with({"data": "own"}).reasoning_rows
    assert (len(train), len(held_out)) == (6, 2)
    assert {row.id for row in (*train, *held_out)} == {row.id for row in OWN if row.reasoning}


@pytest.mark.parametrize(
    ("data", "rows", "message", "fix"),
    [
        ("own", OWN[:4], "which 2 train rows have: 4 or more", "builtin:cues,own"),
        ("own", OWN[:1], "which 0 train rows have: 4 or more", "remove own"),
        (["builtin:reasoning", "own"], OWN[:1], "which 0 train rows have: 1 or more", "remove own"),
    ],
)
def test_too_few_own_rows_are_refused(data, rows, message, fix):
    with pytest.raises(DataError, match=message) as caught:
        _ = inputs_with({"data": data}, rows).reasoning_rows
    assert fix in caught.value.fix


def test_own_rows_need_a_column():
    with pytest.raises(RecipeError, match="no column of the data has them") as caught:
        _ = Inputs(build_recipe({"reasoner": {"data": "own"}})).reasoning_rows
    assert "data.reasoning_column" in caught.value.fix


def test_rows_without_a_reasoning_are_for_the_reasoner():
    assert inputs_with().rows_to_write == 4
    assert inputs_with(rows=tuple(replace(row, reasoning="") for row in OWN)).rows_to_write == 12
