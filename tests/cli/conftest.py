"""A trained model to predict with; the signals of the test process."""

import signal

import pytest

from whylabel.models.load import load
from whylabel.recipe import Recipe, override_recipe
from whylabel.stages.classifier import save_checked, train_classifier
from whylabel.text.labels import LabelSet
from whylabel.types import ReasonedExample


@pytest.fixture(autouse=True)
def own_signals():
    # `main` takes SIGTERM over; the test process gets it back.
    before = signal.getsignal(signal.SIGTERM)
    yield
    signal.signal(signal.SIGTERM, before)


@pytest.fixture(scope="session")
def model(tiny_model_folder, tmp_path_factory):
    folder = tmp_path_factory.mktemp("trained")
    loaded = load(str(tiny_model_folder), device="cpu")
    rows = [
        ReasonedExample(
            str(number), f"a text of number {number}", ("=odd", "even")[number % 2], "It says so."
        )
        for number in range(8)
    ]
    recipe = override_recipe(Recipe(name="t"), training__max_steps=6, training__learning_rate=1e-2)
    labels = LabelSet(("=odd", "even"))
    card, _ = train_classifier(
        loaded,
        rows,
        labels,
        recipe,
        target="reasoning_label",
        title="t",
        checkpoints=folder / "checkpoints",
        lineage={},
    )
    save_checked(loaded, card, rows, folder / "model")
    return folder / "model"
