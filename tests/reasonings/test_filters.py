import random
from types import SimpleNamespace

import pytest

from whylabel.errors import RecipeError
from whylabel.reasonings import filters
from whylabel.reasonings.filters import FILTERS, apply_filters, check_filters
from whylabel.recipe import FilterConfig
from whylabel.types import ReasonedExample

TEXT = "My brother forgot my birthday again and did not even call in the evening."
GOOD = "The writer was forgotten by someone close, which hurts, so this is sadness."
CONFIG = FilterConfig(min_words=3, max_words=30, max_repeats=2, max_copied=0.5)


def reason(reasoning, *names, finished=True, text=TEXT, label="sadness", config=CONFIG):
    row = ReasonedExample("1", text, label, reasoning, finished=finished)
    result = apply_filters([row], config.model_copy(update={"names": list(names or FILTERS)}))
    assert len(result.kept) + len(result.dropped) == 1
    return result.dropped[0].reason if result.dropped else None


def test_a_good_reasoning_passes_every_filter():
    assert reason(GOOD) is None


def kept_and_reasons(reasonings, config):
    rows = [ReasonedExample(str(at), TEXT, "sadness", each) for at, each in enumerate(reasonings)]
    result = apply_filters(rows, config)
    assert len(result.kept) + len(result.dropped) == len(rows)
    return [int(row.id) for row in result.kept], result.counts()


@pytest.mark.parametrize(
    ("reasoning", "expected"),
    [
        ("'forgot my birthday' hurts, and \"did not even call\" makes it worse", None),
        ("'forgot my birthday' hurts, and 'never wrote' makes it worse", "ungrounded"),
        ("Someone close forgot her.", None),
    ],
)
def test_ungrounded(reasoning, expected):
    assert reason(reasoning, "ungrounded") == expected


def test_a_quotation_may_be_required():
    strict = FilterConfig(names=["ungrounded"], quotation_required=True)
    assert reason("Someone close forgot her.", "ungrounded", config=strict) == "no quotation"
    assert reason("'my birthday' was forgotten", "ungrounded", config=strict) is None
    assert reason("'my party' was forgotten", "ungrounded", config=strict) == "ungrounded"


@pytest.mark.parametrize(
    ("reasoning", "expected"),
    [
        ("Being forgotten hurts, so this is sadness, not anger.", None),
        ("Being forgotten hurts; the writer is downcast.", None),
        ("Being forgotten hurts, so this is anger.", "contradiction"),
        ("Being forgotten hurts, but this is not sadness.", "contradiction"),
    ],
)
def test_contradiction(reasoning, expected):
    config = FilterConfig(labels=["anger", "sadness"])
    assert reason(reasoning, "contradiction", config=config) == expected


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
        ("作者感到悲伤", None),
        ("作者感", "too short"),
        ("作者感到悲伤，因为他的兄弟忘记了。" * 5, "too long"),
        ("筆者は悲しい", None),
        ("ผู้เขียนรู้สึกเศร้ามาก", None),
        ("เศร้ามาก", "too short"),
        ("작가는 슬픔을 느낀다", None),
        ("슬픔을 느낀다", "too short"),
    ],
)
def test_length_in_other_scripts(reasoning, expected):
    assert reason(reasoning, "length") == expected


@pytest.mark.parametrize(
    ("reasoning", "expected"),
    [
        ("作者感到悲伤的心情" * 3, "repetition"),
        ("作者感到悲伤的心情" * 2, None),
        # Two words of two characters each are no loop, however often they stand.
        ("作者感到悲伤，作者感到愤怒，作者感到高兴，作者感到害怕", None),
        ("ความรู้สึก ความรัก ความสุข", None),
        ("ผู้เขียนรู้สึกเศร้ามาก" * 3, "repetition"),
    ],
)
def test_repetition_in_other_scripts(reasoning, expected):
    assert reason(reasoning, "repetition") == expected


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


@pytest.mark.parametrize(
    ("reasoning", "expected"),
    [
        ("Which emotion does the writer feel?", "copy of the question"),
        ("which emotion, does the writer feel: sadness", "copy of the question"),
        ("The emotion that the writer feels is sadness", None),
        (TEXT, "copy of the text"),
    ],
)
def test_copy_of_the_question(reasoning, expected):
    config = CONFIG.model_copy(update={"question": "Which emotion does the writer feel?"})
    assert reason(reasoning, "copy", config=config) == expected
    if expected == "copy of the question":
        assert reason(reasoning, "copy") is None


