"""Which reasonings are shown beside a label, and what is said of the others."""

from dataclasses import replace

import numpy as np
import pytest

from whylabel.engines.scripted import ScriptedEngine
from whylabel.errors import RecipeError
from whylabel.models.load import load, prepare_for_training
from whylabel.prediction.calibration import Calibration
from whylabel.prediction.card import ModelCard
from whylabel.prediction.modes import Reader
from whylabel.prediction.trained import TrainedClassifier
from whylabel.prediction.withheld import Withholding, is_withheld, shown
from whylabel.recipe import ShownConfig
from whylabel.text.labels import LabelSet
from whylabel.text.prompts import Prompts
from whylabel.types import Prediction

LABELS = LabelSet(("joy", "anger", "fear", "love"))
NAMES = LABELS.names
TEXT = "I could not stop smiling all day."
WITHOUT_END = 'The writer "could not stop smiling" all day long.'
NO_QUOTATION = "Nothing is quoted in this one."
GOOD = f'The writer "could not stop smiling", so it is {NAMES[0]}.'
MADE_UP = f'The writer "wept for hours", so it is {NAMES[0]}.'


def card(**values):
    return ModelCard(
        LABELS, "dual", "Which one?", "Label", "compact", 64, 32, {}, ("fast", "reasoned", "vote"), **values
    )


def status(
    reasoning,
    *,
    label=NAMES[0],
    leads_to=NAMES[0],
    mode="reasoned",
    finished=True,
    probability=0.9,
    effect=None,
    **values,
):
    found = {"finished": finished, "leads_to": leads_to, "probability": probability, "effect": effect}
    return Withholding(card(**values)).status(mode, TEXT, label, reasoning, **found)


@pytest.mark.parametrize(
    ("reasoning", "changed", "expected"),
    [
        (GOOD, {}, "ok"),
        (MADE_UP, {}, "withheld: ungrounded"),
        (GOOD, {"label": NAMES[1], "leads_to": NAMES[1]}, "withheld: contradiction"),
        (WITHOUT_END, {"leads_to": NAMES[1]}, "withheld: leads to another label"),
        (GOOD, {"finished": False}, "withheld: unfinished"),
        (" ", {}, "withheld: empty"),
        ("So it is.", {}, "withheld: too short"),
        (TEXT, {}, "withheld: copy of the text"),
        ("a b c d " * 9, {}, "withheld: repetition"),
        (MADE_UP, {"filters": ShownConfig(names=[])}, "ok"),
        (NO_QUOTATION, {}, "ok"),
        (GOOD, {"probability": 0.49}, "withheld: unsure"),
        (GOOD, {"probability": 0.5}, "ok"),
        (GOOD, {"probability": 0.5, "filters": ShownConfig(min_probability=0.6)}, "withheld: unsure"),
        (NO_QUOTATION, {"filters": ShownConfig(quotation_required=True)}, "withheld: no quotation"),
        (GOOD, {"effect": 0.01, "filters": ShownConfig(min_effect=0.02)}, "withheld: unrelated"),
        (GOOD, {"effect": 0.02, "filters": ShownConfig(min_effect=0.02)}, "ok"),
        (GOOD, {"effect": None, "filters": ShownConfig(min_effect=0.02)}, "ok"),
        (GOOD, {"effect": -1.0}, "ok"),
        (MADE_UP, {"effect": 0.01, "filters": ShownConfig(min_effect=0.02)}, "withheld: ungrounded"),
    ],
)  # fmt: skip
def test_a_reasoning_is_shown_if_it_is_grounded_and_leads_to_its_label(reasoning, changed, expected):
    assert status(reasoning, **changed) == expected


@pytest.mark.parametrize(("weight", "expected"), [(0.035, "afterthought"), (0.5, "ok"), (1.0, "ok")])
def test_a_reasoning_that_hardly_moves_the_blended_label_is_an_afterthought(weight, expected):
    calibration = Calibration(blend_weight=weight)
    assert status(GOOD, mode="blend", calibration=calibration) == expected
    assert status(GOOD, mode="reasoned", calibration=calibration) == "ok"
    assert status(MADE_UP, mode="blend", calibration=calibration) == "withheld: ungrounded"


def test_a_withheld_reasoning_is_taken_out_and_no_other():
    kept = Prediction("1", "joy", (1.0,), GOOD, reasoning_status="ok")
    withheld = replace(kept, reasoning_status="withheld: ungrounded")
    assert shown(kept) is kept and not is_withheld(kept)
    assert shown(withheld).reasoning is None and is_withheld(shown(withheld))
    assert not is_withheld(Prediction("1", "joy", (1.0,)))


def test_a_filter_that_is_not_installed_is_named():
    with pytest.raises(RecipeError, match="filter 'gone'"):
        Withholding(card(filters=ShownConfig(names=["gone"])))


class Drawn:
    """A model whose reasonings and scores are given: label `lead` leads after any reasoning."""

    def __init__(self, folder, answers, **values):
        self.loaded = load(str(folder), device="cpu")
        prepare_for_training(self.loaded)
        self.card = card(**values)
        self.prompts = Prompts(self.loaded.tokenizer)
        self.engine = ScriptedEngine(answers)
        self.model = TrainedClassifier(self.loaded, self.card, self.engine)

    def predict(self, lead, at_once=(0.6, 0.2, 0.1, 0.1), **options):
        reader: Reader = self.model._reader

        def log_scores(prompts):
            direct = self.prompts.classifier(TEXT, "label")
            return np.array([fast if list(prompt) == direct else lead(list(prompt)) for prompt in prompts])

        fast = np.log(at_once)
        reader.answerer._scorer.log_scores = log_scores
        (prediction,) = self.model.predict([("1", TEXT)], "reasoned", **options)
        return prediction


