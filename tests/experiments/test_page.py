"""What the page makes of the results, and that it is current."""

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import yaml

EXPERIMENTS = Path(__file__).parents[2] / "experiments"


@pytest.fixture
def results(run):
    import results

    return results


@pytest.fixture
def page(results):
    import page

    return page


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
        right = sum(map(int, rows)) / len(rows)
        return {"macro_f1": right, "seconds_per_row": 0.1, "negative_log_likelihood": 2 - right}

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
        "settings": {"s": {"data": "small"}, "x": {"data": "small"}},
        "trials": {"dual": [], "matched": []},
        "against": {"dual": "matched"},
    }
    (tmp_path / "e0" / "trials.yaml").write_text(yaml.safe_dump(plan))
    encoder = {
        "setting": "s", "trial": "encoder", "seed": 1, "split": "validation", "right": {"encoder": "0101"},
        "scores": {"encoder": {"macro_f1": 0.5, "seconds_per_row": 0.1, "negative_log_likelihood": 1.0}},
    }  # fmt: skip
    lines = [
        result("dual", 1, "1110", "0000", 200.0),
        result("dual", 2, "1111", "0000", 200.0),
        result("matched", 1, "1000", "1100", 110.0),
        {**result("dual", 1, "0000", "0000", 1.0), "split": "test"},
        {**result("dual", 1, "1111", "1111", 200.0), "setting": "x"},
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
    # Where the partner was not run at all there is nothing to compare, and the figures draw what there is.
    assert len(table) == 4 and experiment.trials("x") == ["dual"]
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
    monkeypatch.setattr(results, "known_data_sets", lambda: {"small": {"labels": 2}})
    assert experiment.rows_per_label("s") == 4
    for drawn in (
        figures.against_flops(experiment),
        figures.against_labels(experiment),
        figures.beside_label_alone(experiment),
        figures.against_cost(experiment, "dual"),
    ):
        assert drawn.startswith("<?xml") and "dual" in drawn


def test_the_mean_of_several_settings_has_an_interval_over_their_data_sets(
    page, results, tmp_path, monkeypatch
):
    import figures

    (tmp_path / "e0").mkdir()
    rights = {"s-8": "1110", "t-8": "1100", "s-all": "1100", "t-all": "1000"}
    plan = {"settings": {name: {"data": name[0]} for name in rights}, "trials": {"best": []}}
    (tmp_path / "e0" / "trials.yaml").write_text(yaml.safe_dump(plan))
    # Ahead by 50, 25, 25 and 0 points. The means of s and t are 37.5 and 12.5, that of both is 25, its standard error
    # 12.5, and t(0.975, 1) = 12.706.
    found = [
        {**result("best", 1, right, "1000", 100.0), "setting": setting} for setting, right in rights.items()
    ]
    (tmp_path / "e0" / "results.jsonl").write_text("\n".join(map(json.dumps, found)))
    monkeypatch.setattr(results, "HERE", tmp_path)
    experiment = results.Experiment("e0")
    assert page.means(experiment, "best").splitlines() == [
        "| mode | 8 a class (2 data sets) | all texts (2 data sets) | together (2 data sets) |",
        "|---|---|---|---|",
        "| fast | +37.5 [−121.3, +196.3] | +12.5 [−146.3, +171.3] | +25.0 [−133.8, +183.8] |",
    ]
    # Each right row more lowers the likelihood's negative logarithm by a quarter here.
    assert page.likelihoods(experiment, "best").splitlines()[2] == (
        "| fast | +0.375 [−1.213, +1.963] | +0.125 [−1.463, +1.713] | +0.250 [−1.338, +1.838] |"
    )
    drawn = figures.differences(experiment, "best")
    assert "mean of the data sets" in drawn and "reasoned" not in drawn


def test_labels_and_written_steps_are_counted_by_the_number_of_steps(page, results, tmp_path, monkeypatch):
    import figures

    (tmp_path / "e0").mkdir()
    plan = {"settings": {"s": {"data": "chains"}}, "trials": {"reasoned": [], "at_once": []}}
    (tmp_path / "e0" / "trials.yaml").write_text(yaml.safe_dump(plan))
    line = result("reasoned", 1, "1110", "1000", 200.0)
    mode = "classifier reasoned"
    for kept in (line["right"], line["scores"]):
        kept[mode] = kept.pop("classifier fast")
    steps = {"steps": [1, 3, 3, 3], "right_sentences": {mode: [1.0, 1.0, 0.5, None]}}
    lines = [{**line, **steps}, result("at_once", 1, "1110", "1000", 200.0)]
    (tmp_path / "e0" / "results.jsonl").write_text("\n".join(map(json.dumps, lines)))
    monkeypatch.setattr(results, "HERE", tmp_path)
    experiment = results.Experiment("e0")
    # Of the three rows with three steps one is withheld; one of the other two is right in all its sentences.
    assert page.by_steps(experiment).splitlines()[2:] == [
        "| s | reasoned | 1 | 1 | 100 | 100 | 100 | 100 | 100 |  |",
        "| s | reasoned | 3 | 3 | 0 | 67 | 75 | 50 | 100 | 100 |",
    ]
    (tmp_path / "e13-probe").mkdir()
    surface = {"data": "chains", "rows": 9, "majority": 0.5, "tfidf": 0.4, "neighbours": 0.6}
    other = {**surface, "data": "others"}
    (tmp_path / "e13-probe" / "surface.jsonl").write_text(f"{json.dumps(surface)}\n{json.dumps(other)}")
    monkeypatch.setattr(page, "HERE", tmp_path)
    assert page.by_surface({"reasoned": experiment, "at_once": experiment}).splitlines()[2:] == [
        "| chains | 9 | 50.0 | 40.0 | 60.0 | −0.20 | +50.0 |",
        "| others | 9 | 50.0 | 40.0 | 60.0 | −0.20 |  |",
    ]
    found = {"rows": 3, "right_sentences": 0.756, "all_right": 0.5}
    line = {
        "setting": "s",
        "trial": "label, reasonings alone",
        "seed": 1,
        "split": "test",
        "reasoner": {"label": found},
    }
    (tmp_path / "e0" / "results.jsonl").write_text(json.dumps(line))
    assert page.by_reasoner("e0").splitlines()[2:] == ["| s | label | 1 | label in hand | 3 | 76 | 50 |"]
    assert not results.Experiment("e0", "test").settings
    monkeypatch.setattr(results, "known_data_sets", lambda: {"chains": {"labels": 2}})
    drawn = figures.where_it_pays({"reasoned": experiment, "at_once": experiment})
    assert drawn.count("chains") == 1 and "from chance (0)" in drawn


def test_a_classifier_alone_is_compared_with_the_baseline_of_another_trial(
    page, results, tmp_path, monkeypatch
):
    mode = "classifier reasoned"

    def reasoned(trial, seed, right, *, alone):
        line = result(trial, seed, right, "1000", 200.0)
        for kept in (line["right"], line["scores"]):
            kept[mode] = kept.pop("classifier fast")
            if alone:
                del kept["baseline"]
        return {**line, "steps": [2, 2, 2, 2], "right_sentences": {mode: [1.0, 1.0, 0.5, 0.5]}}

    plan = {
        "settings": {"s": {"data": "chains"}},
        "trials": {"whole": [], "other_loss": [], "dots": ["classifier.control=filler"]},
        "against": {"other_loss": "whole", "dots": "whole"},
    }
    lines = [
        reasoned("whole", 1, "1110", alone=False),
        reasoned("other_loss", 1, "1100", alone=True),
        # The other trial has no such seed yet.
        reasoned("other_loss", 2, "1111", alone=True),
        reasoned("dots", 1, "1000", alone=True),
    ]
    (tmp_path / "e0").mkdir()
    (tmp_path / "e0" / "trials.yaml").write_text(yaml.safe_dump(plan))
    (tmp_path / "e0" / "results.jsonl").write_text("\n".join(map(json.dumps, lines)))
    monkeypatch.setattr(results, "HERE", tmp_path)
    experiment = results.Experiment("e0")
    table = page.comparison(experiment).splitlines()
    assert [line.split(" | ")[1] for line in table[2:]] == ["dots", "other_loss", "whole"]
    assert "| 25.0 | +0.0 [" in table[2] and "| 25.0 | +25.0 [" in table[3]
    # Dots are no steps.
    assert page.by_steps(experiment).splitlines()[2:] == [
        "| s | other_loss | 2 | 4 | 25 | 50 | 75 | 50 | 100 | 0 |",
        "| s | whole | 2 | 4 | 25 | 75 | 75 | 50 | 100 | 50 |",
    ]


def test_a_trial_has_its_colour_in_every_panel(page, results, tmp_path, monkeypatch):
    import figures

    (tmp_path / "e0").mkdir()
    plan = {"settings": {name: {"data": "d"} for name in "st"}, "trials": {"one": [], "two": []}}
    (tmp_path / "e0" / "trials.yaml").write_text(yaml.safe_dump(plan))
    found = [result("one", 1, "1", "0", 1.0), result("two", 1, "1", "0", 1.0)]
    found.append({**found[1], "setting": "t"})
    (tmp_path / "e0" / "results.jsonl").write_text("\n".join(map(json.dumps, found)))
    monkeypatch.setattr(results, "HERE", tmp_path)
    drawn = []
    monkeypatch.setattr(
        figures, "_errorbar", lambda axis, points, name, form, colour: drawn.append((name, colour))
    )
    monkeypatch.setattr(figures, "_finish", lambda axis, *names: None)
    figures.against_flops(results.Experiment("e0"))
    one, two = ("one, fast", figures.COLOURS[0]), ("two, fast", figures.COLOURS[1])
    assert [what for what in drawn if what[0] != "label alone"] == [one, two, two]


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
