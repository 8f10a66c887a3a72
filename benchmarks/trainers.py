"""Who trains in `training.py`: whylabel and TRL's SFTTrainer, on the same token ids, in the same order of work.

A trainer has a `name` and a `note` on how it computed. `run` trains a fresh copy of the model once over the rows and
returns the seconds of the loop alone: loading the model and preparing the data are not counted.
"""

from __future__ import annotations

import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

from whylabel.host.machine import installed_version
from whylabel.models.arithmetic import pick_dtype
from whylabel.models.load import LoadedModel
from whylabel.recipe import TrainingConfig
from whylabel.text.prompts import Rendered
from whylabel.training import train


@dataclass(frozen=True)
class Work:
    """What all trainers share: the rows of an optimizer step, and the learning rate, which decides no speed."""

    rows_per_step: int
    max_length: int
    learning_rate: float = 1e-5


class Trainer(Protocol):
    """Something that trains."""

    name: str
    note: str

    def run(self, loaded: LoadedModel, rows: Sequence[Rendered], work: Work) -> float:
        """Train the model in place and return the seconds that it took."""


class Ours:
    """whylabel's loop: float32 unless told otherwise."""

    def __init__(self, name: str = "whylabel", dtype: str = "float32", packing: bool = False) -> None:
        self.name, self.note = name, f"{dtype}, no padding{', packed' if packing else ''}"
        self._dtype, self._packing = dtype, packing

    def run(self, loaded: LoadedModel, rows: Sequence[Rendered], work: Work) -> float:
        """Train with whylabel."""
        config = TrainingConfig(
            num_train_epochs=1,
            learning_rate=work.learning_rate,
            per_device_train_batch_size=work.rows_per_step,
            dtype=self._dtype,
            packing=self._packing,
            max_length=work.max_length,
        )
        with tempfile.TemporaryDirectory() as scratch:
            result = train(loaded, rows, config, seed=1, checkpoints=Path(scratch), title=self.name)
        return result.seconds


class Trl:
    """TRL's SFTTrainer with some of its settings changed."""

    def __init__(self, name: str, note: str, **settings: Any) -> None:
        self.name, self.note = name, f"TRL {installed_version('trl')}, {note}"
        self._settings = settings

    def run(self, loaded: LoadedModel, rows: Sequence[Rendered], work: Work) -> float:
        """Train with TRL."""
        from datasets import Dataset
        from datasets.utils import logging as datasets_logging
        from transformers import TrainerCallback
        from transformers.trainer_callback import PrinterCallback
        from trl import SFTConfig, SFTTrainer

        class Watch(TrainerCallback):
            """Times the loop."""

            started = ended = 0.0

            def on_train_begin(self, *_: Any, **__: Any) -> None:
                Watch.started = time.perf_counter()

            def on_train_end(self, *_: Any, **__: Any) -> None:
                Watch.ended = time.perf_counter()

        datasets_logging.disable_progress_bar()
        data = Dataset.from_dict(
            {
                "input_ids": [[*row.prompt_ids, *row.completion_ids] for row in rows],
                "completion_mask": [
                    [0] * len(row.prompt_ids) + [1] * len(row.completion_ids) for row in rows
                ],
            }
        )
        settings = {
            "num_train_epochs": 1,
            "learning_rate": work.learning_rate,
            "use_cpu": loaded.device.type == "cpu",
            "dataloader_pin_memory": False,
            "save_strategy": "no",
            "report_to": "none",
            "disable_tqdm": True,
            "logging_steps": 1000,
            **self._settings,
        }
        if settings.pop("our_batches", False):
            settings["per_device_train_batch_size"] = work.rows_per_step
        if settings.get("packing"):
            # A sequence of packs holds what our step holds.
            settings |= {"max_length": work.max_length, "per_device_train_batch_size": 1}
        with tempfile.TemporaryDirectory() as scratch:
            arguments = SFTConfig(output_dir=scratch, **settings)
            trainer = SFTTrainer(
                model=loaded.model, args=arguments, train_dataset=data, processing_class=loaded.tokenizer
            )
            trainer.remove_callback(PrinterCallback)
            trainer.add_callback(Watch())
            trainer.train()
        return Watch.ended - Watch.started


def our_trainers(loaded: LoadedModel) -> list[Trainer]:
    """Return whylabel in float32, and in the arithmetic that it chooses by itself where that is another one."""
    dtype = str(pick_dtype("auto", loaded.device, fastest=True)[0]).removeprefix("torch.")
    chosen: list[Trainer] = [Ours("whylabel-auto", dtype)] if dtype != "float32" else []
    packed: list[Trainer] = [Ours("whylabel-packed", dtype, True)] if loaded.device.type == "cuda" else []
    return [Ours(), *chosen, *packed]


PEERS = {
    "trl": lambda: Trl("trl", "as it comes: bf16, checkpointed gradients, 8 rows a step"),
    "trl-tuned": lambda: Trl(
        "trl-tuned",
        "float32, padded, no checkpointing",
        bf16=False,
        gradient_checkpointing=False,
        our_batches=True,
    ),
    "trl-packed": lambda: Trl(
        "trl-packed",
        "float32, packed, no checkpointing",
        bf16=False,
        gradient_checkpointing=False,
        packing=True,
    ),
}
"""The peers, made when they are asked for."""
