"""The experiments: what is run and kept, what the page makes of it, and that the page is current."""

import json
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import yaml
from transformers import BertConfig, BertModel, BertTokenizerFast

from whylabel.labels import LabelSet
from whylabel.recipe import load_recipe
from whylabel.types import Example

EXPERIMENTS = Path(__file__).parents[2] / "experiments"


@pytest.fixture
def run(monkeypatch):
    monkeypatch.syspath_prepend(str(EXPERIMENTS))
    import run

    return run


@pytest.fixture
def results(run):
    import results

    return results


@pytest.fixture
def page(results):
    import page

    return page


def parse(run, monkeypatch, *arguments):
    monkeypatch.setattr(sys, "argv", ["run.py", *map(str, arguments)])
    return run.parser("doc").parse_args()


def write_data(folder):
    """Write a data set with validation rows, one without, and reasoning data."""
    rows = {"text": [f"text {n} is {n % 2}" for n in range(60)], "label_name": ["no", "yes"] * 30}
    for name, splits in (("small", ("train", "validation", "test")), ("bare", ("train", "test"))):
        (folder / name).mkdir(parents=True)
        for split in splits:
            own = {key: [*values, *values[:2]] for key, values in rows.items()}
            own["text"] = [f"{split} {text} {place}" for place, text in enumerate(own["text"])]
            own["label_name"][:1] = ["MULTI"] if name == "small" else ["no"]
            pq.write_table(pa.table(own), folder / name / f"{split}.parquet")
    (folder / "reasoning").mkdir()
    table = {
        "question": [f"q{n}" for n in range(20)],
        "answer": ["a"] * 20,
        "reasoning": ["for this reason"] * 20,
    }
    pq.write_table(pa.table(table), folder / "reasoning" / "train.parquet")


@pytest.fixture
def tiny(run, tiny_model_folder, tmp_path, monkeypatch):
    """Experiments of tiny runs: the folder of the data."""
    home = tmp_path / "experiments"
    (home / "e0").mkdir(parents=True)
    files = {
        "recipe.yaml": {
            "base_model": str(tiny_model_folder),
            "training": {"max_steps": 2},
            "augment": {"engine": "scripted", "filters": {"names": ["empty"]}},
            "evaluation": {"bootstrap_samples": 100},
        },
        "reasoner.yaml": {
            "base_model": str(tiny_model_folder),
            "reasoner": {"rows": 8, "validation_rows": 2, "training": {"max_steps": 1}},
            "augment": {"sampling": {"max_new_tokens": 4}},
        },
        "data.yaml": {
            "small": {"drop": "MULTI", "overrides": ["data.label_column=label_name"]},
            "bare": {"overrides": ["data.label_column=label_name"]},
        },
        "e0/trials.yaml": {
            "settings": {
                "s": {"data": "small", "overrides": ["data.train_rows_per_label=4"]},
                "b": {"data": "bare"},
            },
            "trials": {
                "dual": ["classifier.target=dual", "classifier.max_reasoning_tokens=4"],
                "matched": ["classifier.target=label_reasoning", "baseline.budget=matched_flops"],
                "from_reasoner": ["classifier.target=label_reasoning", "base_model=REASONER"],
            },
            "against": {"dual": "matched"},
            "sizes": {"cpu": {"seeds": [1, 2], "settings": ["s"], "overrides": ["data.test_rows=10"]}},
        },
    }
    for name, values in files.items():
        (home / name).write_text(yaml.safe_dump(values))
    write_data(tmp_path / "data")
    monkeypatch.setattr(run, "HERE", home)
    return tmp_path / "data"


