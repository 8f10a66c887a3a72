"""Scores of labels after prompts that begin like a row of a batch, from the keys and values of its writing.

An ordinary pass would compute text and reasoning once more, which takes as long as a good part of the writing.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from whylabel.engines.transformers import WrittenBatch
from whylabel.host.runtime import is_out_of_memory
from whylabel.models.load import LoadedModel
from whylabel.prediction.scoring import LabelScorer
from whylabel.prediction.trees import LabelTrie, common_prefix, summed_over_edges

_MOST_OWN_TOKENS = 32
"""A prompt that goes on for longer where its row differs is left to an ordinary pass: all rows would be padded."""
_TOLERANCE = 1e-3
_TOLERANCE_IN_16_BITS = 0.5


@dataclass(frozen=True, slots=True)
class _Branch:
    """A prompt of the call, and the row that it begins like: how many tokens they share, and the prompt's others.

    The last token is never shared, as the labels are read after its output. `slot` counts the branches of a row.
    """

    place: int
    row: int
    slot: int
    shared: int
    own: Sequence[int]


class _Queries(NamedTuple):
    """What follows the cache: ids and positions (rows, queries), which columns they see (rows, 1, queries, columns).

    `read` are the queries that are nodes of the trie, slot by slot.
    """

    ids: NDArray[np.int64]
    positions: NDArray[np.int64]
    allowed: NDArray[np.bool_]
    read: NDArray[np.int64]


class ContinuedScorer:
    """Scores labels after prompts that begin like the rows of a batch, where the batch's cache allows it.

    The prompts of the first row of all are compared with an ordinary pass; a model for which they differ is never
    scored so.
    """

    def __init__(self, loaded: LoadedModel, scorer: LabelScorer) -> None:
        self._loaded, self._scorer = loaded, scorer
        self._is_right: bool | None = None

    def log_scores(
        self, batch: WrittenBatch, prompts: Sequence[tuple[int, Sequence[int]]]
    ) -> list[NDArray[np.float64] | None]:
        """Return the scores after each prompt, as `LabelScorer.log_scores`, or None where the cache gives none.

        A prompt comes with the place in the batch of the row that it begins like. It has no scores if it goes on
        differently for too long, for example because its reasoning is encoded by other tokens than the model wrote;
        none has where memory does not suffice. The batch's cache is used up.
        """
        found: list[NDArray[np.float64] | None] = [None] * len(prompts)
        branches = _branches(batch, prompts) if _is_plain(batch.cache) else []
        if self._is_right is False or not branches:
            return found
        tries = len(batch.prompts) * _slots(branches)
        trie = self._scorer.whole_trie(tries, max(len(prompt) for _, prompt in prompts))
        if trie is None:
            return found
        queries = _queries(batch, branches, trie)
        try:
            scores = _scores(self._loaded, batch.cache, queries, branches, trie)
            if self._is_right is None:
                first = [place for place, branch in enumerate(branches) if branch.row == branches[0].row]
                asked = [prompts[branches[place].place][1] for place in first]
                self._is_right = self._agrees(scores[first], asked)
        except Exception as error:  # a model may raise anything for a cache and a mask together
            if is_out_of_memory(error):
                return found
            if self._is_right:
                raise
            self._is_right = False
        if self._is_right:
            for branch, row in zip(branches, scores, strict=True):
                found[branch.place] = row
        return found

    def _agrees(self, scores: NDArray[np.float64], prompts: Sequence[Sequence[int]]) -> bool:
        """Return whether an ordinary pass gives these prompts the same scores."""
        exact = str(self._loaded.model.dtype) == "torch.float32"
        tolerance = _TOLERANCE if exact else _TOLERANCE_IN_16_BITS
        return bool(np.allclose(scores, self._scorer.log_scores(prompts), atol=tolerance, rtol=tolerance))


def _is_plain(cache: Any) -> bool:
    """Return whether the cache holds the keys and values of every token in every layer, in order."""
    from transformers.cache_utils import DynamicLayer

    layers = getattr(cache, "layers", None) or ()
    return bool(layers) and all(type(layer) is DynamicLayer for layer in layers)


def _branches(batch: WrittenBatch, prompts: Sequence[tuple[int, Sequence[int]]]) -> list[_Branch]:
    """Return the prompts that soon go on from what is in the cache."""
    new = batch.cache.get_seq_length() - batch.mask.shape[1]
    branches: list[_Branch] = []
    slots = [0] * len(batch.prompts)
    for place, (row, prompt) in enumerate(prompts):
        cached = [*batch.prompts[row], *batch.generated[row][:new]]
        shared = min(common_prefix(cached, prompt), len(prompt) - 1)
        if len(prompt) - shared <= _MOST_OWN_TOKENS:
            branches.append(_Branch(place, row, slots[row], shared, prompt[shared:]))
            slots[row] += 1
    return branches


def _slots(branches: Sequence[_Branch]) -> int:
    return 1 + max(branch.slot for branch in branches)


def _queries(batch: WrittenBatch, branches: Sequence[_Branch], trie: LabelTrie) -> _Queries:
    """Return the branches' own tokens, padded on the left in each slot, and the nodes of the trie after them.

    They see the columns that their row shares with the prompt: those of the row's prompt, then what it generated.
    """
    rows, width = batch.mask.shape
    cached = batch.cache.get_seq_length()
    columns = [np.append(np.flatnonzero(row), np.arange(width, cached)) for row in batch.mask.cpu().numpy()]
    longest = [
        max(len(branch.own) for branch in branches if branch.slot == slot) for slot in range(_slots(branches))
    ]
    starts = np.cumsum([0, *(own + len(trie.tokens) for own in longest)])
    ids = np.zeros((rows, starts[-1]), dtype=np.int64)
    positions = np.zeros_like(ids)
    allowed = np.zeros((rows, 1, starts[-1], cached + starts[-1]), dtype=bool)
    for branch in branches:
        end, own = starts[branch.slot + 1], len(branch.own)
        first = end - len(trie.tokens) - own
        ids[branch.row, first:end] = (*branch.own, *trie.tokens)
        depths = (*range(own), *(own - 1 + depth for depth in trie.depths))
        positions[branch.row, first:end] = branch.shared + np.array(depths)
        seen = allowed[branch.row, 0, first:end]
        seen[:, columns[branch.row][: branch.shared]] = True
        itself = seen[:, cached + first : cached + end]
        itself[:own, :own] = np.tri(own, dtype=bool)
        itself[own:, : own - 1] = True
        itself[own - 1 :, own - 1 :] = trie.visible
    # Padding must attend to something, or its softmax is 0/0.
    every = np.arange(starts[-1])
    allowed[:, 0, every, cached + every] = True
    return _Queries(
        ids, positions, allowed, np.concatenate([np.arange(end - trie.size, end) for end in starts[1:]])
    )


def _scores(
    loaded: LoadedModel, cache: Any, queries: _Queries, branches: Sequence[_Branch], trie: LabelTrie
) -> NDArray[np.float64]:
    """Return the scores of every branch, shape (branches, labels)."""
    import torch

    device, dtype = loaded.device, loaded.model.dtype
    mask = torch.zeros(queries.allowed.shape, dtype=dtype, device=device)
    mask.masked_fill_(~torch.from_numpy(queries.allowed).to(device), torch.finfo(dtype).min)
    slots = _slots(branches)
    with torch.inference_mode():
        logits = loaded.model(
            input_ids=torch.from_numpy(queries.ids).to(device),
            position_ids=torch.from_numpy(queries.positions).to(device),
            attention_mask=mask,
            past_key_values=cache,
            use_cache=True,
            logits_to_keep=torch.from_numpy(queries.read).to(device),
        ).logits
        scores = summed_over_edges(logits.reshape(-1, trie.size, logits.shape[-1]), trie)
    return np.asarray(scores[[branch.row * slots + branch.slot for branch in branches]])
