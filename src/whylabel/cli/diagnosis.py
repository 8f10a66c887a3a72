"""The checks of `whylabel doctor`."""

from __future__ import annotations

import os
import shutil
import socket
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from whylabel.engines.openvino import PACKAGES
from whylabel.errors import UsageError
from whylabel.host.machine import hardware, installed_version, versions
from whylabel.host.runtime import hub_endpoint
from whylabel.models.packaged import PACKAGED_MODELS, cache_folder, cached_model, is_cached

if TYPE_CHECKING:
    import torch

_EXTRAS = {"openvino": PACKAGES, "ray": ("ray",)}
_HUB_SECONDS = 3.0
# Models to compare the default with: parameters in millions (without the embeddings' copy), by hub id.
_BASE_MODELS = {
    "smollm2-135m-instruct": 135,
    "google/gemma-3-270m-it": 268,
    "Qwen/Qwen3-0.6B": 596,
    "meta-llama/Llama-3.2-1B-Instruct": 1236,
}
_BYTES_IN_TRAINING = 16
"""Weights, gradients and the two moments of AdamW, in float32; activations come on top."""
_LONGEST = 2048
"""The longest rows that are tried out where a model's settings name no length."""


def diagnose() -> dict[str, dict[str, object]]:
    """Return the findings by section, in the order in which they are shown."""
    from whylabel.models.arithmetic import pick_device

    device = pick_device()
    return {
        "versions": dict(versions()),
        "machine": hardware(),
        "compute": {
            "device": str(device),
            "training": _arithmetic(device, training=True),
            "prediction": _arithmetic(device, training=False),
            "threads": _threads(),
        },
        "engines": _engines(),
        "extras": {name: _extra(name) for name in _EXTRAS},
        "models": {"cache": _cache(), **{name: _model(name) for name in PACKAGED_MODELS}},
        "base models": _base_models(),
        "hub": _hub(),
    }


def diagnose_model(name: str) -> dict[str, object]:
    """Load a model and return what it is and what it can do. Raises `ModelError` if it cannot be used."""
    from whylabel.engines.openvino_export import unsupported_reason
    from whylabel.models.load import load

    loaded = load(name)
    # What a trained model's card says was tried out elsewhere.
    loaded.tried = None
    config = loaded.model.config.get_text_config()
    longest = int(getattr(config, "max_position_embeddings", None) or _LONGEST)
    return {
        "name": name,
        "type": loaded.model.config.model_type,
        "parameters": loaded.model.num_parameters(),
        "place": f"{loaded.device}, {str(loaded.model.dtype).removeprefix('torch.')}",
        **loaded.capabilities(longest).in_words(),
        "openvino": unsupported_reason(loaded.model.config) or "yes",
    }


def _arithmetic(device: torch.device, *, training: bool) -> str:
    from whylabel.models.arithmetic import pick_dtype

    dtype, reason = pick_dtype("auto", device, fastest=training)
    return f"{str(dtype).removeprefix('torch.')} ({reason})"


def _threads() -> int:
    import torch

    return torch.get_num_threads()


def _engines() -> dict[str, object]:
    from importlib.metadata import entry_points

    from whylabel.engines import ENGINES

    added = {point.name: f"added by {point.value}" for point in entry_points(group="whylabel.engines")}
    needs = {
        "openvino": _extra("openvino"),
        "vllm": _command("vllm", "pip install vllm, in an environment of its own"),
    }
    return {**dict.fromkeys(ENGINES, "built in"), **needs, **added}


def _command(name: str, fix: str) -> str:
    return shutil.which(name) or f"absent: {fix}"


def _base_models() -> dict[str, object]:
    """Return what small and larger models cost on this machine, as classifier or as `reasoner.base_model`."""
    from whylabel.pipeline.estimate import tokens_per_second

    trained, written = tokens_per_second(1e6)

    def cost(size: int) -> str:
        memory = size * 1e6 * _BYTES_IN_TRAINING / 2**30
        return (
            f"{size:,} M parameters, {memory:.1f} GiB to train and the activations, "
            f"about {trained / size:,.0f} tokens/s trained, {written / size:,.0f} written"
        )

    return {name: cost(size) for name, size in _BASE_MODELS.items()}


def _extra(name: str) -> str:
    missing = [package for package in _EXTRAS[name] if installed_version(package) is None]
    return f"absent: pip install 'whylabel[{name}]'" if missing else "installed"


def _model(name: str) -> str:
    return str(cached_model(name)) if is_cached(name) else f"not fetched: whylabel models pull {name}"


def _cache() -> str:
    try:
        return str(cache_folder())
    except UsageError as error:
        return f"none: {error.what} {error.fix}"


def _hub() -> dict[str, object]:
    try:
        endpoint = hub_endpoint()
    except UsageError as error:
        return {"endpoint": os.environ["HF_ENDPOINT"], "reachable": f"no ({error.what})"}
    return {"endpoint": endpoint, "reachable": _reachable(endpoint)}


def _reachable(endpoint: str) -> str:
    address = urlsplit(endpoint)
    port = address.port or (80 if address.scheme == "http" else 443)
    try:
        socket.create_connection((address.hostname or "", port), timeout=_HUB_SECONDS).close()
    except (OSError, UnicodeError) as error:  # a host name may have an impossible part
        return f"no ({error}); local folders, GGUF files and the default model work without it"
    return "yes"
