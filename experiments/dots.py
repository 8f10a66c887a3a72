"""Dots by curriculum: does a model keep its steps when dots take their place, sentence by sentence?

    python experiments/dots.py e8-steps --data FOLDER --settings objects3-all --seeds 13

The classifier of a setting learns the whole steps first; each stage after that starts from its predecessor, and has
dots for one sentence more, three for every word; at last there are dots alone (Deng et al. 2024, arXiv 2405.14838).
Each stage's accuracy is kept as `after N sentences`. `filler` of the experiment has dots from the start.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pyarrow
import pyarrow.parquet
from run import SPENT, Trial, classifier_alone, parser, planned, read, right, run_all, scores
from steps import sentences

from whylabel.host.atomic import whole_file
from whylabel.pipeline import Pipeline
from whylabel.recipe import load_recipe
from whylabel.run_folder import RunFolder

FIRST_EPOCHS, EPOCHS = 4, 1
DOTS = "..."
MODE = "classifier reasoned"


def with_dots(reasoning: str, number: int) -> str:
    """Return a reasoning with three dots for each word of its first sentences."""
    every = sentences(reasoning)
    dots = [" ".join([DOTS] * len(sentence.split())) for sentence in every[:number]]
    return " ".join([*dots, *every[number:]])


def run(trial: Trial, runs: Path) -> dict[str, Any]:
    """Train and evaluate every stage, and return what there is to keep."""
    recipe = load_recipe(trial.recipe, trial.overrides)
    source = Path(recipe.data.source)
    table = pyarrow.parquet.read_table(source)
    given = table["reasoning"].to_pylist()
    base, found = recipe.base_model, {}
    for number in range(max(len(sentences(text)) for text in given) + 1):
        folder = runs / "e12-dots" / f"{trial.setting}-{trial.split}-{trial.seed}" / f"stage-{number}"
        rows = pyarrow.array([with_dots(text, number) for text in given], pyarrow.string())
        with whole_file(folder.with_suffix(".parquet")) as aside:
            place = table.column_names.index("reasoning")
            pyarrow.parquet.write_table(table.set_column(place, "reasoning", rows), aside)
        own = [
            f"data.source={folder.with_suffix('.parquet')}",
            f"base_model={base}",
            f"training.num_train_epochs={EPOCHS if number else FIRST_EPOCHS}",
        ]
        run_folder = RunFolder(folder)
        pipeline = Pipeline(load_recipe(trial.recipe, [*trial.overrides, *own]), run_folder)
        with run_folder.locked():
            evaluation = classifier_alone(pipeline)
        spent = read(run_folder.classifier_metrics)
        found[f"after {number} sentences"] = (
            dict(scores(evaluation))[MODE],
            right(run_folder)[MODE],
            {key: spent.get(key) for key in SPENT},
        )
        base = str(run_folder.classifier_model)
    return {
        "scores": {name: scored for name, (scored, _, _) in found.items()},
        "right": {name: rows for name, (_, rows, _) in found.items()},
        "spent": {name: spent for name, (_, _, spent) in found.items()},
    }


def main() -> None:
    """Run the curriculum on what has no result of it yet."""
    arguments = parser(__doc__).parse_args()
    arguments.trials = None
    trials = list(planned(arguments.experiment, arguments, {"dots": ["classifier.target=reasoning_label"]}))
    run_all(trials, arguments, lambda trial: run(trial, arguments.runs))


if __name__ == "__main__":
    main()
