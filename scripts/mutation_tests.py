"""Which tests run a fault's lines, and what comes of them with the fault in the file: for `mutation.py`.

Tests run in a forked process, in a copy of the repository in `.mutation/tree`.
"""

from __future__ import annotations

import gc
import hashlib
import importlib
import json
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Collection, Iterator
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path
from typing import Any

from mutants import Mutant

ROOT = Path(__file__).parents[1]
WORK = ROOT / ".mutation"
TREE, COVERED, LOG = (WORK / name for name in ("tree", "covered.json", "log.txt"))
PACKAGE = Path("src/whylabel")
TESTS = {
    "prediction": ("tests/prediction",),
    "reasonings": ("tests/reasonings", "tests/stages/augment"),
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


def prepare() -> None:
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


def chosen_tests(covered: dict[str, Covered], file: Path, mutant: Mutant, budget: float) -> dict[str, float]:
    """Return the tests that run the fault's lines, with their seconds, in the order in which they are to run.

    First those of the file of the same name, then the quickest, as many as `budget` seconds hold, at least one. Where
    the lines run on import, it is all tests of the files that import them.
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
    ranked = sorted(
        found, key=lambda test: (Path(file_of(test)).stem != own, covered[file_of(test)].cost(test), test)
    )
    kept: dict[str, float] = {}
    made: dict[str, set[str]] = {name: set() for name in covered}
    for test in ranked:
        name = file_of(test)
        cost = covered[name].cost(test, made[name])
        if sum(kept.values()) + cost <= budget:
            kept[test] = cost
            made[name] |= set(covered[name].uses[test])
    if ranked and not kept:
        kept[ranked[0]] = covered[file_of(ranked[0])].cost(ranked[0])
    # What the tests of a file share is made once if they run one after the other.
    files = list(dict.fromkeys(map(file_of, kept)))
    return dict(sorted(kept.items(), key=lambda item: files.index(file_of(item[0]))))


def coverage_of(wing: str) -> dict[str, Covered]:
    """Return what each test file of a wing runs, measured again where it, or the wing, has changed."""
    path = WORK / f"coverage-{wing}.json"
    known = {}
    if path.exists():
        known = {name: Covered(**found) for name, found in json.loads(path.read_text()).items()}
    sources = hash_of(sorted((str(p), p.read_text()) for p in (TREE / PACKAGE / wing).glob("*.py")))
    keys = {name: hash_of([sources, (TREE / name).read_text()]) for name in _test_files(wing)}
    for name, key in keys.items():
        if name not in known or known[name].key != key:
            print(f"what does {name} run?", flush=True)
            if in_child(partial(_measured, name, wing), limit=1800) != 0:
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


def in_child(work: Callable[[], int], limit: float) -> int:
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


def run_tests(chosen: dict[str, float]) -> int:
    """Run tests until the first one fails."""
    import pytest

    class Chosen:
        def pytest_collection_modifyitems(self, items: list[Any]) -> None:
            order = {name: at for at, name in enumerate(chosen)}
            items[:] = sorted(
                (item for item in items if item.nodeid in order), key=lambda item: order[item.nodeid]
            )

    files = sorted({file_of(name) for name in chosen})
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


def file_of(test: str) -> str:
    """Return the file of a test."""
    return test.partition("::")[0]


def hash_of(value: object) -> str:
    """Return a short hash of a JSON value."""
    return hashlib.sha256(json.dumps(value).encode()).hexdigest()[:16]
