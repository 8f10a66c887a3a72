"""Data sets of the Hugging Face hub, named `hub:owner/name` or `hub:owner/name:config`."""

from __future__ import annotations

import os
import re
from collections.abc import Collection, Iterator
from typing import Any

from whylabel.data.cells import as_written
from whylabel.data.table import PIECE_ROWS, Stream, Table, stream
from whylabel.errors import DataError
from whylabel.host.runtime import hub_endpoint

_FORM = re.compile(r"(?P<id>[\w.-]+(?:/[\w.-]+)?)(?::(?P<config>[^:]+))?")


def read_hub(source: str) -> dict[str, Stream]:
    """Return every split of a hub data set by its own name. Only columns of plain values are kept.

    Raises `DataError` if the name is malformed, unknown, or the hub cannot be reached.
    """
    match = _FORM.fullmatch(source.removeprefix("hub:"))
    if match is None:
        raise DataError(
            f"{source!r} is not of the form hub:owner/name[:config].", where=source, fix="correct the name"
        )
    # The libraries read these when they are imported.
    hub_endpoint()
    os.environ.setdefault("HF_HUB_DISABLE_TELEMETRY", "1")
    import datasets

    try:
        loaded = datasets.load_dataset(match["id"], match["config"])
    except Exception as error:  # a border: the hub raises a dozen kinds
        raise _readable(error, source) from None
    splits = loaded if isinstance(loaded, dict) else {"train": loaded}
    return {str(name): _stream(source, str(name), rows) for name, rows in splits.items()}


def _stream(source: str, split: str, rows: Any) -> Stream:
    import datasets

    kinds = (datasets.Value, datasets.ClassLabel)
    # Columns of images or audio are left out: they would be decoded when they are read.
    plain = [
        name
        for name, feature in rows.features.items()
        if isinstance(feature, kinds) or isinstance(getattr(feature, "feature", None), kinds)
    ]
    # Of a list of labels, the names are those of its items.
    items = {name: getattr(feature, "feature", feature) for name, feature in rows.features.items()}
    class_names = {
        name: tuple(feature.names)
        for name, feature in items.items()
        if isinstance(feature, datasets.ClassLabel) and feature.names
    }

    def pieces(columns: Collection[str] | None) -> Iterator[Table]:
        wanted = [name for name in plain if columns is None or name in columns]
        content = rows.with_format(None).select_columns(wanted)
        # A split without rows yields one empty piece.
        for start in range(0, max(len(rows), 1), PIECE_ROWS):
            part = dict(content[start : start + PIECE_ROWS]) if wanted else {}
            for name in wanted:
                if getattr(rows.features[name], "dtype", None) == "float32":
                    part[name] = as_written(part[name])
            places = range(start + 1, min(start + PIECE_ROWS, len(rows)) + 1)
            yield Table(f"{source} {split}", part, places, class_names=class_names)

    return stream(pieces)


def _readable(error: Exception, source: str) -> DataError:
    problem = str(error).strip().split("\n")[0][:300].rstrip(".") or type(error).__name__
    kind = type(error).__name__
    if "NotFound" in kind:
        what = f"The hub has no such data set, or you may not see it: {problem}."
        fix = "check the name on huggingface.co/datasets; for a private one set HF_TOKEN"
    elif isinstance(error, ValueError):
        what = f"The hub data set cannot be loaded: {problem}."
        fix = "name one of its configurations: hub:owner/name:config"
    else:
        what = f"The hub data set cannot be loaded: {kind}: {problem}."
        fix = "check the network, or download the files and name their folder instead"
    return DataError(what, where=source, fix=fix)
