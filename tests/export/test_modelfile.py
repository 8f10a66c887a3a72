"""The Modelfile asks as whylabel does, whatever the question and the name hold."""

from copy import deepcopy

import pytest

from trained_models import LABELS
from whylabel.export.modelfile import modelfile
from whylabel.models.load import LABEL_MARKER
from whylabel.prediction.card import MODES, ModelCard
from whylabel.prediction.multi_label import MultiLabel
from whylabel.text.prompts import Prompts


@pytest.fixture
def prompts(tokenizer):
    """Return a function that makes the prompts of a model which reasons."""
    own = deepcopy(tokenizer)
    own.add_tokens([LABEL_MARKER], special_tokens=True)
    return lambda style, **named: Prompts(own, style, **named)


def card(prompts, **changes):
    fields = {"target": "dual", "modes": MODES["dual"], "max_text_tokens": 99, "max_reasoning_tokens": 20}
    named = {"question": prompts.question, "name": prompts.name, "prompt_style": prompts.style}
    return ModelCard(labels=LABELS, lineage={}, **{**named, **fields, **changes})


def template(file):
    return file.partition('TEMPLATE """')[2].partition('"""')[0]


def test_a_compact_template_is_the_prompt_of_the_default_mode(prompts):
    compact = prompts("compact", name="Mood")
    file = modelfile(card(compact), compact, "model.gguf")
    assert "FROM ./model.gguf\n" in file
    assert template(file) == "{{ .Prompt }}\nMood:"
    reasoned = modelfile(card(compact, modes=("reasoned", "fast")), compact, "model.gguf")
    assert template(reasoned) == "{{ .Prompt }}\nReasoning:"


def test_a_chat_template_has_the_frame_and_every_stop_but_the_marker(prompts):
    chat = prompts("chat")
    file = modelfile(card(chat), chat, "model.gguf")
    shown = template(file)
    assert shown.startswith("<|im_start|>user\n{{ .Prompt }}\n\n") or shown.startswith("user\n{{ .Prompt }}")
    assert shown.endswith("<|im_end|>\n<|im_start|>assistant\n")
    assert 'PARAMETER stop "<|im_end|>"' in file and LABEL_MARKER not in file
    assert "PARAMETER temperature 0\n" in file


def test_braces_and_quotation_marks_are_no_program(prompts):
    chat = prompts("chat", question='Is {{ .System }} """ a joke?')
    shown = template(modelfile(card(chat), chat, "model.gguf").replace('{{ `"` }}', "<quote>"))
    assert '{{ "{" }}{{ "{" }} .System {{ "}" }}{{ "}" }} <quote><quote><quote> a joke?' in shown


def test_several_labels_have_no_template(prompts):
    compact = prompts("compact")
    several = card(compact, target="label", modes=("fast",), multi_label=MultiLabel())
    assert "TEMPLATE" not in modelfile(several, compact, "model.gguf")
