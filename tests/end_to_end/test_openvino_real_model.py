"""The OpenVINO engine on the real SmolLM2-135M, beside the transformers engine: the same tokens, or near ties."""

import pytest

from whylabel.data.builtin import read_builtin
from whylabel.engines import Sampling
from whylabel.engines.openvino import OpenVinoEngine
from whylabel.engines.openvino_pipeline import Row
from whylabel.engines.transformers import TransformersEngine
from whylabel.models.load import load
from whylabel.text.prompts import Prompts

ROWS = 64
# A tie in the logits, of about 30 from the least to the best.
TIE = 0.02


@pytest.mark.slow
@pytest.mark.end_to_end
def test_greedy_outputs_are_those_of_transformers_but_for_near_ties():
    loaded = load("smollm2-135m-instruct", device="cpu")
    prompts = Prompts(loaded.tokenizer, "chat")
    columns = read_builtin("builtin:emotions")["train"].columns
    labels = dict(zip(columns["text"], columns["label"], strict=True))
    asked = [prompts.reasoner_for_text(str(text), str(label)) for text, label in labels.items()][:ROWS]
    assert len({prompt.ids for prompt in asked}) == ROWS
    # A stop token that does not come, so that all 48 tokens of every row are compared.
    sampling = Sampling(48, (int(loaded.tokenizer.convert_tokens_to_ids("<|endoftext|>")),))

    expected = TransformersEngine(loaded)._call(list(range(ROWS)), [prompt.ids for prompt in asked], sampling)
    engine = OpenVinoEngine(loaded, precision="float32")
    assert engine._pipeline is not None
    rows = sorted(engine._pipeline.run([prompt.ids for prompt in asked], sampling), key=lambda row: row.index)
    assert sum(len(row.generated) for row in rows) == ROWS * 48
    different = [row for row in rows if list(row.generated) != expected[row.index]]
    assert len(different) <= 2
    for row in different:
        assert gap_at_first_difference(loaded, row, expected[row.index]) < TIE


def gap_at_first_difference(loaded, row: Row, expected: list[int]) -> float:
    import torch

    place = next(i for i, (a, b) in enumerate(zip(row.generated, expected, strict=True)) if a != b)
    with torch.inference_mode():
        ids = torch.tensor([[*row.prompt, *expected[:place]]])
        logits = loaded.model(input_ids=ids).logits[0, -1]
    return abs(float(logits[expected[place]] - logits[row.generated[place]]))
