"""`ReasoningClassifier`: the whole method as a scikit-learn estimator."""

from __future__ import annotations

import os
import tempfile
import warnings
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from sklearn.base import BaseEstimator, ClassifierMixin
from sklearn.exceptions import DataConversionWarning
from sklearn.utils.validation import check_is_fitted

from whylabel.data.classes import classes_from_json, classes_to_json
from whylabel.data.given import (
    SEVERAL,
    given_dataset,
    given_labels,
    given_reasonings,
    given_texts,
    label_names,
)
from whylabel.errors import DataError, ModelError, RecipeError
from whylabel.host.atomic import as_written, read_json, whole_folder, write_json
from whylabel.host.caller import as_found
from whylabel.host.locks import one_at_a_time
from whylabel.host.paths import expanded
from whylabel.models.check import check_replaceable
from whylabel.models.packaged import cache_folder
from whylabel.pipeline import Pipeline
from whylabel.recipe import Recipe, load_recipe, override_recipe
from whylabel.recipe.reasoner import OWN_ROWS
from whylabel.run_folder import RunFolder
from whylabel.text.labels import LabelSet
from whylabel.types import Dataset, Mode, Prediction, Target

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from whylabel.prediction.trained import TrainedClassifier

_CLASSES = "classes.json"
_AGAIN = "save the model again"


