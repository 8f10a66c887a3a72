"""The words claim no more than the numbers carry."""

from __future__ import annotations

from typing import Any

import pytest

from whylabel.report.verdict import best_notes, model_name, seen_note, verdict


def metrics(difference: float, p: float, tfidf: float = 0.3, cut: float = 0.0) -> dict[str, Any]:
    def model(accuracy: float, seconds: float) -> dict[str, Any]:
        return {
            "n": 180,
            "accuracy": accuracy,
            "accuracy_ci95": [accuracy - 0.07, accuracy + 0.07],
            "cost": {"seconds_per_row": seconds},
            "rates": {"reasoning_cut": cut, "truncated": 0.0, "failed": 0.0},
        }

    return {
        "baseline": model(0.633, 0.03),
        "classifier": model(0.633 + difference, 0.3),
        "floors": {"tfidf": model(tfidf, 0.0), "majority": model(0.2, 0.0)},
        "paired": {
            "n": 180,
            "difference": difference,
            "ci95": [difference - 0.055, difference + 0.055],
            "mcnemar_p": p,
        },
    }


@pytest.mark.parametrize(
    ("difference", "p", "claim"),
    [
        (0.1, 0.001, "Reasoning paid on this data"),
        (-0.1, 0.001, "Reasoning cost accuracy on this data"),
        (0.022, 0.52, "No gain from reasoning could be shown on this data"),
        (-0.022, 0.52, "Reasoning did not pay on this data"),
        (0.0, 1.0, "Reasoning made no difference to accuracy on this data"),
    ],
)
def test_the_claim_follows_the_test(difference: float, p: float, claim: str) -> None:
    assert verdict(metrics(difference, p)).claim == claim


def test_the_sentence_has_the_figures() -> None:
    sentence = verdict(metrics(-0.022, 0.52)).sentence.replace("\u00a0", " ")
    assert sentence == (
        "Reasoning did not pay on this data: 61.1 % with reasoning against 63.3 % without"
        " (difference −2.2 points, 95 % CI −7.7 to +3.3, p = 0.52, 180 test texts)."
    )


def test_a_classifier_that_answers_at_once_is_said_to() -> None:
    figures = metrics(0.1, 0.001)
    figures["classifier"]["mode"] = "fast"
    said = verdict(figures)
    assert "with reasoning in training alone against" in said.sentence
    assert not [note for note in said.notes if "times as long" in note]
    assert model_name("classifier", figures["classifier"]) == "Classifier (label at once)"
    assert model_name("classifier", {"mode": "reasoned"}) == "Classifier (reasoning, then label)"
    assert model_name("baseline", {"mode": "fast"}) == "Baseline (label only)"


def test_notes_name_chance_cost_and_floors() -> None:
    notes = " ".join(verdict(metrics(-0.022, 0.52, tfidf=0.7, cut=0.1)).notes).replace("\u00a0", " ")
    for expected in ("may be chance", "one seed", "10.0 times as long", "TF-IDF", "10.0 % of the"):
        assert expected in notes


def test_reasonings_that_come_to_no_label_are_told() -> None:
    figures = metrics(0.1, 0.001)
    figures["classifier"]["rates"] = {"label_forced": 0.25}
    notes = " ".join(verdict(figures).notes).replace("\u00a0", " ")
    assert "25.0 % of the texts got a reasoning of the classifier that did not come to a label" in notes


def test_tfidf_is_set_against_the_two_models_alone() -> None:
    figures = metrics(0.1, 0.001, tfidf=0.8) | {"rivals": {"head": {"accuracy": 0.9}}}
    notes = " ".join(verdict(figures).notes).replace("\u00a0", " ")
    assert (
        "80.0 %, no less than the baseline and the classifier: on this data they do not earn their cost"
        in notes
    )
    del figures["baseline"], figures["paired"]
    notes = " ".join(verdict(figures).notes)
    assert "no less than the classifier: on this data it does not earn its cost yet" in notes


