"""The page of licences is current, every licence is permissive, and SQL is built of our own names alone."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

from licences import is_permissive, main, rows

ROOT = Path(__file__).parents[1]


def test_the_page_of_licences_is_current() -> None:
    script = ROOT / "scripts" / "licences.py"
    outcome = subprocess.run([sys.executable, script, "--check"], capture_output=True, text=True, check=False)
    assert outcome.returncode == 0, outcome.stderr


def test_what_an_extra_brings_along_is_listed() -> None:
    found = rows()
    assert found["uvicorn"] == ("BSD-3-Clause", "serve")
    assert found["onnx-ir"][1] == "onnx"
    assert found["numpy"][1] == "whylabel"


def test_other_licences_are_refused(monkeypatch, capsys) -> None:  # type: ignore[no-untyped-def]
    assert is_permissive("(MIT OR Apache-2.0) AND Zlib")
    assert not is_permissive("MIT AND GPL-3.0-only")
    monkeypatch.setattr("licences.PERMISSIVE", {"MIT"})
    assert main(["--check"]) == 1
    assert "BSD-3-Clause" in capsys.readouterr().err
