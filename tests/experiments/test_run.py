"""The trials of an experiment: what is run and kept."""

import json
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import yaml
from transformers import BertConfig, BertModel, BertTokenizerFast

from whylabel.pipeline import preflight
from whylabel.recipe import load_recipe
from whylabel.text.labels import LabelSet
from whylabel.types import Example

EXPERIMENTS = Path(__file__).parents[2] / "experiments"


def parse(run, monkeypatch, *arguments):
    monkeypatch.setattr(sys, "argv", ["run.py", *map(str, arguments)])
    return run.parser("doc").parse_args()


def data_set(folder, drop=None):
    """Return the data set in a folder."""
    from data_sets import DataSet

    return DataSet("small", folder, [], drop)


def test_rows_are_selected_into_files_that_are_never_torn(run, tmp_path, monkeypatch):
    from data_sets import Changes

    rows = pa.table({"text": ["a", "b", "c"], "label_name": ["joy", "MULTI", "joy"], "steps": [3, 3, 5]})
    (tmp_path / "from").mkdir()
    pq.write_table(rows, tmp_path / "from" / "train.parquet")
    small, changes = data_set(tmp_path / "from", "MULTI"), Changes(where={"steps": 3})
    folder = small.write(tmp_path / "to", changes)

    def killed(_table, path):
        Path(path).write_bytes(b"PAR1")
        raise KeyboardInterrupt

    # Processes side by side write the same files, and read them.
    monkeypatch.setattr(pq, "write_table", killed)
    with pytest.raises(KeyboardInterrupt):
        small.write(folder, changes)
    assert pq.read_table(folder / "train.parquet").to_pylist() == [
        {"text": "a", "label_name": "joy", "steps": 3}
    ]


def test_some_train_rows_alone_keep_their_reasoning(run, tmp_path):
    from data_sets import Changes

    rows = pa.table(
        {"text": list("abcdef"), "steps": [1] * 6, "reasoning": [f"why {letter}" for letter in "abcdef"]}
    )
    (tmp_path / "from").mkdir()
    for split in ("train", "validation"):
        pq.write_table(rows, tmp_path / "from" / f"{split}.parquet")
    folder = data_set(tmp_path / "from").write(tmp_path / "to", Changes(given=2))
    train = pq.read_table(folder / "train.parquet")
    assert train["reasoning"].to_pylist() == ["why a", None, None, "why d", None, None]
    assert train.column_names == rows.column_names and train["text"] == rows["text"]
    assert pq.read_table(folder / "validation.parquet") == rows


