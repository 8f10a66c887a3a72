"""How fluent reasonings are to the base model, and which of them the filter takes out."""

import numpy as np
import pytest
import torch

from whylabel.models.load import load
from whylabel.prediction.fluency import Fluency
from whylabel.prediction.withheld import Withholding
from whylabel.reasonings.filters import apply_filters
from whylabel.recipe import FilterConfig, ShownConfig
from whylabel.text.labels import LabelSet
from whylabel.text.prompts import Prompts
from whylabel.types import Lift, QuestionAnswer, ReasonedExample

TEXT, REASONING = "I could not stop smiling.", "The words could not stop say so."
ROWS = [
    QuestionAnswer(str(n), f"Question {n}?", "yes", f"The {'very ' * n}plain words say so.")
    for n in range(20)
]


@pytest.fixture(scope="module")
def fluency(tiny_model_folder):
    loaded = load(str(tiny_model_folder), device="cpu")
    return Fluency(loaded, Prompts(loaded.tokenizer, question="Which mood?", name="Mood"))


def by_hand(fluency, question, reasoning):
    prompt = fluency._prompts.reasoner(question, None)
    ids = fluency._prompts.answer_ids(reasoning)
    with torch.inference_mode():
        logits = fluency._loaded.model(input_ids=torch.tensor([[*prompt, *ids]])).logits[0]
    chances = torch.log_softmax(logits.float(), dim=-1)
    return sum(float(chances[len(prompt) - 1 + place, token]) for place, token in enumerate(ids)) / len(ids)


def test_fluency_is_the_mean_log_probability_of_the_tokens_given_text_and_question(fluency):
    expected = by_hand(fluency, f"{TEXT}\nWhich mood?", REASONING)
    assert fluency.of(TEXT, REASONING) == pytest.approx(expected, abs=1e-4)
    row = ReasonedExample("1", TEXT, "joy", REASONING)
    assert fluency.lifts([row]) == [Lift(pytest.approx(expected, abs=1e-4), "", 0.0)]


def test_a_long_text_is_trimmed(fluency):
    short = Fluency(fluency._loaded, fluency._prompts, 8)
    trimmed = fluency._prompts.trim(TEXT * 50, 8)
    assert short.of(TEXT * 50, REASONING) == pytest.approx(fluency.of(trimmed, REASONING), abs=1e-6)
    assert short.of(TEXT * 50, REASONING) != pytest.approx(fluency.of(TEXT * 50, REASONING), abs=1e-6)


def test_the_limit_is_a_low_quantile_of_the_training_rows(fluency):
    all_rows = [by_hand(fluency, row.question, row.reasoning) for row in ROWS]
    assert fluency.limit(ROWS) == pytest.approx(float(np.quantile(all_rows, 0.05)), abs=1e-4)


@pytest.mark.parametrize(
    ("fluency", "limit", "kept"),
    [(-3.0, -3.5, True), (-4.0, -3.5, False), (None, -3.5, True), (-9.0, None, True)],
)
def test_a_row_below_the_limit_is_dropped_and_one_that_was_not_judged_is_not(fluency, limit, kept):
    row = ReasonedExample("1", TEXT, "joy", REASONING, fluency=fluency)
    result = apply_filters([row], FilterConfig(names=["fluency"], min_fluency=limit))
    assert (len(result.kept) == 1) is kept
    assert result.counts() == ({} if kept else {"not fluent": 1})


def test_a_prediction_is_judged_only_where_the_filter_is_named(fluency):
    from whylabel.prediction.card import ModelCard

    def status(filters):
        asked = []

        def judge(text, reasoning):
            asked.append((text, reasoning))
            return -5.0

        card = ModelCard(
            LabelSet(("joy", "fear")),
            "dual",
            "?",
            "Mood",
            "compact",
            64,
            32,
            {},
            ("fast", "reasoned"),
            filters=filters,
        )
        found = Withholding(card, judge).status(
            "reasoned", TEXT, "joy", REASONING, finished=True, leads_to="joy", probability=1.0, effect=None
        )
        return found, asked

    assert status(ShownConfig(names=["empty"], min_fluency=-4.0)) == ("ok", [])
    assert status(ShownConfig(names=["fluency"], min_fluency=-4.0)) == (
        "withheld: not fluent",
        [(TEXT, REASONING)],
    )
    assert status(ShownConfig(names=["fluency"], min_fluency=-6.0))[0] == "ok"
