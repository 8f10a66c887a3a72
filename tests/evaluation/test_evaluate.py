"""The evaluation stage from predictions to metrics.json."""

from __future__ import annotations

import json
import random
import subprocess
import sys
from collections import Counter
from dataclasses import replace

import numpy as np
import pytest
from statsmodels.stats.contingency_tables import mcnemar
from statsmodels.stats.multitest import multipletests

from whylabel.errors import DataError
from whylabel.evaluation.evaluate import Evaluation, evaluate
from whylabel.evaluation.paired import compare_pair
from whylabel.recipe import EvaluationConfig
from whylabel.text.labels import LabelSet
from whylabel.types import Example, Mode, Prediction

LABELS = LabelSet(("a", "b"))
TRAIN = [Example(f"r{i}", word, label) for i, (word, label) in enumerate([("x y", "a"), ("z", "b")] * 3)]
TEST = [Example(str(i), text, label) for i, (text, label) in enumerate([("x", "a"), ("z", "b")] * 5)]
CONFIG = EvaluationConfig(bootstrap_samples=200)


def said(labels: str, mode: Mode) -> list[Prediction]:
    one_hot = {"a": (1.0, 0.0), "b": (0.0, 1.0)}
    return [Prediction(str(i), x, one_hot[x], mode=mode) for i, x in enumerate(labels)]


def evaluated(*names: str) -> Evaluation:
    models = {"baseline": said("ab" * 5, "fast"), "classifier": said("aa" * 5, "reasoned")}
    return evaluate(TEST, TRAIN, LABELS, {name: models[name] for name in names}, CONFIG, seed=1)


def test_metrics_json_has_the_promised_keys() -> None:
    metrics = evaluated("baseline", "classifier").to_json()
    assert json.loads(json.dumps(metrics, allow_nan=False)) == metrics
    assert set(metrics) == {
        *("labels", "baseline", "classifier", "modes", "floors", "paired", "reasonings", "rivals", "best")
    }
    assert set(metrics["floors"]) == {"majority", "tfidf"}
    assert {"difference", "ci95", "mcnemar_p", "discordant", "macro_f1_difference"} <= set(metrics["paired"])
    for model in (metrics["baseline"], metrics["classifier"], *metrics["floors"].values()):
        assert {"accuracy", "accuracy_ci95", "macro_f1", "macro_f1_ci95", "per_class"} <= set(model)
        assert {"confusion_matrix", "n", "rates", "cost", "mode"} <= set(model)
    assert metrics["paired"]["difference"] == -0.5
    assert metrics["classifier"]["mode"] == "reasoned"
    assert metrics["floors"]["majority"]["accuracy"] == 0.5
    assert metrics["floors"]["tfidf"]["accuracy"] == 1.0


def test_rows_hold_every_model_and_test_row() -> None:
    rows = list(evaluated("baseline", "classifier").rows)
    assert {row.model for row in rows} == {"majority", "tfidf", "baseline", "classifier"}
    assert len(rows) == 4 * len(TEST)


def test_the_classifier_is_scored_in_every_mode_and_its_default_once() -> None:
    models = {"baseline": said("ab" * 5, "fast"), "classifier": said("aa" * 5, "reasoned")}
    modes = {
        "reasoned": models["classifier"],
        "fast": said("bb" * 5, "fast"),
        "blend": said("ab" * 5, "blend"),
    }
    found = evaluate(TEST, TRAIN, LABELS, models, CONFIG, 1, modes=modes)
    assert {mode: score.accuracy for mode, score in found.modes.items()} == {
        "reasoned": 0.5,
        "fast": 0.5,
        "blend": 1.0,
    }
    assert found.classifier is found.modes["reasoned"]
    assert found.paired is not None and found.paired.difference == -0.5
    counts = Counter((row.model, row.prediction.mode) for row in found.rows)
    assert counts == {
        **{("classifier", mode): 10 for mode in modes},
        **{(name, "fast"): 10 for name in ("baseline", "majority", "tfidf")},
    }
    alone = evaluated("baseline", "classifier")
    assert alone.modes == {"reasoned": alone.classifier}


@pytest.mark.parametrize(("present", "absent"), [("baseline", "classifier"), ("classifier", "baseline")])
def test_one_model_alone(present: str, absent: str) -> None:
    metrics = evaluated(present).to_json()
    assert metrics[present]["n"] == 10
    assert metrics[absent] is None
    assert metrics["paired"] is None


def test_without_train_rows_there_are_no_floors() -> None:
    assert evaluate(TEST, [], LABELS, {}, CONFIG, 1).floors == {}


