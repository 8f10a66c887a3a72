import json
import signal
from collections import Counter

import numpy as np
import pytest

from fake_endpoint import Reply, fake_endpoint
from whylabel.cli.main import main
from whylabel.errors import AuditError, DataError, EngineError, ModelError, RecipeError, RunFolderError
from whylabel.evaluation.predictions import read_predictions
from whylabel.pipeline import Pipeline
from whylabel.reasoned_rows import iterate_dropped, read_reasoned
from whylabel.recipe import Recipe, override_recipe
from whylabel.run_folder import STAGES, RunFolder
from whylabel.suspects import Suspect, read_suspects
from whylabel.trained import TrainedClassifier
from whylabel.types import Dataset, Example


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
    answers = Counter((row.model, row.prediction.mode) for row in rows)
    assert {model for model, _ in answers} == {"majority", "tfidf", "baseline", "classifier"}
    assert {mode for model, mode in answers if model == "classifier"} == {"fast", "reasoned"}
    assert list(answers.values()) == [12] * 5


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


def test_a_lost_output_is_made_again(finished, recipe):
    content = finished.baseline_metrics.read_bytes()
    finished.baseline_metrics.unlink()
    assert changed_stages(recipe, finished)[0] == "train-baseline"
    finished.baseline_metrics.write_bytes(content)


def test_json_is_one_document(finished, recipe, tmp_path, capsys):
    path = tmp_path / "recipe.yaml"
    path.write_text(recipe.to_yaml())

    def printed(*arguments):
        assert main([arguments[0], str(path), "--output", str(finished.path), "--json", *arguments[1:]]) == 0
        return json.loads(capsys.readouterr().out)

    metrics = {
        name: json.loads(file.read_text())
        for name, file in (
            ("baseline", finished.baseline_metrics),
            ("classifier", finished.classifier_metrics),
        )
    }
    assert printed("train") == metrics
    assert printed("train", "--only", "baseline") == {"baseline": metrics["baseline"]}
    assert printed("run", "--dry-run") == [{"stage": stage, "would_run": False} for stage in STAGES]
    assert {row["would_run"] for row in printed("run", "seed=14", "--dry-run")} == {True}


def test_damaged_predictions_are_made_again_as_the_error_advises(finished, recipe):
    before = read_predictions(finished.predictions)
    finished.predictions.write_bytes(b"torn")
    with pytest.raises(DataError, match="The predictions cannot be read") as caught:
        Pipeline(recipe, finished).evaluate()
    assert caught.value.fix == "remove the file, then: whylabel evaluate RECIPE"
    finished.predictions.unlink()
    Pipeline(recipe, finished).evaluate()
    assert len(read_predictions(finished.predictions)) == len(before)


def test_a_stage_alone_says_what_it_misses(recipe, tmp_path):
    pipeline = Pipeline(recipe, RunFolder(tmp_path))
    pipeline.begin()
    with pytest.raises(RunFolderError, match="train-reasoner, has not been run") as raised:
        pipeline.augment()
    assert "whylabel train-reasoner" in str(raised.value)


def test_an_unknown_filter_stops_before_anything_is_written(recipe, tmp_path):
    pipeline = Pipeline(
        override_recipe(recipe, augment__filters__names=["leek"]), RunFolder(tmp_path / "run")
    )
    with pytest.raises(RecipeError, match="Did you mean 'leak'"):
        pipeline.begin()
    assert not pipeline.run.path.exists()


def test_the_filters_know_the_question(recipe, tmp_path):
    asked = override_recipe(recipe, task__question="How does it sound?")
    assert Pipeline(asked, RunFolder(tmp_path)).filters.question == "How does it sound?"
    own = override_recipe(asked, augment__filters__question="")
    assert Pipeline(own, RunFolder(tmp_path)).filters.question == ""