def test_copy_in_a_script_without_blanks():
    text = "我的兄弟又忘记了我的生日，晚上甚至没有打电话。"
    assert reason("我的兄弟又忘记了我的生日", "copy", text=text) == "copy of the text"
    assert reason("亲近的人忘记了他，所以他很难过", "copy", text=text) is None


def longest_shared(words, others):
    return max(
        (
            size
            for size in range(len(words) + 1)
            for start in range(len(words) - size + 1)
            if any(others[at : at + size] == words[start : start + size] for at in range(len(others) + 1))
        ),
        default=0,
    )


@pytest.mark.parametrize("seed", range(30))
def test_copy_is_the_longest_shared_stretch(seed):
    rng = random.Random(seed)
    words, others = (rng.choices(["ab", "ba", "c"], k=rng.randrange(1, 12)) for _ in range(2))
    share = longest_shared(words, others) / len(words)
    for limit in (0.01, 0.29, 0.5, 4 / 7, 0.8, 1.0):
        found = reason(" ".join(words), "copy", text=" ".join(others), config=FilterConfig(max_copied=limit))
        assert (found is not None) == (share > limit), (words, others, limit)


def test_a_text_without_words_is_never_copied():
    assert reason(GOOD, "copy", text="🤷") is None


@pytest.mark.parametrize(
    ("reasoning", "label", "expected"),
    [
        ("Sadness is what the writer feels, for he was forgotten.", "sadness", True),
        ("The writer of this is sad, for he was forgotten.", "sadness", True),
        (GOOD, "sadness", False),
        ("One two three four five six seven sad", "sadness", True),
        ("One two three four five six seven eight sad", "sadness", False),
        ("The card was lost on the way", "card_not_working", False),
        ("The card of the writer does not work", "card_not_working", True),
        ("作者感到悲伤，因为他被忘记了", "悲伤", True),
        ("因为他的兄弟又忘记了他的生日而且没有打电话，所以悲伤", "悲伤", False),
        ("😀 is how it sounds", "😀", True),
        ("", "sadness", False),
    ],
)
def test_leak(reasoning, label, expected):
    assert reason(reasoning, "leak", label=label) == ("label leaked at the start" if expected else None)


@pytest.mark.parametrize(
    ("condition", "reasoning", "expected"),
    [
        ("free", "The writer feels sadness, since nobody called.", "label leaked at the start"),
        ("free", "The writer is angry, since nobody called.", "another label at the start"),
        ("free", "Nobody called her on her own birthday, which makes her angry.", None),
        ("label", "The writer is angry, since nobody called.", None),
    ],
)
def test_leak_looks_for_every_label_where_none_was_given(condition, reasoning, expected):
    config = FilterConfig(names=["leak"], labels=["sadness", "anger", "joy"])
    row = ReasonedExample("1", TEXT, "sadness", reasoning, condition=condition)
    assert filters.refusal(config)(row) == expected


def test_leak_looks_at_so_many_words():
    assert reason("The writer is sad", "leak", config=FilterConfig(leak_words=3)) is None
    assert reason("The writer is sad", "leak", config=FilterConfig(leak_words=4))


def test_leak_is_not_on_by_default():
    assert not {"leak", "language", "near_duplicate", "pattern"} & set(FilterConfig().names)


@pytest.mark.parametrize(
    ("reasoning", "expected"),
    [
        (GOOD, None),
        ("Der Verfasser wurde von jemandem vergessen, der ihm nahesteht.", "language de, not en"),
        ("作者被一个亲近的人忘记了，这让他感到很难过，所以这是悲伤。", "language zh, not en"),
        ("Он грустит, потому что брат снова забыл про его день рождения.", "language ru, not en"),
        # Too short to tell.
        ("Das ist Trauer", None),
        ("", None),
        ("12 34 56 78 90 12", None),
    ],
)
def test_language(reasoning, expected):
    assert reason(reasoning, "language") == expected


