import copy
import pickle
import random
import time
from concurrent.futures import ThreadPoolExecutor
from datetime import date

import numpy as np
import pandas as pd
import pytest
import torch
from joblib import parallel_config
from sklearn.base import clone
from sklearn.calibration import CalibratedClassifierCV
from sklearn.ensemble import VotingClassifier
from sklearn.exceptions import NotFittedError
from sklearn.model_selection import GridSearchCV, cross_val_score
from sklearn.pipeline import Pipeline as SklearnPipeline
from sklearn.preprocessing import FunctionTransformer
from transformers.utils import logging as transformers_logging

from whylabel import ReasoningClassifier
from whylabel.errors import DataError, LabelError, ModelError, RecipeError, UsageError
from whylabel.estimator import _shared_reasoner
from whylabel.host.runtime import prepare_process
from whylabel.models.packaged import cache_folder
from whylabel.reasonings.files import read_reasoned
from whylabel.recipe import Recipe, override_recipe
from whylabel.types import Dataset

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


@pytest.fixture
def quick(recipe) -> Recipe:
    """One step of training: for what does not depend on what is learnt."""
    return override_recipe(recipe, training__max_steps=1)


def test_fit_predict_explain_save_load(recipe, tmp_path):
    classifier = ReasoningClassifier(question="Which emotion does the writer feel?", recipe=recipe)
    assert classifier.fit(TEXTS, LABELS) is classifier
    assert list(classifier.classes_) == ["joy", "sadness"]
    found = classifier.predict_proba(TEXTS[:5])
    assert found.shape == (5, 2)
    np.testing.assert_allclose(found.sum(axis=1), 1)
    assert list(classifier.predict(TEXTS[:5])) == list(classifier.classes_[found.argmax(axis=1)])
    explained = classifier.explain([*TEXTS[:2], " "], show_all=True)
    assert [row.status == "failed" for row in explained] == [False, False, True]
    assert explained[0].reasoning is not None
    assert explained[0].evidence is None
    assert classifier.explain(TEXTS[:1], evidence=True)[0].evidence is not None
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
    explained = {mode: classifier.explain(TEXTS[:4], mode, show_all=True) for mode in ("fast", "reasoned")}
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


@pytest.mark.parametrize(
    ("first", "second"),
    [
        (1.5, 2.0),
        (True, False),
        (date(2024, 1, 1), date(2023, 1, 1)),
        (np.int8(3), np.int8(-3)),
        (np.datetime64("2024-01-01"), np.datetime64("2023-01-01")),
        (pd.Timestamp("2024-01-01 08:30"), pd.Timestamp("2023-01-01")),
    ],
    ids=lambda label: type(label).__name__,
)
def test_labels_of_any_type_come_back_as_given(quick, tmp_path, first, second):
    labels = [first if label == "joy" else second for label in LABELS]
    classifier = ReasoningClassifier(target="label", recipe=quick).fit(TEXTS, pd.Series(labels, dtype=object))
    assert classifier.classes_.tolist() == np.array(sorted({first, second})).tolist()
    classifier.save(tmp_path / "model")
    again = ReasoningClassifier.load(tmp_path / "model")
    given = np.array([first, second])
    for found in (classifier.classes_, classifier.predict(TEXTS), again.classes_, again.predict(TEXTS)):
        assert found.dtype == given.dtype
        assert {type(label) for label in found} == {type(label) for label in given}
        assert set(found.tolist()) <= set(given.tolist())
    assert again.predict(TEXTS).tolist() == classifier.predict(TEXTS).tolist()


