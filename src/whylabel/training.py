"""The one supervised loop: rendered (prompt, completion) pairs -> a trained model. Both stages use it.

TRL's SFTTrainer does the work under this adapter. What is ours: fp32 where bf16 is emulated, the same data
order for every target (rows are grouped by the length of their prompt), checkpoints that count only when whole.
"""

from __future__ import annotations

import importlib.util
import json
import math
import re
import shutil
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from whylabel.atomic import write_json
from whylabel.errors import ModelError
from whylabel.models import LoadedModel, pick_dtype
from whylabel.progress import Progress, progress, say
from whylabel.prompts import LABEL_MARKER, Rendered
from whylabel.recipe import TrainingConfig
from whylabel.row_order import RowOrder

if TYPE_CHECKING:
    from transformers import TrainingArguments

_COMPLETE = "complete.json"
_SECONDS_BETWEEN_CHECKPOINTS = 300.0


@dataclass(frozen=True, slots=True)
class TrainingResult:
    """What the loop did. `tokens` counts what was computed without padding, over all epochs."""

    rows: int
    steps: int
    train_loss: float
    tokens: int
    supervised_tokens: int
    seconds: float
    resumed_from_step: int


def train(
    loaded: LoadedModel,
    examples: Sequence[Rendered],
    config: TrainingConfig,
    *,
    seed: int,
    checkpoints: Path,
    title: str,
) -> TrainingResult:
    """Fine-tune the model in place on the completions and return what was done.

    `checkpoints` is a folder for this very work: it goes on from a whole
    checkpoint in it, and removes a torn one.
    """
    from transformers import set_seed

    _check_libraries(config)
    set_seed(seed)
    model = _with_adapters(loaded, config) if config.method == "lora" else loaded.model
    if config.packing:
        loaded.model.set_attn_implementation("flash_attention_2")
    arguments = _arguments(loaded, config, seed, checkpoints)
    resume = last_complete_checkpoint(checkpoints)
    first_step = int(resume.name.split("-")[1]) if resume else 0
    if resume:
        say(f"  {title}: goes on from step {first_step}")
    started = time.monotonic()
    trainer = _make_trainer(model, loaded, examples, arguments)
    total = _total_steps(trainer, arguments)
    with progress(title, total=total, unit="steps", done=first_step) as bar:
        trainer.add_callback(_callback(bar, config.save_steps is None))
        output = trainer.train(resume_from_checkpoint=str(resume) if resume else None)
    # Accelerate leaves its mixed precision around `forward`; what is saved and measured is the plain model.
    trained = trainer.accelerator.unwrap_model(trainer.model, keep_fp32_wrapper=False)
    loaded.model = trained.merge_and_unload() if config.method == "lora" else trained
    loaded.model.eval()
    loaded.model.config.use_cache = True
    epochs = trainer.state.epoch or 0.0
    return TrainingResult(
        rows=len(examples),
        steps=int(trainer.state.global_step),
        train_loss=float(output.training_loss),
        tokens=int(trainer.state.num_input_tokens_seen),
        supervised_tokens=round(epochs * sum(len(row.completion_ids) for row in examples)),
        seconds=time.monotonic() - started,
        resumed_from_step=first_step,
    )


def _check_libraries(config: TrainingConfig) -> None:
    from transformers.utils import is_flash_attn_2_available

    if re.search("8bit|4bit|bnb", config.optim) and not importlib.util.find_spec("bitsandbytes"):
        raise ModelError(
            f"training.optim={config.optim} needs the package bitsandbytes.",
            fix="pip install bitsandbytes, or training.optim=adamw_torch_fused",
        )
    # Without its kernels the rows of a pack would read each other.
    if config.packing and not is_flash_attn_2_available():
        raise ModelError(
            "training.packing needs FlashAttention 2 on a CUDA device.",
            fix="pip install flash-attn, or training.packing=false",
        )


