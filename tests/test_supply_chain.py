"""The page of licences is current, every licence is permissive, and advisories are those of the pinned version."""

from __future__ import annotations

import re
import subprocess
import sys
from importlib.metadata import distributions
from pathlib import Path

import advisories
from licences import is_permissive, main, rows
from packaging.specifiers import SpecifierSet

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


def test_other_licences_are_refused(monkeypatch, capsys):
    assert is_permissive("(MIT OR Apache-2.0) AND Zlib")
    assert not is_permissive("MIT AND GPL-3.0-only")
    monkeypatch.setattr("licences.PERMISSIVE", {"MIT"})
    assert main(["--check"]) == 1
    assert "BSD-3-Clause" in capsys.readouterr().err


def test_what_is_pinned_installs_on_the_oldest_python_that_we_allow() -> None:
    """Debian 12 has Python 3.11.2; a pin that asked for 3.11.5 made `make demo` fail there."""
    pins = dict(
        re.findall(r"^([\w.-]+)==(\S+)", (ROOT / "constraints.txt").read_text(encoding="utf-8"), re.MULTILINE)
    )
    pinned = [one for one in distributions() if pins.get(one.metadata["Name"]) == one.version]
    assert len(pinned) > 60
    needs = {one.metadata["Name"]: one.metadata.get("Requires-Python") or "" for one in pinned}
    assert {name: need for name, need in needs.items() if not SpecifierSet(need).contains("3.11.0")} == {}


ADVISORY = {"id": "PYSEC-1", "fixed_in": ["1.1"], "withdrawn": None}
WITHDRAWN = {"id": "PYSEC-2", "fixed_in": [], "withdrawn": "2026-01-01T00:00:00Z"}
PAGES = {
    "exact/1.0": {"info": {"version": "1.0"}, "vulnerabilities": [ADVISORY]},
    "exact": {"info": {"version": "2.0"}, "vulnerabilities": []},
    "newest": {"info": {"version": "1.0"}, "vulnerabilities": [ADVISORY, WITHDRAWN]},
    "older": {"info": {"version": "2.0"}, "vulnerabilities": []},
    "clean": {"info": {"version": "1.0"}, "vulnerabilities": [WITHDRAWN]},
}


def test_advisories_of_another_version_are_not_those_of_the_pinned_one(monkeypatch, tmp_path, capsys):
    monkeypatch.setattr(advisories, "page", PAGES.get)
    pins = tmp_path / "pins.txt"
    pins.write_text(
        "# pins\n" + "".join(f"{name}==1.0\n" for name in ("exact", "newest", "older", "clean", "gone"))
    )
    assert advisories.main([str(pins)]) == 1
    out = capsys.readouterr().out
    assert "exact 1.0: PYSEC-1 (mended in 1.1)" in out and "newest 1.0: PYSEC-1" in out
    assert "PYSEC-2" not in out
    assert "3 of 5 versions checked; 2 with advisories" in out
    assert "not checked, as they are not the newest: older 1.0, gone 1.0" in out
    pins.write_text("clean==1.0\n")
    assert advisories.main([str(pins)]) == 0
