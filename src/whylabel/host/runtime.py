"""How this process treats the libraries below: no telemetry; where it is ours, quiet and with freed memory kept."""

from __future__ import annotations

import ctypes
import os
import sys
import warnings
from contextlib import suppress
from functools import cache
from logging import ERROR, getLogger
from urllib.parse import urlsplit

from whylabel.errors import UsageError

# glibc's mallopt parameters, from <malloc.h>.
_M_TRIM_THRESHOLD = -1
_M_MMAP_THRESHOLD = -3
_LARGEST_KEPT_BYTES = 1 << 27
"""Enough for the gradient of the embeddings of a model with 135 M parameters, 113 MB."""


_owned = False


def own_process(own: bool = True) -> None:
    """Say that this process does whylabel's work alone, so that `prepare_process` may change it for good.

    Where this is not called, the process is that of a program that uses whylabel as a library.
    """
    global _owned
    _owned = own


def is_own_process() -> bool:
    """Return whether this process does whylabel's work alone."""
    return _owned


def prepare_process() -> None:
    """Switch off telemetry; in a process of our own also needless messages, and tune the allocator.

    Raises `UsageError` if the libraries would refuse the address of the hub on import.
    """
    _prepare_once()
    if _owned:
        _prepare_own_once()
        be_quiet()


@cache
def _prepare_once() -> None:
    hub_endpoint()
    for name in ("HF_HUB_DISABLE_TELEMETRY", "DISABLE_TELEMETRY", "DO_NOT_TRACK"):
        os.environ.setdefault(name, "1")
    # OpenVINO reports every import and conversion, and no variable prevents it; without this module it cannot.
    sys.modules.setdefault("openvino_telemetry", None)  # type: ignore[arg-type]


@cache
def _prepare_own_once() -> None:
    os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")
    if not sys.stderr.isatty():
        os.environ.setdefault("TQDM_DISABLE", "1")
    _keep_freed_memory()


def be_quiet() -> None:
    """Let the libraries below say nothing that a user of whylabel cannot use; `host.caller` can undo it."""
    # Warnings of names that change in a library's next major version are of no use to a user of this one.
    warnings.filterwarnings("ignore", category=FutureWarning, module=r"(transformers|peft|datasets)\b")
    from transformers.utils import logging

    # This may be called for every row, and a level that is set anew empties the caches of all loggers.
    if logging.get_verbosity() < ERROR:
        logging.set_verbosity_error()
    if logging.is_progress_bar_enabled():
        logging.disable_progress_bar()
    # If it is installed, transformers imports it, and it reports the kernels that it lacks.
    if getLogger("bitsandbytes").level < ERROR:
        getLogger("bitsandbytes").setLevel(ERROR)


def hub_endpoint() -> str:
    """Return the address of the hub, `$HF_ENDPOINT` or the default. Raises `UsageError` for anything but http(s)."""
    endpoint = os.environ.get("HF_ENDPOINT") or "https://huggingface.co"
    try:
        address = urlsplit(endpoint)
        _ = address.port  # raises ValueError if it is not a number
        if address.scheme not in ("http", "https") or not address.hostname:
            raise ValueError("it is not an http or https URL")
    except ValueError as error:
        raise UsageError(
            f"The address of the hub cannot be used: {error}.",
            where=f"HF_ENDPOINT={endpoint}",
            fix="unset HF_ENDPOINT, or set it to a URL such as https://huggingface.co",
        ) from None
    return endpoint


def return_freed_memory() -> None:
    """Return to the system what this process keeps of freed memory, where `prepare_process` makes it keep any."""
    if _owned and sys.platform == "linux":
        with suppress(OSError, AttributeError):  # another libc: nothing is kept
            ctypes.CDLL("libc.so.6").malloc_trim(0)


def _keep_freed_memory() -> None:
    # By default glibc returns every large tensor to the system, and the next step has to get its pages again:
    # this makes training on a CPU 10-30 % slower. The largest ones, logits of many tokens, are still returned: kept
    # pieces of ever other sizes would fill the memory. A long training returns the others now and then.
    if sys.platform == "linux":
        with suppress(OSError, AttributeError):  # another libc: nothing to tune
            libc = ctypes.CDLL("libc.so.6")
            libc.mallopt(_M_MMAP_THRESHOLD, _LARGEST_KEPT_BYTES)
            libc.mallopt(_M_TRIM_THRESHOLD, (1 << 31) - 1)


def is_out_of_memory(error: BaseException) -> bool:
    """Return whether memory ran out, of a device or of the machine: less at once may work."""
    words = ("out of memory", "can't allocate memory", "not enough memory")
    return isinstance(error, MemoryError) or (
        isinstance(error, RuntimeError) and any(word in str(error) for word in words)
    )


def first_line(error: Exception) -> str:
    """Return the first line of a library's message, or the error's name."""
    lines = str(error).strip().splitlines()
    return lines[0] if lines else type(error).__name__


def last_line(error: Exception) -> str:
    """Return the last line of a library's message (the first may only name a check), or the error's name."""
    lines = str(error).strip().splitlines()
    return lines[-1].strip() if lines else type(error).__name__
