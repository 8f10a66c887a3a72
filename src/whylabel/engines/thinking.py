"""Takes the thinking of a reasoning model out of its answer: what it thinks aloud is no reasoning to train on."""

from __future__ import annotations

import re

_NAMES = r"(?:seed:|ant)?(?:think|thinking|thoughts?|reasoning|reflection|analysis|scratchpad)"
_OPEN = (
    rf"<{_NAMES}(?:\s[^<>]*)?>",  # DeepSeek, Qwen, most others
    rf"<\|(?:{_NAMES}|start_thinking|begin_of_thought)\|>",  # Cohere, OpenThinker
    r"\[think\]",  # Mistral
    r"◁think▷",  # Kimi
    r"<\|?channel\|?>(?:analysis|commentary|thought)\b[^<]*(?:<\|message\|>)?",  # gpt-oss, Gemma
    r"\Aanalysis(?=(?-i:[A-Z]))",  # gpt-oss where a server has left out the special tokens
)
_CLOSE = (
    rf"</{_NAMES}\s*>",
    rf"<\|/{_NAMES}\|>|<\|(?:end_thinking|end_of_thought)\|>",
    r"\[/think\]",
    r"◁/think▷",
    r"<\|?channel\|?>final\b[^<]*(?:<\|message\|>)?|<channel\|>",
    r"assistantfinal",
)
_TAG = re.compile(f"(?P<open>{'|'.join(_OPEN)})|(?P<close>{'|'.join(_CLOSE)})", re.IGNORECASE)
# What some models put around the answer that follows.
_FRAME = re.compile(
    r"</?answer>|<\|(?:begin|end)_of_solution\|>|<\|(?:start|end)_response\|>|<\|(?:end|return)\|>",
    re.IGNORECASE,
)


def without_thinking(text: str) -> tuple[str, bool]:
    """Return the answer without its thinking, and whether the thinking has no end.

    A closing tag alone ends a thinking that began in the prompt, so everything before it is taken off.
    """
    kept: list[str] = []
    start, is_open = 0, False
    for tag in _TAG.finditer(text):
        if tag["close"]:
            if not is_open:
                kept.clear()
            is_open = False
        elif not is_open:
            kept.append(text[start : tag.start()])
            is_open = True
        start = tag.end()
    if start == 0:
        return text.strip(), False
    if not is_open:
        kept.append(text[start:])
    return _FRAME.sub("", "".join(kept)).strip(), is_open