def test_a_table_of_one_column_is_that_column(quick):
    table = pd.DataFrame({"text": TEXTS}, index=range(100, 124))
    classifier = ReasoningClassifier(target="label", recipe=quick).fit(table, pd.Series(LABELS))
    expected = classifier.predict_proba(TEXTS)
    for texts in (table, table["text"], table.to_numpy(), np.array(TEXTS), pd.Series(TEXTS)):
        np.testing.assert_allclose(classifier.predict_proba(texts), expected, atol=1e-5)
        assert len(classifier.predict(texts)) == len(classifier.explain(texts)) == 24
    for wrong in (table.assign(id=1), table.to_dict(), set(TEXTS), "one text", np.array([TEXTS, TEXTS])):
        for method in (classifier.predict, classifier.predict_proba, classifier.explain):
            with pytest.raises(DataError, match="This needs"):
                method(wrong)
    with pytest.raises(DataError, match="Texts 1, 2 are not readable as text"):
        classifier.predict(["fine", "n\0l", "half \ud83d"])
    with pytest.raises(DataError, match="Text 1 is missing"):
        classifier.predict_proba(["fine", None])
    explained = classifier.explain(["fine", None, "n\0l"])
    assert [row.status for row in explained] == ["ok", "failed", "failed"]
    assert classifier.predict([]).tolist() == []


def test_labels_that_are_missing_or_broken_are_refused(recipe):
    classifier = ReasoningClassifier(target="label", recipe=recipe)
    for nothing in (None, float("nan"), pd.NA):
        with pytest.raises(DataError, match="Labels 1, 2 are missing"):
            classifier.fit(["a", "b", "c"], ["x", nothing, nothing])
    with pytest.raises(DataError, match="Label 1 is not readable"):
        classifier.fit(["a", "b"], ["x", "y\0"])
    with pytest.raises(DataError, match="Text 0 is not readable"):
        classifier.fit(["a\ud800", "b"], ["x", "y"])
    assert not hasattr(classifier, "classes_")
    for method in (classifier.predict, classifier.predict_proba, classifier.explain):
        with pytest.raises(NotFittedError):
            method(["a"])


def test_validation_texts_calibrate(quick):
    texts, labels = [f"{text}, copy {copy}" for copy in range(3) for text in TEXTS], LABELS * 3
    whole = ReasoningClassifier(target="label", recipe=quick).fit(texts, labels)
    assert whole.model_.card.calibration.temperatures == {}
    assert whole.model_.card.lineage["data"]["rows"] == {"train": 72, "validation": 0, "test": 0}
    held = ReasoningClassifier(target="label", recipe=quick, validation_fraction=0.3).fit(texts, labels)
    assert held.model_.card.calibration.temperatures["fast"].n == 22
    assert held.model_.card.lineage["data"]["rows"] == {"train": 50, "validation": 22, "test": 0}
    for wrong in (0, 1.5, "half"):
        with pytest.raises(RecipeError, match="validation_fraction"):
            ReasoningClassifier(target="label", recipe=quick, validation_fraction=wrong).fit(texts, labels)


def test_a_fitted_estimator_can_be_pickled_and_copied(quick):
    classifier = ReasoningClassifier(recipe=quick).fit(TEXTS, LABELS)
    expected = classifier.predict_proba(TEXTS)
    for again in (pickle.loads(pickle.dumps(classifier)), copy.deepcopy(classifier)):
        np.testing.assert_allclose(again.predict_proba(TEXTS), expected, atol=1e-6)
        assert again.predict(TEXTS).tolist() == classifier.predict(TEXTS).tolist()
        assert [row.reasoning for row in again.explain(TEXTS[:2])] == [
            row.reasoning for row in classifier.explain(TEXTS[:2])
        ]
        assert again.get_params() == classifier.get_params()


def test_random_numbers_and_logging_of_the_caller_are_left_alone(quick):
    def state():
        return (
            random.getstate(),
            np.random.get_state()[1].tolist(),
            torch.get_rng_state().tolist(),
            torch.get_num_threads(),
            transformers_logging.get_verbosity(),
            transformers_logging.is_progress_bar_enabled(),
        )

    prepare_process()  # an earlier test may have run the command line here: see tests/host/test_caller.py
    transformers_logging.set_verbosity_info()
    before = state()
    classifier = ReasoningClassifier(target="dual", recipe=quick).fit(TEXTS, LABELS)
    assert state() == before
    classifier.predict(TEXTS[:2], "vote")
    assert state() == before
    next(iter(classifier.model_.predict([("1", "a text")], "vote")))
    assert state() == before


