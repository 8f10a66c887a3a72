import re
from collections import Counter
from itertools import combinations

import pytest

from whylabel.data import builtin_names, fingerprint, load_dataset, load_reasoning
from whylabel.data.builtin import read_builtin
from whylabel.data.cells import normalise_text
from whylabel.recipe import DataConfig, ReasonerConfig, TaskConfig

EMOTIONS = {"sadness", "joy", "love", "anger", "fear", "surprise"}


def shingles(text):
    words = re.findall(r"\w+", normalise_text(text))
    return {tuple(words[at : at + 3]) for at in range(max(len(words) - 2, 1))}


def near_duplicates(texts, most):
    """Return pairs of texts whose sets of word 3-grams overlap (Jaccard) by more than `most`."""
    sets = [shingles(text) for text in texts]
    homes = {}
    for at, items in enumerate(sets):
        for item in items:
            homes.setdefault(item, []).append(at)
    pairs = {pair for home in homes.values() for pair in combinations(home, 2)}
    return [(texts[a], texts[b]) for a, b in pairs if len(sets[a] & sets[b]) > most * len(sets[a] | sets[b])]


@pytest.fixture(scope="module")
def emotions():
    return load_dataset(DataConfig(source="builtin:emotions"), TaskConfig(), seed=13)


@pytest.fixture(scope="module")
def reasoning():
    train, validation = load_reasoning(
        ReasonerConfig(data="builtin:reasoning", validation_rows=10_000), seed=13
    )
    return train + validation


def test_names():
    assert builtin_names() == ["cues", "emotions", "reasoning", "refunds"]


def test_emotions_in_three_given_splits(emotions):
    sizes = {split: len(part) for split, part in emotions.splits().items()}
    assert sum(sizes.values()) >= 600
    assert sizes["test"] >= 150 and sizes["validation"] >= 50
    assert "test" not in emotions.inferred and "validation" not in emotions.inferred


def test_emotions_are_balanced(emotions):
    for part in emotions.splits().values():
        counts = Counter(example.label for example in part)
        assert set(counts) == EMOTIONS
        assert max(counts.values()) <= 1.25 * min(counts.values())


def test_emotion_texts_are_short_and_trimmed(emotions):
    for part in emotions.splits().values():
        for example in part:
            assert 4 <= len(example.text.split()) <= 60, example
            assert example.text == example.text.strip()


def test_emotion_ids_are_unique(emotions):
    ids = [example.id for part in emotions.splits().values() for example in part]
    assert len(set(ids)) == len(ids)


def test_emotions_have_no_near_duplicates(emotions):
    texts = [example.text for part in emotions.splits().values() for example in part]
    assert len({normalise_text(text) for text in texts}) == len(texts)
    assert near_duplicates(texts, 0.3) == []


def test_emotions_are_not_solved_by_counting_words(emotions):
    from sklearn.feature_extraction.text import TfidfVectorizer
    from sklearn.linear_model import LogisticRegression
    from sklearn.pipeline import make_pipeline

    model = make_pipeline(TfidfVectorizer(ngram_range=(1, 2)), LogisticRegression(max_iter=1000))
    model.fit([row.text for row in emotions.train], [row.label for row in emotions.train])
    accuracy = model.score([row.text for row in emotions.test], [row.label for row in emotions.test])
    assert 1 / 6 < accuracy <= 0.8


def emotion_reasonings():
    """Return the reasonings written for the training rows of `builtin:emotions`, by id."""
    config = DataConfig(source="builtin:emotions", reasoning_column="reasoning")
    return {
        row.id: row.reasoning for row in load_dataset(config, TaskConfig(), seed=13).train if row.reasoning
    }


def quoted(reasoning):
    return re.findall(r'"([^"]*)"', reasoning)


def test_a_third_of_the_emotions_have_a_reasoning(emotions):
    reasonings = emotion_reasonings()
    counts = Counter(row.label for row in emotions.train if row.id in reasonings)
    assert counts == dict.fromkeys(EMOTIONS, 24)


