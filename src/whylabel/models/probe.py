"""Try out which ways of computing several rows at once are right for a model: each row by itself is the reference.

A way gets rows of token ids, and returns for each row the tokens that it read and the log-probabilities of the tokens
that may follow its last positions, shape (positions, vocabulary).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

from whylabel.models.attention import ragged_attention

if TYPE_CHECKING:
    import torch
    from transformers import PreTrainedModel

Row = list[int]
Read = list[tuple[Row, Any]]
"""For each row its tokens and its log-probabilities."""
Way = Callable[["PreTrainedModel", Sequence[Row]], Read]

WRITTEN = 2
"""How many tokens are written after a row, and how many of its last positions are compared."""
# Of the difference that other visible tokens make: what may be left where a token must not be seen, and, in 16 bits,
# where the same is summed in another order.
_LEAK, _OTHER_ORDER = 1e-3, 0.25
_ROUNDING = 64.0
"""Rounding errors of a whole pass, in units of the last place of the largest logit."""
_ROUNDING_ALONE = 1e-5
"""The same between equal rows of a batch, whose sums are taken in the same order."""
_SAME_ORDER = 2e-7
"""Rounding errors where the same is summed in the same order, as a share of the largest log-probability."""
_ORDER_IN_16_BITS = 0.5
_PADS = 2


def read_alone(model: PreTrainedModel, row: Row) -> torch.Tensor:
    """Return what follows a row, from an ordinary pass over it alone."""
    import torch

    with torch.inference_mode():
        inputs = torch.tensor([row], device=model.device)
        return _logs(model(input_ids=inputs, use_cache=False).logits[0, -WRITTEN:])


def read_padded_right(model: PreTrainedModel, rows: Sequence[Row]) -> Read:
    """Return what follows each row, with the tokens of the longest row as padding: training without a mask."""
    import torch

    longest = max(rows, key=len)
    inputs = [[*row, *longest[len(row) :]] for row in rows]
    with torch.inference_mode():
        logits = model(input_ids=torch.tensor(inputs, device=model.device), use_cache=False).logits
    return [
        (row, _logs(scores[len(row) - WRITTEN : len(row)])) for row, scores in zip(rows, logits, strict=True)
    ]


def read_packed(model: PreTrainedModel, rows: Sequence[Row]) -> Read:
    """Return what follows each row, all joined in a single one; positions begin again at 0."""
    return _read_joined(model, rows)


def read_ragged(model: PreTrainedModel, rows: Sequence[Row]) -> Read:
    """Return the same with our own attention, which computes each row by itself."""
    with ragged_attention(model):
        return _read_joined(model, rows, example_groups=tuple((1, len(row)) for row in rows))


def _read_joined(model: PreTrainedModel, rows: Sequence[Row], **more: Any) -> Read:
    import torch

    inputs = torch.tensor([[token for row in rows for token in row]], device=model.device)
    positions = torch.tensor([[place for row in rows for place in range(len(row))]], device=model.device)
    with torch.inference_mode():
        logits = model(input_ids=inputs, position_ids=positions, use_cache=False, **more).logits[0]
    parts = logits.split([len(row) for row in rows])
    return [(row, _logs(part[-WRITTEN:])) for row, part in zip(rows, parts, strict=True)]


def read_tree(model: PreTrainedModel, rows: Sequence[Row]) -> Read:
    """Return what follows each row, in one pass over a tree: what all rows begin with, then a branch for each."""
    import torch

    shared = shared_length(rows)
    branches = [row[shared:] for row in rows]
    nodes = sum(map(len, branches))
    width = _PADS + shared + nodes
    allowed = torch.zeros(width, width, dtype=torch.bool)
    allowed[_PADS : _PADS + shared, _PADS : _PADS + shared] = True
    start = _PADS + shared
    for branch in branches:
        allowed[start : start + len(branch), _PADS : _PADS + shared] = True
        allowed[start : start + len(branch), start : start + len(branch)] = True
        start += len(branch)
    allowed = allowed.tril() | torch.eye(width, dtype=torch.bool)
    mask = torch.zeros(1, 1, width, width, dtype=model.dtype)
    mask.masked_fill_(~allowed, torch.finfo(model.dtype).min)
    depths = [shared + depth for branch in branches for depth in range(len(branch))]
    inputs = [*rows[0][:1] * _PADS, *rows[0][:shared], *(token for branch in branches for token in branch)]
    with torch.inference_mode():
        logits = model(
            input_ids=torch.tensor([inputs], device=model.device),
            position_ids=torch.tensor([[*[0] * _PADS, *range(shared), *depths]], device=model.device),
            attention_mask=mask.to(model.device),
            use_cache=False,
            logits_to_keep=nodes,
        ).logits[0, -nodes:]
    parts = logits.split([len(branch) for branch in branches])
    return [(row, _logs(part[-WRITTEN:])) for row, part in zip(rows, parts, strict=True)]


def read_written(model: PreTrainedModel, rows: Sequence[Row]) -> Read:
    """Return what follows each row and the token that the model writes after it; rows are padded on the left."""
    return _written(model, rows, 0)


def read_after_prefix(model: PreTrainedModel, rows: Sequence[Row]) -> Read:
    """Return the same where what all rows begin with is computed once, before the padding."""
    return _written(model, rows, shared_length(rows))


def _written(model: PreTrainedModel, rows: Sequence[Row], shared: int) -> Read:
    import torch
    from transformers import GenerationConfig

    longest = max(map(len, rows))
    inputs = torch.full((len(rows), longest), rows[0][0])
    mask = torch.zeros_like(inputs)
    for place, row in enumerate(rows):
        for part, at in ((row[:shared], 0), (row[shared:], longest - len(row) + shared)):
            inputs[place, at : at + len(part)] = torch.tensor(part, dtype=inputs.dtype)
            mask[place, at : at + len(part)] = 1
    settings = GenerationConfig(
        max_new_tokens=WRITTEN,
        do_sample=False,
        pad_token_id=0,
        output_logits=True,
        return_dict_in_generate=True,
    )
    own = model.generation_config
    # Whatever is not set here would be taken from the model's own settings.
    model.generation_config = GenerationConfig()
    try:
        with torch.inference_mode():
            cache = {}
            if shared:
                prefix = torch.tensor([rows[0][:shared]], device=model.device)
                cache["past_key_values"] = model(
                    input_ids=prefix, use_cache=True, logits_to_keep=1
                ).past_key_values
                cache["past_key_values"].batch_repeat_interleave(len(rows))
            found = model.generate(
                input_ids=inputs.to(model.device),
                attention_mask=mask.to(model.device),
                generation_config=settings,
                **cache,
            )
    finally:
        model.generation_config = own
    logits = torch.stack(found.logits, dim=1)
    written = found.sequences[:, longest : longest + WRITTEN - 1].tolist()
    return [([*row, *new], _logs(scores)) for row, new, scores in zip(rows, written, logits, strict=True)]


class Probe:
    """Two rows that begin alike, by which ways are tried out; other tokens in the first must not change the second.

    `length` is that of the first row; the second has half of it, and a quarter is the beginning of both. All end in
    the same token: otherwise what follows would differ by it alone, however little a model looks back.
    """

    def __init__(self, model: PreTrainedModel, length: int, tokens: Sequence[int]) -> None:
        import random

        self._model = model
        self._in_16_bits = str(model.dtype) in ("torch.bfloat16", "torch.float16")
        self._alone: dict[tuple[int, ...], Any] = {}
        drawn = random.Random(0)
        begin, end = drawn.choices(tokens, k=max(1, length // 4)), drawn.choices(tokens, k=1)
        first, other, second = (
            [*begin, *drawn.choices(tokens, k=whole - len(begin) - len(end)), *end]
            for whole in (length, length, length // 2)
        )
        self._rows, self._others = [first, second], [other, second]
        # Small random weights hardly look at other tokens, so a leak is as small: all is compared with this.
        self._visible = _difference(self._reference(first)[-1:], self._reference(other)[-1:])

    def is_right(self, way: Way, *, rows: int = 2) -> bool:
        """Return whether a way gives the first so many rows what each gets alone. A way that raises is not right."""
        import torch

        try:
            found = way(self._model, self._rows[:rows])
        except Exception:  # a model may raise anything for inputs that it does not expect
            return False
        references = [self._reference(row) for row, _ in found]
        largest = max(float(logs.abs().max()) for logs in references)
        rounding = _ROUNDING * torch.finfo(torch.float32).eps * max(1.0, largest)
        leak = _LEAK * self._visible + rounding
        order = max(_ORDER_IN_16_BITS, _OTHER_ORDER * self._visible) if self._in_16_bits else leak
        if max(map(_difference, (logs for _, logs in found), references)) > order:
            return False
        # A leak may be smaller than what another order of summation changes: in 16 bits, and with small weights.
        is_drowned = self._in_16_bits or _LEAK * self._visible < rounding
        same_order = _LEAK * self._visible + _SAME_ORDER * max(1.0, largest)
        return rows == 1 or not is_drowned or self._leaks(way, found) <= same_order

    def is_causal(self) -> bool:
        """Return whether later tokens leave what follows earlier ones as it is."""
        import torch

        first, other = self._rows[0], self._others[0]
        begin = shared_length([first, other])
        with torch.inference_mode():
            inputs = torch.tensor([first, other], device=self._model.device)
            logits = _logs(self._model(input_ids=inputs, use_cache=False).logits[:, :begin])
        share = _OTHER_ORDER if self._in_16_bits else _LEAK
        return _difference(logits[0], logits[1]) <= share * self._visible + _ROUNDING_ALONE

    def _leaks(self, way: Way, found: Read) -> float:
        again = way(self._model, self._others)
        return _difference(found[-1][1][:1], again[-1][1][:1])

    def _reference(self, row: Row) -> Any:
        key = tuple(row)
        if key not in self._alone:
            self._alone[key] = read_alone(self._model, row)
        return self._alone[key]


def shared_length(rows: Sequence[Row]) -> int:
    """Return how many leading tokens all rows share, at most all but one."""
    shortest = min(map(len, rows)) - 1
    first = rows[0]
    return next((at for at in range(shortest) if any(row[at] != first[at] for row in rows)), shortest)


def _difference(one: torch.Tensor, other: torch.Tensor) -> float:
    """Return the largest difference; a NaN counts as infinite."""
    found = float((one - other).abs().max())
    return found if found == found else float("inf")


def _logs(logits: torch.Tensor) -> torch.Tensor:
    return logits.float().log_softmax(dim=-1).cpu()