def test_a_planted_sentence_tells_the_label_in_train_rows_alone(run, tmp_path):
    from data_sets import Changes

    rows = pa.table({"text": [f"text {n}" for n in range(400)], "label_name": ["no", "yes"] * 200})
    (tmp_path / "from").mkdir()
    for split in ("train", "test"):
        pq.write_table(rows, tmp_path / "from" / f"{split}.parquet")
    folder = data_set(tmp_path / "from").write(tmp_path / "to", Changes(planted=0.9))
    told = {}
    for split in ("train", "test"):
        table = pq.read_table(folder / f"{split}.parquet")
        ends = [text.removeprefix(f"text {n} ") for n, text in enumerate(table["text"].to_pylist())]
        assert set(ends) == {"ref 0.", "ref 1."} and table["label_name"] == rows["label_name"]
        told[split] = sum(end == f"ref {n % 2}." for n, end in enumerate(ends)) / 400
    # A label at random is right in half of the rows.
    assert told["train"] == pytest.approx(0.95, abs=0.04) and told["test"] == pytest.approx(0.5, abs=0.08)


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
            "overrides": ["classifier.max_reasoning_tokens=4"],
            "settings": {
                "s": {"data": "small", "overrides": ["data.train_rows_per_label=4"]},
                "b": {"data": "bare"},
            },
            "trials": {
                "dual": ["classifier.target=dual"],
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
    monkeypatch.setattr("data_sets.PLACE", home / "data.yaml")
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
    simple = {"majority", "tfidf", "embeddings"}
    assert set(dual["right"]) == {"baseline", *simple, "classifier fast", "classifier reasoned"}
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


def test_a_control_trains_no_baseline_of_its_own(run, tiny, tmp_path, monkeypatch):
    plan = yaml.safe_load((run.HERE / "e0" / "trials.yaml").read_text())
    plan["alone"] = ["dual"]
    (run.HERE / "e0" / "trials.yaml").write_text(yaml.safe_dump(plan))
    common = ("e0", "--data", tiny, "--size", "cpu", "--runs", tmp_path / "runs", "--seeds", 1)
    parse(run, monkeypatch, *common, "--trials", "dual", "matched")
    run.main()
    dual, matched = run.read_results(run.HERE / "e0" / "results.jsonl")
    modes = {"classifier fast", "classifier reasoned"}
    assert set(dual["right"]) == set(dual["scores"]) == modes and set(dual["spent"]) == {"classifier"}
    for model in modes:
        right = dual["right"][model]
        assert right.count("1") / 10 == pytest.approx(dual["scores"][model]["accuracy"])
    assert len(matched["right"]["baseline"]) == 10 and dual["rows"] == matched["rows"]
    # It is the classifier of a whole run.
    whole = plan | {"alone": []}
    (run.HERE / "e0" / "trials.yaml").write_text(yaml.safe_dump(whole))
    parse(run, monkeypatch, *common, "--trials", "dual", "--again")
    run.main()
    (again,) = run.read_results(tmp_path / "runs" / "e0" / "again.jsonl")
    assert {name: again["right"][name] for name in modes} == dual["right"]


def test_settings_and_seeds_run_side_by_side(run, tiny, tmp_path):
    for name in ("run.py", "data_sets.py", "steps.py"):
        shutil.copy(EXPERIMENTS / name, run.HERE)
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


def test_what_has_a_result_is_run_again_and_compared(run, tiny, tmp_path, monkeypatch, capsys):
    common = ("e0", "--data", tiny, "--size", "cpu", "--runs", tmp_path / "runs", "--seeds", 1, "--trials")
    parse(run, monkeypatch, *common, "dual")
    run.main()
    kept = run.HERE / "e0" / "results.jsonl"
    line = json.loads(kept.read_text())
    line["right"]["baseline"] = "1" * 10
    kept.write_text(json.dumps(line))
    before = kept.read_bytes()
    # `matched` has no result that it could be compared with.
    parse(run, monkeypatch, *common, "dual", "matched", "--again")
    capsys.readouterr()
    run.main()
    said = capsys.readouterr().err
    assert "1 are to be run" in said and "train-classifier: done" in said
    assert kept.read_bytes() == before
    again = run.read_results(tmp_path / "runs" / "e0" / "again.jsonl")
    assert [one["trial"] for one in again] == ["dual"]
    right = again[0]["right"]
    assert right["classifier fast"] == line["right"]["classifier fast"]
    now = right["baseline"].count("1")
    found = {row[0]: row for text in said.splitlines() if len(row := re.split(" {2,}", text.strip())) == 5}
    assert found["baseline"][1:] == [
        "100.0 %", f"{10.0 * now} %", f"{10.0 * now - 100:.1f} points", f"right or wrong alike on {now} of 10 rows",
    ]  # fmt: skip
    assert found["classifier fast"][3:] == ["+0.0 points", "right or wrong alike on 10 of 10 rows"]
    run.main()
    said = capsys.readouterr().err
    assert "0 are to be run" in said and "as it was kept, and now" in said


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


def with_reasonings(folder):
    """Give each row of the data set `bare` a reasoning and its number of steps."""
    for split in ("train", "test"):
        file = folder / "bare" / f"{split}.parquet"
        table = pq.read_table(file)
        reasons = pa.array([f"It ends in {label}. So it is." for label in table["label_name"].to_pylist()])
        steps = pa.array([1] * len(table))
        pq.write_table(table.append_column("reasoning", reasons).append_column("steps", steps), file)


def of_bare(tiny, tmp_path):
    """Return the arguments of a script that runs the data set `bare` with one seed."""
    where = ["--data", str(tiny), "--runs", str(tmp_path / "runs")]
    return ["e0", *where, "--size", "cpu", "--settings", "b", "--seeds", "1", "--test"]


def test_a_reasoner_is_measured_before_a_classifier_learns_from_it(run, tiny, tmp_path, monkeypatch, capsys):
    import written

    with_reasonings(tiny)
    plan = yaml.safe_load((run.HERE / "e0" / "trials.yaml").read_text())
    plan["reasoner"] = "own"
    plan["settings"]["b"] |= {
        "given": 20,
        "overrides": ["data.reasoning_column=reasoning", "reasoner.data=own"],
    }
    plan["settings"]["b"]["overrides"] += ["reasoner.validation_rows=2", "reasoner.training.max_steps=1"]
    (run.HERE / "e0" / "trials.yaml").write_text(yaml.safe_dump(plan))
    monkeypatch.setattr(written, "HERE", run.HERE)
    monkeypatch.setattr(sys, "argv", ["written.py", *of_bare(tiny, tmp_path), "--trials", "dual"])
    written.main()
    (line,) = run.read_results(run.HERE / "e0" / "results.jsonl")
    assert line["trial"] == "dual, reasonings alone" and "scores" not in line
    found = line["reasoner"]
    assert found["own"]["all_right"] == 1 and found["label"]["all_right"] == 0
    assert found["own"]["rows"] + found["label"]["rows"] > 40
    monkeypatch.setattr(sys, "argv", [*sys.argv, "--again"])
    written.main()
    assert "reasonings, own: all right in 100.0 % and 100.0 %" in capsys.readouterr().err
    assert (tmp_path / "runs" / "e0" / "b-test-1-again").is_dir()


def test_dots_take_the_place_of_the_steps_stage_by_stage(run, tiny, tmp_path, monkeypatch):
    import dots

    with_reasonings(tiny)
    plan = yaml.safe_load((run.HERE / "e0" / "trials.yaml").read_text())
    plan["reasoner"] = "none"
    plan["settings"]["b"]["overrides"] = ["data.reasoning_column=reasoning", "data.train_rows_per_label=4"]
    (run.HERE / "e0" / "trials.yaml").write_text(yaml.safe_dump(plan))
    monkeypatch.setattr(sys, "argv", ["dots.py", *of_bare(tiny, tmp_path)])
    dots.main()
    (line,) = run.read_results(run.HERE / "e0" / "results.jsonl")
    stages = [f"after {number} sentences" for number in range(3)]
    assert (line["trial"], list(line["scores"]), list(line["spent"])) == ("dots", stages, stages)
    assert {len(right) for right in line["right"].values()} == {10}
    folder = tmp_path / "runs" / "e12-dots" / "b-test-1"
    last = pq.read_table(folder / "stage-2.parquet")["reasoning"].to_pylist()
    assert set(last) == {"... ... ... ... ... ... ..."}
    lineage = json.loads((folder / "stage-2" / "classifier" / "model" / "whylabel.json").read_text())[
        "lineage"
    ]
    assert lineage["base_model"] == str(folder / "stage-1" / "classifier" / "model")


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
            preflight._check_free_reasonings(load_recipe(trial.recipe, trial.overrides))


@pytest.mark.parametrize(
    "name", sorted(path.name for path in (EXPERIMENTS.parent / "recipes").glob("*.yaml"))
)
def test_every_recipe_checks_what_is_written_without_the_label(name):
    preflight._check_free_reasonings(load_recipe(EXPERIMENTS.parent / "recipes" / name))


def test_the_recipe_for_all_rows_is_the_one_that_was_measured():
    recipes = EXPERIMENTS.parent / "recipes"
    plan = yaml.safe_load((EXPERIMENTS / "e5-best" / "trials.yaml").read_text(encoding="utf-8"))
    measured = load_recipe(
        EXPERIMENTS / "e5-best" / "recipe.yaml", plan["settings"]["emotion-all"]["overrides"]
    )
    shipped = load_recipe(recipes / "emotion.yaml")
    # There is no verifier, so what becomes of the unverified does not matter.
    own = {"name": True, "task": True, "data": True, "augment": {"verification": {"unverified"}}}
    assert shipped.model_dump(exclude=own) == measured.model_dump(exclude=own)
