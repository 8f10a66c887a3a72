"""Mutation testing: put small faults into the package, one at a time, and see whether the tests notice.

    python scripts/mutation.py prediction reasonings/filters.py --sample 40
    python scripts/mutation.py --table

The first form tries faults in wings or files (of those in `TESTS`), the second only writes docs/mutation.md from
what is known. Each fault is tried in a process of its own, forked from one that has torch and the like in memory, in
a copy of the repository, with the tests that run its lines, the file's own first (`mutation_tests.py`). The copy and
the results are in `.mutation/`: a stopped command continues where it was, and after a change of the tests only the
survivors are tried again.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path

from mutants import Mutant, mutants
from mutation_page import write_page
from mutation_tests import (
    PACKAGE,
    ROOT,
    TESTS,
    TREE,
    WORK,
    chosen_tests,
    coverage_of,
    file_of,
    hash_of,
    in_child,
    prepare,
    run_tests,
)

RESULTS = WORK / "results.jsonl"


@dataclass(frozen=True)
class Result:
    """The outcome of one fault. `source` and `tests` are hashes of the file and of the tests that were tried."""

    file: str
    source: str
    name: str
    line: int
    text: str
    change: str
    outcome: str
    tests: str
    seconds: float


@dataclass(frozen=True)
class Known:
    """What is known of a file: the latest results, and how many of these faults were killed at the first try.

    `mutants` counts the faults that can be put into the file as it is now. `changed` says that the results are of an
    earlier version of the file.
    """

    file: str
    mutants: int
    results: list[Result]
    killed_at_first: int
    changed: bool


def main() -> None:
    """Try the chosen faults, then write the page."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument(
        "targets", nargs="*", metavar="WING|FILE", help=f"of {', '.join(TESTS)} [default: all]"
    )
    parser.add_argument(
        "--sample", type=int, default=300, help="so many faults a file, and survivors [default: 300]"
    )
    parser.add_argument("--seed", type=int, default=13, help="decides the sample [default: 13]")
    parser.add_argument(
        "--seconds", type=float, default=30, help="of tests a fault, the quickest [default: 30]"
    )
    parser.add_argument("--table", action="store_true", help="try nothing, write docs/mutation.md")
    options = parser.parse_args()
    if not options.table:
        prepare()
        for file in _files(options.targets or list(TESTS)):
            _try_file(file, options.sample, options.seed, options.seconds)
    write_page(ROOT / "docs" / "mutation.md", [_known(file) for file in _files(list(TESTS))], _commit())


def _files(targets: Sequence[str]) -> Iterator[Path]:
    for target in targets:
        path = PACKAGE / target
        if target.split("/")[0] not in TESTS or not (ROOT / path).exists():
            sys.exit(
                f"No such wing or file: {target}. Known: {', '.join(TESTS)}, and their files, as cli/run.py"
            )
        if path.suffix:
            yield path
        else:
            every = sorted((ROOT / path).glob("*.py"))
            yield from (each.relative_to(ROOT) for each in every if each.name != "__init__.py")


def _mutants_of(path: Path) -> list[Mutant]:
    return list(mutants(path.read_text(encoding="utf-8")))


def _try_file(file: Path, sample: int, seed: int, budget: float) -> None:
    found = _mutants_of(TREE / file)
    text = (TREE / file).read_text(encoding="utf-8")
    lines, source = text.splitlines(), hash_of(text)
    done = _results(file, source)
    # A larger sample holds the smaller one.
    order = random.Random(f"{seed}-{file}").sample(range(len(found)), len(found))[:sample]
    left = [
        at for at, mutant in enumerate(found) if mutant.name in done and done[mutant.name].outcome != "killed"
    ]
    chosen_mutants = [found[at] for at in sorted({*order, *left})]
    covered = coverage_of(file.parts[2])
    for count, mutant in enumerate(chosen_mutants, start=1):
        chosen = chosen_tests(covered, file, mutant, budget)
        tests = hash_of(sorted((test, covered[file_of(test)].key) for test in chosen))
        before = done.get(mutant.name)
        if before and (before.outcome == "killed" or before.tests == tests):
            continue
        started = time.monotonic()
        outcome = _outcome(file, mutant, chosen) if chosen else "no test"
        seconds = round(time.monotonic() - started, 1)
        line = lines[mutant.line - 1].strip()
        _keep(
            Result(str(file), source, mutant.name, mutant.line, line, mutant.change, outcome, tests, seconds)
        )
        print(
            f"{file}:{mutant.line} {count}/{len(chosen_mutants)} {outcome} {seconds} s: {mutant.change}",
            flush=True,
        )


def _outcome(file: Path, mutant: Mutant, chosen: dict[str, float]) -> str:
    """Return `killed` or `survived`: the tests fail, or run out of time, with the fault in the file."""
    place = TREE / file
    original, times = place.read_bytes(), place.stat()
    place.write_text(mutant.source, encoding="utf-8")
    try:
        code = in_child(partial(run_tests, chosen), limit=90 + 5 * sum(chosen.values()))
    finally:
        # Keep the old time, so that the compiled file is valid again.
        place.write_bytes(original)
        os.utime(place, ns=(times.st_atime_ns, times.st_mtime_ns))
    return "survived" if code == 0 else "killed"


# -- files ---------------------------------------------------------------------------------------------------------


def _known(file: Path) -> Known:
    """Return what is known of a file as it is now, or of the version that was tried last."""
    tried = _tried(file)
    now = hash_of((ROOT / file).read_text(encoding="utf-8"))
    changed = bool(tried) and all(result.source != now for result in tried)
    source = tried[-1].source if changed else now
    latest = _results(file, source)
    first = {result.name: result for result in reversed(tried) if result.source == source}
    killed_at_first = sum(result.outcome == "killed" for result in first.values())
    results = sorted(latest.values(), key=lambda result: result.line)
    return Known(str(file), len(_mutants_of(ROOT / file)), results, killed_at_first, changed)


def _results(file: Path, source: str) -> dict[str, Result]:
    """Return the latest result of each fault of a version of a file, by its name."""
    return {result.name: result for result in _tried(file) if result.source == source}


def _tried(file: Path) -> list[Result]:
    """Return every result of a file, the oldest first."""
    lines = RESULTS.read_text(encoding="utf-8").splitlines() if RESULTS.exists() else []
    results = (Result(**json.loads(line)) for line in lines)
    return [result for result in results if result.file == str(file)]


def _commit() -> str:
    """Return the last commit that changed one of the wings."""
    command = ["git", "log", "-1", "--format=%h", "--", *(str(PACKAGE / wing) for wing in TESTS)]
    return subprocess.run(command, cwd=ROOT, check=True, capture_output=True, text=True).stdout.strip()


def _keep(result: Result) -> None:
    with RESULTS.open("a", encoding="utf-8") as file:
        file.write(json.dumps(asdict(result), ensure_ascii=False) + "\n")


if __name__ == "__main__":
    main()
