"""In which quantised form the weights of a base model were, before they became ordinary numbers."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

from whylabel.host.paths import expanded
from whylabel.models.gguf import tensor_sizes
from whylabel.models.load import CARD, is_gguf, read_card
from whylabel.models.packaged import PACKAGED_MODELS

KEY = "base_model_quantisation"
"""The entry of a model's lineage that says it."""
_PLAIN = frozenset({"F64", "F32", "F16", "BF16"})


def quantisation(name: str) -> str | None:
    """Return the name of the form (`Q4_1`), None if the weights are as they were published or it is not known.

    Known are packaged models, GGUF files (by the type of most weights), and models that whylabel has trained from
    either. Raises `ModelError` if a GGUF file cannot be read.
    """
    if name in PACKAGED_MODELS:
        return PACKAGED_MODELS[name].quantisation
    source = expanded(name)
    if source.is_file() and is_gguf(str(source)):
        return _of_file(source)
    if (source / CARD).is_file():
        found = (read_card(source).get("lineage") or {}).get(KEY)
        return None if found is None else str(found)
    return None


def _of_file(path: Path) -> str | None:
    quantised: Counter[str] = Counter()
    for kind, size in tensor_sizes(path):
        if kind not in _PLAIN:
            quantised[kind] += size
    return max(quantised, key=quantised.__getitem__, default=None)
