"""Review by answers that differ, on predictions that are made up."""

import json
import sys
from dataclasses import replace

import pytest

from evaluated_runs import answers, test_rows, write_evaluated


@pytest.fixture
def errors(run):
    import errors

    return errors


def unsure_at_random(predictions):
    """Return the predictions with a sureness that says nothing, and grows with their place."""
    return [
        replace(one, probabilities=tuple(each * (0.5 + at / 300) for each in one.probabilities))
        for at, one in enumerate(predictions)
    ]


def test_answers_that_differ_where_one_is_wrong_point_at_all_errors(errors, tmp_path, monkeypatch):
    rows = test_rows(100)
    fast = unsure_at_random(answers(rows, right=0.85, seed=1))
    # The reasoned answer is always right, so that the two differ where the fast one is wrong.
    reasoned = answers(rows, right=1.0, seed=2, mode="reasoned")
    alone = unsure_at_random(answers(rows, right=0.85, seed=3))
    for name, baseline in (("a", alone), ("b", alone)):
        models = {"baseline": baseline, "classifier": fast}
        write_evaluated(tmp_path / name, rows, models, others={"classifier": reasoned})
    monkeypatch.setattr(errors, "REVIEWS", tmp_path / "e11" / "reviewed.jsonl")
    monkeypatch.setattr(sys, "argv", ["errors.py", str(tmp_path / "a"), str(tmp_path / "b")])
    errors.main()
    found = json.loads((tmp_path / "e11" / "reviewed.jsonl").read_text())
    wrong = sum(one.label != row.label for one, row in zip(fast, rows, strict=True))
    own = found["at once, reasoned"]
    assert own["errors"] == own["differ"] == own["wrong_where_they_differ"] == wrong > 3
    assert own["by"]["differing first"]["caught"]["0.2"] == 1
    assert own["aurc_difference_ci95"][1] < 0
    # The two seeds of the label alone never differ, so that the probability is all there is.
    other = found["label alone, another seed"]
    assert other["differ"] == 0 and other["aurc_difference"] == 0


def test_runs_with_other_test_rows_are_refused(errors, tmp_path):
    one, two = (errors.answers(run_of(tmp_path, count).path, "baseline", "fast") for count in (20, 30))
    with pytest.raises(SystemExit, match="other test rows"):
        errors.reviewed(one, two)


def run_of(folder, count):
    rows = test_rows(count)
    said = answers(rows, right=0.5, seed=1)
    return write_evaluated(folder / str(count), rows, {"baseline": said, "classifier": said})
