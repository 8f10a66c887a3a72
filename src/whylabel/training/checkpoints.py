"""Checkpoints: weights and optimizer as safetensors, the rest as JSON, no pickle. Only complete ones are used.

A checkpoint is written to a temporary folder and renamed when it is complete. Its `complete.json` contains the hash
of every file, so damaged checkpoints are not used either.
"""

from __future__ import annotations

import hashlib
import json
import re
import shutil
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from whylabel.host.atomic import whole_folder, write_json

if TYPE_CHECKING:
    import torch

_COMPLETE = "complete.json"
_CPU_RANDOM, _GPU_RANDOM = "rng", "rng_gpu"
_NAME = re.compile(r"checkpoint-(\d+)")
_WEIGHTS, _OPTIMIZER, _STATE = "weights.safetensors", "optimizer.safetensors", "state.json"


@dataclass
class Checkpoint:
    """The state of a training, without weights and optimizer."""

    step: int = 0
    loss_sum: float = 0.0
    tokens: int = 0
    supervised_tokens: int = 0
    flops: float = 0.0
    seconds: float = 0.0
    processes: int = 1
    """The number of processes when training began; the rows of a step grow with it."""
    evaluations: list[dict[str, float]] = field(default_factory=list)
    """The evaluations on validation rows: `step` and `accuracy`."""


def save_checkpoint(
    folder: Path, state: Checkpoint, model: torch.nn.Module, optimizer: torch.optim.Optimizer
) -> None:
    """Write `checkpoint-STEP` into the folder, then remove the older checkpoints."""
    import torch
    from safetensors.torch import save_file

    newest = folder / f"checkpoint-{state.step}"
    values = optimizer.state_dict()
    with whole_folder(newest) as aside:
        save_file(_cpu(trained_parameters(model)), aside / _WEIGHTS)
        flat = {
            f"{index}.{name}": value
            for index, slots in values["state"].items()
            for name, value in slots.items()
            if isinstance(value, torch.Tensor)
        }
        save_file({**_cpu(flat), **_random_states()}, aside / _OPTIMIZER)
        plain = {
            f"{index}.{name}": value
            for index, slots in values["state"].items()
            for name, value in slots.items()
            if not isinstance(value, torch.Tensor)
        }
        write_json(
            aside / _STATE, {**asdict(state), "groups": values["param_groups"], "optimizer_values": plain}
        )
        write_json(aside / _COMPLETE, {file.name: _digest(file) for file in sorted(aside.iterdir())})
    for older in _checkpoints(folder):
        if older != newest:
            shutil.rmtree(older)


def latest_checkpoint(folder: Path) -> Path | None:
    """Return the newest complete checkpoint; remove those that are incomplete or damaged."""
    whole = []
    for path in _checkpoints(folder):
        if _is_whole(path):
            whole.append(path)
        else:
            shutil.rmtree(path)
    return whole[-1] if whole else None


def _checkpoints(folder: Path) -> list[Path]:
    """Return the checkpoints in a folder, oldest first; files and folders with other names are not ours."""
    steps = {path: _NAME.fullmatch(path.name) for path in folder.glob("checkpoint-*") if path.is_dir()}
    numbered = [(int(match[1]), path) for path, match in steps.items() if match]
    return [path for _, path in sorted(numbered)]


def load_checkpoint(path: Path, model: torch.nn.Module, optimizer: torch.optim.Optimizer) -> Checkpoint:
    """Restore weights, optimizer and random state; return the rest of the state."""
    import torch
    from safetensors.torch import load_file

    load_parameters(model, path / _WEIGHTS)
    values = json.loads((path / _STATE).read_text(encoding="utf-8"))
    tensors = load_file(path / _OPTIMIZER)
    torch.set_rng_state(tensors.pop(_CPU_RANDOM))
    if (state := tensors.pop(_GPU_RANDOM, None)) is not None and torch.cuda.is_available():
        torch.cuda.set_rng_state(state)
    slots: dict[int, dict[str, Any]] = {}
    for key, value in {**tensors, **values.pop("optimizer_values")}.items():
        index, name = key.split(".", 1)
        slots.setdefault(int(index), {})[name] = value
    optimizer.load_state_dict({"state": slots, "param_groups": values.pop("groups")})
    return Checkpoint(**values)


def _random_states() -> dict[str, torch.Tensor]:
    import torch

    states = {_CPU_RANDOM: torch.get_rng_state()}
    return states | ({_GPU_RANDOM: torch.cuda.get_rng_state()} if torch.cuda.is_available() else {})


def save_parameters(model: torch.nn.Module, file: Path) -> None:
    """Write the trained weights."""
    from safetensors.torch import save_file

    save_file(_cpu(trained_parameters(model)), file)


def load_parameters(model: torch.nn.Module, file: Path) -> None:
    """Read the trained weights into the model."""
    import torch
    from safetensors.torch import load_file

    found = load_file(file)
    with torch.no_grad():
        for name, parameter in trained_parameters(model).items():
            parameter.copy_(found[name])


def trained_parameters(model: torch.nn.Module) -> dict[str, torch.nn.Parameter]:
    """Return the trainable parameters by name, each once."""
    return {name: value for name, value in model.named_parameters() if value.requires_grad}


def _cpu(tensors: Mapping[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    return {name: value.detach().cpu().contiguous() for name, value in tensors.items()}


def _is_whole(path: Path) -> bool:
    try:
        digests = json.loads((path / _COMPLETE).read_text(encoding="utf-8"))
        return {_WEIGHTS, _OPTIMIZER, _STATE} <= digests.keys() and all(
            _digest(path / name) == digest for name, digest in digests.items()
        )
    except (OSError, ValueError, AttributeError):
        return False


def _digest(file: Path) -> str:
    with file.open("rb") as content:
        return hashlib.file_digest(content, "sha256").hexdigest()
