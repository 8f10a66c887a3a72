"""Whether report, table, `predict` and `evaluate` stay small and flat: seconds, peak memory and bytes of the page.

    python benchmarks/report.py --rows 10000 100000 --output benchmarks/report.json

A run folder with so many synthetic test rows, each answered by two floors, the baseline, and the classifier in four
modes; a classifier of a few random weights with the default model's tokenizer for `predict`, so that hardly anything
but whylabel is measured. In `evaluate` it computes nothing: the verb, over labelled texts, is given answers in four
modes. Each piece of work runs in a process of its own. The figures in the folder's metrics are
those of its first rows: the page is no longer for more rows. Wanted are a page below 3 MB and a peak at the largest
size of at most 1.2 times that at the smallest.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import re
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from whylabel.evaluation.evaluate import evaluate
from whylabel.evaluation.mended import reasoning_effect
from whylabel.evaluation.outcomes import Predictions
from whylabel.evaluation.predictions import PredictionRow, write_predictions
from whylabel.host.atomic import write_json
from whylabel.host.machine import hardware, versions
from whylabel.models.packaged import pull
from whylabel.recipe import EvaluationConfig, Recipe
from whylabel.run_folder import RunFolder
from whylabel.text.labels import LabelSet
from whylabel.types import Example, Mode, Prediction

LABELS = tuple(f"label {number}" for number in range(20))
ANSWERS: tuple[tuple[str, Mode], ...] = (
    ("majority", "fast"),
    ("tfidf", "fast"),
    ("baseline", "fast"),
    ("classifier", "blend"),
    ("classifier", "fast"),
    ("classifier", "reasoned"),
    ("classifier", "adaptive"),
)
METRICS_ROWS = 1_000
MEASURED = """
import resource, sys, time
from pathlib import Path
started = time.perf_counter()
{work}
used = resource.getrusage(resource.RUSAGE_SELF)
print("seconds", time.perf_counter() - started, file=sys.stderr)
print("cpu", used.ru_utime + used.ru_stime, file=sys.stderr)
# Not ru_maxrss: after an exec, that is at least the memory of the process before it.
print("peak", Path("/proc/self/status").read_text().split("VmHWM:")[1].split()[0], file=sys.stderr)
"""
WORK = {
    "report": """
from whylabel.report.report import write_report
from whylabel.run_folder import RunFolder
write_report(RunFolder(sys.argv[1]))
""",
    "table": """
from whylabel.cli.results import print_results
from whylabel.run_folder import RunFolder
print_results(RunFolder(sys.argv[1]), as_json=False)
""",
    "predict": """
from whylabel.cli.main import main
folder = sys.argv[1]
files = ["--input", f"{folder}/texts.jsonl", "--output", f"{folder}/out.jsonl"]
assert not main(["predict", "--model", f"{folder}/model", "--mode", "fast", *files])
""",
    "evaluate": f"""
sys.path.insert(0, {str(Path(__file__).parent)!r})
from report import in_every_mode
from whylabel.cli.main import main
from whylabel.prediction.trained import TrainedClassifier
TrainedClassifier.predict_in_modes = in_every_mode
folder = sys.argv[1]
files = ["--data", f"{{folder}}/texts.jsonl", "--output", f"{{folder}}/evaluated"]
assert not main(["evaluate", f"{{folder}}/model", *files])
""",
}


def main() -> None:
    """Run every size and write the figures."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rows", type=int, nargs="+", default=[10_000, 100_000])
    parser.add_argument("--work", nargs="+", choices=list(WORK), default=list(WORK))
    parser.add_argument("--output", type=Path, help="where the figures go, as JSON")
    arguments = parser.parse_args()
    figures = {str(rows): measured(rows, arguments.work) for rows in arguments.rows}
    first, last = (figures[str(rows)] for rows in (arguments.rows[0], arguments.rows[-1]))
    found = {
        "machine": {**hardware(), **versions()},
        "work": f"{len(ANSWERS)} answers a row, {len(LABELS)} labels, texts of some 100 characters",
        "rows": figures,
        "peak_ratios": {
            name: round(last[name]["peak_mib"] / first[name]["peak_mib"], 2) for name in arguments.work
        },
    }
    print(json.dumps(found, indent=2))
    if arguments.output:
        write_json(arguments.output, found)


def measured(rows: int, work: list[str]) -> dict[str, Any]:
    """Return the figures of one size."""
    with tempfile.TemporaryDirectory(prefix="whylabel-") as scratch:
        folder = Path(scratch)
        if {"report", "table"} & set(work):
            write_run(RunFolder(folder), rows)
        if {"predict", "evaluate"} & set(work):
            write_model(folder / "model")
            with (folder / "texts.jsonl").open("w", encoding="utf-8") as file:
                for row in examples(rows):
                    file.write(json.dumps(asdict(row)) + "\n")
        found: dict[str, Any] = {"load_average": round(os.getloadavg()[0], 1)}
        found |= {name: in_a_process(WORK[name], folder) for name in work}
        page = RunFolder(folder).report
        if page.exists():
            found["page_bytes"] = page.stat().st_size
        return found


