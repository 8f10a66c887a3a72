"""Reads streams once and returns their rows: texts are kept in the spool, a few bytes a row in memory."""

from __future__ import annotations

from array import array
from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from whylabel.data.cells import (
    PLACEHOLDERS,
    LabelReader,
    escaped,
    is_missing,
    is_scalar,
    normalise_text,
    text_of,
)
from whylabel.data.columns import Columns
from whylabel.data.labelling import Labelling, labelling
from whylabel.data.rows import PROBLEM_BITS, Rows, numbered_id
from whylabel.data.split import SPLITS, SplitKeys, first_equal
from whylabel.data.spool import Spool
from whylabel.data.table import Stream, Table
from whylabel.data.unlabelled import unlabelled_splits
from whylabel.errors import DataError
from whylabel.recipe import TaskConfig
from whylabel.text.hashes import text_hash, text_number
from whylabel.text.words import is_broken

_SHOWN_LABELS = 5

if TYPE_CHECKING:
    import numpy
    from numpy.typing import NDArray


def collect_rows(streams: Mapping[str, Stream], columns: Columns, task: TaskConfig) -> Rows:
    """Read every row of every split, good or bad: rows in = rows out.

    Raises `DataError` if a split cannot be read to its end, or if the splits name integer labels differently.
    """
    import numpy

    kind = labelling(task)
    collected = _Collected(columns, kind)
    # Train comes first, whatever the files are called: its ids must not depend on the rows of other splits.
    splits = {split: collected.read(streams[split]) for split in SPLITS if split in streams}
    class_names = _class_names([streams[split].head for split in splits], columns.label)
    label_cells = kind.settled([cell for _, cell in collected.cells.values()], task.labels or ())
    cells = numpy.frombuffer(collected.label_cells, dtype=numpy.int32)
    contents = {
        split: [label_cells[cell] for cell in numpy.unique(cells[numbers.start : numbers.stop]).tolist()]
        for split, numbers in splits.items()
    }
    set_aside = unlabelled_splits(contents, kind, task.labels or (), named=bool(class_names))
    read = [cell for split, found in contents.items() if split not in set_aside for cell in found]
    reader = LabelReader((value for cell in read for value in kind.values(cell)), class_names, task.labels)
    label_names, places, bits = _read_labels(label_cells, reader, kind)
    labels = places[cells]
    ids = numpy.frombuffer(collected.ids, dtype=numpy.int64)
    repeats = _repeats(ids, numpy.frombuffer(collected.has_id, dtype=bool))
    problems = numpy.frombuffer(collected.problems, dtype=numpy.uint8) | bits[cells]
    problems |= _duplicate_ids(ids, repeats, splits, collected.spool)
    for split in set_aside:
        problems[splits[split].start : splits[split].stop] = 0
    strata, stratum_names = _strata(labels, label_names, kind, splits["train"])
    inferred = {}
    if reader.named:
        source = "the data set's class names" if class_names else "task.labels, in order"
        inferred["label_names"] = f"integers read as {source}"
    if reader.rewritten:
        inferred["label_numbers"] = described_rewriting(reader.rewritten)
    return Rows(
        splits=splits,
        spool=collected.spool,
        keys=SplitKeys(strata, stratum_names, numpy.frombuffer(collected.texts, dtype=numpy.int64)),
        labels=labels,
        label_names=label_names,
        labelling=kind,
        problems=problems,
        repeats=repeats,
        where={split: f"{stream.head.name}, {stream.head.unit}" for split, stream in streams.items()},
        known=reader.known,
        inferred=inferred,
        with_line_breaks=collected.with_line_breaks,
        with_reasoning=collected.with_reasoning,
        unreadable_reasonings=collected.unreadable_reasonings,
        set_aside=set_aside,
        rewritten=reader.rewritten,
    )


