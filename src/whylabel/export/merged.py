"""An ordinary Hugging Face folder with all weights merged, for transformers, vLLM, SGLang and whylabel itself."""

from __future__ import annotations

from collections.abc import Sequence
from copy import deepcopy
from pathlib import Path
from typing import TYPE_CHECKING, Any

from numpy import float64
from numpy.typing import NDArray

from whylabel.engines.base import Sampling
from whylabel.export.runtime import Ids, until_stop
from whylabel.models.load import load, save
from whylabel.prediction.scoring import score_one_by_one

if TYPE_CHECKING:
    from whylabel.prediction.trained import TrainedClassifier


def write(model: TrainedClassifier, folder: Path, quantisation: str, card: dict[str, Any]) -> None:
    """Write the folder, its weights in the arithmetic `quantisation` (`bfloat16`)."""
    import torch

    kind = getattr(torch, quantisation)
    loaded = deepcopy(model.loaded)
    loaded.model.to(dtype=kind)
    loaded.model.config.dtype = kind
    save(loaded, folder, card)


class MergedRuntime:
    """The folder as transformers reads it, one ordinary pass per prompt and label."""

    def __init__(self, model: TrainedClassifier, folder: Path, quantisation: str) -> None:
        self._loaded = load(str(folder), device="cpu", dtype=quantisation)

    def log_scores(self, prompts: Sequence[Ids], continuations: Sequence[Ids]) -> NDArray[float64]:
        """Return log p(continuation | prompt), shape (prompts, continuations)."""
        return score_one_by_one(self._loaded, prompts, continuations)

    def write(self, prompts: Sequence[Ids], sampling: Sampling) -> list[list[int]]:
        """Return what is written after each prompt, greedily and by itself."""
        import torch

        found = []
        for prompt in prompts:
            with torch.inference_mode():
                ids = self._loaded.model.generate(
                    torch.tensor([list(prompt)]),
                    attention_mask=torch.ones(1, len(prompt), dtype=torch.long),
                    do_sample=False,
                    max_new_tokens=sampling.max_new_tokens,
                    eos_token_id=list(sampling.stop_ids),
                )[0, len(prompt) :].tolist()
            found.append(until_stop(ids, sampling))
        return found

    def tokenized(self, text: str) -> None:
        """The tokenizer is the model's own."""

    def close(self) -> None:
        """Nothing is held beside the model."""
