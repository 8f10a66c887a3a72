"""Closed-set scores: log p(label | prompt) for every label, so that a label outside the set cannot happen.

A label's score is the sum of the log-probabilities of its tokens and its end token (the end token makes a label
comparable with a longer label that starts with it). All labels of a row are computed in one forward pass: their
common prefixes form a trie after the prompt, and a tree-shaped attention mask lets each node attend to the prompt
and to its own ancestors. Very many labels are divided into several tries to limit memory.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from whylabel.errors import ModelError
from whylabel.models.load import LoadedModel

if TYPE_CHECKING:
    import torch

_CPU_TOKENS_PER_BATCH, _GPU_TOKENS_PER_BATCH = 4096, 32_768
_LOGITS_PER_BATCH = 64_000_000


@dataclass(frozen=True, slots=True)
class _Trie:
    """The distinct proper prefixes of the continuations. Node 0 is the end of the prompt; parents come first."""

    tokens: tuple[int, ...]
    """Input token of node i + 1."""
    parents: tuple[int, ...]
    """Parent of node i + 1."""
    depths: tuple[int, ...]
    edges: tuple[tuple[tuple[int, int], ...], ...]
    """For each continuation: (node whose output is read, token that is scored)."""

    @classmethod
    def of(cls, continuations: Sequence[Sequence[int]]) -> _Trie:
        """Return the trie of these continuations."""
        nodes: dict[tuple[int, ...], int] = {(): 0}
        for continuation in sorted(continuations, key=len):
            for end in range(1, len(continuation)):
                nodes.setdefault(tuple(continuation[:end]), len(nodes))
        prefixes = list(nodes)[1:]
        return cls(
            tokens=tuple(prefix[-1] for prefix in prefixes),
            parents=tuple(nodes[prefix[:-1]] for prefix in prefixes),
            depths=tuple(len(prefix) for prefix in prefixes),
            edges=tuple(
                tuple((nodes[tuple(ids[:place])], token) for place, token in enumerate(ids))
                for ids in continuations
            ),
        )

    @property
    def size(self) -> int:
        """Number of nodes, the end of the prompt included."""
        return len(self.tokens) + 1

    @property
    def visible(self) -> NDArray[np.bool_]:
        """Which nodes (columns) each node (row) attends to, without the prompt: itself and its ancestors."""
        size = len(self.tokens)
        seen = np.eye(size, dtype=bool)
        for node, parent in enumerate(self.parents):
            if parent:
                seen[node] |= seen[parent - 1]
        return seen


class LabelScorer:
    """Scores a fixed set of continuations after any prompt."""

    def __init__(self, loaded: LoadedModel, continuations: Sequence[Sequence[int]]) -> None:
        if not continuations or any(not ids for ids in continuations):
            raise ValueError("every label needs at least one token")
        self._loaded = loaded
        self._continuations = [tuple(ids) for ids in continuations]
        self._longest = max(map(len, continuations))
        most = _LOGITS_PER_BATCH // int(loaded.model.config.vocab_size)
        self._tries = [
            (places, _Trie.of([self._continuations[place] for place in places]))
            for places in _groups(self._continuations, most)
        ]

    def log_scores(self, prompts: Sequence[Sequence[int]]) -> NDArray[np.float64]:
        """Return log p(continuation | prompt), shape (prompts, continuations), natural log."""
        scores = np.zeros((len(prompts), len(self._continuations)))
        for batch in self._batches(prompts):
            scores[batch] = self._score([prompts[index] for index in batch])
        return scores

    def whole_trie(self, rows: int, longest: int) -> _Trie | None:
        """Return the trie of all labels if the model computes it for so many rows in one pass, else None.

        `longest` is the number of tokens in the longest prompt.
        """
        logits = rows * self._tries[0][1].size * int(self._loaded.model.config.vocab_size)
        fits = len(self._tries) == 1 and self._loaded.window is None and logits <= _LOGITS_PER_BATCH
        return _Trie.of(self._continuations) if fits and self._tree_is_right(longest) else None

    def _score(self, prompts: Sequence[Sequence[int]]) -> NDArray[np.float64]:
        if not self._tree_is_right(max(map(len, prompts))):
            return score_one_by_one(self._loaded, prompts, self._continuations)
        scores = np.empty((len(prompts), len(self._continuations)))
        for places, trie in self._tries:
            scores[:, places] = _score_tree(self._loaded, prompts, trie)
        return scores

    def _tree_is_right(self, longest: int) -> bool:
        """Return whether the model computes trees after prompts of up to so many tokens right.

        Raises `ModelError` if a prompt and a label have more tokens than the model has positions.
        """
        width = longest + max(len(trie.tokens) for _, trie in self._tries)
        can = self._loaded.capabilities(width)
        if can.positions is not None and longest + self._longest > can.positions:
            raise ModelError(
                f"A prompt of {longest} tokens and a label of {self._longest} do not fit into the model's "
                f"{can.positions} positions.",
                where=self._loaded.name,
                fix="trim texts with data.max_text_tokens=N",
            )
        if width <= can.tree_masks:
            return True
        if can.tree_masks == 0:
            self._loaded.say_once(
                "  this model supports no tree-shaped mask: every label takes its own pass, which is far slower"
            )
        else:
            self._loaded.say_once(
                f"  beyond {can.tree_masks} tokens every label takes its own pass, which is far slower"
            )
        return False

    def _batches(self, prompts: Sequence[Sequence[int]]) -> Iterator[list[int]]:
        nodes = max(len(trie.tokens) for _, trie in self._tries) + 1
        most_rows = max(1, _LOGITS_PER_BATCH // (nodes * int(self._loaded.model.config.vocab_size)))
        on_gpu = self._loaded.device.type == "cuda"
        most_tokens = _GPU_TOKENS_PER_BATCH if on_gpu else _CPU_TOKENS_PER_BATCH
        batch: list[int] = []
        # Longest first: peak memory is then reached in the first batch, not after an hour.
        for index in sorted(range(len(prompts)), key=lambda index: -len(prompts[index])):
            width = len(prompts[batch[0]] if batch else prompts[index]) + nodes
            if batch and (len(batch) == most_rows or (len(batch) + 1) * width > most_tokens):
                yield batch
                batch = []
            batch.append(index)
        if batch:
            yield batch


def _groups(continuations: Sequence[tuple[int, ...]], most_nodes: int) -> Iterator[list[int]]:
    """Yield groups of continuation indices; a group's trie has at most `most_nodes` nodes, similar ones together."""
    group: list[int] = []
    nodes: set[tuple[int, ...]] = {()}
    for place in sorted(range(len(continuations)), key=lambda place: continuations[place]):
        ids = continuations[place]
        own = {ids[:end] for end in range(len(ids))}
        if group and len(nodes | own) > most_nodes:
            yield group
            group, nodes = [], set()
        group.append(place)
        nodes |= own
    yield group


