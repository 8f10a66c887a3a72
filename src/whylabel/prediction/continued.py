"""Scores of labels right after a reasoning, from the keys and values that its writing has left in the cache.

An ordinary pass would compute prompt and reasoning once more, which takes as long as a good part of the writing.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from whylabel.engines.transformers import WrittenBatch
from whylabel.host.runtime import is_out_of_memory
from whylabel.models.load import LoadedModel
from whylabel.prediction.scoring import LabelScorer
from whylabel.prediction.trees import LabelTrie, summed_over_edges
from whylabel.text.prompts import LABEL_MARKER

_TOLERANCE = 1e-3
_TOLERANCE_IN_16_BITS = 0.5


class ContinuedScorer:
    """Scores labels after the reasonings of a batch, where its cache allows it.

    The first row of all is compared with an ordinary pass; a model for which they differ is never scored so.
    """

    def __init__(self, loaded: LoadedModel, scorer: LabelScorer) -> None:
        self._loaded, self._scorer = loaded, scorer
        self._is_right: bool | None = None

    def log_scores(
        self, batch: WrittenBatch, contexts: Sequence[Sequence[int]]
    ) -> dict[int, NDArray[np.float64]]:
        """Return the scores after each context by the row's index in the call, as `LabelScorer.log_scores`.

        A context is the prompt of the label: prompt, reasoning, label marker. A row is left out if its reasoning is
        encoded by other tokens than the model wrote, and all are where memory does not suffice. The batch's cache is
        used up.
        """
        trie = self._scorer.whole_trie(len(contexts), max(map(len, contexts)))
        if self._is_right is False or trie is None or not _is_plain(batch.cache):
            return {}
        ends = [_end(*row) for row in zip(batch.prompts, batch.generated, contexts, strict=True)]
        places = [place for place, end in enumerate(ends) if end is not None]
        if not places:
            return {}
        try:
            scores = _scores(self._loaded, trie, batch, [end or 0 for end in ends])
            if self._is_right is None:
                self._is_right = self._agrees(scores[places[0]], contexts[places[0]])
        except Exception as error:  # a model may raise anything for a cache and a mask together
            if is_out_of_memory(error):
                return {}
            if self._is_right:
                raise
            self._is_right = False
            return {}
        return {batch.completions[place].index: scores[place] for place in places} if self._is_right else {}

    def _agrees(self, scores: NDArray[np.float64], context: Sequence[int]) -> bool:
        """Return whether an ordinary pass gives a row the same scores."""
        expected = self._scorer.log_scores([context])[0]
        exact = str(self._loaded.model.dtype) == "torch.float32"
        tolerance = _TOLERANCE if exact else _TOLERANCE_IN_16_BITS
        return bool(np.allclose(scores, expected, atol=tolerance, rtol=tolerance))


def _is_plain(cache: Any) -> bool:
    """Return whether the cache holds the keys and values of every token in every layer, in order."""
    from transformers.cache_utils import DynamicLayer

    layers = getattr(cache, "layers", None) or ()
    return bool(layers) and all(type(layer) is DynamicLayer for layer in layers)


def _end(prompt: Sequence[int], generated: Sequence[int], context: Sequence[int]) -> int | None:
    """Return how many of the generated tokens the context contains, if it is exactly they that it contains."""
    end = len(context) - 1 - len(prompt)
    same = 0 <= end <= len(generated) and [*prompt, *generated[:end]] == list(context[:-1])
    return end if same else None


def _scores(
    loaded: LoadedModel, trie: LabelTrie, batch: WrittenBatch, ends: Sequence[int]
) -> NDArray[np.float64]:
    """Return the scores of every row, given how many of its generated tokens count, shape (rows, labels).

    The last token of the context is computed again, as the last generated one is not in the cache; the marker and the
    nodes of the trie follow it.
    """
    import torch

    rows, width = batch.mask.shape
    cached = batch.cache.get_seq_length()
    queries = 1 + trie.size  # the last token of the context, the marker, the trie's nodes
    inputs = np.zeros((rows, queries), dtype=np.int64)
    positions = np.zeros_like(inputs)
    allowed = np.zeros((rows, 1, queries, cached + queries), dtype=bool)
    allowed[:, 0, :, :width] = batch.mask.cpu().numpy().astype(bool)[:, None]
    marker = loaded.tokenizer.convert_tokens_to_ids(LABEL_MARKER)
    for row, end in enumerate(ends):
        written = [*batch.prompts[row], *batch.generated[row][:end]]
        inputs[row] = (written[-1], marker, *trie.tokens)
        positions[row] = len(written) + np.array([-1, 0, *trie.depths])
        allowed[row, 0, :, width : width + end] = True
        allowed[row, 0, :, width + end - 1 : min(width + end, cached)] = False
    allowed[:, 0, :, cached] = True
    allowed[:, 0, 1:, cached + 1 :] = trie.visible
    device, dtype = loaded.device, loaded.model.dtype
    mask = torch.zeros(allowed.shape, dtype=dtype, device=device)
    mask.masked_fill_(~torch.from_numpy(allowed).to(device), torch.finfo(dtype).min)
    with torch.inference_mode():
        logits = loaded.model(
            input_ids=torch.from_numpy(inputs).to(device),
            position_ids=torch.from_numpy(positions).to(device),
            attention_mask=mask,
            past_key_values=batch.cache,
            use_cache=True,
            logits_to_keep=trie.size,
        ).logits[:, -trie.size :]
        return summed_over_edges(logits, trie)