def test_a_ready_reasoner_skips_stage_one(recipe, tiny_model_folder, tmp_path):
    ready = override_recipe(recipe, reasoner__model=str(tiny_model_folder))
    pipeline = Pipeline(ready, RunFolder(tmp_path))
    pipeline.begin()
    pipeline.train_reasoner()
    pipeline.augment()
    assert set(pipeline.run.read_manifest()["stages"]) == {"augment"}
    assert pipeline.run.kept.exists()


def test_failed_rows_give_the_exit_code_and_are_tried_again_when_asked(recipe, tiny_model_folder, tmp_path):
    failing = override_recipe(
        recipe, reasoner__model=str(tiny_model_folder), augment__engine_options={"fail_every": 6}
    )
    pipeline = Pipeline(failing, RunFolder(tmp_path))
    pipeline.begin()
    pipeline.augment()
    assert pipeline.failed_rows == 4
    before = Pipeline(failing, RunFolder(tmp_path))
    before.augment()
    assert before.failed_rows == 4
    again = Pipeline(failing, RunFolder(tmp_path))
    again.augment(frozenset({"failed"}))
    assert again.failed_rows == 0
    assert again.run.failed_rows("augment") == 0


def test_an_endpoint_is_a_reasoner_that_counts_by_its_name_not_its_url(recipe, tmp_path, monkeypatch):
    monkeypatch.delenv("OPENAI_API_KEY", raising=False)

    def at(url, model="big", **options):
        values = {"reasoner__endpoint": url, "reasoner__model": model, "augment__engine_options": options}
        return override_recipe(recipe, augment__engine="auto", **values)

    with fake_endpoint() as endpoint:
        pipeline = Pipeline(at(endpoint.url), RunFolder(tmp_path))
        pipeline.begin()
        pipeline.train_reasoner()
        pipeline.augment()
    assert set(pipeline.run.read_manifest()["stages"]) == {"augment"}
    assert len(endpoint.bodies) == 24

    def current(changed):
        plan = Pipeline(changed, RunFolder(tmp_path)).plan()
        return "nothing has changed" in next(line for line in plan if line.startswith("augment"))

    elsewhere = "http://127.0.0.1:1/v1"
    assert current(at(elsewhere, concurrency=3, price_per_million_input_tokens=1))
    assert current(override_recipe(at(elsewhere), augment__engine="openai", prompt_style="chat"))
    assert not current(at(elsewhere, model="bigger"))
    assert not current(at(elsewhere, api="completions"))
    assert not current(override_recipe(at(elsewhere), task__question="Which mood?"))


def test_a_wrong_key_is_exit_code_2_and_one_clear_line(recipe, tmp_path, monkeypatch, capsys):
    monkeypatch.setenv("OPENAI_API_KEY", "sk-secret")
    with fake_endpoint(lambda _number, _body: Reply(401, "bad key sk-secret")) as endpoint:
        values = {"reasoner__endpoint": endpoint.url, "reasoner__model": "big"}
        wrong = override_recipe(recipe, augment__engine="auto", augment__engine_options={}, **values)
        path = tmp_path / "recipe.yaml"
        path.write_text(wrong.to_yaml())
        before = signal.getsignal(signal.SIGTERM)
        try:
            assert main(["augment", str(path), "--output", str(tmp_path / "run")]) == 2
        finally:
            signal.signal(signal.SIGTERM, before)
    said = capsys.readouterr().err
    assert (
        f"Error: The endpoint {endpoint.url} refuses: HTTP 401: bad key ***.\n  fix: export a valid key"
        in said
    )
    assert "sk-secret" not in said


def test_the_model_folder_loads_without_us(finished):
    from transformers import AutoModelForCausalLM, AutoTokenizer

    AutoModelForCausalLM.from_pretrained(finished.classifier_model)
    assert AutoTokenizer.from_pretrained(finished.classifier_model).pad_token == "<|whylabel_pad|>"


def test_a_sample_of_the_rows_does_not_shrink_the_label_set(recipe, tmp_path):
    few = override_recipe(recipe, data__train_rows=2, data__validation_rows=1, data__test_rows=2)
    pipeline = Pipeline(few, RunFolder(tmp_path))
    assert len({row.label for rows in pipeline.dataset.splits().values() for row in rows}) < 6
    assert len(pipeline.labels) == 6


