import json
from typing import Any

import pytest

from whylabel.errors import RunFolderError
from whylabel.report.contents import read_run
from whylabel.report.report import write_report

WRONG = [
    ("evaluation/metrics.json", "classifier.accuracy", "high"),
    ("evaluation/metrics.json", "classifier.accuracy", 1e308),
    ("evaluation/metrics.json", "classifier.accuracy_ci95", [0.1, "x"]),
    ("evaluation/metrics.json", "classifier.macro_f1_ci95", [0.1]),
    ("evaluation/metrics.json", "classifier.confusion_matrix", [[1]]),
    ("evaluation/metrics.json", "baseline.confusion_matrix", [1, 2]),
    ("evaluation/metrics.json", "classifier.per_class.joy", [1]),
    ("evaluation/metrics.json", "classifier.per_class.joy.f1", "x"),
    ("evaluation/metrics.json", "classifier.cost", 3),
    ("evaluation/metrics.json", "classifier.cost.seconds_per_row", -1),
    ("evaluation/metrics.json", "classifier.rates.failed", {}),
    ("evaluation/metrics.json", "classifier.coverage", [1]),
    ("evaluation/metrics.json", "classifier.mode", []),
    ("evaluation/metrics.json", "floors.tfidf", "x"),
    ("evaluation/metrics.json", "labels", [1]),
    ("evaluation/metrics.json", "paired.difference", 10**400),
    ("evaluation/metrics.json", "paired.discordant", []),
    ("evaluation/metrics.json", "reasonings.reasoned.shown.share", 2),
    ("evaluation/metrics.json", "reasonings_judged", "good"),
    ("evaluation/metrics.json", "reasonings.reasoned.content.grounded", []),
    ("augment/metrics.json", "kept", "many"),
    ("augment/metrics.json", "dropped_by_reason.copy", "x"),
    ("reasoner/metrics.json", "answer_recovery", [1]),
    ("reasoner/metrics.json", "examples", [1]),
    ("classifier/metrics.json", "steps", []),
    ("run.json", "data.rows", "x"),
    ("run.json", "stages.augment.seconds", "x"),
]


def spoil(path: Any, key: str, value: object) -> None:
    content = json.loads(path.read_text())
    *parents, last = key.split(".")
    target = content
    for parent in parents:
        target = target[parent]
    target[last] = value
    path.write_text(json.dumps(content))


@pytest.mark.parametrize(
    ("name", "key", "value"), WRONG, ids=[f"{key}-{value!r:.20}" for _, key, value in WRONG]
)
def test_a_wrong_value_anywhere_is_one_clear_error(make_run: Any, name: str, key: str, value: object) -> None:
    run = make_run(labels=("joy", "fear"))
    spoil(run.path / name, key, value)
    with pytest.raises(RunFolderError, match="is not what whylabel writes") as caught:
        write_report(run)
    assert caught.value.where == str(run.path / name) and caught.value.fix
    # The value is named; of a matrix only that it does not fit the labels.
    assert key.split(".")[-1].partition("[")[0] in caught.value.what


def test_what_is_missing_or_null_is_no_wrong_value(make_run: Any) -> None:
    run = make_run()
    for key in ("paired", "classifier.accuracy_ci95", "classifier.cost", "baseline.coverage", "floors.tfidf"):
        spoil(run.evaluation_metrics, key, None)
    assert write_report(run).exists()


def test_a_section_of_the_recipe_that_is_none_is_named(make_run: Any) -> None:
    run = make_run()
    run.recipe.write_text("task: yes\n")
    with pytest.raises(RunFolderError, match=r"recipe\.yaml is not what whylabel writes: task"):
        read_run(run)
