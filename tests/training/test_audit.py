import pytest

from whylabel.errors import AuditError
from whylabel.models.load import load, prepare_for_training
from whylabel.text.prompts import Prompts, Rendered
from whylabel.training.audit import audit


@pytest.fixture
def prompts(tiny_model_folder) -> Prompts:
    loaded = load(str(tiny_model_folder), device="cpu")
    prepare_for_training(loaded)
    return Prompts(loaded.tokenizer)


def test_a_sound_row_passes_and_is_shown_with_its_trained_tokens(prompts):
    found = audit([prompts.classifier_example("hello", "joy", "so it is")], ["1"], prompts, 100)
    assert found["example"].endswith("⟦ so it is<|label|> joy<|im_end|>⟧")
    assert found["supervised_tokens"] < found["tokens"] == found["longest"]


def test_each_silent_failure_stops_the_training(prompts):
    good = prompts.classifier_example("hello", "joy", None)
    bos = prompts.tokenizer.bos_token_id
    bad = {
        "no trained token": Rendered(good.prompt_ids, ()),
        "do not end in a trained EOS": Rendered(good.prompt_ids, good.completion_ids[:-1]),
        "hold a pad token": Rendered((prompts.tokenizer.pad_token_id, *good.prompt_ids), good.completion_ids),
        "more than one BOS": Rendered((bos, bos, *good.prompt_ids), good.completion_ids),
    }
    for message, row in bad.items():
        with pytest.raises(AuditError, match=f"{message}: second"):
            audit([good, row], ["first", "second"], prompts, 100)


def test_a_row_that_would_be_cut_is_an_error_that_names_the_cure(prompts):
    long = prompts.classifier_example("word " * 50, "joy", None)
    with pytest.raises(AuditError, match=r"row-7") as raised:
        audit([long], ["row-7"], prompts, 20)
    assert "max_text_tokens" in str(raised.value)


def test_pad_equal_to_eos_and_no_rows_are_refused(prompts):
    good = prompts.classifier_example("hello", "joy", None)
    with pytest.raises(AuditError, match="no rows"):
        audit([], [], prompts, 100)
    prompts.tokenizer.pad_token = prompts.tokenizer.eos_token
    with pytest.raises(AuditError, match="never learn to stop"):
        audit([good], ["1"], prompts, 100)


def test_the_advice_names_the_section_that_holds_the_setting(prompts):
    long = prompts.reasoner_example("word " * 50, "joy", "so it is")
    with pytest.raises(AuditError, match=r"reasoner\.training\.max_length=20") as raised:
        audit([long], ["row-7"], prompts, 20, section="reasoner.training")
    assert "max_text_tokens" not in str(raised.value)
