"""Where a model is computed, and in which floating-point arithmetic."""

from __future__ import annotations

import math
import time
from functools import cache
from typing import TYPE_CHECKING

from whylabel.errors import ModelError

if TYPE_CHECKING:
    import torch

_CLEARLY_FASTER = 1.15
# About the products of a step of a model of 135 M parameters: rows, inputs, outputs.
_PRODUCT = (512, 576, 1536)
_TRIES = 7


def pick_device(device: str = "auto") -> torch.device:
    """Return the named device; for `auto`, CUDA if available, else the CPU."""
    import torch

    if device != "auto":
        try:
            place = torch.device(device)
        except RuntimeError as error:
            raise ModelError(f"Unknown device {device!r}.", fix="auto, cpu, cuda, cuda:1 ...") from error
        _require_device(place)
        return place
    return torch.device("cuda" if torch.cuda.is_available() else "cpu")


def _require_device(place: torch.device) -> None:
    """Raise `ModelError` if this machine, or this build of torch, has no such device."""
    import torch

    if place.type == "cuda":
        # Only counted: to put something there would take memory of a card that another process may use.
        there = (place.index or 0) < torch.cuda.device_count()
    else:
        try:
            there = torch.ones(1, device=place).tolist() == [1]
        except (RuntimeError, AssertionError, ImportError):
            there = False
    if not there:
        raise ModelError(
            f"This machine, or this build of torch, has no device '{place}'.", fix="name auto or cpu"
        )


def pick_dtype(dtype: str, device: torch.device, *, fastest: bool = False) -> tuple[torch.dtype, str]:
    """Return the arithmetic to use and the reason in words.

    A GPU with bf16 uses it. A CPU predicts in fp32, so that the other rows of a batch do not change a label. With
    `fastest`, as for training, it computes in bf16 if that is clearly faster here: emulated bf16 is a hundred times
    slower, and on some CPUs the instructions for it are half as fast as those for fp32.
    """
    import torch

    if dtype != "auto":
        return getattr(torch, dtype), "named in the recipe"
    if device.type == "cuda" and torch.cuda.is_bf16_supported(including_emulation=False):
        return torch.bfloat16, "this GPU computes bf16"
    if device.type == "cpu" and not fastest:
        return torch.float32, "on a CPU a row gets the same label in every batch"
    if device.type == "cpu" and cpu_has_bf16() and (times := _bf16_speed()) > _CLEARLY_FASTER:
        return torch.bfloat16, f"this CPU computes bf16 {times:.1f} times as fast; the weights stay float32"
    return torch.float32, f"this {device.type.upper()} has no fast bf16 arithmetic"


def cpu_has_bf16() -> bool:
    """Return whether this CPU has instructions for bf16."""
    import torch

    return bool(torch.cpu._is_amx_tile_supported() or torch.cpu._is_avx512_bf16_supported())


@cache
def _bf16_speed() -> float:
    """Return how many times as fast as fp32 this CPU multiplies matrices in bf16: the best of a few tries of each.

    One thread and its own processor time are measured, so that other work on the machine does not change the outcome:
    a training that continues has to be computed as it began.
    """
    import torch

    rows, inputs, outputs = _PRODUCT
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        seconds = {torch.float32: math.inf, torch.bfloat16: math.inf}
        factors = {
            dtype: (torch.ones(rows, inputs, dtype=dtype), torch.ones(outputs, inputs, dtype=dtype))
            for dtype in seconds
        }
        for _ in range(_TRIES):
            for dtype, (left, right) in factors.items():
                started = time.thread_time()
                torch.nn.functional.linear(left, right)
                seconds[dtype] = min(seconds[dtype], time.thread_time() - started)
    finally:
        torch.set_num_threads(threads)
    return seconds[torch.float32] / seconds[torch.bfloat16]