def test_a_short_text_leaves_the_language_open():
    german = "Der Verfasser wurde von jemandem vergessen, der ihm nahesteht."
    assert reason(german, "language", text="My brother!") is None
    assert (
        reason(german, "language", text="Mein Bruder hat meinen Geburtstag schon wieder vergessen.") is None
    )


@pytest.mark.parametrize(
    ("reasoning", "expected"),
    [
        # The likeliest is Spanish, Basque, Estonian: a guess.
        ("El animal es de color rojo", None),
        ("Mama papa radio taxi hotel", None),
        ("ja ja ja ja ja", None),
        # Five words are enough, four are not.
        ("Das ist in Berlin so", "language de, not en"),
        ("Das ist eine Trauer", None),
    ],
)
def test_a_language_that_is_a_guess_is_left_open(reasoning, expected):
    assert reason(reasoning, "language") == expected


def test_the_builtin_reasonings_are_in_the_language_of_their_questions():
    from whylabel.data.builtin import read_builtin

    columns = read_builtin("builtin:reasoning")["train"].columns
    rows = [
        ReasonedExample(str(at), question, "x", reasoning)
        for at, (question, reasoning) in enumerate(
            zip(columns["question"], columns["reasoning"], strict=True)
        )
    ]
    assert apply_filters(rows, FilterConfig(names=["language"])).counts() == {}


def test_near_duplicate_keeps_the_first():
    other = "A card that came late still says that somebody thought of the writer, so this is joy."
    kept, counts = kept_and_reasons(
        [GOOD, other, GOOD.upper(), f"{other} ...", "", ""], FilterConfig(names=["near_duplicate"])
    )
    assert kept == [0, 1, 4, 5]
    assert counts == {"near duplicate": 2}


def test_near_duplicate_forgets_between_data_sets():
    config = FilterConfig(names=["near_duplicate"])
    assert kept_and_reasons([GOOD], config) == kept_and_reasons([GOOD], config) == ([0], {})


def test_near_duplicate_does_not_remember_what_was_dropped_before_it():
    config = FilterConfig(names=["unfinished", "near_duplicate"])
    rows = [ReasonedExample(str(at), TEXT, "sadness", GOOD, finished=at > 0) for at in range(3)]
    assert [row.id for row in apply_filters(rows, config).kept] == ["1"]


def test_max_similarity():
    changed = GOOD.replace("sadness", "anger")
    for limit, kept in ((0.5, [0]), (0.95, [0, 1])):
        config = FilterConfig(names=["near_duplicate"], max_similarity=limit)
        assert kept_and_reasons([GOOD, changed], config)[0] == kept


def test_pattern():
    config = FilterConfig(names=["pattern"], drop_patterns=[r"(?i)\bas an ai\b", r"https?://"])
    reasonings = ["As an AI I cannot feel.", "See http://a.b or ask as an ai", GOOD, "Has an aim"]
    kept, counts = kept_and_reasons(reasonings, config)
    assert kept == [2, 3]
    assert counts == {r"pattern (?i)\bas an ai\b": 2}
    assert kept_and_reasons(["at https://a.b"], config)[1] == {"pattern https?://": 1}


def test_the_first_filter_that_refuses_gives_the_reason():
    assert reason("", finished=False) == "empty"
    assert reason("", "unfinished", "empty", finished=False) == "unfinished"
    assert reason("", "length", "empty") == "too short"


def test_without_filters_everything_is_kept():
    rows = [ReasonedExample("1", TEXT, "sadness", "", finished=False)]
    assert apply_filters(rows, FilterConfig(names=[])).kept == tuple(rows)


def test_an_unknown_filter():
    with pytest.raises(
        RecipeError, match=r"Unknown filter 'emty'. Did you mean 'empty'\? Known: contradiction, copy, "
    ) as caught:
        apply_filters([], FilterConfig(names=["emty"]))
    assert caught.value.where == "augment.filters.names"


def test_filters_are_checked_before_they_are_asked():
    check_filters(FilterConfig(names=list(FILTERS)))
    with pytest.raises(RecipeError, match=r"Unknown filter 'leek'. Did you mean 'leak'\?"):
        check_filters(FilterConfig(names=["empty", "leek"]))


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
