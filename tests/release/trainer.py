"""A training with transformers' Trainer, killed by the same schedule as ours, and its own way to resume.

It trains the same tiny model on as many rows, in batches and with checkpoints as ours does. The next run begins with
`resume_from_checkpoint=True` where `get_last_checkpoint` finds one, as the documentation of the Trainer says.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

CHECKPOINT_FILES = (
    "model.safetensors",
    "optimizer.pt",
    "scheduler.pt",
    "rng_state.pth",
    "training_args.bin",
    "trainer_state.json",
)


def train_with_trainer(folder: Path) -> int:
    """Train `FOLDER/../model` into `FOLDER/trainer`, from the last checkpoint if there is one."""
    from transformers import AutoModelForCausalLM, AutoTokenizer, Trainer, TrainingArguments
    from transformers.trainer_utils import get_last_checkpoint

    model = folder.parent / "model"
    tokenizer = AutoTokenizer.from_pretrained(model)
    rows = [tokenizer(f"a text of number {number} is of label {number % 6}") for number in range(60)]
    output = folder / "trainer"
    trainer = Trainer(
        AutoModelForCausalLM.from_pretrained(model),
        TrainingArguments(
            output_dir=str(output),
            per_device_train_batch_size=4,
            num_train_epochs=1,
            save_strategy="steps",
            save_steps=3,
            report_to=[],
            disable_tqdm=True,
            use_cpu=True,
            seed=13,
        ),
        data_collator=lambda batch: _batch(batch, tokenizer.eos_token_id),
        train_dataset=rows,
    )
    last = get_last_checkpoint(str(output)) if output.is_dir() else None
    trainer.train(resume_from_checkpoint=True if last else None)
    trainer.save_model(str(output / "model"))
    return 0


def _batch(rows: list[dict[str, Any]], padding: int) -> dict[str, Any]:
    import torch

    longest = max(len(row["input_ids"]) for row in rows)

    def padded(name: str, value: int) -> Any:
        return torch.tensor([row[name] + [value] * (longest - len(row[name])) for row in rows])

    ids, mask = padded("input_ids", padding), padded("attention_mask", 0)
    return {"input_ids": ids, "attention_mask": mask, "labels": ids.masked_fill(mask == 0, -100)}


def torn_checkpoint(folder: Path, printed: str) -> str | None:
    """Return what the newest checkpoint lacks."""
    found = sorted(folder.glob("trainer/checkpoint-*"), key=lambda path: int(path.name.rpartition("-")[2]))
    if not found:
        return None
    files = {path.name for path in found[-1].iterdir() if path.stat().st_size}
    lacking = [name for name in CHECKPOINT_FILES if name not in files]
    return f"torn checkpoint, without {lacking}" if lacking else None
