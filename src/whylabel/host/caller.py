"""What belongs to the program that uses whylabel as a library, and is as it was when whylabel is done."""

from __future__ import annotations

import random
import warnings
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, nullcontext
from logging import Logger, getLogger
from threading import RLock
from typing import Any

from whylabel.host.runtime import be_quiet, is_own_process, prepare_process

_in_use = RLock()
_depth = 0


@contextmanager
def as_found() -> Iterator[None]:
    """Leave random numbers, warnings, logging and accelerators as they were. Inside, the libraries below are quiet.

    All of these belong to the whole process, as does what transformers sets while it loads a model, so of several
    threads one at a time is inside. Of blocks within blocks the outermost puts back. In a process of our own there is
    nothing to put back.
    """
    global _depth
    if is_own_process():
        yield
        return
    with _in_use, _remembered() if _depth == 0 else nullcontext():
        _depth += 1
        try:
            yield
        finally:
            _depth -= 1


def _remembered() -> ExitStack:
    """Make the libraries quiet, and return what puts everything back when it is closed."""
    import huggingface_hub.utils
    import numpy
    import torch
    from transformers.utils import logging

    hub: Any = huggingface_hub.utils
    prepare_process()
    with ExitStack() as stack:
        devices = range(torch.cuda.device_count()) if torch.cuda.is_initialized() else ()  # type: ignore[no-untyped-call]
        stack.enter_context(torch.random.fork_rng(devices))
        stack.callback(numpy.random.set_state, numpy.random.get_state())
        stack.callback(random.setstate, random.getstate())
        stack.enter_context(warnings.catch_warnings())
        for name in ("transformers", "bitsandbytes"):
            stack.callback(_set_level, getLogger(name), getLogger(name).level)
        if logging.is_progress_bar_enabled():
            if hub.are_progress_bars_disabled():
                stack.callback(hub.disable_progress_bars)
            stack.callback(logging.enable_progress_bar)
        _set_aside_accelerators(stack)
        be_quiet()
        return stack.pop_all()


def _set_level(logger: Logger, level: int) -> None:
    if logger.level != level:
        logger.setLevel(level)


def _set_aside_accelerators(stack: ExitStack) -> None:
    """Let a caller's `Accelerator` and ours have settings of their own: by itself a process has one for all."""
    from accelerate.state import AcceleratorState, GradientState, PartialState

    if PartialState._shared_state.get("num_processes", 1) > 1:
        return  # the processes stay connected
    for kind in (PartialState, AcceleratorState, GradientState):
        shared = kind._shared_state
        stack.callback(shared.update, dict(shared))
        stack.callback(shared.clear)
        shared.clear()
