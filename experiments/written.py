"""How right are the reasonings that a reasoner writes, before any classifier learns from them? (E9)

    python experiments/written.py e9-own-reasonings --data FOLDER --settings objects3-30 --trials label

Trains the reasoner of a trial and lets it write, in the run folder of that trial, which later goes on from there. A
line of `results.jsonl` says how right the reasonings are, by the condition under which they were written.
"""

from __future__ import annotations

import argparse
from typing import Any

import yaml
from run import HERE, Trial, parser, planned, run_all, run_folder_of
from steps import reasoner_steps

from whylabel.pipeline import Pipeline
from whylabel.recipe import load_recipe


def run(trial: Trial, arguments: argparse.Namespace) -> dict[str, Any]:
    """Train the reasoner, let it write, and return how right that is."""
    run_folder = run_folder_of(trial, arguments)
    pipeline = Pipeline(load_recipe(trial.recipe, trial.overrides), run_folder)
    with run_folder.locked():
        pipeline.begin()
        pipeline.train_reasoner()
        pipeline.augment()
    assert trial.program is not None
    return reasoner_steps(run_folder, trial.program)


def main() -> None:
    """Measure what has no result yet."""
    arguments = parser(__doc__).parse_args()
    plan = yaml.safe_load((HERE / arguments.experiment / "trials.yaml").read_text(encoding="utf-8"))
    names = arguments.trials or list(plan["trials"])
    arguments.trials = None
    alone = {f"{name}, reasonings alone": plan["trials"][name] for name in names}
    trials = list(planned(arguments.experiment, arguments, alone))
    run_all(trials, arguments, lambda trial: run(trial, arguments))


if __name__ == "__main__":
    main()
