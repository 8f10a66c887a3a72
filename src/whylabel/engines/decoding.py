"""The one contract of decoding, for the engines that run in this process.

Every field of a generation config is set here. transformers would take fields that are not set from the model's own
`generation_config.json`; OpenVINO and vLLM would not, so the same reasoner would write different reasonings.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from whylabel.engines.base import Sampling
from whylabel.models.decoding import NEUTRAL

if TYPE_CHECKING:
    from transformers import GenerationConfig, PreTrainedModel


def generation_config(sampling: Sampling, pad_id: int | None) -> GenerationConfig:
    """Return transformers' generation config for the sampling; a row that has ended is filled with `pad_id`."""
    from transformers import GenerationConfig

    drawn: dict[str, Any] = {}
    if sampling.temperature > 0:
        drawn = {"temperature": sampling.temperature, "top_p": sampling.top_p, "top_k": 0}
    return GenerationConfig(
        **NEUTRAL,
        **drawn,
        do_sample=sampling.temperature > 0,
        max_new_tokens=sampling.max_new_tokens,
        eos_token_id=list(sampling.stop_ids),
        pad_token_id=next(iter(sampling.stop_ids), 0) if pad_id is None else pad_id,
        use_cache=True,
    )


@contextmanager
def own_settings_ignored(model: PreTrainedModel) -> Iterator[None]:
    """Hide the model's own generation config inside the block: transformers would use it where ours is None."""
    from transformers import GenerationConfig

    own = model.generation_config
    model.generation_config = GenerationConfig()
    try:
        yield
    finally:
        model.generation_config = own