def test_trials_leave_a_result_each_and_are_not_run_again(run, tiny, tmp_path, monkeypatch, capsys):
    common = ("e0", "--data", tiny, "--size", "cpu", "--runs", tmp_path / "runs")
    parse(run, monkeypatch, *common, "--seeds", 1, "--trials", "dual", "matched")
    run.main()
    found = run.read_results(run.HERE / "e0" / "results.jsonl")
    assert [(one["setting"], one["trial"], one["seed"], one["split"]) for one in found] == [
        ("s", "dual", 1, "validation"),
        ("s", "matched", 1, "validation"),
    ]
    dual, matched = found
    assert dual["rows"]["train"] == 8 and dual["rows"]["test"] == 10
    assert set(dual["right"]) == {"baseline", "majority", "tfidf", "classifier fast", "classifier reasoned"}
    for model, right in dual["right"].items():
        assert right.count("1") / 10 == pytest.approx(dual["scores"][model]["accuracy"])
    flops = {model: spent["flops"] for model, spent in matched["spent"].items()}
    assert flops["baseline"] == pytest.approx(flops["classifier"], rel=0.2)
    assert dual["augment"]["kept"] == 8
    said = capsys.readouterr().err
    # What trials have in common is computed once.
    assert said.count("augment: done") == 1 and "augment: nothing has changed" in said
    parse(run, monkeypatch, *common, "--seeds", 1)
    run.main()
    assert "2 trials have a result, 1 are to be run" in capsys.readouterr().err
    lines = (run.HERE / "e0" / "results.jsonl").read_text().splitlines()
    assert [json.loads(line)["trial"] for line in lines] == ["dual", "matched", "from_reasoner"]


def test_settings_and_seeds_run_side_by_side(run, tiny, tmp_path):
    shutil.copy(EXPERIMENTS / "run.py", run.HERE)
    command = [sys.executable, str(run.HERE / "run.py"), "e0", "--data", str(tiny), "--size", "cpu"]
    command += ["--runs", str(tmp_path / "runs"), "--trials", "dual", "--jobs", "2"]
    outcome = subprocess.run(command, capture_output=True, text=True, check=False)
    assert outcome.returncode == 0, outcome.stderr
    assert "s · seed 1: done" in outcome.stderr and "s · seed 2: done" in outcome.stderr
    found = run.read_results(run.HERE / "e0" / "results.jsonl")
    assert sorted(one["seed"] for one in found) == [1, 2]
    # Both need the reasoner, and it was trained once.
    logs = [path.read_text() for path in (tmp_path / "runs" / "e0").glob("*.log")]
    assert sum("train-reasoner: done" in log for log in logs) == 1
    # One that fails is told, and does not take the other with it.
    (tmp_path / "runs" / "e0" / "s-validation-2" / "run.json").write_text("torn")
    (run.HERE / "e0" / "results.jsonl").unlink()
    outcome = subprocess.run(command, capture_output=True, text=True, check=False)
    assert outcome.returncode == 1
    assert "s · seed 1: done" in outcome.stderr and "s · seed 2: failed, see" in outcome.stderr


def test_no_trial_begins_when_the_time_is_over(run, tiny, tmp_path, monkeypatch, capsys):
    parse(
        run, monkeypatch, "e0", "--data", tiny, "--size", "cpu", "--runs", tmp_path / "runs", "--minutes", 0
    )
    run.main()
    assert not (run.HERE / "e0" / "results.jsonl").exists()
    assert "the rest another time" in capsys.readouterr().err


def test_the_test_split_is_read_on_demand_alone(run, tiny, tmp_path, monkeypatch):
    common = ("e0", "--data", tiny, "--size", "cpu", "--runs", tmp_path / "runs", "--trials", "dual")
    plain = parse(run, monkeypatch, *common, "--settings", "s", "b")
    trials = list(run.planned("e0", plain))
    assert [(one.setting, one.seed) for one in trials] == [("s", 1), ("b", 1), ("s", 2), ("b", 2)]
    small, bare, *_ = (load_recipe(run.HERE / "recipe.yaml", one.overrides).data for one in trials)
    assert small.test.endswith("runs/data/small/validation.parquet") and small.validation is None
    # Without validation rows the train rows give some.
    assert bare.test is None and bare.source.endswith("bare/train.parquet")
    kept = pq.read_table(tmp_path / "runs" / "data" / "small" / "train.parquet")["label_name"].to_pylist()
    assert len(kept) == 61 and "MULTI" not in kept
    last = parse(run, monkeypatch, *common, "--settings", "s", "b", "--test")
    small, bare, *_ = (
        load_recipe(run.HERE / "recipe.yaml", one.overrides).data for one in run.planned("e0", last)
    )
    assert small.test.endswith("small/test.parquet") and small.validation.endswith("validation.parquet")
    assert bare.test.endswith("bare/test.parquet") and bare.validation is None


