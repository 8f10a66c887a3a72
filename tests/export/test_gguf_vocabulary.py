"""How tokenizers split texts is recognised, or refused by name."""

import json

import pytest
from tokenizers import Regex, Tokenizer, models, pre_tokenizers

from whylabel.errors import ModelError
from whylabel.export.gguf_vocabulary import _LETTERS, _OTHERS, _scores, _splitter


def described(*parts):
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence(list(parts)) if len(parts) > 1 else parts[0]
    return json.loads(tokenizer.to_str())["pre_tokenizer"]


def split(expression):
    return pre_tokenizers.Split(Regex(expression), "isolated"), pre_tokenizers.ByteLevel(use_regex=False)


def test_splitters_are_recognised():
    assert _splitter(described(pre_tokenizers.ByteLevel())) == "gpt-2"
    digits = pre_tokenizers.Digits(individual_digits=True)
    assert _splitter(described(digits, pre_tokenizers.ByteLevel())) == "smollm"
    assert _splitter(described(*split(_LETTERS + r"\p{N}{1,3}" + _OTHERS))) == "llama-bpe"
    assert _splitter(described(*split(_LETTERS + r"\p{N}" + _OTHERS))) == "qwen2"


def test_another_splitter_is_refused():
    with pytest.raises(ModelError, match="how this tokenizer splits"):
        _splitter(described(*split(r"\s+")))


def test_an_earlier_merge_has_a_higher_score():
    # "abc" is reached by two merges; the earlier one counts, and single characters come last.
    found = dict(zip(["a", "ab", "abc"], _scores(["a", "ab", "abc"], ["a b", "ab c", "a bc"]), strict=True))
    assert found == {"a": -3.0, "ab": 0.0, "abc": -1.0}
