"""The fast engine for CPUs: OpenVINO GenAI on our own exports, with a prefix cache and continuous batching.

A model is exported on first use. The export is kept in the cache folder under the fingerprint of the weights, but
only if it generates the same tokens as the model.
"""

from __future__ import annotations

import hashlib
import os
import re
import shutil
from collections.abc import Iterator, Sequence
from contextlib import closing
from pathlib import Path
from typing import TYPE_CHECKING, Literal, get_args

from whylabel.engines.base import Completion, Sampling
from whylabel.engines.openvino_export import EXPORT_VERSION, USE_TRANSFORMERS, export
from whylabel.engines.openvino_pipeline import PagedPipeline, Precision
from whylabel.engines.writer import Row
from whylabel.errors import EngineError, unknown_name
from whylabel.host.atomic import whole_folder
from whylabel.host.locks import one_at_a_time
from whylabel.host.machine import installed_version, usable_cores
from whylabel.host.progress import say
from whylabel.models import arithmetic
from whylabel.models.load import LoadedModel
from whylabel.models.packaged import cache_folder
from whylabel.text.prompts import Prompt

if TYPE_CHECKING:
    from transformers import PreTrainedModel

PACKAGES = ("openvino", "openvino-genai", "openvino-tokenizers")
"""What `pip install 'whylabel[openvino]'` installs."""

# An export is as large as its model in fp32, and every training produces a new model.
_MAX_EXPORTS = 4
_EXPORT = re.compile(r"[0-9a-f]{32}")
_BF16_THREADS = 2
"""With one thread, OpenVINO (2026.4) ends the process in bf16: its paged attention divides by zero."""
_NEAR_TIE = 2e-4
"""Rounding can swap two logits whose difference is below this share of the range of all logits."""


class OpenVinoEngine:
    """Generates on the CPU, with `threads` threads (default: all cores that this process may use).

    `precision` is that of products, keys and values: `float32`, `bfloat16`, or `auto`, which is bfloat16 on a CPU
    that computes it clearly faster. `tokens_in_flight` limits the prompt and new tokens of the rows that are computed
    together. Raises `EngineError` if OpenVINO is not installed, if the model is not in fp32 on the CPU, or if it
    cannot be exported.
    """

    name = "openvino"

    def __init__(
        self,
        loaded: LoadedModel,
        *,
        precision: Literal["auto", "float32", "bfloat16"] = "auto",
        tokens_in_flight: int = 32768,
        threads: int | None = None,
    ) -> None:
        _check(loaded)
        threads = threads or usable_cores()
        self._tokenizer = loaded.tokenizer
        self._pipeline: PagedPipeline | None = PagedPipeline(
            exported(loaded.model),
            vocab_size=loaded.model.config.vocab_size,
            tokens_in_flight=tokens_in_flight,
            threads=threads,
            precision=pick_precision(precision, threads),
        )

    def generate(self, prompts: Sequence[Prompt], sampling: Sampling) -> Iterator[Completion]:
        """Yield completions as they finish."""
        if self._pipeline is None:
            raise EngineError("This engine was closed.")
        with closing(self._pipeline.run([prompt.ids for prompt in prompts], sampling)) as rows:
            for row in rows:
                yield row.completion(self._tokenizer)

    def close(self) -> None:
        """Free the model and its cache."""
        self._pipeline = None


def step_writer(
    loaded: LoadedModel, *, tokens_per_step: int, tokens_in_flight: int = 32768, threads: int | None = None
) -> PagedPipeline:
    """Return what writes step by step; rows that come and go never share a block of the cache.

    Raises `EngineError` as the engine does.
    """
    _check(loaded)
    return PagedPipeline(
        exported(loaded.model),
        vocab_size=loaded.model.config.vocab_size,
        tokens_in_flight=tokens_in_flight,
        threads=threads or usable_cores(),
        tokens_per_step=tokens_per_step,
        prefix_caching=False,
    )


def pick_precision(precision: str, threads: int) -> Precision:
    """Return the precision to compute in with so many threads.

    Raises `EngineError` if there is none of this name, or OpenVINO cannot compute it here or with so few threads.
    """
    where = "augment.engine_options.precision"
    if precision not in ("auto", *get_args(Precision)):
        known = ["auto", *get_args(Precision)]
        raise EngineError(unknown_name("precision", precision, known), where=where)
    if precision == "bfloat16" and not arithmetic.cpu_has_bf16():
        raise EngineError("This CPU does not compute bfloat16.", where=where, fix="set it to float32")
    if precision == "bfloat16" and threads < _BF16_THREADS:
        raise EngineError(
            f"OpenVINO computes bfloat16 with {_BF16_THREADS} threads or more, and this is {threads}.",
            where=where,
            fix="set it to float32, or augment.engine_options.threads=2",
        )
    if precision != "auto" or threads < _BF16_THREADS:
        return "bfloat16" if precision == "bfloat16" else "float32"
    dtype, reason = arithmetic.pick_dtype("auto", arithmetic.pick_device("cpu"), fastest=True)
    found: Precision = "bfloat16" if str(dtype) == "torch.bfloat16" else "float32"
    say(f"  precision auto is {found}: {reason}")
    return found


