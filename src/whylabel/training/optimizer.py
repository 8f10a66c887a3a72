"""The optimizer, by its Hugging Face name, and its learning rate at each step."""

from __future__ import annotations

import importlib.util
import re
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

from whylabel.errors import ModelError
from whylabel.recipe import TrainingConfig
from whylabel.training.checkpoints import trained_parameters

if TYPE_CHECKING:
    import torch
    from transformers import PreTrainedModel


def check_bitsandbytes(config: TrainingConfig) -> None:
    """Raise `ModelError` if the config needs the package bitsandbytes and it is not installed."""
    if importlib.util.find_spec("bitsandbytes"):
        return
    if re.search("8bit|4bit|bnb", config.optim):
        raise ModelError(
            f"training.optim={config.optim} needs the package bitsandbytes.",
            fix="pip install bitsandbytes, or training.optim=adamw_torch_fused",
        )
    if config.method == "qlora":
        raise ModelError(
            "training.method=qlora needs the package bitsandbytes.",
            fix="pip install 'whylabel[qlora]', or training.method=lora",
        )


def optimizer_class(
    model: PreTrainedModel, config: TrainingConfig, folder: Path
) -> tuple[type[torch.optim.Optimizer], dict[str, Any]]:
    """Return the class of the optimizer `config.optim` (a Hugging Face name), and its settings."""
    from transformers import Trainer, TrainingArguments

    arguments = TrainingArguments(
        output_dir=str(folder),
        optim=config.optim,
        learning_rate=config.learning_rate,
        use_cpu=model.device.type == "cpu",
        report_to="none",
    )
    return Trainer.get_optimizer_cls_and_kwargs(arguments, model)  # type: ignore[no-any-return]


def optimizer_of(
    model: torch.nn.Module,
    config: TrainingConfig,
    kind: type[torch.optim.Optimizer],
    settings: dict[str, Any],
) -> torch.optim.Optimizer:
    """Return the optimizer of the trainable parameters; norms and biases have no weight decay."""
    parameters = list(trained_parameters(model).values())
    groups = [
        {"params": [value for value in parameters if value.ndim >= 2], "weight_decay": config.weight_decay},
        {"params": [value for value in parameters if value.ndim < 2], "weight_decay": 0.0},
    ]
    return kind([group for group in groups if group["params"]], **settings)


def schedule(config: TrainingConfig, total: int) -> Callable[[int], float]:
    """Return a function from the step (from 0) to the learning rate as a share of its peak."""
    import torch
    from transformers import get_scheduler

    warm_up = config.warmup_steps if config.warmup_steps >= 1 else config.warmup_steps * total
    unused = torch.optim.SGD([torch.zeros(1, requires_grad=True)], lr=1.0)
    scheduler = get_scheduler(config.lr_scheduler_type, unused, int(warm_up), total)
    factor: Callable[[int], float] = scheduler.lr_lambdas[0]
    return factor