def test_who_needs_the_same_reasoner_waits_for_it(quick, monkeypatch):
    from whylabel.stages import reasoner

    trained = []
    real = reasoner.train_reasoner

    def slow(*rest, **named):
        trained.append(1)
        time.sleep(1.0)  # time enough for the other one to come
        return real(*rest, **named)

    monkeypatch.setattr(reasoner, "train_reasoner", slow)
    with ThreadPoolExecutor() as pool:
        first, second = pool.map(_shared_reasoner, [quick, quick], [Dataset(()), Dataset(())])
    assert first == second
    assert len(trained) == 1


def test_threads_train_one_after_another(quick):
    with parallel_config("threading"):
        scores = cross_val_score(
            ReasoningClassifier(recipe=quick), TEXTS, LABELS, cv=3, n_jobs=3, error_score="raise"
        )
    assert scores.shape == (3,)


def test_two_processes_train_and_predict(quick):
    classifier = ReasoningClassifier(recipe=quick)
    scores = cross_val_score(classifier, TEXTS, LABELS, cv=2, n_jobs=2, error_score="raise")
    assert scores.shape == (2,)


def test_it_works_in_scikit_learns_own_estimators(quick):
    classifier, table = ReasoningClassifier(target="label", recipe=quick), pd.DataFrame({"text": TEXTS})
    search = GridSearchCV(
        classifier, {"name": ["Mood"], "random_state": np.arange(2)}, cv=2, error_score="raise"
    )
    assert search.fit(table, LABELS).best_estimator_.model_.card.name == "Mood"
    for ensemble in (
        VotingClassifier([("one", classifier), ("two", classifier)], voting="soft"),
        CalibratedClassifierCV(classifier, cv=2),
        SklearnPipeline([("same", FunctionTransformer()), ("classifier", classifier)]),
    ):
        found = ensemble.fit(table, LABELS).predict_proba(table)
        assert found.shape == (24, 2)
        assert set(ensemble.predict(table)) <= {"joy", "sadness"}


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
    with pytest.raises(LabelError, match="at least two labels"):
        ReasoningClassifier(recipe=recipe).fit(TEXTS, ["same"] * 24)
    assert not cache_folder().exists()  # no reasoner was trained for it


def test_reasonings_may_be_given_with_the_texts(quick, tmp_path):
    reasonings = [f"It says {text}, which settles it." if at % 3 else None for at, text in enumerate(TEXTS)]
    ReasoningClassifier(recipe=quick, output=tmp_path / "run").fit(TEXTS, LABELS, reasonings=reasonings)
    kept = {row.text: row for row in read_reasoned(tmp_path / "run" / "augment" / "train.parquet")}
    for text, reasoning in zip(TEXTS, reasonings, strict=True):
        if reasoning is not None:
            assert (kept[text].reasoning, kept[text].condition) == (reasoning, "own")


def test_the_reasoner_learns_from_the_reasonings_that_are_given(quick, tmp_path):
    recipe = override_recipe(quick, reasoner__data=["builtin:reasoning", "own"])
    folders = set()
    for word in ("bright", "grey"):
        reasonings = [f"It says {word}, which settles it." if at % 3 else None for at in range(24)]
        ReasoningClassifier(recipe=recipe, output=tmp_path / word).fit(TEXTS, LABELS, reasonings=reasonings)
        folders |= {folder.name for folder in (cache_folder() / "reasoners").iterdir()}
    assert len({name for name in folders if not name.endswith(".lock")}) == 2
    with pytest.raises(DataError, match="which 0 train rows have"):
        ReasoningClassifier(recipe=recipe).fit(TEXTS, LABELS)


@pytest.mark.parametrize(
    ("reasonings", "message"),
    [
        (["so"], "24 texts and 1 reasonings"),
        ([7, *[None] * 23], "Reasoning 0 is not a string"),
        (["half \ud83d", *[None] * 23], "Reasoning 0 is not readable"),
        ("so", "list of reasonings"),
    ],
)
def test_reasonings_that_do_not_fit_the_texts_are_refused(quick, reasonings, message):
    with pytest.raises(DataError, match=message):
        ReasoningClassifier(recipe=quick).fit(TEXTS, LABELS, reasonings=reasonings)
