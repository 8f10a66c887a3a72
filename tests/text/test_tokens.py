import copy
import operator
import pickle
import tracemalloc

import numpy as np
import pytest
import torch

from whylabel.text.prompts import Prompt, Rendered
from whylabel.text.tokens import Tokens


@pytest.mark.parametrize("ids", [(), (3,), (1, 70_000, 2, 1)])
def test_tokens_are_as_good_as_a_tuple(ids):
    tokens = Tokens(ids)
    assert (tokens, hash(tokens), repr(tokens)) == (ids, hash(ids), repr(ids))
    assert list(tokens) == list(ids) and len(tokens) == len(ids) and bool(tokens) == bool(ids)
    assert tokens[1:] == ids[1:] and tokens * 2 == ids * 2
    assert operator.add(tokens, (5,)) == (*ids, 5) and operator.add((5,), tokens) == (5, *ids)
    assert tokens + tokens == ids + ids
    assert (1 in tokens, tokens.count(1)) == (1 in ids, ids.count(1))
    assert pickle.loads(pickle.dumps(tokens)) == copy.deepcopy(tokens) == Tokens(tokens) == tokens
    assert np.asarray(tokens, dtype=np.int64).tolist() == list(ids)
    assert torch.tensor(tokens).tolist() == list(ids)
    assert tokens != list(ids) and len({tokens, ids}) == 1


def test_prompts_and_training_rows_hold_no_numbers_of_python():
    ids = list(range(1000, 1300))
    tracemalloc.start()
    try:
        held = (
            [Rendered(tuple(ids), tuple(ids)) for _ in range(100)],
            [Prompt(tuple(ids)) for _ in range(100)],
        )
        taken = tracemalloc.get_traced_memory()[0] / 300 / len(ids)
    finally:
        tracemalloc.stop()
    assert taken < 6, f"{taken:.1f} bytes a token"
    assert held[0][0].prompt_ids == held[1][0].ids == tuple(ids)
