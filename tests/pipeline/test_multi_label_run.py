"""Whole runs over texts with several labels, with the tiny model."""

import csv
import json

import numpy as np
import pandas
import pytest

from whylabel.cli.main import main
from whylabel.errors import ModelError, RecipeError, WhylabelError
from whylabel.estimator import ReasoningClassifier
from whylabel.evaluation.predictions import read_predictions
from whylabel.pipeline import Pipeline
from whylabel.prediction.trained import TrainedClassifier
from whylabel.recipe import Recipe, build_recipe, override_recipe
from whylabel.run_folder import RunFolder

WORDS = {"joy": "bright", "joyful": "brighter", "sad": "grey", "very sad": "black"}


def rows(count):
    """Texts in which a word stands for each label; some have none."""
    for at in range(count):
        labels = [name for bit, name in enumerate(WORDS) if (at * 7 % 16) >> bit & 1]
        text = f"A {' '.join(WORDS[name] for name in labels)} day, number {at}"
        yield {"id": f"r{at}", "text": text, "labels": labels}


@pytest.fixture(scope="module")
def recipe(tiny_model_folder, tmp_path_factory) -> Recipe:
    path = tmp_path_factory.mktemp("data") / "days.jsonl"
    path.write_text("".join(json.dumps(row) + "\n" for row in rows(160)), encoding="utf-8")
    values = {
        "name": "days",
        "base_model": str(tiny_model_folder),
        "task": {"type": "multi_label", "question": "Which moods?", "name": "Mood"},
        "data": {"source": str(path), "test_fraction": 0.25, "validation_fraction": 0.3},
        "classifier": {"target": "label", "negatives": 2},
        "training": {
            "num_train_epochs": 6,
            "learning_rate": 1e-2,
            "per_device_train_batch_size": 8,
            "selection": {"steps": 40, "rows": 30},
        },
        "evaluation": {"bootstrap_samples": 200},
    }
    return build_recipe(values)


@pytest.fixture(scope="module")
def finished(recipe, tmp_path_factory) -> RunFolder:
    run = RunFolder(tmp_path_factory.mktemp("run"))
    Pipeline(recipe, run).run_all()
    return run


def test_every_test_row_is_scored_by_every_model(finished):
    metrics = json.loads(finished.evaluation_metrics.read_text())
    assert metrics["labels"] == sorted(WORDS)
    assert {"baseline", "classifier", "floors", "paired"} <= set(metrics)
    assert metrics["classifier"]["n"] == metrics["floors"]["tfidf"]["n"] == 40
    assert metrics["classifier"]["micro_f1"] > metrics["floors"]["majority"]["micro_f1"]
    found = read_predictions(finished.predictions)
    assert len(found) == 5 * 40 and metrics["rivals"]["embeddings"]["n"] == 40
    gold = {row.prediction.id: row.gold for row in found}
    assert gold == {row["id"]: ", ".join(sorted(row["labels"])) for row in rows(160) if row["id"] in gold}
    assert "" in gold.values()


def test_the_models_decide_each_label_by_itself(finished):
    card = json.loads((finished.classifier_model / "whylabel.json").read_text())
    assert card["task"]["type"] == "multi_label" and card["task"]["label_separator"] == ","
    limits = [card["thresholds"][name] for name in card["labels"]]
    assert card["modes"] == ["fast"] and card["calibration"] is None
    said = [row.prediction for row in read_predictions(finished.predictions) if row.model == "classifier"]
    for prediction in said:
        chosen = np.array(prediction.probabilities) >= limits
        names = [name for name, has in zip(card["labels"], chosen, strict=True) if has]
        assert prediction.label == ", ".join(names)
    assert max(sum(prediction.probabilities) for prediction in said) > 1.1


def test_the_checkpoint_is_chosen_by_micro_f1(finished):
    looks = json.loads(finished.classifier_metrics.read_text())["evaluations"]
    assert looks and all(set(look) == {"step", "micro_f1"} for look in looks)


def test_the_company_of_a_text_changes_nothing(finished):
    model = TrainedClassifier.from_folder(finished.path, device="cpu")
    texts = [(row["id"], row["text"] + " and so on" * (at % 4)) for at, row in enumerate(rows(20))]
    together = [row.probabilities for row in model.predict(texts)]
    alone = [next(iter(model.predict([text]))).probabilities for text in texts]
    np.testing.assert_allclose(together, alone, atol=1e-5)


def test_report_and_card_speak_of_f1(finished):
    for text in (
        finished.report.read_text(encoding="utf-8"),
        finished.model_card.read_text(encoding="utf-8"),
    ):
        assert "icro-F1" in text and "Hamming" in text and "Most frequent labels" in text
        # F1 has no such test; slices, where a text is right or wrong as a whole, have it.
        assert "McNemar" not in text.split('<section id="slices"')[0] and "bstain" not in text
        assert "with reasoning in training" not in text
    page = finished.report.read_text(encoding="utf-8")
    assert "onfusion" not in page.split("</style>")[1] and "Wilson" not in page
    assert "very sad" in page
    card = finished.model_card.read_text(encoding="utf-8")
    assert "decides for each of 4 labels whether it applies" in card
    assert "do not sum to 1" in card and "Every text gets one" not in card
    assert "name: Micro-F1" in card and "type: accuracy" not in card


