"""What a model computes right for several rows at once, tried out once: how long rows may be for each way.

A way that is not right for a model is not used; what takes its place is slower and right. Only the lengths are tried
out at which something may change: a window or a chunk that the settings name, and the length that is needed, as far
as this takes seconds.
"""

from __future__ import annotations

import re
import sys
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from functools import cache
from typing import TYPE_CHECKING, Any

from whylabel.errors import ModelError
from whylabel.host.machine import installed_version
from whylabel.host.runtime import first_line
from whylabel.models import probe
from whylabel.models.refusals import USE_A_DECODER

if TYPE_CHECKING:
    from transformers import PreTrainedConfig, PreTrainedModel

ANY_LENGTH = sys.maxsize
"""No limit was found."""

_WAYS: dict[str, probe.Way] = {
    "tree_masks": probe.read_tree,
    "ragged_rows": probe.read_ragged,
    "packing": probe.read_packed,
    "shared_prefix": probe.read_after_prefix,
    "left_padding": probe.read_written,
    "right_padding": probe.read_padded_right,
}
_INSTEAD = {
    "tree_masks": "each label takes its own pass",
    "ragged_rows": "rows are padded in training",
    "packing": "rows of packs are computed apart",
    "shared_prefix": "what all prompts begin with is computed for each row",
    "left_padding": "rows are written one at a time",
    "right_padding": "rows are trained one at a time",
}
_LENGTH, _BEYOND, _SMALLEST_LIMIT = 24, 16, 16
"""Tokens of the first row: of the probe below all limits, and beyond a limit; smaller limits are not looked for."""
_PASSES = 14
"""The probe of one length takes about as long as so many passes over its first row."""
_CPU_FLOPS, _GPU_FLOPS = 5e11, 1e15
"""The most floating-point operations that the probe of one length may take: a few seconds."""
_CPU_TOKENS, _GPU_TOKENS = 2048, 8192
"""The longest row that is tried out: attention and its masks grow with the square of the length."""
_LIMITS = re.compile(r"(?:window|chunk)(?!.*(?:layers|pattern))")
"""Names of settings that hold a length; `max_window_layers` and `sliding_window_pattern` are numbers of layers."""
POSITIONS = ("max_position_embeddings", "n_positions", "max_seq_len", "n_ctx")
"""The settings that say how long a row may be, or how long those were from which a model has learnt."""
_GROWING_ROPE = ("dynamic", "longrope")
"""Rotary embeddings that depend on the longest row of a batch."""
_TRAINED = "original_max_position_embeddings"
_MOST_SPARE_POSITIONS = 8


@dataclass(frozen=True, slots=True)
class Capabilities:
    """Up to how many tokens a row may have for each way of computing rows together: 0 is not at all.

    A model always computes rows one by one, so each way can be done without.
    """

    tree_masks: int = 0
    """All labels in one pass, after a prompt that is padded on the left; counted is the whole width of the tree."""
    ragged_rows: int = 0
    """Training without padding, each row with attention of its own."""
    packing: int = 0
    """Training with rows joined into one, where no row sees another."""
    shared_prefix: int = 0
    """Writing after a beginning that is computed once for all rows of a batch."""
    left_padding: int = 0
    """Writing rows of different lengths in one batch."""
    right_padding: int = 0
    """Training on rows of different lengths in one batch."""
    writes: bool = False
    """Whether a row is written as ordinary passes over it say."""
    positions: int | None = None
    """How many tokens a row may have at all, where positions are learnt or their table is fixed."""
    window: int | None = None
    """The smallest window of any layer that the settings name."""
    asked: int = 0
    """The length of the rows for which all was tried out that can be."""
    unprobed: int | None = None
    """The first limit that was not tried out: no row was longer, or it takes too long. No way reaches beyond it."""
    tried_with: dict[str, str] = field(default_factory=dict)
    """Versions, device and arithmetic."""

    def to_json(self) -> dict[str, Any]:
        """Return the record: true and false for ways without a limit and those that are not right."""
        return {name: _shown(value) for name, value in asdict(self).items()}

    def in_words(self) -> dict[str, str]:
        """Return what a person wants to know: for each way how far it reaches, and what takes its place."""
        ways = {way: _reach_in_words(getattr(self, way), instead) for way, instead in _INSTEAD.items()}
        return {
            **{way.replace("_", " "): words for way, words in ways.items()},
            "writing": "yes" if self.writes else "no: it can only be trained without reasonings",
            "positions": f"{self.positions}, no row may be longer" if self.positions else "not limited",
            "window": f"{self.window} tokens" if self.window else "none",
        }

    @classmethod
    def from_json(cls, record: Any) -> Capabilities | None:
        """Read a record; None if it is none."""
        try:
            values: dict[str, Any] = {
                name: _read(value) if name in (*_WAYS, "asked") else value for name, value in record.items()
            }
            return cls(**values)
        except (TypeError, ValueError, AttributeError):
            return None