def last_complete_checkpoint(folder: Path) -> Path | None:
    """Return the newest whole checkpoint, removing torn ones.

    A checkpoint is whole when its `complete.json`, written last, lists its files with their sizes.
    """
    whole = []
    for path in sorted(folder.glob("checkpoint-*"), key=lambda path: int(path.name.split("-")[1])):
        if _is_whole(path):
            whole.append(path)
        else:
            shutil.rmtree(path)
    return whole[-1] if whole else None


def _is_whole(path: Path) -> bool:
    try:
        sizes = json.loads((path / _COMPLETE).read_text(encoding="utf-8"))
        return all((path / name).stat().st_size == size for name, size in sizes.items())
    except (OSError, ValueError, AttributeError):
        return False


def _mark_whole(path: Path) -> None:
    sizes = {
        str(file.relative_to(path)): file.stat().st_size
        for file in sorted(path.rglob("*"))
        if file.is_file() and file.name != _COMPLETE
    }
    write_json(path / _COMPLETE, sizes)


def _with_adapters(loaded: LoadedModel, config: TrainingConfig) -> Any:
    from peft import LoraConfig, get_peft_model

    marker = loaded.tokenizer.convert_tokens_to_ids(LABEL_MARKER)
    adapters = LoraConfig(
        task_type="CAUSAL_LM",
        r=config.lora.r,
        lora_alpha=config.lora.lora_alpha,
        lora_dropout=config.lora.lora_dropout,
        target_modules=config.lora.target_modules,
        # Adapters leave embeddings alone, but the label marker is new and must be learnt.
        trainable_token_indices=[marker],
    )
    return get_peft_model(loaded.model, adapters)


def _arguments(loaded: LoadedModel, config: TrainingConfig, seed: int, folder: Path) -> TrainingArguments:
    import torch
    from trl import SFTConfig

    on_cpu = loaded.device.type == "cpu"
    dtype, reason = pick_dtype(config.dtype, loaded.device, training=True)
    say(f"  arithmetic: {str(dtype).removeprefix('torch.')} ({reason})")
    return SFTConfig(
        output_dir=str(folder),
        num_train_epochs=config.num_train_epochs,
        max_steps=config.max_steps or -1,
        learning_rate=config.learning_rate,
        lr_scheduler_type=config.lr_scheduler_type,
        warmup_steps=config.warmup_steps,
        weight_decay=config.weight_decay,
        optim=config.optim,
        per_device_train_batch_size=config.per_device_train_batch_size,
        gradient_accumulation_steps=config.gradient_accumulation_steps,
        max_length=config.max_length if config.packing else None,
        packing=config.packing,
        gradient_checkpointing=config.gradient_checkpointing,
        bf16=dtype == torch.bfloat16,
        use_cpu=on_cpu,
        dataloader_pin_memory=not on_cpu,
        seed=seed,
        data_seed=seed,
        include_num_input_tokens_seen="non_padding",
        save_strategy="steps" if config.save_steps else "no",
        save_steps=config.save_steps or 1,
        logging_steps=5,
        disable_tqdm=True,
        report_to="none",
    )


