"""About how long a run will take: the arithmetic, not the seconds."""

import pytest
import torch

from whylabel.pipeline import Pipeline, estimate
from whylabel.pipeline.estimate import estimated_seconds
from whylabel.pipeline.inputs import Inputs
from whylabel.recipe import override_recipe
from whylabel.run_folder import STAGES, RunFolder

RATE = 1e9
EMBEDDED = (24 + 12) * 100
"""Tokens of all train and test rows."""


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
    alone = {"evaluation__rivals": []}
    twice = seconds(["evaluate"], data__test_rows=24, **alone)
    assert twice == pytest.approx(2 * seconds(["evaluate"], **alone))
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


def test_baselines_without_a_fold_are_counted_with_the_rows_that_they_see(tokens):
    judged = {"augment__verification__verifier": "baseline"}
    epochs = {"training__max_steps": None, "training__num_train_epochs": 2, "training__min_steps": None}
    # Three trainings on two thirds of the rows, and a look at all of them, which costs less for each token.
    learnt = 3 * 2 * 16 * 100
    looked_at = 24 * 100 * (2000 / (2e6 * 0.3)) / (6000 / (8e6 * 0.5))
    assert tokens("train-folds", **judged, **epochs) == pytest.approx(learnt + looked_at)
    more = tokens("train-folds", **judged, **epochs, augment__verification__folds=4)
    assert more == pytest.approx(4 / 3 * (3 / 4) / (2 / 3) * learnt + looked_at)


COUNTED = {
    # A prompt has 88 tokens of text and 12 others, a reasoning 0.6 * 12, or 107.2 with its prompt.
    "augment": 24 * 107.2,
    "calibrate-baseline": 6 * 100,
    "calibrate-classifier": 6 * (100 + 2 * 7.2),
    # Models read each of the judged reasonings 16 times.
    "evaluate": 12 * (100 + 107.2) + 12 * 16 * 107.2 + EMBEDDED,
}
LEARNT = {
    # Steps, rows of a step (16 at the most, the reasoner's 8), tokens of a row.
    "train-reasoner": 2 * 8 * 200,
    "train-baseline": 4 * 16 * 100,
    "train-classifier": 4 * 16 * (100 + 107.2) / 2,
}


@pytest.fixture
def tokens(recipe, monkeypatch):
    """Return a function that returns the tokens that a stage is counted with; every text has 88 of them."""
    monkeypatch.setattr(estimate, "token_counter", lambda name: lambda text: 88)
    monkeypatch.setattr(estimate, "float32_bytes", lambda name: 4000)
    monkeypatch.setattr(estimate, "_rates", lambda device, dtype: (2e6, 8e6))

    def of(stage, **values):
        seconds = estimated_seconds(Inputs(override_recipe(recipe, **values)), [stage])
        # Of 1,000 parameters; three tenths of the rate in generation, half of it in training.
        return (
            seconds * 8e6 * 0.5 / 6000
            if stage in LEARNT or stage == "train-folds"
            else seconds * 2e6 * 0.3 / 2000
        )

    return of


@pytest.mark.parametrize("stage", [*COUNTED, *LEARNT])
def test_each_stage_is_counted_with_its_own_tokens(tokens, stage):
    assert tokens(stage) == pytest.approx({**COUNTED, **LEARNT}[stage])


@pytest.mark.parametrize(
    ("stage", "values", "expected"),
    [
        ("calibrate-baseline", {"classifier__calibration_rows": 5}, 5 * 100),
        ("calibrate-classifier", {"classifier__target": "label"}, 6 * 100),
        ("evaluate", {"classifier__target": "label"}, 12 * 200 + EMBEDDED),
        ("evaluate", {"classifier__target": "multi_task"}, 12 * (100 + 107.2) + EMBEDDED),
        ("evaluate", {"evaluation__quality_rows": 0}, 12 * (100 + 107.2) + EMBEDDED),
        ("evaluate", {"evaluation__quality_rows": 0, "evaluation__rivals": []}, 12 * (100 + 107.2)),
        ("evaluate", {"evaluation__quality_rows": 5}, 12 * (100 + 107.2) + 5 * 16 * 107.2 + EMBEDDED),
        ("train-classifier", {"classifier__target": "label"}, 4 * 16 * 100),
        ("train-baseline", {"baseline__budget": "matched_flops"}, LEARNT["train-classifier"]),
        (
            "train-reasoner",
            {"reasoner__training__max_steps": None, "reasoner__training__num_train_epochs": 2},
            2 * 12 / 8 * 8 * 200,
        ),
        ("train-baseline", {"training__max_steps": None}, 3 * 24 / 16 * 16 * 100),
        ("train-baseline", {"training__max_steps": None, "training__num_train_epochs": 2}, 2 * 24 * 100),
        ("train-baseline", {"training__max_steps": None, "training__min_steps": 9}, 9 * 16 * 100),
        ("train-baseline", {"training__per_device_train_batch_size": 5}, 4 * 5 * 100),
        (
            "train-baseline",
            {"training__per_device_train_batch_size": 5, "training__gradient_accumulation_steps": 3},
            4 * 15 * 100,
        ),
        ("train-baseline", {"training__per_device_train_batch_size": 50}, 4 * 24 * 100),
    ],
)
def test_settings_that_change_the_work_are_counted(tokens, stage, values, expected):
    assert tokens(stage, **values) == pytest.approx(expected)


def test_a_model_without_a_tokenizer_on_this_machine_is_not_estimated(recipe, monkeypatch):
    monkeypatch.setattr(estimate, "token_counter", lambda name: None)
    assert estimated_seconds(Inputs(recipe), ["augment"]) is None


def test_training_in_bf16_is_faster_on_a_cpu_and_measured_elsewhere(monkeypatch):
    monkeypatch.setattr(estimate, "_matmul_rate", lambda place, dtype: {torch.float32: 2.0}.get(dtype, 5.0))
    assert estimate._rates("cpu", "float32") == (2.0, 2.0)
    assert estimate._rates("cpu", "bfloat16") == (2.0, 3.0)
    gpu = torch.device("cuda")
    monkeypatch.setattr(estimate, "pick_device", {"auto": gpu}.__getitem__)

    def pick(dtype, place, fastest=False):
        assert (dtype, place) == ("auto", gpu)
        return torch.bfloat16 if fastest else torch.float32, "why"

    monkeypatch.setattr(estimate, "pick_dtype", pick)
    assert estimate._rates("auto", "auto") == (2.0, 5.0)


def test_the_rate_is_the_best_of_several_measurements_in_seconds_of_all_threads(monkeypatch):
    # Each measurement asks for the time at its start and at its end.
    times = iter([0, 4, 10, 12, 20, 24, 30, 34])
    monkeypatch.setattr(estimate.time, "process_time", lambda: next(times))
    rate = estimate._matmul_rate(torch.device("cpu"), torch.float32)
    assert rate == pytest.approx(2 * 1024**3 * torch.get_num_threads() / 2)
    assert next(times, None) is None


def test_on_a_gpu_the_wall_clock_counts(monkeypatch):
    times, ones = iter(range(0, 80, 10)), torch.ones
    monkeypatch.setattr(estimate.time, "perf_counter", lambda: next(times))
    monkeypatch.setattr(torch, "ones", lambda *shape, device, dtype: ones(*shape, dtype=dtype))
    rate = estimate._matmul_rate(torch.device("cuda"), torch.float32)
    assert rate == pytest.approx(2 * 1024**3 / 10)
