"""The processes of one training under `accelerate launch`.

A script of one's own calls `train` in every process alike. On the command line (`accelerate launch -m whylabel ...`)
the first process runs the stages; the others serve: they wait for a training, do their share of its steps, and wait
for the next one. They read the model where the first process has put it, so that several machines need a common disk.
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

from whylabel.models.load import LoadedModel, load, pick_device, save

if TYPE_CHECKING:
    import torch
    from accelerate import Accelerator

# The others wait as long as a stage without training may take.
_PATIENCE = timedelta(weeks=4)
_START = "start"

_others_serve = False


@dataclass(frozen=True, slots=True)
class Job:
    """A call of `train`, as it is sent to a process that serves."""

    model: Path
    arguments: tuple[Any, ...]
    named: dict[str, Any]


def accelerator(device: torch.device) -> Accelerator:
    """Return what knows of the other processes. Arithmetic is this package's own business."""
    from accelerate import Accelerator, InitProcessGroupKwargs

    patience = InitProcessGroupKwargs(timeout=_PATIENCE)
    return Accelerator(cpu=device.type == "cpu", mixed_precision="no", kwargs_handlers=[patience])


def from_first(value: Any) -> Any:
    """Return what the first process has: all processes call this."""
    from accelerate.utils import broadcast_object_list

    return broadcast_object_list([value])[0]


def is_first() -> bool:
    """Return whether this process is the first of those that were launched."""
    return int(os.environ.get("RANK", "0")) == 0


@contextmanager
def others_serving() -> Iterator[None]:
    """Share every training inside the block with the other processes, which `serve`; they end with it.

    Where the block raises they are left waiting: a launcher ends them when this process has failed.
    """
    global _others_serve
    here = accelerator(pick_device())
    _others_serve = True
    try:
        yield
    finally:
        _others_serve = False
    from_first(None)
    _part(here)


@contextmanager
def shared(
    loaded: LoadedModel, folder: Path, arguments: tuple[Any, ...], named: dict[str, Any]
) -> Iterator[None]:
    """Let the processes that serve make the same call of `train`, on the model as it is now; `folder` is its own."""
    if not _others_serve:
        yield
        return
    start = folder / _START
    save(loaded, start, {})
    from_first(Job(start, arguments, named))
    yield
    shutil.rmtree(start, ignore_errors=True)


def serve(train: Callable[..., Any]) -> None:
    """Take part in every training of the first process, in silence, until it ends."""
    here = accelerator(pick_device())
    while (job := from_first(None)) is not None:
        with Path(os.devnull).open("w", encoding="utf-8") as nowhere, redirect_stderr(nowhere):
            loaded = load(str(job.model), device=str(pick_device()), dtype="float32")
            train(loaded, *job.arguments, **job.named)
    _part(here)


def _part(here: Accelerator) -> None:
    """Leave the others in good order: one that finds its neighbour gone while it still listens is aborted."""
    here.wait_for_everyone()
    here.end_training()
