"""Mutation testing: put small faults into the package, one at a time, and see whether the tests notice.

    python scripts/mutation.py prediction reasonings/filters.py --sample 40
    python scripts/mutation.py --table

The first form tries faults in wings or files (of those in `TESTS`), the second only writes docs/mutation.md from
what is known. Each fault is tried in a process of its own, forked from one that has torch and the like in memory, in
a copy of the repository, with the tests that run its lines, the file's own first. The copy and the results are in
`.mutation/`: a stopped command continues where it was, and after a change of the tests only the survivors are tried
again.
"""

from __future__ import annotations

import argparse
import gc
import hashlib
import importlib
import json
import os
import random
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Collection, Iterator, Sequence
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path
from typing import Any

from mutants import Mutant, mutants
from mutation_page import write_page

ROOT = Path(__file__).parents[1]
WORK = ROOT / ".mutation"
TREE, RESULTS, COVERED, LOG = (WORK / name for name in ("tree", "results.jsonl", "covered.json", "log.txt"))
PACKAGE = Path("src/whylabel")
TESTS = {
    "prediction": ("tests/prediction", "tests/stages/test_classifier.py", "tests/cli/test_predict_resume.py"),
    "reasonings": ("tests/reasonings", "tests/stages/augment", "tests/cli/test_reasonings.py"),
    "pipeline": ("tests/pipeline", "tests/stages/test_self_training.py"),
    "cli": ("tests/cli", "tests/pipeline/test_preflight.py", "tests/test_docs.py"),
}
"""Where the tests of a wing are: its own folder first, then the files of others that test it, too."""

# Libraries that take long to import, imported before the fork so that each process has them at once.
HEAVY = (
    *(
        "click",
        "coverage",
        "hypothesis",
        "jinja2",
        "numpy",
        "pandas",
        "pyarrow.parquet",
        "pydantic",
        "pytest",
        "yaml",
    ),
    *(
        "rich.console",
        "rich.progress",
        "rich.table",
        "scipy.optimize",
        "sklearn.feature_extraction.text",
        "tokenizers",
    ),
    *(
        "sklearn.linear_model",
        "torch",
        "transformers",
        "transformers.models.llama.modeling_llama",
        "accelerate",
    ),
)


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
class Covered:
    """What one test file runs: seconds by test, and tests by line of each file; `*` stands for all of its tests.

    `shared` are the seconds that it takes to make each fixture that tests share, `uses` are those fixtures by test.
    """

    key: str
    seconds: dict[str, float]
    shared: dict[str, float]
    uses: dict[str, list[str]]
    lines: dict[str, dict[str, list[str]]]

    def cost(self, test: str, made: Collection[str] = ()) -> float:
        """Return the seconds of a test, with those of the shared fixtures that it needs and that are not made yet."""
        return self.seconds[test] + sum(self.shared[name] for name in self.uses[test] if name not in made)


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
        _prepare()
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
    lines, source = text.splitlines(), _hash(text)
    done = _results(file, source)
    # A larger sample holds the smaller one.
    order = random.Random(f"{seed}-{file}").sample(range(len(found)), len(found))[:sample]
    left = [
        at for at, mutant in enumerate(found) if mutant.name in done and done[mutant.name].outcome != "killed"
    ]
    chosen_mutants = [found[at] for at in sorted({*order, *left})]
    covered = _coverage(file.parts[2])
    for count, mutant in enumerate(chosen_mutants, start=1):
        chosen = _chosen(covered, file, mutant, budget)
        tests = _hash(sorted((test, covered[_file_of(test)].key) for test in chosen))
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
        code = _in_child(partial(_pytest, chosen), limit=90 + 5 * sum(chosen.values()))
    finally:
        # Keep the old time, so that the compiled file is valid again.
        place.write_bytes(original)
        os.utime(place, ns=(times.st_atime_ns, times.st_mtime_ns))
    return "survived" if code == 0 else "killed"


