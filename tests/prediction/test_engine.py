"""What writes the reasonings of a trained model: chosen, made, named and closed as `augment` does it."""

import numpy as np
import pytest

from trained_models import labelled, train_tiny
from whylabel.engines import make_engine
from whylabel.engines.base import Completion
from whylabel.errors import EngineError, RecipeError
from whylabel.models.load import ModelSource, load
from whylabel.prediction import answers
from whylabel.prediction.engine import PredictionEngine
from whylabel.prediction.trained import TrainedClassifier
from whylabel.recipe import PredictionEngineConfig, Recipe, override_recipe

ROWS = [(row.id, row.text) for row in labelled(False, 200, 12)]


@pytest.fixture(scope="module", autouse=True)
def own_cache(tmp_path_factory):
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("WHYLABEL_CACHE", str(tmp_path_factory.mktemp("cache")))
        yield


@pytest.fixture(scope="module")
def folder(tiny_model_folder, tmp_path_factory):
    folder = tmp_path_factory.mktemp("dual")
    train_tiny(tiny_model_folder, folder, "dual")
    return folder / "model"


def with_engine(folder, **config):
    return TrainedClassifier.from_folder(folder, device="cpu", engine=PredictionEngineConfig(**config))


@pytest.fixture(scope="module")
def expected(folder):
    return list(TrainedClassifier.from_folder(folder, device="cpu").predict(ROWS, "reasoned"))


def assert_same(found, expected):
    assert [(row.id, row.label, row.reasoning) for row in found] == [
        (row.id, row.label, row.reasoning) for row in expected
    ]
    np.testing.assert_allclose(
        [row.probabilities for row in found], [row.probabilities for row in expected], atol=1e-4
    )


@pytest.mark.parametrize(
    "config",
    [
        {"name": "transformers"},
        {"name": "openvino"},
        {"name": "auto"},
        {"distributed": "ray", "workers": 1, "cpus_per_worker": 1, "gpus_per_worker": 0, "rows_per_task": 5},
    ],
    ids=["transformers", "openvino", "auto", "ray"],
)
def test_every_engine_predicts_the_same(folder, expected, config):
    model = with_engine(folder, **config)
    try:
        assert_same(list(model.predict(ROWS, "reasoned")), expected)
    finally:
        model.close()


def test_auto_exports_a_model_where_the_rows_pay_for_it(folder, expected, monkeypatch, capsys):
    model = with_engine(folder)
    monkeypatch.setattr("whylabel.engines._TOKENS_WORTH_AN_EXPORT", 12 * model.card.max_reasoning_tokens)
    assert model._engine.name == "auto" and model._engine._engine is None, "made before it is needed"
    list(model.predict(ROWS, "fast"))
    assert model._engine._engine is None, "a label needs no engine"
    list(model.predict(ROWS[:11], "reasoned"))
    assert model._engine.name == "transformers"
    # More rows than before are worth more; votes count one by one.
    assert_same(list(model.predict(ROWS, "reasoned")), expected)
    assert model._engine.name == "openvino"
    assert "engine auto is openvino" in capsys.readouterr().err
    list(model.predict(ROWS[:1], "reasoned"))
    assert model._engine.name == "openvino", "what is running is used"
    model.close()
    voting = with_engine(folder)
    assert voting.card.vote.reasonings * 4 >= 12
    list(voting.predict(ROWS[:4], "vote"))
    assert voting._engine.name == "openvino"


def test_an_export_that_exists_pays_sooner(folder, monkeypatch):
    model = with_engine(folder)
    monkeypatch.setattr("whylabel.engines._TOKENS_WORTH_LOADING", 12 * model.card.max_reasoning_tokens)
    monkeypatch.setattr("whylabel.engines.openvino.is_exported", lambda model: False)
    list(model.predict(ROWS, "reasoned"))
    assert model._engine.name == "transformers"
    monkeypatch.setattr("whylabel.engines.openvino.is_exported", lambda model: True)
    list(model.predict(ROWS, "reasoned"))
    assert model._engine.name == "openvino"


