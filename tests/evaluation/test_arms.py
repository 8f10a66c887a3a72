import random
from dataclasses import replace

import pytest

from evaluated_runs import LABELS, answers, test_rows, write_evaluated
from whylabel.errors import RunFolderError, UsageError
from whylabel.evaluation.arms import arms_of, arms_of_series, read_runs
from whylabel.types import Example


@pytest.fixture
def rows():
    return test_rows()


def both(rows, seed=1, mode="reasoned"):
    return {"baseline": answers(rows, 0.5, seed), "classifier": answers(rows, 0.6, seed + 50, mode)}


def names(arms):
    return [arm.name for arm in arms]


def test_answers_come_in_the_order_of_the_first_run(tmp_path, rows):
    shuffled = list(rows)
    random.Random(0).shuffle(shuffled)
    write_evaluated(tmp_path / "a", rows, both(rows))
    said = both(shuffled, 2)
    write_evaluated(tmp_path / "b", shuffled, said)
    first, second = read_runs([tmp_path / "a", tmp_path / "b"])
    assert first.rows == second.rows and first.rows.ids == tuple(row.id for row in rows)
    by_id = {prediction.id: prediction.label for prediction in said["baseline"]}
    assert second.answers["baseline", "fast"].labels == [by_id[row.id] for row in rows]
    assert second.answers["baseline", "fast"].tokens == 3 * len(rows)


def test_a_failed_row_has_no_label(tmp_path, rows):
    said = answers(rows, 1.0, 1)
    said[4] = replace(said[4], label="", probabilities=(), status="failed")
    write_evaluated(tmp_path / "a", rows, {"baseline": said})
    (run,) = read_runs([tmp_path / "a"])
    assert run.answers["baseline", "fast"].labels[4] is None


@pytest.mark.parametrize(
    ("changed", "labels", "reason"),
    [
        (lambda rows: rows[:-2], LABELS, "b and a cannot be compared: 2 rows are only in a and 0 only in b"),
        (
            lambda rows: [*rows, Example("new", "one more", "joy")],
            LABELS,
            "0 rows are only in a and 1 only in b",
        ),
        (
            lambda rows: [replace(rows[0], text="not the same"), *rows[1:]],
            LABELS,
            "1 rows have another text in b ('t0')",
        ),
        (
            lambda rows: [replace(row, label="joy") for row in rows[:3]] + rows[3:],
            LABELS,
            "2 rows have another gold label in b ('t1', 't2')",
        ),
        (lambda rows: rows, (*LABELS, "love"), "their label sets differ ('love')"),
    ],
)
def test_runs_on_other_rows_are_refused_with_the_reason(tmp_path, rows, changed, labels, reason):
    write_evaluated(tmp_path / "a", rows, both(rows))
    others = changed(list(rows))
    write_evaluated(
        tmp_path / "b", others, {"baseline": answers(others, 0.5, 1, labels=labels)}, labels=labels
    )
    with pytest.raises(UsageError) as error:
        read_runs([tmp_path / "a", tmp_path / "b"])
    assert reason in error.value.what and "whylabel evaluate MODEL --data FILE" in str(error.value.fix)


def test_other_kinds_of_task_are_refused(tmp_path, rows):
    write_evaluated(tmp_path / "a", rows, {"baseline": answers(rows, 0.5, 1)})
    write_evaluated(
        tmp_path / "b", rows, {"baseline": answers(rows, 0.5, 1)},
        task__type="multi_label", classifier__target="label",
    )  # fmt: skip
    with pytest.raises(UsageError, match="label sets differ"):
        read_runs([tmp_path / "a", tmp_path / "b"])