@pytest.mark.parametrize("verifier", ["baseline", "base"])
def test_a_verifier_judges_what_was_written_and_a_new_one_writes_nothing_again(
    recipe, tiny_model_folder, tmp_path, verifier
):
    plain = override_recipe(recipe, reasoner__model=str(tiny_model_folder))
    run = RunFolder(tmp_path)
    Pipeline(plain, run).begin()
    Pipeline(plain, run).augment()
    judged = override_recipe(plain, augment__verification={"verifier": verifier, "min_margin": -100.0})
    pipeline = Pipeline(judged, run)
    assert [line.split(":")[0] for line in pipeline.plan()].index("augment") == (verifier == "baseline")
    pipeline.augment()
    assert run.baseline_model.exists() == (verifier == "baseline")
    figures = json.loads(run.augment_metrics.read_text())
    assert figures["reused"] == figures["rows"] == 24
    assert all(len(row.scores) == 1 for row in read_reasoned(run.kept))


def listing(monkeypatch, ids):
    """Let the stage `suspects` list the rows with these ids."""
    monkeypatch.setattr(
        "whylabel.suspects.find_suspects",
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
    assert pipeline.plan()[:2] == ["suspects: would run", "augment: would run"]
    pipeline.augment()
    assert all("skipped" in line for line in pipeline.plan()[:2])
    # Rows that are left out are no work.
    assert "augment: 21 of 21 rows" in capsys.readouterr().err
    assert {row.id for row in read_suspects(run.suspects)} == wrong
    figures = json.loads(run.augment_metrics.read_text())
    assert figures["dropped_by_reason"]["suspect label"] == 3
    assert figures["rows"] == 24
    assert not wrong & {row.id for row in read_reasoned(run.kept)}
    assert not list(run.path.rglob("fold*"))
    assert run.read_manifest()["stages"]["suspects"]["status"] == "done"


def test_a_rehearsal_leaves_out_suspect_labels_once_they_are_known(
    recipe, tiny_model_folder, tmp_path, monkeypatch, capsys
):
    values = {"reasoner__model": str(tiny_model_folder), "augment__suspects": {"folds": 2, "exclude": True}}
    pipeline = Pipeline(override_recipe(recipe, **values), RunFolder(tmp_path))
    listing(monkeypatch, {row.id for row in pipeline.dataset.train[:3]})
    monkeypatch.setattr("whylabel.pipeline.suspects._fit_predict", evenly)
    pipeline.begin()
    rehearsal = pipeline.rehearse_augment()
    assert (rehearsal.rows, rehearsal.to_write) == (24, 24)
    assert "have not been looked for yet" in capsys.readouterr().err
    pipeline.augment()
    pipeline.run.store.unlink()
    rehearsal = pipeline.rehearse_augment()
    assert (rehearsal.rows, rehearsal.to_write) == (21, 21)
    assert "have not been looked for yet" not in capsys.readouterr().err


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
    recipe, tiny_model_folder, tmp_path, monkeypatch
):
    values = {"reasoner__model": str(tiny_model_folder), "augment__suspects": {"folds": 2, "exclude": True}}
    left_out = override_recipe(recipe, **values)
    listed = override_recipe(left_out, augment__suspects__exclude=False)
    run = RunFolder(tmp_path)
    Pipeline(left_out, run).begin()
    monkeypatch.setattr("whylabel.pipeline.suspects._fit_predict", evenly)
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
    recipe, tiny_model_folder, tmp_path, monkeypatch
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


def test_a_reasoner_of_another_prompt_style_is_refused(recipe, finished, tmp_path):
    ready = override_recipe(recipe, reasoner__model=str(finished.reasoner_model), prompt_style="chat")
    pipeline = Pipeline(ready, RunFolder(tmp_path))
    pipeline.begin()
    with pytest.raises(RecipeError, match="trained with prompt_style compact") as caught:
        pipeline.augment()
    assert "prompt_style: compact" in caught.value.fix


