"""Make texts safe to show: terminals obey control characters, and no file or stream can hold half a character."""

from __future__ import annotations

import io
import json
import re
import sys
from typing import Any

_HALVES = "\ud800-\udfff"
# C0 except tab and newline, DEL, C1, and the characters that change the direction of writing.
_CONTROLS = "\0-\x08\x0b-\x1f\x7f-\x9f\u202a-\u202e\u2066-\u2069"
_UNSAFE = re.compile(f"[{_CONTROLS}{_HALVES}]")
_UNSAFE_IN_A_LINE = re.compile(f"[{_CONTROLS}{_HALVES}\t\n\u2028\u2029]")


def printable(text: str) -> str:
    """Return a text as one line, with U+FFFD for control characters, tab and newline included."""
    return _UNSAFE_IN_A_LINE.sub("\ufffd", text)


def printable_lines(text: str) -> str:
    """Return a text of several lines, with U+FFFD for control characters; tabs and newlines stay."""
    return _UNSAFE.sub("\ufffd", text)


def whole_characters(text: str) -> str:
    """Return the text with U+FFFD for every half of a surrogate pair, which UTF-8 cannot hold."""
    return re.sub(f"[{_HALVES}]", "\ufffd", text)


def json_text(
    value: Any,
    *,
    indent: int | None = None,
    sort_keys: bool = False,
    allow_nan: bool = True,
    encoding: str | None = "utf-8",
) -> str:
    """Return JSON for a stream or file with this encoding. If it is not UTF-8, all characters but ASCII are escaped.

    Control characters and halves of surrogate pairs are always escaped.
    """
    plain = (encoding or "utf-8").lower().replace("_", "-") not in ("utf-8", "utf8")
    text = json.dumps(value, ensure_ascii=plain, indent=indent, sort_keys=sort_keys, allow_nan=allow_nan)
    # JSON has such characters only inside strings. Newlines between values do not match and stay.
    return _UNSAFE.sub(lambda found: f"\\u{ord(found[0]):04x}", text)


def print_json(value: Any, *, indent: int | None = 2) -> None:
    """Print JSON on stdout, keys sorted."""
    print(json_text(value, indent=indent, sort_keys=True, encoding=sys.stdout.encoding), flush=True)


def prepare_streams() -> None:
    """Let stdout and stderr accept every character: those that their encoding lacks are shown as escapes."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")