def test_runs_that_differ_by_their_seed_are_trainings_of_the_same_arms(tmp_path, rows):
    for seed in (13, 14, 15):
        write_evaluated(tmp_path / "many" / f"seed-{seed}", rows, both(rows, seed), seed=seed)
    write_evaluated(tmp_path / "other", rows, both(rows, 40), seed=13, training__learning_rate=1e-3)
    arms = arms_of(read_runs([tmp_path / "many", tmp_path / "other"]))
    assert names(arms) == [
        "many: baseline",
        "many: classifier, reasoned",
        "other: baseline",
        "other: classifier, reasoned",
    ]
    assert [training.seed for training in arms[0].trainings] == [13, 14, 15]
    assert [training.run for training in arms[1].trainings] == ["seed-13", "seed-14", "seed-15"]
    assert len(arms[2].trainings) == 1


def test_the_same_seed_twice_is_not_two_trainings(tmp_path, rows):
    for name in ("a", "b"):
        write_evaluated(tmp_path / name, rows, both(rows, ord(name)), seed=13)
    arms = arms_of(read_runs([tmp_path / "a", tmp_path / "b"]))
    assert names(arms) == [
        "a: baseline",
        "a: classifier, reasoned",
        "b: baseline",
        "b: classifier, reasoned",
    ]


def test_a_run_named_twice_is_read_once(tmp_path, rows):
    write_evaluated(tmp_path / "a", rows, both(rows))
    assert len(read_runs([tmp_path / "a", tmp_path, tmp_path / "a"])) == 1


def test_arms_with_the_same_answers_are_one(tmp_path, rows):
    same = answers(rows, 0.5, 1)
    for at, name in enumerate(("a", "b")):
        said = {"baseline": same, "classifier": answers(rows, 0.6, at, "reasoned")}
        write_evaluated(tmp_path / name, rows, said, training__learning_rate=10.0 ** -(at + 4))
    arms = arms_of(read_runs([tmp_path / "a", tmp_path / "b"]))
    assert names(arms) == ["a = b: baseline", "a: classifier, reasoned", "b: classifier, reasoned"]


def test_models_and_modes_are_chosen(tmp_path, rows):
    run = write_evaluated(
        tmp_path / "a", rows, both(rows),
        others={"tfidf": answers(rows, 0.4, 9), "classifier": answers(rows, 0.4, 8, "fast")},
    )  # fmt: skip
    runs = read_runs([run.path])
    assert names(arms_of(runs)) == ["baseline", "classifier, reasoned"]
    assert names(arms_of(runs, ["tfidf"])) == ["tfidf"]
    assert names(arms_of(runs, ["classifier"], ["all"])) == ["classifier, reasoned", "classifier, fast"]
    assert names(arms_of(runs, ["all"], ["fast"])) == ["baseline", "tfidf", "classifier, fast"]
    with pytest.raises(UsageError, match="No run has the model 'svm'"):
        arms_of(runs, ["svm"])
    with pytest.raises(UsageError, match="No run has the mode 'vote'"):
        arms_of(runs, [], ["vote"])


def test_what_is_no_evaluated_run_is_refused(tmp_path, rows):
    with pytest.raises(RunFolderError, match="There is no run folder at"):
        read_runs([tmp_path / "none"])
    (tmp_path / "empty").mkdir()
    with pytest.raises(RunFolderError, match="no evaluated run"):
        read_runs([tmp_path / "empty"])
    run = write_evaluated(tmp_path / "a", rows, both(rows))
    run.recipe.write_text(": : not yaml [")  # a recipe of another version, or none, only forbids grouping
    assert read_runs([run.path])[0].settings is None


def test_seeds_that_chose_different_modes_are_one_classifier(tmp_path, rows):
    for seed, mode in ((1, "reasoned"), (2, "fast"), (3, "reasoned")):
        write_evaluated(tmp_path / str(seed), rows, both(rows, seed, mode), seed=seed)
    baseline, ours = arms_of_series(read_runs([tmp_path]))
    assert (baseline.name, ours.name) == ("baseline", "classifier, reasoned or fast")
    assert [training.seed for training in ours.trainings] == [1, 2, 3]
    said = [[one.label for one in both(rows, seed)["classifier"]] for seed in (1, 2, 3)]
    assert [training.answers.labels for training in ours.trainings] == said
    assert (baseline.target, ours.target) == (None, "dual")
