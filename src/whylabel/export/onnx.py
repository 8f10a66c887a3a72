"""A folder for ONNX Runtime: the label scorer as one graph, and what ONNX Runtime GenAI needs to write reasonings."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Sequence
from functools import cached_property
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from whylabel.engines.base import Sampling
from whylabel.engines.openvino_export import unsupported_reason
from whylabel.errors import EngineError, ModelError
from whylabel.export.onnx_scorer import INPUTS, OUTPUT, scorer_program
from whylabel.export.parity import continuations_of
from whylabel.export.runtime import Ids, until_stop
from whylabel.host.atomic import write_json
from whylabel.host.machine import usable_cores
from whylabel.host.runtime import last_line, prepare_process
from whylabel.host.terminal import json_text
from whylabel.models.load import CARD, save
from whylabel.prediction.card import REASONS

if TYPE_CHECKING:
    from whylabel.prediction.trained import TrainedClassifier

SCORER_FILE, WRITER = "scorer.onnx", "writer"
CARD_KEY = "whylabel.card"
"""The entry of the graph's metadata that has the content of `whylabel.json`."""

_LOGITS_PER_PASS = 32_000_000
_BUILDER = "onnxruntime_genai.models.builder"


_HEAD_SIZE = 16
"""The attention of ONNX Runtime GenAI computes heads of a multiple of this size."""


def write(model: TrainedClassifier, folder: Path, quantisation: str, card: dict[str, Any]) -> None:
    """Write the folder. Raises `ModelError` for a model of another type, `EngineError` if a converter fails."""
    config = model.loaded.model.config
    reason = unsupported_reason(config)
    size = getattr(config, "head_dim", None) or config.hidden_size // config.num_attention_heads
    if _reasons(model) and size % _HEAD_SIZE:
        reason = f"the size of its attention heads, {size}, is no multiple of {_HEAD_SIZE}"
    if reason:
        raise ModelError(f"This model cannot be written as ONNX: {reason}.", fix="choose another format")
    prepare_process()
    model.loaded.tokenizer.save_pretrained(folder)
    write_json(folder / CARD, card)
    with TemporaryDirectory(dir=folder) as aside:
        try:
            _write_scorer(model, folder / SCORER_FILE, quantisation, card, Path(aside))
        except Exception as error:  # the tracer and the converter raise whatever their parts raise
            raise EngineError(f"The export to ONNX failed: {last_line(error)}") from error
        if _reasons(model):
            _write_writer(model, folder / WRITER, quantisation, card, Path(aside))


def _reasons(model: TrainedClassifier) -> bool:
    return bool(set(model.card.modes) & set(REASONS))


def _write_scorer(
    model: TrainedClassifier, file: Path, quantisation: str, card: dict[str, Any], aside: Path
) -> None:
    program = scorer_program(model.loaded.model, continuations_of(model.card, model.prompts))
    program.model.metadata_props[CARD_KEY] = json_text(card, sort_keys=True)
    if quantisation == "fp32":
        program.save(file, external_data=True)
        return
    from onnxruntime.quantization import QuantType, quantize_dynamic

    program.save(aside / SCORER_FILE, external_data=True)
    quantize_dynamic(aside / SCORER_FILE, file, weight_type=QuantType.QInt8, use_external_data_format=True)


def _write_writer(
    model: TrainedClassifier, folder: Path, quantisation: str, card: dict[str, Any], aside: Path
) -> None:
    """Let the builder of ONNX Runtime GenAI, in a process of its own, convert the model's ordinary folder."""
    source = aside / "model"
    source.mkdir()
    save(model.loaded, source, card)
    command = [sys.executable, "-m", _BUILDER, "-i", str(source), "-o", str(folder), "-p", quantisation]
    command += ["-e", "cpu", "-c", str(aside / "cache"), "--extra_options", "hf_token=false"]
    done = subprocess.run(
        command, capture_output=True, text=True, check=False, env={**os.environ, "HF_HUB_OFFLINE": "1"}
    )
    if done.returncode != 0:
        said = done.stderr.strip().splitlines() or ["it said nothing"]
        raise EngineError(f"The builder of ONNX Runtime GenAI failed: {said[-1]}")


class OnnxRuntime:
    """The folder in ONNX Runtime: labels by the scorer's graph, reasonings by ONNX Runtime GenAI."""

    def __init__(self, model: TrainedClassifier, folder: Path, quantisation: str) -> None:
        prepare_process()
        import onnxruntime

        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = usable_cores()
        options.log_severity_level = 3
        self._scorer = onnxruntime.InferenceSession(
            folder / SCORER_FILE, options, providers=["CPUExecutionProvider"]
        )
        self._folder = folder
        self._reasons = _reasons(model)
        self._bos = model.loaded.tokenizer.bos_token_id if model.prompts.adds_bos else None
        self._vocab_size = int(model.loaded.model.config.vocab_size)

    def log_scores(self, prompts: Sequence[Ids], continuations: Sequence[Ids]) -> NDArray[np.float64]:
        """Return log p(continuation | prompt), shape (prompts, continuations): those of the graph."""
        nodes = len({tuple(one[:end]) for one in continuations for end in range(len(one))})
        most = max(1, _LOGITS_PER_PASS // (nodes * self._vocab_size))
        parts = [self._scores(prompts[start : start + most]) for start in range(0, len(prompts), most)]
        return np.concatenate(parts).astype(np.float64)

    def _scores(self, prompts: Sequence[Ids]) -> NDArray[np.float32]:
        width = max(map(len, prompts))
        ids = np.array([[*[0] * (width - len(prompt)), *prompt] for prompt in prompts], dtype=np.int64)
        real = np.array(
            [[0] * (width - len(prompt)) + [1] * len(prompt) for prompt in prompts], dtype=np.int64
        )
        found = self._scorer.run([OUTPUT], dict(zip(INPUTS, (ids, real), strict=True)))
        return np.asarray(found[0])

    def write(self, prompts: Sequence[Ids], sampling: Sampling) -> list[list[int]]:
        """Return what ONNX Runtime GenAI writes after each prompt, greedily."""
        return [until_stop(self._written(prompt, sampling), sampling) for prompt in prompts]

    def _written(self, prompt: Ids, sampling: Sampling) -> list[int]:
        import onnxruntime_genai

        parameters = onnxruntime_genai.GeneratorParams(self._writer)
        parameters.set_search_options(
            max_length=len(prompt) + sampling.max_new_tokens, do_sample=False, repetition_penalty=1.0
        )
        generator = onnxruntime_genai.Generator(self._writer, parameters)
        generator.append_tokens(np.array(prompt, dtype=np.int32))
        found: list[int] = []
        while not generator.is_done() and not set(found[-1:]) & set(sampling.stop_ids):
            generator.generate_next_token()
            found.append(int(generator.get_next_tokens()[0]))
        return found

    @cached_property
    def _writer(self) -> Any:
        import onnxruntime_genai

        return onnxruntime_genai.Model(str(self._folder / WRITER))

    @cached_property
    def _tokenizer(self) -> Any:
        import onnxruntime_genai

        return onnxruntime_genai.Tokenizer(self._writer)

    def tokenized(self, text: str) -> list[int] | None:
        """Return the tokens of a text in the tokenizer of ONNX Runtime GenAI; None where there is no writer."""
        if not self._reasons:
            return None
        ids = [int(token) for token in self._tokenizer.encode(text)]
        return ids[1:] if self._bos is not None and ids[:1] == [self._bos] else ids

    def close(self) -> None:
        """Free the model."""
        vars(self).clear()
