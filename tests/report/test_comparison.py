from dataclasses import replace

import pytest

from evaluated_runs import answers, test_rows, write_evaluated
from report_page import Page
from whylabel.evaluation.arms import arms_of, arms_of_series, read_runs
from whylabel.evaluation.comparison import compare_arms
from whylabel.report.comparison import best_arm, claim, notes, reasoning_claim, render_comparison


@pytest.fixture
def compared(tmp_path):
    """Return a function that compares runs with these shares of right answers, by name, each with its seeds."""
    rows = test_rows()

    def compare(against=None, **runs):
        for at, (name, shares) in enumerate(runs.items()):
            for number, share in enumerate(shares):
                folder = tmp_path / name / f"seed-{number}" if len(shares) > 1 else tmp_path / name
                said = {"baseline": answers(rows, share, 100 * at + number)}
                write_evaluated(folder, rows, said, seed=number, data__train_rows=at + 2)
        found = read_runs([tmp_path / name for name in runs])
        return compare_arms(found[0].rows, arms_of(found), bootstrap_samples=500, seed=1, against=against)

    return compare


def test_the_claim_names_the_best_and_what_is_shown(compared):
    outcome = compared(weak=[0.1], strong=[0.9], fair=[0.88])
    assert claim(outcome).startswith("strong: baseline has the best accuracy, 9")
    assert claim(outcome).endswith("that it is better is shown for 1 of the 2 others it was compared with.")
    assert "3 pairs were compared" in " ".join(notes(outcome))


def test_of_two_the_other_is_named(compared):
    outcome = compared(one=[0.5], two=[0.5])
    assert "is not shown." in claim(outcome)
    (missed, seeds) = notes(outcome)
    assert "four times in five with these 120 test texts" in missed
    assert seeds.startswith("Each model was trained once")


def test_a_clear_winner_is_said_to_be_one(compared):
    outcome = compared(a=[0.1], b=[0.2], c=[0.95])
    assert claim(outcome).endswith("that it is better than each of the 2 others is shown.")


def test_few_seeds_are_pointed_out(compared):
    outcome = compared(a=[0.1, 0.2, 0.3], b=[0.4, 0.5, 0.6])
    said = " ".join(notes(outcome))
    assert "fewer than five seeds" in said and "unequal" not in said
    page = Page(render_comparison(outcome))
    assert "three" not in page.text and "Spread over seeds" in page.text


def test_the_page_is_whole_and_escapes_names(compared):
    outcome = compared(**{"<img src=x>": [0.5], "b": [0.7]})
    html = render_comparison(outcome)
    page = Page(html)
    assert "<img" not in html and "<img src=x>: baseline" in page.text
    assert not any(tag == "script" for tag, _ in page.tags)
    pair = outcome.pairs[0]
    assert f"{pair.discordant.only_right} : {pair.discordant.against_only_right}" in page.text


@pytest.mark.parametrize(
    ("baseline", "classifier", "said"),
    [(0.2, 0.95, "a gain from reasoning is shown"), (0.9, 0.2, "a loss from reasoning is shown")],
)
def test_whether_reasoning_paid_is_said_over_the_seeds(tmp_path, baseline, classifier, said):
    rows = test_rows()
    for seed in (1, 2, 3):
        models = {
            "baseline": answers(rows, baseline, seed),
            "classifier": answers(rows, classifier, seed + 9, "reasoned"),
        }
        write_evaluated(tmp_path / str(seed), rows, models, seed=seed)
    runs = read_runs([tmp_path])
    arms = arms_of_series(runs)
    for against in (None, "classifier, reasoned"):
        outcome = compare_arms(runs[0].rows, arms, bootstrap_samples=1000, seed=1, against=against)
        sentence = reasoning_claim(outcome)
        difference = outcome.arms[1].score.mean - outcome.arms[0].score.mean
        shown = f"{100 * abs(difference):.1f} points (95"
        assert (
            sentence and sentence.startswith("Classifier minus baseline over 3 seeds: ") and shown in sentence
        )
        assert said in sentence and notes(outcome)[0] == sentence
    assert (
        reasoning_claim(compare_arms(runs[0].rows, [arms[0], arms[0]], bootstrap_samples=99, seed=1)) is None
    )


def test_unequal_numbers_of_seeds_are_said(compared):
    outcome = compared(a=[0.1, 0.2, 0.3], b=[0.9], c=[0.5])
    said = " ".join(notes(outcome))
    assert "unequal numbers of seeds (a: baseline: 3; b: baseline: 1; c: baseline: 1)" in said
    assert "One training says nothing about the spread between seeds" in said
    assert "exact McNemar test where both models were trained once, and of a t test" in said
    text = Page(render_comparison(outcome)).text
    assert "p, before correction" in text and "degrees of freedom" in text


def test_of_equal_arms_the_fastest_is_the_best(compared):
    outcome = compared(slow=[0.5], quick=[0.9])
    slow, quick = outcome.arms
    assert best_arm(outcome.arms) is quick
    assert (
        best_arm([replace(slow, score=quick.score), replace(quick, seconds_per_row=0.1)]).name == quick.name
    )
    assert best_arm([replace(slow, score=quick.score, seconds_per_row=0.1), quick]).name == slow.name


def test_without_reasoning_in_training_no_gain_is_said_to_come_from_it(tmp_path):
    rows = test_rows()
    models = {"baseline": answers(rows, 0.2, 1), "classifier": answers(rows, 0.9, 2)}
    write_evaluated(tmp_path / "a", rows, models, classifier__target="label")
    runs = read_runs([tmp_path / "a"])
    outcome = compare_arms(runs[0].rows, arms_of(runs), bootstrap_samples=200, seed=1)
    assert "a gain is shown" in reasoning_claim(outcome)
