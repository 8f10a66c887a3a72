"""Estimate how long a run will take on this machine, from its size alone, before the first stage runs.

The estimate is the arithmetic of each stage (see `models/flops.py`), divided by the rate at which this machine
multiplies matrices. Two coarse shares account for small steps, memory and other work of the machine, so the
estimate is right to about a factor of two.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from itertools import islice
from typing import TYPE_CHECKING

from whylabel.models.arithmetic import pick_device, pick_dtype
from whylabel.models.check import float32_bytes
from whylabel.models.load import find, token_counter
from whylabel.pipeline.inputs import Inputs
from whylabel.prediction.card import MODES, WRITING
from whylabel.recipe import Recipe, TrainingConfig
from whylabel.types import Example

if TYPE_CHECKING:
    import torch

# Measured on CPUs with 135 M parameters: shares of the machine's rate, and what bf16 gains in training.
_SHARE_IN_TRAINING, _SHARE_IN_GENERATION = 0.5, 0.3
_BF16_ON_CPU = 1.5
_SAMPLE = 200
_PROMPT_TOKENS = 12
"""Tokens of a compact prompt and a label, without the text."""
_ENDED_BEFORE_LIMIT = 0.6
"""Where a reasoning ends on average, as a share of its token limit."""
_READINGS = 16
"""How often a reasoning that models judge is read with its text: mostly for the evidence."""
_MATRIX, _REPEATS = 1024, 4


def estimated_seconds(inputs: Inputs, stages: Sequence[str]) -> float | None:
    """Return about how many seconds the stages will take; None if the model's files are not on this machine.

    The time that an endpoint takes is not counted.
    """
    recipe = inputs.recipe
    size, count_tokens = float32_bytes(recipe.base_model), token_counter(find(recipe.base_model))
    if size is None or count_tokens is None:
        return None
    parameters = size / 4
    data, reasoning = inputs.dataset, _ENDED_BEFORE_LIMIT * recipe.augment.sampling.max_new_tokens
    sample: list[Example] = list(islice(data.train, _SAMPLE))
    text = sum(count_tokens(row.text) for row in sample) / max(len(sample), 1) + _PROMPT_TOKENS
    reasons = recipe.classifier.target != "label"
    both = text + reasoning if reasons else text
    classifier = _training_tokens(recipe.training, len(data.train), (text + both) / 2)
    baseline = classifier if recipe.baseline.budget == "matched_flops" else 0.0
    calibration = min(len(data.validation), recipe.classifier.calibration_rows)
    judged = min(len(data.test), recipe.evaluation.quality_rows) * _READINGS if _writes(recipe) else 0
    embedded = len(data.train) + len(data.test) if "embeddings" in recipe.evaluation.rivals else 0
    written = {
        "augment": 0 if recipe.reasoner.endpoint else inputs.rows_to_write * recipe.augment.candidates * both,
        "train-folds": len(data.train) * text,
        "calibrate-baseline": calibration * text,
        "calibrate-classifier": calibration * (text + 2 * reasoning * reasons),
        "evaluate": len(data.test) * (text + both) + judged * both + embedded * text,
    }
    folds = recipe.augment.folds or 0
    unseen = len(data.train) * (folds - 1) / max(folds, 1)
    trained = {
        "train-folds": folds * _training_tokens(recipe.training, unseen, text),
        "train-reasoner": _training_tokens(recipe.reasoner.training, len(inputs.reasoning_rows[0]), 2 * text),
        "train-baseline": baseline or _training_tokens(recipe.training, len(data.train), text),
        "train-classifier": classifier,
    }
    computed, learnt = _rates(recipe.device, recipe.training.dtype)
    generating = 2 * parameters * sum(written.get(stage, 0) for stage in stages)
    training = 6 * parameters * sum(trained.get(stage, 0) for stage in stages)
    return generating / (computed * _SHARE_IN_GENERATION) + training / (learnt * _SHARE_IN_TRAINING)


def tokens_per_second(parameters: float, device: str = "auto") -> tuple[float, float]:
    """Return about how many tokens a second a model of this size is trained on, and writes, on this machine."""
    computed, learnt = _rates(device, "auto")
    return learnt * _SHARE_IN_TRAINING / (6 * parameters), computed * _SHARE_IN_GENERATION / (2 * parameters)


def _writes(recipe: Recipe) -> bool:
    """Return whether the trained classifier writes reasonings."""
    return any(mode in WRITING for mode in MODES[recipe.classifier.target])


def _training_tokens(config: TrainingConfig, rows: float, tokens: float) -> float:
    """Return the number of tokens in a training on this many rows with this many tokens each."""
    per_step = config.per_device_train_batch_size * config.gradient_accumulation_steps
    steps = max(config.num_train_epochs * rows / per_step, config.min_steps or 0)
    return (config.max_steps or steps) * min(per_step, rows) * tokens


def _rates(device: str, dtype: str) -> tuple[float, float]:
    """Return the floating-point operations per second of predicting and of training."""
    import torch

    place = pick_device(device)
    predicting, training = pick_dtype("auto", place)[0], pick_dtype(dtype, place, fastest=True)[0]
    rate = _matmul_rate(place, predicting)
    if place.type != "cpu":
        return rate, _matmul_rate(place, training)
    return rate, rate * (_BF16_ON_CPU if training == torch.bfloat16 else 1.0)


def _matmul_rate(device: torch.device, dtype: torch.dtype) -> float:
    import torch

    # What else runs on the CPU now will not run all the while: its own seconds count, shared by its threads.
    on_cpu = device.type == "cpu"
    clock, threads = (time.process_time, torch.get_num_threads()) if on_cpu else (time.perf_counter, 1)
    left = torch.ones(_MATRIX, _MATRIX, device=device, dtype=dtype)
    rates = []
    for _ in range(_REPEATS):
        started = clock()
        float((left @ left)[0, 0])
        rates.append(2 * _MATRIX**3 * threads / (clock() - started))
    return max(rates)
