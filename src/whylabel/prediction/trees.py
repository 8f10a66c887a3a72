"""Prompts and labels as trees, so that what several of them begin with is computed once.

The labels after a prompt form a trie. Prompts that begin alike form one, too: the text that is answered at once and
after a reasoning, several reasonings about it, or what all chats begin with. A mask shaped like the tree lets each
token attend to its own ancestors alone.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from whylabel.models.load import LoadedModel

if TYPE_CHECKING:
    import torch

_LEAST_SHARED_TOKENS = 8
"""Fewer are not worth a longer row."""
_WORTH_PACKING = 0.9
"""Rows are packed if so small a share of the tokens is left: attention costs more in wide rows."""


@dataclass(frozen=True, slots=True)
class LabelTrie:
    """The distinct proper prefixes of the labels' tokens. Node 0 is the end of the prompt; parents come first."""

    tokens: tuple[int, ...]
    """Input token of node i + 1."""
    parents: tuple[int, ...]
    """Parent of node i + 1."""
    depths: tuple[int, ...]
    edges: tuple[tuple[tuple[int, int], ...], ...]
    """For each label: (node whose output is read, token that is scored)."""

    @classmethod
    def of(cls, labels: Sequence[Sequence[int]]) -> LabelTrie:
        """Return the trie of these labels."""
        nodes: dict[tuple[int, ...], int] = {(): 0}
        for label in sorted(labels, key=len):
            for end in range(1, len(label)):
                nodes.setdefault(tuple(label[:end]), len(nodes))
        prefixes = list(nodes)[1:]
        return cls(
            tokens=tuple(prefix[-1] for prefix in prefixes),
            parents=tuple(nodes[prefix[:-1]] for prefix in prefixes),
            depths=tuple(len(prefix) for prefix in prefixes),
            edges=tuple(
                tuple((nodes[tuple(ids[:place])], token) for place, token in enumerate(ids)) for ids in labels
            ),
        )

    @property
    def size(self) -> int:
        """Number of nodes, the end of the prompt included."""
        return len(self.tokens) + 1

    @property
    def visible(self) -> NDArray[np.bool_]:
        """Which nodes (columns) each node (row) attends to: itself and its ancestors."""
        seen = np.eye(self.size, dtype=bool)
        for node, parent in enumerate(self.parents, start=1):
            seen[node] |= seen[parent]
        return seen


@dataclass(slots=True)
class Row:
    """Prompts that are computed as one row, without their last tokens, which stand before the labels.

    `prompts` are their places in the call, `ends` their last tokens; `paths` are the columns of each, `depths` the
    position of each column.
    """

    prompts: list[int] = field(default_factory=list)
    ends: list[int] = field(default_factory=list)
    tokens: list[int] = field(default_factory=list)
    depths: list[int] = field(default_factory=list)
    paths: list[list[int]] = field(default_factory=list)

    def add(self, place: int, prompt: Sequence[int], shared: int) -> None:
        """Add a prompt whose first `shared` tokens are those of the prompt that was added before."""
        own = prompt[shared:-1]
        columns = range(len(self.tokens), len(self.tokens) + len(own))
        self.paths.append([*(self.paths[-1][:shared] if shared else ()), *columns])
        self.tokens += own
        self.depths += range(shared, shared + len(own))
        self.prompts.append(place)
        self.ends.append(prompt[-1])

    def width(self, nodes: int) -> int:
        """Return its tokens, and the nodes of a trie of this size after each prompt."""
        return len(self.tokens) + len(self.prompts) * nodes

    def append(self, other: Row) -> None:
        """Add all prompts of another row behind its own; they do not see each other."""
        start = len(self.tokens)
        self.paths += [[start + column for column in path] for path in other.paths]
        self.prompts += other.prompts
        self.ends += other.ends
        self.tokens += other.tokens
        self.depths += other.depths


def rows_of(prompts: Sequence[Sequence[int]], nodes: int, most_tokens: int, most_prompts: int) -> list[Row]:
    """Return rows of all prompts, those that begin alike together as far as a row has room, the widest first.

    `nodes` is the size of the trie after each prompt; a row is as wide as its tokens and all its nodes. A prompt that
    alone is wider than `most_tokens` has a row of its own.
    """
    rows: list[Row] = []
    before: Sequence[int] = ()
    for place in sorted(range(len(prompts)), key=lambda place: tuple(prompts[place])):
        prompt = prompts[place]
        shared = min(common_prefix(before, prompt), len(prompt) - 1, len(before) - 1)
        row = rows[-1] if rows else Row()
        width = len(row.tokens) + len(prompt) - 1 - shared + (len(row.prompts) + 1) * nodes
        if shared < _LEAST_SHARED_TOKENS or width > most_tokens or len(row.prompts) == most_prompts:
            shared, row = 0, Row()
            rows.append(row)
        row.add(place, prompt, shared)
        before = prompt
    return sorted(rows, key=lambda row: -row.width(nodes))


