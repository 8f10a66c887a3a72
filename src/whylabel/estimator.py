"""`ReasoningClassifier`: the whole method as a scikit-learn estimator."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from sklearn.base import BaseEstimator, ClassifierMixin
from sklearn.utils.validation import check_is_fitted

from whylabel.errors import DataError, ModelError, RecipeError
from whylabel.host.atomic import read_json, whole_folder, write_json
from whylabel.host.paths import expanded
from whylabel.models.check import check_replaceable
from whylabel.models.packaged import cache_folder
from whylabel.pipeline import Pipeline
from whylabel.recipe import Recipe, load_recipe, override_recipe
from whylabel.run_folder import RunFolder
from whylabel.types import Dataset, Example, Mode, Prediction, Target

if TYPE_CHECKING:
    from numpy.typing import NDArray

_CLASSES = "classes.json"
_SEVERAL = "for several labels a text, run a recipe with task.type: multi_label (whylabel run RECIPE)"


class ReasoningClassifier(ClassifierMixin, BaseEstimator):  # type: ignore[misc]
    """A text classifier that writes its reasoning, then the label.

    `fit` runs the method of the paper: it trains a reasoner (once for each recipe; the cache keeps it), lets it write
    a reasoning for every training text, and fine-tunes `base_model` to write reasoning and label.
    With `target="label"` it trains the baseline, which writes only the label.

    `reasoner` names a ready reasoner (a folder, hub id or GGUF file); then none is trained. `recipe` (a `Recipe` or
    its path; default: the defaults of `whylabel recipe`) gives everything that is None here. `output` is a folder
    that keeps the run, so that an interrupted `fit` can continue; default: a temporary folder.
    Works in `cross_val_score` and `Pipeline`.

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
    ) -> None:
        self.base_model = base_model
        self.question = question
        self.name = name
        self.target = target
        self.reasoner = reasoner
        self.recipe = recipe
        self.output = output
        self.random_state = random_state

    def fit(self, X: Iterable[str], y: Iterable[Any]) -> ReasoningClassifier:  # noqa: N803
        """Train on texts and their labels (strings, integers or booleans) and return self.

        Raises `DataError` if a text is blank, the lengths differ or a text has a list of labels, `LabelError` for
        fewer than two labels.
        """
        texts = _texts(X)
        labels = np.asarray(_single(y))
        if len(texts) != len(labels):
            raise DataError(f"There are {len(texts)} texts and {len(labels)} labels.")
        self.classes_ = np.unique(labels)
        examples = tuple(
            Example(str(place), text, str(label))
            for place, (text, label) in enumerate(zip(texts, labels.tolist(), strict=True))
        )
        with tempfile.TemporaryDirectory(prefix="whylabel-") as scratch:
            self.model_ = self._train(
                Dataset(train=examples), RunFolder(expanded(self.output) if self.output else scratch)
            )
        return self

    def predict(self, X: Iterable[str], mode: Mode | None = None) -> NDArray[Any]:  # noqa: N803
        """Return the label of every text, in the type of the labels given to `fit`.

        `mode` is how the model answers; default: `model_.mode`. Raises `ModelError` for a mode that it does not have.
        """
        return np.asarray(self.classes_[self.predict_proba(X, mode).argmax(axis=1)])

    def predict_proba(self, X: Iterable[str], mode: Mode | None = None) -> NDArray[np.float64]:  # noqa: N803
        """Return the probability of every label, shape (texts, labels), columns in the order of `classes_`.

        Raises `DataError` if a text is blank.
        """
        check_is_fitted(self, "model_")
        predictions = self.explain(X, mode or self.model_.mode)
        for place, prediction in enumerate(predictions):
            if prediction.status == "failed":
                raise DataError(f"Text {place} cannot be classified: {prediction.error}.")
        order = [self.model_.labels.index(str(label)) for label in self.classes_.tolist()]
        rows = np.array([prediction.probabilities for prediction in predictions], dtype=np.float64)
        return np.asarray(rows.reshape(len(predictions), len(order))[:, order])

    def explain(self, X: Iterable[str], mode: Mode | None = None) -> list[Prediction]:  # noqa: N803
        """Return a prediction with label, probabilities and reasoning for every text. A blank text fails alone.

        Default of `mode`: a mode that writes a reasoning, if the model has one. If this is not the default of
        `predict`, its labels may differ from those of `predict`.
        """
        check_is_fitted(self, "model_")
        rows = [(str(place), text) for place, text in enumerate(_texts(X, blank_allowed=True))]
        return list(self.model_.predict(rows, mode or self.model_.card.explaining_mode))

    def save(self, folder: str | Path) -> None:
        """Save the fitted model as a plain model folder, for `load`, `whylabel predict` and transformers.

        Raises `UsageError` if the folder holds anything but a saved model.
        """
        from whylabel.models.load import save

        check_is_fitted(self, "model_")
        # A link is followed: the folder behind it is filled.
        place = Path(os.path.realpath(expanded(folder)))
        check_replaceable(place)
        with whole_folder(place) as aside:
            save(self.model_.loaded, aside, self.model_.card.to_json())
            write_json(aside / _CLASSES, self.classes_.tolist())

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
        fitted.classes_ = np.array(
            read_json(classes, list, fix="save the model again") if classes.exists() else model.labels.names
        )
        return fitted

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        tags.input_tags.string = True
        tags.input_tags.two_d_array = False
        return tags

    def _train(self, dataset: Dataset, run: RunFolder) -> Any:
        from whylabel.prediction.trained import TrainedClassifier

        recipe = self._recipe()
        reasoned = recipe.classifier.target != "label"
        if reasoned and recipe.reasoner.model is None:
            recipe = override_recipe(recipe, reasoner__model=_shared_reasoner(recipe))
        pipeline = Pipeline(recipe, run, dataset)
        with run.locked():
            pipeline.begin()
            if reasoned:
                pipeline.augment(frozenset({"failed"}) if run.failed_rows("augment") else frozenset())
            pipeline.train_classifier()
        if pipeline.failed_rows:
            raise ModelError(f"The reasoner failed on {pipeline.failed_rows} texts.", fix="fit again")
        return TrainedClassifier.from_folder(run.classifier_model, device=recipe.device)

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
        }
        given = {key: value for key, value in named.items() if value is not None}
        if recipe.task.type == "multi_label":
            raise RecipeError("ReasoningClassifier gives each text one label.", fix=_SEVERAL)
        return override_recipe(recipe, **given, task__labels=None)


