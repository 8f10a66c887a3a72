"""Bad files times the verbs that read them: refused in plain words, nothing written. Times are shown alone."""

import json
import shutil

import pytest
import yaml

from release import bad_files
from release.outcomes import FIGURES, call
from whylabel.cli.main import main

TABLES = list(bad_files.bad_tables())
FOLDERS = list(bad_files.bad_folders())
RECIPES = list(bad_files.bad_recipes())
SHORT = 9
"""The short tier takes every ninth file; `pytest -m slow` the others."""
LOADED = ("latin-1", "field-too-many", "cut", "link-to-itself")
"""Files that are also given to a verb that loads the model before it reads them."""
EXPORT = ("--format", "merged", "--output", "x")


def tiers(files):
    """Return pytest's parameters: one file in nine, the others marked slow."""
    return [
        pytest.param(file, id=file.title, marks=() if number % SHORT == 0 else pytest.mark.slow)
        for number, file in enumerate(files)
    ]


@pytest.fixture(autouse=True)
def in_a_folder_of_its_own(tmp_path, monkeypatch):
    (tmp_path / "here").mkdir()
    monkeypatch.chdir(tmp_path / "here")


@pytest.fixture
def refused(capsys):
    """Return a function that runs verbs, and fails with all that is wrong with their refusals."""

    def run(kind, verbs, *named, codes=(2,), may_write=False):
        faults = []
        for verb, arguments in verbs.items():
            outcome = call(arguments, capsys)
            FIGURES.add(kind, verb, outcome)
            found = outcome.faults(*named, codes=codes, may_write=may_write)
            faults += [f"{verb}: {'; '.join(found)}\n{outcome.output}"] if found else []
        assert not faults, "\n".join(faults)

    return run


@pytest.mark.parametrize("file", tiers(TABLES))
def test_a_bad_table_is_refused(file, tmp_path, refused, recipe_values, finished_run):
    path = str(file.write(tmp_path))
    good = tmp_path / "good.yaml"
    good.write_text(yaml.safe_dump(recipe_values))
    verbs = {
        "inspect": ["inspect", path],
        "run": ["run", str(good), "--dry-run", f"data.source={path}"],
        "evaluate --data": ["evaluate", str(finished_run.path), "--data", path],
    }
    if not file.labels_only:
        verbs |= {
            "init": ["init", path],
            "predict": ["predict", "--model", str(finished_run.path), "--input", path],
            "reasonings --import": ["reasonings", str(finished_run.path), "--import", path],
            "train-reasoner": ["train-reasoner", str(good), f"reasoner.data={path}"],
        }
    if file.name.startswith(LOADED):
        verbs |= {"export --rows": ["export", str(finished_run.path), *EXPORT, "--rows", path]}
    verbs = {verb: arguments for verb, arguments in verbs.items() if verb not in file.taken_by}
    refused("tables", verbs, file.name, *file.says)


@pytest.mark.parametrize("file", tiers(FOLDERS))
def test_a_bad_folder_of_splits_is_refused(file, tmp_path, refused, recipe_values):
    path = str(file.write(tmp_path))
    good = tmp_path / "good.yaml"
    good.write_text(yaml.safe_dump(recipe_values))
    verbs = {
        "inspect": ["inspect", path],
        "run": ["run", str(good), "--dry-run", f"data.source={path}"],
    }
    refused("folders of splits", verbs, file.name, *file.says)


def recipe_verbs(path):
    return {
        **{
            verb: [verb, path]
            for verb in ("run", "train-reasoner", "augment", "train", "evaluate", "inspect")
        },
        "curve": ["curve", path, "--per-class", "2,4"],
        "reasonings --seed": ["reasonings", path, "--seed", "3"],
    }


@pytest.mark.parametrize("file", tiers(RECIPES))
def test_a_bad_recipe_is_refused(file, tmp_path, refused):
    path = str(file.write(tmp_path))
    refused("recipes", recipe_verbs(path), file.name, *file.says)