def first(_prompt):
    return np.log([0.7, 0.1, 0.1, 0.1])


def test_what_is_not_in_the_text_is_not_shown_unless_all_is_wanted(tiny_model_folder):
    drawn = Drawn(tiny_model_folder, [MADE_UP])
    prediction = drawn.predict(first)
    assert (prediction.label, prediction.reasoning) == (NAMES[0], None)
    assert prediction.reasoning_status == "withheld: ungrounded"
    assert prediction.disagrees is False
    everything = drawn.predict(first, show_all=True)
    assert everything == replace(prediction, reasoning=MADE_UP, seconds=everything.seconds)


def test_where_the_answer_at_once_is_another_the_row_says_so_and_the_model_counts_as_unsure(
    tiny_model_folder,
):
    prediction = Drawn(tiny_model_folder, [GOOD]).predict(first, at_once=(0.1, 0.7, 0.1, 0.1))
    assert (prediction.label, prediction.reasoning, prediction.disagrees) == (NAMES[0], None, True)
    assert prediction.reasoning_status == "withheld: unsure"


def test_a_reasoning_that_would_be_withheld_is_drawn_again(tiny_model_folder):
    other = GOOD.replace("could not stop", "could not  stop")
    drawn = Drawn(tiny_model_folder, [MADE_UP], reasoning_attempts=3)
    answers = iter([MADE_UP, GOOD, other])
    drawn.engine._answer = lambda _index: next(answers)
    surer = drawn.prompts.after_reasoning(TEXT, other)
    surest = np.log([0.9, 0.05, 0.03, 0.02])
    prediction = drawn.predict(lambda prompt: surest if prompt == surer else first(prompt))
    assert (prediction.reasoning, prediction.reasoning_status) == (other, "ok")
    assert prediction.probabilities[0] == pytest.approx(0.9)
    assert drawn.engine.generated == 3
    assert prediction.tokens == sum(len(one.split(" ")) for one in (MADE_UP, GOOD, other))


def test_a_reasoning_that_may_be_shown_is_not_drawn_again_and_a_hopeless_one_is_kept(tiny_model_folder):
    drawn = Drawn(tiny_model_folder, [GOOD], reasoning_attempts=3)
    assert drawn.predict(first).reasoning == GOOD
    assert drawn.engine.generated == 1
    hopeless = Drawn(tiny_model_folder, [MADE_UP], reasoning_attempts=3)
    assert hopeless.predict(first).reasoning_status == "withheld: ungrounded"
    assert hopeless.engine.generated == 3


def test_a_reasoning_is_not_shown_if_its_label_does_not_rest_on_what_it_quotes(tiny_model_folder):
    beside_it = GOOD.replace("could not stop smiling", "all day")
    shortened = "I all day."
    fast, without = np.log((0.6, 0.2, 0.1, 0.1)), np.log((0.3, 0.5, 0.1, 0.1))

    def predict(reasonings, **values):
        filters = ShownConfig(min_effect=0.02)
        drawn = Drawn(tiny_model_folder, reasonings, filters=filters, **values)
        answers = iter(reasonings)
        drawn.engine._answer = lambda _index: next(answers)
        asked = []

        def lead(prompt):
            asked.append(prompt)
            if prompt == drawn.prompts.classifier(shortened, "label"):
                return without
            # Without "all day" the label is as probable as with it.
            return (
                fast
                if prompt == drawn.prompts.classifier("I could not stop smiling.", "label")
                else first(prompt)
            )

        return drawn.predict(lead), asked

    prediction, asked = predict([GOOD])
    assert (prediction.reasoning, prediction.reasoning_status) == (GOOD, "ok")
    assert len(asked) == 2  # after the reasoning, and without what it quotes
    prediction, _ = predict([beside_it])
    assert (prediction.reasoning, prediction.reasoning_status) == (None, "withheld: unrelated")
    prediction, _ = predict([beside_it, MADE_UP, GOOD], reasoning_attempts=3)
    assert (prediction.reasoning, prediction.reasoning_status) == (GOOD, "ok")
    # What is refused for another reason needs no scoring of its own.
    _, asked = predict([MADE_UP])
    assert len(asked) == 1


def test_no_other_is_drawn_where_the_label_is_too_unsure_for_any_to_be_shown(tiny_model_folder):
    unsure = Drawn(tiny_model_folder, [MADE_UP], reasoning_attempts=3)
    prediction = unsure.predict(first, at_once=(0.3, 0.3, 0.2, 0.2))
    assert prediction.reasoning_status == "withheld: ungrounded"
    assert unsure.engine.generated == 1


def test_the_card_keeps_what_decides_and_old_cards_have_the_default(tmp_path):
    made = card(filters=ShownConfig(names=["ungrounded"], quotation_required=True), reasoning_attempts=4)
    record = made.to_json()
    read = ModelCard.from_json(record, tmp_path)
    assert (read.filters, read.reasoning_attempts) == (made.filters, 4)
    for name in ("reasoning_filters", "reasoning_attempts"):
        del record[name]
    old = ModelCard.from_json(record, tmp_path)
    assert (old.filters, old.reasoning_attempts) == (ShownConfig(), 1)