def test_an_unknown_engine_is_refused_before_the_first_stage(recipe, tmp_path):
    pipeline = Pipeline(override_recipe(recipe, augment__engine="vlm"), RunFolder(tmp_path / "run"))
    with pytest.raises(EngineError, match="Did you mean 'vllm'"):
        pipeline.begin()
    assert not pipeline.run.path.exists()


def test_a_text_that_is_too_long_is_refused_before_the_first_stage(recipe, tmp_path):
    texts = ["It rained. " * (400 if n == 3 else 1) for n in range(8)]
    rows = tuple(Example(f"row-{n}", text, "joy" if n % 2 else "fear") for n, text in enumerate(texts))
    pipeline = Pipeline(recipe, RunFolder(tmp_path / "run"), Dataset(train=rows))
    with pytest.raises(AuditError, match=r"Training rows longer than training\.max_length=.*: row-3\."):
        pipeline.begin()
    assert not pipeline.run.path.exists()
    trimmed = override_recipe(recipe, data__max_text_tokens=20)
    Pipeline(trimmed, RunFolder(tmp_path / "trimmed"), Dataset(train=rows)).begin()


def test_data_without_a_test_split_is_refused_only_where_it_would_be_evaluated(recipe, tmp_path):
    (tmp_path / "data.csv").write_text("text,label\nIt rained.,fear\nIt is warm.,joy\n")
    (tmp_path / "test.csv").write_text("text,label\nIt snows.,fear\n")
    alone = override_recipe(recipe, data__source=str(tmp_path / "data.csv"))
    pipeline = Pipeline(alone, RunFolder(tmp_path / "run"))
    with pytest.raises(DataError, match="There is no test split") as caught:
        pipeline.run_all()
    assert "data.test;" in caught.value.fix
    assert not pipeline.run.path.exists()
    pipeline.begin()
    mended = override_recipe(alone, data__test=str(tmp_path / "test.csv"))
    Pipeline(mended, RunFolder(tmp_path / "run")).begin(evaluated=True)


@pytest.fixture(scope="module")
def dual(recipe, tiny_model_folder, tmp_path_factory):
    """A finished run of a dual classifier, with more than the 20 validation rows that calibration needs."""
    values = {
        "classifier__target": "dual",
        "classifier__votes": 2,
        "data__validation_rows": 24,
        "reasoner__model": str(tiny_model_folder),
    }
    chosen = override_recipe(recipe, **values)
    run = RunFolder(tmp_path_factory.mktemp("dual"))
    Pipeline(chosen, run).run_all()
    return chosen, run


def test_a_dual_classifier_is_calibrated_and_evaluated_in_every_mode(dual):
    _, run = dual
    card = json.loads((run.classifier_model / "whylabel.json").read_text())
    assert set(card["modes"]) == {"fast", "reasoned", "vote", "adaptive", "blend"}
    assert set(card["calibration"]) == {"fast", "reasoned", "adaptive", "blend"}
    assert card["calibration"]["fast"]["n"] == 24
    assert card["vote"] == {"reasonings": 2, "temperature": 0.7, "seed": 13}
    baseline = json.loads((run.baseline_model / "whylabel.json").read_text())
    assert set(baseline["calibration"]) == {"fast"}
    metrics = json.loads(run.evaluation_metrics.read_text())
    modes = metrics["modes"]
    assert set(modes) == {"fast", "reasoned", "adaptive", "blend"}
    assert metrics["classifier"] == modes[card["modes"][0]]
    assert [point["coverage"] for point in modes["fast"]["coverage"]][:2] == [1.0, 1.0]
    rows = read_predictions(run.predictions)
    for mode in modes:
        mine = [row for row in rows if row.model == "classifier" and row.prediction.mode == mode]
        assert len(mine) == 12
    # Blend costs what its two parts do, adaptive what its share of reasoned rows does.
    seconds = {mode: score["cost"]["seconds_total"] for mode, score in modes.items()}
    assert seconds["blend"] == pytest.approx(seconds["fast"] + seconds["reasoned"])
    assert seconds["fast"] <= seconds["adaptive"] <= seconds["blend"] + 1e-9
    assert modes["blend"]["cost"]["tokens_per_row"] == modes["reasoned"]["cost"]["tokens_per_row"] > 0
    generated = run.read_manifest()["stages"]["evaluate"]["tokens"]
    assert generated == round(modes["reasoned"]["cost"]["tokens_per_row"] * 12)
    report = run.report.read_text(encoding="utf-8")
    assert "The classifier in each of its modes" in report
    assert "in each of its modes" in run.model_card.read_text(encoding="utf-8")


