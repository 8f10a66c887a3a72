import pytest
import torch

from whylabel.errors import ModelError
from whylabel.models.check import check_model
from whylabel.models.encoder import load_encoder


def test_texts_are_cut_where_the_positions_end(bert):
    loaded = load_encoder(str(bert), device="cpu")
    short, long = loaded.token_ids(["some words", "many words " * 200])
    assert len(short) < 10 and len(long) == 64
    with torch.no_grad():
        assert loaded.model(torch.tensor([long])).last_hidden_state.shape == (1, 64, 32)


def test_only_as_a_rival_an_encoder_is_welcome(bert, tmp_path):
    check_model(str(bert), "evaluation.encoder", encoder=True)
    with pytest.raises(ModelError, match="is an encoder"):
        check_model(str(bert), "base_model")
    with pytest.raises(ModelError, match="There is no model"):
        check_model(str(tmp_path / "none"), "evaluation.encoder", encoder=True)
    (tmp_path / "empty").mkdir()
    (tmp_path / "empty" / "config.json").write_text('{"model_type": "bert"}')
    with pytest.raises(ModelError, match="no weights"):
        check_model(str(tmp_path / "empty"), "evaluation.encoder", encoder=True)
    with pytest.raises(ModelError):
        load_encoder(str(tmp_path / "empty"), device="cpu")
