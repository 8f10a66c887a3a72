"""What can be wrong with labelled texts: a function for each question. No function stops at a bad row."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Container, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

from whylabel.data.cells import PLACEHOLDERS, normalise_text
from whylabel.data.columns import Columns
from whylabel.data.delimited import DELIMITERS
from whylabel.data.labelling import Labelling
from whylabel.data.reasonings import MEND, NOT_READABLE, OwnReasonings
from whylabel.data.rows import DROPPABLE, PROBLEMS, Rows, places
from whylabel.data.table import Table
from whylabel.data.unlabelled import described as described_unlabelled
from whylabel.errors import WhylabelError
from whylabel.recipe import DataConfig
from whylabel.text.alike import described as described_alike
from whylabel.text.alike import groups_alike
from whylabel.types import Example

if TYPE_CHECKING:
    from whylabel.data.split import Splits as Numbers

Severity = Literal["error", "warning", "info"]
Splits = Mapping[str, Sequence[Example]]

RARE_ROWS = 8
"""A label with fewer train rows than this is reported as rare."""
LONG_WORDS = 400
LONG_TOKENS = 800
"""Longer texts are reported: with prompt and reasoning they may not fit into `training.max_length`."""

_FIXES = {
    **dict.fromkeys(DROPPABLE, "mend them, or leave them out: data.bad_rows=drop"),
    "unknown_label": "correct the rows, or add the label to task.labels",
    "duplicate_id": "make the ids unique, or name another column: data.id_column",
}


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing that is wrong or worth knowing; an `error` is what `load_dataset` refuses."""

    kind: str
    severity: Severity
    count: int
    message: str
    ids: tuple[str, ...] = ()
    fix: str = ""

    def to_json(self) -> dict[str, Any]:
        """Return the finding with all its row ids, as JSON can hold it."""
        return {
            "kind": self.kind,
            "severity": self.severity,
            "count": self.count,
            "message": self.message,
            "ids": list(self.ids),
            "fix": self.fix,
        }


def from_error(error: WhylabelError, kind: str) -> Finding:
    """Return an error that stopped the reading as a finding."""
    where = f" ({error.where})" if error.where else ""
    return Finding(kind, "error", 1, f"{error.what}{where}", fix=error.fix or "")


def bad_rows(rows: Rows, config: DataConfig) -> Iterator[Finding]:
    """Yield rows that cannot be used, by problem."""
    for kind, problem in PROBLEMS.items():
        bad = [rows.row(number) for number in rows.with_problems([kind]).tolist()]
        if not bad:
            continue
        dropped = kind in DROPPABLE and config.bad_rows == "drop"
        places = "; ".join(row.place for row in bad[:3]) + ("; ..." if len(bad) > 3 else "")
        labels = (
            sorted({name for row in bad for name in rows.unknown(row.label)})
            if kind == "unknown_label"
            else []
        )
        named = f": {', '.join(map(repr, labels[:10]))}" if labels else ""
        message = f"{len(bad)} of {len(rows)} rows {problem}{named} ({places})"
        yield Finding(
            kind,
            "info" if dropped else "error",
            len(bad),
            message + (", left out" if dropped else ""),
            tuple(row.id for row in bad),
            "" if dropped else rows.labelling.fix if kind == "several_labels" else _FIXES[kind],
        )


def unlabelled_splits(rows: Rows) -> Iterator[Finding]:
    """Yield splits without labels, which are set aside."""
    for split in rows.set_aside:
        fix = f"name a file with labelled rows: data.{split}; whylabel predict takes texts without labels"
        yield Finding(
            "unlabelled_split", "warning", len(rows.splits[split]), described_unlabelled(rows, split), fix=fix
        )


def rewritten_labels(rows: Rows) -> Iterator[Finding]:
    """Yield labels that are read without their decimal places."""
    if rows.rewritten:
        message = f"Labels {rows.inferred['label_numbers']}, as whole numbers"
        fix = "to keep them as they are written, list them in task.labels as they are"
        yield Finding("whole_numbers", "info", len(rows.rewritten), message, fix=fix)