def _reach_in_words(reach: int, instead: str) -> str:
    if reach == ANY_LENGTH:
        return "yes"
    return f"up to {reach} tokens, beyond: {instead}" if reach else f"no: {instead}"


def _shown(value: Any) -> Any:
    if isinstance(value, bool) or not isinstance(value, int):
        return value
    return {0: False, ANY_LENGTH: True}.get(value, value)


def _read(value: Any) -> int:
    return {True: ANY_LENGTH, False: 0}[value] if isinstance(value, bool) else int(value)


def try_out(model: PreTrainedModel, ids: Sequence[int], tokens: int, where: str) -> Capabilities:
    """Return what a model in evaluation mode can do with rows of up to so many tokens; `ids` are ordinary tokens.

    Raises `ModelError` if the model cannot read a row at all, or if later tokens change what follows earlier ones.
    """
    positions, limits = positions_of(model), limits_of(model.config)
    reach = dict.fromkeys(_WAYS, ANY_LENGTH)
    writes, asked = True, tokens
    unprobed = next((limit for limit in limits if limit >= tokens), None)
    for length, below in _lengths(model, limits, min(tokens, positions or tokens)):
        room = length if positions is None else min(length, positions - probe.WRITTEN)
        if not _affordable(model, room):
            asked, unprobed = ANY_LENGTH, below
            break
        trial = _probe(model, room, ids, where)
        for name, way in _WAYS.items():
            if reach[name] == ANY_LENGTH and not trial.is_right(way):
                reach[name] = below
        writes = writes and trial.is_right(probe.read_written, rows=1)
    if positions is not None and _has_mask_table(model, positions):
        # Its columns are those of a batch's joined rows, and of a whole tree.
        reach |= {"packing": 0, "ragged_rows": 0, "tree_masks": min(reach["tree_masks"], positions)}
    most = ANY_LENGTH if unprobed is None else unprobed
    ways: dict[str, Any] = {name: min(found, most) for name, found in reach.items()}
    return Capabilities(
        **ways,
        writes=writes,
        positions=positions,
        window=window_of(model.config),
        asked=asked,
        unprobed=unprobed,
        tried_with=tried_with(model),
    )


def _probe(model: PreTrainedModel, length: int, ids: Sequence[int], where: str) -> probe.Probe:
    try:
        trial = probe.Probe(model, length, ids)
        causal = trial.is_causal()
    except Exception as error:  # the model's own code
        raise ModelError(
            f"The model cannot read {length} tokens: {first_line(error)}",
            where=where,
            fix="use another model (docs/models.md)",
        ) from error
    if not causal:
        raise ModelError(
            f"A model of type {model.config.model_type!r} looks ahead: later tokens change what follows "
            "earlier ones, so it cannot learn to write (it is an encoder).",
            where=where,
            fix=USE_A_DECODER,
        )
    return trial


