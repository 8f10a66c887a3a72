"""Encoders (BERT and its kin), which whylabel trains only as rivals of its own models."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from whylabel.host.runtime import prepare_process
from whylabel.models.arithmetic import pick_device
from whylabel.models.load import as_model_error, find, refuse_by_settings

if TYPE_CHECKING:
    from transformers import PreTrainedModel, PreTrainedTokenizerBase

_MOST_TOKENS = 512
_COUNT_BEHIND_PADDING = ("roberta", "xlm-roberta", "camembert", "xlm-roberta-xl", "longformer")


@dataclass(frozen=True)
class LoadedEncoder:
    """An encoder without any head, in float32 on its device, and its tokenizer."""

    model: PreTrainedModel
    tokenizer: PreTrainedTokenizerBase

    @property
    def longest(self) -> int:
        """How many tokens a text may have: 512, or as many as the model has positions where they are fewer."""
        positions = getattr(self.model.config, "max_position_embeddings", _MOST_TOKENS)
        # RoBERTa counts its positions from behind the padding.
        offset = (getattr(self.model.config, "pad_token_id", None) or 0) + 1
        behind = offset if self.model.config.model_type in _COUNT_BEHIND_PADDING else 0
        return min(_MOST_TOKENS, positions - behind, int(self.tokenizer.model_max_length))

    def token_ids(self, texts: Sequence[str]) -> list[list[int]]:
        """Return the token ids of texts, cut at `longest`."""
        found = self.tokenizer(
            list(texts), truncation=True, max_length=self.longest, split_special_tokens=True
        )
        return [list(ids) for ids in found["input_ids"]]


def load_encoder(name: str, *, device: str = "auto") -> LoadedEncoder:
    """Return an encoder by its folder or hub id. Raises `ModelError` if it cannot be found, read or trusted."""
    prepare_process()
    import torch
    from transformers import AutoModel, AutoTokenizer

    source = find(name)
    with as_model_error(source):
        refuse_by_settings(source)
        tokenizer = AutoTokenizer.from_pretrained(source, trust_remote_code=False)
        model = AutoModel.from_pretrained(
            source, trust_remote_code=False, use_safetensors=True, dtype=torch.float32
        )
    return LoadedEncoder(model.to(pick_device(device)).eval(), tokenizer)
