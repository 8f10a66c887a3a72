"""Write a page that is generated from the code, or check that it is current."""

from __future__ import annotations

import sys
from pathlib import Path


def write_or_check(page: Path, text: str, script: str, arguments: list[str]) -> int:
    """Write the page and return 0; with `--check` among the arguments, write nothing, and return 1 if it is stale."""
    if "--check" not in arguments:
        page.parent.mkdir(exist_ok=True)
        page.write_text(text, encoding="utf-8")
        return 0
    if page.exists() and page.read_text(encoding="utf-8") == text:
        return 0
    place = page.relative_to(Path(__file__).parents[1])
    print(f"{place} is stale; write it again with: python scripts/{script}", file=sys.stderr)
    return 1
