"""What a change runs again, and what it leaves."""

import json
import shutil

import pytest
import yaml

from hostile_model import hostile_copy
from whylabel.errors import RunFolderError
from whylabel.evaluation.predictions import read_predictions
from whylabel.host.atomic import write_json
from whylabel.models.load import CARD, read_card
from whylabel.pipeline import Pipeline
from whylabel.prediction.card import ModelCard
from whylabel.recipe import load_recipe, override_recipe
from whylabel.run_folder import RunFolder

LABELS = ("anger", "fear", "joy", "love", "sadness", "surprise")


def test_nothing_runs_twice(finished, recipe, monkeypatch):
    before = {path: path.stat().st_mtime_ns for path in finished.path.rglob("*.safetensors")}

    def never(*_arguments, **_options):
        raise AssertionError("a finished stage ran again")

    monkeypatch.setattr("whylabel.models.load.load", never)
    Pipeline(recipe, finished).run_all()
    assert {path: path.stat().st_mtime_ns for path in finished.path.rglob("*.safetensors")} == before
    assert all("skipped" in line for line in Pipeline(recipe, finished).plan())


def test_a_change_runs_what_depends_on_it_and_no_more(finished, recipe, changed_stages):
    classifier = ["train-classifier", "calibrate-classifier", "evaluate"]
    models = ["train-baseline", "calibrate-baseline", *classifier]
    # What depends on a stage that runs is counted, too: whether it has to run is not known before.
    assert changed_stages(recipe, finished, evaluation__bootstrap_samples=300) == ["evaluate"]
    assert changed_stages(recipe, finished, classifier__max_reasoning_tokens=9) == classifier[1:]
    assert changed_stages(recipe, finished, training__max_steps=5) == models
    assert changed_stages(recipe, finished, augment__filters__min_words=2) == ["augment", *classifier]
    reasoner = changed_stages(recipe, finished, reasoner__training__max_steps=3)
    assert reasoner == ["train-reasoner", "augment", *classifier]
    assert changed_stages(recipe, finished, seed=14) == ["train-reasoner", "augment", *models]
    assert changed_stages(recipe, finished, name="other") == []


def test_the_reason_names_what_changed(finished, recipe):
    def reasons(**values):
        found = Pipeline(override_recipe(recipe, **values), finished).would_run()
        return {stage: reason for stage, reason in found.items() if reason is not None}

    changed = reasons(training__learning_rate=1e-3, training__loss={"label_weight": 2.0})
    assert changed["train-baseline"] == (
        "because training.learning_rate 0.01 -> 0.001, training.loss.label_weight 1.0 -> 2.0"
    )
    assert changed["calibrate-baseline"] == "after train-baseline"
    assert reasons(data__train_rows=20)["train-baseline"] == "because train rows changed"
    assert reasons(data__test_rows=11) == {"evaluate": "because test rows changed"}


def test_a_run_whose_recipe_described_its_labels_stays_current(finished, recipe, tmp_path, monkeypatch):
    run = RunFolder(shutil.copytree(finished.path, tmp_path / "copy"))
    described = {name: f"like {name}" for name in LABELS}
    run.recipe.write_text(yaml.safe_dump({"task": {"labels": described}}))
    for folder in (run.baseline_model, run.classifier_model):
        write_json(folder / CARD, {**read_card(folder), "label_descriptions": described})
    monkeypatch.setattr("whylabel.models.load.load", None)
    Pipeline(recipe, run).run_all()
    assert set(Pipeline(recipe, run).would_run().values()) == {None}
    # The record of the run is again a recipe that can be read.
    assert load_recipe(run.recipe) == recipe
    assert ModelCard.from_json(read_card(run.classifier_model), run.path).labels.names == tuple(
        sorted(LABELS)
    )


