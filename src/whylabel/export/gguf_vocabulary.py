"""A model's tokenizer in the terms of GGUF: pieces, their kinds, merges or scores, and the name of its splitting."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from whylabel.errors import ModelError
from whylabel.text.prompts import LABEL_MARKER, Prompts

if TYPE_CHECKING:
    from gguf import GGUFWriter

MARKER_TEXT = "\nLabel:"
"""What the label marker is there: an ordinary piece, so that it is seen and does not end a text."""

# The expressions by which tokenizers split a text into words, as llama.cpp names them.
_LETTERS = r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|"
_OTHERS = r"| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+"
_SPLITTERS = {
    _LETTERS + r"\p{N}{1,3}" + _OTHERS: "llama-bpe",
    _LETTERS + r"\p{N}" + _OTHERS: "qwen2",
}
_BLANK = "▁"


def write_vocabulary(writer: GGUFWriter, prompts: Prompts, size: int) -> None:
    """Write the tokenizer of a model with `size` embeddings.

    Raises `ModelError` if it is of a kind that GGUF has no name for.
    """
    tokenizer = prompts.tokenizer
    backend = json.loads(tokenizer.backend_tokenizer.to_str())
    byte_level = _parts(backend.get("pre_tokenizer"), "ByteLevel")
    if backend["model"]["type"] != "BPE" or not (byte_level or backend["model"].get("byte_fallback")):
        raise ModelError(
            f"GGUF has no form for this tokenizer ({backend['model']['type']}).", fix="choose another format"
        )
    pieces, kinds = _pieces(prompts, size, bool(byte_level))
    merges = [" ".join(pair) if isinstance(pair, list) else pair for pair in backend["model"]["merges"]]
    if byte_level:
        writer.add_tokenizer_model("gpt2")
        writer.add_tokenizer_pre(_splitter(backend["pre_tokenizer"]))
        writer.add_token_merges(merges)
    else:
        writer.add_tokenizer_model("llama")
        writer.add_token_scores(_scores(pieces, merges))
        writer.add_add_space_prefix(tokenizer.backend_tokenizer.normalizer.normalize_str("a") != "a")
    writer.add_token_list(pieces)
    writer.add_token_types(kinds)
    writer.add_add_bos_token(prompts.adds_bos)
    writer.add_eos_token_id(prompts.eos_id)
    for token, add in (
        (tokenizer.bos_token_id, writer.add_bos_token_id),
        (tokenizer.pad_token_id, writer.add_pad_token_id),
        (tokenizer.unk_token_id, writer.add_unk_token_id),
    ):
        if token is not None:
            add(token)
    if tokenizer.chat_template:
        writer.add_chat_template(tokenizer.get_chat_template())


def _pieces(prompts: Prompts, size: int, byte_level: bool) -> tuple[list[str], list[int]]:
    """Return the text and the kind of each token; embeddings that no token has are unused."""
    from gguf import TokenType

    tokenizer = prompts.tokenizer
    pieces = [f"[unused {number}]" for number in range(size)]
    kinds = [TokenType.UNUSED] * size
    for text, number in tokenizer.get_vocab().items():
        pieces[number] = text
        is_byte = not byte_level and len(text) == 6 and text.startswith("<0x")
        kinds[number] = TokenType.BYTE if is_byte else TokenType.NORMAL
    for number, token in tokenizer.added_tokens_decoder.items():
        kinds[number] = TokenType.CONTROL if token.special else TokenType.USER_DEFINED
    if not byte_level and tokenizer.unk_token_id is not None:
        kinds[tokenizer.unk_token_id] = TokenType.UNKNOWN
    if prompts.marker_id is not None:
        text = _byte_level(MARKER_TEXT) if byte_level else MARKER_TEXT.replace(" ", _BLANK)
        if text in pieces:
            raise ModelError(
                f"This vocabulary has {MARKER_TEXT!r} already, which is to stand for {LABEL_MARKER} there.",
                fix="choose another format",
            )
        pieces[prompts.marker_id], kinds[prompts.marker_id] = text, TokenType.NORMAL
    return pieces, [int(kind) for kind in kinds]


def _byte_level(text: str) -> str:
    """Return ASCII text in the alphabet of byte-level vocabularies: blanks and controls are moved up by 256."""
    return "".join(chr(ord(one) + 256) if ord(one) <= 32 else one for one in text)


def _scores(pieces: list[str], merges: list[str]) -> list[float]:
    """Return the score of each piece: the earlier it is merged, the higher, as SentencePiece has it."""
    first: dict[str, int] = {}
    for rank, merge in enumerate(merges):
        first.setdefault(merge.replace(" ", ""), rank)
    return [-float(first.get(piece, len(merges))) for piece in pieces]


def _parts(part: Any, kind: str) -> list[Any]:
    """Return the parts of a kind in a pre-tokenizer."""
    if not part:
        return []
    each = part["pretokenizers"] if part["type"] == "Sequence" else [part]
    return [one for one in each if one["type"] == kind]


def _splitter(pre_tokenizer: Any) -> str:
    """Return llama.cpp's name for how a byte-level tokenizer splits a text. Raises `ModelError` if it has none."""
    splits = _parts(pre_tokenizer, "Split")
    own_rule = _parts(pre_tokenizer, "ByteLevel")[0].get("use_regex", True)
    if not splits and own_rule:
        digits = _parts(pre_tokenizer, "Digits")
        return "smollm" if any(part.get("individual_digits") for part in digits) else "gpt-2"
    expressions = [str(split["pattern"].get("Regex")) for split in splits]
    if len(expressions) == 1 and expressions[0] in _SPLITTERS and not own_rule:
        return _SPLITTERS[expressions[0]]
    raise ModelError(
        "llama.cpp has no name for how this tokenizer splits a text into words.", fix="choose another format"
    )
