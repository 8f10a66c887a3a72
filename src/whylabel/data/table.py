"""A table as it was read, before anyone knows which column is which."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Literal

from whylabel.errors import DataError

if TYPE_CHECKING:
    import pandas


@dataclass(frozen=True, slots=True)
class Table:
    """Columns of equal length, and where each row stood.

    `name` is what error messages call the table. `places` holds each row's 1-based line or row number.
    `class_names` gives, for integer columns that carry them, the name of 0, 1, 2, ...
    """

    name: str
    columns: Mapping[str, list[Any]]
    places: Sequence[int]
    unit: Literal["line", "row"] = "row"
    class_names: Mapping[str, tuple[str, ...]] = field(default_factory=dict)

    def __len__(self) -> int:
        return len(self.places)

    def place(self, row: int) -> str:
        """Return where a row stood, as error messages say it: "data.csv, line 7"."""
        return f"{self.name}, {self.unit} {self.places[row]}"


def column_names(header: Sequence[object], where: str) -> list[str]:
    """Return the header's names, trimmed; nameless columns are numbered from 1.

    Raises `DataError` if a name stands twice.
    """
    names = [str(name).strip() or f"column {at}" for at, name in enumerate(header, start=1)]
    twice = sorted({name for name in names if names.count(name) > 1})
    if twice:
        raise DataError(
            f"Column names occur twice: {', '.join(map(repr, twice))}.",
            where=where,
            fix="give each column its own name in the header",
        )
    return names


def table_from_frame(frame: pandas.DataFrame, name: str = "the DataFrame") -> Table:
    """Return a pandas DataFrame as a table. Raises `DataError` if it has no rows or a column twice."""
    names = column_names(list(frame.columns), name)
    if not len(frame):
        raise DataError("The DataFrame has no rows.", where=name, fix="pass labelled rows")
    columns = {column: frame.iloc[:, at].tolist() for at, column in enumerate(names)}
    return Table(name, columns, range(1, len(frame) + 1))
