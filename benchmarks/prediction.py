"""How fast a trained classifier writes its reasonings and labels, beside the stage that wrote what it learnt from.

    python benchmarks/prediction.py runs/quickstart --rows 256 --output benchmarks/prediction.json

One process, the reasoner and the classifier of one run (two models of the same size), the same texts. `augment` is
the whole stage with its durable store and its filters; `predict` is the mode `reasoned`: a reasoning for every text,
then the probability of every label. Rounds are interleaved, the best of each counts. The start of an engine, with an
export, is not counted. Tokens are those of the reasonings alone, so `predict` scores labels in its own time:
`scoring_share` says how much of it. Wanted is a ratio of 0.8.
"""

from __future__ import annotations

import argparse
import json
import os
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any

from whylabel.data.load import load_dataset
from whylabel.host.atomic import write_json
from whylabel.host.machine import hardware, versions
from whylabel.host.progress import say
from whylabel.prediction.continued import ContinuedScorer
from whylabel.prediction.scoring import LabelScorer
from whylabel.prediction.trained import TrainedClassifier
from whylabel.reasonings.store import open_store
from whylabel.recipe import DataConfig, PredictionEngineConfig, TaskConfig, load_recipe, override_recipe
from whylabel.run_folder import RunFolder
from whylabel.stages.augment import Work, augment, open_reasoner
from whylabel.stages.augment.reasoner import Reasoner
from whylabel.types import Example

WARM_UP_ROWS = 4


def main() -> None:
    """Measure both, print the figures and write them."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument(
        "run", type=Path, help="a finished run folder with a reasoner and a reasoning classifier"
    )
    parser.add_argument("--rows", type=int, default=256)
    parser.add_argument("--rounds", type=int, default=2)
    parser.add_argument("--engine", default="openvino", help="of both; openvino is what auto picks on a CPU")
    parser.add_argument("--predict-engine", help="that of predict, if it is another one")
    parser.add_argument("--data", default="builtin:emotions", help="labelled texts: a file or builtin:NAME")
    parser.add_argument("--output", type=Path, help="where the figures go, as JSON")
    arguments = parser.parse_args()
    found = measured(arguments)
    print(json.dumps(found, indent=2))
    if arguments.output:
        write_json(arguments.output, found)


def measured(arguments: argparse.Namespace) -> dict[str, Any]:
    """Return the record of both verbs."""
    load_before = [round(load, 2) for load in os.getloadavg()]
    run = RunFolder(arguments.run)
    recipe = override_recipe(
        load_recipe(run.recipe), augment__engine=arguments.engine, augment__engine_options={}
    )
    rows = texts(arguments.data, arguments.rows)
    engine = PredictionEngineConfig(name=arguments.predict_engine or arguments.engine)
    classifier = TrainedClassifier.from_folder(run.path, device=recipe.device, engine=engine)
    rounds: dict[str, list[dict[str, float]]] = {"augment": [], "predict": []}
    with closing(classifier), open_reasoner(recipe, run.reasoner_model, {}) as reasoner:
        written(reasoner, recipe.augment, rows[:WARM_UP_ROWS])
        predicted(classifier, rows[:WARM_UP_ROWS])
        for number in range(1, arguments.rounds + 1):
            rounds["augment"].append(written(reasoner, recipe.augment, rows))
            rounds["predict"].append(predicted(classifier, rows))
            say(f"round {number}: " + ", ".join(f"{name} {part[-1]}" for name, part in rounds.items()))
    best = {name: max(part, key=lambda one: one["tokens_per_second"]) for name, part in rounds.items()}
    return {
        "machine": {**hardware(), **versions(), "load_before": load_before},
        "work": {
            "rows": len(rows),
            "engine": arguments.engine,
            "predict_engine": engine.name,
            "labels": len(classifier.labels),
        },
        **best,
        "ratio": round(best["predict"]["tokens_per_second"] / best["augment"]["tokens_per_second"], 3),
        "rounds": rounds,
    }


def texts(source: str, count: int) -> list[Example]:
    """Return labelled texts, no two alike."""
    data = load_dataset(DataConfig(source=source), TaskConfig(), seed=13)
    distinct = {row.text: row for split in data.splits().values() for row in split}
    return list(distinct.values())[:count]


def written(reasoner: Reasoner, config: Any, rows: Sequence[Example]) -> dict[str, float]:
    """Run the stage `augment` into a new store."""
    with tempfile.TemporaryDirectory(prefix="whylabel-") as scratch:
        folder = Path(scratch)
        started = time.perf_counter()
        with open_store(folder / "store.sqlite") as store:
            files = {"kept": folder / "train.parquet", "dropped": folder / "dropped.parquet"}
            outcome = augment(rows, Work(reasoner, store, config), **files)
        return figures(outcome.written.tokens, len(rows), time.perf_counter() - started)


def predicted(classifier: TrainedClassifier, rows: Sequence[Example]) -> dict[str, float]:
    """Predict in the mode `reasoned`."""
    started = time.perf_counter()
    with scoring_timed() as spent:
        found = list(classifier.predict([(row.id, row.text) for row in rows], "reasoned"))
    seconds = time.perf_counter() - started
    assert all(prediction.status != "failed" for prediction in found)
    record = figures(sum(prediction.tokens for prediction in found), len(rows), seconds)
    return {**record, "scoring_share": round(sum(spent) / seconds, 3)}


def figures(tokens: int, rows: int, seconds: float) -> dict[str, float]:
    """Return the rates of a measurement."""
    return {
        "tokens_per_second": round(tokens / seconds, 1),
        "rows_per_second": round(rows / seconds, 2),
        "tokens_per_row": round(tokens / rows, 1),
    }


@contextmanager
def scoring_timed() -> Iterator[list[float]]:
    """Note the seconds of every pass that scores labels inside the block."""
    spent: list[float] = []
    # An ordinary pass, and one over the cache that the reasonings have left; neither is inside the other once that
    # cache has been tried out, which the warm-up does.
    originals = {scorer: scorer.log_scores for scorer in (LabelScorer, ContinuedScorer)}

    def timed(original: Any) -> Any:
        def run(*arguments: Any) -> Any:
            started = time.perf_counter()
            found = original(*arguments)
            spent.append(time.perf_counter() - started)
            return found

        return run

    for scorer, original in originals.items():
        scorer.log_scores = timed(original)
    try:
        yield spent
    finally:
        for scorer, original in originals.items():
            scorer.log_scores = original


if __name__ == "__main__":
    main()
