import random
from types import SimpleNamespace

import pytest

from whylabel import filters
from whylabel.errors import RecipeError
from whylabel.filters import FILTERS, apply_filters
from whylabel.recipe import FilterConfig
from whylabel.types import ReasonedExample

TEXT = "My brother forgot my birthday again and did not even call in the evening."
GOOD = "The writer was forgotten by someone close, which hurts, so this is sadness."
CONFIG = FilterConfig(min_words=3, max_words=30, max_repeats=2, max_copied=0.5)


def reason(reasoning, *names, finished=True, text=TEXT, config=CONFIG):
    row = ReasonedExample("1", text, "sadness", reasoning, finished=finished)
    result = apply_filters([row], config.model_copy(update={"names": list(names or FILTERS)}))
    assert len(result.kept) + len(result.dropped) == 1
    return result.dropped[0].reason if result.dropped else None


def test_a_good_reasoning_passes_every_filter():
    assert reason(GOOD) is None


@pytest.mark.parametrize(
    ("reasoning", "expected"),
    [("", "empty"), (" \n\t", "empty"), ("... !? 🤔", "empty"), ("a", None), ("悲", None), ("7", None)],
)
def test_empty(reasoning, expected):
    assert reason(reasoning, "empty") == expected


def test_unfinished():
    assert reason(GOOD, "unfinished", finished=False) == "unfinished"
    assert reason(GOOD, "unfinished") is None


@pytest.mark.parametrize(
    ("words", "expected"), [(0, "too short"), (2, "too short"), (3, None), (30, None), (31, "too long")]
)
def test_length(words, expected):
    assert reason(" ".join(["word"] * words), "length") == expected


@pytest.mark.parametrize(
    ("reasoning", "expected"),
    [
        ("so it is sad. So it is SAD! so it is, sad", "repetition"),
        ("so it is sad. so it is sad. so it is bad", None),
        ("sad sad sad sad sad", None),
        ("sad sad sad sad sad sad", "repetition"),
        ("so it is", None),
        ("", None),
    ],
)
def test_repetition(reasoning, expected):
    assert reason(reasoning, "repetition") == expected


@pytest.mark.parametrize(
    ("reasoning", "expected"),
    [
        (TEXT, "copy of the text"),
        ("MY BROTHER, FORGOT; MY BIRTHDAY", "copy of the text"),
        ("He says: my brother forgot my birthday again", "copy of the text"),
        ("my brother forgot my old lovely cards too", None),
        ("my birthday did in the call brother forgot", None),
        (GOOD, None),
        ("", None),
    ],
)
def test_copy(reasoning, expected):
    assert reason(reasoning, "copy") == expected


def test_exactly_the_allowed_share_is_no_copy():
    assert reason("my brother forgot this is not nice", "copy", config=FilterConfig(max_copied=3 / 7)) is None
    assert reason("my brother forgot this is not nice", "copy", config=FilterConfig(max_copied=0.42))


def test_a_text_without_words_is_never_copied():
    assert reason(GOOD, "copy", text="🤷") is None


def test_the_first_filter_that_refuses_gives_the_reason():
    assert reason("", finished=False) == "empty"
    assert reason("", "unfinished", "empty", finished=False) == "unfinished"
    assert reason("", "length", "empty") == "too short"


def test_without_filters_everything_is_kept():
    rows = [ReasonedExample("1", TEXT, "sadness", "", finished=False)]
    assert apply_filters(rows, FilterConfig(names=[])).kept == tuple(rows)


def test_an_unknown_filter():
    with pytest.raises(
        RecipeError, match=r"Unknown filter 'emty'. Did you mean 'empty'\? Known: copy, "
    ) as caught:
        apply_filters([], FilterConfig(names=["emty"]))
    assert caught.value.where == "augment.filters.names"


def test_an_outsiders_filter_is_found_by_its_entry_point(monkeypatch):
    def no_questions(config):
        return lambda row: "a question" if row.reasoning.endswith("?") else None

    point = SimpleNamespace(name="no_questions", load=lambda: no_questions)
    monkeypatch.setattr(filters, "entry_points", lambda group: [point] * (group == "whylabel.filters"))
    assert reason("But is it so?", "no_questions") == "a question"
    with pytest.raises(RecipeError, match="no_questions"):
        reason("But is it so?", "no_question")


@pytest.mark.parametrize("seed", range(20))
def test_rows_in_are_rows_kept_and_dropped_in_order(seed):
    rng = random.Random(seed)
    words = [
        *TEXT.split(),
        *["so", "it", "is", "sad", "because", "he", "does", "not", "care", "...", "🤔", "\n"],
        "",
    ]
    rows = [
        ReasonedExample(
            id=str(at),
            text=" ".join(rng.choices(words, k=rng.randrange(20))),
            label="sadness",
            reasoning=rng.choice([TEXT, GOOD, " ".join(rng.choices(words, k=rng.randrange(50)))]),
            finished=rng.random() < 0.8,
        )
        for at in range(50)
    ]
    names = rng.sample(sorted(FILTERS), k=rng.randrange(len(FILTERS) + 1))
    result = apply_filters(iter(rows), CONFIG.model_copy(update={"names": names}))
    kept, dropped = list(result.kept), [item.row for item in result.dropped]
    assert sorted(kept + dropped, key=lambda row: int(row.id)) == rows
    assert [row for row in rows if row in kept] == kept and [row for row in rows if row in dropped] == dropped
    assert sum(result.counts().values()) == len(dropped)
    # What passed once passes again, and nothing that was dropped gets in by itself.
    assert apply_filters(kept, CONFIG.model_copy(update={"names": names})).kept == result.kept