class DecisionScorer:
    """Scores yes against no after each of a fixed set of questions, after any prompt.

    A question is part of both continuations, so its own score cancels out.
    """

    def __init__(
        self, loaded: LoadedModel, questions: Sequence[Sequence[int]], yes: Sequence[int], no: Sequence[int]
    ) -> None:
        both = [[*question, *answer] for question in questions for answer in (yes, no)]
        self._scorer = LabelScorer(loaded, both)

    def log_scores(self, prompts: Sequence[Sequence[int]]) -> NDArray[np.float64]:
        """Return log p(yes | prompt, question) - log p(no | prompt, question), shape (prompts, questions)."""
        scores = self._scorer.log_scores(prompts)
        return np.asarray(scores[:, 0::2] - scores[:, 1::2])


def probabilities(log_scores: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return the scores normalised over the closed set, each row summing to 1."""
    shifted = np.exp(log_scores - log_scores.max(axis=-1, keepdims=True))
    return np.asarray(shifted / shifted.sum(axis=-1, keepdims=True))


def score_one_by_one(
    loaded: LoadedModel, prompts: Sequence[Sequence[int]], continuations: Sequence[Sequence[int]]
) -> NDArray[np.float64]:
    """Return the same scores with one ordinary pass per prompt and continuation: the slow reference."""
    import torch

    scores = np.zeros((len(prompts), len(continuations)))
    with torch.inference_mode():
        for row, prompt in enumerate(prompts):
            for column, ids in enumerate(continuations):
                inputs = torch.tensor([[*prompt, *ids]], device=loaded.device)
                logits = loaded.model(input_ids=inputs).logits[0, len(prompt) - 1 : -1].float()
                picked = torch.log_softmax(logits, dim=-1).gather(1, inputs[0, len(prompt) :, None])
                scores[row, column] = float(picked.sum())
    return scores


def mean_log_probabilities(
    loaded: LoadedModel, prompts: Sequence[Sequence[int]], continuations: Sequence[Sequence[int]]
) -> list[float]:
    """Return for each prompt the mean log-probability of the tokens of its own continuation, in nats."""
    return [
        float(score_one_by_one(loaded, [prompt], [ids])[0, 0]) / max(1, len(ids))
        for prompt, ids in zip(prompts, continuations, strict=True)
    ]


def _score_tree(loaded: LoadedModel, prompts: Sequence[Sequence[int]], trie: _Trie) -> NDArray[np.float64]:
    import torch

    inputs, positions, mask = _tree_inputs(loaded, prompts, trie)
    keep = len(trie.tokens) + 1
    with torch.inference_mode():
        logits = loaded.model(
            input_ids=inputs,
            position_ids=positions,
            attention_mask=mask,
            use_cache=False,
            logits_to_keep=keep,
        ).logits[:, -keep:]
        return summed_over_edges(logits, trie)


def summed_over_edges(logits: torch.Tensor, trie: _Trie) -> NDArray[np.float64]:
    """Return the log-probability of each continuation, shape (rows, continuations), from its nodes' logits."""
    import torch

    nodes = torch.tensor([node for edges in trie.edges for node, _ in edges], device=logits.device)
    tokens = torch.tensor([token for edges in trie.edges for _, token in edges], device=logits.device)
    normaliser = torch.logsumexp(logits.float(), dim=-1)
    picked = (logits[:, nodes, tokens].float() - normaliser[:, nodes]).double().cpu().numpy()
    starts = np.cumsum([0, *(len(edges) for edges in trie.edges[:-1])])
    return np.asarray(np.add.reduceat(picked, starts, axis=1))


def _tree_inputs(
    loaded: LoadedModel, prompts: Sequence[Sequence[int]], trie: _Trie
) -> tuple[torch.Tensor, torch.Tensor, Any]:
    """Return input ids and positions, shape (rows, width), and the additive mask (rows, 1, width, width).

    Prompts are padded on the left, so the nodes are in the same columns of every row.
    """
    import torch

    longest = max(len(prompt) for prompt in prompts)
    nodes = len(trie.tokens)
    width = longest + nodes
    inputs = np.zeros((len(prompts), width), dtype=np.int64)
    positions = np.zeros_like(inputs)
    allowed = np.zeros((len(prompts), 1, width, width), dtype=bool)
    for row, prompt in enumerate(prompts):
        start = longest - len(prompt)
        inputs[row, start:longest] = prompt
        inputs[row, longest:] = trie.tokens
        positions[row, start:longest] = np.arange(len(prompt))
        positions[row, longest:] = len(prompt) - 1 + np.array(trie.depths, dtype=np.int64)
        allowed[row, 0, start:longest, start:longest] = np.tri(len(prompt), dtype=bool)
        allowed[row, 0, longest:, start:longest] = True
    allowed[:, 0, longest:, longest:] = trie.visible
    # A padding position must attend to something, or its softmax is 0/0.
    allowed[:, 0, np.arange(width), np.arange(width)] = True
    device, dtype = loaded.device, loaded.model.dtype
    mask = torch.zeros(allowed.shape, dtype=dtype, device=device)
    mask.masked_fill_(~torch.from_numpy(allowed).to(device), torch.finfo(dtype).min)
    return torch.from_numpy(inputs).to(device), torch.from_numpy(positions).to(device), mask
