"""List the licence of everything that an installation of whylabel can bring along: docs/licences.md.

    python scripts/licences.py          write the page
    python scripts/licences.py --check  fail if it is not current

It reads the metadata of the installed distributions and follows their requirements on this platform. A licence that
is not among the known permissive ones fails in both.
"""

from __future__ import annotations

import re
import sys
import tomllib
from importlib.metadata import Distribution, distribution
from pathlib import Path

from packaging.requirements import Requirement

ROOT = Path(__file__).parents[1]
PAGE = ROOT / "docs" / "licences.md"
NOT_SHIPPED = ("bench", "dev", "docs")
"""Extras for those who work on whylabel."""

PERMISSIVE = {
    "0BSD", "Apache-2.0", "Apache-2.0 WITH LLVM-exception", "BSD", "BSD-2-Clause", "BSD-3-Clause", "BSL-1.0",
    "CC0-1.0", "CNRI-Python", "ISC", "MIT", "MPL-2.0", "PSF-2.0", "Zlib",
}  # fmt: skip
"""MPL-2.0 asks only that changes of its own files are published."""

_SPELLINGS = (
    (r"apache", "Apache-2.0"),
    (r"mit( license)?\b", "MIT"),
    (r"isc", "ISC"),
    (r"mpl|mozilla", "MPL-2.0"),
    (r"3-clause bsd", "BSD-3-Clause"),
    (r"bsd", "BSD"),
)

_HEAD = """# Licences

Everything that `pip install 'whylabel[...]'` can bring along on Linux, with the licence that each distribution names;
`scripts/licences.py` writes this page; a test fails if it is not current, or a licence is not permissive. Versions
are in [`constraints.txt`](../constraints.txt). On x86-64, PyPI's `torch` also requires CUDA's libraries (`nvidia-*`),
which are proprietary; the build of torch for CPUs does not. Trained models have the licence of their base model: see
their card.

| distribution | licence | needed by |
|---|---|---|
"""


def licence_of(found: Distribution) -> str:
    """Return the licence as an SPDX expression; BSD where the metadata do not say which."""
    metadata = found.metadata
    expression = metadata.get("License-Expression") or ""
    if expression:
        return expression
    classifiers = [
        one.split(" :: ")[-1] for one in metadata.get_all("Classifier") or [] if "License ::" in one
    ]
    named = (metadata.get("License") or "").strip().split("\n")[0]
    if set(re.split(r" (?:AND|OR) ", named)) <= PERMISSIVE:
        return named
    for text in (named, *classifiers):
        for pattern, name in _SPELLINGS:
            if re.search(pattern, text, re.IGNORECASE):
                return name
    return f"unknown: {named or classifiers}"


def is_permissive(licence: str) -> bool:
    """Return whether all parts of an expression are permissive."""
    parts = [part.strip("() ") for part in re.split(r" (?:AND|OR) ", licence)]
    return all(part in PERMISSIVE for part in parts)


def tree(requirements: list[str]) -> dict[str, Distribution]:
    """Return the distributions that these requirements bring along, by normal name."""
    found: dict[str, Distribution] = {}
    followed: set[tuple[str, str]] = set()
    waiting = [Requirement(each) for each in requirements]
    while waiting:
        each = waiting.pop()
        name = re.sub(r"[-_.]+", "-", each.name).lower()
        if name == "whylabel":
            continue
        found.setdefault(name, distribution(each.name))
        for extra in ("", *each.extras):
            if (name, extra) in followed:
                continue
            followed.add((name, extra))
            for text in found[name].requires or ():
                needed = Requirement(text)
                if needed.marker is None or needed.marker.evaluate({"extra": extra}):
                    waiting.append(needed)
    return found


def rows() -> dict[str, tuple[str, str]]:
    """Return licence and the extras that need it (whylabel itself, if it always is) by distribution."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    base = tree(project["dependencies"])
    needed: dict[str, list[str]] = {name: ["whylabel"] for name in base}
    everything = dict(base)
    for extra, requirements in project["optional-dependencies"].items():
        if extra in NOT_SHIPPED:
            continue
        for name, found in tree(requirements).items():
            everything[name] = found
            if name not in base:
                needed.setdefault(name, []).append(extra)
    return {name: (licence_of(everything[name]), ", ".join(needed[name])) for name in sorted(everything)}


def main(arguments: list[str]) -> int:
    """Write the page, or check it. Returns the exit code."""
    found = rows()
    refused = {name: licence for name, (licence, _) in found.items() if not is_permissive(licence)}
    if refused:
        print(f"not known as permissive: {refused}", file=sys.stderr)
        return 1
    page = _HEAD + "".join(
        f"| {name} | {licence} | {extras} |\n" for name, (licence, extras) in found.items()
    )
    if "--check" not in arguments:
        PAGE.write_text(page, encoding="utf-8")
    elif not PAGE.exists() or PAGE.read_text(encoding="utf-8") != page:
        print("docs/licences.md is not current: python scripts/licences.py", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
