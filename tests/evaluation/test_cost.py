"""What stages took, from their metrics, and quantiles of the time a text takes."""

import numpy as np
import pytest

from whylabel.evaluation.cost import StageCost, stage_costs
from whylabel.evaluation.metrics import cost_of
from whylabel.types import Prediction


def test_each_stage_has_its_own_cost_and_self_training_counts():
    found = stage_costs(
        {
            "train-reasoner": {"held_out_loss": 2.0, "training": {"flops": 7.0, "tokens": 5, "seconds": 0.5}},
            "train-folds": {},
            "augment": {"tokens": 70, "seconds": 3.5, "rows": 9},
            "train-baseline": {"flops": 2e9, "tokens": 10, "seconds": 1.0},
            "train-classifier": {
                "flops": 3e9,
                "tokens": 20,
                "seconds": 2.0,
                "self_training": [{"flops": 1e9, "steps": 4}, {"flops": 5e8, "seconds": 1.0}],
            },
        }
    )
    assert found == {
        "train-reasoner": StageCost(7.0, 5, 0.5),
        "augment": StageCost(None, 70, 3.5),
        "train-baseline": StageCost(2e9, 10, 1.0),
        "train-classifier": StageCost(4.5e9, 20, 3.0),
    }
    assert list(found) == ["train-reasoner", "augment", "train-baseline", "train-classifier"]


def test_quantiles_of_the_time_are_those_of_numpy():
    seconds = [0.5, 0.1, 0.9, 0.2, 0.4, 3.0]
    rows = [Prediction(str(n), "a", (1.0,), seconds=each, tokens=n) for n, each in enumerate(seconds)]
    found = cost_of(rows)
    assert found.seconds_p50 == pytest.approx(float(np.quantile(seconds, 0.5)))
    assert found.seconds_p95 == pytest.approx(float(np.quantile(seconds, 0.95)))
    assert found.seconds_per_row == pytest.approx(np.mean(seconds))
