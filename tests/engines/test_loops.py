"""Rows that repeat themselves without end, by their tokens alone."""

import pytest
import torch

from whylabel.engines.loops import is_in_loop, loop_end, rows_in_loop

WORDS = list(range(100, 140))


@pytest.mark.parametrize(
    ("ids", "end"),
    [
        (WORDS, None),
        ([7] * 11, None),
        ([7] * 12, 12),
        ([*WORDS, *[7] * 30], 52),
        ([1, 2] * 6, 12),
        ([1, 2, 3, 4, 5] * 3, 15),
        ([*WORDS, *[1, 2, 3, 4, 5] * 3, *WORDS], 55),
        ([1, 2, 3, 4, 5] * 2 + [1, 2, 3, 4], None),
        (list(range(16)) * 3, 48),
        (list(range(17)) * 4, None),  # a run of 17 tokens is longer than any that counts
    ],
)
def test_a_row_is_in_a_loop_when_one_run_of_tokens_stands_there_three_times(ids, end):
    assert loop_end(ids) == end
    assert any(is_in_loop(ids[:length]) for length in range(len(ids) + 1)) is (end is not None)
    at = {
        int(length)
        for length in range(1, len(ids) + 1)
        if bool(rows_in_loop(torch.tensor([ids[:length]]))[0])
    }
    assert at == {length for length in range(1, len(ids) + 1) if is_in_loop(ids[:length])}


def test_each_row_of_a_batch_is_judged_by_itself():
    rows = torch.tensor([WORDS[:12], [7] * 12, [1, 2] * 6])
    assert rows_in_loop(rows).tolist() == [False, True, True]
    assert rows_in_loop(rows[:, :5]).tolist() == [False] * 3
