"""The columns of a table of predictions in each format: those of the input, then those of the prediction."""

from __future__ import annotations

import json
import sys
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from whylabel.data.parquet import Schema, column_types
from whylabel.data.texts import TextRow, Texts
from whylabel.types import Prediction

if TYPE_CHECKING:
    from whylabel.prediction.card import ModelCard

Carried = Literal["all", "none"]
"""Which columns of the input are written beside the predictions."""

PREDICTED = (
    "id",
    "label",
    "labels",
    "probabilities",
    "reasoning",
    "reasoning_status",
    "disagrees",
    "evidence",
    "to_review",
    "mode",
    "status",
    "error",
)
"""The columns of a prediction; a CSV file has `p(label)` for every label in place of `probabilities`."""

_YES_OR_NO = {None: "", True: "yes", False: "no"}


def read_lines() -> list[str]:
    """Return every line on stdin, read as UTF-8 whatever the locale.

    Bytes that are not UTF-8 become half surrogate pairs, so that only their line fails.
    """
    lines = sys.stdin.buffer.read().decode("utf-8-sig", "surrogateescape").split("\n")
    if lines[-1] == "":
        lines.pop()
    return [line.removesuffix("\r") for line in lines]


@dataclass(frozen=True, slots=True)
class Layout:
    """The columns of the output: `names` maps each column of the input to its name in the output, in order."""

    names: Mapping[str, str]
    texts: Texts
    card: ModelCard
    evidence: bool = False
    """Whether there is a column for the evidence."""
    review: bool = False
    """Whether there is a column that says which rows a person should see."""

    @classmethod
    def of(
        cls, texts: Texts, card: ModelCard, carried: Carried, *, evidence: bool = False, review: bool = False
    ) -> Layout:
        """Return the layout for rows and a model."""
        if carried == "none":
            return cls({}, texts, card, evidence, review)
        reserved = {*PREDICTED, *map(_probability, card.labels.names)}
        names = output_names(texts.columns, texts.id_column.name, reserved)
        return cls(names, texts, card, evidence, review)

    @property
    def renamed(self) -> dict[str, str]:
        """Columns of the input that get another name in the output, except the one that becomes `id`."""
        return {name: other for name, other in self.names.items() if other not in (name, "id")}

    def record(self, row: TextRow, prediction: Prediction, *, to_review: bool = False) -> dict[str, Any]:
        """Return a row for JSON lines or Parquet; it has `error` only if there is one."""
        record = self._common(row, prediction)
        probabilities = dict(zip(self.card.labels.names, prediction.probabilities, strict=False))
        record |= {
            "probabilities": probabilities,
            "reasoning": prediction.reasoning,
            "reasoning_status": prediction.reasoning_status,
            "disagrees": prediction.disagrees,
            **({"evidence": _stretches(prediction)} if self.evidence else {}),
            **({"to_review": to_review} if self.review else {}),
            "mode": prediction.mode,
            "status": prediction.status,
        }
        return {**record, "error": prediction.error} if prediction.error else record

    def csv_record(self, row: TextRow, prediction: Prediction, *, to_review: bool = False) -> dict[str, Any]:
        """Return a row for CSV."""
        record = self._common(row, prediction)
        record.pop("labels", None)
        for name, value in zip(self.card.labels.names, prediction.probabilities, strict=False):
            record[_probability(name)] = f"{value:.6f}"
        stretches = _stretches(prediction)
        evidence = "" if stretches is None else json.dumps(stretches, ensure_ascii=False)
        return {
            **record,
            "reasoning": prediction.reasoning,
            "reasoning_status": prediction.reasoning_status,
            "disagrees": _YES_OR_NO[prediction.disagrees],
            **({"evidence": evidence} if self.evidence else {}),
            **({"to_review": _YES_OR_NO[to_review]} if self.review else {}),
            "status": prediction.status,
            "error": prediction.error,
        }

    def csv_schema(self) -> Schema:
        """Return the columns of a CSV file."""
        probabilities = map(_probability, self.card.labels.names)
        asked = [name for name, wanted in (("evidence", self.evidence), ("to_review", self.review)) if wanted]
        last = ("reasoning", "reasoning_status", "disagrees", *asked, "status", "error")
        return dict.fromkeys((*self.names.values(), "id", "label", *probabilities, *last), "text")

    def parquet_schema(self, source: Path | None) -> Schema:
        """Return the columns of a Parquet file with their types. The input's columns keep theirs, if they have any.

        `source` is the file of the input. The whole file is read if its types must be found from its cells.
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
        columns |= {"probabilities": chances, "reasoning": "text", "reasoning_status": "text"}
        columns["disagrees"] = "truth"
        if self.evidence:
            place, effect = pyarrow.int64(), pyarrow.float64()
            fields = {"start": place, "end": place, "text": pyarrow.string(), "effect": effect}
            columns["evidence"] = pyarrow.list_(pyarrow.struct(list(fields.items())))
        if self.review:
            columns["to_review"] = "truth"
        return {**columns, **dict.fromkeys(("mode", "status", "error"), "text")}

    def _common(self, row: TextRow, prediction: Prediction) -> dict[str, Any]:
        """Return the first columns, which all formats share."""
        cells = dict(zip(self.texts.columns, row.cells, strict=True)) if self.names else {}
        record = {other: cells[name] for name, other in self.names.items()}
        own_id = record.get("id")
        # Ids that are numbers stay numbers. If an id is a string, blanks around it do not belong to the id.
        if own_id is None or isinstance(own_id, str) or not self.texts.all_have_ids:
            record["id"] = prediction.id
        record["label"] = prediction.label
        if self.card.multi_label is not None:
            record["labels"] = list(self.card.multi_label.separator.split(prediction.label))
        return record


def output_names(columns: tuple[str, ...], id_column: str | None, reserved: set[str]) -> dict[str, str]:
    """Return the name in the output for each column of the input. No two names are equal, whatever their case.

    An id column called `id` becomes the prediction's `id`. Any other column with the name of a prediction's column
    gets the prefix `input_`.
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


def _stretches(prediction: Prediction) -> list[dict[str, Any]] | None:
    """Return the evidence as plain values; None for a failed row."""
    return None if prediction.evidence is None else [asdict(stretch) for stretch in prediction.evidence]


def _probability(label: str) -> str:
    return f"p({label})"
