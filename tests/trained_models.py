"""Tiny models, trained within a second on texts whose one word gives the label away."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from whylabel.models.load import load
from whylabel.prediction.trained import TrainedClassifier
from whylabel.recipe import Recipe, override_recipe
from whylabel.stages.classifier import calibrate_classifier, save_checked, train_classifier
from whylabel.text.labels import LabelSet
from whylabel.types import Example, ReasonedExample, Target

LABELS = LabelSet(("joy", "joyful", "sad", "very sad"))
RECIPE = override_recipe(
    Recipe(name="test"),
    training__num_train_epochs=8,
    training__learning_rate=1e-2,
    training__per_device_train_batch_size=4,
    classifier__votes=3,
)


def labelled(reasoned: bool, first: int = 0, count: int = 24) -> Iterator[Example | ReasonedExample]:
    words = {"joy": "bright", "joyful": "brighter", "sad": "grey", "very sad": "black"}
    for number in range(first, first + count):
        label = LABELS.names[number % 4]
        text = f"It was a {words[label]} day, number {number}"
        if reasoned:
            yield ReasonedExample(str(number), text, label, f'"{words[label]}" says it.')
        else:
            yield Example(str(number), text, label)


def train_tiny(
    base: Path, folder: Path, target: Target, validation: int = 0, recipe: Recipe = RECIPE
) -> TrainedClassifier:
    """Return a model as it comes back from disk; it lies in `folder / "model"`."""
    loaded = load(str(base), device="cpu")
    rows = list(labelled(target != "label"))
    card, figures = train_classifier(
        loaded,
        rows,
        LABELS,
        recipe,
        target=target,
        title="t",
        checkpoints=folder / "checkpoints",
        lineage={"seed": 1},
    )
    assert figures["rows"] == 24
    card = calibrate_classifier(loaded, card, list(labelled(False, 100, validation)), recipe)
    save_checked(loaded, card, rows, folder / "model")
    return TrainedClassifier.from_folder(folder / "model", device="cpu")