def _chosen(covered: dict[str, Covered], file: Path, mutant: Mutant, budget: float) -> dict[str, float]:
    """Return the tests that run the fault's lines, with their seconds, in the order in which they are to run.

    First those of the file of the same name, then the quickest, as many as `budget` seconds hold. Where the lines run
    on import, it is all tests of the files that import them.
    """
    found: set[str] = set()
    for touched in covered.values():
        lines = touched.lines.get(str(file), {})
        here = {
            test for line in range(mutant.line, mutant.last_line + 1) for test in lines.get(str(line), [])
        }
        found |= set(touched.seconds) if "*" in here else here
    if mutant.on_import or not found:
        # Lines that run on import are attributed to the first test that imports the module.
        found = {
            test for touched in covered.values() if str(file) in touched.lines for test in touched.seconds
        }
    own = f"test_{file.stem}"
    kept: dict[str, float] = {}
    made: dict[str, set[str]] = {}
    for test in sorted(
        found, key=lambda test: (Path(_file_of(test)).stem != own, _alone(covered, test), test)
    ):
        name = _file_of(test)
        cost = covered[name].cost(test, made.setdefault(name, set()))
        if not kept or sum(kept.values()) + cost <= budget:
            kept[test] = cost
            made[name] |= set(covered[name].uses[test])
    # What the tests of a file share is made once if they run one after the other.
    files = list(dict.fromkeys(map(_file_of, kept)))
    return dict(sorted(kept.items(), key=lambda item: files.index(_file_of(item[0]))))


def _alone(covered: dict[str, Covered], test: str) -> float:
    return covered[_file_of(test)].cost(test)


def _coverage(wing: str) -> dict[str, Covered]:
    """Return what each test file of a wing runs, measured again where it, or the wing, has changed."""
    path = WORK / f"coverage-{wing}.json"
    known = {}
    if path.exists():
        known = {name: Covered(**found) for name, found in json.loads(path.read_text()).items()}
    sources = _hash(sorted((str(p), p.read_text()) for p in (TREE / PACKAGE / wing).glob("*.py")))
    keys = {name: _hash([sources, (TREE / name).read_text()]) for name in _test_files(wing)}
    for name, key in keys.items():
        if name not in known or known[name].key != key:
            print(f"what does {name} run?", flush=True)
            if _in_child(partial(_measured, name, wing), limit=1800) != 0:
                sys.exit(f"{name} fails without any fault; see {LOG}")
            known[name] = Covered(key, **json.loads(COVERED.read_text()))
            path.write_text(json.dumps({each: asdict(found) for each, found in known.items()}))
    return {name: known[name] for name in keys}


def _test_files(wing: str) -> list[str]:
    places = [TREE / place for place in TESTS[wing]]
    files = [
        file for place in places for file in ([place] if place.suffix else sorted(place.rglob("test_*.py")))
    ]
    return [str(file.relative_to(TREE)) for file in files]


# -- in a forked process -----------------------------------------------------------------------------------------


def _in_child(work: Callable[[], int], limit: float) -> int:
    """Return the exit code of some work in a forked process in the copy of the repository; 124 out of time."""
    child = os.fork()
    if child == 0:
        os.setsid()
        with LOG.open("wb") as log:
            os.dup2(log.fileno(), 1)
            os.dup2(log.fileno(), 2)
        os.chdir(TREE)
        sys.path.insert(0, str(TREE / "src"))
        code = 1
        try:
            code = work()
        finally:
            os._exit(code)
    until = time.monotonic() + limit
    while time.monotonic() < until:
        ended, status = os.waitpid(child, os.WNOHANG)
        if ended:
            return os.waitstatus_to_exitcode(status)
        time.sleep(0.02)
    os.killpg(child, signal.SIGKILL)
    os.waitpid(child, 0)
    return 124


def _pytest(chosen: dict[str, float]) -> int:
    """Run tests until the first one fails."""
    import pytest

    class Chosen:
        def pytest_collection_modifyitems(self, items: list[Any]) -> None:
            order = {name: at for at, name in enumerate(chosen)}
            items[:] = sorted(
                (item for item in items if item.nodeid in order), key=lambda item: order[item.nodeid]
            )

    files = sorted({_file_of(name) for name in chosen})
    return int(pytest.main(["-x", "-q", *_OPTIONS, *files], plugins=[Chosen()]))


