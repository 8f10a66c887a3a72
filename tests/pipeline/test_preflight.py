"""What is refused before the first stage, by `run` and by its rehearsal alike."""

import json
import shutil
from collections import namedtuple

import pytest
from families import build

from whylabel.cli.main import main
from whylabel.errors import EngineError, ModelError, RecipeError, RunFolderError, UsageError
from whylabel.pipeline import Pipeline, preflight
from whylabel.recipe import build_recipe, override_recipe
from whylabel.run_folder import RunFolder

WRONG = {
    "a missing data file": ({"data__source": "nowhere.csv"}, "nowhere.csv"),
    "an unknown column": ({"data__text_column": "body"}, "body"),
    "an unknown engine": ({"augment__engine": "vlm"}, "Did you mean 'vllm'"),
    "an unknown filter": ({"augment__filters__names": ["leek"]}, "Did you mean 'leak'"),
    "reasonings that nothing checks": (
        {"augment__condition": "free", "augment__filters__names": ["empty", "leak"]},
        "fix: set augment.verification.verifier (base, for example), add the filter contradiction",
    ),
    "an unknown option of the engine": ({"augment__engine_options": {"fail_evry": 2}}, "'fail_every'"),
    "a mode that the target has not": (
        {"evaluation__modes": ["vote"], "classifier__target": "label"},
        "vote",
    ),
    "a mode for which there are too few validation rows": (
        {"evaluation__modes": ["fast", "blend"]},
        "'blend' needs 20 validation rows, and there are 6",
    ),
    "a model that is not there": ({"base_model": "./no-model"}, "where: base_model: ./no-model"),
    "a reasoner that is not there": ({"reasoner__model": "./none"}, "where: reasoner.model: ./none"),
    "a base of the reasoner": ({"reasoner__base_model": "./none"}, "where: reasoner.base_model: ./none"),
    "a verifier": (
        {"augment__verification__verifier": "./none"},
        "where: augment.verification.verifier: ./none",
    ),
    "vllm that is not installed": (
        {"augment__engine": "vllm", "augment__engine_options": {"command": "no-vllm"}},
        "no-vllm",
    ),
    "a key that is not set": (
        {
            "reasoner__endpoint": "http://127.0.0.1:1",
            "reasoner__model": "big",
            "augment__engine": "auto",
            "augment__engine_options": {"api_key_variable": "NO_SUCH_KEY"},
        },
        "api_key_variable",
    ),
}


@pytest.mark.parametrize(("values", "words"), WRONG.values(), ids=WRONG)
@pytest.mark.parametrize("dry", [True, False], ids=["rehearsal", "run"])
def test_what_cannot_run_is_refused_before_anything_is_written(recipe, tmp_path, capsys, values, words, dry):
    path = tmp_path / "recipe.yaml"
    path.write_text(override_recipe(recipe, **values).to_yaml())
    output = tmp_path / "run"
    assert main(["run", str(path), "--output", str(output), *(["--dry-run"] if dry else [])]) == 2
    said = capsys.readouterr()
    assert words in said.err and "Internal error" not in said.err
    assert said.out == ""
    assert {file.name for file in output.glob("*")} <= {".lock", ".lock.sqlite"}


@pytest.mark.parametrize(
    ("values", "refused"),
    [
        ({}, False),
        ({"reasoner": {"model": "MODEL"}}, True),
        ({"augment": {"verification": {"verifier": "MODEL"}}}, True),
    ],
    ids=["base model", "reasoner", "verifier"],
)
def test_a_model_of_another_text_format_may_be_trained_but_not_asked(
    values, refused, tiny_model_folder, tmp_path
):
    folder = shutil.copytree(tiny_model_folder, tmp_path / "model")
    (folder / "whylabel.json").write_text(json.dumps({"role": "reasoner", "prompt_format": 99}))
    named = json.loads(json.dumps({"base_model": "MODEL", **values}).replace("MODEL", str(folder)))
    if not refused:
        return preflight._check_models(build_recipe(named))
    with pytest.raises(ModelError, match="prompts of format 99"):
        preflight._check_models(build_recipe(named))


