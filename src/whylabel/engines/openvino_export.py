"""Export a transformers model in memory to an OpenVINO model on disk, without optimum-intel.

OpenVINO GenAI needs one stateful model: `input_ids`, `attention_mask`, `position_ids` and `beam_idx` in, `logits`
out, keys and values as state. When it loads the model, it recognises attention by the shape of the graph and
converts it to paged attention. If it does not recognise it, it computes something else and reports no error. So
only model types that were tested are exported, and the result of the conversion is checked here.
"""

from __future__ import annotations

import math
import warnings
from pathlib import Path
from typing import TYPE_CHECKING, Any

from whylabel.errors import EngineError
from whylabel.host.runtime import last_line, prepare_process

if TYPE_CHECKING:
    import torch
    from transformers import PreTrainedConfig, PreTrainedModel

EXPORT_VERSION = 1
"""Part of an export's fingerprint: increase it when the exported graph changes."""
MODEL_FILE = "openvino_model.xml"
USE_TRANSFORMERS = "set augment.engine: transformers"

_MODEL_TYPES = ("gemma3_text", "llama", "mistral", "phi3", "qwen2", "qwen3", "smollm3")
# Rotary embeddings whose frequencies do not depend on the input length: tracing would freeze them.
_ROPE_TYPES = ("default", "linear", "llama3", "yarn")
ONE_MASK = ("llama", "mistral", "phi3")
"""These take one mask for all layers; the others take one mask for each kind of layer."""
_INPUTS = ("input_ids", "attention_mask", "position_ids", "beam_idx")
_WINDOW_INPUT = 10
"""Input number of the sliding window of a PagedAttentionExtension (0: no window)."""


def unsupported_reason(config: PreTrainedConfig) -> str | None:
    """Return why a model with this config cannot be exported, or None."""
    if config.model_type not in _MODEL_TYPES:
        return f"models of type {config.model_type!r} are not supported ({', '.join(_MODEL_TYPES)} are)"
    unknown = sorted(_rope_types(config) - set(_ROPE_TYPES))
    if unknown:
        return f"rotary embeddings of type {unknown[0]!r} are not supported ({', '.join(_ROPE_TYPES)} are)"
    if getattr(config, "use_bidirectional_attention", False):
        return "its attention looks ahead"
    return None


def export(model: PreTrainedModel, folder: Path, *, compress_to_fp16: bool = False) -> None:
    """Write the model to `folder`, its weights in fp32 or fp16.

    Raises `EngineError` if OpenVINO would not compute the same as the model.

    The model must be in fp32 on the CPU. The export shares its weights, without a copy, until it is written.
    """
    prepare_process()
    import openvino

    unsupported = unsupported_reason(model.config)
    if unsupported:
        raise EngineError(f"This model cannot run in OpenVINO: {unsupported}.", fix=USE_TRANSFORMERS)
    try:
        exported = _stateful(_traced(model), model.config)
        _check_attention(exported.clone(), model.config)
        openvino.save_model(exported, folder / MODEL_FILE, compress_to_fp16=compress_to_fp16)
    except EngineError:
        raise
    except Exception as error:  # the tracer and the converter raise whatever their parts raise
        raise EngineError(
            f"The export to OpenVINO failed: {last_line(error)}", fix=USE_TRANSFORMERS
        ) from error


def _rope_types(config: PreTrainedConfig) -> set[str]:
    # The config has one set of parameters, or one set for each kind of layer.
    parameters = config.rope_parameters or {}
    by_kind = parameters.values() if "rope_type" not in parameters else [parameters]
    return {values.get("rope_type", "default") for values in by_kind if isinstance(values, dict)}


def windows(config: PreTrainedConfig) -> list[int]:
    """Return the sliding window of each layer in tokens, 0 if the layer sees all earlier tokens."""
    if config.model_type == "llama":
        return [0] * config.num_hidden_layers
    window = config.sliding_window or 0
    if config.model_type in ONE_MASK:
        return [window] * config.num_hidden_layers
    kinds = config.layer_types
    return [window if kind == "sliding_attention" else 0 for kind in kinds]


def _heads(config: PreTrainedConfig) -> tuple[int, int]:
    """Return the number of key-value heads and the size of one."""
    size = getattr(config, "head_dim", None) or config.hidden_size // config.num_attention_heads
    return config.num_key_value_heads, size


class _ConcatCache:
    """A cache that only appends: the trace must not contain any other cache logic."""

    def __init__(self, past: list[torch.Tensor]) -> None:
        self.keys, self.values = past[0::2], past[1::2]

    def update(
        self, keys: torch.Tensor, values: torch.Tensor, layer: int, *_args: Any, **_kwargs: Any
    ) -> tuple[torch.Tensor, torch.Tensor]:
        import torch

        self.keys[layer] = torch.cat([self.keys[layer], keys], dim=-2)
        self.values[layer] = torch.cat([self.values[layer], values], dim=-2)
        return self.keys[layer], self.values[layer]

    def get_seq_length(self, layer: int = 0) -> int:
        return int(self.keys[layer].shape[-2])

    def flat(self) -> list[torch.Tensor]:
        return [tensor for pair in zip(self.keys, self.values, strict=True) for tensor in pair]


