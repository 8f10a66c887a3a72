"""Whether a model was read whole: nothing missing, nothing left over, a token id for every row of the embedding."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Any

from whylabel.errors import ModelError

if TYPE_CHECKING:
    from transformers import PreTrainedModel, PreTrainedTokenizerBase

# What old checkpoints hold and transformers computes by itself: frequencies, positions, causal masks.
_COMPUTED = re.compile(r"(^|\.)(inv_freq|position_ids|attn\.bias|attention\.bias|masked_bias)$")
# Heads for other tasks, beside a whole language model.
_OTHER_HEADS = re.compile(r"^(score|classifier|v_head|qa_outputs)\.")
_SHOWN = 3
_COPY_AGAIN = "copy or download the whole model again"


def check_weights(found: Mapping[str, Any], source: str) -> None:
    """Raise `ModelError` if what transformers read is not exactly the weights that the model needs.

    `found` is what `from_pretrained` returns with `output_loading_info=True` and `ignore_mismatched_sizes=True`.
    Without this check, what is missing would be filled with random numbers. A head that is tied to the embedding is
    not missing.
    """
    missing = _that_matter(found["missing_keys"])
    if missing:
        raise ModelError(
            f"Weights are missing: {_names(missing)}. They would be filled with random numbers.",
            where=source,
            fix=_COPY_AGAIN,
        )
    shapes = {name: (tuple(there), tuple(needed)) for name, there, needed in found["mismatched_keys"]}
    if shapes:
        name, (there, needed) = min(shapes.items())
        raise ModelError(
            f"Weights do not fit config.json: {_names(shapes)}. The shape of {name} is {there}, {needed} is needed.",
            where=source,
            fix=_COPY_AGAIN,
        )
    unexpected = [name for name in _that_matter(found["unexpected_keys"]) if not _OTHER_HEADS.search(name)]
    if unexpected:
        raise ModelError(
            f"There are weights that the model of config.json has no place for: {_names(unexpected)}. It would "
            "compute without them.",
            where=source,
            fix=f"{_COPY_AGAIN}, with the config.json that belongs to it",
        )
    if found["error_msgs"]:
        raise ModelError(
            f"The weights cannot be read: {found['error_msgs'][0]}", where=source, fix=_COPY_AGAIN
        )


def check_tokenizer(model: PreTrainedModel, tokenizer: PreTrainedTokenizerBase, source: str) -> None:
    """Raise `ModelError` if the tokenizer has token ids that the embedding of the model has no row for.

    Control tokens do no harm there: Gemma's tokenizers have one for images, and no text becomes one.
    """
    rows = model.get_input_embeddings().weight.shape[0]
    control = {number for number, token in tokenizer.added_tokens_decoder.items() if token.special}
    vocabulary = tokenizer.get_vocab().items()
    beyond = {token: place for token, place in vocabulary if place >= rows and place not in control}
    if beyond:
        token = min(beyond, key=lambda token: beyond[token])
        raise ModelError(
            f"The tokenizer does not belong to the model: it has {len(beyond)} tokens more than the embedding's "
            f"{rows} rows, the first is {token!r} ({beyond[token]}).",
            where=source,
            fix="copy the tokenizer that belongs to the model, or call resize_token_embeddings and save the model",
        )


def _that_matter(names: Iterable[str]) -> list[str]:
    return sorted(name for name in names if not _COMPUTED.search(name))


def _names(names: Iterable[str]) -> str:
    found = sorted(names)
    more = f" and {len(found) - _SHOWN} more" if len(found) > _SHOWN else ""
    return ", ".join(found[:_SHOWN]) + more
