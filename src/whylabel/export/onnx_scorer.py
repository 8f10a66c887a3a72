"""The label scorer as one ONNX graph: token ids of prompts in, the log-probability of every label out.

The trie of the labels is part of the graph. It stands behind the padded prompts; a mask lets each of its nodes see
the prompt and the node's own ancestors, as in `prediction/trees.py`.
"""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from logging import ERROR, getLogger
from typing import TYPE_CHECKING, Any

from whylabel.engines.openvino_export import ONE_MASK, windows
from whylabel.prediction.trees import LabelTrie

if TYPE_CHECKING:
    import torch
    from transformers import PreTrainedModel

INPUTS = ("input_ids", "attention_mask")
OUTPUT = "log_scores"


def scorer_program(model: PreTrainedModel, continuations: Sequence[Sequence[int]]) -> Any:
    """Return the graph as a `torch.onnx.ONNXProgram`.

    Inputs, int64: `input_ids` and `attention_mask`, shape (rows, tokens), padded on either side. Output, float32:
    `log_scores`, natural log, shape (rows, continuations).
    """
    import torch

    rows, width = 2, 5  # a dimension of 0 or 1 would be taken as fixed
    ids = torch.ones(rows, width, dtype=torch.long)
    free = {0: torch.export.Dim.DYNAMIC, 1: torch.export.Dim.DYNAMIC}
    getLogger("torch.onnx").setLevel(ERROR)  # it warns that torchvision is not installed
    with torch.no_grad(), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return torch.onnx.export(
            _scorer(model, LabelTrie.of([tuple(one) for one in continuations])),
            (ids, torch.ones_like(ids)),
            dynamo=True,
            verbose=False,
            input_names=list(INPUTS),
            output_names=[OUTPUT],
            dynamic_shapes=dict.fromkeys(INPUTS, free),
        )


def _scorer(model: PreTrainedModel, trie: LabelTrie) -> torch.nn.Module:
    """Return the module that is exported."""
    import torch

    class _Scorer(torch.nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.model = model
            self.tokens = torch.tensor(trie.tokens, dtype=torch.long)
            self.depths = torch.tensor((0, *trie.depths))
            self.visible = torch.from_numpy(trie.visible)
            self.nodes = torch.tensor([node for edges in trie.edges for node, _ in edges])
            self.scored = torch.tensor([token for edges in trie.edges for _, token in edges])
            self.sums = _sums([len(edges) for edges in trie.edges])

        def forward(self, input_ids: torch.Tensor, attention_mask: torch.Tensor) -> torch.Tensor:
            rows = input_ids.shape[0]
            real = attention_mask.bool()
            order = real.long().cumsum(-1)
            length = order[:, -1:]
            # The last token moves behind the padding: it is the root of the trie.
            last = real & (order == length)
            root = torch.where(last, input_ids, 0).sum(-1, keepdim=True)
            ids = torch.cat([torch.where(real, input_ids, 0), root, self.tokens.expand(rows, -1)], 1)
            positions = torch.cat([(order - 1).clamp(min=0), length - 1 + self.depths], 1)
            masks = _masks(model.config, _allowed(real & ~last, self.visible), positions)
            logits = self.model(
                input_ids=ids,
                position_ids=positions,
                attention_mask=masks,
                use_cache=False,
                logits_to_keep=trie.size,
            ).logits.float()
            normaliser = torch.logsumexp(logits, dim=-1)
            scores: torch.Tensor = (
                logits[:, self.nodes, self.scored] - normaliser[:, self.nodes]
            ) @ self.sums
            return scores

    return _Scorer().eval()


def _sums(lengths: Sequence[int]) -> torch.Tensor:
    """Return the matrix that adds up the edges of each label, shape (edges, labels)."""
    import torch

    owners = torch.repeat_interleave(torch.arange(len(lengths)), torch.tensor(lengths))
    return torch.nn.functional.one_hot(owners, len(lengths)).float()


def _allowed(before: torch.Tensor, visible: torch.Tensor) -> torch.Tensor:
    """Return who sees whom, shape (rows, tokens + nodes, tokens + nodes); `before` marks the tokens that are seen."""
    import torch

    rows, width = before.shape
    nodes = visible.shape[0]
    place = torch.arange(width)
    # A padding position must see something, or its softmax is 0/0.
    itself = place[None, :] == place[:, None]
    causal = ((place[None, :] <= place[:, None])[None] & before[:, None, :]) | itself[None]
    nothing = torch.zeros(rows, width, nodes, dtype=torch.bool)
    of_nodes = [before[:, None, :].expand(rows, nodes, width), visible[None].expand(rows, nodes, nodes)]
    return torch.cat([torch.cat([causal, nothing], 2), torch.cat(of_nodes, 2)], 1)


def _masks(
    config: Any, allowed: torch.Tensor, positions: torch.Tensor
) -> torch.Tensor | dict[str, torch.Tensor]:
    """Return the additive masks in the form that the model takes, each (rows, 1, width, width)."""
    import torch

    def additive(seen: torch.Tensor) -> torch.Tensor:
        return torch.where(seen[:, None], 0.0, torch.finfo(torch.float32).min)

    masks = {"full_attention": additive(allowed)}
    window = max(windows(config))
    if window:
        near = positions[:, :, None] - positions[:, None, :] < window
        masks["sliding_attention"] = additive(allowed & near)
    if config.model_type in ONE_MASK:
        return masks["sliding_attention" if window else "full_attention"]
    return masks
