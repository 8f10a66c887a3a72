"""Kills, failing system calls and failing systems: a few of each; `release.faults` tries thousands."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]


def found_by(tmp_path: Path, *arguments: str) -> list[dict]:
    if shutil.which("cc") is None:
        if os.environ.get("CI"):
            pytest.fail("there is no C compiler")
        pytest.skip("there is no C compiler")
    output = tmp_path / "faults.json"
    command = [sys.executable, "-m", "release.faults", *arguments, "--output", str(output)]
    paths = os.pathsep.join([str(ROOT / "tests"), str(ROOT / "src")])
    done = subprocess.run(
        command, env={**os.environ, "PYTHONPATH": paths}, capture_output=True, text=True, check=False
    )
    assert output.exists(), done.stderr
    return json.loads(output.read_text())["table"]


def test_a_kill_loses_nothing(tmp_path):
    table = found_by(tmp_path, "kills", "--times", "6", "--verbs", "augment", "review")
    assert [(line["verb"], line["trials"], line["faults"]) for line in table] == [
        ("augment", 6, []),
        ("review", 6, []),
    ]
    # Half of them are at calls, and these always come.
    assert all(line["disturbed"] >= 3 for line in table)


@pytest.mark.slow
@pytest.mark.parametrize("verb", ["augment", "train", "evaluate", "predict", "export", "review"])
def test_no_kill_of_any_verb_loses_anything(tmp_path, verb):
    (line,) = found_by(tmp_path, "kills", "--times", "20", "--verbs", verb)
    assert (line["trials"], line["faults"]) == (20, [])


@pytest.mark.slow
@pytest.mark.parametrize("verb", ["augment", "train", "evaluate", "predict", "export", "review"])
def test_a_failing_call_ends_in_one_message_and_the_next_run_goes_on(tmp_path, verb):
    table = found_by(tmp_path, "failures", "--most", "4", "--verbs", verb)
    assert {(line["failure"], line["call"]): line["faults"] for line in table if line["faults"]} == {}


def may_mount() -> bool:
    # As `release.faults` does: as root, or as what a user namespace takes for root.
    own = ["--map-root-user"] if os.geteuid() else []
    mount = ["unshare", "--mount", *own, "mount", "-t", "tmpfs", "tmpfs", "/mnt"]
    return shutil.which("unshare") is not None and not subprocess.run(mount, check=False).returncode


@pytest.mark.slow
@pytest.mark.parametrize("verb", ["augment", "train", "evaluate", "predict", "export", "review"])
def test_a_system_that_fails_ends_in_one_message_and_the_next_run_goes_on(tmp_path, verb):
    if not may_mount():
        pytest.skip("this system lets nobody mount a disk")
    table = found_by(tmp_path, "systems", "--most", "2", "--verbs", verb)
    assert {line["system"]: line["faults"] for line in table if line["faults"]} == {}
    assert len(table) == 6