@pytest.mark.parametrize(
    ("values", "refused"),
    [
        ({"condition": "label"}, False),
        ({"condition": "free"}, True),
        ({"condition": "free_then_label"}, True),
        ({"condition": "free_then_label", "filters": {"names": ["contradiction"]}}, False),
        ({"condition": "free", "verification": {"verifier": "base"}}, False),
    ],
    ids=str,
)
def test_what_is_written_without_the_label_has_to_be_checked(values, refused):
    recipe = build_recipe({"augment": values})
    # Where no reasonings are written, nothing is to be checked.
    preflight._check_free_reasonings(build_recipe({"augment": values, "classifier": {"target": "label"}}))
    several = build_recipe(
        {
            "task": {"type": "multi_label"},
            "augment": {"condition": "free"},
            "classifier": {"target": "multi_task"},
        }
    )
    with pytest.raises(RecipeError) as caught:
        preflight._check_free_reasonings(several)
    assert caught.value.fix == "set augment.condition: label"
    if not refused:
        return preflight._check_free_reasonings(recipe)
    with pytest.raises(RecipeError, match=f"augment.condition: {values['condition']}"):
        preflight._check_free_reasonings(recipe)


@pytest.mark.parametrize(
    ("package", "values", "extra"),
    [
        ("cleanlab", {"augment__suspects__folds": 2}, "suspects"),
        ("bitsandbytes", {"training__method": "qlora"}, "qlora"),
    ],
)
def test_a_missing_package_is_named_with_its_extra(recipe, tmp_path, monkeypatch, package, values, extra):
    real = preflight.find_spec
    monkeypatch.setattr(preflight, "find_spec", lambda name: None if name == package else real(name))
    with pytest.raises(RecipeError, match=package) as caught:
        Pipeline(override_recipe(recipe, **values), RunFolder(tmp_path / "run")).begin()
    assert caught.value.fix == f"pip install 'whylabel[{extra}]'"
    Pipeline(recipe, RunFolder(tmp_path / "run")).begin()


def test_packages_that_are_installed_are_no_obstacle(recipe, monkeypatch):
    asked = []
    monkeypatch.setattr(preflight, "find_spec", lambda name: asked.append(name) or "found")
    preflight._check_packages(recipe)
    assert asked == []
    values = {"augment__suspects__folds": 2, "reasoner__training__method": "qlora"}
    preflight._check_packages(override_recipe(recipe, **values))
    assert asked == ["cleanlab", "bitsandbytes"]
    # Without a reasoner its training needs nothing.
    preflight._check_packages(override_recipe(recipe, **values, classifier__target="label"))
    assert asked == ["cleanlab", "bitsandbytes"]


def test_ray_that_is_not_installed_is_named(recipe, tmp_path, monkeypatch):
    from whylabel.engines import check

    monkeypatch.setattr(check, "find_spec", lambda name: None)
    over_ray = override_recipe(recipe, augment__engine={"name": "scripted", "distributed": "ray"})
    with pytest.raises(EngineError, match="Ray is not installed"):
        Pipeline(over_ray, RunFolder(tmp_path / "run")).begin()


def test_the_data_are_said_as_they_were_read_and_leaks_between_splits_with_them(recipe, tmp_path, capsys):
    rows = [f"text {number},{'ab'[number % 2]}" for number in range(20)]
    (tmp_path / "train.csv").write_text("\n".join(["body,mood", *rows]))
    (tmp_path / "validation.csv").write_text("body,mood\nunseen,a\nnot seen,b\n")
    (tmp_path / "test.csv").write_text("\n".join(["body,mood", "TEXT  3,b", "text 4,b", "new,a"]))
    given = override_recipe(
        recipe,
        **{f"data__{name}": str(tmp_path / f"{name}.csv") for name in ("validation", "test")},
        data__source=str(tmp_path / "train.csv"),
    )
    Pipeline(given, RunFolder(tmp_path / "run")).check(evaluated=True)
    said = capsys.readouterr().err
    assert "train 20 · validation 2 · test 3 rows, 2 labels" in said
    assert "text column body" in said and "label column mood" in said
    assert "Warning: 2 of 3 test texts also occur in train, 1 of them with another label" in said


def test_labels_that_look_alike_are_said(recipe, tmp_path, capsys):
    rows = [f"text {number},{('joy', 'Joy', 'fear')[number % 3]}" for number in range(30)]
    (tmp_path / "d.csv").write_text("\n".join(["body,mood", *rows]))
    given = override_recipe(recipe, data__source=str(tmp_path / "d.csv"))
    Pipeline(given, RunFolder(tmp_path / "run")).check(evaluated=True)
    assert "Warning: Labels differ only by case: 'Joy', 'joy'" in capsys.readouterr().err


