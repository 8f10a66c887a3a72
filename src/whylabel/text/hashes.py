"""All hashes of texts, rows and settings; none of them depends on the process.

Ids, stores and run folders hold these digests, so a digest must stay what it is: `tests/text/test_hashes.py` holds
each of them fast. Files are hashed where they are read: models in `models/load.py`, checkpoints in `training`.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable
from dataclasses import fields
from operator import attrgetter
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from whylabel.types import Example, QuestionAnswer

_SETTINGS = json.JSONEncoder(ensure_ascii=False, sort_keys=True, default=str)


def text_hash(text: str) -> str:
    """Return 12 hex digits of the text's SHA-256: the id of a row where the data gives none."""
    return hashlib.sha256(_utf8(text)).hexdigest()[:12]


def text_number(text: str) -> int:
    """Return a signed 64-bit number that is equal for equal texts; it is kept in memory alone.

    Among a million texts two that differ share a number by chance once in thirty million data sets.
    """
    return int.from_bytes(hashlib.blake2b(_utf8(text), digest_size=8).digest(), "little", signed=True)


def row_hash(example: Example) -> str:
    """Return the key of an example in the row store, 32 hex digits, by its text and its label, not by its id."""
    return hashlib.sha256(_row(example.text, example.label)).hexdigest()[:32]


def reasoning_hash(reasoning: str) -> str:
    """Return what stands for a reasoning where decisions name it, 16 hex digits."""
    return hashlib.sha256(_utf8(reasoning)).hexdigest()[:16]


class RowsHash:
    """A SHA-256 over rows of JSON values, which are added one by one."""

    def __init__(self) -> None:
        self._digest = hashlib.sha256()

    def add(self, *values: object) -> None:
        """Add a row."""
        self._digest.update(_row(*values) + b"\n")

    def hexdigest(self) -> str:
        """Return the hash of the rows so far, in hex."""
        return self._digest.hexdigest()


def rows_fingerprint(rows: Iterable[Example | QuestionAnswer]) -> str:
    """Return the SHA-256 in hex over all rows, in their order.

    All fields count, except the reasoning that an example came with (see `reasonings_fingerprint`).
    """
    digest = RowsHash()
    values = None
    for row in rows:
        values = values or attrgetter(*(item.name for item in fields(row) if item.compare))
        digest.add(*values(row))
    return digest.hexdigest()


def reasonings_fingerprint(rows: Iterable[Example]) -> str | None:
    """Return the SHA-256 in hex over the reasonings that came with rows, by id; None if none did."""
    digest, found = RowsHash(), False
    for row in rows:
        if row.reasoning:
            digest.add(row.id, row.reasoning)
            found = True
    return digest.hexdigest() if found else None


def fingerprint(*settings: object) -> str:
    """Return the SHA-256 in hex of JSON-like values; equal values give equal fingerprints."""
    return hashlib.sha256(_SETTINGS.encode(settings).encode("utf-8")).hexdigest()


def _utf8(text: str) -> bytes:
    return text.encode("utf-8", "surrogatepass")


def _row(*values: object) -> bytes:
    """Return a row as one line of JSON in ASCII."""
    return json.dumps(values).encode("ascii")
