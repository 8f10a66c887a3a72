"""How fast and how flat the verb `augment` writes: rows/s to a durable store, and peak memory, with a no-op engine.

    python benchmarks/augment.py --rows 10000 1000000 --output benchmarks/augment.json

Each size runs in a process of its own: a Parquet file of distinct texts, the engine `scripted`, a tiny random Llama
as reasoner (it is loaded for its tokenizer, and writes nothing). `write` counts from the first row to the last one,
`verb` from the start of the process to its end. A number above 5,000 rows/s and a peak at the largest size of less
than 1.2 times that at the smallest are wanted.
"""

from __future__ import annotations

import argparse
import json
import re
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from whylabel.atomic import write_json
from whylabel.default_models import pull
from whylabel.machine import hardware, versions

MEASURED = """
import resource, sys
from whylabel.cli.main import main
code = main(sys.argv[1:])
print("peak", resource.getrusage(resource.RUSAGE_SELF).ru_maxrss, file=sys.stderr)
sys.exit(code)
"""


def main() -> None:
    """Run every size and write the figures."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rows", type=int, nargs="+", default=[10_000, 1_000_000])
    parser.add_argument("--model", help="folder of the reasoner [default: the default model]")
    parser.add_argument("--output", type=Path)
    arguments = parser.parse_args()
    model = arguments.model or str(pull("smollm2-135m-instruct"))
    figures = {str(rows): measure(rows, model) for rows in arguments.rows}
    peaks = [entry["peak_mib"] for entry in figures.values()]
    found = {
        "machine": {**hardware(), **versions()},
        "work": "augment verb, engine scripted, distinct texts of 12 words",
        "rows": figures,
        "peak_ratio": round(peaks[-1] / peaks[0], 2),
    }
    print(json.dumps(found, indent=2))
    if arguments.output:
        write_json(arguments.output, found)


def measure(rows: int, model: str) -> dict[str, float]:
    """Return rows/s and the peak memory of one size."""
    with tempfile.TemporaryDirectory() as scratch:
        folder = Path(scratch)
        write_texts(folder / "texts.parquet", rows)
        recipe = folder / "recipe.yaml"
        recipe.write_text(RECIPE.format(source=folder / "texts.parquet", model=model), encoding="utf-8")
        command = [sys.executable, "-c", MEASURED, "augment", str(recipe), "--output", str(folder / "run")]
        started = time.monotonic()
        outcome = subprocess.run(command, capture_output=True, text=True, check=False)
        seconds = time.monotonic() - started
        if outcome.returncode:
            raise SystemExit(outcome.stderr)
        peak = int(re.search(r"^peak (\d+)", outcome.stderr, re.MULTILINE)[1])
        metrics = json.loads((folder / "run" / "augment" / "metrics.json").read_text())
        assert metrics["rows"] == metrics["kept"] == int(rows * 0.9)
        return {
            "write_rows_per_second": round(metrics["rows"] / metrics["seconds"], 1),
            "verb_rows_per_second": round(metrics["rows"] / seconds, 1),
            "peak_mib": round(peak / 1024, 1),
        }


def write_texts(path: Path, rows: int) -> None:
    """Write distinct labelled texts, a row group at a time."""
    import pyarrow
    import pyarrow.parquet

    schema = pyarrow.schema(
        [("text", pyarrow.string()), ("label", pyarrow.string()), ("split", pyarrow.string())]
    )
    with pyarrow.parquet.ParquetWriter(path, schema) as file:
        for start in range(0, rows, 10_000):
            numbers = range(start, min(start + 10_000, rows))
            texts = [
                f"The order of number {at} came late and the box was open, card {at % 77}" for at in numbers
            ]
            columns = {
                "text": texts,
                "label": [f"label {at % 7}" for at in numbers],
                "split": [""] * len(texts),
            }
            file.write_table(pyarrow.table(columns, schema=schema))


RECIPE = """
name: augment-benchmark
task: {{question: "Which label fits the text?"}}
data:
  source: {source}
  text_column: text
  label_column: label
  test_fraction: 0.05
  validation_fraction: 0.0526315789
reasoner: {{model: {model}}}
augment: {{engine: scripted}}
"""

if __name__ == "__main__":
    main()
