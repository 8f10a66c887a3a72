"""Is the reasoning used: the figures of `evaluation/faithfulness.json`, in a sentence and as tables."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from whylabel.evaluation.faithfulness import FOLLOWS, HARDLY
from whylabel.report.formats import MISSING, count, p_value, percent, points
from whylabel.report.quality import Cell, cell

_EARLY = {
    "0": ("Left out", "the label is read after a blank reasoning"),
    "0.25": ("First quarter alone", "of its words"),
    "0.5": ("First half alone", ""),
    "0.75": ("Three quarters alone", ""),
}
_INTERVENTIONS = {
    "shuffled_words": ("Words shuffled", "the same words in random order"),
    "filler": ("Filler", "three dots for every word"),
    "another_text": ("That of another text", "which has the same label"),
    "another_label": ("That of another text", "which has another label"),
    "argued": ("One that argues for another label", "written about this text, for each other label in turn"),
}
_SENTENCES = {
    "hardly": "The labels hardly rest on what the reasonings say: after a reasoning that stands for another label, "
    "surely fewer than {hardly} of them change. It may be true all the same, but it is not what decides.",
    "follows": "The labels follow the reasonings: where a reasoning argues for another label, surely more than "
    "{follows} of the labels become that one.",
    "in part": "The labels rest on the reasonings in part: after a reasoning that stands for another label, surely "
    "more than {hardly} of them change, but not surely most of them to that label.",
    "unclear": "These figures do not tell whether the labels rest on the reasonings: there are too few texts, or "
    "nothing argues for other labels.",
}


@dataclass(frozen=True, slots=True)
class DoneRow:
    """What became of the labels where something was done to the reasonings; shares as table cells."""

    name: str
    meaning: str
    texts: str
    changed: Cell
    follows: Cell
    right: Cell
    lost: str
    lost_interval: str


@dataclass(frozen=True, slots=True)
class OtherRow:
    """A further figure, explained in a few words."""

    name: str
    meaning: str
    value: Cell


@dataclass(frozen=True, slots=True)
class UsedReasoning:
    """What the report says of the use of the reasonings."""

    mode: str
    n: str
    sentence: str
    right: Cell
    rows: tuple[DoneRow, ...]
    others: tuple[OtherRow, ...]


def faithfulness_of(found: Mapping[str, Any], evaluation: Mapping[str, Any]) -> UsedReasoning | None:
    """Return what is said of the figures, with the overlap of quotations and evidence; None if there are none."""
    rows = tuple(_rows(found))
    if not rows:
        return None
    return UsedReasoning(
        mode=str(found.get("mode")),
        n=count(found.get("n")),
        sentence=_sentence(found),
        right=cell(found.get("right")),
        rows=rows,
        others=tuple(row for row in _others(found, evaluation) if row.value.text != MISSING),
    )


def faithfulness_line(found: Mapping[str, Any]) -> str | None:
    """Return the most telling figures in one line; None if there are none."""
    rows = {**(found.get("early") or {}), **(found.get("interventions") or {})}
    told = {
        "0": "{changed} without it",
        "another_label": "{changed} with that of another label",
        "argued": "{follows} go where one argues that is for another label",
    }
    parts = []
    for name, text in told.items():
        row = rows.get(name) or {}
        shares = {key: cell(row.get(key)).text for key in ("changed", "follows")}
        if row:
            parts.append(text.format(**shares))
    if not parts:
        return None
    return f"labels that change with the reasoning, of {count(found.get('n'))}: {', '.join(parts)}"


def _sentence(found: Mapping[str, Any]) -> str:
    text = _SENTENCES.get(str(found.get("use")), _SENTENCES["unclear"])
    return text.format(hardly=percent(HARDLY, 0), follows=percent(FOLLOWS, 0))


def _rows(found: Mapping[str, Any]) -> Iterator[DoneRow]:
    for names, key in ((_EARLY, "early"), (_INTERVENTIONS, "interventions")):
        values = found.get(key) or {}
        for name, (title, meaning) in names.items():
            each = values.get(name)
            if each:
                low, high = each.get("lost_ci95") or (None, None)
                yield DoneRow(
                    name=title,
                    meaning=meaning,
                    texts=count(each.get("n")),
                    changed=cell(each.get("changed")),
                    follows=cell(each.get("follows")),
                    right=cell(each.get("right")),
                    lost=points(each.get("lost")),
                    lost_interval=f"{points(low)} to {points(high)}" if low is not None else "",
                )


def _others(found: Mapping[str, Any], evaluation: Mapping[str, Any]) -> Iterator[OtherRow]:
    yield OtherRow(
        "Fast and reasoned agree",
        "test texts that get the same label at once and after the reasoning",
        cell(found.get("agreement")),
    )
    readers = found.get("simulatability") or {}
    for name, title, meaning in (
        (
            "text",
            "A reader tells the label from the text",
            "a small classifier, learning what this model says",
        ),
        ("masked", "... from text and reasoning, label words masked", _gain(readers)),
        ("unmasked", "... from text and reasoning as it is", "which may just name the label"),
    ):
        yield OtherRow(title, meaning, cell(readers.get(name)))
    overlap = (evaluation.get("reasonings_judged") or {}).get("overlap") or {}
    yield OtherRow(
        "Quotes what the label rests on",
        f"share of the quoted characters in the measured evidence, {count(overlap.get('rows'))} texts; "
        f"{percent(overlap.get('by_chance'))} at random places",
        Cell(percent(overlap.get("inside"))),
    )


def _gain(readers: Mapping[str, Any]) -> str:
    low, high = readers.get("gain_ci95") or (None, None)
    return (
        f"{points(readers.get('gain'))} points, 95\u00a0% CI {points(low)} to {points(high)}, exact McNemar "
        f"{p_value(readers.get('mcnemar_p'))}"
    )