def test_a_run_goes_on_where_its_test_split_has_no_labels(recipe, tmp_path, capsys):
    rows = [f"text {number},{number % 2}" for number in range(30)]
    (tmp_path / "train.csv").write_text("\n".join(["body,mood", *rows]))
    (tmp_path / "test.csv").write_text("body\nnew\nnewer\n")
    given = override_recipe(recipe, data__source=str(tmp_path))
    Pipeline(given, RunFolder(tmp_path / "run")).check(evaluated=True)
    said = capsys.readouterr().err
    assert "Warning: The test split" in said and "test set aside 2 rows without labels" in said


def test_a_model_without_safetensors_is_refused(recipe, tiny_model_folder, tmp_path):
    copy = shutil.copytree(tiny_model_folder, tmp_path / "model")
    (copy / "model.safetensors").rename(copy / "pytorch_model.bin")
    with pytest.raises(ModelError, match="no weights") as caught:
        Pipeline(override_recipe(recipe, base_model=str(copy)), RunFolder(tmp_path / "run")).begin()
    assert "base_model" in str(caught.value.where)


def test_a_full_disk_is_refused_and_a_small_one_told(recipe, tmp_path, monkeypatch, capsys):
    usage = namedtuple("usage", "total used free")
    size = preflight.float32_bytes(recipe.base_model)
    assert size is not None and size > 50_000

    def check(free):
        monkeypatch.setattr(preflight.shutil, "disk_usage", lambda _: usage(10**12, 0, free))
        Pipeline(recipe, RunFolder(tmp_path / "run")).check()
        return capsys.readouterr().err

    with pytest.raises(UsageError, match="are needed for 3 models"):
        check(3 * size - 1)
    assert "Warning: 0.0 GiB are free on the disk" in check(3 * size)
    assert "Warning" not in check(100 * size)


@pytest.mark.parametrize(
    ("values", "models"),
    [
        ({}, 3),
        ({"classifier__target": "label"}, 2),
        ({"reasoner__model": "big", "reasoner__endpoint": "http://127.0.0.1:1"}, 2),
    ],
)
def test_the_disk_needs_room_for_the_models_that_are_not_there_yet(
    recipe, tmp_path, monkeypatch, capsys, values, models
):
    if "reasoner__model" in values:
        values = {**values, "augment__engine": "auto", "augment__engine_options": {}}
    usage = namedtuple("usage", "total used free")
    size, run, asked = 3 * 2**30, RunFolder(tmp_path / "new" / "run"), []
    monkeypatch.setattr(preflight, "float32_bytes", lambda name: size)

    def check(free, **more):
        monkeypatch.setattr(
            preflight.shutil, "disk_usage", lambda place: asked.append(place) or usage(0, 0, free)
        )
        preflight._check_disk(Pipeline(override_recipe(recipe, **values, **more), run).inputs, run)
        return capsys.readouterr().err

    with pytest.raises(UsageError) as caught:
        check(models * size - 2**30)
    needed, free = f"{3 * models:.1f} GiB", f"{3 * models - 1:.1f} GiB"
    assert caught.value.what == f"{needed} are needed for {models} models, and {free} are free on this disk."
    # The folder of the run is not made yet.
    assert caught.value.where == str(tmp_path) and set(asked) == {tmp_path}
    at_most = (models + 7) * size
    assert check(at_most - 1) == (
        f"  Warning: {at_most / 2**30:.1f} GiB are free on the disk; "
        f"with checkpoints up to {at_most / 2**30:.1f} GiB are used\n"
    )
    assert check(at_most) == check(at_most - 1, training__method="lora") == ""
    run.baseline_model.mkdir(parents=True)
    assert "Warning" in check((models - 1) * size)
    with pytest.raises(UsageError, match=f"for {models - 1} models"):
        check((models - 1) * size - 1)
    for folder in (run.classifier_model, run.reasoner_model):
        folder.mkdir(parents=True)
    assert check(0) == ""


def test_a_model_whose_size_is_not_known_needs_no_room(recipe, tmp_path, monkeypatch):
    monkeypatch.setattr(preflight, "float32_bytes", lambda name: None)
    monkeypatch.setattr(preflight.shutil, "disk_usage", None)
    run = RunFolder(tmp_path)
    preflight._check_disk(Pipeline(recipe, run).inputs, run)


