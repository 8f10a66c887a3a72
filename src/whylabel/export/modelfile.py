"""A Modelfile: what Ollama asks a GGUF file, so that `ollama run NAME TEXT` gives a label."""

from __future__ import annotations

from whylabel.prediction.card import WRITING, ModelCard
from whylabel.text.prompts import Prompts
from whylabel.types import Form

_TEXT = "\ue000text\ue000"


def modelfile(card: ModelCard, prompts: Prompts, file: str) -> str:
    """Return the file. It asks in the model's own default mode, greedily.

    If a text may have several labels it has no template: each decision is a question of its own.
    """
    lines = [
        "# Written by whylabel. Use it with: ollama create NAME -f Modelfile",
        "# Ollama reads control tokens in what a user types; whylabel does not. No calibration, no closed label set.",
        f"FROM ./{file}",
    ]
    if card.multi_label is None:
        lines.append(f'TEMPLATE """{_template(card, prompts)}"""')
    lines.append("PARAMETER temperature 0")
    lines.append(f"PARAMETER num_predict {card.max_reasoning_tokens + _longest_label(card, prompts)}")
    for token in sorted(prompts.stop_ids - {prompts.marker_id}):
        lines.append(f"PARAMETER stop {_quoted(str(prompts.tokenizer.convert_ids_to_tokens(token)))}")
    return "\n".join(lines) + "\n"


def _template(card: ModelCard, prompts: Prompts) -> str:
    form: Form = "reasoning_label" if card.mode in WRITING and card.mode != "adaptive" else card.label_form
    before, after = prompts.frame_text
    text = before + prompts.content(_TEXT, form) + after
    # Braces of its own are written by the template language of Go, and so is its own quotation mark.
    text = "".join({"{": '{{ "{" }}', "}": '{{ "}" }}', '"': '{{ `"` }}'}.get(one, one) for one in text)
    return text.replace(_TEXT, "{{ .Prompt }}")


def _longest_label(card: ModelCard, prompts: Prompts) -> int:
    return 1 + max(len(prompts.label_ids(name)) for name in card.labels.names)


def _quoted(text: str) -> str:
    return '"' + text.replace('"', '\\"') + '"'
