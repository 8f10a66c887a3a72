"""Where the time of a whole run goes: the seconds and tokens of each stage, and its share of the arithmetic limit.

    python benchmarks/whole_run.py recipes/quickstart.yaml --output benchmarks/whole_run.json
    python benchmarks/whole_run.py --table benchmarks/whole_run.json

The recipe is run by `whylabel run` in a process of its own, into a folder of its own; a stage lasts from the line
that begins it to the line that ends it. Fetch the model first (`whylabel models pull`). FLOPs of trainings are those
that the run counts (`models/flops.py`); the limit is their number at the rate of a square matrix product in the
arithmetic that trains, timed before and after. What writes and labels has no such limit here: it is measured by
`generation.py` and `prediction.py`.
"""

from __future__ import annotations

import argparse
import json
import os
import re
import subprocess
import sys
import tempfile
import time
from contextlib import nullcontext
from pathlib import Path
from typing import Any

import psutil
import torch
from arithmetic import product_rate

from whylabel.host.atomic import write_json
from whylabel.host.machine import hardware, versions
from whylabel.models.arithmetic import pick_dtype

_BEGINS = re.compile(r"([a-z][a-z-]+):$")
_ENDS = re.compile(r"([a-z][a-z-]+): done in ")


def main() -> None:
    """Run the recipe, print the table, and write the figures."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("recipe", nargs="?", default="recipes/quickstart.yaml")
    parser.add_argument("overrides", nargs="*", metavar="KEY=VALUE")
    parser.add_argument("--output", type=Path, help="where the figures go, as JSON")
    parser.add_argument("--folder", type=Path, help="an empty folder where the run stays; else it is removed")
    parser.add_argument("--table", type=Path, metavar="JSON", help="print the table of earlier figures")
    arguments = parser.parse_args()
    if arguments.table:
        print(table(json.loads(arguments.table.read_text(encoding="utf-8"))))
        return
    found = measured(arguments.recipe, arguments.overrides, arguments.folder)
    if arguments.output:
        write_json(arguments.output, found)
    print(table(found))


def measured(recipe: str, overrides: list[str], kept: Path | None = None) -> dict[str, Any]:
    """Run the recipe once and return what each stage took; the run stays in `kept`, if that is given."""
    dtype = pick_dtype("auto", torch.device("cpu"), fastest=True)[0]
    load, rate = os.getloadavg()[0], product_rate(dtype)
    scratch = nullcontext(kept) if kept else tempfile.TemporaryDirectory(prefix="whylabel-")
    with scratch as folder:
        seconds, total, peak = stage_seconds([recipe, *overrides], Path(folder))
        evaluation = json.loads((Path(folder) / "evaluation" / "metrics.json").read_text(encoding="utf-8"))
    rate = max(rate, product_rate(dtype))
    costs = evaluation["cost"]["stages"]
    stages = {}
    for stage, took in seconds.items():
        cost = costs.get(stage, {})
        flops = cost.get("flops")
        stages[stage] = {
            "seconds": round(took, 1),
            "tokens": cost.get("tokens"),
            "flops": flops,
            "share_of_limit": flops and round(flops / rate / took, 3),
        }
    return {
        "machine": {**hardware(), **versions(), "load_before": round(load, 2)},
        "recipe": recipe,
        "arithmetic": str(dtype).removeprefix("torch."),
        "limit_gflops": round(rate / 1e9),
        "seconds": round(total, 1),
        "peak_gib": round(peak / 2**30, 1),
        "stages": stages,
    }


def stage_seconds(arguments: list[str], folder: Path) -> tuple[dict[str, float], float, int]:
    """Return the seconds of each stage, those of the whole process, and its largest resident memory in bytes."""
    found: dict[str, float] = {}
    began: dict[str, float] = {}
    started, peak = time.perf_counter(), 0
    command = [sys.executable, "-m", "whylabel", "run", *arguments, "--output", str(folder)]
    with subprocess.Popen(command, stderr=subprocess.PIPE, stdout=subprocess.DEVNULL, text=True) as process:
        assert process.stderr is not None
        watched = psutil.Process(process.pid)
        for line in process.stderr:
            print(line, end="", file=sys.stderr)
            now = time.perf_counter()
            if begins := _BEGINS.match(line.rstrip()):
                began[begins[1]] = now
            elif (ends := _ENDS.match(line)) and ends[1] in began:
                found[ends[1]] = now - began[ends[1]]
                peak = max(peak, watched.memory_info().rss)
    if process.returncode:
        raise SystemExit(f"the run ended with exit code {process.returncode}")
    return found, time.perf_counter() - started, peak


def table(found: dict[str, Any]) -> str:
    """Return the figures as a Markdown table."""
    lines = ["| stage | seconds | share of the run | tokens | of the limit |", "|---|---:|---:|---:|---:|"]
    total = found["seconds"]
    for stage, figures in found["stages"].items():
        share = figures["share_of_limit"]
        tokens = f"{figures['tokens']:,}" if figures["tokens"] else ""
        lines.append(
            f"| {stage} | {figures['seconds']:.0f} | {figures['seconds'] / total:.0%} | {tokens} | "
            f"{f'{share:.0%}' if share else ''} |"
        )
    rest = total - sum(figures["seconds"] for figures in found["stages"].values())
    lines.append(f"| start, evidence and report | {rest:.0f} | {rest / total:.0%} | | |")
    machine = found["machine"]
    lines += [
        "",
        f"{found['recipe']}: {total:.0f} s on {machine['cores']} cores of {machine['processor']}, trained in "
        f"{found['arithmetic']} (a square product: {found['limit_gflops']} GFLOP/s), {found['peak_gib']} GiB, load "
        f"{machine['load_before']} before.",
    ]
    return "\n".join(lines)


if __name__ == "__main__":
    main()
