"""The row store against a dictionary that does the same."""

import json
import tempfile
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from whylabel.reasonings.store import Decision, StoredReasoning, open_store, row_hash
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
    token_limit=st.integers(0, 512),
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


@given(batches, st.booleans(), st.sets(st.sampled_from("abcd")))
def test_the_latest_row_at_each_place_is_found_under_its_settings_alone(path, batches, in_background, wanted):
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
        expected[which] |= {row.place: row for row in batch}
    with open_store(path) as store:
        numbers = [store.settings_number(settings) for settings in SETTINGS]
        for which, number in enumerate(numbers):
            assert store.find("abc", number) == expected[which]
            some = {place: row for place, row in expected[which].items() if place[0] in wanted}
            assert store.find(sorted(wanted), number) == some
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


def test_a_verdict_holds_for_its_place_settings_and_verifier_until_the_row_is_written_again(path):
    row = StoredReasoning("a", "free", 1, "id", "done", "because")
    lift = Lift(0.5, "fear", -0.25)
    with open_store(path) as store:
        one, two = (store.settings_number(settings) for settings in SETTINGS)
        store.put([row, replace(row, row="b")], one)
        store.put([row], two)
        store.put_lifts({row.place: lift, ("b", "free", 1): lift}, one, "judge")
        assert store.find_lifts("ab", one, "judge") == {row.place: lift, ("b", "free", 1): lift}
        assert store.find_lifts("b", one, "judge") == {("b", "free", 1): lift}
        assert store.find_lifts("ab", two, "judge") == store.find_lifts("ab", one, "another") == {}
        # Found again: nothing was written anew, so the verdict holds.
        store.put([row], one)
        assert row.place in store.find_lifts("ab", one, "judge")
        for other in (replace(row, condition="label"), replace(row, candidate=0)):
            store.put([replace(other, attempts=2)], one)
        store.put([replace(row, attempts=2)], two)
        assert row.place in store.find_lifts("ab", one, "judge")
        store.put([replace(row, attempts=2)], one)
        assert store.find_lifts("ab", one, "judge") == {("b", "free", 1): lift}


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