def _make_trainer(
    model: Any, loaded: LoadedModel, examples: Sequence[Rendered], arguments: TrainingArguments
) -> Any:
    from datasets import Dataset
    from datasets.utils import logging as datasets_logging
    from transformers import Trainer
    from transformers.trainer_callback import PrinterCallback
    from trl import SFTTrainer

    class OurTrainer(SFTTrainer):  # type: ignore[misc]
        """Our order, our loss, and checkpoints that are marked once whole; older ones then go."""

        def _get_train_sampler(self, train_dataset: Any = None) -> Any:
            if self.args.packing:
                return super()._get_train_sampler(train_dataset)
            rows_per_step = self.args.train_batch_size * self.args.gradient_accumulation_steps
            lengths = [len(row.prompt_ids) for row in examples]
            return RowOrder(lengths, rows_per_step, self.args.seed)

        def compute_loss(
            self, model: Any, inputs: Any, return_outputs: bool = False, num_items_in_batch: Any = None
        ) -> Any:
            loss = completion_loss(model, dict(inputs), num_items_in_batch)
            if self.args.average_tokens_across_devices and num_items_in_batch is not None:
                # The count is over all processes, and the gradients are averaged over them.
                loss = loss * self.accelerator.num_processes
            return loss

        def _save_checkpoint(self, model: Any, trial: Any) -> None:
            Trainer._save_checkpoint(self, model, trial)  # without TRL's model card
            folder = Path(self.args.output_dir)
            newest = folder / f"checkpoint-{self.state.global_step}"
            _mark_whole(newest)
            for older in folder.glob("checkpoint-*"):
                if older != newest:
                    shutil.rmtree(older)

    datasets_logging.disable_progress_bar()
    rows = Dataset.from_dict(
        {
            "input_ids": [[*row.prompt_ids, *row.completion_ids] for row in examples],
            "labels": [[-100] * len(row.prompt_ids) + list(row.completion_ids) for row in examples],
        }
    )
    trainer = OurTrainer(model=model, args=arguments, train_dataset=rows, processing_class=loaded.tokenizer)
    trainer.remove_callback(PrinterCallback)
    return trainer


def completion_loss(model: Any, inputs: dict[str, Any], tokens: Any = None) -> Any:
    """Return the mean negative log-likelihood (nats) of the supervised tokens, a scalar tensor.

    The LM head, a fifth of a small model's arithmetic, is computed at supervised positions alone. `inputs` are
    `input_ids` and `labels` of shape (rows, length), with -100 where nothing is supervised; `tokens` is what to
    divide by where a step spans several batches.
    """
    import torch
    from torch.nn.functional import cross_entropy, pad

    targets = inputs.pop("labels")[:, 1:]
    supervised = targets != -100
    at = pad(supervised, (0, 1), value=False)
    head = model.get_output_embeddings()

    def select(_head: Any, arguments: tuple[torch.Tensor, ...]) -> tuple[torch.Tensor, ...]:
        return (arguments[0][at],)

    hook = head.register_forward_pre_hook(select)
    try:
        logits = model(**inputs, use_cache=False).logits
    finally:
        hook.remove()
    total = cross_entropy(logits.float(), targets[supervised], reduction="sum")
    return total / (supervised.sum() if tokens is None else tokens)


def _total_steps(trainer: Any, arguments: TrainingArguments) -> int:
    if arguments.max_steps > 0:
        return int(arguments.max_steps)
    batches: int = len(trainer.get_train_dataloader())
    steps = math.ceil(batches / int(arguments.gradient_accumulation_steps))
    return max(1, math.ceil(steps * float(arguments.num_train_epochs)))


def _callback(bar: Progress, by_time: bool) -> Any:
    from transformers import TrainerCallback

    class Show(TrainerCallback):  # type: ignore[misc]
        """Moves the bar, and asks for a checkpoint every few minutes."""

        def __init__(self) -> None:
            self._tokens: int | None = None
            self._saved_at = time.monotonic()

        def on_train_begin(self, args: Any, state: Any, control: Any, **_: Any) -> None:
            self._tokens = state.num_input_tokens_seen

        def on_step_end(self, args: Any, state: Any, control: Any, **_: Any) -> None:
            seen = state.num_input_tokens_seen
            bar.advance(1, int(seen - (self._tokens or 0)))
            self._tokens = seen
            if by_time and time.monotonic() - self._saved_at > _SECONDS_BETWEEN_CHECKPOINTS:
                control.should_save = True
                self._saved_at = time.monotonic()

        def on_log(self, args: Any, state: Any, control: Any, logs: Any = None, **_: Any) -> None:
            if logs and "loss" in logs:
                bar.advance(0, 0, note=f"loss {float(logs['loss']):.3f}")

    return Show()