@pytest.mark.parametrize(
    "values",
    [
        {"reasoner__model": "{there}", "reasoner__base_model": "./none"},
        {
            "reasoner__model": "./none",
            "reasoner__endpoint": "http://127.0.0.1:1",
            "augment__engine": "auto",
            "augment__engine_options": {},
        },
        {
            "classifier__target": "label",
            "reasoner__model": "./none",
            "augment__verification__verifier": "./none",
            "augment__suspects__folds": 2,
        },
        {"augment__verification__verifier": "baseline"},
        {"augment__verification__verifier": "base"},
    ],
    ids=str,
)
def test_what_this_run_does_not_use_is_not_checked(recipe, tiny_model_folder, tmp_path, monkeypatch, values):
    real = preflight.find_spec
    monkeypatch.setattr(preflight, "find_spec", lambda name: None if name == "cleanlab" else real(name))
    values = {name: str(tiny_model_folder) if value == "{there}" else value for name, value in values.items()}
    Pipeline(override_recipe(recipe, **values), RunFolder(tmp_path / "run")).check()


def test_where_no_reasoning_is_kept_nothing_is_trained_for_it(recipe, tmp_path):
    none = override_recipe(recipe, augment__filters__min_words=100)
    run = RunFolder(tmp_path / "run")
    with pytest.raises(RunFolderError, match="No reasoning was kept of 24: 24 too short") as caught:
        Pipeline(none, run).run_all()
    assert "classifier.target=label" in caught.value.fix
    assert not run.baseline_model.exists() and not run.classifier_model.exists()
    assert json.loads(run.augment_metrics.read_text())["dropped"] == 24
    with pytest.raises(RunFolderError, match="No reasoning was kept"):
        Pipeline(none, run).train_models()


def test_no_baseline_is_trained_for_a_classifier_without_reasonings(recipe, tmp_path):
    run = RunFolder(tmp_path / "run")
    pipeline = Pipeline(recipe, run)
    pipeline.begin()
    with pytest.raises(RunFolderError, match="train-reasoner, has not been run"):
        pipeline.train_models()
    assert not run.baseline_model.exists()


@pytest.mark.parametrize("dry", [True, False], ids=["rehearsal", "run"])
def test_rows_that_may_be_longer_than_the_positions_of_a_model_are_refused(
    recipe, tokenizer, tmp_path, capsys, dry
):
    base, path = tmp_path / "gpt2", tmp_path / "recipe.yaml"
    build("GPT-2", len(tokenizer)).save_pretrained(base)
    tokenizer.save_pretrained(base)
    path.write_text(override_recipe(recipe, base_model=str(base)).to_yaml())
    output = tmp_path / "run"
    command = ["run", str(path), "--output", str(output), *(["--dry-run"] if dry else [])]
    assert main(command) == 2
    said = capsys.readouterr().err
    assert "The model has 512 positions" in said
    assert "fix: set training.max_length=512" in said
    assert not (output / "run.json").exists()


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        ({"architectures": ["RobertaForMaskedLM"]}, "is an encoder (RobertaForMaskedLM)"),
        ({"is_encoder_decoder": True, "model_type": "t5"}, "'t5' has an encoder and a decoder"),
    ],
)
def test_models_that_cannot_learn_to_write_are_refused(
    recipe, tiny_model_folder, tmp_path, capsys, settings, words
):
    base, path = tmp_path / "base", tmp_path / "recipe.yaml"
    shutil.copytree(tiny_model_folder, base)
    config = json.loads((base / "config.json").read_text())
    (base / "config.json").write_text(json.dumps({**config, **settings}))
    path.write_text(override_recipe(recipe, base_model=str(base)).to_yaml())
    assert main(["run", str(path), "--output", str(tmp_path / "run")]) == 2
    assert words in capsys.readouterr().err


@pytest.mark.parametrize("dry", [True, False], ids=["rehearsal", "run"])
def test_a_run_folder_that_cannot_be_written_is_refused_alike(recipe, tmp_path, capsys, dry):
    path = tmp_path / "recipe.yaml"
    path.write_text(recipe.to_yaml())
    output = path / "run"
    assert main(["run", str(path), "--output", str(output), *(["--dry-run"] if dry else [])]) == 2
    said = capsys.readouterr().err
    assert f"The run folder cannot be written: Not a directory.\n  where: {output}\n  fix:" in said