def reasonings_of_rows(
    rows: Rows, splits: Numbers, columns: Columns, config: DataConfig
) -> Iterator[Finding]:
    """Yield how many train rows come with a reasoning, and cells that should have one and cannot be read."""
    if columns.reasoning is None:
        return
    found, column = OwnReasonings.of(rows, splits), columns.reasoning
    used = config.reasoning_column is not None
    ids = tuple(rows.row(number).id for number in found.unreadable.tolist())
    if ids and used:
        dropped = config.bad_rows == "drop"
        yield Finding(
            "unreadable_reasoning",
            "info" if dropped else "error",
            len(ids),
            f"{len(ids)} of {found.train_rows} train rows {NOT_READABLE} ({places(rows, found.unreadable)})"
            + (", taken for empty" if dropped else ""),
            ids,
            "" if dropped else MEND,
        )
    if used:
        message = f"The column {column!r} has a reasoning for {found}"
        yield Finding("own_reasonings", "info", len(found.own), message)
    elif len(found.own):
        message = f"The column {column!r} looks like reasonings of your own, for {found}"
        fix = f"to train on them: data.reasoning_column={column}"
        yield Finding("own_reasonings", "info", len(found.own), message, fix=fix)


def rows_inside_texts(rows: Rows, heads: Mapping[str, Table], columns: Columns) -> Iterator[Finding]:
    """Yield texts that contain rows of the file: a text with an unclosed quote runs on to the next quote."""
    labels = {name for label in rows.label_names for name in (label, *rows.labelling.split(label)) if name}
    if "label_names" in rows.inferred:
        labels.update(map(str, range(len(rows.known or ()))))
    found = []
    for split, numbers in rows.splits.items():
        if split in rows.set_aside:
            continue
        header = list(heads[split].columns)
        at = (header.index(columns.text), header.index(columns.label))
        found += [
            rows.row(number)
            for number in rows.with_line_breaks
            if number in numbers and _is_made_of_rows(rows.spool[number][1], len(header), *at, labels)
        ]
    if found:
        places = "; ".join(row.place for row in found[:3]) + ("; ..." if len(found) > 3 else "")
        made = "is made" if len(found) == 1 else "are made"
        message = f"{counted(len(found), 'text')} {made} of what looks like rows of the file ({places})"
        fix = 'if an unclosed quote is the reason, put its text in "quotes" and write each quote inside it twice'
        ids = tuple(row.id for row in found)
        yield Finding("rows_inside_texts", "warning", len(found), message, ids, fix)


def _is_made_of_rows(text: str, width: int, text_at: int, label_at: int, labels: Container[str]) -> bool:
    """Return whether a text is the end of a row, whole rows, and the start of one, with a label among them."""
    for delimiter in DELIMITERS:
        if delimiter not in text or text.partition("\n")[0].count(delimiter) + text_at != width - 1:
            continue  # a quick check that most texts fail
        # The cells before the text in its own row are not part of the text.
        lines = (delimiter * text_at + text).split("\n")
        *whole, last = [line.split(delimiter) for line in lines if line.strip(" \r")]
        if any(len(fields) != width for fields in whole) or len(last) != text_at + 1:
            continue
        beside = whole if label_at > text_at else [*whole[1:], last]
        if whole and any(fields[label_at].strip() in labels for fields in beside):
            return True
    return False


def equal_texts(splits: Splits) -> Iterator[Finding]:
    """Yield equal texts: with one label, with several, and across splits."""
    groups: dict[str, list[tuple[str, Example]]] = {}
    for split, examples in splits.items():
        for example in examples:
            groups.setdefault(normalise_text(example.text), []).append((split, example))
    repeated = [group for group in groups.values() if len(group) > 1]
    same = [group for group in repeated if len({example.label for _, example in group}) == 1]
    other = [group for group in repeated if len({example.label for _, example in group}) > 1]
    shared = [group for group in repeated if len({split for split, _ in group}) > 1]
    if same:
        extra = sum(len(group) - 1 for group in same)
        message = f"{counted(extra, 'row')} with a text that an earlier row has, label and all"
        yield Finding("duplicates", "info", extra, message, _ids(same))
    if other:
        message = f"{counted(len(other), 'text')} with different labels in different rows"
        fix = "decide on one label for each text: the model cannot learn both"
        yield Finding("conflicting_labels", "warning", len(other), message, _ids(other), fix)
    if shared:
        pairs = Counter(" and ".join(dict.fromkeys(split for split, _ in group)) for group in shared)
        where = ", ".join(f"{count} in {pair}" for pair, count in pairs.items())
        message = f"{counted(len(shared), 'text')} in several splits: {where}"
        fix = "remove them from train: scores on texts seen in training are too good"
        yield Finding("shared_texts", "warning", len(shared), message, _ids(shared), fix)


