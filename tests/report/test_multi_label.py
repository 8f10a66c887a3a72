"""Report and card of a run in which a text may have several labels: F1 everywhere, nothing about accuracy."""

from __future__ import annotations

import json
import random
import re

from finished_run import EMOTIONS, MakeRun
from report_page import page_of
from whylabel.evaluation.evaluate import evaluate
from whylabel.evaluation.multi_label import measures_by_label
from whylabel.evaluation.predictions import write_predictions
from whylabel.host.atomic import write_json
from whylabel.recipe import EvaluationConfig, Recipe, build_recipe
from whylabel.report.model_card import write_model_card
from whylabel.report.multi_label import verdict_of
from whylabel.run_folder import RunFolder
from whylabel.text.labels import LabelSet
from whylabel.text.several_labels import Separator
from whylabel.types import Example, Prediction

RECIPE: Recipe = build_recipe(
    {"name": "moods", "task": {"type": "multi_label"}, "classifier": {"target": "multi_task"}}
)


def labels(number: int) -> list[str]:
    return [name for bit, name in enumerate(EMOTIONS) if (number * 5 % 64) >> bit & 1]


def examples(split: str, count: int) -> list[Example]:
    return [
        Example(f"{split}-{at}", f"{split} {at} {labels(at)}", ", ".join(labels(at))) for at in range(count)
    ]


def said(rows: list[Example], right: float, seed: int) -> list[Prediction]:
    draw = random.Random(seed)
    found = []
    for at, row in enumerate(rows):
        names = [name for name in EMOTIONS if (name in labels(at)) == (draw.random() < right)]
        found.append(Prediction(row.id, ", ".join(names), (0.87,) * len(EMOTIONS), seconds=0.03))
    return found


def by_label(run: RunFolder, better: float = 0.95) -> RunFolder:
    """Put another evaluation into a finished run."""
    test = examples("test", 64)
    result = evaluate(
        test,
        examples("train", 30),
        LabelSet(EMOTIONS),
        {"baseline": said(test, 0.75, 1), "classifier": said(test, better, 2)},
        EvaluationConfig(bootstrap_samples=200),
        seed=13,
        measures=measures_by_label(Separator()),
    )
    run.write_recipe(RECIPE.to_yaml())
    write_json(run.evaluation_metrics, result.to_json())
    write_predictions(run.predictions, result.rows)
    return run


def test_the_page_has_f1_and_no_accuracy_of_single_labels(make_run: MakeRun) -> None:
    run = by_label(make_run())
    text = page_of(run).text
    metrics = json.loads(run.evaluation_metrics.read_text(encoding="utf-8"))
    for model in (metrics["baseline"], metrics["classifier"], *metrics["floors"].values()):
        for key in ("micro_f1", "macro_f1", "subset_accuracy"):
            assert f"{100 * model[key]:.1f} %" in text
        assert f"{model['hamming_loss']:.4f}" in text
    assert "The classifier labels better than the baseline on this data" in text
    assert "Most frequent labels" in text and "Majority label" not in text
    for wrong in ("Wilson", "McNemar", "Log loss", "abstain", "Confusion", "gold ↓", "most frequent label."):
        assert wrong not in text
    assert not re.search(r"(?<!Subset )(?<!subset )[Aa]ccuracy", text.split("Recipe and lineage What")[0])
    assert "gold nothing" in text and "87 %" not in text.split("Recipe and lineage What")[0]


def test_the_card_says_how_labels_are_decided(make_run: MakeRun) -> None:
    run = by_label(make_run())
    card = write_model_card(run).read_text(encoding="utf-8")
    assert "decides for each of 6 labels whether it applies" in card
    assert "do not sum to 1" in card and "TrainedClassifier" in card
    for wrong in ("ReasoningClassifier", "Every text gets one of the labels", "| accuracy", "type: accuracy"):
        assert wrong not in card
    assert "name: Micro-F1" in card and "| subset accuracy |" in card


def test_the_verdict_says_what_the_interval_shows(make_run: MakeRun) -> None:
    claims = []
    for better in (0.95, 0.75, 0.4):
        run = by_label(make_run(), better)
        claims.append(verdict_of(json.loads(run.evaluation_metrics.read_text(encoding="utf-8"))).claim)
    assert claims == [
        "The classifier labels better than the baseline on this data",
        "No difference between classifier and baseline could be shown on this data",
        "The classifier labels worse than the baseline on this data",
    ]
    alone = verdict_of({"classifier": {"micro_f1": 0.5, "n": 10, "micro_f1_ci95": [0.4, 0.6]}})
    assert "Only the classifier has been evaluated: micro-F1 50.0" in alone.sentence
    floor = {"tfidf": {"micro_f1": 0.9}}
    notes = verdict_of({"classifier": {"micro_f1": 0.5}, "floors": floor}).notes
    assert "TF-IDF with a logistic regression for each label reaches micro-F1 90.0" in notes[0]
    assert notes[0].endswith("no less than the classifier.")
    both = {name: {"micro_f1": 0.5} for name in ("baseline", "classifier")}
    notes = verdict_of({**both, "floors": floor, "rivals": {"head": {"micro_f1": 0.95}}}).notes
    assert any(note.endswith("no less than the baseline and the classifier.") for note in notes)
