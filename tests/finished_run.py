"""A run folder as a finished run leaves it, made without any model."""

from __future__ import annotations

import random
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from whylabel.evaluation.evaluate import evaluate
from whylabel.evaluation.predictions import write_predictions
from whylabel.host.atomic import write_json
from whylabel.reasonings.files import dropped_rows, kept_rows
from whylabel.recipe import EvaluationConfig, Recipe, override_recipe
from whylabel.run_folder import STAGES, RunFolder
from whylabel.text.labels import LabelSet
from whylabel.types import Dropped, Example, Mode, Prediction, ReasonedExample

MakeRun = Callable[..., RunFolder]
_STATUSES = ("ok", "ok", "ok", "afterthought", "withheld: ungrounded")
EMOTIONS = ("sadness", "joy", "love", "anger", "fear", "surprise")


def write_run(
    folder: Path,
    labels: Sequence[str] = EMOTIONS,
    text: str = "The kettle sang and I thought of",
    reasoning: str = "The writer lingers on",
    models: Sequence[str] = ("baseline", "classifier"),
    modes: Sequence[Mode] = (),
) -> RunFolder:
    """Write a run folder; `text` and `reasoning` stand in every text and reasoning, `modes` beside `reasoned`."""
    run = RunFolder(folder)
    run.write_recipe(Recipe(name="quickstart").to_yaml())
    write_manifest(run)
    write_stage_metrics(run)
    write_reasonings(run, labels, text, reasoning)
    write_evaluation(run, labels, text, reasoning, models, modes)
    return run


def with_recipe(run: RunFolder, **settings: Any) -> RunFolder:
    """Return the run as one of this recipe, which every stage has recorded."""
    recipe = override_recipe(Recipe(name="quickstart"), **settings)
    run.write_recipe(recipe.to_yaml())
    stages = {
        name: {**entry, "recipe": recipe.model_dump(mode="json")}
        for name, entry in run.read_manifest()["stages"].items()
    }
    run.update_manifest(stages=stages)
    return run


def examples(split: str, labels: Sequence[str], text: str, each: int) -> list[Example]:
    return [
        Example(f"{split}-{label}-{n}", f"{text} {label[:2]} {n}", label)
        for n in range(each)
        for label in labels
    ]


def predicted(
    test: Sequence[Example], labels: Sequence[str], right: float, mode: Mode, reasoning: str, seed: int
) -> list[Prediction]:
    rng = random.Random(seed)
    predictions = []
    for number, row in enumerate(test):
        label = row.label if rng.random() < right else rng.choice(list(labels))
        rest = 0.4 / (len(labels) - 1)
        predictions.append(
            Prediction(
                id=row.id,
                label=label,
                probabilities=tuple(0.6 if name == label else rest for name in labels),
                reasoning=f"{reasoning} {row.text}, which points to {label}." if mode == "reasoned" else None,
                mode=mode,
                status="reasoning_cut" if mode == "reasoned" and rng.random() < 0.05 else "ok",
                seconds=0.4 if mode == "reasoned" else 0.03,
                tokens=24 if mode == "reasoned" else 0,
                reasoning_status=_STATUSES[number % len(_STATUSES)] if mode == "reasoned" else None,
            )
        )
    return predictions


def write_evaluation(
    run: RunFolder,
    labels: Sequence[str],
    text: str,
    reasoning: str,
    models: Sequence[str],
    modes: Sequence[Mode],
) -> None:
    test = examples("test", labels, text, 30 if len(labels) < 20 else 4)
    said = {
        "baseline": predicted(test, labels, 0.55, "fast", "", 1),
        "classifier": predicted(test, labels, 0.58, "reasoned", reasoning, 2),
    }
    result = evaluate(
        test,
        # Simple models learn hundreds of labels for minutes.
        examples("train", labels, text, 5 if len(labels) < 100 else 0),
        LabelSet(tuple(labels)),
        {name: said[name] for name in models},
        EvaluationConfig(bootstrap_samples=200),
        seed=13,
        modes={mode: predicted(test, labels, 0.6, mode, reasoning, 3) for mode in modes},
    )
    write_json(run.evaluation_metrics, result.to_json())
    write_predictions(run.predictions, result.rows)


def write_reasonings(run: RunFolder, labels: Sequence[str], text: str, reasoning: str) -> None:
    rows = [
        ReasonedExample(row.id, row.text, row.label, f"{reasoning} {row.text}.", "smollm2-135m-instruct")
        for row in examples("train", labels, text, 5)
    ]
    with kept_rows(run.kept) as keep:
        for row in rows:
            keep(row)
    with dropped_rows(run.dropped) as drop:
        for number, row in enumerate(rows[:4]):
            drop(Dropped(row, ("unfinished", "copy")[number % 2]))


def write_stage_metrics(run: RunFolder) -> None:
    write_json(
        run.reasoner_metrics,
        {
            "held_out_loss": 1.8342,
            "perplexity": 6.26,
            "stopped_share": 0.975,
            "length_quantiles": {"0.5": 31, "0.95": 52},
            "answer_recovery": {"with_reasoning": 0.72, "without_reasoning": 0.41, "n": 40},
            "examples": [{"question": "Is ice cold?", "answer": "yes", "reasoning": "Ice is frozen water."}],
        },
    )
    write_json(
        run.augment_metrics,
        {
            "rows": 480,
            "kept": 431,
            "dropped": 47,
            "failed": 2,
            "dropped_by_reason": {"unfinished": 30, "copy": 17},
            "failures": {"emotions-train-0007": "timed out", "emotions-train-0012": "timed out"},
            "reused": 0,
            "seconds": 181.4,
            "tokens": 15321,
        },
    )
    write_json(
        run.baseline_metrics,
        {
            "rows": 431,
            "steps": 81,
            "train_loss": 0.71,
            "tokens": 12000,
            "seconds": 95.0,
            "supervised_tokens": 900,
        },
    )
    write_json(
        run.classifier_metrics,
        {"rows": 431, "steps": 81, "train_loss": 1.52, "tokens": 26000, "seconds": 210},
    )


def write_manifest(run: RunFolder) -> None:
    stages = {
        name: {"status": "done", "seconds": 60.5, "rows": 431, "tokens": 12000, "fingerprint": "ab12" * 16}
        for name in STAGES
    }
    run.update_manifest(
        versions={"whylabel": "0.1.0", "torch": "2.13.0", "python": "3.11.9"},
        seed=13,
        hardware={"cpu": "AMD EPYC", "cores": 2, "memory_gib": 24.0},
        data={"fingerprint": "cd34" * 16, "rows": {"train": 480, "validation": 60, "test": 180}},
        stages=stages,
    )
