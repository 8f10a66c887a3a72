"""The language of a text, where it can be detected with confidence."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable
from typing import Any

from whylabel.text.words import count_words

# Below these a language is a guess: a short text has too few letters, and close languages share most of theirs.
_LEAST_WORDS = 5
_CONFIDENCE = 0.9
_NO_LANGUAGE = ("und", "zxx")
_LEAST_TEXTS = 10
_LEAST_SHARE = 0.1


def language_detector() -> Callable[[str], str | None]:
    """Return a function from a text to its language (ISO 639-1); None if it is short, or not certain."""
    # 0.6 seconds to load, 15 MB in memory: only for those who want it.
    from py3langid.langid import MODEL_FILE, LanguageIdentifier

    model: Any = LanguageIdentifier.from_model_file(MODEL_FILE, norm_probs=True, min_confidence=_CONFIDENCE)

    def detected(text: str) -> str | None:
        if count_words(text) < _LEAST_WORDS:
            return None
        code = str(model.classify(text)[0])
        return None if code in _NO_LANGUAGE else code

    return detected


def main_languages(texts: Iterable[str]) -> list[str]:
    """Return the languages of a tenth of the texts or more, the most frequent first.

    Texts whose language is not certain do not count. With fewer than ten others, no language is named.
    """
    detected = language_detector()
    counts = Counter(filter(None, map(detected, texts)))
    total = counts.total()
    if total < _LEAST_TEXTS:
        return []
    return [code for code, number in counts.most_common() if number / total >= _LEAST_SHARE]
