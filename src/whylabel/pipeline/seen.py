"""Which of the texts that a model is evaluated on it was trained on: figures on those are no figures on new texts."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from whylabel.data.leakage import Leakage, texts_in_train
from whylabel.errors import WhylabelError
from whylabel.pipeline.inputs import Inputs
from whylabel.reasonings.files import iterate_examples
from whylabel.recipe import load_recipe
from whylabel.run_folder import RunFolder
from whylabel.types import Example


def seen_in_training(run: RunFolder | None, rows: Sequence[Example], source: str) -> Leakage | None:
    """Return how many of the rows have a text that the run's models were trained on; None if that is not known.

    The train rows are read again from the data of the run, if that is as it was; else they are those that the run has
    kept with a reasoning. `source` is where the rows come from: nothing is read from the hub unless they are.
    """
    train = None if run is None else _train_rows(run, from_hub=source.startswith("hub:"))
    return None if train is None else texts_in_train(train, {"test": rows})[0]


def _train_rows(run: RunFolder, *, from_hub: bool) -> Iterable[Example] | None:
    if run.recipe.exists():
        try:
            inputs = Inputs(load_recipe(run.recipe))
            if from_hub or not inputs.source.startswith("hub:"):
                known = (run.read_manifest().get("data") or {}).get("fingerprint")
                if inputs.description["fingerprint"] == known:
                    return inputs.dataset.train
        except (WhylabelError, OSError):
            pass
    if run.kept.exists():
        return iterate_examples(run.kept)
    return None