@pytest.mark.parametrize("name", tiers([_ for _ in bad_files.bad_label_lists(bad_files.Path("good.csv"))]))
def test_a_bad_list_of_labels_is_refused(name, tmp_path, refused, recipe_values):
    source = recipe_values["data"]["source"]
    (file,) = (file for file in bad_files.bad_label_lists(source) if file.name == name.name)
    path = str(file.write(tmp_path))
    verbs = {"inspect": ["inspect", path], "run": ["run", path, "--dry-run"]}
    refused("lists of labels", verbs, *file.says)


# -- runs, models ------------------------------------------------------------------------------------------

OF_RUNS = {
    "run.json": (),
    "recipe.yaml": (),
    "augment/train.parquet": (),
    "augment/dropped.parquet": (),
    "augment/store.sqlite": (),
    "augment/metrics.json": (),
    "baseline/metrics.json": (),
    "classifier/metrics.json": (),
    "evaluation/metrics.json": (),
    "evaluation/predictions.parquet": (),
}
OF_MODELS = (
    "config.json",
    "generation_config.json",
    "tokenizer.json",
    "tokenizer_config.json",
    "whylabel.json",
)
OF_MODELS += ("model.safetensors",)
DAMAGES = (*bad_files._DAMAGE, *bad_files._DAMAGE_OF_JSON)


def damaged(files):
    """Return pytest's parameters: a file and its damage."""
    pairs = [
        (file, damage)
        for file in files
        for damage in (DAMAGES if file.endswith(".json") else bad_files._DAMAGE)
    ]
    return [
        pytest.param(*pair, id="-".join(pair), marks=() if number % SHORT == 0 else pytest.mark.slow)
        for number, pair in enumerate(pairs)
    ]


def damage_file(folder, file, damage):
    (content,) = (content for _, name, content in bad_files.damages(folder, [file]) if name == damage)
    if content is None:
        (folder / file).unlink()
    else:
        (folder / file).write_bytes(content)


@pytest.mark.parametrize(("file", "damage"), damaged(OF_RUNS))
def test_a_damaged_run_is_refused_or_read_without_the_file(file, damage, run_copy, refused):
    damage_file(run_copy.path, file, damage)
    run = str(run_copy.path)
    verbs = {
        "compare": ["compare", run],
        "reasonings": ["reasonings", run],
        "reasonings --export": ["reasonings", run, "--export", "rows.csv"],
        "reasonings --predictions": ["reasonings", run, "--predictions"],
        "reasonings --seed": ["reasonings", run, "--seed", "2"],
    }
    refused("run folders", verbs, codes=(0, 2))


@pytest.mark.parametrize(("file", "damage"), damaged(OF_MODELS))
def test_a_damaged_model_is_refused_or_read_without_the_file(
    file, damage, finished_run, tmp_path, refused, recipe_values
):
    folder = tmp_path / "model"
    shutil.copytree(finished_run.classifier_model, folder)
    damage_file(folder, file, damage)
    texts = tmp_path / "texts.csv"
    texts.write_text("text\nIt was a grey day\n")
    good = tmp_path / "good.yaml"
    good.write_text(yaml.safe_dump(recipe_values))
    verbs = {
        "predict": ["predict", "--model", str(folder), "--input", str(texts), "--engine", "transformers"],
        "doctor": ["doctor", str(folder)],
        "run": ["run", str(good), "--dry-run", f"base_model={folder}"],
        "evaluate --data": [
            "evaluate",
            str(folder),
            "--data",
            recipe_values["data"]["source"],
            "--limit",
            "2",
        ],
    }
    refused("model folders", verbs, codes=(0, 2), may_write=True)


# -- decisions ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "number", tiers([file for file in bad_files.bad_decisions([{"id": "a", "reasoning": "b"}] * 3)])
)
def test_bad_decisions_are_refused(number, run_copy, tmp_path, refused):
    exported = tmp_path / "exported.jsonl"
    assert main(["reasonings", str(run_copy.path), "--export", str(exported)]) == 0
    rows = [json.loads(line) for line in exported.read_text(encoding="utf-8").splitlines()]
    (file,) = (file for file in bad_files.bad_decisions(rows) if file.name == number.name)
    path = file.write(tmp_path)
    verbs = {"reasonings --import": ["reasonings", str(run_copy.path), "--import", str(path)]}
    refused("decisions", verbs, file.name, *file.says)
