"""Read a GGUF file as an ordinary model."""

from __future__ import annotations

import gc
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

from whylabel.errors import ModelError
from whylabel.host.runtime import first_line, prepare_process
from whylabel.models.refusals import refuse_part
from whylabel.models.weights import check_tokenizer, check_weights

if TYPE_CHECKING:
    from transformers import PreTrainedModel, PreTrainedTokenizerBase


def load_gguf(path: Path) -> tuple[PreTrainedModel, PreTrainedTokenizerBase]:
    """Return the de-quantised model (fp32) and tokenizer of a GGUF file, as an ordinary model.

    Raises `ModelError` if it cannot be read, does not hold all weights, or is one part of several.
    """
    # Before transformers is imported: it reads then whether progress bars are wanted.
    prepare_process()
    import torch
    from transformers import AutoModelForCausalLM, AutoTokenizer

    place: dict[str, Any] = {"pretrained_model_name_or_path": str(path.parent), "gguf_file": path.name}
    try:
        refuse_part(path, _parts(path))
        tokenizer = AutoTokenizer.from_pretrained(**place)
        packed, found = AutoModelForCausalLM.from_pretrained(
            **place, dtype=torch.float32, output_loading_info=True, ignore_mismatched_sizes=True
        )
    except ModelError:
        raise
    except Exception as error:  # transformers' GGUF reader raises many types of errors
        raise _unreadable(path, error) from error
    check_weights(found, str(path))
    check_tokenizer(packed, tokenizer, str(path))
    # transformers refuses to save a model read from GGUF, but saves a new model with the same weights.
    values = packed.config.to_dict()
    values.pop("quantization_config", None)
    model = AutoModelForCausalLM.from_config(type(packed.config)(**values))
    model.load_state_dict(packed.state_dict())
    model.generation_config = packed.generation_config
    del packed
    gc.collect()
    return model, tokenizer


def _reader(path: Path) -> Any:
    """Return gguf's reader of a file. Raises `ValueError` for a header that says more than the file holds.

    Past the end, gguf's own reader goes on with empty values: an array of 2^62 numbers would fill the memory.
    """
    from gguf import GGUFReader

    class WithinFile(GGUFReader):  # type: ignore[misc]
        def _get(self, offset: int, dtype: Any, count: int = 1, override_order: Any = None) -> Any:
            found = super()._get(offset, dtype, count, override_order)
            if len(found) < count:
                raise ValueError("the file ends within its header")
            return found

    return WithinFile(path)


def tensor_sizes(path: Path) -> Iterator[tuple[str, int]]:
    """Yield the type (`F32`, `Q4_1`) and the number of weights of each tensor of a GGUF file.

    Raises `ModelError` if it cannot be read.
    """
    try:
        for tensor in _reader(path).tensors:
            yield tensor.tensor_type.name, int(tensor.n_elements)
    except Exception as error:  # its reader raises many types of errors
        raise _unreadable(path, error) from error


def _unreadable(path: Path, error: Exception) -> ModelError:
    return ModelError(
        f"The GGUF file cannot be read: {first_line(error)}", where=str(path), fix="copy or download it again"
    )


def _parts(path: Path) -> int:
    """Return of how many parts the file is one, by its header."""
    field = _reader(path).fields.get("split.count")
    return 1 if field is None else int(field.contents())
