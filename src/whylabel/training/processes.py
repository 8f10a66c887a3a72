"""The processes of one training under `accelerate launch`.

A user's script calls `train` in every process. On the command line (`accelerate launch -m whylabel ...`) the first
process runs the stages. The other processes serve: they wait for a training, compute their share of its steps, and
wait for the next one. They read the model from the folder where the first process has saved it, so several machines
need a shared disk.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager, redirect_stderr
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any

from whylabel.models.arithmetic import pick_device
from whylabel.models.load import LoadedModel, load, save

if TYPE_CHECKING:
    import torch
    from accelerate import Accelerator

# The other processes wait as long as a stage without training may take.
_TIMEOUT = timedelta(weeks=4)
_START = "start"

_others_serve = False


@dataclass(frozen=True, slots=True)
class Job:
    """A call of `train`, sent to the serving processes."""

    model: Path
    arguments: tuple[Any, ...]
    named: dict[str, Any]


def accelerator(device: torch.device) -> Accelerator:
    """Return the object that connects the processes. This package sets the arithmetic itself."""
    from accelerate import Accelerator, InitProcessGroupKwargs

    timeout_setting = InitProcessGroupKwargs(timeout=_TIMEOUT)
    return Accelerator(cpu=device.type == "cpu", mixed_precision="no", kwargs_handlers=[timeout_setting])


def from_first(value: Any) -> Any:
    """Return the value of the first process. All processes must call this."""
    from accelerate.utils import broadcast_object_list

    return broadcast_object_list([value])[0]


def is_first() -> bool:
    """Return whether this is the first of the launched processes."""
    return int(os.environ.get("RANK", "0")) == 0


@contextmanager
def others_serving() -> Iterator[None]:
    """Share every training inside the block with the other processes, which call `serve`. They end with the block.

    If the block raises, they keep waiting; the launcher stops them when this process has failed.
    """
    global _others_serve
    process = accelerator(pick_device())
    _others_serve = True
    try:
        yield
    finally:
        _others_serve = False
    from_first(None)
    _disconnect(process)


@contextmanager
def shared(
    loaded: LoadedModel, folder: Path, arguments: tuple[Any, ...], named: dict[str, Any]
) -> Iterator[None]:
    """Make the serving processes call `train` with the same arguments; they load the model from `folder`."""
    if not _others_serve:
        yield
        return
    start = folder / _START
    save(loaded, start, {})
    from_first(Job(start, arguments, named))
    yield
    shutil.rmtree(start, ignore_errors=True)


def serve(train: Callable[..., Any]) -> None:
    """Take part in every training of the first process, without output, until that process ends."""
    process = accelerator(pick_device())
    while (job := from_first(None)) is not None:
        with Path(os.devnull).open("w", encoding="utf-8") as nowhere, redirect_stderr(nowhere):
            loaded = load(str(job.model), device=str(pick_device()), dtype="float32")
            train(loaded, *job.arguments, **job.named)
    _disconnect(process)


def _disconnect(process: Accelerator) -> None:
    """Disconnect after all processes are ready: a process whose peer disappears while it still waits is aborted."""
    process.wait_for_everyone()
    process.end_training()
