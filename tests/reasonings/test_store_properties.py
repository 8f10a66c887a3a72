"""The row store against a dictionary that does the same."""

import json
import tempfile
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from whylabel.reasonings.store import Decision, StoredReasoning, open_store
from whylabel.text.hashes import row_hash
from whylabel.types import Example, Lift

SETTINGS = ({"temperature": 0}, {"temperature": 0.7, "seed": 1})

# SQLite keeps no text with half surrogate pairs; rows with such texts are refused before.
texts = st.text(st.characters(exclude_categories=["Cs"]), max_size=8)
rows = st.builds(
    StoredReasoning,
    row=st.sampled_from("abc"),
    condition=st.sampled_from(["label", "free"]),
    candidate=st.integers(0, 1),
    id=texts,
    state=st.sampled_from(["done", "failed"]),
    reasoning=texts,
    finished=st.booleans(),
    token_limit=st.sampled_from([8, 64, 512]),
    error=st.none() | texts,
    prompt_tokens=st.integers(0, 99),
    tokens=st.integers(0, 99),
    attempts=st.integers(1, 3),
)
batches = st.lists(st.tuples(st.sampled_from([0, 1]), st.lists(rows, max_size=4)), max_size=6)


@pytest.fixture
def path(tmp_path) -> Path:
    return tmp_path / "store.sqlite"


def fresh(path: Path) -> Path:
    """Return a path of its own in the folder: a fixture is made once for all examples."""
    return Path(tempfile.mkdtemp(dir=path.parent)) / path.name


def worth(row: StoredReasoning) -> int:
    return 0 if row.state == "failed" else 1 + row.finished


def expect(known: dict, batch: list[StoredReasoning]) -> None:
    """Put rows as the store does: what is worth less replaces nothing."""
    for row in batch:
        before = known.get((row.place, row.token_limit))
        if before is None or worth(row) >= worth(before):
            known[row.place, row.token_limit] = row


def held(known: dict, limit: int) -> dict:
    """Return what holds under a limit: the one written under it, else the one of the highest, failures last."""
    found: dict = {}
    for row in sorted(
        known.values(), key=lambda row: (worth(row) > 0, row.token_limit == limit, row.token_limit)
    ):
        if row.holds_under(limit):
            found[row.place] = row
    return found


def alike(found: dict) -> dict:
    """Return the rows without their attempts, which the next one of a row counts on from."""
    return {place: replace(row, attempts=0) for place, row in found.items()}


@given(batches, st.booleans(), st.sets(st.sampled_from("abcd")), st.sampled_from([0, 8, 64, 512]))
def test_what_holds_at_each_place_is_found_under_its_settings_alone(
    path, batches, in_background, wanted, limit
):
    expected: list[dict] = [{}, {}]
    path = fresh(path)
    for which, batch in batches:
        # The store is opened anew each time, as by a process that goes on.
        with open_store(path) as store:
            number = store.settings_number(SETTINGS[which])
            if in_background:
                with store.writer(number) as writer:
                    for row in batch:
                        writer.put(row)
            else:
                store.put(batch, number)
        expect(expected[which], batch)
    with open_store(path) as store:
        numbers = [store.settings_number(settings) for settings in SETTINGS]
        for known, number in zip(expected, numbers, strict=True):
            every = held(known, limit)
            assert alike(store.find("abc", number, limit)) == alike(every)
            some = {place: row for place, row in every.items() if place[0] in wanted}
            assert alike(store.find(sorted(wanted), number, limit)) == alike(some)
        assert len(store) == len(expected[0]) + len(expected[1]) == len(list(store))
        assert store.settings() == dict(zip(numbers, SETTINGS, strict=True))
        assert store.written_otherwise("abc", numbers[0]) == counted(expected[1], numbers[1])


def counted(rows: dict, number: int) -> dict[int, int]:
    done = {row.row for row in rows.values() if row.state == "done"}
    return {number: len(done)} if done else {}


@given(st.lists(st.tuples(st.sampled_from("ab"), st.sampled_from(["rejected", "edited"]), texts), max_size=8))
def test_the_latest_decision_on_each_row_is_found_and_all_are_on_record(path, said):
    decisions = [
        Decision(row, verdict, text, "Ada", f"2026-01-0{at}", text)
        for at, (row, verdict, text) in enumerate(said, 1)
    ]
    with open_store(fresh(path)) as store:
        store.put_decisions(decisions[:3])
        store.put_decisions(decisions[3:])
        assert store.find_decisions("abc") == {decision.row: decision for decision in decisions}
        assert store.count_decisions() == len(decisions)
        assert store.find_decisions("c") == {}


def test_a_verdict_holds_for_its_reasoning_settings_and_verifier_until_it_is_written_anew(path):
    row = StoredReasoning("a", "free", 1, "id", "done", "because", token_limit=8)
    other, longer = replace(row, row="b"), replace(row, token_limit=64)
    lift = Lift(0.5, "fear", -0.25)
    with open_store(path) as store:
        one, two = (store.settings_number(settings) for settings in SETTINGS)
        store.put([row, other, longer], one)
        store.put([row], two)
        store.put_lifts([(row, lift), (other, lift)], one, "judge")

        def judged(*rows, settings=one, verifier="judge"):
            return store.find_lifts({each.place: each for each in rows}, settings, verifier)

        assert judged(row, other) == {row.place: lift, other.place: lift}
        assert judged(other) == {other.place: lift}
        assert judged(row, settings=two) == judged(row, verifier="another") == judged(longer) == {}
        for elsewhere in (replace(row, condition="label"), replace(row, candidate=0), longer):
            store.put([replace(elsewhere, reasoning="new", attempts=2)], one)
        store.put([replace(row, reasoning="new", attempts=2)], two)
        # A failure replaces nothing that was written.
        store.put([replace(row, state="failed", reasoning="", attempts=2)], one)
        assert judged(row) == {row.place: lift}
        store.put([replace(row, reasoning="new", attempts=2)], one)
        assert judged(row, other) == {other.place: lift}


TRICKY = st.text(st.sampled_from('a ",\\[]\n\0é\ud800\udc00😀'), max_size=4)


@settings(max_examples=300)
@given(st.tuples(TRICKY, TRICKY), st.tuples(TRICKY, TRICKY))
def test_two_rows_have_one_hash_only_where_text_and_label_are_equal(one, two):
    hashes = [row_hash(Example(row_id, *pair)) for row_id, pair in (("1", one), ("2", two))]
    assert (hashes[0] == hashes[1]) == (json.dumps(one) == json.dumps(two))


@pytest.mark.parametrize(
    ("one", "two"),
    [
        (("ab", "c"), ("a", "bc")),
        (("", "a"), ("a", "")),
        (('a", "b', "c"), ("a", 'b", "c')),
        (("a", "joy"), ("a", "joy ")),
        (("a\n", "b"), ("a", "\nb")),
        (("é", "a"), ("e\u0301", "a")),
        (("\\u00e9", "a"), ("é", "a")),
    ],
)
def test_rows_that_look_alike_have_their_own_hash(one, two):
    assert row_hash(Example("1", *one)) != row_hash(Example("1", *two))
