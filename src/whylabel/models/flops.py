"""Floating-point operations of a causal LM, counted from its shape.

Each computed position costs 2 FLOPs per weight of its layers (in a mixture of experts only the experts that a token
uses), and 4 x layers x heads x head size for each position that it attends to, itself included. A position with
logits costs 2 more per weight of the LM head. A backward pass costs twice a forward pass (Kaplan et al. 2020, arXiv
2001.08361, section 2.1), or once if only adapters are trained. Norms, rotary embeddings and softmax are not
counted.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from transformers import PretrainedConfig, PreTrainedModel

_EXPERTS = ".experts."


@dataclass(frozen=True, slots=True)
class Flops:
    """The FLOPs of a forward pass, by position, attended pair and logits."""

    per_position: float
    per_pair: float
    """FLOPs for each pair of a position and a position that it attends to."""
    per_logits: float

    @classmethod
    def of(cls, model: PreTrainedModel) -> Flops:
        """Count a loaded model."""
        import torch

        config, head = model.config.get_text_config(), model.get_output_embeddings()
        tables = (part for part in model.modules() if isinstance(part, torch.nn.Embedding))
        excluded = {id(part.weight) for part in (head, *tables)}
        active = _active_experts(config)
        weights = sum(
            value.numel() * (active if _EXPERTS in name else 1.0)
            for name, value in model.named_parameters()
            if value.ndim >= 2 and id(value) not in excluded
        )
        heads = getattr(config, "num_attention_heads", None) or 0  # a state space model has none
        head_size = getattr(config, "head_dim", None) or config.hidden_size // max(1, heads)
        return cls(
            per_position=2.0 * weights,
            per_pair=4.0 * config.num_hidden_layers * heads * head_size,
            per_logits=2.0 * head.weight.numel(),
        )

    def forward(self, length: int, logits: int, start: int = 0) -> float:
        """Return the FLOPs of positions `start` to `length` of a row, with logits at `logits` of them."""
        pairs = (length * (length + 1) - start * (start + 1)) / 2
        return self.per_position * (length - start) + self.per_pair * pairs + self.per_logits * logits

    def training(
        self, length: int, logits: int, *, adapters: bool = False, gradient_checkpointing: bool = False
    ) -> float:
        """Return the FLOPs of training once on a row; gradient checkpointing adds one forward pass."""
        return self.forward(length, logits) * (2 + (not adapters) + gradient_checkpointing)


def _active_experts(config: PretrainedConfig) -> float:
    """Return the share of a mixture's experts that a token uses."""
    names = ("num_local_experts", "num_experts", "n_routed_experts")
    experts = next((found for name in names if (found := getattr(config, name, None))), 1)
    return float((getattr(config, "num_experts_per_tok", None) or experts) / experts)
