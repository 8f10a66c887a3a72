"""How this process treats the libraries below us: quiet, no telemetry, freed memory kept for the next step."""

from __future__ import annotations

import ctypes
import os
import sys
import warnings
from functools import cache
from logging import ERROR, getLogger
from urllib.parse import urlsplit

from whylabel.errors import UsageError

# glibc's mallopt parameters, from <malloc.h>.
_M_TRIM_THRESHOLD = -1
_M_MMAP_THRESHOLD = -3


@cache
def prepare_process() -> None:
    """Switch off telemetry and chatter, and tune the allocator; does its work once.

    Raises `UsageError` where the libraries below would refuse the address of the hub when they are imported.
    """
    hub_endpoint()
    for name in ("HF_HUB_DISABLE_TELEMETRY", "DISABLE_TELEMETRY", "DO_NOT_TRACK"):
        os.environ.setdefault(name, "1")
    # OpenVINO reports every import and conversion, with no variable that says no; without this module it cannot.
    sys.modules.setdefault("openvino_telemetry", None)  # type: ignore[arg-type]
    os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")
    if not sys.stderr.isatty():
        os.environ.setdefault("TQDM_DISABLE", "1")
    # Names that change in a library's next major version are no news for a user of this one.
    warnings.filterwarnings("ignore", category=FutureWarning, module=r"(transformers|peft|datasets)\b")
    from transformers.utils import logging

    logging.set_verbosity_error()
    logging.disable_progress_bar()
    # Where it is installed, transformers imports it, and it tells everyone which kernels it has not.
    getLogger("bitsandbytes").setLevel(ERROR)
    _keep_freed_memory()


def hub_endpoint() -> str:
    """Return the address of the hub, `$HF_ENDPOINT` or the usual one. Raises `UsageError` if it is no http(s) URL."""
    endpoint = os.environ.get("HF_ENDPOINT") or "https://huggingface.co"
    try:
        address = urlsplit(endpoint)
        _ = address.port  # raises ValueError for one that is none
        if address.scheme not in ("http", "https") or not address.hostname:
            raise ValueError("it is no http or https URL")
    except ValueError as error:
        raise UsageError(
            f"The address of the hub cannot be used: {error}.",
            where=f"HF_ENDPOINT={endpoint}",
            fix="unset HF_ENDPOINT, or set it to a URL such as https://huggingface.co",
        ) from None
    return endpoint


def _keep_freed_memory() -> None:
    # By default glibc returns every large tensor to the system, and the next step pays for its pages again:
    # training on a CPU is 10-30 % slower for it.
    if sys.platform != "linux":
        return
    try:
        libc = ctypes.CDLL("libc.so.6")
        libc.mallopt(_M_MMAP_THRESHOLD, 1 << 30)
        libc.mallopt(_M_TRIM_THRESHOLD, (1 << 31) - 1)
    except (OSError, AttributeError):
        pass  # another libc: nothing to tune


def first_line(error: Exception) -> str:
    """Return the first line of a library's message, or the error's name."""
    lines = str(error).strip().splitlines()
    return lines[0] if lines else type(error).__name__


def last_line(error: Exception) -> str:
    """Return the last line of a library's message (the first may only name a check), or the error's name."""
    lines = str(error).strip().splitlines()
    return lines[-1].strip() if lines else type(error).__name__