def packed(rows: list[Row], nodes: int, room: int, most_tokens: int) -> list[Row]:
    """Return the rows of a batch, or fewer and wider ones with less padding, if they save a tenth or more.

    In these, rows stand behind each other up to a width of about `room`, or of the widest of them. The widest goes
    first, each to where most room is left. They are no wider than `most_tokens`, and have no more places for tries.
    """
    count = math.ceil(sum(row.width(nodes) for row in rows) / max(room, *(row.width(nodes) for row in rows)))
    found = [Row() for _ in range(count)]
    for row in sorted(rows, key=lambda row: -row.width(nodes)):
        min(found, key=lambda one: one.width(nodes)).append(row)
    (before, tries_before), (after, tries) = _padded(rows, nodes), _padded(found, nodes)
    fits = after <= most_tokens * count and tries <= tries_before
    return found if fits and after <= _WORTH_PACKING * before else rows


def _padded(rows: Sequence[Row], nodes: int) -> tuple[int, int]:
    """Return the tokens of a batch of rows with its padding, and its places for tries."""
    together = max(len(row.prompts) for row in rows)
    width = max(len(row.tokens) for row in rows) + together * nodes
    return len(rows) * width, len(rows) * together


def common_prefix(one: Sequence[int], other: Sequence[int]) -> int:
    """Return how many tokens both begin with."""
    shortest = min(len(one), len(other))
    return next((place for place in range(shortest) if one[place] != other[place]), shortest)


def score_rows(loaded: LoadedModel, rows: Sequence[Row], trie: LabelTrie) -> dict[int, NDArray[np.float64]]:
    """Return the log-probability of every label after every prompt in the rows, by the prompt's place."""
    import torch

    inputs, positions, mask = _inputs(loaded, rows, trie)
    most = max(len(row.prompts) for row in rows)
    keep = most * trie.size
    with torch.inference_mode():
        logits = loaded.model(
            input_ids=inputs,
            position_ids=positions,
            attention_mask=mask,
            use_cache=False,
            logits_to_keep=keep,
        ).logits[:, -keep:]
        scores = summed_over_edges(logits.reshape(len(rows) * most, trie.size, -1), trie)
    return {
        place: scores[number * most + at]
        for number, row in enumerate(rows)
        for at, place in enumerate(row.prompts)
    }


def summed_over_edges(logits: torch.Tensor, trie: LabelTrie) -> NDArray[np.float64]:
    """Return the log-probability of each label, shape (rows, labels), from its nodes' logits."""
    import torch

    nodes = torch.tensor([node for edges in trie.edges for node, _ in edges], device=logits.device)
    tokens = torch.tensor([token for edges in trie.edges for _, token in edges], device=logits.device)
    normaliser = torch.logsumexp(logits.float(), dim=-1)
    picked = (logits[:, nodes, tokens].float() - normaliser[:, nodes]).double().cpu().numpy()
    starts = np.cumsum([0, *(len(edges) for edges in trie.edges[:-1])])
    return np.asarray(np.add.reduceat(picked, starts, axis=1))


def _inputs(
    loaded: LoadedModel, rows: Sequence[Row], trie: LabelTrie
) -> tuple[torch.Tensor, torch.Tensor, Any]:
    """Return input ids and positions, shape (rows, width), and the additive mask (rows, 1, width, width).

    Prompts are padded on the left, so the tries are in the same columns of every row.
    """
    import torch

    most = max(len(row.prompts) for row in rows)
    longest = max(len(row.tokens) for row in rows)
    width = longest + most * trie.size
    inputs = np.zeros((len(rows), width), dtype=np.int64)
    positions = np.zeros_like(inputs)
    allowed = np.zeros((len(rows), 1, width, width), dtype=bool)
    nodes, depths, visible = trie.tokens, np.array([0, *trie.depths], dtype=np.int64), trie.visible
    for number, row in enumerate(rows):
        start = longest - len(row.tokens)
        inputs[number, start:longest] = row.tokens
        positions[number, start:longest] = row.depths
        for at, path in enumerate(row.paths):
            columns = start + np.array(path, dtype=np.int64)
            seen = allowed[number, 0]
            seen[columns[:, None], columns] = np.tri(len(path), dtype=bool)
            tree = slice(longest + at * trie.size, longest + (at + 1) * trie.size)
            inputs[number, tree] = (row.ends[at], *nodes)
            positions[number, tree] = len(path) + depths
            seen[tree, columns] = True
            seen[tree, tree] = visible
    # A padding position must attend to something, or its softmax is 0/0.
    allowed[:, 0, np.arange(width), np.arange(width)] = True
    device, dtype = loaded.device, loaded.model.dtype
    mask = torch.zeros(allowed.shape, dtype=dtype, device=device)
    mask.masked_fill_(~torch.from_numpy(allowed).to(device), torch.finfo(dtype).min)
    return torch.from_numpy(inputs).to(device), torch.from_numpy(positions).to(device), mask