def test_models_that_are_right_on_the_same_texts_are_said_to_be() -> None:
    figures = metrics(0.0, 1.0)
    figures["paired"]["ci95"] = [0.0, 0.0]
    notes = " ".join(verdict(figures).notes).replace("\u00a0", " ")
    assert "right on the same ones of these 180 test texts" in notes
    assert "anywhere" not in notes


def test_a_significant_difference_is_not_called_chance() -> None:
    notes = " ".join(verdict(metrics(0.1, 0.001)).notes)
    assert "chance" not in notes
    assert "TF-IDF" not in notes


def test_no_evaluation() -> None:
    assert verdict({}).sentence == "This run has not been evaluated yet."


@pytest.mark.parametrize(
    ("best", "said"),
    [
        (
            {
                "model": "embeddings",
                "mode": "fast",
                "difference": 0.123,
                "ci95": [0.05, 0.2],
                "mcnemar_p": 0.002,
            },
            "Best of all 6 models and modes: Embeddings + logistic regression, 70.0\u00a0% right, 12.3 points above"
            " the classifier (95\u00a0% CI +5.0 to +20.0, p = 0.002). It was chosen on these same"
            " texts, so its figure is a little too high, and interval and p-value do not allow for the choice.",
        ),
        (
            {
                "model": "tfidf",
                "mode": "fast",
                "difference": 0.02,
                "ci95": [0.001, 0.04],
                "mcnemar_p": 0.03,
                "p_holm": 0.15,
            },
            "2.0 points above the classifier (95\u00a0% CI +0.1 to +4.0, p = 0.030 before correction, p = 0.15 after"
            " (Holm, 5 comparisons)). It was chosen on these same texts, so its figure is a little too high, and the"
            " interval does not allow for the choice. That it is better is not shown.",
        ),
        (
            {"model": "classifier", "mode": "reasoned"},
            "Best of all 6 models and modes: Classifier (reasoning, then label), 70.0\u00a0% right.",
        ),
    ],
)
def test_the_best_of_all_is_named(best, said) -> None:
    found = metrics(0.1, 0.01) | {"best": {"score": 0.7, "candidates": 6, "minus": "classifier", **best}}
    assert said in " ".join(verdict(found).notes)


def test_of_several_labels_the_best_is_named_by_f1() -> None:
    best = {
        "model": "tfidf",
        "mode": "fast",
        "score": 0.5,
        "candidates": 4,
        "minus": "baseline",
        "difference": 0.1,
    }
    (note,) = best_notes({"baseline": {"micro_f1": 0.4}, "best": best | {"ci95": [0.0, 0.2]}})
    assert (
        "TF-IDF + a logistic regression for each label, micro-F1 50.0\u00a0%, 10.0 points above the baseline"
        in note
    )
    assert "p =" not in note
    assert list(best_notes({})) == []


@pytest.mark.parametrize(
    ("difference", "p", "claim"),
    [
        (0.1, 0.001, "labels better than"),
        (-0.1, 0.001, "labels worse than"),
        (0.02, 0.5, "No difference between"),
    ],
)
def test_a_classifier_that_learnt_no_reasoning_gets_no_credit_for_it(difference, p, claim) -> None:
    found = metrics(difference, p) | {"target": "label"}
    found["classifier"]["mode"] = "fast"
    said = verdict(found)
    assert claim in said.claim and "of the classifier against 63.3" in said.figures
    assert "reasoning" not in " ".join([said.sentence, *said.notes]).lower()


def test_texts_of_the_training_are_pointed_out() -> None:
    assert seen_note({}) is None and seen_note({"seen_in_training": {"rows": 9, "leaked": 0}}) is None
    for leaked, words in ((9, "All 9 test texts"), (4, "4 of 9 test texts")):
        found = metrics(0.1, 0.01) | {"seen_in_training": {"rows": 9, "leaked": leaked}}
        assert verdict(found).notes[0].startswith(f"{words} are among those that the model was trained on")
    assert "is not known" in str(seen_note({"seen_in_training": None}))