def test_reasonings_of_a_file_take_the_place_of_the_reasoners(run, tiny, tmp_path, monkeypatch):
    common = (
        "e0",
        "--data",
        tiny,
        "--size",
        "cpu",
        "--runs",
        tmp_path / "runs",
        "--seeds",
        1,
        "--trials",
        "dual",
    )
    parse(run, monkeypatch, *common)
    run.main()
    folder = tmp_path / "runs" / "e0" / "s-validation-1"
    written = {
        row["id"]: f"{row['text']} says it"
        for row in pq.read_table(folder / "augment/train.parquet").to_pylist()
    }
    lines = [json.dumps({"id": row_id, "reasoning": text}) for row_id, text in written.items()]
    (run.HERE / "e0" / "written.jsonl").write_text("\n".join(lines))
    (run.HERE / "e0" / "results.jsonl").unlink()
    plan = yaml.safe_load((run.HERE / "e0" / "trials.yaml").read_text())
    (run.HERE / "e0" / "trials.yaml").write_text(yaml.safe_dump({**plan, "reasonings": "written.jsonl"}))
    run.main()
    assert len(run.read_results(run.HERE / "e0" / "results.jsonl")) == 1
    rows = pq.read_table(folder / "augment/train.parquet").to_pylist()
    assert {row["id"]: row["reasoning"] for row in rows} == written


@pytest.fixture
def tiny_encoder(tmp_path):
    """Return the folder of an untrained BERT of a few thousand weights that knows the words of `write_data`."""
    folder = tmp_path / "encoder"
    folder.mkdir()
    words = [
        "[PAD]",
        "[UNK]",
        "[CLS]",
        "[SEP]",
        "[MASK]",
        "text",
        "is",
        "train",
        "test",
        *map(str, range(60)),
    ]
    (folder / "vocab.txt").write_text("\n".join(words))
    BertTokenizerFast(str(folder / "vocab.txt")).save_pretrained(folder)
    shape = {"hidden_size": 16, "num_hidden_layers": 1, "num_attention_heads": 2, "intermediate_size": 16}
    BertModel(BertConfig(vocab_size=len(words), **shape)).save_pretrained(folder)
    return folder


def test_an_encoder_is_a_trial_of_the_same_rows(run, tiny, tiny_encoder, tmp_path, monkeypatch):
    import encoder

    monkeypatch.setattr(encoder, "LEAST_STEPS", 40)
    common = ("e0", "--data", tiny, "--size", "cpu", "--runs", tmp_path / "runs", "--encoder", tiny_encoder)
    monkeypatch.setattr(sys, "argv", ["encoder.py", *map(str, common)])
    encoder.main()
    encoder.main()
    found = run.read_results(run.HERE / "e0" / "results.jsonl")
    assert [(one["trial"], one["seed"], one["rows"]) for one in found] == [
        ("encoder", seed, {"train": 8, "test": 10}) for seed in (1, 2)
    ]
    for one in found:
        assert one["right"]["encoder"].count("1") / 10 == one["scores"]["encoder"]["accuracy"]