def in_a_process(work: str, folder: Path) -> dict[str, float]:
    """Return seconds and CPU seconds, imports included, and the peak memory of some work on a run folder."""
    code = MEASURED.format(work=work)
    outcome = subprocess.run(
        [sys.executable, "-c", code, str(folder)], capture_output=True, text=True, check=False
    )
    if outcome.returncode:
        raise SystemExit(outcome.stderr)
    found = {
        name: float(re.search(rf"^{name} ([\d.]+)", outcome.stderr, re.MULTILINE)[1])
        for name in ("seconds", "cpu", "peak")
    }
    return {
        "seconds": round(found["seconds"], 1),
        "cpu_seconds": round(found["cpu"], 1),
        "peak_mib": round(found["peak"] / 1024, 1),
    }


def examples(rows: int) -> Iterator[Example]:
    """Yield distinct labelled texts."""
    for at in range(rows):
        text = (
            f"Order {at} came late, its box was open, and card {at % 77} was charged for it once more today."
        )
        yield Example(f"row-{at}", text, LABELS[at * 7 % len(LABELS)])


def answers(model: str, mode: Mode, rows: int) -> Iterator[PredictionRow]:
    """Yield a model's answers, of which about two thirds are right."""
    draw = random.Random(f"{model}-{mode}")
    rest = 0.4 / (len(LABELS) - 1)
    for row in examples(rows):
        label = row.label if draw.random() < 0.65 else draw.choice(LABELS)
        said = None
        if mode != "fast":
            said = (
                f'"came late" speaks of a delivery, "{row.text[:20]}" of an order, so that {label} fits it.'
            )
        chances = tuple(0.6 if name == label else rest for name in LABELS)
        status = None if said is None else "ok"
        prediction = Prediction(
            row.id, label, chances, said, mode, seconds=0.01, tokens=20, reasoning_status=status
        )
        yield PredictionRow(model, row.text, row.label, prediction)


def in_every_mode(
    _model: object, rows: Sequence[tuple[str, str]], modes: Sequence[Mode], **_options: object
) -> Iterator[dict[Mode, Prediction]]:
    """Yield answers to all rows in the place of a model's, which computes nothing."""
    found = zip(*(answers("classifier", mode, len(rows)) for mode in modes), strict=True)
    return ({row.prediction.mode: row.prediction for row in said} for said in found)


def write_run(run: RunFolder, rows: int) -> None:
    """Write what the report reads of an evaluated run."""
    few = min(rows, METRICS_ROWS)
    said = {key: list(answers(*key, few)) for key in ANSWERS}
    by_mode = {
        mode: [row.prediction for row in found]
        for (name, mode), found in said.items()
        if name == "classifier"
    }
    models = {
        "baseline": [row.prediction for row in said["baseline", "fast"]],
        "classifier": by_mode["blend"],
    }
    test = list(examples(few))
    result = evaluate(
        test, test, LabelSet(LABELS), models, EvaluationConfig(bootstrap_samples=100), 13, modes=by_mode
    )
    effect = reasoning_effect(Predictions.of_rows([row for found in said.values() for row in found]), "blend")
    write_json(run.evaluation_metrics, {**result.to_json(), "reasoning_effect": effect and asdict(effect)})
    write_predictions(run.predictions, (row for key in ANSWERS for row in answers(*key, rows)))
    run.write_recipe(Recipe(name="report-benchmark").to_yaml())
    run.update_manifest(seed=13, versions=versions(), data={"rows": {"test": rows}})


def write_model(folder: Path) -> None:
    """Save a classifier that is all tokenizer."""
    import torch
    from transformers import AutoTokenizer, LlamaConfig, LlamaForCausalLM

    from whylabel.models.load import load, prepare_for_training, save
    from whylabel.prediction.card import ModelCard

    with tempfile.TemporaryDirectory() as plain:
        tokenizer = AutoTokenizer.from_pretrained(pull("smollm2-135m-instruct"))
        shape = {"hidden_size": 8, "intermediate_size": 8, "num_hidden_layers": 1, "num_attention_heads": 1}
        torch.manual_seed(0)
        LlamaForCausalLM(LlamaConfig(vocab_size=len(tokenizer), **shape)).save_pretrained(plain)
        tokenizer.save_pretrained(plain)
        loaded = load(plain, device="cpu", dtype="float32")
    prepare_for_training(loaded)
    card = ModelCard(
        labels=LabelSet(LABELS),
        target="dual",
        question="Which label fits the text?",
        name="Label",
        prompt_style="compact",
        max_text_tokens=256,
        max_reasoning_tokens=32,
        lineage={},
        modes=("blend", "fast", "reasoned", "adaptive"),
    )
    folder.mkdir(parents=True)
    save(loaded, folder, card.to_json())


if __name__ == "__main__":
    main()
