"""Tables to rows with their problems, and rows without problems to examples."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

from whylabel.data.cells import LabelReader, is_broken, is_missing, is_scalar, text_hash, text_of
from whylabel.data.columns import Columns, require_column
from whylabel.data.table import Table
from whylabel.errors import DataError, LabelError, unknown_name
from whylabel.progress import say
from whylabel.recipe import DataConfig, TaskConfig
from whylabel.types import Example

PROBLEMS = {
    "missing_text": "without a text",
    "missing_label": "without a label",
    "broken_text": "whose text is not readable as text",
    "several_labels": "whose label is not one value",
    "unknown_label": "with a label outside the label set",
    "duplicate_id": "with an id that an earlier row has",
}
"""Why a row cannot be used, as error messages say it."""

DROPPABLE = frozenset({"missing_text", "missing_label", "broken_text"})
"""Problems that `data.bad_rows=drop` answers; the others mean that the data contradicts itself."""

_SHOWN = 5


@dataclass(frozen=True, slots=True)
class Row:
    """A row as it was read: `problems` holds keys of `PROBLEMS`."""

    split: str
    place: str
    id: str
    text: str
    label: str
    problems: tuple[str, ...] = ()

    @property
    def example(self) -> Example:
        """The row as an example."""
        return Example(self.id, self.text, self.label)


@dataclass(frozen=True, slots=True)
class Rows:
    """All rows of all splits in order, and the closed label set where one is known."""

    rows: tuple[Row, ...]
    known: tuple[str, ...] | None
    inferred: dict[str, str]

    def usable(self) -> dict[str, list[Example]]:
        """Return the examples of the rows without problems, by split."""
        splits: dict[str, list[Example]] = {}
        for row in self.rows:
            examples = splits.setdefault(row.split, [])
            if not row.problems:
                examples.append(row.example)
        return splits


def collect_rows(tables: dict[str, Table], columns: Columns, task: TaskConfig) -> Rows:
    """Read every row of every split, good or bad: rows in = rows out.

    Raises `DataError` if a split lacks a column that train has.
    """
    for table in tables.values():
        require_column(table, columns.text, "data.text_column")
        require_column(table, columns.label, "data.label_column")
    values = [value for table in tables.values() for value in table.columns[columns.label]]
    class_names = next(
        (names for table in tables.values() if (names := table.class_names.get(columns.label))), None
    )
    labels = LabelReader(values, class_names, task.labels)
    rows: list[Row] = []
    hashes: dict[str, int] = {}
    for split, table in tables.items():
        ids = row_ids(table, columns.id, table.columns[columns.text], hashes)
        seen: set[str] = set()
        for at, identifier in enumerate(ids):
            row = _row(split, table, at, identifier, columns, labels)
            if identifier in seen:
                row = replace(row, problems=(*row.problems, "duplicate_id"))
            seen.add(identifier)
            rows.append(row)
    inferred = {}
    if labels.named:
        source = "the data set's class names" if class_names else "task.labels, in order"
        inferred["label_names"] = f"integers read as {source}"
    return Rows(tuple(rows), labels.known, inferred)


def row_ids(
    table: Table, id_column: str | None, texts: Sequence[object], hashes: dict[str, int]
) -> list[str]:
    """Return each row's own id, or its text's hash; a repeated hash gets -2, -3, ...

    `hashes` counts those given so far, so that several splits share one count.
    """
    given = table.columns.get(id_column) if id_column is not None else None
    ids = []
    for at, text in enumerate(texts):
        if given is not None and not is_missing(given[at]):
            ids.append(str(given[at]).strip())
            continue
        digest = text_hash(text_of(text))
        hashes[digest] = hashes.get(digest, 0) + 1
        ids.append(digest if hashes[digest] == 1 else f"{digest}-{hashes[digest]}")
    return ids


def refuse_bad_rows(rows: Rows, config: DataConfig) -> dict[str, str]:
    """Raise for rows that cannot be used, or, with `data.bad_rows=drop`, say which ones are left out.

    Returns what to note of them. Raises `LabelError` for labels outside the set, else `DataError`.
    """
    several = _with(rows, "several_labels")
    if several:
        raise LabelError(
            f"{len(several)} of {len(rows.rows)} rows have a list or an object as their label.",
            where=_places(several),
            fix="give each text exactly one label, or name another column: data.label_column",
        )
    unknown = _with(rows, "unknown_label")
    if unknown and rows.known is not None:
        first = unknown[0]
        more = f" {len(unknown)} rows have such labels." if len(unknown) > 1 else ""
        raise LabelError(
            unknown_name("label", first.label, rows.known) + more,
            where=_places(unknown),
            fix="correct the rows, or add the label to task.labels",
        )
    twice = [row for row in _with(rows, "duplicate_id") if not DROPPABLE & set(row.problems)]
    if twice:
        raise DataError(
            f"{len(twice)} rows have an id that an earlier row has.",
            where=_places(twice),
            fix="make the ids unique, or name another column: data.id_column",
        )
    bad = [row for row in rows.rows if DROPPABLE & set(row.problems)]
    if not bad:
        return {}
    counts = describe(bad)
    if config.bad_rows == "error":
        raise DataError(
            f"{len(bad)} of {len(rows.rows)} rows cannot be used: {counts}.",
            where=_places(bad),
            fix="mend them, or leave them out: data.bad_rows=drop",
        )
    say(f"Left out {len(bad)} of {len(rows.rows)} rows: {counts} ({_places(bad)}).")
    return {"bad_rows": f"{len(bad)} of {len(rows.rows)} left out: {counts}"}


def describe(bad: Sequence[Row]) -> str:
    """Return how many rows have which problem: "3 without a label, 1 without a text"."""
    counts = {kind: sum(kind in row.problems for row in bad) for kind in PROBLEMS}
    return ", ".join(f"{count} {PROBLEMS[kind]}" for kind, count in counts.items() if count)


def _row(split: str, table: Table, at: int, identifier: str, columns: Columns, labels: LabelReader) -> Row:
    text_cell, label_cell = table.columns[columns.text][at], table.columns[columns.label][at]
    text, label, problems = text_of(text_cell), "", list[str]()
    if is_missing(text_cell):
        problems.append("missing_text")
    elif not is_scalar(text_cell) or is_broken(text):
        problems.append("broken_text")
    read = labels.read(label_cell) if is_scalar(label_cell) else ""
    if read is None:
        problems.append("missing_label")
    elif not read:
        problems.append("several_labels")
    else:
        label = read
        if labels.known is not None and label not in labels.known:
            problems.append("unknown_label")
    return Row(split, table.place(at), identifier, text, label, tuple(problems))


def _with(rows: Rows, problem: str) -> list[Row]:
    return [row for row in rows.rows if problem in row.problems]


def _places(rows: Sequence[Row]) -> str:
    shown = "; ".join(f"{row.place} (id {row.id})" for row in rows[:_SHOWN])
    return shown + (f"; and {len(rows) - _SHOWN} more" if len(rows) > _SHOWN else "")
