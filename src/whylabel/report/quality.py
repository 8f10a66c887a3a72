"""How good the reasonings are, in sentences and as a table: the entry `reasonings` of `evaluation/metrics.json`."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from whylabel.evaluation.judged import SHARE_BELOW
from whylabel.evaluation.quality import explaining_mode
from whylabel.evaluation.readings import ReaderRate
from whylabel.report.formats import MISSING, count, decimal, is_number, percent

_MEASURES = (
    ("Quotes the text", "quoting", "with words between quotation marks"),
    ("Grounded", "grounded", "of these: all that is quoted stands in the text"),
    ("Contradicts its label", "contradictions", "the last sentence denies it, or concludes with another"),
    ("Says the same again", "near_duplicates", "nearly repeats the reasoning of an earlier text"),
)


@dataclass(frozen=True, slots=True)
class Cell:
    """A share as text (`61.1 %`), its interval (`52 to 69 %`) and what it counts (`55 of 90`); empty if unknown."""

    text: str = MISSING
    interval: str = ""
    counts: str = ""


@dataclass(frozen=True, slots=True)
class Row:
    """One measure, explained in a few words, of all reasonings and of those that readers see."""

    name: str
    meaning: str
    of_all: Cell
    for_readers: Cell


@dataclass(frozen=True, slots=True)
class ModeRow:
    """What became of the reasonings of one mode."""

    mode: str
    written: Cell
    shown: Cell
    afterthoughts: Cell
    withheld: Cell
    disagrees: Cell


@dataclass(frozen=True, slots=True)
class JudgedRow:
    """One figure by a model, and what to compare it with."""

    name: str
    meaning: str
    value: Cell
    beside: Cell = Cell()
    beside_meaning: str = ""


@dataclass(frozen=True, slots=True)
class Judged:
    """What models say of `n` reasonings of one mode."""

    mode: str
    n: str
    rows: tuple[JudgedRow, ...]


@dataclass(frozen=True, slots=True)
class Quality:
    """What the report says of the reasonings: `rows` are about one mode, `modes` has all, that one first."""

    mode: str
    sentence: str
    reasons: tuple[tuple[str, Cell], ...]
    """Why reasonings are withheld, the most frequent reason first."""
    rows: tuple[Row, ...]
    modes: tuple[ModeRow, ...]


def quality_of(evaluation: Mapping[str, Any]) -> Quality | None:
    """Return what is said of the reasonings; None if none were written, or if the run has no figures."""
    found = {mode: values for mode, values in (evaluation.get("reasonings") or {}).items() if values}
    mode = _mode(evaluation, found)
    if mode is None:
        return None
    chosen = found[mode]
    content, for_readers = (chosen.get(name) or {} for name in ("content", "content_for_readers"))
    return Quality(
        mode=mode,
        sentence=_sentence(chosen),
        reasons=tuple((reason, cell(each)) for reason, each in _reasons(chosen)),
        rows=tuple(
            Row(name, meaning, cell(content.get(key)), cell(for_readers.get(key)))
            for name, key, meaning in _MEASURES
        ),
        modes=tuple(
            ModeRow(name, *(cell(found[name].get(key)) for key in ModeRow.__slots__[1:]))
            for name in (mode, *sorted(found.keys() - {mode}))
        ),
    )


def judged_of(evaluation: Mapping[str, Any]) -> Judged | None:
    """Return what models say of a sample of the reasonings; None if they were not asked."""
    found = evaluation.get("reasonings_judged") or {}
    fluency, support, overlap = (found.get(name) or {} for name in ("fluency", "support", "overlap"))
    rows = (
        JudgedRow(
            "Fluency",
            "log-probability per token under the untrained base model, median, in nats",
            Cell(decimal(fluency.get("median"), 2)),
            Cell(decimal(fluency.get("training_median"), 2)),
            f"{count(fluency.get('training_n'))} training reasonings",
        ),
        JudgedRow(
            "Less fluent than 95 % of training",
            f"below {decimal(fluency.get('limit'), 2)}",
            cell(fluency.get("below")),
            Cell(percent(SHARE_BELOW)),
            "training reasonings, by definition",
        ),
        JudgedRow(
            "Leads to its label",
            "in the base model it lifts its label above the rival, even with the words of labels masked",
            cell(support.get("positive")),
        ),
        JudgedRow("Margin", "by how much, mean, in nats", Cell(decimal(support.get("mean_margin"), 2))),
        JudgedRow(
            "Quotes what the label rests on",
            f"share of the quoted characters in the measured evidence, {count(overlap.get('rows'))} texts",
            Cell(percent(overlap.get("inside"))),
            Cell(percent(overlap.get("by_chance"))),
            "at random places",
        ),
    )
    known = tuple(row for row in rows if row.value.text != MISSING)
    return Judged(str(found.get("mode")), count(found.get("n")), known) if known else None


def readers_sentences(readers: Sequence[ReaderRate], *, named: bool = True) -> tuple[str, ...]:
    """Return what each reader found: how many reasonings are acceptable, of how many, and whether read blind.

    Without their names, readers are numbered.
    """
    numbers = range(1, len(readers) + 1)
    return tuple(
        _reader(reader, reader.by if named else f"Reader {number}")
        for number, reader in zip(numbers, readers, strict=True)
    )


def _reader(reader: ReaderRate, name: str) -> str:
    accepted = reader.accepted
    interval = " to ".join(percent(bound) for bound in accepted.ci95)
    how = "without gold label, mode and probabilities"
    if reader.blind < accepted.n:
        how = f"{count(reader.blind)} of them {how}" if reader.blind else "knowing the gold label"
    return (
        f"{name} read {count(accepted.n)} of the reasonings that are shown in mode {reader.mode}, {how}, and "
        f"accepted {count(accepted.count)}: {percent(accepted.share)} (95\u00a0% CI {interval})."
    )


def reasonings_line(evaluation: Mapping[str, Any]) -> str | None:
    """Return in one line how many reasonings are shown, and why others are not; None if none were written."""
    found = {mode: values for mode, values in (evaluation.get("reasonings") or {}).items() if values}
    mode = _mode(evaluation, found)
    return None if mode is None else f"reasonings, mode {mode}: {', '.join(_counts(found[mode]))}"


def cell(values: Mapping[str, Any] | None) -> Cell:
    """Return a share as it stands in a table."""
    values = values or {}
    if not is_number(values.get("share")):
        return Cell()
    low, high = values.get("ci95") or (None, None)
    interval = f"{_bare(low)} to {percent(high)}" if is_number(low) and is_number(high) else ""
    return Cell(
        percent(values["share"]), interval, f"{count(values.get('count'))} of {count(values.get('n'))}"
    )


def _bare(share: float) -> str:
    return percent(share).replace("\u00a0%", "")


def _mode(evaluation: Mapping[str, Any], found: Mapping[str, Any]) -> str | None:
    """Return the mode that the figures are about: the one that explains, if it wrote any, else any other."""
    default = (evaluation.get("classifier") or {}).get("mode")
    wanted = explaining_mode(evaluation) if default else None
    return wanted if wanted in found else next(iter(sorted(found)), None)


def _counts(quality: Mapping[str, Any]) -> Iterator[str]:
    yield f"{_number(quality, 'written')} written"
    yield f"{_number(quality, 'shown')} shown"
    if (quality.get("afterthoughts") or {}).get("count"):
        yield f"{_number(quality, 'afterthoughts')} shown as afterthoughts"
    reasons = ", ".join(f"{count(each.get('count'))} {reason}" for reason, each in _reasons(quality))
    yield f"{_number(quality, 'withheld')} withheld{f' ({reasons})' if reasons else ''}"


def _sentence(quality: Mapping[str, Any]) -> str:
    written, withheld = quality.get("written") or {}, quality.get("withheld") or {}
    afterthoughts = (quality.get("afterthoughts") or {}).get("count")
    said = (
        f"For {count(written.get('n'))} test texts the classifier wrote {count(written.get('count'))} reasonings. "
        f"A reader sees {_number(quality, 'shown')} of them as the reason for the label"
    )
    if afterthoughts:
        said += (
            f" and {count(afterthoughts)} as an afterthought: the label rests more on the answer without it"
        )
    return f"{said}. {count(withheld.get('count'))} are withheld."


def _reasons(quality: Mapping[str, Any]) -> list[tuple[str, Mapping[str, Any]]]:
    found = [(reason, each) for reason, each in (quality.get("withheld_by_reason") or {}).items() if each]
    return sorted(found, key=lambda item: (-(item[1].get("count") or 0), item[0]))


def _number(quality: Mapping[str, Any], key: str) -> str:
    return count((quality.get(key) or {}).get("count"))