def _lengths(model: PreTrainedModel, limits: list[int], tokens: int) -> Iterator[tuple[int, int]]:
    """Yield the lengths to try out, each with the limit that it exceeds: up to there a way is right that fails."""
    smallest = min(limits, default=ANY_LENGTH)
    # The tree of the probe is a quarter wider than its first row.
    yield max(8, min(_LENGTH, 4 * (smallest - 2) // 5)), 0
    last = 0
    for limit in limits:
        if limit < tokens:
            last = limit + _BEYOND
            yield last, limit
    longest = max(_LENGTH, last)
    if tokens > longest and _affordable(model, tokens):
        yield tokens, longest


def _affordable(model: PreTrainedModel, length: int) -> bool:
    on_gpu = model.device.type == "cuda"
    flops, tokens = (_GPU_FLOPS, _GPU_TOKENS) if on_gpu else (_CPU_FLOPS, _CPU_TOKENS)
    return length <= _LENGTH or (
        length <= tokens and 2.0 * model.num_parameters() * _PASSES * length <= flops
    )


def limits_of(config: PreTrainedConfig) -> list[int]:
    """Return the lengths at which the settings say that something changes, in order: windows, chunks, rope."""
    settings = config.get_text_config().to_dict()
    rope = settings.get("rope_parameters") or {}
    ropes = [rope, *(part for part in rope.values() if isinstance(part, dict))]
    found = [value for name, value in settings.items() if _LIMITS.search(name)]
    for part in ropes:
        if part.get("rope_type") in _GROWING_ROPE:
            found += [
                part.get(_TRAINED),
                settings.get(_TRAINED),
                *(settings.get(name) for name in POSITIONS),
            ]
    return sorted({value for value in found if type(value) is int and value >= _SMALLEST_LIMIT})


def window_of(config: PreTrainedConfig) -> int | None:
    """Return the smallest window of any layer in tokens; None if all layers see all tokens."""
    text = config.get_text_config()
    names = (
        "sliding_window",
        "attention_chunk_size",
        "window_size",
        "attention_window_size",
        "local_attention",
    )
    sizes = (getattr(text, name, None) for name in names)
    return min((size for size in sizes if isinstance(size, int) and size), default=None)


def positions_of(model: PreTrainedModel) -> int | None:
    """Return how many tokens a row may have, where positions are learnt or their table is fixed; else None.

    A longer row would raise an `IndexError`, and on a GPU end the process.
    """
    import torch

    text = model.config.get_text_config()
    named = [size for name in POSITIONS if isinstance(size := getattr(text, name, None), int)]
    if not named:
        return None
    positions = min(named)
    if model.config.model_type == "mpt":
        return positions  # its ALiBi table ends there, too
    fits = range(positions, positions + _MOST_SPARE_POSITIONS + 1)
    words = model.get_input_embeddings()
    for part in model.modules():
        if isinstance(part, torch.nn.Embedding) and part is not words and part.num_embeddings in fits:
            # RoBERTa's positions begin after that of the padding.
            taken = 0 if part.padding_idx is None else part.padding_idx + 1
            return min(positions, part.num_embeddings - taken)
    tables = (*model.named_buffers(), *model.named_parameters())
    # Some grow when they are read beyond their end.
    if any("pos" in name and values.shape[0] >= positions for name, values in tables if values.ndim == 2):
        return positions
    return None


def _has_mask_table(model: PreTrainedModel, positions: int) -> bool:
    """Return whether attention takes its causal mask from a table, as GPT-Neo's does."""
    return any(values.shape[-2:] == (positions, positions) for _, values in model.named_buffers())


def check_positions(positions: int | None, lengths: Mapping[str, int], where: str) -> None:
    """Raise `ModelError` if a setting lets rows be longer than the model's positions; `lengths` are by setting."""
    if positions is None:
        return
    beyond = {setting: length for setting, length in lengths.items() if length > positions}
    if beyond:
        named = ", ".join(f"{setting}={length}" for setting, length in beyond.items())
        raise ModelError(
            f"The model has {positions} positions, and rows may be longer: {named}.",
            where=where,
            fix="set "
            + " ".join(f"{setting}={positions}" for setting in beyond)
            + "; longer texts are trimmed with data.max_text_tokens=N",
        )


@cache
def _versions() -> dict[str, str]:
    return {name: str(installed_version(name)) for name in ("torch", "transformers")}


def tried_with(model: PreTrainedModel) -> dict[str, str]:
    """Return what else decides what a model can do: versions, device, arithmetic."""
    return {
        **_versions(),
        "device": model.device.type,
        "dtype": str(model.dtype).removeprefix("torch."),
    }
