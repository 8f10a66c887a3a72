"""Checks before the first training step. Each finds a fault that would make training fail silently."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import Any

from whylabel.errors import AuditError
from whylabel.text.prompts import Prompts, Rendered

_SHOWN = 5


def audit(
    examples: Sequence[Rendered],
    ids: Sequence[str],
    prompts: Prompts,
    max_length: int,
    *,
    section: str = "training",
) -> dict[str, Any]:
    """Check training examples; return counts and one decoded example with its trained tokens marked.

    Raises `AuditError`, naming the rows, if there are no rows, pad equals EOS, the loss mask is empty, a completion
    does not end in EOS, a row contains a pad token or more than one BOS, or a row is longer than `max_length` (a
    field of the recipe's `section`).
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
            raise AuditError(f"Training rows that {fault}: {_names(found)}.")
    lengths = [len(row.prompt_ids) + len(row.completion_ids) for row in examples]
    _check_lengths(zip(ids, lengths, strict=True), max_length, section)
    return {
        "rows": len(examples),
        "tokens": sum(lengths),
        "supervised_tokens": sum(len(row.completion_ids) for row in examples),
        "longest": max(lengths),
        "example": prompts.mark(examples[0]),
    }


def audit_texts(
    texts: Iterable[tuple[str, str]], count_tokens: Callable[[str], int], max_length: int
) -> None:
    """Check (row id, text) pairs before any reasoning is written.

    Raises `AuditError`, naming the rows, if a text alone has more tokens than `training.max_length`.
    """
    # A token has at least one byte, so texts with fewer bytes need not be tokenized.
    long = ((row_id, text) for row_id, text in texts if len(text.encode()) > max_length)
    _check_lengths(((row_id, count_tokens(text)) for row_id, text in long), max_length, "training")


def _check_lengths(lengths: Iterable[tuple[str, int]], max_length: int, section: str) -> None:
    long = [(row_id, length) for row_id, length in lengths if length > max_length]
    if not long:
        return
    longest = max(length for _, length in long)
    # Two examples of one text have the same id.
    ids = list(dict.fromkeys(row_id for row_id, _ in long))
    raise AuditError(
        f"Training rows longer than {section}.max_length={max_length} tokens (the longest has {longest}): "
        f"{_names(ids)}.",
        fix=(
            f"set {section}.max_length={longest}"
            + (", or trim texts with data.max_text_tokens=N" if section == "training" else "")
        ),
    )


def _count_bos(row: Rendered, prompts: Prompts) -> int:
    bos = prompts.tokenizer.bos_token_id
    # SmolLM2's chat format starts every turn with its BOS token: only a doubled BOS at the start is a fault.
    start = row.prompt_ids[:2]
    return sum(token == bos for token in start) if bos is not None else 0


def _names(ids: Sequence[str]) -> str:
    more = f" and {len(ids) - _SHOWN} more" if len(ids) > _SHOWN else ""
    return ", ".join(ids[:_SHOWN]) + more
