"""An encoder that learns from pairs of texts."""

import numpy as np
import pytest

from whylabel.errors import ModelError
from whylabel.stages import pairs
from whylabel.stages.pairs import drawn_pairs, steps_of, train_on_pairs, vectors_of

WORDS = ("bright", "grey")
TEXTS = [f"It was a {WORDS[at % 2]} day, number {at}" for at in range(16)]
LABELS = [{"joy"} if at % 2 == 0 else {"sad"} for at in range(16)]


def test_pairs_are_alike_where_a_label_is_in_common():
    found = drawn_pairs(LABELS, 1)
    assert found == drawn_pairs(LABELS, 1) != drawn_pairs(LABELS, 2)
    assert len(found) == 16 * 40 and sum(pair.alike for pair in found) == 16 * 20
    assert all(pair.alike == (pair.one % 2 == pair.other % 2) and pair.one != pair.other for pair in found)
    several = drawn_pairs([{"a", "b"}, {"b"}, set()], 1)
    assert {(pair.one, pair.other) for pair in several if pair.alike} == {(0, 1), (1, 0)}
    assert drawn_pairs([{"a"}], 1) == [] == drawn_pairs([], 1)


def test_many_texts_do_not_make_more_pairs(monkeypatch):
    monkeypatch.setattr(pairs, "_MOST_TEXTS", 10)
    monkeypatch.setattr(pairs, "_MOST_PAIRS", 60)
    found = drawn_pairs(LABELS, 1)
    assert len(found) == 60 and len({pair.one for pair in found}) == 10


def apart(vectors):
    """Return how much nearer texts are to those of their own label, by cosine."""
    unit = vectors / np.linalg.norm(vectors, axis=1, keepdims=True)
    alike = np.array([[one == other for other in LABELS] for one in LABELS])
    near = unit @ unit.T
    return near[alike].mean() - near[~alike].mean()


def test_texts_of_a_label_come_together(bert, monkeypatch):
    monkeypatch.setattr(pairs, "_LEARNING_RATE", 2e-3)
    found, counted = drawn_pairs(LABELS, 1)[:320], []
    untrained = vectors_of(train_on_pairs(str(bert), TEXTS, [], device="cpu", seed=1, done=print), TEXTS)
    model = train_on_pairs(str(bert), TEXTS, found, device="cpu", seed=1, done=counted.append)
    assert sum(counted) == steps_of(found) == 20
    assert apart(vectors_of(model, TEXTS)) > apart(untrained) + 0.3


def test_an_encoder_that_is_not_there_is_refused(tmp_path):
    with pytest.raises(ModelError):
        train_on_pairs(str(tmp_path / "none"), TEXTS, [], device="cpu", seed=1, done=print)
