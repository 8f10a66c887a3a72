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
    "zero one two three four five six seven eight nine ten eleven twelve thirteen fourteen fifteen sixteen "
    "seventeen eighteen nineteen"
).split()
_TENS = ("twenty", "thirty", "forty", "fifty")
_WORDS = {word: number for number, word in enumerate(_ONES)} | {
    word: 10 * number for number, word in enumerate(_TENS, 2)
}


@dataclass(frozen=True, slots=True)
class Facts:
    """What a message states, and the words that state it: one string a fact, one or two for the days."""

    id: str
    opened: bool
    fault: bool
    sale: bool
    days: int
    quotes: dict[str, str | list[str]]

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
    package, reason, price = (facts.quotes[name] for name in ("package", "reason", "price"))
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
    numbers = [int(word) if word.isdigit() else _WORDS[word] for word in words if word.isdigit() or word in _WORDS]
    in_weeks = "week" in words or "weeks" in words
    if not numbers and not in_weeks:
        raise ValueError(f"{quotes} say no number of days")
    # "a week": no number is said.
    return (sum(numbers) or 1) * (7 if in_weeks else 1)


def read_facts() -> list[Facts]:
    """Return the facts of all rows, in the order of the splits."""
    return [Facts(**row) for row in _rows("facts")]


def complaints() -> list[str]:
    """Return what is wrong: rows whose label, reasoning or days are not those of their facts, rows without facts."""
    rows = [row for split in SPLITS for row in _rows(split)]
    facts = {each.id: each for each in read_facts()}
    found = [f"{name}: facts without a row" for name in facts.keys() - {row["id"] for row in rows}]
    for row in rows:
        known = facts.get(row["id"])
        found += [f"{row['id']}: no facts"] if known is None else _complaints(row, known)
    return found


def _complaints(row: dict[str, str], facts: Facts) -> list[str]:
    days = facts.quotes["days"]
    assert isinstance(days, list)
    quotes = [*(str(quote) for name, quote in facts.quotes.items() if name != "days"), *days]
    found = [f"the text does not say {quote!r}" for quote in quotes if quote not in row["text"]]
    if days_in(days) != facts.days:
        found.append(f"{days} are {days_in(days)} days, not {facts.days}")
    if row["label"] != facts.label:
        found.append(f"the label is {row['label']}, by its facts {facts.label}")
    if row["reasoning"] != reasoning(facts):
        found.append(f"the reasoning is {row['reasoning']!r}, by its facts {reasoning(facts)!r}")
    return [f"{row['id']}: {each}" for each in found]


def _said(facts: Facts) -> str:
    """Return the days as the reasoning states them; worked out where the message does not say them in digits."""
    days = facts.quotes["days"]
    if len(days) == 2:
        return f'from "{days[0]}" to "{days[1]}" is {facts.days},'
    in_digits = re.search(rf"\b{facts.days}\b", days[0])
    return f'"{days[0]}" is' if in_digits else f'"{days[0]}" is {facts.days},'


def _rows(name: str) -> list[dict]:  # type: ignore[type-arg]
    lines = (FOLDER / f"{name}.jsonl").read_text(encoding="utf-8").splitlines()
    return [json.loads(line) for line in lines]


if __name__ == "__main__":
    wrong = complaints()
    print("\n".join(wrong) or f"{len(read_facts())} rows: every label and reasoning follows from its facts.")
    sys.exit(bool(wrong))
