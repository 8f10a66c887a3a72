import json

import pytest

from whylabel.errors import RunFolderError
from whylabel.evaluation.predictions import read_predictions
from whylabel.pipeline import Pipeline
from whylabel.recipe import Recipe, override_recipe
from whylabel.run_folder import STAGES, RunFolder


@pytest.fixture(scope="module")
def recipe(tiny_model_folder) -> Recipe:
    return override_recipe(
        Recipe(name="tiny"),
        base_model=str(tiny_model_folder),
        data__train_rows=24,
        data__validation_rows=6,
        data__test_rows=12,
        reasoner__rows=12,
        reasoner__validation_rows=4,
        reasoner__training__max_steps=2,
        augment__engine="scripted",
        augment__engine_options={"answers": ['The words "as written" tell it.', "no"]},
        augment__sampling__max_new_tokens=12,
        training__max_steps=4,
        training__learning_rate=1e-2,
        evaluation__bootstrap_samples=200,
    )


@pytest.fixture(scope="module")
def finished(recipe, tmp_path_factory) -> RunFolder:
    run = RunFolder(tmp_path_factory.mktemp("run"))
    Pipeline(recipe, run).run_all()
    return run


def test_every_file_of_the_run_folder_is_there(finished):
    for stage in STAGES:
        for path in finished.outputs(stage):
            assert path.exists(), path
    for path in (finished.recipe, finished.manifest, finished.store, finished.report, finished.model_card):
        assert path.exists(), path
    assert not list(finished.path.rglob("checkpoint*"))
    assert not [path for path in finished.path.rglob("*") if ".partial" in path.name or ".old" in path.name]


def test_the_manifest_says_what_ran(finished, recipe):
    manifest = finished.read_manifest()
    assert set(manifest["stages"]) == set(STAGES)
    assert all(entry["status"] == "done" for entry in manifest["stages"].values())
    assert manifest["seed"] == recipe.seed
    assert manifest["versions"]["torch"]
    assert manifest["hardware"]["cores"] >= 1
    assert manifest["data"]["rows"] == {"train": 24, "validation": 6, "test": 12}
    assert len(manifest["base_model"]["fingerprint"]) == 64


def test_rows_in_are_rows_out(finished):
    metrics = json.loads(finished.augment_metrics.read_text())
    assert metrics["rows"] == 24 == metrics["kept"] + metrics["dropped"] + metrics["failed"]
    assert metrics["dropped_by_reason"] == {"too short": 12}
    evaluation = json.loads(finished.evaluation_metrics.read_text())
    assert {"labels", "baseline", "classifier", "floors", "paired"} <= set(evaluation)
    assert {"difference", "ci95", "mcnemar_p"} <= set(evaluation["paired"])
    for model in ("baseline", "classifier"):
        assert evaluation[model]["n"] == 12
        assert {"accuracy", "macro_f1", "per_class", "n", "rates", "cost"} <= set(evaluation[model])
    rows = read_predictions(finished.predictions)
    assert {row.model for row in rows} == {"majority", "tfidf", "baseline", "classifier"}
    assert len(rows) == 4 * 12


def test_nothing_runs_twice(finished, recipe, monkeypatch):
    before = {path: path.stat().st_mtime_ns for path in finished.path.rglob("*.safetensors")}

    def never(*_arguments, **_options):
        raise AssertionError("a finished stage ran again")

    monkeypatch.setattr("whylabel.models.load", never)
    Pipeline(recipe, finished).run_all()
    assert {path: path.stat().st_mtime_ns for path in finished.path.rglob("*.safetensors")} == before
    assert all("skipped" in line for line in Pipeline(recipe, finished).plan())


def changed_stages(recipe, run, **values):
    plan = Pipeline(override_recipe(recipe, **values), run).plan()
    return [line.split(":")[0] for line in plan if "would run" in line]


def test_a_change_runs_what_depends_on_it_and_no_more(finished, recipe):
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


def test_a_lost_output_is_made_again(finished, recipe):
    content = finished.baseline_metrics.read_bytes()
    finished.baseline_metrics.unlink()
    assert changed_stages(recipe, finished)[0] == "train-baseline"
    finished.baseline_metrics.write_bytes(content)


def test_a_stage_alone_says_what_it_misses(recipe, tmp_path):
    pipeline = Pipeline(recipe, RunFolder(tmp_path))
    pipeline.begin()
    with pytest.raises(RunFolderError, match="train-reasoner, has not been run") as raised:
        pipeline.augment()
    assert "whylabel train-reasoner" in str(raised.value)


def test_a_ready_reasoner_skips_stage_one(recipe, tiny_model_folder, tmp_path):
    ready = override_recipe(recipe, reasoner__model=str(tiny_model_folder))
    pipeline = Pipeline(ready, RunFolder(tmp_path))
    pipeline.begin()
    pipeline.train_reasoner()
    pipeline.augment()
    assert set(pipeline.run.read_manifest()["stages"]) == {"augment"}
    assert pipeline.run.kept.exists()


def test_auto_counts_as_the_engine_that_it_picks(recipe, tiny_model_folder, tmp_path, monkeypatch):
    def identity(engine):
        ready = override_recipe(
            recipe,
            reasoner__model=str(tiny_model_folder),
            device="cpu",
            augment__engine=engine,
            augment__engine_options={},
        )
        return Pipeline(ready, RunFolder(tmp_path))._reasoner_identity()

    assert identity("auto") == identity("openvino") != identity("transformers")
    monkeypatch.setattr("whylabel.engines.openvino.missing_packages", lambda: ["openvino"])
    assert identity("auto") == identity("transformers")


def test_failed_rows_give_the_exit_code_and_are_tried_again(recipe, tiny_model_folder, tmp_path):
    failing = override_recipe(
        recipe, reasoner__model=str(tiny_model_folder), augment__engine_options={"fail_every": 6}
    )
    pipeline = Pipeline(failing, RunFolder(tmp_path))
    pipeline.begin()
    pipeline.augment()
    assert pipeline.failed_rows == 4
    again = Pipeline(failing, RunFolder(tmp_path))
    again.augment()
    assert again.failed_rows == 0
    assert again.run.failed_rows("augment") == 0


def test_the_model_folder_loads_without_us(finished):
    from transformers import AutoModelForCausalLM, AutoTokenizer

    AutoModelForCausalLM.from_pretrained(finished.classifier_model)
    assert AutoTokenizer.from_pretrained(finished.classifier_model).pad_token == "<|whylabel_pad|>"