def test_an_encoder_learns_its_training_texts(run, tiny, tiny_encoder, monkeypatch):
    import encoder

    rows = [Example(str(n), f"text {n} is {n % 2}", ("no", "yes")[n % 2]) for n in range(8)]
    monkeypatch.setattr(encoder, "LEARNING_RATE", 1e-2)
    predictions = encoder.fit_predict(str(tiny_encoder), rows, rows, LabelSet(("no", "yes")), 1)
    assert [row.label for row in predictions] == [row.label for row in rows]
    assert all(sum(row.probabilities) == pytest.approx(1, abs=1e-5) for row in predictions)


@pytest.mark.parametrize("name", sorted(path.parent.name for path in EXPERIMENTS.glob("*/trials.yaml")))
def test_every_planned_trial_is_a_recipe(run, name, tmp_path, monkeypatch):
    (tmp_path / "data").mkdir()
    for data in yaml.safe_load((EXPERIMENTS / "data.yaml").read_text()):
        (tmp_path / "data" / data).mkdir()
    for size in ("cpu", "gpu"):
        arguments = parse(
            run, monkeypatch, name, "--data", tmp_path / "data", "--runs", tmp_path, "--size", size
        )
        trials = list(run.planned(name, arguments))
        assert trials
        for trial in trials:
            load_recipe(trial.recipe, trial.overrides)


def test_intervals_over_seeds_and_over_rows(results):
    rows = [np.array([1] * right + [0] * (10 - right)) for right in (5, 6, 7)]
    mean, low, high = results.interval(rows)
    # t with 2 degrees of freedom at 97.5 % is 4.303; the standard error of 0.5, 0.6, 0.7 is 0.1 / sqrt(3).
    assert (mean, low, high) == pytest.approx(
        (0.6, 0.6 - 4.3027 * 0.057735, 0.6 + 4.3027 * 0.057735), abs=1e-4
    )
    mean, low, high = results.interval(rows[:1])
    assert mean == 0.5 and low == pytest.approx(0.2, abs=0.05) and high == pytest.approx(0.8, abs=0.05)


def result(trial, seed, right, baseline, flops):
    def score(rows):
        return {"macro_f1": sum(map(int, rows)) / len(rows), "seconds_per_row": 0.1}

    models = {"classifier fast": right, "baseline": baseline, "majority": "0000", "tfidf": "1000"}
    return {
        "setting": "s", "trial": trial, "seed": seed, "split": "validation", "right": models, "rows": {"train": 8},
        "scores": {name: score(rows) for name, rows in models.items()},
        "spent": {"classifier": {"flops": flops}, "baseline": {"flops": 100.0}},
    }  # fmt: skip


def test_tables_compare_on_the_same_rows_and_seeds(page, results, tmp_path, monkeypatch):
    import figures

    (tmp_path / "e0").mkdir()
    plan = {
        "settings": {"s": {"data": "small"}},
        "trials": {"dual": [], "matched": []},
        "against": {"dual": "matched"},
    }
    (tmp_path / "e0" / "trials.yaml").write_text(yaml.safe_dump(plan))
    encoder = {
        "setting": "s", "trial": "encoder", "seed": 1, "split": "validation", "right": {"encoder": "0101"},
        "scores": {"encoder": {"macro_f1": 0.5, "seconds_per_row": 0.1}},
    }  # fmt: skip
    lines = [
        result("dual", 1, "1110", "0000", 200.0),
        result("dual", 2, "1111", "0000", 200.0),
        result("matched", 1, "1000", "1100", 110.0),
        {**result("dual", 1, "0000", "0000", 1.0), "split": "test"},
        encoder,
    ]
    (tmp_path / "e0" / "results.jsonl").write_text("\n".join(map(json.dumps, lines)))
    monkeypatch.setattr(results, "HERE", tmp_path)
    experiment = results.Experiment("e0")
    table = page.comparison(experiment).splitlines()
    # Seed 2 has no partner yet, and the test split is another page's.
    assert table[2].startswith("| s | dual | fast | 1 | 4 | 75.0 [25.0, 100.0] | 75.0 | 50.0 | +25.0 ")
    assert table[2].endswith("| 2.00 |")
    assert "−25.0" in table[3]
    alone = page.label_alone(experiment)
    assert "| s | majority | 2 | 0.0 " in alone
    beside = page.ablation(experiment, experiment, "matched").splitlines()
    # On the seed that both have: 3 of 4 rows against none for the label alone, and against 1 of the other trial.
    assert beside[2].startswith("| s | dual | fast | 1 | 75.0 ")
    assert "| +75.0 [" in beside[2] and "| +50.0 [" in beside[2]
    others = page.beside_others(experiment, "dual").splitlines()
    assert others[2].startswith("| s | tfidf | 2 | 4 | 25.0 ") and others[2].endswith(" |")
    assert others[3].startswith("| s | encoder | 1 | 4 | 50.0 [0.0, 100.0] | 50.0 | +50.0 ")
    assert others[4].startswith("| s | label alone | 2 | 4 | 0.0 ") and others[4].endswith("| 0.0 |  |")
    assert others[5].startswith("| s | classifier fast | 2 | 4 | 87.5 ")
    monkeypatch.setattr(results, "data_sets", lambda: {"small": {"labels": 2}})
    assert experiment.rows_per_label("s") == 4
    for drawn in (
        figures.against_flops(experiment),
        figures.against_labels(experiment),
        figures.beside_label_alone(experiment),
        figures.against_cost(experiment, "dual"),
    ):
        assert drawn.startswith("<?xml") and "dual" in drawn


