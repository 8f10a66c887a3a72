"""What a GPU is better at: padded batches or examples one by one, static batches or continuous ones.

    python benchmarks/gpu.py --output gpu.json

One run on one GPU: the same weights, prompts of labelled texts, 48 new tokens a row, greedy, no end comes early. Each
way is warmed up, then timed once; what is timed is the loop alone. On a CPU the script runs, too, slowly.
"""

from __future__ import annotations

import argparse
import tempfile
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any
from unittest.mock import patch

from whylabel.data.load import load_dataset
from whylabel.engines import Sampling
from whylabel.engines.transformers import TransformersEngine
from whylabel.host.atomic import write_json
from whylabel.host.machine import hardware, versions
from whylabel.host.progress import say
from whylabel.host.runtime import own_process
from whylabel.models.load import load, prepare_for_training
from whylabel.recipe import DataConfig, TaskConfig, TrainingConfig
from whylabel.text.prompts import Prompts, Rendered
from whylabel.training import loop, train
from whylabel.types import Example

TOKENS_AT_ONCE = 32_768
REASONING = "The words that the writer chose about the day and the people around them carry it, nothing else."
ENGINES: dict[str, dict[str, Any]] = {
    "static, 64 rows": {"max_rows": 64},
    "static, as many as fit": {},
    # A fifth of what is free holds every row at once, and leaves other programs on a CPU their memory.
    "continuous": {"continuous": True, "paging": {"max_memory_percent": 0.2}},
}


def main() -> None:
    """Measure, print and write the figures."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data", default="builtin:emotions", help="labelled texts: a file or builtin:NAME")
    parser.add_argument("--rows", type=int, default=512, help="prompts that are generated for")
    parser.add_argument("--steps", type=int, default=24, help="optimizer steps of a training")
    parser.add_argument("--batches", type=int, nargs="+", default=[16, 64], help="rows of an optimizer step")
    parser.add_argument("--model", default="smollm2-135m-instruct", help="a causal LM as recipes name it")
    parser.add_argument("--device", default="auto")
    parser.add_argument("--output", type=Path, help="where the figures go, as JSON")
    arguments = parser.parse_args()
    rows = texts(arguments.data, arguments.rows)
    found = {
        "machine": {**hardware(), **versions()},
        "training_tokens_per_second": dict(training(rows, arguments)),
        "generation_tokens_per_second": dict(generation(rows, arguments)),
    }
    if arguments.output:
        write_json(arguments.output, found)


def texts(source: str, count: int) -> list[Example]:
    """Return labelled texts, repeated where there are too few."""
    data = DataConfig(source=source, test_fraction=0.01, validation_fraction=0.01)
    rows = list(load_dataset(data, TaskConfig(), seed=13).train)
    return (rows * (count // len(rows) + 1))[:count]


def training(rows: Sequence[Example], arguments: argparse.Namespace) -> Iterator[tuple[str, float]]:
    """Yield the speed of each way to train; every second row has a reasoning, as in the target `dual`."""
    loaded = load(arguments.model, device=arguments.device, dtype="float32")
    prepare_for_training(loaded)
    prompts = Prompts(loaded.tokenizer, "compact")
    examples = [
        prompts.classifier_example(row.text, row.label, REASONING, "reasoning_label", 1.0)
        if place % 2
        else prompts.classifier_example(row.text, row.label, None, "label", 1.0)
        for place, row in enumerate(rows)
    ]
    for batch in arguments.batches:
        for name, ragged in (("padded", False), ("example by example", True)):
            with patch.object(loop, "ragged_pays", return_value=ragged):
                trained(loaded, examples, batch, 4)
                speed = trained(loaded, examples, batch, arguments.steps)
            say(f"training, {batch} rows a step, {name}: {speed:,.0f} tokens/s")
            yield f"{batch} rows, {name}", speed


def trained(loaded: Any, examples: Sequence[Rendered], batch: int, steps: int) -> float:
    """Train and return tokens per second."""
    config = TrainingConfig(
        max_steps=steps,
        learning_rate=1e-5,
        per_device_train_batch_size=batch,
        tokens_per_batch=TOKENS_AT_ONCE,
    )
    with tempfile.TemporaryDirectory() as scratch:
        result = train(loaded, examples, config, seed=1, checkpoints=Path(scratch), title="benchmark")
    return result.tokens / result.seconds


def generation(rows: Sequence[Example], arguments: argparse.Namespace) -> Iterator[tuple[str, float]]:
    """Yield the speed of each way to generate."""
    loaded = load(arguments.model, device=arguments.device)
    prompts = Prompts(loaded.tokenizer, "compact")
    asked = [prompts.reasoner_for_text(row.text, row.label) for row in rows]
    for name, options in ENGINES.items():
        engine = TransformersEngine(loaded, **options)
        list(engine.generate(asked[:4], Sampling(8, stop_ids=())))
        started = time.perf_counter()
        tokens = sum(one.tokens for one in engine.generate(asked, Sampling(48, stop_ids=())))
        speed = tokens / (time.perf_counter() - started)
        say(f"generation, {name}: {speed:,.0f} tokens/s")
        yield name, speed


if __name__ == "__main__":
    own_process()
    main()