class ReasoningClassifier(ClassifierMixin, BaseEstimator):  # type: ignore[misc]
    """A text classifier that writes its reasoning, then the label.

    `fit` runs the method of the paper: it trains a reasoner (once for each recipe; the cache keeps it), lets it write
    a reasoning for every training text, and fine-tunes `base_model` to write reasoning and label.
    With `target="label"` it trains the baseline, which writes only the label.

    `reasoner` names a ready reasoner (a folder, hub id or GGUF file); then none is trained. `recipe` (a `Recipe` or
    its path; default: the defaults of `whylabel recipe`) gives everything that is None here. `output` is a folder
    that keeps the run, so that an interrupted `fit` can continue; default: a temporary folder.
    `validation_fraction` (above 0, below 0.5) is the share of the texts that is not trained on but calibrates the
    probabilities, if it is 20 texts or more; `training.selection` may use it, too. Default: every text is trained on,
    and nothing is calibrated.

    Texts are a list, a column, or a table of one column. Labels may be strings, numbers, booleans or dates, and come
    back as they were given. Random numbers, logging and warnings of the caller are left as they were.
    Works in `Pipeline`, `GridSearchCV`, `cross_val_score(n_jobs=2)` and the like; a fitted one can be pickled.
    (`VotingClassifier` hands over 0, 1, 2, ... in place of labels, so the models in it read and write these.)

    >>> clf = ReasoningClassifier(question="Which emotion does the writer feel?")
    >>> clf.fit(texts, labels).predict(["I could not stop smiling."])  # doctest: +SKIP
    array(['joy'], dtype='<U8')
    """

    def __init__(
        self,
        *,
        base_model: str | None = None,
        question: str | None = None,
        name: str | None = None,
        target: Target | None = None,
        reasoner: str | None = None,
        recipe: Recipe | str | Path | None = None,
        output: str | Path | None = None,
        random_state: int | None = None,
        validation_fraction: float | None = None,
    ) -> None:
        self.base_model = base_model
        self.question = question
        self.name = name
        self.target = target
        self.reasoner = reasoner
        self.recipe = recipe
        self.output = output
        self.random_state = random_state
        self.validation_fraction = validation_fraction

    def fit(self, X: Any, y: Any, reasonings: Any = None) -> ReasoningClassifier:  # noqa: N803
        """Train on texts and their labels and return self.

        `reasonings` are those that texts come with, one for each text (None or blank: none). The reasoner writes the
        others.

        Raises `DataError`, with places, if a text or a label is missing, blank or not readable, if a text has a list
        of labels, if the lengths differ, or if X or y is no column; `LabelError` for fewer than two labels.
        """
        if y is None:
            raise DataError(
                "fit requires y to be passed, but the target y is None.", fix="fit(texts, labels)"
            )
        texts, labels = given_texts(X), given_labels(y)
        if len(getattr(y, "shape", ())) == 2:
            said = "A column-vector y was passed when a 1d array was expected."
            warnings.warn(said, DataConversionWarning, stacklevel=2)
        if len(texts) != len(labels):
            raise DataError(f"There are {len(texts)} texts and {len(labels)} labels.")
        given = None if reasonings is None else given_reasonings(reasonings)
        if given is not None and len(given) != len(texts):
            raise DataError(
                f"There are {len(texts)} texts and {len(given)} reasonings.",
                fix="give one for each text; None where there is none",
            )
        classes, places = _classes(labels)
        names = label_names(classes)
        LabelSet.from_labels(names)  # raises before anything is trained
        recipe = self._recipe()
        fraction = 0.0 if self.validation_fraction is None else recipe.data.validation_fraction
        dataset = given_dataset(texts, [names[place] for place in places], fraction, recipe.seed, given)
        with as_found(), tempfile.TemporaryDirectory(prefix="whylabel-") as scratch:
            run = RunFolder(expanded(self.output) if self.output else scratch)
            self.model_ = _train(recipe, dataset, run)
        self.classes_ = classes
        return self

    def predict(self, X: Any, mode: Mode | None = None) -> NDArray[Any]:  # noqa: N803
        """Return the label of every text, as it was given to `fit`.

        `mode` is how the model answers; default: `model_.mode`. Raises `ModelError` for a mode that it does not have.
        """
        places = self.predict_proba(X, mode).argmax(axis=1)
        return np.asarray(self.classes_[places])

    def predict_proba(self, X: Any, mode: Mode | None = None) -> NDArray[np.float64]:  # noqa: N803
        """Return the probability of every label, shape (texts, labels), columns in the order of `classes_`.

        Raises `DataError`, with places, if a text is missing, blank or not readable, or if X is no column of texts.
        """
        check_is_fitted(self, "model_")
        predictions = self._predictions(given_texts(X), mode or self.model_.mode)
        for place, prediction in enumerate(predictions):
            if prediction.status == "failed":
                raise DataError(f"Text {place} cannot be classified: {prediction.error}.")
        order = [self.model_.labels.index(name) for name in label_names(self.classes_)]
        rows = np.array([prediction.probabilities for prediction in predictions], dtype=np.float64)
        return np.asarray(rows.reshape(len(predictions), len(order))[:, order])

    def explain(
        self,
        X: Any,  # noqa: N803
        mode: Mode | None = None,
        *,
        evidence: bool = False,
        show_all: bool = False,
    ) -> list[Prediction]:
        """Return a prediction with label, probabilities and reasoning for every text; its label is a string.

        With `evidence`, it also has the stretches of the text that the label rests on. With `show_all`, reasonings
        that are to be withheld (`reasoning_status`) are there, too.

        A text that is missing, blank or not readable fails alone. Default of `mode`: a mode that writes a reasoning,
        if the model has one. If this is not the default of `predict`, its labels may differ from those of `predict`.
        """
        check_is_fitted(self, "model_")
        texts = given_texts(X, all_usable=False)
        mode = mode or self.model_.card.explaining_mode
        return self._predictions(texts, mode, evidence=evidence, show_all=show_all)

    def _predictions(
        self, texts: list[str], mode: Mode, *, evidence: bool = False, show_all: bool = False
    ) -> list[Prediction]:
        rows = [(str(place), text) for place, text in enumerate(texts)]
        with as_found():
            return list(self.model_.predict(rows, mode, evidence=evidence, show_all=show_all))

    def save(self, folder: str | Path) -> None:
        """Save the fitted model as a plain model folder, for `load`, `whylabel predict` and transformers.

        Raises `UsageError` if the folder holds anything but a saved model, `DataError` if the labels are of a type
        that cannot be written.
        """
        from whylabel.models.load import save

        check_is_fitted(self, "model_")
        # A link is followed: the folder behind it is filled.
        place = Path(os.path.realpath(expanded(folder)))
        check_replaceable(place)
        classes = classes_to_json(self.classes_)
        with as_found(), whole_folder(place) as aside:
            save(self.model_.loaded, aside, self.model_.card.to_json())
            write_json(aside / _CLASSES, classes)

    @classmethod
    def load(cls, folder: str | Path) -> ReasoningClassifier:
        """Return a fitted classifier from a saved folder, or from a run folder."""
        from whylabel.prediction.trained import TrainedClassifier, model_folder

        model = TrainedClassifier.from_folder(folder)
        if model.card.multi_label is not None:
            raise ModelError(
                "ReasoningClassifier gives each text one label, but this model may give several.",
                where=str(folder),
                fix="use whylabel predict, or whylabel.TrainedClassifier.from_folder",
            )
        classes = model_folder(folder) / _CLASSES
        fitted = cls(
            base_model=str(model.card.lineage.get("base_model", "")),
            question=model.card.question,
            name=model.card.name,
            target=model.card.target,
        )
        fitted.model_ = model
        fitted.classes_ = np.array(model.labels.names)
        if classes.exists():
            with as_written(classes, fix=_AGAIN):
                fitted.classes_ = classes_from_json(read_json(classes, object, fix=_AGAIN))
        return fitted

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        tags.input_tags.string = True
        tags.input_tags.two_d_array = False
        return tags

    def _recipe(self) -> Recipe:
        recipe = self.recipe if isinstance(self.recipe, Recipe) else None
        if recipe is None:
            recipe = Recipe(name="fit") if self.recipe is None else load_recipe(Path(str(self.recipe)))
        named = {
            "seed": self.random_state,
            "base_model": self.base_model,
            "task__question": self.question,
            "task__name": self.name,
            "classifier__target": self.target,
            "reasoner__model": self.reasoner,
            "data__validation_fraction": self.validation_fraction,
        }
        # A search over an array gives NumPy's own numbers and strings.
        named = {
            key: value.item() if isinstance(value, np.generic) else value for key, value in named.items()
        }
        given = {key: value for key, value in named.items() if value is not None}
        if recipe.task.type == "multi_label":
            raise RecipeError("ReasoningClassifier gives each text one label.", fix=SEVERAL)
        return override_recipe(recipe, **given, task__labels=None)