def label_counts(examples: Iterable[Example], labelling: Labelling) -> Counter[str]:
    """Return how many examples have each label."""
    return Counter(name for example in examples for name in labelling.split(example.label))


def label_problems(splits: Splits, labelling: Labelling) -> Iterator[Finding]:
    """Yield labels that are rare, that train lacks, or that look like a missing value."""

    def holding(examples: Iterable[Example], names: Container[str]) -> list[Example]:
        return [item for item in examples if any(name in names for name in labelling.split(item.label))]

    train = label_counts(splits["train"], labelling)
    for split in ("validation", "test"):
        new = Counter({k: n for k, n in label_counts(splits[split], labelling).items() if k not in train})
        unseen = holding(splits[split], new)
        if unseen:
            names = _names(new)
            message = f"{counted(len(unseen), f'{split} row')} with labels that train lacks: {names}"
            ids = tuple(example.id for example in unseen)
            fix = "add train rows for these labels: what is never seen is hardly ever predicted"
            yield Finding("unseen_labels", "warning", len(unseen), message, ids, fix)
    rare = Counter({label: count for label, count in train.items() if count < RARE_ROWS})
    if rare:
        message = f"{counted(len(rare), 'label')} with fewer than {RARE_ROWS} train rows: {_names(rare)}"
        ids = tuple(example.id for example in holding(splits["train"], rare))
        yield Finding("rare_labels", "warning", len(rare), message, ids, "add rows, or merge labels")
    odd = Counter({label: count for label, count in train.items() if label.casefold() in PLACEHOLDERS})
    if odd:
        message = f"Labels that look like a missing value are read as labels: {_names(odd)}"
        ids = tuple(example.id for example in holding(splits["train"], odd))
        yield Finding(
            "placeholder_labels", "warning", odd.total(), message, ids, "empty these cells if none is meant"
        )
    rows = len(splits["train"])
    if rows >= 20 and len(train) > rows / 2:
        message = f"{len(train)} labels for {rows} train rows: this is hardly a closed set of labels"
        yield Finding(
            "many_labels", "warning", len(train), message, fix="name another column: data.label_column"
        )


def labels_alike(splits: Splits, labelling: Labelling) -> Iterator[Finding]:
    """Yield labels that look alike, with the rows of all but the most frequent one."""
    counts: Counter[str] = Counter()
    for examples in splits.values():
        counts += label_counts(examples, labelling)
    for group in groups_alike(sorted(counts)):
        others = set(group) - {max(group, key=lambda label: counts[label])}
        ids = tuple(
            example.id
            for examples in splits.values()
            for example in examples
            if others.intersection(labelling.split(example.label))
        )
        fix = "write them alike if one label is meant: the model learns them as different ones"
        yield Finding("labels_alike", "warning", len(group), described_alike(group, counts), ids, fix)


def long_texts(
    splits: Splits, config: DataConfig, count_tokens: Callable[[str], int] | None
) -> Iterator[Finding]:
    """Yield texts that may be too long, or that `data.max_text_tokens` will trim."""
    unit, most = ("tokens", LONG_TOKENS) if count_tokens else ("words", LONG_WORDS)
    if config.max_text_tokens is not None and count_tokens:
        most = config.max_text_tokens
    count = count_tokens or count_words
    examples = [example for part in splits.values() for example in part]
    long = [example for example in examples if count(example.text) > most]
    if not long:
        return
    ids = tuple(example.id for example in long)
    message = f"{counted(len(long), 'text')} longer than {most} {unit}"
    if config.max_text_tokens is not None:
        message += f"; data.max_text_tokens={config.max_text_tokens} trims what is above it"
        yield Finding("long_texts", "info", len(long), message, ids)
    else:
        fix = "raise training.max_length, or trim them: data.max_text_tokens"
        yield Finding("long_texts", "warning", len(long), message, ids, fix)


def counted(count: int, noun: str) -> str:
    """Return "1 row", "2 rows"."""
    return f"{count} {noun}{'' if count == 1 else 's'}"


def count_words(text: str) -> int:
    """Return the number of words between blanks."""
    return len(text.split())


def _ids(groups: Sequence[Sequence[tuple[str, Example]]]) -> tuple[str, ...]:
    return tuple(example.id for group in groups for _, example in group)


def _names(counts: Counter[str]) -> str:
    shown = ", ".join(f"{label!r} ({count})" for label, count in counts.most_common()[:-11:-1])
    return shown + (f", and {len(counts) - 10} more" if len(counts) > 10 else "")
