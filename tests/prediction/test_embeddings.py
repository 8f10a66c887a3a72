import numpy as np
import pytest
import torch

from whylabel.models.load import load
from whylabel.prediction.embeddings import embed


@pytest.fixture(scope="module")
def loaded(tiny_model_folder):
    return load(str(tiny_model_folder), device="cpu", dtype="float32")


def test_a_text_is_the_mean_of_its_last_states_whatever_stands_beside_it(loaded):
    prompts = [[5, 6, 7, 8, 9, 10], [11], [12, 13, 14], [5, 6, 7]]
    counted = []
    found = embed(loaded, prompts, counted.append)
    assert found.shape == (4, 32) and sum(counted) == 4
    for vector, prompt in zip(found, prompts, strict=True):
        with torch.no_grad():
            states = loaded.model(torch.tensor([prompt]), output_hidden_states=True).hidden_states[-1]
        np.testing.assert_allclose(vector, states[0].mean(dim=0).numpy(), atol=1e-5)


def test_batches_stay_small(loaded, monkeypatch):
    monkeypatch.setattr("whylabel.prediction.embeddings._CPU_TOKENS_PER_BATCH", 8)
    counted = []
    prompts = [list(range(3, 3 + length)) for length in (1, 9, 4, 4, 2)]
    found = embed(loaded, prompts, counted.append)
    assert counted == [1, 2, 2]
    np.testing.assert_allclose(found[2], embed(loaded, [prompts[2]])[0], atol=1e-5)
