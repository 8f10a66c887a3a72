"""Rows of an exported file that comes back from people: which rows of the run they are, and what befell the file.

A spreadsheet rewrites ids such as 007, 1E5 or 1-2, and may read or save a file in a wrong encoding. So a row is found
by its id or by the hash beside its reasoning, and a file in which anything has changed that nobody edits is refused.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

from whylabel.data.cells import is_missing, is_scalar
from whylabel.data.readers import read_table
from whylabel.data.table import Table
from whylabel.errors import DataError
from whylabel.reasonings.review import ReviewRow, columns_hash, seen_hash
from whylabel.text.garbled import is_garbled
from whylabel.text.hashes import reasoning_hash
from whylabel.text.spreadsheet import as_kept, may_be_rewritten, restored
from whylabel.types import Example

_PLACES_NAMED = 10
# The search for the encoding takes some milliseconds a row, and rows of one file are garbled alike.
_ROWS_SEARCHED = 100
_FIX = (
    "export the rows again and open that file as UTF-8, its columns as text, then save it as CSV UTF-8; "
    "or edit a .jsonl file"
)
_ENCODING = "the file was opened or saved in another encoding than UTF-8"
_DESCRIBED = ("state", "reason", "condition", "reasoner")
_DECIDED = ("decided_by", "decided_at")
_SORTED = "somebody edited the column, or sorted or moved some columns without the others"


@dataclass(frozen=True, slots=True)
class Cells:
    """The cells of a row in the file; missing cells are empty."""

    place: str
    id: str
    text: str
    label: str
    reasoning: str
    state: str
    reason: str
    condition: str
    reasoner: str
    verdict: str
    note: str
    decided_by: str
    decided_at: str
    reasoning_hash: str
    columns_hash: str

    @property
    def seen(self) -> str:
        """What names the exported text and label: the first part of the hash."""
        return self.reasoning_hash.partition("-")[0]

    @property
    def edited(self) -> bool:
        """Whether the reasoning differs from the exported one; valid only if the file has its hash."""
        return reasoning_hash(self.reasoning) != self.reasoning_hash.partition("-")[2]

    @property
    def handed_out_empty(self) -> bool:
        """Whether the row was handed out for people to write its reasoning."""
        return self.reasoning_hash.partition("-")[2] == reasoning_hash("")

    def is_about(self, row: ReviewRow) -> bool:
        """Whether the row still has the exported text and label."""
        return self.seen == row.seen

    def as_exported(self, row: ReviewRow) -> Cells:
        """Return the cells with the exported reasoning, if only its line ends or its Unicode form have changed."""
        kept = as_kept(self.reasoning)
        if kept == as_kept(row.reasoning) and self.reasoning_hash in ("", row.reasoning_hash):
            return replace(self, reasoning=row.reasoning)
        if self.edited and reasoning_hash(kept) == self.reasoning_hash.partition("-")[2]:
            return replace(self, reasoning=kept)
        return self


@dataclass(slots=True)
class ExportedFile:
    """A file of rows, compared with the rows of the run."""

    table: Table
    rows: Sequence[ReviewRow]
    _by_id: dict[str, ReviewRow] = field(init=False)
    _by_seen: dict[str, list[ReviewRow]] = field(init=False)

    def __post_init__(self) -> None:
        self._by_id = {row.id: row for row in self.rows}
        self._by_seen = defaultdict(list)
        for row in self.rows:
            self._by_seen[row.seen].append(row)

    @classmethod
    def read(cls, path: Path, rows: Iterable[ReviewRow]) -> ExportedFile:
        """Read a file; for CSV, the protection against spreadsheet formulas is undone."""
        table = read_table(path)
        for name in ("id", "reasoning"):
            if name not in table.columns:
                garbled = is_garbled("\ufeffid", next(iter(table.columns)))
                cause = f" Most likely {_ENCODING}." if garbled else ""
                raise DataError(f"There is no column {name!r}.{cause}", where=str(path), fix=_FIX)
        if path.suffix.lower() in (".csv", ".tsv"):
            columns = {name: [*map(restored, cells)] for name, cells in table.columns.items()}
            table = replace(table, columns=columns)
        return cls(table, list(rows))

    def matched(self) -> list[tuple[int, Cells, ReviewRow]]:
        """Return each row of the file with its number and the row of the run that it is. Blank rows are left out.

        Raises `DataError` if a row is not found, or something has changed that nobody edits.
        """
        found = [(at, cells, self._row(cells)) for at, cells in self._cells()]
        unknown = [(at, cells) for at, cells, row in found if row is None]
        if unknown:
            ids = [(row.id, cells.id) for _, cells in unknown for row in self._by_seen.get(cells.seen, ())]
            cause = f" Most likely {_ENCODING}." if _any_garbled(ids) else ""
            raise DataError(
                f"No row of this run has the id {unknown[0][1].id!r}.{cause} Nothing was recorded.",
                where=self.where([at for at, _ in unknown]),
                fix=f"leave the column id as it was exported: {_FIX}",
            )
        matched = [(at, cells, row) for at, cells, row in found if row is not None]
        self._refuse_changed_columns(matched)
        matched = [(at, cells.as_exported(row), row) for at, cells, row in matched]
        self._refuse_garbled(matched)
        return matched

    def refuse_if_all_are_edited(self, matched: Sequence[tuple[int, Cells, ReviewRow]]) -> None:
        """Refuse a file in which every reasoning has changed, and nobody says that this is meant."""
        # A reasoning that was handed out empty was written, not changed.
        written = [
            cells
            for _, cells, row in matched
            if row.state != "failed" and cells.reasoning_hash and not cells.handed_out_empty
        ]
        meant = all(cells.verdict.strip().lower() in ("edited", "rejected") for cells in written)
        if len(written) > 1 and not meant and all(cells.edited for cells in written):
            raise DataError(
                f"The reasoning of every row ({len(written):,}) has changed: most likely {_ENCODING}, or a program "
                "has changed all of them. Nothing was recorded.",
                where=self.table.name,
                fix=f"if people did edit all of them, set verdict to edited in these rows; otherwise {_FIX}",
            )

    def where(self, rows: Sequence[int]) -> str:
        """Return the file and the places of rows in it: `rows.csv, lines 2, 5, 9 and 7 more`."""
        return f"{self.table.name}, {self.places(rows)}"

    def places(self, rows: Sequence[int]) -> str:
        """Return the places of rows in the file."""
        named = ", ".join(str(self.table.places[at]) for at in rows[:_PLACES_NAMED])
        more = f" and {len(rows) - _PLACES_NAMED:,} more" if len(rows) > _PLACES_NAMED else ""
        return f"{self.table.unit}{'s' if len(rows) > 1 else ''} {named}{more}"

    def _cells(self) -> Iterator[tuple[int, Cells]]:
        names = [name for name in Cells.__slots__ if name != "place"]
        for at in range(len(self.table)):
            if not all(is_missing(cells[at]) for cells in self.table.columns.values()):
                yield at, Cells(self.table.place(at), *(_cell(self.table, name, at) for name in names))

    def _row(self, cells: Cells) -> ReviewRow | None:
        """Return the row of the run: the one with the id, or one whose id a spreadsheet rewrites."""
        row = self._by_id.get(cells.id)
        seen = {cells.seen} if cells.seen else _seen(cells) if self._has_texts else set()
        if row is not None and (not seen or row.seen in seen):
            return row
        others = [
            other for name in seen for other in self._by_seen.get(name, ()) if may_be_rewritten(other.id)
        ]
        # Rows with one text and one label are decided alike, so either will do.
        return others[0] if len({other.row for other in others}) == 1 else row

    @property
    def _has_texts(self) -> bool:
        return {"text", "label"} <= self.table.columns.keys()

    def _refuse_changed_columns(self, matched: Sequence[tuple[int, Cells, ReviewRow]]) -> None:
        changed: dict[str, list[int]] = defaultdict(list)
        pairs = []
        for at, cells, row in matched:
            for name, true, given in self._changes(cells, row):
                changed[name].append(at)
                pairs.append((true, given))
        if changed:
            names = " and ".join(f"{name!r}" for name in changed)
            places = sorted({at for rows in changed.values() for at in rows})
            raise DataError(
                f"The column{'s' if len(changed) > 1 else ''} {names}, which nobody edits, "
                f"{'have' if len(changed) > 1 else 'has'} changed in {len(places):,} of {len(matched):,} rows: "
                f"most likely {_cause(pairs)}. Nothing was recorded.",
                where=self.where(places),
                fix=_FIX,
            )

    def _changes(self, cells: Cells, row: ReviewRow) -> Iterator[tuple[str, str, str]]:
        """Yield each column that nobody edits and that has changed: its name, the exported cell and the cell now."""
        seen = cells.seen
        if seen and not _is_hash(cells.reasoning_hash):
            yield "reasoning_hash", row.reasoning_hash, cells.reasoning_hash
            return
        about = not seen or row.seen == seen
        if about:
            yield from self._differing(cells, row, ("text", "label"))
        elif self._has_texts and seen not in _seen(cells):
            other = self._by_seen.get(seen, [row])[0]
            yield from self._differing(cells, other, ("text", "label"))
        elif seen in self._by_seen and cells.text and row.state != "failed":
            yield "id", self._by_seen[seen][0].id, cells.id
        described, _, decided = cells.columns_hash.partition("-")
        if about and described and described != _hash_of(cells, _DESCRIBED):
            found = list(self._differing(cells, row, _DESCRIBED))
            yield from found or [(" or ".join(_DESCRIBED), "", "")]
        if decided and decided != _hash_of(cells, _DECIDED):
            yield " or ".join(_DECIDED), "", ""
        for name in ("reason", "reasoner"):
            if is_garbled(getattr(row, name), getattr(cells, name)):
                yield name, getattr(row, name), getattr(cells, name)

    def _differing(
        self, cells: Cells, row: ReviewRow, names: Sequence[str]
    ) -> Iterator[tuple[str, str, str]]:
        for name in names:
            true, given = getattr(row, name), getattr(cells, name)
            if name in self.table.columns and as_kept(true) != as_kept(given) and not may_be_rewritten(true):
                yield name, true, given

    def _refuse_garbled(self, matched: Sequence[tuple[int, Cells, ReviewRow]]) -> None:
        edited = [(at, cells, row) for at, cells, row in matched if cells.reasoning != row.reasoning]
        for at, cells, row in edited[:_ROWS_SEARCHED]:
            if is_garbled(row.reasoning, cells.reasoning):
                raise DataError(
                    f"A reasoning is not edited but garbled: most likely {_ENCODING}. Nothing was recorded.",
                    where=self.where([at]),
                    fix=_FIX,
                )


def _cause(pairs: Sequence[tuple[str, str]]) -> str:
    if _any_garbled(pairs):
        return _ENCODING
    if all(given and true.startswith(given) for true, given in pairs):
        return "a spreadsheet has cut long cells"
    return _SORTED


def _any_garbled(pairs: Sequence[tuple[str, str]]) -> bool:
    return any(is_garbled(true, given) for true, given in pairs[:_ROWS_SEARCHED])


def _seen(cells: Cells) -> set[str]:
    """Return what may name the text and the label that the file has now, whatever their line ends were."""
    texts = {cells.text, cells.text.replace("\r\n", "\n"), as_kept(cells.text)}
    return {seen_hash(Example(cells.id, text, cells.label), "").partition("-")[0] for text in texts}


def _hash_of(cells: Cells, names: Sequence[str]) -> str:
    return columns_hash(*(getattr(cells, name) for name in names))


def _is_hash(text: str) -> bool:
    seen, dash, reasoning = text.partition("-")
    return bool(dash) and len(seen) == 9 and len(reasoning) == 16 and set(text) <= set("r-0123456789abcdef")


def _cell(table: Table, name: str, at: int) -> str:
    value = table.columns[name][at] if name in table.columns else None
    if isinstance(value, str):
        return value
    if not is_scalar(value):
        raise DataError(
            f"The {name} is a {type(value).__name__}, not a text.",
            where=table.place(at),
            fix=f"write the {name} as a text",
        )
    return "" if is_missing(value) else str(value)
