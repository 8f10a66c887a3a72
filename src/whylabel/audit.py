"""What is checked before a single step is trained; each check stands for a way in which training fails silently."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from whylabel.errors import AuditError
from whylabel.prompts import Prompts, Rendered

_SHOWN = 5


def audit(
    examples: Sequence[Rendered],
    ids: Sequence[str],
    prompts: Prompts,
    max_length: int,
    *,
    section: str = "training",
) -> dict[str, Any]:
    """Check training examples and return figures and one decoded example with its trained tokens marked.

    Raises `AuditError`, naming the rows, on: no rows, pad equal to EOS, an empty loss mask, a completion that
    does not end in EOS, a pad inside a row, more than one BOS, a row longer than `max_length` (a field of the
    recipe's `section`).
    """
    tokenizer = prompts.tokenizer
    if not examples:
        raise AuditError(
            "There is nothing to train on: no rows are left.", fix="look at augment/dropped.parquet"
        )
    if tokenizer.pad_token_id is None or tokenizer.pad_token_id == prompts.eos_id:
        raise AuditError("The pad token is the EOS token: the model would never learn to stop.")
    faults: dict[str, Callable[[Rendered], bool]] = {
        "have no trained token": lambda row: not row.completion_ids,
        "do not end in a trained EOS": lambda row: row.completion_ids[-1] != prompts.eos_id,
        "hold a pad token": lambda row: tokenizer.pad_token_id in (*row.prompt_ids, *row.completion_ids),
        "hold more than one BOS": lambda row: _count_bos(row, prompts) > 1,
    }
    for fault, is_faulty in faults.items():
        found = [row_id for row_id, row in zip(ids, examples, strict=True) if is_faulty(row)]
        if found:
            raise AuditError(f"{len(found)} training rows {fault}: {_names(found)}.")
    lengths = [len(row.prompt_ids) + len(row.completion_ids) for row in examples]
    long = [row_id for row_id, length in zip(ids, lengths, strict=True) if length > max_length]
    if long:
        raise AuditError(
            f"{len(long)} training rows are longer than {section}.max_length={max_length} tokens "
            f"(the longest has {max(lengths)}): {_names(long)}.",
            fix=(
                f"set {section}.max_length={max(lengths)}"
                + (", or trim texts with data.max_text_tokens=N" if section == "training" else "")
            ),
        )
    return {
        "rows": len(examples),
        "tokens": sum(lengths),
        "supervised_tokens": sum(len(row.completion_ids) for row in examples),
        "longest": max(lengths),
        "example": prompts.mark(examples[0]),
    }


def _count_bos(row: Rendered, prompts: Prompts) -> int:
    bos = prompts.tokenizer.bos_token_id
    # SmolLM2's chat format opens every turn with its BOS token: only doubled starts are a fault.
    start = row.prompt_ids[:2]
    return sum(token == bos for token in start) if bos is not None else 0


def _names(ids: Sequence[str]) -> str:
    more = f" and {len(ids) - _SHOWN} more" if len(ids) > _SHOWN else ""
    return ", ".join(ids[:_SHOWN]) + more
