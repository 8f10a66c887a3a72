"""The data sets of `data.yaml`, and what a setting changes in their rows."""

from __future__ import annotations

import random
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Any

import pyarrow
import pyarrow.compute
import pyarrow.parquet
import yaml

from whylabel.host.atomic import whole_file

PLACE = Path(__file__).parent / "data.yaml"
PLANTED = "ref {number}."
"""The sentence that is planted at the end of a text; its number tells a label, or does not."""


def known_data_sets() -> dict[str, dict[str, Any]]:
    """Return what is known of the data sets, by name."""
    found: dict[str, dict[str, Any]] = yaml.safe_load(PLACE.read_text(encoding="utf-8"))
    return found


@dataclass(frozen=True)
class Changes:
    """What a setting changes in the rows of a data set."""

    where: Mapping[str, Any] = field(default_factory=dict)
    """Only rows with these values."""
    given: int | None = None
    """So many train rows keep their reasoning, at even distances."""
    planted: float | None = None
    """A sentence at the end of each text tells the label in this share of the train rows, and else a label at random:
    in the rest of them and in all other rows."""

    @property
    def name(self) -> str:
        """Name the changes, as a part of a folder's name; empty if there are none."""
        said = {**self.where, "given": self.given, "planted": self.planted}
        return "-".join(f"{key}-{value}" for key, value in said.items() if value is not None)


CHANGES = [each.name for each in fields(Changes)]


@dataclass(frozen=True)
class DataSet:
    """A data set: its name, its folder, what is asked of it, and the label whose rows are left out."""

    name: str
    folder: Path
    asked: Sequence[str]
    drop: str | None = None

    @classmethod
    def of(cls, name: str, data: Path) -> DataSet:
        """Return a known one, in the folder of all data sets."""
        known = known_data_sets()[name]
        return cls(name, data / known.get("folder", name), known["overrides"], known.get("drop"))

    def overrides(self, split: str, changes: Changes, changed: Path) -> list[str]:
        """Return it as overrides of a recipe that is evaluated on `split`; changed rows go below `changed`."""
        folder = self.folder
        if changes.name or self.drop is not None:
            words = [self.name, changes.name] if changes.name else [self.name]
            folder = self.write(changed / "-".join(words), changes)
        places = {"data.source": folder / "train.parquet", "data.test": folder / f"{split}.parquet"}
        if split == "test":
            places["data.validation"] = folder / "validation.parquet"
        return [*self.asked, *(f"{key}={path}" for key, path in places.items() if path.exists())]

    def write(self, target: Path, changes: Changes) -> Path:
        """Write its splits with the changes, without the rows of the label to be dropped, and return where."""
        for file in sorted(self.folder.glob("*.parquet")):
            table = pyarrow.parquet.read_table(file)
            if self.drop is not None:
                table = table.filter(pyarrow.compute.not_equal(table["label_name"], self.drop))
            for column, value in changes.where.items():
                table = table.filter(pyarrow.compute.equal(table[column], value))
            if changes.given is not None and file.stem == "train":
                kept = {row * len(table) // changes.given for row in range(changes.given)}
                reasonings = enumerate(table["reasoning"].to_pylist())
                table = _with(table, "reasoning", [text if row in kept else None for row, text in reasonings])
            if changes.planted is not None:
                table = _planted(table, changes.planted if file.stem == "train" else 0.0, file.stem)
            with whole_file(target / file.name) as aside:
                pyarrow.parquet.write_table(table, aside)
        return target


def _planted(table: pyarrow.Table, share: float, seed: str) -> pyarrow.Table:
    """Return the rows with a sentence at the end of each text that tells the label in this share of them."""
    column = "label_name" if "label_name" in table.column_names else "label"
    labels = table[column].to_pylist()
    names = sorted(set(labels))
    draw = random.Random(seed)
    told = [label if draw.random() < share else draw.choice(names) for label in labels]
    texts = zip(table["text"].to_pylist(), told, strict=True)
    return _with(
        table, "text", [f"{text} {PLANTED.format(number=names.index(label))}" for text, label in texts]
    )


def _with(table: pyarrow.Table, column: str, cells: Sequence[str | None]) -> pyarrow.Table:
    place = table.column_names.index(column)
    return table.set_column(place, column, pyarrow.array(cells, pyarrow.string()))
