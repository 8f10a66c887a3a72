"""A file of reasonings in the hands of a person."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pandas

Changes = dict[str, dict[str, Any]]


def edit(path: Path, changes: Changes, drop: tuple[str, ...] = ()) -> None:
    """Change cells of an exported file, by id and column, and drop columns."""
    readers = {
        ".csv": pandas.read_csv,
        ".jsonl": lambda p, **_: pandas.read_json(p, lines=True, convert_dates=False),
        ".parquet": pandas.read_parquet,
    }
    named = {"keep_default_na": False} if path.suffix == ".csv" else {}
    frame = readers[path.suffix](path, **named).set_index("id").astype(object)
    for row_id, values in changes.items():
        for column, value in values.items():
            if column == "id":
                frame = frame.rename(index={row_id: value})
            else:
                frame.loc[row_id, column] = value
    frame = frame.drop(columns=list(drop)).reset_index()
    if path.suffix == ".csv":
        frame.to_csv(path, index=False)
    elif path.suffix == ".jsonl":
        frame.to_json(path, orient="records", lines=True)
    else:
        frame.to_parquet(path)
