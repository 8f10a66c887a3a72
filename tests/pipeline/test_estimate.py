"""About how long a run will take: the arithmetic, not the seconds."""

import pytest

from whylabel.pipeline import Pipeline, estimate
from whylabel.pipeline.estimate import estimated_seconds
from whylabel.pipeline.inputs import Inputs
from whylabel.recipe import override_recipe
from whylabel.run_folder import STAGES, RunFolder

RATE = 1e9


@pytest.fixture
def seconds(recipe, monkeypatch):
    monkeypatch.setattr(estimate, "_rates", lambda device, dtype: (RATE, RATE))

    def of(stages=STAGES, **values):
        return estimated_seconds(Inputs(override_recipe(recipe, **values)), list(stages))

    return of


def test_the_stages_add_up_and_those_that_do_not_run_cost_nothing(seconds):
    assert seconds([]) == 0
    assert seconds() == pytest.approx(sum(seconds([stage]) for stage in STAGES))
    assert all(seconds([stage]) > 0 for stage in STAGES)


def test_more_work_takes_longer_in_its_own_stage(seconds):
    assert seconds(["train-classifier"], training__max_steps=8) == 2 * seconds(["train-classifier"])
    assert seconds(["augment"], augment__sampling={"max_new_tokens": 12, "temperature": 1}) == pytest.approx(
        seconds(
            ["augment"], augment__candidates=2, augment__sampling={"max_new_tokens": 12, "temperature": 1}
        )
        / 2
    )
    assert seconds(["evaluate"], data__test_rows=24) == pytest.approx(2 * seconds(["evaluate"]))
    reasoned, alone = seconds(["evaluate"]), seconds(["evaluate"], classifier__target="label")
    assert reasoned > alone


def test_a_baseline_of_matched_flops_takes_what_the_classifier_does(seconds):
    matched = {"baseline__budget": "matched_flops"}
    assert seconds(["train-baseline"], **matched) == seconds(["train-classifier"])
    assert seconds(["train-baseline"]) < seconds(["train-classifier"])


def test_what_is_not_known_is_left_out(seconds, recipe, monkeypatch):
    endpoint = {"reasoner__endpoint": "http://127.0.0.1:1", "reasoner__model": "big"}
    assert seconds(["augment"], augment__engine="auto", augment__engine_options={}, **endpoint) == 0
    monkeypatch.setattr(estimate, "float32_bytes", lambda name: None)
    assert seconds() is None


def test_the_rates_are_measured(recipe):
    predicting, training = estimate._rates("cpu", "float32")
    assert predicting == training > 1e6


def test_only_a_long_time_is_worth_a_word(recipe, tmp_path, monkeypatch, capsys):
    pipeline = Pipeline(recipe, RunFolder(tmp_path / "run"))
    for rate, said in ((1e15, False), (1e4, True)):
        monkeypatch.setattr(estimate, "_rates", lambda device, dtype, rate=rate: (rate, rate))
        pipeline.say_time()
        assert ("on this machine" in capsys.readouterr().err) == said


def test_a_finished_run_is_not_measured(finished, recipe, monkeypatch, capsys):
    monkeypatch.setattr(estimate, "_rates", None)
    Pipeline(recipe, finished).say_time()
    assert capsys.readouterr().err == ""