def _single(labels: Iterable[Any]) -> list[Any]:
    """Return the labels as a list. Raises `DataError` if one of them is itself a list of labels."""
    found = list(labels)
    for place, label in enumerate(found):
        if isinstance(label, (list, tuple, set)) or getattr(label, "ndim", 0) > 0:
            raise DataError(f"Text {place} has a list of labels, but it must have one label.", fix=_SEVERAL)
    return found


def _shared_reasoner(recipe: Recipe) -> str:
    """Return the folder of the reasoner of this recipe's stage 1; it is trained if it is not in the cache."""
    pipeline = Pipeline(recipe, RunFolder(cache_folder() / "reasoners" / "unknown"))
    run = RunFolder(cache_folder() / "reasoners" / pipeline.reasoner_fingerprint()[:16])
    with run.locked():
        Pipeline(recipe, run).train_reasoner()
    return str(run.reasoner_model)


def _texts(texts: Iterable[str], *, blank_allowed: bool = False) -> list[str]:
    if isinstance(texts, str):
        raise DataError("This needs a list of texts, not one text.", fix="predict([text])")
    found: Sequence[Any] = list(texts)
    for place, text in enumerate(found):
        if not isinstance(text, str):
            raise DataError(f"Text {place} is a {type(text).__name__}, not a string.")
        if not blank_allowed and not text.strip():
            raise DataError(f"Text {place} is blank.", fix="leave it out")
    return [str(text) for text in found]
