"""What a change runs again, and what it leaves."""

import pytest

from whylabel.errors import DataError
from whylabel.evaluation.predictions import read_predictions
from whylabel.pipeline import Pipeline
from whylabel.recipe import override_recipe
from whylabel.run_folder import RunFolder


def test_nothing_runs_twice(finished, recipe, monkeypatch):
    before = {path: path.stat().st_mtime_ns for path in finished.path.rglob("*.safetensors")}

    def never(*_arguments, **_options):
        raise AssertionError("a finished stage ran again")

    monkeypatch.setattr("whylabel.models.load.load", never)
    Pipeline(recipe, finished).run_all()
    assert {path: path.stat().st_mtime_ns for path in finished.path.rglob("*.safetensors")} == before
    assert all("skipped" in line for line in Pipeline(recipe, finished).plan())


def test_a_change_runs_what_depends_on_it_and_no_more(finished, recipe, changed_stages):
    # After the first stage that runs nothing can be told, so the plan counts all after it.
    assert changed_stages(recipe, finished, evaluation__bootstrap_samples=300) == ["evaluate"]
    assert changed_stages(recipe, finished, classifier__max_reasoning_tokens=9) == [
        "train-classifier",
        "evaluate",
    ]
    assert changed_stages(recipe, finished, training__max_steps=5)[0] == "train-baseline"
    assert changed_stages(recipe, finished, augment__filters__min_words=2)[0] == "augment"
    assert changed_stages(recipe, finished, reasoner__training__max_steps=3)[0] == "train-reasoner"
    assert changed_stages(recipe, finished, seed=14)[0] == "train-reasoner"
    assert changed_stages(recipe, finished, name="other") == []


def test_a_limit_of_texts_is_part_of_what_reasons_and_judges_only_where_it_is_set(recipe, tiny_model_folder):
    def keys(**values):
        model = str(tiny_model_folder)
        fixed = {"reasoner__model": model, "augment__verification__verifier": model}
        return Pipeline(override_recipe(recipe, **fixed, **values), RunFolder("none")).keys

    plain, trimmed = keys(), keys(data__max_text_tokens=20)
    assert trimmed.verifier() != plain.verifier()
    # Where there is no limit, reasonings that are written stay valid.
    assert trimmed.reasoner_settings() == {**plain.reasoner_settings(), "max_text_tokens": 20}
    endpoint = {
        "reasoner__endpoint": "http://127.0.0.1:1/v1",
        "augment__engine": "auto",
        "augment__engine_options": {},
    }
    whole = keys(**endpoint, data__max_text_tokens=20)
    assert whole.reasoner_settings() == keys(**endpoint).reasoner_settings()


def test_a_verdict_depends_on_the_prompt_style_where_an_endpoint_reasons_too(recipe, tiny_model_folder):
    def keys(style):
        values = {
            "reasoner__endpoint": "http://127.0.0.1:1/v1",
            "reasoner__model": "big",
            "augment__engine": "auto",
            "augment__engine_options": {},
            "augment__verification__verifier": str(tiny_model_folder),
        }
        return Pipeline(override_recipe(recipe, prompt_style=style, **values), RunFolder("none")).keys

    compact, chat = keys("compact"), keys("chat")
    assert compact.reasoner_settings() == chat.reasoner_settings()
    assert compact.verifier() != chat.verifier()
    assert compact.augment() != chat.augment()


def test_filters_decide_the_classifier_where_its_own_reasonings_are_filtered(recipe, tmp_path):
    def key(rounds, words):
        values = {"classifier__self_training_rounds": rounds, "augment__filters__max_words": words}
        keys = Pipeline(override_recipe(recipe, **values), RunFolder(tmp_path)).keys
        keys._content = lambda stage, key: "the same reasonings"
        return keys.classifier()

    assert key(1, 80) != key(1, 90)
    assert key(0, 80) == key(0, 90)


def test_a_lost_output_is_made_again(finished, recipe, changed_stages):
    content = finished.baseline_metrics.read_bytes()
    finished.baseline_metrics.unlink()
    assert changed_stages(recipe, finished)[0] == "train-baseline"
    finished.baseline_metrics.write_bytes(content)


def test_damaged_predictions_are_made_again_as_the_error_advises(finished, recipe):
    before = read_predictions(finished.predictions)
    finished.predictions.write_bytes(b"torn")
    with pytest.raises(DataError, match="The predictions cannot be read") as caught:
        Pipeline(recipe, finished).evaluate()
    assert caught.value.fix == "remove the file, then: whylabel evaluate RECIPE"
    finished.predictions.unlink()
    Pipeline(recipe, finished).evaluate()
    assert len(read_predictions(finished.predictions)) == len(before)


def test_validation_rows_decide_the_calibration_and_with_it_the_models(recipe, finished, changed_stages):
    assert changed_stages(recipe, finished, classifier__calibration_rows=5)[0] == "train-baseline"
    assert changed_stages(recipe, finished, data__validation_rows=5)[0] == "train-baseline"
    assert changed_stages(recipe, finished, evaluation__modes=["vote"]) == ["evaluate"]