def test_an_unknown_model_is_an_error() -> None:
    with pytest.raises(DataError, match="Did you mean 'baseline'"):
        evaluate(TEST, TRAIN, LABELS, {"basline": []}, CONFIG, 1)


def test_importing_the_package_is_cheap() -> None:
    heavy = "{'numpy', 'sklearn', 'torch'} & sys.modules.keys()"
    code = f"import sys, whylabel.evaluation; print(sorted({heavy}))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_the_best_of_all_is_named_also_where_it_is_not_ours() -> None:
    slow = [replace(row, seconds=1.0) for row in said("ab" * 5, "fast")]
    models = {"baseline": slow, "classifier": said("aa" * 5, "reasoned")}
    modes = {"fast": said("ab" * 4 + "ba", "fast")}
    known = evaluate(TEST, TRAIN, LABELS, models, CONFIG, 1, modes=modes)
    # TF-IDF is as good as the baseline here, which takes longer.
    best = known.best
    assert best is not None and (best.model, best.mode, best.score, best.candidates) == (
        "tfidf",
        "fast",
        1.0,
        5,
    )
    reference = compare_pair(
        TEST, models["classifier"], said("ab" * 5, "fast"), LABELS, bootstrap_samples=200, seed=1
    )
    assert (best.minus, best.difference, best.ci95) == ("classifier", reference.difference, reference.ci95)
    assert best.mcnemar_p == reference.mcnemar_p
    without = EvaluationConfig(bootstrap_samples=200, floors=[])
    rivals = {"embeddings": said("ab" * 3 + "aaaa", "fast")}
    found = evaluate(
        TEST, TRAIN, LABELS, {"classifier": said("aa" * 5, "reasoned")}, without, 1, rivals=rivals
    )
    assert found.best is not None and (found.best.model, found.best.difference) == ("embeddings", 0.3)
    assert found.rivals["embeddings"] is not None and {row.model for row in found.rows} == {
        "classifier",
        "embeddings",
    }
    ours = evaluate(
        TEST, TRAIN, LABELS, {"classifier": said("ab" * 5, "fast")}, without, 1, rivals=rivals
    ).best
    assert ours is not None and (ours.model, ours.difference, ours.ci95) == ("classifier", None, None)
    assert evaluate(TEST, TRAIN, LABELS, {"classifier": said("ab" * 5, "fast")}, without, 1).best is None


def test_that_the_best_is_better_is_corrected_for_all_that_could_have_been() -> None:
    rows = [Example(str(i), "x", "ab"[i % 2]) for i in range(60)]
    rng = random.Random(1)
    shares = {"baseline": 0.5, "classifier": 0.6, "one": 0.7, "two": 0.9}
    found = {
        name: [
            Prediction(row.id, row.label if rng.random() < share else "ba"[int(row.id) % 2], (0.5, 0.5))
            for row in rows
        ]
        for name, share in shares.items()
    }
    failed = replace(found["two"][0], label="", probabilities=(), status="failed")
    found["two"] = [failed, *found["two"][1:]]
    models = {name: found[name] for name in ("baseline", "classifier")}
    rivals = {name: found[name] for name in ("one", "two")}
    config = EvaluationConfig(bootstrap_samples=100, floors=[])
    best = evaluate(rows, rows, LABELS, models, config, 1, rivals=rivals).best
    gold = [row.label for row in rows]
    right = {name: [p.label == g for p, g in zip(said, gold, strict=True)] for name, said in found.items()}
    p_values = {}
    for name in ("baseline", "one", "two"):
        table = np.zeros((2, 2))
        for one, other in zip(right["classifier"], right[name], strict=True):
            table[int(one), int(other)] += 1
        p_values[name] = mcnemar(table, exact=True).pvalue
    corrected = dict(zip(p_values, multipletests(list(p_values.values()), method="holm")[1], strict=True))
    assert best is not None and best.model == "two" and best.mcnemar_p == pytest.approx(p_values["two"])
    assert best.p_holm == pytest.approx(corrected["two"]) and best.p_holm > best.mcnemar_p


def test_of_equally_good_models_the_fastest_is_the_best() -> None:
    right = said("ab" * 5, "fast")
    slow = [replace(row, seconds=3.0, mode="reasoned") for row in right]
    quick = [replace(row, seconds=0.1) for row in right]
    found = evaluate(
        TEST, TRAIN, LABELS, {"classifier": slow}, EvaluationConfig(bootstrap_samples=100, floors=[]), 1,
        modes={"fast": quick}, rivals={"head": [replace(row, seconds=1.0) for row in right]},
    ).best  # fmt: skip
    assert found is not None and (found.model, found.mode, found.difference) == ("classifier", "fast", 0.0)
    assert found.p_holm == 1.0