def _measured(name: str, wing: str) -> int:
    """Run a test file, and write into `COVERED` what it runs."""
    import coverage
    import pytest

    measure = coverage.Coverage(data_file=None, source=[str(TREE / PACKAGE / wing)], config_file=False)
    seconds: dict[str, float] = {}
    shared: dict[str, float] = {}
    uses: dict[str, list[str]] = {}

    class Watching:
        @pytest.hookimpl(wrapper=True)
        def pytest_runtest_protocol(self, item: Any) -> Iterator[None]:
            measure.switch_context(item.nodeid)
            found = yield
            uses[item.nodeid] = [name for name in item.fixturenames if name in shared]
            return found

        @pytest.hookimpl(wrapper=True)
        def pytest_fixture_setup(self, fixturedef: Any, request: Any) -> Iterator[None]:
            # A shared fixture runs for all tests of the file.
            if fixturedef.scope != "function":
                measure.switch_context("*")
            test, started = os.environ["PYTEST_CURRENT_TEST"].rpartition(" ")[0], time.monotonic()
            found = yield
            if fixturedef.scope != "function":
                spent = time.monotonic() - started
                shared[fixturedef.argname] = spent
                seconds[test] = seconds.get(test, 0) - spent
            measure.switch_context(test)
            return found

        def pytest_runtest_logreport(self, report: Any) -> None:
            seconds[report.nodeid] = seconds.get(report.nodeid, 0) + report.duration

    # Python keeps what it compiles here, without any fault in it, and pytest what it makes of the tests.
    sys.dont_write_bytecode = False
    measure.start()
    code = int(pytest.main(["-q", *_OPTIONS, name], plugins=[Watching()]))
    measure.stop()
    data = measure.get_data()
    lines = {
        str(Path(file).relative_to(TREE)): {
            str(line): sorted(filter(None, contexts))
            for line, contexts in data.contexts_by_lineno(file).items()
        }
        for file in data.measured_files()
    }
    COVERED.write_text(json.dumps({"seconds": seconds, "shared": shared, "uses": uses, "lines": lines}))
    return code


_OPTIONS = ["--basetemp", str(WORK / "tmp"), "-p", "no:cacheprovider", "--no-header"]


# -- files ---------------------------------------------------------------------------------------------------------


def _prepare() -> None:
    """Make the copy of the repository, and have in memory what every test needs."""
    listed = ["git", "ls-files", "--cached", "--others", "--exclude-standard"]
    names = subprocess.run(listed, cwd=ROOT, check=True, capture_output=True, text=True).stdout.splitlines()
    for path in TREE.rglob("*.py"):
        if str(path.relative_to(TREE)) not in names:
            path.unlink()
    for name in names:
        if (ROOT / name).is_file():
            (TREE / name).parent.mkdir(parents=True, exist_ok=True)
            # Keep the time, so that the compiled file stays valid.
            shutil.copy2(ROOT / name, TREE / name)
    # For the processes that tests start, too. More threads than one do not outlive a fork.
    os.environ |= {"PYTHONPATH": str(TREE / "src"), "PYTHONDONTWRITEBYTECODE": "1", "OMP_NUM_THREADS": "1"}
    os.environ |= {
        "HF_HUB_OFFLINE": "1",
        "TOKENIZERS_PARALLELISM": "false",
        "PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1",
    }
    sys.dont_write_bytecode = True
    for module in HEAVY:
        importlib.import_module(module)
    assert "whylabel" not in sys.modules
    gc.freeze()


def _known(file: Path) -> Known:
    """Return what is known of a file as it is now, or of the version that was tried last."""
    tried = _tried(file)
    now = _hash((ROOT / file).read_text(encoding="utf-8"))
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


def _file_of(test: str) -> str:
    return test.partition("::")[0]


def _hash(value: object) -> str:
    return hashlib.sha256(json.dumps(value).encode()).hexdigest()[:16]


if __name__ == "__main__":
    main()