def test_results_are_printed(finished, recipe, capsys):
    from whylabel.cli.results import print_results

    print_results(finished, as_json=False)
    said = capsys.readouterr().out
    assert "micro-F1" in said and "accuracy" not in said and "points of micro-F1" in said


@pytest.mark.parametrize("suffix", ["jsonl", "csv", "parquet"])
def test_predict_writes_labels_joined_and_as_a_list(finished, tmp_path, suffix):
    source = tmp_path / "in.csv"
    with source.open("w", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, ["id", "text"], extrasaction="ignore")
        writer.writeheader()
        writer.writerows([*rows(12), {"id": "blank", "text": " "}])
    output = tmp_path / f"out.{suffix}"
    arguments = ["predict", "--model", str(finished.path), "--input", str(source), "--output", str(output)]
    assert main(arguments) == 4
    if suffix == "csv":
        table = pandas.read_csv(output, keep_default_na=False)
        assert {"p(joy)", "p(very sad)"} <= set(table.columns)
    else:
        table = pandas.read_parquet(output) if suffix == "parquet" else pandas.read_json(output, lines=True)
        assert all(", ".join(row.labels) == row.label for row in table.itertuples())
    assert len(table) == 13
    assert list(table["status"]) == ["ok"] * 12 + ["failed"]
    assert table["label"].iloc[12] == ""
    assert (table["label"].str.count(",") > 0).any()


def test_abstaining_and_other_modes_are_refused(finished, tmp_path, capsys):
    source = tmp_path / "in.txt"
    source.write_text("A bright day\n")
    command = ["predict", "--model", str(finished.path), "--input", str(source)]
    assert main([*command, "--abstain-below", "0.5"]) == 2
    assert "cannot abstain" in capsys.readouterr().err
    assert main([*command, "--mode", "reasoned"]) == 2
    assert "It can: fast" in capsys.readouterr().err
    model = TrainedClassifier.from_folder(finished.path, device="cpu")
    with pytest.raises(ModelError, match="cannot abstain"):
        model.predict([("1", "A bright day")], abstain_below=0.1)


def test_nothing_runs_twice_and_negatives_count_for_both_models(finished, recipe):
    def changed(**values):
        plan = Pipeline(override_recipe(recipe, **values), finished).plan()
        return [line.split(":")[0] for line in plan if "would run" in line]

    assert changed() == []
    assert changed(classifier__negatives=3)[0] == "train-baseline"


def test_reasonings_are_written_for_all_labels_and_learnt_beside_the_decisions(recipe, tmp_path):
    both = override_recipe(
        recipe,
        classifier__target="multi_task",
        data__train_rows=30,
        data__validation_rows=10,
        data__test_rows=12,
        reasoner__rows=12,
        reasoner__validation_rows=4,
        reasoner__training__max_steps=2,
        augment__engine="scripted",
        augment__engine_options={"answers": ['The words "as written" tell it.', "no"]},
        augment__sampling__max_new_tokens=12,
        training__max_steps=4,
        training__selection__steps=None,
    )
    run = RunFolder(tmp_path)
    Pipeline(both, run).run_all()
    augmented = json.loads(run.augment_metrics.read_text())
    assert augmented["rows"] == 30 == augmented["kept"] + augmented["dropped"] + augmented["failed"]
    kept = pandas.read_parquet(run.kept)
    written = pandas.concat([kept, pandas.read_parquet(run.dropped)])["label"]
    assert len(written) == 30 and "" in set(written) and written.str.contains(", ").any()
    card = json.loads((run.classifier_model / "whylabel.json").read_text())
    assert card["target"] == "multi_task" and card["thresholds"] is None  # too few validation rows
    assert read_predictions(run.predictions)


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({}, "task.type: multi_label does not allow classifier.target: dual"),
        ({"classifier": {"target": "reasoning_label"}}, "set classifier.target to label or multi_task"),
        ({"training": {"class_weight": "balanced"}}, "training.class_weight"),
        ({"training": {"balanced_sampling": True}}, "training.balanced_sampling"),
        ({"augment": {"verification": {"verifier": "base"}}}, "augment.verification.verifier"),
        ({"augment": {"suspects": {"folds": 3}}}, "augment.suspects.folds"),
    ],
)
def test_what_needs_one_label_is_refused_by_the_recipe(values, message):
    target = {"classifier": {"target": "label"}} if "classifier" not in values and values else {}
    with pytest.raises(RecipeError, match=message) as caught:
        build_recipe({"task": {"type": "multi_label"}, **target, **values})
    assert caught.value.exit_code == 2


def test_declared_labels_may_not_contain_the_separator():
    labels = ["cash, card", "none"]
    with pytest.raises(RecipeError, match="'cash, card' contains the separator ','"):
        build_recipe({"task": {"type": "multi_label", "labels": labels}, "classifier": {"target": "label"}})
    build_recipe({"task": {"labels": labels}})


def test_the_estimator_says_where_several_labels_are_at_home(finished, recipe):
    with pytest.raises(WhylabelError, match="Text 1 has a list of labels") as caught:
        ReasoningClassifier().fit(["a", "b"], ["x", ["x", "y"]])
    assert "task.type: multi_label" in caught.value.fix
    with pytest.raises(RecipeError, match="gives each text one label"):
        ReasoningClassifier(recipe=recipe).fit(["a", "b"], ["x", "y"])
    with pytest.raises(ModelError, match="may give several"):
        ReasoningClassifier.load(finished.path)
