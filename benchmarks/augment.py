"""How fast and how flat the verb `augment` writes: rows/s to a durable store, and peak memory, with a no-op engine.

    python benchmarks/augment.py --rows 10000 1000000 --output benchmarks/augment.json

Each size runs in a process of its own: a Parquet file of distinct texts, the engine `scripted`, and as reasoner a
Llama of a few random weights with the default model's tokenizer: it writes nothing, so what is measured is whylabel.
`write` counts from the first row to the last one, store and both Parquet files included, `verb` from the start of the
process to its end, imports and the reading of the data included. `load_average` says how busy the machine was before;
`cpu_seconds_per_100k_rows` (user and system, all threads) hangs on that less than the rates do. Wanted are more than
5,000 rows/s, and a peak at the largest size of at most 1.2 times that at the smallest.
"""

from __future__ import annotations

import argparse
import json
import os
import re
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from whylabel.host.atomic import write_json
from whylabel.host.machine import hardware, versions
from whylabel.models.packaged import pull

MEASURED = """
import sys
from pathlib import Path
from whylabel.cli.main import main
code = main(sys.argv[1:])
# Not ru_maxrss: after an exec, that is at least the memory of the process before it.
print("peak", Path("/proc/self/status").read_text().split("VmHWM:")[1].split()[0], file=sys.stderr)
sys.exit(code)
"""


def main() -> None:
    """Run every size and write the figures."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rows", type=int, nargs="+", default=[10_000, 1_000_000])
    parser.add_argument("--output", type=Path)
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as model:
        write_reasoner(Path(model))
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
        busy = os.getloadavg()[0]
        cpu_before = cpu_seconds()
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
            "cpu_seconds_per_100k_rows": round((cpu_seconds() - cpu_before) / rows * 100_000, 2),
            "load_average": round(busy, 1),
            "peak_mib": round(peak / 1024, 1),
        }


def cpu_seconds() -> float:
    """Return the CPU time of all child processes that have ended."""
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


def write_reasoner(folder: Path) -> None:
    """Save a model that is all tokenizer."""
    from transformers import AutoTokenizer, LlamaConfig, LlamaForCausalLM

    tokenizer = AutoTokenizer.from_pretrained(pull("smollm2-135m-instruct"))
    shape = {"hidden_size": 8, "intermediate_size": 8, "num_hidden_layers": 1, "num_attention_heads": 1}
    LlamaForCausalLM(LlamaConfig(vocab_size=len(tokenizer), **shape)).save_pretrained(folder)
    tokenizer.save_pretrained(folder)


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
