"""A GGUF file in llama.cpp: its server, inside this process, asked over the loopback interface."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from whylabel.engines.base import Sampling
from whylabel.errors import EngineError
from whylabel.export.gguf import GGUF_FILE
from whylabel.export.runtime import Ids, until_stop
from whylabel.host.machine import usable_cores
from whylabel.host.runtime import last_line, prepare_process

if TYPE_CHECKING:
    from whylabel.prediction.trained import TrainedClassifier

_SPARE_TOKENS = 256
_FORCED = 1e4
"""Added to a token's logit, it makes the token the likeliest; the probability that is told is from before."""
_SECONDS = 600.0


class LlamaCppRuntime:
    """The file in llama.cpp's server, one slot, on a port that the system chooses."""

    def __init__(self, model: TrainedClassifier, folder: Path, quantisation: str) -> None:
        prepare_process()
        import httpx2
        import xllamacpp

        settings = xllamacpp.CommonParams()
        settings.model.path = str(folder / GGUF_FILE)
        card = model.card
        settings.n_ctx = card.max_text_tokens + card.max_reasoning_tokens + _SPARE_TOKENS
        settings.n_parallel = 1
        settings.n_gpu_layers = 0
        settings.cpuparams.n_threads = usable_cores()
        settings.swa_full = True
        settings.warmup = False
        settings.verbosity = -1
        try:
            self._server = xllamacpp.Server(settings)
        except Exception as error:  # its binding raises what C++ throws
            raise EngineError(f"llama.cpp cannot load the export: {last_line(error)}") from error
        self._client = httpx2.Client(
            base_url=self._server.listening_address, timeout=_SECONDS, trust_env=False
        )

    def log_scores(self, prompts: Sequence[Ids], continuations: Sequence[Ids]) -> NDArray[np.float64]:
        """Return log p(continuation | prompt), shape (prompts, continuations). Equal beginnings are asked once."""
        found = np.zeros((len(prompts), len(continuations)))
        for row, prompt in enumerate(prompts):
            known: dict[tuple[int, ...], float] = {}
            for column, continuation in enumerate(continuations):
                for end in range(1, len(continuation) + 1):
                    part = tuple(continuation[:end])
                    if part not in known:
                        known[part] = self._log_p([*prompt, *part[:-1]], part[-1])
                    found[row, column] += known[part]
        return found

    def _log_p(self, ids: Sequence[int], token: int) -> float:
        """Return log p(token | ids): the token is forced, and the server tells how probable it was."""
        answer = self._ask(
            "/completion",
            prompt=list(ids),
            n_predict=1,
            n_probs=1,
            temperature=0.0,
            logit_bias=[[token, _FORCED]],
            return_tokens=True,
        )
        told = answer["completion_probabilities"][0]
        if told["id"] != token:
            raise EngineError(f"llama.cpp tells the probability of token {told['id']}, not of {token}.")
        return float(told["logprob"])

    def write(self, prompts: Sequence[Ids], sampling: Sampling) -> list[list[int]]:
        """Return what is written after each prompt, up to the first stop token."""
        return [
            until_stop(
                self._ask(
                    "/completion",
                    prompt=list(prompt),
                    n_predict=sampling.max_new_tokens,
                    temperature=0.0,
                    return_tokens=True,
                )["tokens"],
                sampling,
            )
            for prompt in prompts
        ]

    def tokenized(self, text: str) -> list[int] | None:
        """Return the tokens of a text in llama.cpp's tokenizer, control tokens read as plain text."""
        answer = self._ask("/tokenize", content=text, add_special=False, parse_special=False)
        return [int(token) for token in answer["tokens"]]

    def close(self) -> None:
        """End the server."""
        self._client.close()
        del self._server

    def _ask(self, path: str, **body: Any) -> Any:
        answer = self._client.post(path, json=body)
        if answer.status_code != 200:
            raise EngineError(f"llama.cpp answers with {answer.status_code}: {answer.text[:200]}")
        return answer.json()