def described_rewriting(rewritten: Mapping[str, str]) -> str:
    """Return which labels are read without their decimal places: `1.0, 2.0 read as 1, 2`."""
    shown = list(rewritten.items())[:_SHOWN_LABELS]
    more = ", ..." if len(rewritten) > len(shown) else ""
    written, read = (", ".join(texts) for texts in zip(*shown, strict=True))
    return f"{written}{more} read as {read}{more}"


def _class_names(heads: Sequence[Table], label: str) -> tuple[str, ...] | None:
    """Return the names of integer labels in the data. Raises `DataError` if two splits name them differently."""
    named = [head for head in heads if head.class_names.get(label)]
    if not named:
        return None
    first, *others = named
    for other in others:
        if other.class_names[label] != first.class_names[label]:
            raise DataError(
                f"The class names of column {label!r} differ from those of {first.name}.",
                where=other.name,
                fix="write all splits with the same class names, or with labels as strings",
            )
    return first.class_names[label]


def _strata(
    labels: NDArray[numpy.int32], label_names: tuple[str, ...], kind: Labelling, train: range
) -> tuple[NDArray[numpy.int32], tuple[str, ...]]:
    """Return each row's stratum and the names of the strata: its label, or of its labels the rarest one in train."""
    import numpy

    # Rows of other splits do not count: they must not change which rows are drawn from train.
    counts = numpy.bincount(labels[train.start : train.stop], minlength=len(label_names))
    strata = kind.strata(label_names, counts.tolist())
    if strata is label_names:
        return labels, label_names
    places: dict[str, int] = {}
    for name in strata:
        places.setdefault(name, len(places))
    stratum_of_label = numpy.array([places[name] for name in strata], dtype=numpy.int32)
    return stratum_of_label[labels], tuple(places)


class _Collected:
    """What is collected of the rows while the data is read: texts in the spool, and a number a row in each array.

    A `text_number` stands for each text and each id. Two texts that share one by chance are kept in one split; two
    such ids are called equal.
    """

    def __init__(self, columns: Columns, kind: Labelling) -> None:
        self._columns = columns
        self._kind = kind
        self.spool = Spool()
        self.cells: dict[Any, tuple[int, Any]] = {}
        """The distinct label cells with their numbers. They become labels when all of them are known."""
        self.label_cells = array("i")
        """The number of each row's label cell."""
        self.problems = array("B")
        self.with_line_breaks = array("q")
        """The rows whose text has line breaks."""
        self.with_reasoning = array("q")
        """The rows that came with a reasoning."""
        self.unreadable_reasonings = array("q")
        """The rows that have something else in place of a reasoning."""
        self.texts = array("q")
        """Equal numbers where texts count as equal."""
        self.ids = array("q")
        """The numbers of the rows' ids; a row without an id has the hash of its text instead."""
        self.has_id = array("B")

    def read(self, stream: Stream) -> range:
        """Add every row of a stream and return the numbers of these rows."""
        start = len(self.spool)
        columns = self._columns
        names = (columns.text, columns.label, columns.id, columns.reasoning)
        for piece in stream.pieces({name for name in names if name is not None}):
            cells = (piece.column(name) for name in names)
            for text, label, own_id, reasoning, place in zip(*cells, piece.places, strict=True):
                self._add(text, label, own_id, place, *self._reasoning(reasoning))
        return range(start, len(self.spool))

    def _reasoning(self, cell: Any) -> tuple[str, ...]:
        """Return the reasoning that is in a cell, if any; note what cannot be one."""
        if is_missing(cell) or (isinstance(cell, str) and cell.strip().casefold() in PLACEHOLDERS):
            return ()
        if not isinstance(cell, str) or is_broken(cell):
            self.unreadable_reasonings.append(len(self.spool))
            return ()
        self.with_reasoning.append(len(self.spool))
        return (cell.strip(),)

    def _add(self, text_cell: Any, label_cell: Any, id_cell: Any, place: int, *reasoning: str) -> None:
        text = text_of(text_cell)
        problem = 0
        if is_missing(text_cell):
            problem = PROBLEM_BITS["missing_text"]
        elif not is_scalar(text_cell) or is_broken(text):
            problem = PROBLEM_BITS["broken_text"]
        row_id = text_of(id_cell).strip()
        if is_broken(row_id):
            problem |= PROBLEM_BITS["broken_id"]
            row_id = ""  # messages can show the hash of the text
        has_id = bool(row_id)
        row_id = row_id or text_hash(text)
        if "\n" in text:
            self.with_line_breaks.append(len(self.spool))
        self.spool.append((row_id, text, place, *reasoning))
        self.problems.append(problem)
        self.texts.append(text_number(normalise_text(text)))
        self.ids.append(text_number(row_id))
        self.has_id.append(has_id)
        self.label_cells.append(self._number(label_cell))

    def _number(self, cell: Any) -> int:
        """Return the number of a label cell among the distinct ones. Cells of different types are never equal."""
        cell = self._kind.kept(cell)
        key = cell if type(cell) is str else (type(cell), str(cell))
        return self.cells.setdefault(key, (len(self.cells), cell))[0]