def test_a_model_that_was_trained_anew_is_calibrated_anew(finished, recipe, tmp_path, monkeypatch):
    run = RunFolder(shutil.copytree(finished.path, tmp_path / "copy"))
    shutil.rmtree(run.baseline_model)
    assert Pipeline(recipe, run).would_run()["calibrate-baseline"] == "after train-baseline"
    pipeline = Pipeline(recipe, run)
    pipeline.begin()
    begun = []
    real = run.begin_stage
    monkeypatch.setattr(
        run, "begin_stage", lambda stage, *key, **rest: begun.append(stage) or real(stage, *key, **rest)
    )
    pipeline.train_baseline()
    assert begun == ["train-baseline", "calibrate-baseline"]
    assert Pipeline(recipe, run).would_run()["evaluate"] is None


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


def test_what_a_model_says_of_decoding_counts_where_it_changes_something(recipe, tiny_model_folder, tmp_path):
    def settings(folder):
        return Pipeline(override_recipe(recipe, reasoner__model=str(folder)), RunFolder("none")).keys

    plain = settings(tiny_model_folder).reasoner_settings()
    assert not {"ignored_settings", "own_stop_ids"} & set(plain)

    def added(name, **values):
        found = settings(hostile_copy(tiny_model_folder, tmp_path / name, **values)).reasoner_settings()
        return {key: value for key, value in found.items() if plain.get(key) != value and key != "reasoner"}

    neutral = {"repetition_penalty": 1.0, "num_beams": 1, "do_sample": True, "temperature": 0.6, "top_k": 20}
    assert added("sampling", **neutral, eos_token_id=[2]) == {}
    assert added("penalty", repetition_penalty=1.1) == {"ignored_settings": ["repetition_penalty"]}
    assert added("ends", eos_token_id=[2, 5]) == {"own_stop_ids": [5]}


def test_a_trained_model_with_settings_of_its_base_is_calibrated_again(finished, recipe, tmp_path):
    run = RunFolder(shutil.copytree(finished.path, tmp_path / "copy"))
    own = run.classifier_model / "generation_config.json"
    own.write_text(json.dumps({**json.loads(own.read_text()), "repetition_penalty": 1.1}))
    found = {stage: why for stage, why in Pipeline(recipe, run).would_run().items() if why is not None}
    again = "because ignored_settings None -> ['repetition_penalty']"
    assert found == {"calibrate-classifier": again, "evaluate": "after calibrate-classifier"}


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
    assert compact.augment().fingerprint != chat.augment().fingerprint


def test_filters_decide_the_classifier_where_its_own_reasonings_are_filtered(recipe, tmp_path):
    def key(rounds, words):
        values = {"classifier__self_training_rounds": rounds, "augment__filters__max_words": words}
        keys = Pipeline(override_recipe(recipe, **values), RunFolder(tmp_path)).keys
        keys._content = lambda stage, key: "the same reasonings"
        return keys.classifier().fingerprint

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
    with pytest.raises(RunFolderError, match="The predictions cannot be read") as caught:
        Pipeline(recipe, finished).evaluate()
    assert caught.value.fix == "remove the file, then: whylabel evaluate RECIPE"
    finished.predictions.unlink()
    Pipeline(recipe, finished).evaluate()
    assert len(read_predictions(finished.predictions)) == len(before)


def test_validation_rows_decide_the_calibration_and_only_where_they_choose_weights_the_training(
    recipe, finished, changed_stages
):
    calibration = ["calibrate-baseline", "calibrate-classifier", "evaluate"]
    assert changed_stages(recipe, finished, classifier__calibration_rows=5) == calibration
    # Too few rows to calibrate on: which they are does not matter.
    assert changed_stages(recipe, finished, data__validation_rows=5) == []
    assert changed_stages(recipe, finished, evaluation__modes=["vote"]) == ["evaluate"]

    def keys(rows, **values):
        changed = override_recipe(recipe, data__validation_rows=rows, **values)
        found = Pipeline(changed, finished).keys
        found._content = lambda stage, key: key.fingerprint
        return found.baseline().fingerprint, found.calibration("baseline").fingerprint

    assert keys(24)[0] == keys(25)[0] and keys(24)[1] != keys(25)[1]
    selecting = {"training__selection__steps": 2}
    assert keys(24, **selecting)[0] != keys(25, **selecting)[0]