def _masks(
    config: PreTrainedConfig, attention_mask: torch.Tensor, queries: int, past: int
) -> torch.Tensor | dict[str, torch.Tensor]:
    """Return the additive masks, shape (rows, 1, queries, past + queries).

    OpenVINO recognises a sliding window only if the mask is computed exactly as transformers computes it: the
    comparison with `row + -window` inside three "and"s, then expand, where and slice. `_check_attention` checks it.
    """
    import torch

    width = attention_mask.shape[1]
    rows = (torch.arange(queries) + (width - queries))[None, None, :, None]
    columns = torch.arange(width)[None, None, None, :]
    real = attention_mask.bool()[:, None, None, :]
    everything = torch.ones((), dtype=torch.bool)

    def additive(allowed: torch.Tensor) -> torch.Tensor:
        seen = (everything & allowed & real).expand(attention_mask.shape[0], 1, queries, width)
        mask = torch.where(seen, 0.0, torch.finfo(torch.float32).min)
        return mask[:, :, :, : past + queries]

    causal = columns <= rows
    masks = {"full_attention": additive(causal)}
    window = max(windows(config))
    if window:
        masks["sliding_attention"] = additive(everything & (columns > rows + -window) & causal)
    if config.model_type in ONE_MASK:
        return masks["sliding_attention" if window else "full_attention"]
    return masks


def _traced(model: PreTrainedModel) -> Any:
    """Return the model as an `openvino.Model` with keys and values as inputs and outputs."""
    import openvino
    import torch

    class _Step(torch.nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.model = model

        def forward(
            self,
            input_ids: torch.Tensor,
            attention_mask: torch.Tensor,
            position_ids: torch.Tensor,
            beam_idx: torch.Tensor,
            *past: torch.Tensor,
        ) -> tuple[torch.Tensor, ...]:
            cache = _ConcatCache([tensor.index_select(0, beam_idx) for tensor in past])
            output = self.model(
                input_ids=input_ids,
                attention_mask=_masks(model.config, attention_mask, input_ids.shape[1], past[0].shape[-2]),
                position_ids=position_ids,
                past_key_values=cache,
                use_cache=True,
            )
            return (output.logits, *cache.flat())

    # More than one query: for a single query attention takes another code path, and a trace records only one path.
    rows, queries, before = 2, 2, 3
    heads, size = _heads(model.config)
    past = [torch.zeros(rows, heads, before, size) for _ in range(2 * model.config.num_hidden_layers)]
    positions = torch.arange(before, before + queries).repeat(rows, 1)
    inputs = (
        torch.ones(rows, queries, dtype=torch.long),
        torch.ones(rows, before + queries, dtype=torch.long),
        positions,
        torch.arange(rows, dtype=torch.int32),
        *past,
    )
    with torch.no_grad(), warnings.catch_warnings():
        warnings.simplefilter("ignore")  # tracer warnings about branches that are the same for every input
        return openvino.convert_model(_Step(), example_input=inputs)


def _stateful(traced: Any, config: PreTrainedConfig) -> Any:
    """Return the model with named ports and with keys and values as state that starts empty."""
    import numpy as np
    from openvino import PartialShape
    from openvino import opset13 as ops
    from openvino._offline_transformations import apply_make_stateful_transformation

    heads, size = _heads(config)
    tensors = [f"{kind}.{layer}" for layer in range(config.num_hidden_layers) for kind in ("key", "value")]
    inputs = [*_INPUTS, *(f"past.{tensor}" for tensor in tensors)]
    outputs = ["logits", *(f"present.{tensor}" for tensor in tensors)]
    for port, name in zip([*traced.inputs, *traced.outputs], [*inputs, *outputs], strict=True):
        port.get_tensor().set_names({name})
    shapes = [[-1, -1], [-1, -1], [-1, -1], [-1], *([-1, heads, -1, size] for _ in tensors)]
    traced.reshape({name: PartialShape(shape) for name, shape in zip(inputs, shapes, strict=True)})
    apply_make_stateful_transformation(traced, {f"past.{tensor}": f"present.{tensor}" for tensor in tensors})
    rows = ops.gather(ops.shape_of(traced.input("input_ids")), ops.constant(np.array([0])), ops.constant(0))
    for node in traced.get_ops():
        if node.get_type_name() == "ReadValue":
            shape = ops.concat([rows, ops.constant(np.array([heads, 0, size]))], axis=0)
            node.set_arguments([ops.broadcast(ops.constant(np.float32(0)), shape)])
    traced.validate_nodes_and_infer_types()
    return traced


def _check_attention(exported: Any, config: PreTrainedConfig) -> None:
    """Convert `exported` as the pipeline does. Raises `EngineError` if a layer is not paged or its window differs."""
    from openvino._offline_transformations import paged_attention_transformation

    paged_attention_transformation(exported)
    nodes = exported.get_ordered_ops()
    paged = [node for node in nodes if node.get_type_name() == "PagedAttentionExtension"]
    left = sum(node.get_type_name() == "ScaledDotProductAttention" for node in nodes)
    found = [_constant(node.input_value(_WINDOW_INPUT).get_node()) for node in paged]
    expected = windows(config)
    if left or found != expected:
        raise EngineError(
            f"OpenVINO does not recognise this model's attention: {len(paged)} of {len(expected)} layers are "
            f"paged, {left} are not; windows {found}, expected {expected}.",
            fix=USE_TRANSFORMERS,
        )


def _constant(node: Any) -> int | None:
    """Return the constant value of a scalar node, or None if it depends on the input (a window is -1 x -window)."""
    kind = node.get_type_name()
    if kind == "Constant":
        return int(node.data.item())
    operands = {"Multiply": 2, "Convert": 1, "Squeeze": 1}.get(kind, 0)
    values = [_constant(node.input_value(place).get_node()) for place in range(operands)]
    known = [value for value in values if value is not None]
    return math.prod(known) if known and len(known) == len(values) else None