def _classes(labels: NDArray[Any]) -> tuple[NDArray[Any], NDArray[np.intp]]:
    """Return the distinct labels in their order, and for each label its place among them."""
    try:
        return np.unique(labels, return_inverse=True)
    except TypeError:
        kind = type(labels[0]).__name__
        raise DataError(f"Labels of the type {kind} have no order.", fix="give strings or numbers") from None


def _train(recipe: Recipe, dataset: Dataset, run: RunFolder) -> TrainedClassifier:
    """Train and calibrate in a run folder, and return the model."""
    from whylabel.prediction.trained import TrainedClassifier

    reasoned = recipe.classifier.target != "label"
    if reasoned and recipe.reasoner.model is None:
        recipe = override_recipe(recipe, reasoner__model=_shared_reasoner(recipe, dataset))
    pipeline = Pipeline(recipe, run, dataset)
    with run.locked():
        pipeline.begin()
        if reasoned:
            pipeline.augment(frozenset({"failed"}) if run.failed_rows("augment") else frozenset())
        pipeline.train_classifier()
    if pipeline.failed_rows:
        raise ModelError(f"The reasoner failed on {pipeline.failed_rows} texts.", fix="fit again")
    return TrainedClassifier.from_folder(run.classifier_model, device=recipe.device)


def _shared_reasoner(recipe: Recipe, dataset: Dataset) -> str:
    """Return the folder of the reasoner of this recipe's stage 1; it is trained if it is not in the cache.

    Of the data set, it depends on the rows that came with a reasoning, where `reasoner.data` names these. One
    process trains it, and others that need it wait.
    """
    given = dataset if OWN_ROWS in recipe.reasoner.sources else None
    pipeline = Pipeline(recipe, RunFolder(cache_folder() / "reasoners" / "unknown"), given)
    run = RunFolder(cache_folder() / "reasoners" / pipeline.reasoner_fingerprint()[:16])
    with one_at_a_time(run.path), run.locked():
        Pipeline(recipe, run, given).train_reasoner()
    return str(run.reasoner_model)
