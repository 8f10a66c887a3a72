"""Decodes bytes to text: encodings, byte order marks, and files that are not text."""

from __future__ import annotations

import codecs
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

from whylabel.errors import DataError

_START_BYTES = 64
# UTF-32 first: its little-endian mark begins with that of UTF-16.
_MARKS = (
    (codecs.BOM_UTF8, "utf-8-sig"),
    (codecs.BOM_UTF32_LE, "utf-32"),
    (codecs.BOM_UTF32_BE, "utf-32"),
    (codecs.BOM_UTF16_LE, "utf-16"),
    (codecs.BOM_UTF16_BE, "utf-16"),
)
# Texts that stand where a file should be, and would be read as a table of one column.
_IN_PLACE_OF_DATA = {
    b"version https://git-lfs.github.com/": (
        "The file is a pointer of Git LFS, not the data.",
        "fetch the data: git lfs pull",
    ),
    b"<!doctype html": (
        "The file is a web page, not the data.",
        "download the data itself, signed in if need be",
    ),
    b"<html": ("The file is a web page, not the data.", "download the data itself, signed in if need be"),
}


def require_file(path: Path) -> None:
    """Raise `DataError` if there is no file of data at the path: a pipe, a device, an empty file, a web page."""
    if path.is_dir():
        raise DataError("This is a folder, not a file.", where=str(path), fix="name a file in it")
    if not path.exists():
        raise DataError("There is no such file.", where=str(path), fix="check the path")
    if not path.is_file():
        # Data is read more than once, and the second reader of a pipe would wait for ever.
        fix = "write its content to a file, and name that"
        raise DataError("This is a pipe or a device, not a file.", where=str(path), fix=fix)
    if path.stat().st_size == 0:
        raise _empty(path)
    with suppress(OSError):  # whoever reads the file says why it cannot be read
        with path.open("rb") as file:
            start = file.read(_START_BYTES).removeprefix(codecs.BOM_UTF8).lstrip().lower()
        for beginning, (what, fix) in _IN_PLACE_OF_DATA.items():
            if start.startswith(beginning):
                raise DataError(what, where=f"{path}, line 1", fix=fix)


def text_lines(path: Path, newline: str) -> Iterator[str]:
    """Yield the lines of a text file with their ends. `newline` is that of `open`, errors as in `decoded_text`."""
    with path.open("rb") as file:
        encoding = _encoding(file.read(4))
    blank = True
    try:
        with path.open(encoding=encoding, newline=newline) as lines:
            for line in lines:
                if "\0" in line:
                    decoded_text(path)
                blank = blank and not line.strip()
                yield line
    except UnicodeDecodeError:
        # Decoding the whole file at once gives the line and the byte.
        decoded_text(path)
        raise
    if blank:
        raise _empty(path)


def decoded_text(path: Path) -> str:
    """Return a text file's content without its byte order mark; UTF-8 unless a mark says otherwise.

    Raises `DataError` naming line and byte if the file is not valid text, or holds NUL bytes.
    """
    data = path.read_bytes()
    encoding = _encoding(data)
    try:
        text = data.decode(encoding)
    except UnicodeDecodeError as error:
        line = data.count(b"\n", 0, error.start) + 1
        where = f"{path}, line {line} (byte {error.start} is 0x{data[error.start]:02X})"
        source = "UTF-16" if encoding == "utf-16" else "WINDOWS-1252"
        raise DataError(
            f"The file is not valid {encoding.removesuffix('-sig').upper()}.",
            where=where,
            fix=f"convert it, for example: iconv -f {source} -t UTF-8 {path.name} > utf8-{path.name}",
        ) from None
    nul = text.find("\0")
    if nul >= 0:
        raise DataError(
            "The file holds NUL bytes: it is not plain text, or UTF-16 without a byte order mark.",
            where=f"{path}, line {text.count(chr(10), 0, nul) + 1}",
            fix=f"convert it, for example: iconv -f UTF-16LE -t UTF-8 {path.name} > utf8-{path.name}",
        )
    if not text.strip():
        raise _empty(path)
    return text


def _encoding(start: bytes) -> str:
    return next((name for mark, name in _MARKS if start.startswith(mark)), "utf-8")


def _empty(path: Path) -> DataError:
    return DataError("The file is empty.", where=str(path), fix="write the data again")
