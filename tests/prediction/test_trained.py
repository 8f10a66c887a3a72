import json
from typing import get_args

import numpy as np
import pytest

from trained_models import LABELS, RECIPE, train_tiny
from whylabel.errors import ModelError
from whylabel.prediction.card import MODES
from whylabel.prediction.trained import TrainedClassifier, model_folder
from whylabel.types import Mode

NASTY = ["I won <|im_end|> today", "the <|label|> sad", "a\nb\tc", "=1+1", "🎉 yes", "x" * 3000]


@pytest.fixture(scope="module", params=["label", "reasoning_label", "label_reasoning", "dual", "multi_task"])
def trained(request, tiny_model_folder, tmp_path_factory):
    folder = tmp_path_factory.mktemp(request.param)
    return train_tiny(tiny_model_folder, folder, request.param), folder / "model"


def test_a_text_gets_a_label_of_the_set_with_all_probabilities(trained):
    model, _ = trained
    texts = [(str(place), text) for place, text in enumerate(NASTY)]
    found = list(model.predict(texts, show_all=True))
    assert [row.id for row in found] == [row_id for row_id, _ in texts]
    for row in found:
        assert row.label in LABELS.names
        assert sum(row.probabilities) == pytest.approx(1, abs=1e-9)
        assert row.label == LABELS.names[int(np.argmax(row.probabilities))]
        assert (row.reasoning is None) == (model.mode == "fast")


@pytest.mark.parametrize("trained", ["label"], indirect=True)
def test_the_trained_words_are_learnt(trained):
    model, _ = trained
    texts = [("a", "It was a grey day, number 77"), ("b", "It was a bright day, number 78")]
    assert [row.label for row in model.predict(texts)] == ["sad", "joy"]


def test_batches_of_one_and_of_sixteen_agree(trained):
    model, _ = trained
    texts = [(str(number), f"It was a {'grey ' * (number % 5)}day {number}") for number in range(16)]
    together = list(model.predict(texts))
    alone = [next(iter(model.predict([row]))) for row in texts]
    assert [row.label for row in together] == [row.label for row in alone]
    assert [row.reasoning for row in together] == [row.reasoning for row in alone]
    np.testing.assert_allclose(
        [row.probabilities for row in together], [row.probabilities for row in alone], atol=1e-5
    )


def test_a_blank_text_fails_alone(trained):
    model, _ = trained
    found = list(model.predict([("1", "It was bright"), ("2", "  \n"), ("3", "It was grey")]))
    assert [row.status == "failed" for row in found] == [False, True, False]
    assert found[1].error == "the text is blank"


def test_a_text_that_is_not_readable_fails_alone(trained):
    model, _ = trained
    texts = ["It was bright", "half \ud800", None, "", "nul \0", "x" * 3000]
    found = list(model.predict([(str(place), text) for place, text in enumerate(texts)]))
    assert [row.status == "failed" for row in found] == [False, True, True, True, True, False]
    assert [row.label for row in found[:1]] == [row.label for row in model.predict([("0", texts[0])])]
    assert found[5].status != "ok"
    assert all("not readable as text" in found[place].error for place in (1, 2, 4))


def test_a_row_that_cannot_be_scored_fails_alone(trained, monkeypatch):
    model, _ = trained
    scorer = model._reader.answerer._scorer
    real = scorer.log_scores
    asked = "reasoning_label" if model.mode == "reasoned" else "label"
    poison = model.prompts.classifier("poison", asked)

    def scoring(prompts):
        if any(list(prompt[: len(poison)]) == poison for prompt in prompts):
            raise RuntimeError("out of memory\nsecond line")
        return real(prompts)

    monkeypatch.setattr(scorer, "log_scores", scoring)
    # What the cache of a reasoning gives is not computed row by row.
    monkeypatch.setattr(model._reader.answerer, "_continued", None)
    texts = [("1", "It was bright"), ("2", "poison"), ("3", "It was grey"), ("4", "It was black")]
    found = list(model.predict(texts))
    assert [(row.id, row.status == "failed") for row in found] == [
        ("1", False),
        ("2", True),
        ("3", False),
        ("4", False),
    ]
    assert found[1].error == "out of memory"
    assert found[1].label == ""


def test_a_long_text_is_trimmed_and_said_so(trained):
    model, _ = trained
    (found,) = model.predict([("1", "word " * 5000)])
    assert found.status in ("truncated", "reasoning_cut", "label_forced")
    assert found.label in LABELS.names


def test_the_folder_says_what_prediction_needs(trained):
    model, folder = trained
    card = json.loads((folder / "whylabel.json").read_text())
    assert card["labels"] == list(LABELS.names)
    assert card["target"] == model.card.target
    assert tuple(card["modes"]) == MODES[model.card.target]
    assert card["calibration"] is None
    assert card["vote"] == (
        {"reasonings": 3, "temperature": 0.7, "seed": 13} if "vote" in card["modes"] else None
    )
    assert card["lineage"] == {"seed": 1}
    assert card["max_text_tokens"] == RECIPE.training.max_length


def test_a_folder_that_is_no_classifier_is_named(tmp_path, tiny_model_folder):
    for nowhere in (tmp_path / "nowhere", "~nouser/run"):
        with pytest.raises(ModelError, match="There is no model folder"):
            TrainedClassifier.from_folder(nowhere)
    with pytest.raises(ModelError, match="no whylabel model"):
        TrainedClassifier.from_folder(tiny_model_folder)
    (tmp_path / "config.json").write_text("{}")
    (tmp_path / "whylabel.json").write_text('{"role": "reasoner"}')
    with pytest.raises(ModelError, match="not a classifier"):
        TrainedClassifier.from_folder(tmp_path)
    assert model_folder(tmp_path) == tmp_path


def test_a_mode_that_the_model_has_not_is_refused_at_once_and_the_others_named(trained):
    model, _ = trained
    for mode in set(get_args(Mode)) - set(model.card.modes):
        with pytest.raises(ModelError, match=rf"mode '{mode}'. It can: {', '.join(model.card.modes)}\."):
            model.predict([("1", "It was bright")], mode)
    for mode in model.card.modes:
        (found,) = model.predict([("1", "It was bright")], mode)
        assert found.mode == mode


def test_an_unsure_prediction_abstains_and_keeps_its_label(trained):
    model, _ = trained
    texts = [("1", "It was bright"), ("2", " "), ("3", "It was " + "grey " * 4)]
    plain = list(model.predict(texts))
    below = max(plain[0].probabilities) + 1e-6
    found = list(model.predict(texts, abstain_below=below))
    assert found[0].status == "abstained"
    assert (found[0].label, found[0].probabilities) == (plain[0].label, plain[0].probabilities)
    assert found[1].status == "failed"
    assert (found[2].status == "abstained") == (max(found[2].probabilities) < below)


def test_more_rows_than_a_chunk_come_in_order(trained, monkeypatch):
    model, _ = trained
    monkeypatch.setattr(model, "_chunk_rows", 3)
    texts = [(str(number), "" if number == 4 else f"It was day {number}") for number in range(8)]
    assert [row.id for row in model.predict(texts)] == [row_id for row_id, _ in texts]
    scores = model.log_scores(texts, [model.mode])[model.mode]
    assert scores.shape == (8, 4)
    assert np.isnan(scores).all(axis=1).tolist() == [number == 4 for number in range(8)]
    assert list(model.predict([])) == []
    assert model.log_scores([], [model.mode])[model.mode].shape == (0, 4)
