"""What belongs to the program that uses whylabel as a library, and is as it was when whylabel is done."""

from __future__ import annotations

import random
import warnings
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from logging import getLogger
from threading import Lock
from typing import Any

from whylabel.host.runtime import be_quiet, prepare_process

_lock = Lock()
_users = 0
_found = ExitStack()


@contextmanager
def as_found() -> Iterator[None]:
    """Leave random numbers, warnings, logging and accelerators as they were. Inside, the libraries below are quiet.

    Of blocks within blocks, and of blocks in several threads, the first one to begin remembers, and the last one to
    end puts back.
    """
    global _users, _found
    with _lock:
        if _users == 0:
            _found = _remembered()
        _users += 1
    try:
        yield
    finally:
        with _lock:
            _users -= 1
            if _users == 0:
                _found.close()


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
        quantization = getLogger("bitsandbytes")
        stack.callback(quantization.setLevel, quantization.level)
        stack.callback(logging.set_verbosity, logging.get_verbosity())
        stack.callback(
            hub.disable_progress_bars if hub.are_progress_bars_disabled() else hub.enable_progress_bars
        )
        if logging.is_progress_bar_enabled():
            stack.callback(logging.enable_progress_bar)
        _set_aside_accelerators(stack)
        be_quiet()
        return stack.pop_all()


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