def test_the_recipe_names_the_modes_of_the_evaluation(dual):
    recipe, run = dual
    default = json.loads(run.evaluation_metrics.read_text())["classifier"]["mode"]
    Pipeline(override_recipe(recipe, evaluation__modes=["vote"]), run).evaluate()
    metrics = json.loads(run.evaluation_metrics.read_text())
    assert set(metrics["modes"]) == {default, "vote"}


def test_the_evaluation_says_what_the_floors_learn_from(dual, capsys):
    recipe, run = dual
    Pipeline(override_recipe(recipe, evaluation__bootstrap_samples=250), run).evaluate()
    assert "evaluate majority, tfidf: learnt from 24 train rows" in capsys.readouterr().err


def test_a_model_that_has_not_changed_is_not_asked_again(dual, monkeypatch):
    recipe, run = dual

    def predictions():
        return [row for row in read_predictions(run.predictions) if row.model in ("baseline", "classifier")]

    Pipeline(recipe, run).evaluate()
    before = predictions()
    asked = []
    predict = TrainedClassifier.predict_in_modes

    def counted(model, rows, modes, **options):
        asked.append((model.card.target, len(rows)))
        return predict(model, rows, modes, **options)

    monkeypatch.setattr(TrainedClassifier, "predict_in_modes", counted)
    Pipeline(override_recipe(recipe, evaluation__bootstrap_samples=300), run).evaluate()
    assert asked == [("label", 0), ("dual", 0)]
    assert predictions() == before
    # A killed evaluation has left the answers to four rows.
    (kept,) = run.answers.glob("classifier-*.jsonl")
    kept.write_bytes(b"".join(kept.read_bytes().splitlines(keepends=True)[:4]))
    asked.clear()
    Pipeline(recipe, run).evaluate()
    assert asked == [("label", 0), ("dual", 8)]
    assert [row.prediction.label for row in predictions()] == [row.prediction.label for row in before]
    # Another baseline and fewer modes are asked, and what was said before is not kept.
    another = override_recipe(recipe, baseline__budget="matched_flops", evaluation__modes=["fast"])
    pipeline = Pipeline(another, run)
    pipeline.train_models()
    asked.clear()
    pipeline.evaluate()
    assert asked == [("label", 12), ("dual", 12)]
    assert len(list(run.answers.iterdir())) == 2


def test_a_mode_that_the_target_has_not_stops_before_anything_is_written(recipe, tmp_path):
    wanted = override_recipe(recipe, classifier__target="reasoning_label", evaluation__modes=["vote", "fast"])
    pipeline = Pipeline(wanted, RunFolder(tmp_path / "run"))
    with pytest.raises(
        ModelError, match="reasoning_label cannot answer in mode 'fast'. It can: reasoned, vote"
    ):
        pipeline.begin()
    assert not pipeline.run.path.exists()


def test_validation_rows_decide_the_calibration_and_with_it_the_models(recipe, finished):
    assert changed_stages(recipe, finished, classifier__calibration_rows=5)[0] == "train-baseline"
    assert changed_stages(recipe, finished, data__validation_rows=5)[0] == "train-baseline"
    assert changed_stages(recipe, finished, evaluation__modes=["vote"]) == ["evaluate"]
