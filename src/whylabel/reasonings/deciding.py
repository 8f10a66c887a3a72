"""One decision of a person on one reasoning, recorded as it is made, beside those of others.

Several people may decide at once. Each decision says how many on its row its person knew of: if there are more by
now, or the run has another reasoning, nothing is recorded, and the person is told what the others decided.
"""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass

from whylabel.errors import DataError
from whylabel.reasonings.review import ReviewRow
from whylabel.reasonings.store import Decision, Verdict, open_store
from whylabel.run_folder import RunFolder
from whylabel.text.hashes import reasoning_hash
from whylabel.text.words import is_broken


@dataclass(frozen=True, slots=True)
class Wish:
    """What a person wants to decide; `known`: how many decisions on the row they have seen.

    `reasoning` is that of an edit, else empty.
    """

    verdict: Verdict
    known: int
    reasoning: str = ""
    note: str = ""


def decide(run: RunFolder, row: ReviewRow, wish: Wish, by: str) -> tuple[bool, list[Decision]]:
    """Record a decision on a row of the run; return whether it was, and all decisions on the row, the latest last.

    It is not recorded if there are others that the person has not seen. Raises `RunFolderError` if the run folder is
    in use, and `DataError` for an edit that is blank, or text that cannot be stored.
    """
    _check(wish)
    with run.locked(), open_store(run.store) as store:
        history = store.history(row.row)
        if len(history) != wish.known:
            return False, history
        decision = _decision(row, wish, history, by)
        store.put_decisions([decision])
    return True, [*history, decision]


def standing(row: ReviewRow, history: list[Decision]) -> Decision | None:
    """Return what is decided on a row and its reasoning now; None if nothing is."""
    return history[-1] if is_decided(history, [reasoning_hash(row.reasoning)]) else None


def is_decided(history: Sequence[Decision], hashes: Collection[str]) -> bool:
    """Return whether the latest decision on a row is about it as it is now; `hashes`: those of its reasonings.

    It is the same as `Decision.applies_to` says, where the reasonings themselves are not at hand.
    """
    if not history or history[-1].verdict == "cleared":
        return False
    latest = history[-1]
    return latest.verdict == "edited" or latest.reasoning_hash is None or latest.reasoning_hash in hashes


def verdicts(histories: Iterable[list[Decision]]) -> Counter[str]:
    """Return how many rows have which verdict now."""
    latest: Counter[str] = Counter(history[-1].verdict for history in histories if history)
    del latest["cleared"]
    return latest


def _decision(row: ReviewRow, wish: Wish, history: list[Decision], by: str) -> Decision:
    now = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime())
    if wish.verdict == "edited":
        return Decision(row.row, "edited", wish.reasoning, by, now, wish.note)
    # Where the reasoning is one that a person wrote, the decision is about no reasoning of a model.
    own = any(each.verdict == "edited" and each.reasoning == row.reasoning for each in history)
    about = None if own or wish.verdict == "cleared" else reasoning_hash(row.reasoning)
    return Decision(row.row, wish.verdict, row.reasoning, by, now, wish.note, about)


def _check(wish: Wish) -> None:
    if wish.verdict == "edited" and not wish.reasoning.strip():
        raise DataError("The reasoning is empty.", fix="write one, or reject it")
    for name, text in (("reasoning", wish.reasoning), ("note", wish.note)):
        if is_broken(text):
            raise DataError(
                f"The {name} is not readable as text: it holds NUL or half a surrogate pair.",
                fix="write it again with whole characters",
            )
