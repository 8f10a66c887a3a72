"""The benchmark of the report: pages and tables of two sizes, in processes of their own."""

import json
import os
import subprocess
import sys
from pathlib import Path

SCRIPT = Path(__file__).parents[2] / "benchmarks" / "report.py"


def test_it_measures_report_and_table(tmp_path):
    output = tmp_path / "report.json"
    command = [
        sys.executable,
        str(SCRIPT),
        "--rows",
        "50",
        "100",
        "--work",
        "report",
        "table",
        "--output",
        str(output),
    ]
    outcome = subprocess.run(command, capture_output=True, text=True, check=False, env={**os.environ})
    assert outcome.returncode == 0, outcome.stderr
    found = json.loads(output.read_text())
    assert set(found["rows"]) == {"50", "100"} and set(found["peak_ratios"]) == {"report", "table"}
    for figures in found["rows"].values():
        assert 10_000 < figures["page_bytes"] < 3_000_000
        assert figures["report"]["peak_mib"] > 10 and figures["table"]["seconds"] > 0
