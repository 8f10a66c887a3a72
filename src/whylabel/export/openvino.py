"""A folder for OpenVINO GenAI: model, tokenizer and detokenizer as its own graphs."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from whylabel.engines.base import Sampling
from whylabel.engines.openvino_export import MODEL_FILE, export
from whylabel.engines.openvino_pipeline import PagedPipeline
from whylabel.errors import EngineError
from whylabel.export.runtime import Ids, until_stop
from whylabel.host.atomic import write_json
from whylabel.host.machine import usable_cores
from whylabel.host.runtime import last_line, prepare_process
from whylabel.models.load import CARD

if TYPE_CHECKING:
    from whylabel.prediction.trained import TrainedClassifier

_TOKENIZER, _DETOKENIZER = "openvino_tokenizer.xml", "openvino_detokenizer.xml"
_LOGITS_PER_PASS = 32_000_000
_TOKENS_IN_FLIGHT = 4096


def write(model: TrainedClassifier, folder: Path, quantisation: str, card: dict[str, Any]) -> None:
    """Write the folder, its weights in `fp32` or `fp16`. Raises `EngineError` if the model cannot be converted."""
    export(model.loaded.model, folder, compress_to_fp16=quantisation == "fp16")
    loaded = model.loaded
    loaded.tokenizer.save_pretrained(folder)
    loaded.model.config.save_pretrained(folder)
    loaded.model.generation_config.save_pretrained(folder)
    _write_tokenizer(model, folder)
    write_json(folder / CARD, card)


def _write_tokenizer(model: TrainedClassifier, folder: Path) -> None:
    prepare_process()
    import openvino
    from openvino_tokenizers import convert_tokenizer

    try:
        parts = convert_tokenizer(model.loaded.tokenizer, with_detokenizer=True)
    except Exception as error:  # the converter raises whatever its parts raise
        raise EngineError(f"The tokenizer cannot be converted to OpenVINO: {last_line(error)}") from error
    for part, name in zip(parts, (_TOKENIZER, _DETOKENIZER), strict=True):
        openvino.save_model(part, folder / name)


class OpenVinoRuntime:
    """The folder in OpenVINO, in fp32: labels by plain inference, reasonings by the pipeline of OpenVINO GenAI."""

    def __init__(self, model: TrainedClassifier, folder: Path, quantisation: str) -> None:
        prepare_process()
        import openvino
        import openvino_genai

        properties = {"INFERENCE_PRECISION_HINT": "f32", "KV_CACHE_PRECISION": "f32"}
        compiled = openvino.Core().compile_model(folder / MODEL_FILE, "CPU", properties)
        self._request = compiled.create_infer_request()
        self._tokenizer = openvino_genai.Tokenizer(str(folder))
        self._folder = folder
        self._vocab_size = int(model.loaded.model.config.vocab_size)

    def log_scores(self, prompts: Sequence[Ids], continuations: Sequence[Ids]) -> NDArray[np.float64]:
        """Return log p(continuation | prompt), shape (prompts, continuations)."""
        return np.array([self._scores(prompt, continuations) for prompt in prompts])

    def _scores(self, prompt: Ids, continuations: Sequence[Ids]) -> list[float]:
        found: list[float] = []
        longest = max(map(len, continuations))
        rows = max(1, _LOGITS_PER_PASS // (longest * self._vocab_size))
        for start in range(0, len(continuations), rows):
            found += self._of_rows(prompt, continuations[start : start + rows])
        return found

    def _of_rows(self, prompt: Ids, rows: Sequence[Ids]) -> Iterator[float]:
        """Yield the scores of a few continuations: the prompt once, then all of them on its keys and values."""
        self._request.reset_state()
        first = _log_softmax(self._logits(np.array([prompt]), 0, [0])[0, -1])
        width = max(map(len, rows)) - 1
        # A row that is padded on the right sees nothing of its padding.
        ids = np.array([[*row[:-1], *[0] * (width + 1 - len(row))] for row in rows])
        following = _log_softmax(self._logits(ids, len(prompt), [0] * len(rows))) if width else None
        for number, row in enumerate(rows):
            score = float(first[row[0]])
            for place, token in enumerate(row[1:]):
                assert following is not None
                score += float(following[number, place, token])
            yield score

    def _logits(self, ids: NDArray[np.int64], before: int, rows: Sequence[int]) -> NDArray[np.float32]:
        count, width = ids.shape
        positions = np.tile(np.arange(before, before + width), (count, 1))
        found = self._request.infer(
            {
                "input_ids": ids.astype(np.int64),
                "attention_mask": np.ones((count, before + width), dtype=np.int64),
                "position_ids": positions,
                "beam_idx": np.array(rows, dtype=np.int32),
            }
        )
        return np.asarray(found["logits"])

    def write(self, prompts: Sequence[Ids], sampling: Sampling) -> list[list[int]]:
        """Return what OpenVINO GenAI writes after each prompt; nothing where it fails."""
        found: list[list[int]] = [[] for _ in prompts]
        for row in self._pipeline.run(prompts, sampling):
            found[row.index] = until_stop(row.generated, sampling)
        return found

    @cached_property
    def _pipeline(self) -> PagedPipeline:
        return PagedPipeline(
            self._folder,
            vocab_size=self._vocab_size,
            tokens_in_flight=_TOKENS_IN_FLIGHT,
            threads=usable_cores(),
        )

    def tokenized(self, text: str) -> list[int] | None:
        """Return the tokens of a text in OpenVINO's tokenizer."""
        ids = self._tokenizer.encode(text, add_special_tokens=False).input_ids
        return [int(token) for token in ids.data[0]]

    def close(self) -> None:
        """Free the model."""
        vars(self).clear()


def _log_softmax(logits: NDArray[np.float32]) -> NDArray[np.float64]:
    values = logits.astype(np.float64)
    values -= values.max(axis=-1, keepdims=True)
    return np.asarray(values - np.log(np.exp(values).sum(axis=-1, keepdims=True)))
