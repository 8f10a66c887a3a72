"""scikit-learn's own checks of estimators, with a tiny model of random weights."""

import pytest
from sklearn.utils.estimator_checks import parametrize_with_checks
from sklearn.utils.validation import validate_data

from whylabel import ReasoningClassifier
from whylabel.errors import DataError
from whylabel.recipe import Recipe, override_recipe

NOT_APPLICABLE = {
    "check_fit2d_1sample": "one text has one label, which is the error, so it names the labels, not the rows",
    "check_classifiers_regression_target": "any number may be a label: 1.0 and 1.5 are as good as 'a' and 'b'",
}


class OnNumbers(ReasoningClassifier):
    """Takes what the checks give, rows of numbers, each of them as a text, and raises what they expect."""

    def fit(self, X, y):  # noqa: N803
        try:
            return super().fit(as_texts(validate_data(self, X)), y)
        except DataError as error:
            raise ValueError(str(error)) from error

    def predict_proba(self, X, mode=None):  # noqa: N803
        if not hasattr(self, "model_"):
            return super().predict_proba(X, mode)
        return super().predict_proba(as_texts(validate_data(self, X, reset=False)), mode)

    def __sklearn_tags__(self):
        tags = super().__sklearn_tags__()
        tags.input_tags.two_d_array, tags.input_tags.string = True, False
        # One step of training with random weights.
        tags.classifier_tags.poor_score = True
        return tags


def as_texts(rows):
    return [" ".join(f"{number:.2f}" for number in row) for row in rows]


@pytest.fixture(autouse=True)
def recipe(tiny_model_folder, tmp_path, monkeypatch):
    """Put the recipe that the estimator below names into the current folder."""
    tiny = override_recipe(Recipe(name="tiny"), base_model=str(tiny_model_folder), training__max_steps=1)
    (tmp_path / "tiny.yaml").write_text(tiny.to_yaml())
    monkeypatch.chdir(tmp_path)


@parametrize_with_checks(
    [OnNumbers(target="label", recipe="tiny.yaml"), ReasoningClassifier()],
    expected_failed_checks=lambda _estimator: NOT_APPLICABLE,
    xfail_strict=True,
)
def test_checks(estimator, check):
    check(estimator)