def _read_labels(
    cells: Iterable[Any], reader: LabelReader, kind: Labelling
) -> tuple[tuple[str, ...], NDArray[numpy.int32], NDArray[numpy.uint8]]:
    """Return the distinct labels and, for each cell, the place of its label among them and the bit of its problem."""
    import numpy

    places: dict[str, int] = {}
    labels, bits = [], []
    for cell in cells:
        label, problem = kind.read(cell, reader)
        labels.append(places.setdefault(label, len(places)))
        bits.append(PROBLEM_BITS[problem] if problem else 0)
    return tuple(places), numpy.array(labels, dtype=numpy.int32), numpy.array(bits, dtype=numpy.uint8)


def _repeats(ids: NDArray[numpy.int64], has_id: NDArray[numpy.bool_]) -> NDArray[numpy.int32]:
    """Return for each row without an id how many rows without an id have its text by now; 0 for rows with an id."""
    import numpy

    without = numpy.flatnonzero(~has_id)
    repeats = numpy.where(has_id, 0, 1).astype(numpy.int32)
    first = first_equal(ids[without])
    counts: dict[int, int] = {}
    for place in numpy.flatnonzero(first != numpy.arange(len(first))).tolist():
        first_place = int(first[place])
        counts[first_place] = counts.get(first_place, 1) + 1
        repeats[without[place]] = counts[first_place]
    return repeats


def _duplicate_ids(
    ids: NDArray[numpy.int64], repeats: NDArray[numpy.int32], splits: Mapping[str, range], spool: Spool
) -> NDArray[numpy.uint8]:
    """Return the bit of `duplicate_id` for rows whose id an earlier row of their split has, else 0."""
    import numpy

    bits = numpy.zeros(len(ids), dtype=numpy.uint8)
    if repeats.all():
        return bits  # no row has an id of its own, and the ids made of texts are distinct
    ids = ids.copy()
    for number in numpy.flatnonzero(repeats > 1).tolist():
        ids[number] = text_number(numbered_id(spool[number][0], repeats[number]))
    for numbers in splits.values():
        first = first_equal(ids[numbers.start : numbers.stop])
        repeated = numpy.flatnonzero(first != numpy.arange(len(first)))
        bits[repeated + numbers.start] = PROBLEM_BITS["duplicate_id"]
    return bits


def row_ids(
    table: Table, id_column: str | None, texts: Sequence[object], hashes: dict[str, int]
) -> list[str]:
    """Return each row's own id, or the hash of its text. A repeated hash gets -2, -3, ...; a broken id is escaped.

    `hashes` counts the hashes so far, so that several tables can share one count.
    """
    given = table.columns.get(id_column) if id_column is not None else None
    ids = []
    for at, text in enumerate(texts):
        if given is not None and not is_missing(given[at]):
            ids.append(escaped(str(given[at]).strip()))
            continue
        digest = text_hash(text_of(text))
        hashes[digest] = hashes.get(digest, 0) + 1
        ids.append(numbered_id(digest, hashes[digest]))
    return ids