def test_the_engine_gets_the_model_that_is_in_memory(folder, monkeypatch):
    model = with_engine(folder, name="transformers")
    monkeypatch.setattr("whylabel.models.load.load", None)
    list(model.predict(ROWS[:1], "reasoned"))
    assert model._engine._source.load() is model.loaded
    assert ModelSource.of(model.loaded).end_ids == model.loaded.end_ids


def test_an_error_names_the_setting_that_its_user_knows(folder):
    config = PredictionEngineConfig(name="openvino")
    for setting, where in (
        ("classifier.engine", "classifier.engine_options"),
        ("--engine", "--engine-option"),
    ):
        engine = PredictionEngine(
            TrainedClassifier.from_folder(folder, device="cpu").loaded, config, {"thread": 1}, setting=setting
        )
        with pytest.raises(EngineError) as raised:
            engine.open(3)
        assert raised.value.where == where


@pytest.mark.parametrize("name", ["openai", "scripted", "vlm"])
def test_an_engine_that_does_not_run_the_model_is_refused(name):
    with pytest.raises(RecipeError, match="a trained model answers by its own weights"):
        override_recipe(Recipe(name="t"), classifier__engine=name)


def precision_of(folder, monkeypatch, **settings):
    """Return the precision in which a trained model writes with openvino."""
    given = {}

    class Engine:
        name = "openvino"

        def __init__(self, _loaded, *, precision="auto"):
            given["precision"] = precision

    monkeypatch.setattr("whylabel.engines.openvino.OpenVinoEngine", Engine)
    PredictionEngine(load(str(folder)), **settings).open(10)
    return given["precision"]


def test_a_trained_model_writes_in_float32_unless_told_otherwise(folder, monkeypatch):
    named = PredictionEngineConfig(name="openvino")
    assert precision_of(folder, monkeypatch, config=named) == "float32"
    assert precision_of(folder, monkeypatch, config=named, options={"precision": "bfloat16"}) == "bfloat16"


def test_where_auto_is_transformers_the_precision_of_openvino_is_no_option(folder):
    engine = PredictionEngine(load(str(folder)), options={"precision": "bfloat16"})
    engine.open(1)
    assert engine.name == "transformers"
    made = make_engine("auto", ModelSource(str(folder), "cpu"), {"precision": "float32"})
    assert made.name in ("transformers", "openvino")


class Slow:
    """An engine that notes how many rows it has written; the last rows come first within each four."""

    name = "slow"

    def __init__(self):
        self.written = 0

    def generate(self, prompts, sampling):
        for index in (start + place for start in range(0, len(prompts), 4) for place in (3, 2, 1, 0)):
            if index < len(prompts):
                self.written += 1
                yield Completion(index, "so it is", 5, 3, "error" if index == 5 else "stop", error="no")

    def close(self):
        pass


def test_rows_come_in_order_while_others_are_still_written(folder, monkeypatch):
    monkeypatch.setattr(answers, "_CPU_SCORED_ROWS", 2)
    engine = Slow()
    plain = TrainedClassifier.from_folder(folder, device="cpu")
    model = TrainedClassifier(plain.loaded, plain.card, engine)
    seen = [(row.id, row.status == "failed", engine.written) for row in model.predict(ROWS, "reasoned")]
    assert [row_id for row_id, *_ in seen] == [row_id for row_id, _ in ROWS]
    assert [place for place, (_, failed, _) in enumerate(seen) if failed] == [5]
    assert next(written for *_, written in seen) == 4 < len(ROWS)
    assert seen[-1][2] == 12
    both = list(model.predict_in_modes(ROWS, ["fast", "reasoned", "vote"]))
    assert [row["vote"].status for row in both].count("failed") == 0
    assert [row["reasoned"].status for row in both].count("failed") == 1


def test_a_reader_that_stops_ends_the_writing(folder):
    engine = Slow()
    plain = TrainedClassifier.from_folder(folder, device="cpu")
    found = TrainedClassifier(plain.loaded, plain.card, engine).predict(ROWS, "reasoned")
    next(found)
    found.close()
    assert engine.written <= len(ROWS)
