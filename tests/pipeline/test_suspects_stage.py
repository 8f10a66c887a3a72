"""Suspect labels on their way through a run."""

import json

import numpy as np

from whylabel.pipeline import Pipeline
from whylabel.reasonings.files import iterate_dropped, read_reasoned
from whylabel.recipe import override_recipe
from whylabel.run_folder import RunFolder
from whylabel.stages.suspects import Suspect, read_suspects
from whylabel.text.hashes import fingerprint


def listing(monkeypatch, ids):
    """Let the stage `suspects` list the rows with these ids."""
    monkeypatch.setattr(
        "whylabel.stages.suspects.find_suspects",
        lambda rows, probabilities, labels: [
            Suspect(row.id, row.text, row.label, 0.1, "joy", 0.9) for row in rows if row.id in ids
        ],
    )


def test_suspect_labels_are_listed_and_left_without_a_reasoning(
    recipe, tiny_model_folder, tmp_path, monkeypatch, capsys
):
    doubting = override_recipe(
        recipe,
        reasoner__model=str(tiny_model_folder),
        augment__suspects={"folds": 2, "exclude": True},
    )
    run = RunFolder(tmp_path)
    pipeline = Pipeline(doubting, run)
    wrong = {row.id for row in pipeline.dataset.train[:3]}
    listing(monkeypatch, wrong)
    pipeline.begin()
    assert pipeline.plan()[:3] == [
        "train-folds: would run, it has not run yet",
        "suspects: would run, it has not run yet",
        "augment: would run, after suspects",
    ]
    pipeline.augment()
    assert all("skipped" in line for line in pipeline.plan()[:3])
    said = capsys.readouterr().err
    assert f"  3 of 24 labels look wrong (12.5%); they are in {run.suspects}\n" in said
    # Rows that are left out are no work.
    assert "augment: 21 of 21 rows" in said
    assert {row.id for row in read_suspects(run.suspects)} == wrong
    figures = json.loads(run.augment_metrics.read_text())
    assert figures["dropped_by_reason"]["suspect label"] == 3
    assert figures["rows"] == 24
    assert not wrong & {row.id for row in read_reasoned(run.kept)}
    # The baselines are not needed any more.
    assert not run.folds.exists()
    entry = run.read_manifest()["stages"]["suspects"]
    assert (entry["status"], entry["rows"], entry["tokens"]) == ("done", 24, 0)
    assert entry["content"] == fingerprint(sorted(wrong))


def test_a_rehearsal_leaves_out_suspect_labels_once_they_are_known(
    recipe, tiny_model_folder, tmp_path, monkeypatch, capsys
):
    values = {"reasoner__model": str(tiny_model_folder), "augment__suspects": {"folds": 2, "exclude": True}}
    pipeline = Pipeline(override_recipe(recipe, **values), RunFolder(tmp_path))
    listing(monkeypatch, {row.id for row in pipeline.dataset.train[:3]})
    monkeypatch.setattr("whylabel.pipeline.folds._fit_predict", evenly)
    pipeline.begin()
    rehearsal = pipeline.rehearse_augment()
    assert (rehearsal.rows, rehearsal.to_write) == (24, 24)
    assert "the stage suspects has not run yet" in capsys.readouterr().err
    pipeline.augment()
    pipeline.run.store.unlink()
    rehearsal = pipeline.rehearse_augment()
    assert (rehearsal.rows, rehearsal.to_write) == (21, 21)
    assert "the stage suspects has not run yet" not in capsys.readouterr().err


def test_baselines_that_look_for_suspects_are_selected_on_validation_rows(
    recipe, tiny_model_folder, tmp_path, monkeypatch
):
    values = {"reasoner__model": str(tiny_model_folder), "augment__suspects": {"folds": 2}}
    selected = override_recipe(recipe, **values, training__selection__steps=2)
    listing(monkeypatch, set())
    pipeline = Pipeline(selected, RunFolder(tmp_path))
    pipeline.begin()
    pipeline.augment()
    assert pipeline.run.suspects.exists()


def test_a_new_list_of_suspects_runs_augment_again_only_where_they_are_left_out(
    recipe, tiny_model_folder, tmp_path, monkeypatch, changed_stages
):
    values = {"reasoner__model": str(tiny_model_folder), "augment__suspects": {"folds": 2, "exclude": True}}
    left_out = override_recipe(recipe, **values)
    listed = override_recipe(left_out, augment__suspects__exclude=False)
    run = RunFolder(tmp_path)
    Pipeline(left_out, run).begin()
    monkeypatch.setattr("whylabel.pipeline.folds._fit_predict", evenly)
    found = []
    for row in Pipeline(left_out, run).dataset.train[:2]:
        listing(monkeypatch, {row.id})
        run.suspects.unlink(missing_ok=True)
        Pipeline(left_out, run).augment()
        found.append({item.row.id for item in iterate_dropped(run.dropped) if item.reason == "suspect label"})
    assert found == [{row.id} for row in Pipeline(left_out, run).dataset.train[:2]]

    Pipeline(listed, run).augment()
    listing(monkeypatch, set())
    run.suspects.unlink()
    Pipeline(listed, run).augment()
    assert "augment" not in changed_stages(listed, run)[:1]


def evenly(job, scratch, train, held_out, fold):
    """Return the probabilities of a baseline that knows nothing."""
    return np.full((len(held_out), len(job.inputs.labels)), 1 / len(job.inputs.labels))


def test_suspect_labels_are_looked_for_before_a_classifier_gives_the_baseline_its_budget(
    recipe, tiny_model_folder, tmp_path, monkeypatch, changed_stages
):
    values = {"reasoner__model": str(tiny_model_folder), "augment__suspects": {"folds": 2}}
    matched = override_recipe(recipe, **values, baseline__budget="matched_flops")
    listing(monkeypatch, set())
    run = RunFolder(tmp_path)
    pipeline = Pipeline(matched, run)
    pipeline.begin()
    pipeline.augment()
    pipeline.train_models()
    assert all("skipped" in line for line in pipeline.plan()[:-1])
    assert changed_stages(override_recipe(recipe, **values), run)[0] == "train-baseline"


def test_suspects_of_an_earlier_run_are_not_left_out_where_nobody_looks_for_them(
    recipe, tiny_model_folder, tmp_path, monkeypatch
):
    looking = override_recipe(
        recipe,
        reasoner__model=str(tiny_model_folder),
        augment__suspects={"folds": 2, "exclude": True},
    )
    listing(monkeypatch, {row.id for row in Pipeline(looking, RunFolder(tmp_path)).dataset.train[:3]})
    monkeypatch.setattr("whylabel.pipeline.folds._fit_predict", evenly)
    run = RunFolder(tmp_path)
    pipeline = Pipeline(looking, run)
    pipeline.begin()
    pipeline.augment()
    for suspects in ({"folds": None, "exclude": True}, {"folds": 2, "exclude": False}):
        Pipeline(override_recipe(looking, augment__suspects=suspects), run).augment()
        assert "suspect label" not in json.loads(run.augment_metrics.read_text())["dropped_by_reason"]
