"""Closed-set scores: log p(label | prompt) for every label, so that a label outside the set cannot happen.

A label's score is the sum of the log-probabilities of its tokens and its end token (the end token makes a label
comparable with a longer label that starts with it). All labels after a prompt are computed in one forward pass, with
other prompts that begin alike (`trees.py`). Very many labels are divided into several tries to limit memory.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np
from numpy.typing import NDArray

from whylabel.errors import ModelError
from whylabel.models.load import LoadedModel
from whylabel.prediction.trees import LabelTrie, Row, packed, rows_of, score_rows

_CPU_TOKENS_PER_BATCH, _GPU_TOKENS_PER_BATCH = 1024, 32_768
_LOGITS_PER_BATCH = 64_000_000
_ROW_TOKENS = 512
"""Prompts that begin alike are computed as one row up to this width, from which attention begins to cost more."""
_PACKED_TOKENS = 256
"""Short rows of unlike width are packed into rows of about this width."""


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
            (places, LabelTrie.of([self._continuations[place] for place in places]))
            for places in _groups(self._continuations, most)
        ]

    def log_scores(self, prompts: Sequence[Sequence[int]]) -> NDArray[np.float64]:
        """Return log p(continuation | prompt), shape (prompts, continuations), natural log."""
        scores = np.zeros((len(prompts), len(self._continuations)))
        for rows in self._batches(prompts):
            places = [place for row in rows for place in row.prompts]
            if self._tree_is_right(max(len(prompts[place]) for place in places)):
                for labels, trie in self._tries:
                    for place, found in score_rows(self._loaded, rows, trie).items():
                        scores[place, labels] = found
            else:
                alone = [prompts[place] for place in places]
                scores[places] = score_one_by_one(self._loaded, alone, self._continuations)
        return scores

    def whole_trie(self, rows: int, longest: int) -> LabelTrie | None:
        """Return the trie of all labels if the model computes it for so many rows in one pass, else None.

        `longest` is the number of tokens in the longest prompt.
        """
        logits = rows * self._tries[0][1].size * int(self._loaded.model.config.vocab_size)
        fits = len(self._tries) == 1 and self._loaded.window is None and logits <= _LOGITS_PER_BATCH
        return LabelTrie.of(self._continuations) if fits and self._tree_is_right(longest) else None

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

    def _batches(self, prompts: Sequence[Sequence[int]]) -> Iterator[list[Row]]:
        """Yield rows that are computed together, the widest first: peak memory is reached in the first batch."""
        if not prompts:
            return
        nodes = max(trie.size for _, trie in self._tries)
        most_prompts = max(1, _LOGITS_PER_BATCH // (nodes * int(self._loaded.model.config.vocab_size)))
        on_gpu = self._loaded.device.type == "cuda"
        most_tokens = _GPU_TOKENS_PER_BATCH if on_gpu else _CPU_TOKENS_PER_BATCH
        longest = max(map(len, prompts)) + nodes
        widest = min(self._loaded.capabilities(longest).tree_masks, max(_ROW_TOKENS, longest))
        batch: list[Row] = []
        tokens = together = 0
        for row in rows_of(prompts, nodes, widest, most_prompts):
            tokens, together = max(tokens, len(row.tokens)), max(together, len(row.prompts))
            count, width = len(batch) + 1, tokens + together * nodes
            if batch and (width > widest or count * together > most_prompts or count * width > most_tokens):
                yield packed(batch, nodes, _PACKED_TOKENS, widest)
                batch, tokens, together = [], len(row.tokens), len(row.prompts)
            batch.append(row)
        if batch:
            yield packed(batch, nodes, _PACKED_TOKENS, widest)


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
