"""Why a reasoning is dropped: one function a reason. Rows in = kept + dropped.

A filter takes a `ReasonedExample` and returns the reason to drop it, or None. Outsiders add theirs as an entry
point in the group `whylabel.filters`: a callable that takes a `FilterConfig` and returns a filter. It is called once
for a data set, so a filter may remember the rows that it has seen; they come in their order.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable, Iterable
from importlib.metadata import entry_points

from whylabel.errors import RecipeError, unknown_name
from whylabel.reasonings.conclusion import conclusion
from whylabel.reasonings.leak import leaks
from whylabel.reasonings.near_duplicates import NearDuplicates
from whylabel.recipe import FilterConfig
from whylabel.text.language import language_detector
from whylabel.text.quotes import find, quotations
from whylabel.text.words import count_words, tokens, tokens_a_word
from whylabel.types import Dropped, FilterResult, ReasonedExample

Filter = Callable[[ReasonedExample], str | None]
Factory = Callable[[FilterConfig], Filter]

_REPEATED_WORDS = 4


def check_filters(config: FilterConfig) -> None:
    """Raise `RecipeError` if the recipe names an unknown filter: before anything is computed."""
    for name in config.names:
        _factory(name)


def apply_filters(rows: Iterable[ReasonedExample], config: FilterConfig) -> FilterResult:
    """Return the rows that every filter lets pass, and the others with the first reason against them.

    Raises `RecipeError` if the recipe names an unknown filter.
    """
    refuse = refusal(config)
    kept: list[ReasonedExample] = []
    dropped: list[Dropped] = []
    for row in rows:
        reason = refuse(row)
        if reason is None:
            kept.append(row)
        else:
            dropped.append(Dropped(row, reason))
    return FilterResult(tuple(kept), tuple(dropped))


def refusal(config: FilterConfig) -> Filter:
    """Return all filters of the recipe as one: the first reason against a row, or None.

    Raises `RecipeError` if the recipe names an unknown filter.
    """
    filters = [_factory(name)(config) for name in config.names]
    return lambda row: next((found for check in filters if (found := check(row)) is not None), None)


def _factory(name: str) -> Factory:
    if name in FILTERS:
        return FILTERS[name]
    added = {point.name: point for point in entry_points(group="whylabel.filters")}
    if name not in added:
        raise RecipeError(unknown_name("filter", name, [*FILTERS, *added]), where="augment.filters.names")
    make: Factory = added[name].load()
    return make


def empty(_config: FilterConfig) -> Filter:
    """Drop a reasoning without a word."""
    return lambda row: None if re.search(r"\w", row.reasoning) else "empty"


def unfinished(_config: FilterConfig) -> Filter:
    """Drop a reasoning that ran into the token limit."""
    return lambda row: None if row.finished else "unfinished"


def length(config: FilterConfig) -> Filter:
    """Drop a reasoning with fewer or more words than allowed."""

    def check(row: ReasonedExample) -> str | None:
        words = count_words(row.reasoning)
        if words < config.min_words:
            return "too short"
        return "too long" if words > config.max_words else None

    return check


def repetition(config: FilterConfig) -> Filter:
    """Drop a reasoning in which a run of four words stands too often: the model was in a loop."""

    def check(row: ReasonedExample) -> str | None:
        found = tokens(row.reasoning)
        size = _REPEATED_WORDS * tokens_a_word(row.reasoning)
        runs = Counter(zip(*(found[start:] for start in range(size)), strict=False))
        return "repetition" if runs and max(runs.values()) > config.max_repeats else None

    return check


def copy(config: FilterConfig) -> Filter:
    """Drop a reasoning that is mostly one verbatim stretch of its text, or of the question: it adds nothing."""
    question = tokens(config.question or "")

    def check(row: ReasonedExample) -> str | None:
        words = tokens(row.reasoning)
        if _is_copied(words, tokens(row.text), config.max_copied):
            return "copy of the text"
        return "copy of the question" if _is_copied(words, question, config.max_copied) else None

    return check


def ungrounded(config: FilterConfig) -> Filter:
    """Drop a reasoning that quotes words that its text does not say, or quotes nothing although it should."""

    def check(row: ReasonedExample) -> str | None:
        quoted = quotations(row.reasoning)
        if any(find(quotation, row.text) is None for quotation in quoted):
            return "ungrounded"
        return "no quotation" if config.quotation_required and not quoted else None

    return check


def fluency(config: FilterConfig) -> Filter:
    """Drop a reasoning that the base model finds less probable than nearly all that the reasoner was trained on."""

    def check(row: ReasonedExample) -> str | None:
        if row.fluency is None or config.min_fluency is None:
            return None
        return "not fluent" if row.fluency < config.min_fluency else None

    return check


def contradiction(config: FilterConfig) -> Filter:
    """Drop a reasoning whose last sentence denies its label, or concludes with other labels alone."""
    labels = config.labels or ()

    def check(row: ReasonedExample) -> str | None:
        return "contradiction" if conclusion(row.reasoning, labels).contradicts(row.label) else None

    return check


def leak(config: FilterConfig) -> Filter:
    """Drop a reasoning that names its label, or a relative, in its first words: what follows then decides nothing.

    One that was written without the label may name no label there. If only those with the right one were dropped,
    the wrong ones would be left.
    """

    def check(row: ReasonedExample) -> str | None:
        if leaks(row.reasoning, config.leak_words, row.label):
            return "label leaked at the start"
        others = (config.labels or ()) if row.condition == "free" else ()
        named = any(leaks(row.reasoning, config.leak_words, other) for other in others)
        return "another label at the start" if named else None

    return check


def language(_config: FilterConfig) -> Filter:
    """Drop a reasoning in another language than its text, where both languages are detected with confidence."""
    detected = language_detector()

    def check(row: ReasonedExample) -> str | None:
        wanted = detected(row.text)
        found = detected(row.reasoning) if wanted else None
        return f"language {found}, not {wanted}" if found and found != wanted else None

    return check


def near_duplicate(config: FilterConfig) -> Filter:
    """Drop a reasoning that nearly repeats the reasoning of an earlier row that reached this filter: name it last."""
    earlier = NearDuplicates(config.max_similarity)
    return lambda row: "near duplicate" if earlier.repeats(row.reasoning) else None


def pattern(config: FilterConfig) -> Filter:
    """Drop a reasoning in which one of the recipe's regular expressions is found."""
    patterns = [re.compile(source) for source in config.drop_patterns]

    def check(row: ReasonedExample) -> str | None:
        found = next((each for each in patterns if each.search(row.reasoning)), None)
        return f"pattern {found.pattern}" if found else None

    return check


FILTERS: dict[str, Factory] = {
    "empty": empty,
    "unfinished": unfinished,
    "length": length,
    "repetition": repetition,
    "copy": copy,
    "ungrounded": ungrounded,
    "contradiction": contradiction,
    "fluency": fluency,
    "leak": leak,
    "language": language,
    "pattern": pattern,
    "near_duplicate": near_duplicate,
}


def _is_copied(words: list[str], source: list[str], most: float) -> bool:
    """Return whether more than the share `most` of the words are one verbatim stretch of the source."""
    if not words:
        return False
    needed = int(most * len(words))
    while needed / len(words) <= most:
        needed += 1
    if needed > min(len(words), len(source)):
        return False
    # Words hold no blanks, so a stretch of words is a stretch of characters between blanks.
    text = f" {' '.join(source)} "
    starts = range(len(words) - needed + 1)
    return any(f" {' '.join(words[start : start + needed])} " in text for start in starts)
