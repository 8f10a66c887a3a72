"""`whylabel.json` of an export: the model's own, and what another runtime needs to ask it through token ids."""

from __future__ import annotations

from typing import Any

from whylabel.export.formats import FORMATS, FormatName
from whylabel.prediction.card import ModelCard
from whylabel.text.prompts import FORMS, Prompts

EXPORT = "export"
"""The entry that only exports have."""


def exported_card(
    card: ModelCard, prompts: Prompts, format_name: FormatName, quantisation: str
) -> dict[str, Any]:
    """Return the content of the file. Labels, calibration and modes stand where they stand in every model."""
    return {
        **card.to_json(),
        EXPORT: {
            "format": format_name,
            "quantisation": quantisation,
            "lost": list(FORMATS[format_name].lost),
            "tokens": _tokens(card, prompts),
        },
    }


def _tokens(card: ModelCard, prompts: Prompts) -> dict[str, Any]:
    """Return the ids of all that is not a user's text: the frame of a prompt, the ends, the labels."""
    before, after = prompts.frame
    text = "{text}"
    shared = {
        "end": prompts.eos_id,
        "marker": prompts.marker_id,
        "stop": sorted(prompts.stop_ids),
        "before": before,
        "after": after,
    }
    if card.multi_label is not None:
        questions = {name: prompts.decision_question(name) for name in card.labels.names}
        answers = {"yes": prompts.decision_answer(True), "no": prompts.decision_answer(False)}
        return {**shared, "questions": questions, "answers": answers}
    return {
        **shared,
        "contents": {each: prompts.content(text, each) for each in FORMS[card.target]},
        "labels": {name: prompts.label_ids(name, card.label_form) for name in card.labels.names},
    }
