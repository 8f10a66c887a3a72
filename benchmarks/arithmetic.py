"""What the arithmetic alone allows: the FLOPs that generating a batch of rows needs, and the machine's fp32 rate.

A position that is computed costs 2 FLOPs for each weight of the linear layers and 4 x layers x heads x head size for
each position that it attends to (itself included); a new token costs 2 FLOPs for each weight of the LM head.
Computed are the positions of the prefix that all prompts share, once; then of each row the rest of its prompt and its
new tokens but the last one, which no one reads. Norms, rotary embeddings and softmax are left out, so no engine can
reach the limit.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from typing import TYPE_CHECKING

from whylabel.engines.transformers import shared_prefix

if TYPE_CHECKING:
    import torch
    from transformers import PreTrainedModel


def batch_flops(model: PreTrainedModel, prompts: Sequence[Sequence[int]], new_tokens: int) -> float:
    """Return the FLOPs of generating `new_tokens` for every prompt, as the module's doc string counts them."""
    import torch

    config, head = model.config, model.get_output_embeddings()
    layers = [part for part in model.modules() if isinstance(part, torch.nn.Linear) and part is not head]
    linear = 2 * sum(layer.weight.numel() for layer in layers)
    head_size = getattr(config, "head_dim", None) or config.hidden_size // config.num_attention_heads
    attended = 4 * config.num_hidden_layers * config.num_attention_heads * head_size

    def positions(start: int, end: int) -> float:
        seen = (end * (end + 1) - start * (start + 1)) / 2
        return float(linear * (end - start) + attended * seen)

    shared = shared_prefix(prompts)
    rows = sum(positions(shared, len(prompt) + new_tokens - 1) for prompt in prompts)
    return positions(0, shared) + rows + float(2 * head.weight.numel() * new_tokens * len(prompts))


def sgemm_rate(size: int = 2048, tries: int = 5) -> float:
    """Return the FLOP/s of a square matrix product in fp32 on all threads that torch may use, the best of a few."""
    import torch

    return product_rate(torch.float32, size, tries)


def product_rate(dtype: torch.dtype, size: int = 2048, tries: int = 5) -> float:
    """Return the FLOP/s of a square matrix product on all threads that torch may use, the best of a few."""
    import torch

    one, other = torch.randn(size, size, dtype=dtype), torch.randn(size, size, dtype=dtype)
    best = float("inf")
    for _ in range(tries):
        started = time.perf_counter()
        torch.mm(one, other)
        best = min(best, time.perf_counter() - started)
    return 2 * size**3 / best