def test_the_mean_of_several_settings_has_an_interval_over_them(page, results, tmp_path, monkeypatch):
    import figures

    (tmp_path / "e0").mkdir()
    plan = {"settings": {name: {"data": "small"} for name in "stu"}, "trials": {"best": []}}
    (tmp_path / "e0" / "trials.yaml").write_text(yaml.safe_dump(plan))
    # Ahead by 50, 25 and 0 points: the mean is 25, and t(0.975, 2) x 25 / sqrt(3) = 62.1.
    found = [
        {**result("best", 1, right, "1000", 100.0), "setting": setting}
        for setting, right in zip("stu", ("1110", "1100", "1000"), strict=True)
    ]
    (tmp_path / "e0" / "results.jsonl").write_text("\n".join(map(json.dumps, found)))
    monkeypatch.setattr(results, "HERE", tmp_path)
    experiment = results.Experiment("e0")
    table = page.beside_others(experiment, "best").splitlines()
    assert table[-1] == "| mean of all | classifier fast | | | | | +25.0 [−37.1, +87.1] |"
    drawn = figures.differences(experiment, "best")
    assert "mean of all" in drawn and "reasoned" not in drawn


def test_the_page_shows_what_the_result_files_hold():
    command = [sys.executable, str(EXPERIMENTS / "page.py"), "--check"]
    outcome = subprocess.run(command, capture_output=True, text=True, check=False)
    assert outcome.returncode == 0, outcome.stdout


def test_a_page_that_is_out_of_date_is_told(page, tmp_path, monkeypatch, capsys):
    other = tmp_path / "results.md"
    other.write_text("words\n<!-- e2 -->\n<!-- end -->\nwords\n<!-- e2 -->\nold\n<!-- end -->\n")
    monkeypatch.setattr(page, "PAGE", other)
    monkeypatch.setattr(page, "FIGURES", tmp_path)
    monkeypatch.setattr(page, "DRAWN", {})
    monkeypatch.setattr(page, "HERE", tmp_path / "experiments")
    monkeypatch.setattr(page, "BLOCKS", {"e2": lambda: "new"})
    monkeypatch.setattr(sys, "argv", ["page.py", "--check"])
    assert page.main() == 1
    assert "out of date: results.md" in capsys.readouterr().out
    monkeypatch.setattr(sys, "argv", ["page.py"])
    assert page.main() == 0
    block = "<!-- e2 -->\nnew\n<!-- end -->\n"
    assert other.read_text() == f"words\n{block}words\n{block}"
