"""The columns of a table of predictions: those of the input, then what the model says, as each format has it."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from whylabel.data.parquet import Schema, column_types
from whylabel.data.texts import TextRow, Texts
from whylabel.types import Prediction

if TYPE_CHECKING:
    from whylabel.prediction.card import ModelCard

Carried = Literal["all", "none"]
"""Which columns of the input stand beside the predictions."""

PREDICTED = ("id", "label", "labels", "probabilities", "reasoning", "mode", "status", "error")
"""The columns of a prediction; a CSV file has `p(label)` for every label in place of `probabilities`."""


def read_lines() -> list[str]:
    """Return every line on stdin, UTF-8 whatever the locale.

    Bytes that are none become half surrogate pairs, so that their line fails alone.
    """
    lines = sys.stdin.buffer.read().decode("utf-8-sig", "surrogateescape").split("\n")
    if lines[-1] == "":
        lines.pop()
    return [line.removesuffix("\r") for line in lines]


@dataclass(frozen=True, slots=True)
class Layout:
    """Which columns there are: `names` says what those of the input are called, in their order."""

    names: Mapping[str, str]
    texts: Texts
    card: ModelCard

    @classmethod
    def of(cls, texts: Texts, card: ModelCard, carried: Carried) -> Layout:
        """Return the layout for rows and a model."""
        if carried == "none":
            return cls({}, texts, card)
        reserved = {*PREDICTED, *map(_probability, card.labels.names)}
        return cls(output_names(texts.columns, texts.id_column.name, reserved), texts, card)

    @property
    def renamed(self) -> dict[str, str]:
        """Columns of the input that have another name in the output; not the one with the ids."""
        return {name: other for name, other in self.names.items() if other not in (name, "id")}

    def record(self, row: TextRow, prediction: Prediction) -> dict[str, Any]:
        """Return a row as JSON lines and Parquet have it; `error` only where there is one."""
        said = self._said(row, prediction)
        probabilities = dict(zip(self.card.labels.names, prediction.probabilities, strict=False))
        said |= {
            "probabilities": probabilities,
            "reasoning": prediction.reasoning,
            "mode": prediction.mode,
            "status": prediction.status,
        }
        return {**said, "error": prediction.error} if prediction.error else said

    def csv_record(self, row: TextRow, prediction: Prediction) -> dict[str, Any]:
        """Return a row as CSV has it."""
        said = self._said(row, prediction)
        said.pop("labels", None)
        for name, value in zip(self.card.labels.names, prediction.probabilities, strict=False):
            said[_probability(name)] = f"{value:.6f}"
        return {
            **said,
            "reasoning": prediction.reasoning,
            "status": prediction.status,
            "error": prediction.error,
        }

    def csv_schema(self) -> Schema:
        """Return the columns of a CSV file."""
        probabilities = map(_probability, self.card.labels.names)
        names = (*self.names.values(), "id", "label", *probabilities, "reasoning", "status", "error")
        return dict.fromkeys(names, "text")

    def parquet_schema(self, source: Path | None) -> Schema:
        """Return the columns of a Parquet file with their types: the input's own, as far as it has any.

        `source` is the file of the input. Reads all of it where its types are to be seen from its cells.
        """
        import pyarrow

        from whylabel.data.arrow_types import arrow_types

        given = column_types(source) if source and source.suffix.lower() == ".parquet" else None
        types = arrow_types(lambda: self.texts.stream.pieces(None), given) if self.names else {}
        columns: dict[str, Any] = {other: types[name] for name, other in self.names.items()}
        if not self.texts.all_have_ids or "id" not in columns:
            columns["id"] = "text"
        columns["label"] = "text"
        if self.card.multi_label is not None:
            columns["labels"] = "texts"
        chances = pyarrow.struct([(name, pyarrow.float64()) for name in self.card.labels.names])
        columns["probabilities"] = chances
        return {**columns, **dict.fromkeys(("reasoning", "mode", "status", "error"), "text")}

    def _said(self, row: TextRow, prediction: Prediction) -> dict[str, Any]:
        """Return what all formats begin with."""
        cells = dict(zip(self.texts.columns, row.cells, strict=True)) if self.names else {}
        record = {other: cells[name] for name, other in self.names.items()}
        own_id = record.get("id")
        # Numbers that are ids stay numbers; of a text the blanks around it are no part of the id.
        if own_id is None or isinstance(own_id, str) or not self.texts.all_have_ids:
            record["id"] = prediction.id
        record["label"] = prediction.label
        if self.card.multi_label is not None:
            record["labels"] = list(self.card.multi_label.separator.split(prediction.label))
        return record


def output_names(columns: tuple[str, ...], id_column: str | None, reserved: set[str]) -> dict[str, str]:
    """Return what each column of the input is called in the output, all different, whatever their case.

    The id column is the prediction's `id` where it has that name. Another with the name of a prediction's column
    has `input_` before it.
    """
    taken = {name.casefold() for name in reserved}
    free = {name for name in columns if name.casefold() not in taken}
    taken |= {name.casefold() for name in free}
    names = {}
    for name in columns:
        other = name
        if name == id_column and name.casefold() == "id":
            other = "id"
        elif name not in free:
            while other.casefold() in taken:
                other = f"input_{other}"
            taken.add(other.casefold())
        names[name] = other
    return names


def _probability(label: str) -> str:
    return f"p({label})"
