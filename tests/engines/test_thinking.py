import pytest

from whylabel.engines.thinking import without_thinking

ANSWER = "The words tell it."


@pytest.mark.parametrize(
    "text",
    [
        ANSWER,
        f"<think>The user asks. Maybe joy?</think>\n\n{ANSWER}",
        f"<think>\n\n</think>\n\n{ANSWER}",
        f"<THINK>Maybe joy?</THINK> {ANSWER}",
        f'<think effort="low">Maybe joy?</think>{ANSWER}',
        f"<thinking>Maybe joy?</thinking>{ANSWER}",
        f"<thought>Maybe joy?</thought>{ANSWER}",
        f"<reasoning>Maybe joy?</reasoning><answer>{ANSWER}</answer>",
        f"<seed:think>Maybe joy?</seed:think>{ANSWER}",
        f"[THINK]Maybe joy?[/THINK]{ANSWER}",
        f"◁think▷Maybe joy?◁/think▷{ANSWER}",
        f"<|START_THINKING|>Maybe joy?<|END_THINKING|><|START_RESPONSE|>{ANSWER}<|END_RESPONSE|>",
        f"<|begin_of_thought|>Joy?<|end_of_thought|>\n<|begin_of_solution|>{ANSWER}<|end_of_solution|>",
        f"<|channel|>analysis<|message|>Joy?<|end|><|start|>assistant<|channel|>final<|message|>{ANSWER}",
        f"analysisThe user asks. Joy?assistantfinal{ANSWER}",
        f"<|channel>thought\nMaybe joy?<channel|>{ANSWER}",
        # The opening tag stood in the prompt.
        f"The user asks. Maybe joy?</think>{ANSWER}",
        f"Maybe</think> joy? </think>{ANSWER}",
        f"<think>one <think>two</think> three</think>{ANSWER}",
        f"<think>one</think><think>two</think>{ANSWER}",
        f"{ANSWER}<think>Was that right?</think>",
    ],
)
def test_thinking_is_taken_off(text):
    assert without_thinking(text) == (ANSWER, False)


@pytest.mark.parametrize(
    "text",
    ["<think>Maybe joy?", "<think>", "[THINK] Maybe", "<think>a</think>b <think>c", "analysisThe user"],
)
def test_thinking_without_an_end_is_said(text):
    assert without_thinking(text)[1] is True


@pytest.mark.parametrize("text", ["I think it is joy: < 3 > 2", "<b>joy</b> 'think'", "analysis of joy", ""])
def test_other_texts_stay_as_they_are(text):
    assert without_thinking(f" {text} ") == (text, False)