def _check(loaded: LoadedModel) -> None:
    """Raise `EngineError` if OpenVINO is not installed, or cannot compute what the model computes."""
    missing = missing_packages()
    if missing:
        raise EngineError(
            f"The engine openvino needs {', '.join(missing)}.", fix="pip install 'whylabel[openvino]'"
        )
    if loaded.device.type != "cpu" or str(loaded.model.dtype) != "torch.float32":
        raise EngineError(
            f"The engine openvino computes in float32 on the CPU; the model is in {loaded.model.dtype} on "
            f"{loaded.device}.",
            fix=f"set device: cpu, or {USE_TRANSFORMERS}",
        )


def missing_packages() -> list[str]:
    """Return which of OpenVINO's packages are not installed."""
    return [package for package in PACKAGES if installed_version(package) is None]


def exported(model: PreTrainedModel) -> Path:
    """Return the folder of the model's export; create it if it does not exist. One process at a time creates it.

    Raises `EngineError` if the model cannot be exported, or if the export generates other tokens.
    """
    folder = _folder(model)
    with one_at_a_time(folder.parent):
        if not folder.exists():
            say("  exporting the model to OpenVINO, once; a small one takes half a minute ...")
            with whole_folder(folder) as aside:
                export(model, aside)
                _check_tokens(model, aside)
        os.utime(folder)
        _remove_old_exports(folder.parent)
    return folder


def is_exported(model: PreTrainedModel) -> bool:
    """Return whether the model's export exists."""
    return _folder(model).exists()


def _folder(model: PreTrainedModel) -> Path:
    return cache_folder() / "openvino" / _fingerprint(model)


def _fingerprint(model: PreTrainedModel) -> str:
    """Return a hash of everything that determines the export: config, weights in memory, exporter and converter."""
    digest = hashlib.sha256(model.config.to_json_string().encode())
    digest.update(f"{EXPORT_VERSION} {installed_version('openvino')}".encode())
    for name, tensor in sorted(model.state_dict().items()):
        digest.update(name.encode())
        digest.update(tensor.contiguous().numpy())
    return digest.hexdigest()[:32]


def _remove_old_exports(exports: Path) -> None:
    folders = sorted(
        (path for path in exports.iterdir() if path.is_dir() and _EXPORT.fullmatch(path.name)),
        key=lambda path: path.stat().st_mtime,
    )
    for folder in folders[:-_MAX_EXPORTS]:
        shutil.rmtree(folder, ignore_errors=True)


def _check_tokens(model: PreTrainedModel, folder: Path) -> None:
    """Raise `EngineError` unless every token that the export generates is also the model's choice, or a near tie.

    The prompts are random tokens, shorter and longer than a cache block; two of them share a prefix.
    """
    import numpy as np

    vocab_size = model.config.vocab_size
    random_ids = tuple(np.random.default_rng(0).integers(0, vocab_size, 96).tolist())
    prompts = [random_ids[:5], random_ids[:40], random_ids[:70], random_ids[:40] + random_ids[70:]]
    pipeline = PagedPipeline(folder, vocab_size=vocab_size, tokens_in_flight=4096, threads=usable_cores())
    for row in pipeline.run(prompts, Sampling(max_new_tokens=12, stop_ids=())):
        gap = _largest_gap(model, row)
        if row.error or gap > _NEAR_TIE:
            raise EngineError(
                "The model generates something else in OpenVINO: "
                + (row.error or f"a token whose logit is {gap:.1%} of the logits' range below the best one."),
                fix=USE_TRANSFORMERS,
            )


def _largest_gap(model: PreTrainedModel, row: Row) -> float:
    """Return the largest gap from the best logit to a generated token's, as a share of the logits' range."""
    import torch

    if row.error:
        return 0.0
    with torch.inference_mode():
        ids = torch.tensor([[*row.prompt, *row.generated]])
        logits = model(input_ids=ids).logits[0, len(row.prompt) - 1 : -1]
        chosen = logits.gather(1, ids[0, len(row.prompt) :, None])[:, 0]
        best, worst = logits.max(dim=-1).values, logits.min(dim=-1).values
        return float(((best - chosen) / (best - worst)).max())
