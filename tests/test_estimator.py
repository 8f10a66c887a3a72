import numpy as np
import pytest
from sklearn.base import clone
from sklearn.model_selection import cross_val_score
from sklearn.pipeline import Pipeline as SklearnPipeline
from sklearn.preprocessing import FunctionTransformer

from whylabel import ReasoningClassifier
from whylabel.errors import DataError, LabelError, ModelError, UsageError
from whylabel.recipe import Recipe, override_recipe

TEXTS = [f"It was a {'bright' if number % 2 else 'grey'} day, number {number}" for number in range(24)]
LABELS = ["joy" if number % 2 else "sadness" for number in range(24)]


@pytest.fixture
def recipe(tiny_model_folder, tmp_path, monkeypatch) -> Recipe:
    monkeypatch.setenv("WHYLABEL_CACHE", str(tmp_path / "cache"))
    return override_recipe(
        Recipe(name="tiny"),
        base_model=str(tiny_model_folder),
        reasoner__rows=8,
        reasoner__validation_rows=4,
        reasoner__training__max_steps=1,
        augment__engine="scripted",
        augment__sampling__max_new_tokens=16,
        training__num_train_epochs=8,
        training__learning_rate=1e-2,
        training__per_device_train_batch_size=4,
    )


def test_fit_predict_explain_save_load(recipe, tmp_path):
    classifier = ReasoningClassifier(question="Which emotion does the writer feel?", recipe=recipe)
    assert classifier.fit(TEXTS, LABELS) is classifier
    assert list(classifier.classes_) == ["joy", "sadness"]
    found = classifier.predict_proba(TEXTS[:5])
    assert found.shape == (5, 2)
    np.testing.assert_allclose(found.sum(axis=1), 1)
    assert list(classifier.predict(TEXTS[:5])) == list(classifier.classes_[found.argmax(axis=1)])
    explained = classifier.explain([*TEXTS[:2], " "])
    assert [row.status == "failed" for row in explained] == [False, False, True]
    assert explained[0].reasoning is not None
    assert classifier.model_.card.columns is None
    classifier.save(tmp_path / "model")
    classifier.save(tmp_path / "model")  # its own model is replaced
    notes = tmp_path / "notes"
    notes.mkdir()
    (notes / "diary.txt").write_text("mine")
    with pytest.raises(UsageError, match=r"'diary\.txt'"):
        classifier.save(notes)
    assert [path.name for path in notes.iterdir()] == ["diary.txt"]
    (tmp_path / "model" / "diary.txt").write_text("mine")
    with pytest.raises(UsageError, match=r"'diary\.txt'"):
        classifier.save(tmp_path / "model")
    again = ReasoningClassifier.load(tmp_path / "model")
    np.testing.assert_allclose(again.predict_proba(TEXTS[:5]), found, atol=1e-5)
    (tmp_path / "behind").mkdir()
    (tmp_path / "link").symlink_to(tmp_path / "behind")
    classifier.save(tmp_path / "link")
    assert (tmp_path / "link").is_symlink()
    assert (tmp_path / "behind" / "whylabel.json").exists()
    assert again.question == "Which emotion does the writer feel?"


def test_the_home_folder_may_be_named(recipe, tmp_path, monkeypatch):
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.chdir(tmp_path)
    ReasoningClassifier(recipe=recipe, target="label", output="~/kept").fit(TEXTS, LABELS)
    assert (tmp_path / "kept" / "run.json").exists() and not (tmp_path / "~").exists()


def test_the_reasoner_is_trained_once(recipe, monkeypatch):
    from whylabel.stages import reasoner

    trained = []
    real = reasoner.train_reasoner
    monkeypatch.setattr(
        reasoner, "train_reasoner", lambda *rest, **named: trained.append(1) or real(*rest, **named)
    )
    for _ in range(2):
        ReasoningClassifier(recipe=recipe).fit(TEXTS, LABELS)
    assert len(trained) == 1


def test_every_method_takes_a_mode(recipe):
    classifier = ReasoningClassifier(target="dual", recipe=recipe).fit(TEXTS, LABELS)
    assert classifier.model_.card.modes == ("fast", "reasoned", "vote")
    explained = {mode: classifier.explain(TEXTS[:4], mode) for mode in ("fast", "reasoned")}
    assert [row.reasoning is None for row in explained["fast"]] == [True] * 4
    assert [row.reasoning is None for row in explained["reasoned"]] == [False] * 4
    # Who asks for an explanation gets one, and labels come at once.
    assert classifier.explain(TEXTS[:1])[0].mode == "reasoned"
    np.testing.assert_allclose(
        classifier.predict_proba(TEXTS[:4]), [row.probabilities for row in explained["fast"]], atol=1e-5
    )
    chances = classifier.predict_proba(TEXTS[:4], "reasoned")
    np.testing.assert_allclose(chances, [row.probabilities for row in explained["reasoned"]], atol=1e-5)
    assert list(classifier.predict(TEXTS[:4], "reasoned")) == [row.label for row in explained["reasoned"]]
    with pytest.raises(ModelError, match="It can: fast, reasoned, vote"):
        classifier.predict(TEXTS[:4], "blend")


def test_labels_keep_their_type_and_order(recipe, tmp_path):
    numbers = [10 if label == "joy" else 9 for label in LABELS]
    classifier = ReasoningClassifier(target="label", recipe=recipe).fit(TEXTS, numbers)
    assert list(classifier.classes_) == [9, 10]
    assert classifier.predict(TEXTS).dtype == classifier.classes_.dtype
    explained = classifier.explain(TEXTS)
    assert classifier.predict(TEXTS).tolist() == [int(row.label) for row in explained]
    # The model's own label order is that of strings, "10" before "9".
    assert classifier.model_.labels.names == ("10", "9")
    expected = [row.probabilities[::-1] for row in explained]
    np.testing.assert_allclose(classifier.predict_proba(TEXTS), expected, atol=1e-5)
    classifier.save(tmp_path / "model")
    again = ReasoningClassifier.load(tmp_path / "model")
    assert again.predict(TEXTS[:4]).tolist() == classifier.predict(TEXTS[:4]).tolist()


def test_it_is_a_scikit_learn_estimator(recipe):
    classifier = ReasoningClassifier(target="label", recipe=recipe, random_state=5)
    assert clone(classifier).get_params() == classifier.get_params()
    assert not hasattr(clone(classifier), "classes_")
    steps = SklearnPipeline([("strip", FunctionTransformer(list)), ("classifier", classifier)])
    scores = cross_val_score(steps, TEXTS, LABELS, cv=2)
    assert scores.shape == (2,)
    assert ((scores >= 0) & (scores <= 1)).all()


def test_a_run_is_kept_where_it_is_wanted(recipe, tmp_path):
    ReasoningClassifier(target="label", recipe=recipe, output=tmp_path / "run").fit(TEXTS, LABELS)
    assert (tmp_path / "run" / "classifier" / "model" / "whylabel.json").exists()


def test_bad_input_is_a_clear_error(recipe):
    classifier = ReasoningClassifier(target="label", recipe=recipe)
    with pytest.raises(DataError, match="24 texts and 3 labels"):
        classifier.fit(TEXTS, LABELS[:3])
    with pytest.raises(DataError, match="Text 1 is blank"):
        classifier.fit(["a", " "], ["x", "y"])
    with pytest.raises(DataError, match="not a string"):
        classifier.fit(["a", 3], ["x", "y"])
    with pytest.raises(DataError, match="not one text"):
        classifier.fit("a", ["x"])
    with pytest.raises(LabelError, match="at least two labels"):
        classifier.fit(TEXTS, ["same"] * 24)
