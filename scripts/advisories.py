"""Ask PyPI which advisories of vulnerabilities there are for pinned versions.

    python scripts/advisories.py [constraints.txt]

This is for machines that reach a package index and nothing else; elsewhere use `pip-audit`. Some mirrors have no
pages of single versions. A project's own page tells the advisories of its newest version alone, so a version that
is not the newest is listed as not checked.
"""

from __future__ import annotations

import json
import re
import sys
import urllib.error
import urllib.request
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[1]


def page(path: str) -> dict[str, Any] | None:
    """Return a page of PyPI's JSON interface; None if the index does not have it."""
    try:
        with urllib.request.urlopen(f"https://pypi.org/pypi/{path}/json", timeout=60) as reply:
            return dict(json.load(reply))
    except urllib.error.HTTPError as error:
        if error.code == 404:
            return None
        raise


def advisories(name: str, version: str) -> list[str] | None:
    """Return the names of the advisories for a version; None if the index does not tell."""
    found = page(f"{name}/{version}")
    if found is None:
        found = page(name)
        if found is None or found["info"]["version"] != version:
            return None
    return [
        f"{one['id']} (mended in {', '.join(one['fixed_in']) or 'no version'})"
        for one in found["vulnerabilities"]
        if not one.get("withdrawn")
    ]


def main(arguments: list[str]) -> int:
    """Print what is known of every pinned version; return 1 if there is an advisory."""
    text = Path(arguments[0] if arguments else ROOT / "constraints.txt").read_text(encoding="utf-8")
    pins = re.findall(r"^([\w.-]+)==([\w.!+]+)", text, re.MULTILINE)
    known = {f"{name} {version}": advisories(name, version) for name, version in pins}
    for pin, names in known.items():
        if names:
            print(f"{pin}: {'; '.join(names)}")
    unknown = [pin for pin, names in known.items() if names is None]
    hit = sum(bool(names) for names in known.values())
    print(f"{len(known) - len(unknown)} of {len(known)} versions checked; {hit} with advisories")
    if unknown:
        print(f"not checked, as they are not the newest: {', '.join(unknown)}")
    return int(hit > 0)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
