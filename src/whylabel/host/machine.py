"""Describe this machine and installation, for `doctor` and for the record of a run."""

from __future__ import annotations

import getpass
import os
import platform
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

from whylabel.version import __version__

LIBRARIES = (
    "torch",
    "transformers",
    "peft",
    "accelerate",
    "datasets",
    "tokenizers",
    "scikit-learn",
    "openvino",
)


def versions() -> dict[str, str]:
    """Return the versions of whylabel, Python and the libraries that affect results."""
    found = {"whylabel": __version__, "python": platform.python_version()}
    for name in LIBRARIES:
        found[name] = installed_version(name) or "absent"
    return found


def installed_version(distribution: str) -> str | None:
    """Return a distribution's version without importing it, or None."""
    try:
        return version(distribution)
    except PackageNotFoundError:
        return None


def user_name() -> str:
    """Return the user's name, or the user's number if the system has no name for it."""
    try:
        return getpass.getuser()
    except (ImportError, KeyError, OSError):
        return f"user {os.getuid()}" if hasattr(os, "getuid") else "unknown"


def hardware() -> dict[str, object]:
    """Return processor, usable cores, memory in GiB and, if there is one, the GPU."""
    import psutil
    import torch

    gpu = {"gpu": torch.cuda.get_device_name()} if torch.cuda.is_available() else {}
    return {
        "processor": _processor(),
        "cores": usable_cores(),
        "memory_gib": round(psutil.virtual_memory().total / 2**30, 1),
        **gpu,
        "system": f"{platform.system()} {platform.machine()}",
    }


def usable_cores() -> int:
    """Return how many cores this process may use: those of its affinity, or OMP_NUM_THREADS if that is less."""
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    limit = os.environ.get("OMP_NUM_THREADS", "")
    return min(cores, int(limit)) if limit.isdecimal() and int(limit) > 0 else cores


def _processor() -> str:
    try:
        for line in Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    except OSError:
        pass
    return platform.processor() or platform.machine()
