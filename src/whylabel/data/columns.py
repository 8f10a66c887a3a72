"""Recognises which column is the text and which is the label: by name first, then by content."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from difflib import get_close_matches
from typing import Literal

from whylabel.data.cells import integer_of, is_missing, is_scalar
from whylabel.data.table import Table
from whylabel.errors import DataError, unknown_name
from whylabel.recipe import DataConfig

# Names of an earlier tier win over names of later tiers.
_TEXT_NAMES = (
    ("text", "sentence", "utterance"),
    ("content", "message", "review", "body", "comment", "query", "tweet", "document", "post"),
    ("question", "title", "headline", "description", "abstract", "subject", "input", "prompt"),
)
_LABEL_NAMES = (
    ("label", "label name", "label text", "labels", "gold label", "gold"),
    ("class", "class name", "category", "category name", "target", "target name"),
    ("intent", "sentiment", "emotion", "topic", "mood", "tag", "label id", "class id"),
)
_REASONING_NAMES = ("reasoning", "rationale", "explanation")
_ID_NAMES = ("id", "idx", "index", "uid", "uuid", "guid")
# If the second longest column is nearly as long as the longest one, the length does not decide.
_CLEARLY_LONGER = 1.5
_MOST_LABELS_PER_ROW = 0.5
_MOSTLY_FILLED = 0.5


@dataclass(frozen=True, slots=True)
class Columns:
    """The columns in use. `inferred` holds those that were recognised rather than named."""

    text: str
    label: str
    id: str | None = None
    reasoning: str | None = None
    inferred: dict[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class _Profile:
    """What the cells of a column are, without missing cells. `integer` includes digits in a CSV and 3.0."""

    kind: Literal["string", "integer", "number", "other", "empty"]
    distinct: int
    mean_length: float
    filled: float = 0.0
    """The share of cells that are not missing."""


def columns_of_splits(heads: Mapping[str, Table], config: DataConfig) -> Columns:
    """Return the columns in use, recognised by the first rows of train.

    Another split may lack the label. Raises `DataError` if the choice is not clear, a split lacks the text, or it has
    its labels under another name.
    """
    train = heads["train"]
    columns = recognise_columns(train, config)
    for split, head in heads.items():
        if split == "train":
            continue
        rename = "rename it in this file, so that all splits have the same columns"
        require_column(
            head, columns.text, "data.text_column", f"{rename}, or name another file: data.{split}"
        )
        if columns.label not in head.columns and (other := _renamed_label(head, train, columns.label)):
            require_column(
                head,
                columns.label,
                "data.label_column",
                f"{rename}; without the column {other!r} the split counts as one without labels, and is set aside",
            )
    return columns


def _renamed_label(head: Table, train: Table, label: str) -> str | None:
    """Return the column that may have a split's labels under another name than in train; None if there is none.

    It is new in the split, and is called like the label, or like some label and has labels of train in it.
    """
    new = [name for name in head.columns if name not in train.columns]
    profiles = {name: _profile(head.columns[name]) for name in new}
    labels = set(map(str, train.columns[label]))
    named = [
        name for name in _named_labels(profiles, None) if labels.intersection(map(str, head.columns[name]))
    ]
    found = [*get_close_matches(label, new, n=1), *named]
    return next((name for name in found if profiles[name].kind != "empty"), None)


def recognise_columns(table: Table, config: DataConfig) -> Columns:
    """Return the text, label and id column: the recipe names them, or they are recognised.

    Raises `DataError` if a named column is missing, or the choice is not clear.
    """
    if config.text_column is not None and config.text_column == config.label_column:
        raise DataError(f"Text and label are both column {config.text_column!r}.", where=table.name, fix=_FIX)
    inferred: dict[str, str] = {}
    label, text, reasoning = config.label_column, config.text_column, config.reasoning_column
    for setting in ("label_column", "text_column", "id_column", "reasoning_column"):
        if (name := getattr(config, setting)) is not None:
            require_column(table, name, f"data.{setting}")
    if reasoning is not None and reasoning in (label, text):
        kind = "label" if reasoning == label else "text"
        raise DataError(
            f"Reasoning and {kind} are both column {reasoning!r}.",
            where=table.name,
            fix="name the column with the reasonings: data.reasoning_column",
        )
    profiles: Mapping[str, _Profile] = {
        name: _profile(values) for name, values in table.columns.items() if name != reasoning
    }
    if label is None:
        label = _label_by_name(table, profiles, text)
    reasonings = recognise_reasoning_column(table, (label, text))
    profiles = _without_unlikely(profiles, [reasonings], label, text)
    # Notes, or reasonings for some of the rows, may be longer than the texts.
    sparse = [name for name, profile in profiles.items() if profile.filled <= _MOSTLY_FILLED]
    profiles = _without_unlikely(profiles, sparse, label, text)
    if text is None:
        text = _text_column(table, profiles, [label] if label else [])
        inferred["text_column"] = text
    if label is None:
        label = _label_by_content(table, profiles, text)
    if config.label_column is None:
        inferred["label_column"] = label
    identifier = config.id_column or _id_column(table, (text, label, reasoning))
    if identifier is not None and config.id_column is None:
        inferred["id_column"] = identifier
    return Columns(text, label, identifier, reasoning, inferred)


def _without_unlikely(
    profiles: Mapping[str, _Profile], unlikely: Sequence[str | None], label: str | None, text: str | None
) -> Mapping[str, _Profile]:
    """Return the columns without those that are probably neither, if what is left can be text and label."""
    left = {
        name: profile for name, profile in profiles.items() if name in (label, text) or name not in unlikely
    }
    others = [name for name in left if name not in (label, text) and not _is_id(name)]
    has_text = text is not None or any(left[name].kind == "string" for name in others)
    wanted = (label is None) + (text is None)
    return left if has_text and len(others) >= wanted else profiles


def recognise_text_column(table: Table) -> str:
    """Return the text column of a table without labels. Raises `DataError` if the choice is not clear."""
    if len(table.columns) == 1:
        return next(iter(table.columns))
    profiles = {name: _profile(values) for name, values in table.columns.items()}
    # A label column in the file must not compete with the text column, unless there is no other column.
    labels = _named_labels(profiles, None)
    others = [name for name in profiles if name not in labels and profiles[name].kind == "string"]
    return _text_column(table, profiles, labels if others else [], _FIX_WITHOUT_LABELS)


def recognise_id_column(table: Table, taken: Sequence[str]) -> str | None:
    """Return the column called `id`, in upper or lower case, unless it is one of `taken`."""
    return _id_column(table, taken)


def recognise_reasoning_column(table: Table, taken: Sequence[str | None]) -> str | None:
    """Return the column of texts whose name says that it has reasonings, unless it is one of `taken`.

    It is only proposed: reasonings are used where `data.reasoning_column` names them.
    """
    named = [name for name in table.columns if name not in taken and _plain_name(name) in _REASONING_NAMES]
    texts = (name for name in named if _profile(table.columns[name]).kind == "string")
    return next(texts, None)


def require_column(table: Table, name: str, setting: str, fix: str | None = None) -> None:
    """Raise `DataError` with a did-you-mean if the table has no such column."""
    if name not in table.columns:
        raise DataError(
            unknown_name("column", name, table.columns),
            where=f"{table.name} ({setting})",
            fix=fix or f"set {setting} to one of the columns",
        )


_FIX = "say which columns to use: data.text_column and data.label_column"
_FIX_WITHOUT_LABELS = "say which column to use: --text-column"


def _unclear(table: Table, problem: str, fix: str = _FIX) -> DataError:
    columns = ", ".join(repr(name) for name in table.columns)
    return DataError(f"{problem} Columns: {columns}.", where=table.name, fix=fix)


def _profile(values: Sequence[object]) -> _Profile:
    present = [value for value in values if not is_missing(value)]
    if not present:
        return _Profile("empty", 0, 0.0)
    cells = [value for value in present if is_scalar(value)]
    # A few odd cells are bad rows, reported one by one; they do not make it another kind of column.
    if len(cells) <= len(present) / 2:
        return _Profile("other", 0, 0.0)
    present = cells
    texts = [str(value) for value in present]
    kind: Literal["string", "integer", "number"] = "string"
    if all(integer_of(value) is not None for value in present):
        kind = "integer"
    elif all(_is_number(text) for text in texts):
        kind = "number"
    return _Profile(kind, len(set(texts)), sum(map(len, texts)) / len(texts), len(texts) / len(values))


def _is_number(text: str) -> bool:
    try:
        float(text)
    except ValueError:
        return False
    return True


def _plain_name(name: str) -> str:
    """Return the form that "intentName", "Intent Name" and "intent_name" have in common."""
    spaced = re.sub(r"(?<=[a-z])(?=[A-Z])", " ", name)
    return " ".join(re.sub(r"[\W_]+", " ", spaced).casefold().split())


def _id_column(table: Table, taken: Sequence[str | None]) -> str | None:
    free = [name for name in table.columns if name not in taken]
    return next((name for name in free if _plain_name(name) == "id"), None)


def _is_id(name: str) -> bool:
    words = _plain_name(name).split()
    return bool(words) and words[-1] in _ID_NAMES


def _tiers(names: Sequence[str], tiers: Sequence[Sequence[str]], loose: Sequence[str]) -> list[str]:
    """Return the names that match the first tier with a match. Whole names come before words in `loose` names."""
    for tier in tiers:
        exact = [name for name in names if _plain_name(name) in tier]
        if exact:
            return exact
    for tier in tiers:
        inside = [name for name in loose if set(_plain_name(name).split()) & set(tier)]
        if inside:
            return inside
    return []


def _named_labels(profiles: Mapping[str, _Profile], text: str | None) -> list[str]:
    usable = [name for name, profile in profiles.items() if name != text and profile.kind != "other"]
    loose = [name for name in usable if profiles[name].kind in ("string", "integer") and not _is_id(name)]
    lists = [name for name, profile in profiles.items() if name != text and profile.kind == "other"]
    # Lists of labels come last: where a text has one label, they are refused row by row for what they are.
    return _tiers(usable, _LABEL_NAMES, loose) or _tiers(lists, _LABEL_NAMES, [])


def _label_by_name(table: Table, profiles: Mapping[str, _Profile], text: str | None) -> str | None:
    named = _named_labels(profiles, text)
    if not named:
        classes = [name for name in table.class_names if name != text and name in profiles]
        return classes[0] if len(classes) == 1 else None
    label = _equivalent_column(table, profiles, named)
    if label is None:
        raise _unclear(table, f"Several columns could be the label: {', '.join(map(repr, named))}.")
    return label


def _label_by_content(table: Table, profiles: Mapping[str, _Profile], text: str) -> str:
    most = max(2.0, _MOST_LABELS_PER_ROW * len(table))
    fits = [
        name
        for name, profile in profiles.items()
        if name != text
        and profile.kind in ("string", "integer")
        and 2 <= profile.distinct <= most
        and not _is_id(name)
    ]
    strings = [name for name in fits if profiles[name].kind == "string"]
    label = _equivalent_column(table, profiles, strings or fits)
    if label is None:
        problem = "Several columns could be the label." if fits else "No column looks like a label."
        raise _unclear(table, problem)
    if label in {str(value).strip() for value in table.columns[label]}:
        raise DataError(
            f"The file seems to have no header: {label!r} is a column name and a label.",
            where=table.name,
            fix="add a first line with the column names, for example: text,label",
        )
    return label


def _equivalent_column(table: Table, profiles: Mapping[str, _Profile], names: Sequence[str]) -> str | None:
    """Return one of the columns if all of them hold the same values under other names, a column of strings first."""
    if not names:
        return None
    best = min(names, key=lambda name: (profiles[name].kind != "string", names.index(name)))
    cells = {name: list(map(str, table.columns[name])) for name in names}
    for name in names:
        pairs = set(zip(cells[best], cells[name], strict=True))
        if not len(pairs) == len(set(cells[best])) == len(set(cells[name])):
            return None
    return best


def _text_by_name(profiles: Mapping[str, _Profile], taken: Sequence[str]) -> list[str]:
    usable = [name for name, profile in profiles.items() if name not in taken and profile.kind != "other"]
    loose = [name for name in usable if profiles[name].kind == "string" and not _is_id(name)]
    return _tiers(usable, _TEXT_NAMES, loose)


def _text_column(
    table: Table, profiles: Mapping[str, _Profile], taken: Sequence[str], fix: str = _FIX
) -> str:
    named = _text_by_name(profiles, taken)
    if len(named) == 1:
        return named[0]
    strings = [name for name, profile in profiles.items() if name not in taken and profile.kind == "string"]
    candidates = named or [name for name in strings if not _is_id(name)]
    if not candidates:
        raise _unclear(table, "No column looks like a text.", fix)
    ordered = sorted(candidates, key=lambda name: -profiles[name].mean_length)
    if len(ordered) > 1:
        longest, second = (profiles[name].mean_length for name in ordered[:2])
        if longest < _CLEARLY_LONGER * second:
            raise _unclear(table, f"Several columns could be the text: {', '.join(map(repr, ordered))}.", fix)
    return ordered[0]
