"""Data sets: read them, check them, split them."""

from __future__ import annotations

from whylabel.data.builtin import builtin_names
from whylabel.data.findings import Finding
from whylabel.data.inspect import Inspection, inspect_dataset
from whylabel.data.load import dataset_from_frame, load_dataset, load_reasoning
from whylabel.data.texts import load_texts
from whylabel.text.hashes import rows_fingerprint as fingerprint

__all__ = [
    "Finding",
    "Inspection",
    "builtin_names",
    "dataset_from_frame",
    "fingerprint",
    "inspect_dataset",
    "load_dataset",
    "load_reasoning",
    "load_texts",
]