def test_reasonings_of_emotions_are_only_used_if_they_are_asked_for(emotions):
    assert emotions.inferred == {"text_column": "text", "label_column": "label", "id_column": "id"}
    assert not [row for part in emotions.splits().values() for row in part if row.reasoning]
    stored = "c08168d63d214d0c0eb772c64dd8892e988b2f2fa5dbf03c23138a4760518d00"
    assert fingerprint(emotions.train) == stored
    config = DataConfig(source="builtin:emotions", reasoning_column="reasoning")
    assert fingerprint(load_dataset(config, TaskConfig(), seed=13).train) == stored


def test_emotion_reasonings_quote_one_or_two_cues_of_their_text():
    columns = read_builtin("builtin:emotions")["train"].columns
    texts = dict(zip(columns["id"], columns["text"], strict=True))
    for name, reasoning in emotion_reasonings().items():
        cues = quoted(reasoning)
        assert 1 <= len(cues) <= 2, name
        for cue in cues:
            assert cue in texts[name] and 1 <= len(cue.split()) <= 10, (name, cue)


def test_emotion_reasonings_have_one_form_and_reject_a_rival(emotions):
    labels = {row.id: row.label for row in emotions.train}
    rivals = Counter()
    for name, reasoning in emotion_reasonings().items():
        form = rf'"[^"]+" (\w+ ){{2,6}}\w+, so it is {labels[name]}, not (?P<rival>\w+)\.'
        rival = re.fullmatch(form, reasoning)["rival"]
        assert rival in EMOTIONS - {labels[name]}, name
        rivals[rival] += 1
    assert set(rivals) == EMOTIONS


def test_cues_quote_their_text_and_end_in_their_answer():
    columns = read_builtin("builtin:cues")["train"].columns
    assert len(columns["id"]) == len(set(columns["id"])) >= 250
    for question, answer, reasoning in zip(
        columns["question"], columns["answer"], columns["reasoning"], strict=True
    ):
        text = question.rsplit("\n", 1)[0]
        (cue,) = quoted(reasoning)
        assert cue in text, reasoning
        bare = re.sub(r"^(it is|to|as) ", "", answer)
        assert reasoning.rstrip(".").split(", not ")[0].endswith(f"it is {bare}"), reasoning


def test_cues_hold_the_reasonings_of_the_emotions_and_none_of_their_other_rows(emotions):
    columns = read_builtin("builtin:cues")["train"].columns
    found = dict(zip(columns["question"], columns["reasoning"], strict=True))
    texts = {row.id: row.text for row in emotions.train}
    asked = "Which emotion does the writer feel?"
    own = {f"{texts[name]}\n{asked}": reasoning for name, reasoning in emotion_reasonings().items()}
    assert own == {question: found[question] for question in found if question.endswith(asked)}


def test_builtin_reasonings_quote_their_question(reasoning):
    for row in reasoning:
        for cue in quoted(row.reasoning):
            assert cue.casefold() in row.question.casefold(), (row.id, cue)


def test_reasoning_in_two_given_splits(reasoning):
    tables = read_builtin("builtin:reasoning")
    assert list(tables) == ["train", "validation"]
    assert len(reasoning) == sum(map(len, tables.values())) >= 400
    assert len(tables["validation"]) >= ReasonerConfig().validation_rows


def test_reasoning_is_of_many_kinds(reasoning):
    tables = read_builtin("builtin:reasoning")
    kinds = Counter(kind for table in tables.values() for kind in table.columns["kind"])
    assert len(kinds) >= 20
    assert max(kinds.values()) <= 0.15 * len(reasoning)


def test_reasonings_fit_the_default_filters(reasoning):
    for row in reasoning:
        assert 4 <= len(row.reasoning.split()) <= 120, row


def test_reasoning_has_no_near_duplicates(reasoning):
    questions = [row.question for row in reasoning]
    assert len({normalise_text(question) for question in questions}) == len(questions)
    assert near_duplicates([row.reasoning for row in reasoning], 0.3) == []


def test_reasoning_holds_no_emotion_rows(reasoning, emotions):
    tables = read_builtin("builtin:reasoning")
    kinds = {kind for table in tables.values() for kind in table.columns["kind"]}
    assert not {kind for kind in kinds if "emotion" in kind}
    assert not [row for row in reasoning if row.answer.strip().casefold() in EMOTIONS]
    texts = [example.text for part in emotions.splits().values() for example in part]
    shared = {item for text in texts for item in shingles(text)}
    for row in reasoning:
        own = shingles(row.question)
        assert len(own & shared) <= 0.5 * len(own), row
