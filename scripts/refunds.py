"""Work out label and reasoning of every row of builtin:refunds from its facts; exit 1 where a row says otherwise.

The policy is in docs/method.md ("The builtin data"). `facts.jsonl` beside the rows says what each message states, and
in which of its words; this reads the days out of those words, too.
"""

from __future__ import annotations

import json
import re
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

FOLDER = Path(__file__).parents[1] / "src" / "whylabel" / "data" / "builtin" / "refunds"
SPLITS = ("train", "validation", "test")
SALE_DAYS, FULL_PRICE_DAYS = 14, 30

_OUTCOMES = {
    (True, True): "a refund",
    (True, False): "a voucher",
    (False, True): "an exchange",
    (False, False): "a denial",
}
_ONES = (
    *("one", "two", "three", "four", "five", "six", "seven", "eight", "nine", "ten", "eleven", "twelve"),
    *("thirteen", "fourteen", "fifteen", "sixteen", "seventeen", "eighteen", "nineteen"),
)
_TENS = ("twenty", "thirty", "forty", "fifty")
_WORDS = {word: number for number, word in enumerate(_ONES, 1)} | {
    word: 10 * number for number, word in enumerate(_TENS, 2)
}


@dataclass(frozen=True, slots=True)
class Facts:
    """What a message states, and the words that state it: `quotes` has one quotation a fact, or two for the days."""

    id: str
    product: str
    opened: bool
    fault: bool
    sale: bool
    days: int
    quotes: dict[str, list[str]]

    @property
    def limit(self) -> int:
        """For how many days after delivery a claim is in time."""
        return SALE_DAYS if self.sale else FULL_PRICE_DAYS

    @property
    def valid(self) -> bool:
        """Whether the claim is valid: a fault in an opened package, or a change of mind about a sealed one."""
        return self.opened == self.fault

    @property
    def in_time(self) -> bool:
        """Whether the claim is made within the limit."""
        return self.days <= self.limit

    @property
    def outcome(self) -> str:
        """The label with its article."""
        return _OUTCOMES[self.valid, self.in_time]

    @property
    def label(self) -> str:
        """What the policy gives."""
        return self.outcome.split()[1]


def reasoning(facts: Facts) -> str:
    """Return the reasoning of a row: four quotations, two steps of the policy, the conclusion."""
    package, reason, price = (facts.quotes[name][0] for name in ("package", "reason", "price"))
    linked = "and" if facts.valid == facts.in_time else "but"
    return (
        f'"{package}" is {"opened" if facts.opened else "sealed"} and '
        f'"{reason}" is {"a fault" if facts.fault else "no fault"}, '
        f"so it is {'valid' if facts.valid else 'not valid'}. "
        f'"{price}" gives {facts.limit} days and {_said(facts)} '
        f"{'within' if facts.in_time else 'over'} {facts.limit}. "
        f"{'Valid' if facts.valid else 'Not valid'} {linked} "
        f"{'in time' if facts.in_time else 'late'}: {facts.outcome}."
    )


def days_in(quotes: list[str]) -> int:
    """Return how many days a message says: in one quotation a number of days or weeks, in two two days of a month.

    Raises `ValueError` if it says none.
    """
    if len(quotes) == 2:
        first, last = sorted(int(re.sub(r"\D", "", quote)) for quote in quotes)
        return last - first
    words = re.findall(r"[a-z]+|\d+", quotes[0].casefold())
    numbers = [
        int(word) if word.isdigit() else _WORDS[word] for word in words if word.isdigit() or word in _WORDS
    ]
    in_weeks = "week" in words or "weeks" in words
    if not numbers and not in_weeks:
        raise ValueError(f"{quotes} say no number of days")
    # "a week": no number is said.
    return (sum(numbers) or 1) * (7 if in_weeks else 1)


def read_rows(name: str) -> list[dict[str, Any]]:
    """Return the rows of a file of the data set: a split, or `facts`."""
    lines = (FOLDER / f"{name}.jsonl").read_text(encoding="utf-8").splitlines()
    return [json.loads(line) for line in lines]


def read_facts() -> dict[str, Facts]:
    """Return the facts of all rows, by id."""
    return {row["id"]: Facts(**row) for row in read_rows("facts")}


def complaints() -> list[str]:
    """Return what is wrong: rows that say otherwise than their facts, rows without facts, facts without a row."""
    rows = [row for split in SPLITS for row in read_rows(split)]
    facts = read_facts()
    found = [f"{name}: facts without a row" for name in facts.keys() - {row["id"] for row in rows}]
    for row in rows:
        wrong = complaints_of(row, facts[row["id"]]) if row["id"] in facts else ["no facts"]
        found += [f"{row['id']}: {each}" for each in wrong]
    return found


def complaints_of(row: dict[str, Any], facts: Facts) -> list[str]:
    """Return where a row says otherwise than its facts: quotations, days, label, reasoning."""
    quotes = [quote for several in facts.quotes.values() for quote in several]
    found = [f"the text does not say {quote!r}" for quote in quotes if quote not in row["text"]]
    if (said := days_in(facts.quotes["days"])) != facts.days:
        found.append(f"{facts.quotes['days']} are {said} days, not {facts.days}")
    if row["label"] != facts.label:
        found.append(f"the label is {row['label']}, by its facts {facts.label}")
    if row["reasoning"] != reasoning(facts):
        found.append(f"the reasoning is {row['reasoning']!r}, by its facts {reasoning(facts)!r}")
    return found


def _said(facts: Facts) -> str:
    """Return the days as the reasoning states them; worked out where the message does not say them in digits."""
    days = facts.quotes["days"]
    if len(days) == 2:
        return f'from "{days[0]}" to "{days[1]}" is {facts.days},'
    in_digits = re.search(rf"\b{facts.days}\b", days[0])
    return f'"{days[0]}" is' if in_digits else f'"{days[0]}" is {facts.days},'


if __name__ == "__main__":
    wrong = complaints()
    print("\n".join(wrong) or f"{len(read_facts())} rows: every label and reasoning follows from its facts.")
    sys.exit(bool(wrong))
