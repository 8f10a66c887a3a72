"""Whole runs: what is there at the end, and what is refused before the first stage."""

import json
import signal
from collections import Counter

import pytest

from fake_endpoint import Reply, content, fake_endpoint
from whylabel.cli.main import main
from whylabel.errors import AuditError, DataError, EngineError, RecipeError, RunFolderError
from whylabel.evaluation.predictions import read_predictions
from whylabel.pipeline import Pipeline
from whylabel.reasonings.files import read_reasoned
from whylabel.recipe import override_recipe
from whylabel.run_folder import STAGES, RunFolder
from whylabel.types import Dataset, Example


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


def test_the_models_know_the_columns_of_their_training_data(finished):
    for folder in (finished.classifier_model, finished.baseline_model):
        columns = json.loads((folder / "whylabel.json").read_text())["columns"]
        assert columns == {"text": "text", "label": "label", "id": "id"}


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
    assert {model for model, _ in answers} == {"majority", "tfidf", "embeddings", "baseline", "classifier"}
    assert {mode for model, mode in answers if model == "classifier"} == {"fast", "reasoned"}
    assert list(answers.values()) == [12] * 6


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
    assert printed("run", "--dry-run") == [
        {"stage": stage, "would_run": False, "reason": None} for stage in STAGES
    ]
    assert {row["would_run"] for row in printed("run", "seed=14", "--dry-run")} == {True}


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


def test_the_filters_know_the_labels_where_they_need_them(recipe, tmp_path):
    assert Pipeline(recipe, RunFolder(tmp_path)).filters.labels is None
    named = override_recipe(recipe, augment__filters__names=["contradiction"])
    pipeline = Pipeline(named, RunFolder(tmp_path))
    assert pipeline.filters.labels == list(pipeline.labels.names)


def test_a_ready_reasoner_skips_stage_one(recipe, tiny_model_folder, tmp_path, capsys):
    ready = override_recipe(recipe, reasoner__model=str(tiny_model_folder))
    pipeline = Pipeline(ready, RunFolder(tmp_path))
    pipeline.begin()
    capsys.readouterr()
    pipeline.train_reasoner()
    assert capsys.readouterr().err == (
        f"train-reasoner: the recipe names a ready reasoner, {tiny_model_folder}\n"
    )
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


def test_an_endpoint_is_a_reasoner_that_counts_by_its_name_not_its_url(recipe, tmp_path, monkeypatch, capsys):
    monkeypatch.delenv("OPENAI_API_KEY", raising=False)

    def at(url, model="big", **options):
        values = {"reasoner__endpoint": url, "reasoner__model": model, "augment__engine_options": options}
        return override_recipe(recipe, augment__engine="auto", **values)

    with fake_endpoint() as endpoint:
        pipeline = Pipeline(at(endpoint.url), RunFolder(tmp_path))
        pipeline.begin()
        pipeline.train_reasoner()
        pipeline.augment()
    assert f"the recipe names a ready reasoner, big at {endpoint.url}\n" in capsys.readouterr().err
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


def test_an_endpoint_is_shown_reasonings_of_the_data_and_asked_again_when_they_change(
    recipe, tmp_path, monkeypatch, capsys
):
    monkeypatch.delenv("OPENAI_API_KEY", raising=False)

    def augmented(url, reasonings):
        rows = [Example(str(at), f"text {at}", "ab"[at % 2], why) for at, why in enumerate(reasonings)]
        values = {"reasoner__endpoint": url, "reasoner__model": "big", "augment__engine_options": {}}
        pipeline = Pipeline(
            override_recipe(recipe, augment__engine="auto", **values),
            RunFolder(tmp_path),
            Dataset(tuple(rows)),
        )
        pipeline.begin()
        pipeline.augment()
        return [content(body) for body in endpoint.bodies]

    with fake_endpoint() as endpoint:
        plain = augmented(endpoint.url, [""] * 12)
        assert len(plain) == 12 and all("Possible answers: a, b\n" in asked for asked in plain)
        shown = augmented(endpoint.url, [*[f"own {at}" for at in range(6)], *[""] * 6])[12:]
        assert len(shown) == 6 and all(asked.count("Reasoning: own") == 4 for asked in shown)
        # A sixth reasoning more is not shown: nothing is asked again.
        assert len(augmented(endpoint.url, [*[f"own {at}" for at in range(7)], *[""] * 5])) == 18
        assert (
            len(augmented(endpoint.url, ["another", *[f"own {at}" for at in range(1, 7)], *[""] * 5])) == 23
        )
    assert "run again because examples shown" in capsys.readouterr().err


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
    stages = list(pipeline.would_run())
    assert ("train-folds" in stages) == (verifier == "baseline")
    pipeline.augment()
    figures = json.loads(run.augment_metrics.read_text())
    assert figures["reused"] == figures["rows"] == 24
    assert all(len(row.scores) == 1 for row in read_reasoned(run.kept))


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


