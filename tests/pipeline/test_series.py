"""A recipe with several seeds, run as one."""

import json

import pytest

from report_page import Page
from whylabel.cli.main import main
from whylabel.errors import UsageError
from whylabel.evaluation.predictions import read_predictions
from whylabel.pipeline.series import compare_seeds, of_seeds, of_sizes, run_members
from whylabel.recipe import override_recipe
from whylabel.run_folder import RunFolder


def test_every_seed_is_run_on_the_same_test_rows_and_compared(recipe, tmp_path, capsys):
    chosen = override_recipe(recipe, evaluation__quality_rows=0)
    members = of_seeds(chosen, tmp_path, 3)
    assert [member.recipe.seed for member in members] == [13, 14, 15]
    assert run_members(members) == 0
    tested = [[row.text for row in read_predictions(one.run.predictions)][:12] for one in members]
    assert tested[0] == tested[1] == tested[2]
    kept = [json.loads(member.run.manifest.read_text())["data"]["fingerprint"] for member in members]
    assert len(set(kept)) == 3  # each seed draws train rows of its own
    found = compare_seeds(tmp_path, members)
    assert {arm.model for arm in found.arms} == {"majority", "tfidf", "embeddings", "baseline", "classifier"}
    assert all(arm.seeds == (13, 14, 15) for arm in found.arms)
    assert {pair.against for pair in found.pairs} == {
        next(a.name for a in found.arms if a.model == "classifier")
    }
    for arm in found.arms:
        metrics = [json.loads(one.run.evaluation_metrics.read_text()) for one in members]
        own = [
            {
                **each["floors"],
                **each["rivals"],
                "baseline": each["baseline"],
                "classifier": each["modes"].get(arm.mode),
            }
            for each in metrics
        ]
        assert arm.score.by_training == pytest.approx([each[arm.model]["accuracy"] for each in own])
    assert json.loads((tmp_path / "comparison.json").read_text())["n"] == 12
    assert "Spread over seeds" in Page((tmp_path / "comparison.html").read_text()).text
    capsys.readouterr()
    assert run_members(members) == 0
    assert capsys.readouterr().err.count("nothing has changed, skipped") == 3 * 7


def test_a_seed_of_the_splits_that_is_named_stays(recipe, tmp_path):
    members = of_seeds(override_recipe(recipe, data__split_seed=5), tmp_path, 2)
    assert [member.recipe.data.split_seed for member in members] == [5, 5]
    assert [one.recipe.data.split_seed for one in of_seeds(recipe, tmp_path, 2)] == [13, 13]


def test_a_folder_that_is_a_run_is_refused(recipe, finished):
    with pytest.raises(UsageError, match="A run is in this folder"):
        of_seeds(recipe, finished.path, 2)


def test_the_verb_plans_every_seed(recipe, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("signal.signal", lambda *_: None)
    (tmp_path / "r.yaml").write_text(recipe.to_yaml())
    assert main(["run", "r.yaml", "--seeds", "2", "--dry-run"]) == 0
    out = capsys.readouterr().out
    assert "runs/tiny-seeds/seed-13:" in out and "runs/tiny-seeds/seed-14:" in out
    assert not RunFolder(tmp_path / "runs" / "tiny-seeds" / "seed-13").manifest.exists()
    assert main(["run", "r.yaml", "--seeds", "1"]) == 2


def test_a_curve_has_every_size_and_seed(recipe, tmp_path, monkeypatch, capsys):
    monkeypatch.setattr("signal.signal", lambda *_: None)
    chosen = override_recipe(recipe, evaluation__quality_rows=0, data__train_rows=None)
    (tmp_path / "r.yaml").write_text(chosen.to_yaml())
    command = ["curve", str(tmp_path / "r.yaml"), "--per-class", "4,2", "--seeds", "2"]
    command += ["--output", str(tmp_path / "out")]
    assert main(command) == 0
    out = capsys.readouterr().out
    assert "2 a label" in out and "4 a label" in out
    assert out.splitlines()[-1] == f"page:        {tmp_path / 'out' / 'curve.html'}"
    found = json.loads((tmp_path / "out" / "curve.json").read_text())
    assert found["sizes"] == {"2": [12, 12], "4": [24, 24]}
    assert {"majority", "tfidf", "embeddings", "baseline", "classifier"} == set(found["models"])
    run = json.loads(
        (tmp_path / "out" / "4-per-label" / "seed-14" / "evaluation" / "metrics.json").read_text()
    )
    point = found["models"]["tfidf"][1]
    assert (
        point["per_label"] == 4
        and point["score"]["score"]["by_training"][1] == run["floors"]["tfidf"]["accuracy"]
    )
    # The same command again runs nothing, and says the same.
    assert main(command) == 0
    again = capsys.readouterr()
    assert again.err.count("nothing has changed, skipped") == 4 * 7 and again.out == out


def test_a_size_beyond_the_data_is_not_run(recipe, tmp_path, capsys):
    chosen = override_recipe(recipe, data__train_rows=None)
    found = of_sizes(chosen, tmp_path, (500, 2, 400), 2)
    assert list(found) == [2, 400, 500] and found[500] is found[400]
    assert "500 a label: the data have no more train rows than with 400" in capsys.readouterr().err


@pytest.mark.parametrize("sizes", ["8", "8,x", "0,8", ""])
def test_sizes_that_are_none_are_refused(tmp_path, capsys, monkeypatch, sizes):
    monkeypatch.setattr("signal.signal", lambda *_: None)
    assert main(["curve", str(tmp_path / "r.yaml"), "--per-class", sizes]) == 2
    assert "--per-class" in capsys.readouterr().err
