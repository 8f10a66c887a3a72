"""Why a reasoning is dropped: one function a reason. Rows in = kept + dropped.

A filter takes a `ReasonedExample` and returns the reason to drop it, or None. Outsiders add theirs as an entry
point in the group `whylabel.filters`: a callable that takes a `FilterConfig` and returns a filter.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable, Iterable
from importlib.metadata import entry_points

from whylabel.errors import RecipeError, unknown_name
from whylabel.recipe import FilterConfig
from whylabel.types import Dropped, FilterResult, ReasonedExample

Filter = Callable[[ReasonedExample], str | None]

_REPEATED_WORDS = 4


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
    filters = [_filter(name, config) for name in config.names]
    return lambda row: next((found for check in filters if (found := check(row)) is not None), None)


def _filter(name: str, config: FilterConfig) -> Filter:
    if name in FILTERS:
        return FILTERS[name](config)
    added = {point.name: point for point in entry_points(group="whylabel.filters")}
    if name not in added:
        raise RecipeError(unknown_name("filter", name, [*FILTERS, *added]), where="augment.filters.names")
    make: Callable[[FilterConfig], Filter] = added[name].load()
    return make(config)


def empty(_config: FilterConfig) -> Filter:
    """Drop a reasoning without a word."""
    return lambda row: None if re.search(r"\w", row.reasoning) else "empty"


def unfinished(_config: FilterConfig) -> Filter:
    """Drop a reasoning that ran into the token limit."""
    return lambda row: None if row.finished else "unfinished"


def length(config: FilterConfig) -> Filter:
    """Drop a reasoning with fewer or more words than allowed."""

    def check(row: ReasonedExample) -> str | None:
        words = len(row.reasoning.split())
        if words < config.min_words:
            return "too short"
        return "too long" if words > config.max_words else None

    return check


def repetition(config: FilterConfig) -> Filter:
    """Drop a reasoning in which a run of four words stands too often: the model was in a loop."""

    def check(row: ReasonedExample) -> str | None:
        words = _words(row.reasoning)
        runs = Counter(
            tuple(words[start : start + _REPEATED_WORDS]) for start in range(len(words) - _REPEATED_WORDS + 1)
        )
        return "repetition" if runs and max(runs.values()) > config.max_repeats else None

    return check


def copy(config: FilterConfig) -> Filter:
    """Drop a reasoning that is mostly one verbatim stretch of its text: it says nothing about it."""

    def check(row: ReasonedExample) -> str | None:
        words = _words(row.reasoning)
        if not words:
            return None
        shared = _longest_shared_run(words, _words(row.text))
        return "copy of the text" if shared / len(words) > config.max_copied else None

    return check


FILTERS: dict[str, Callable[[FilterConfig], Filter]] = {
    "empty": empty,
    "unfinished": unfinished,
    "length": length,
    "repetition": repetition,
    "copy": copy,
}


def _words(text: str) -> list[str]:
    return re.findall(r"\w+", text.casefold())


def _longest_shared_run(first: list[str], second: list[str]) -> int:
    # Longest common substring by dynamic programming, one row at a time.
    best = 0
    previous = [0] * (len(second) + 1)
    for word in first:
        current = [0] * (len(second) + 1)
        for place, other in enumerate(second, start=1):
            if word == other:
                current[place] = previous[place - 1] + 1
                best = max(best, current[place])
        previous = current
    return best