def with_reasonings(file, every):
    """Write 60 labelled texts, of which every second, third, ... comes with a reasoning."""
    lines = ["text,label,why"]
    for at in range(60):
        why = f'"It says ""number {at}"", so it is what it is."' if at % every == every - 1 else ""
        lines.append(f"the text is number {at},{('joy', 'fear')[at // 2 % 2]},{why}")
    file.write_text("\n".join(lines))
    return file


def test_a_file_with_a_reasoning_for_every_row_needs_no_reasoner(recipe, tmp_path, capsys):
    file = with_reasonings(tmp_path / "all.csv", 1)
    values = {
        "data__source": str(file), "data__train_rows": None, "data__reasoning_column": "why",
        "evaluation__modes": ["reasoned"],
    }  # fmt: skip
    run = RunFolder(tmp_path / "run")
    pipeline = Pipeline(override_recipe(recipe, **values), run)
    pipeline.run_all()
    pipeline.evaluate(faithfulness=True)
    assert "argued" not in json.loads(run.faithfulness.read_text())["interventions"]
    assert "every train row came with its reasoning, so there is nothing to write" in capsys.readouterr().err
    assert not run.reasoner_model.exists()
    assert run.report.exists()
    metrics = json.loads(run.augment_metrics.read_text())
    assert metrics["kept_by_condition"] == {"own": metrics["rows"]} and metrics["tokens"] == 0
    assert set(Pipeline(override_recipe(recipe, **values), run).would_run().values()) == {None}
    # One row without a reasoning, and it is wanted again.
    with_reasonings(file, 2)
    assert Pipeline(override_recipe(recipe, **values), run).would_run()["train-reasoner"] is not None


def test_a_file_with_reasonings_for_half_of_its_rows(recipe, tmp_path, capsys):
    file = with_reasonings(tmp_path / "half.csv", 2)
    values = {"data__source": str(file), "data__train_rows": None}
    run = RunFolder(tmp_path / "run")
    plain, own = (
        override_recipe(recipe, **values, data__reasoning_column=column) for column in (None, "why")
    )
    Pipeline(plain, run).run_all()
    capsys.readouterr()
    Pipeline(own, run).run_all()
    said = capsys.readouterr().err
    assert "own reasonings " in said and "of the kept rows came with their reasoning" in said
    assert "augment: runs again, because own reasonings changed" in said
    for stage in ("train-reasoner", "train-baseline", "calibrate-baseline"):
        assert f"{stage}: nothing has changed, skipped" in said
    assert "train-classifier: runs again" in said
    kept = {row.id: row for row in read_reasoned(run.kept)}
    train = Pipeline(own, run).dataset.train
    assert 10 < sum(bool(row.reasoning) for row in train) < 30
    for row in train:
        if row.reasoning:
            assert (kept[row.id].reasoning, kept[row.id].condition) == (row.reasoning, "own")
        else:
            assert row.id not in kept or kept[row.id].condition == "label"
    metrics = json.loads(run.augment_metrics.read_text())
    assert metrics["rows"] == len(train)
    assert metrics["kept_by_condition"]["own"] == sum(bool(row.reasoning) for row in train)
