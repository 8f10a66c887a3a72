"""How much of a label rests on the evidence that is given for it, beside random stretches of the same length.

    python experiments/evidence.py runs/quickstart --rows 100 --output experiments/evidence.json

On test texts of a finished run, in one mode: *comprehensiveness* is p(label | text) minus p(label | text without the
evidence), *sufficiency* p(label | text) minus p(label | evidence alone), means over the texts (DeYoung et al. 2020,
ERASER, arXiv 1911.03429). Evidence is good where the first is large and the second small. Random stretches have as
many words, at places drawn by the seed. `cost` is the time of predictions with evidence over that without.
"""

from __future__ import annotations

import argparse
import json
import random
import time
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from scipy.stats import bootstrap

from whylabel.data.load import load_dataset
from whylabel.host.atomic import write_json
from whylabel.host.machine import hardware, versions
from whylabel.prediction.trained import TrainedClassifier
from whylabel.recipe import load_recipe
from whylabel.run_folder import RunFolder
from whylabel.text.stretches import Stretch, parts, without
from whylabel.types import Mode, Prediction

_DRAWS = 5
"""Sets of random stretches for a text."""


def main() -> None:
    """Measure, print and write the figures."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("run", type=Path)
    parser.add_argument("--rows", type=int, default=100)
    parser.add_argument("--mode", default="fast")
    parser.add_argument("--seed", type=int, default=13)
    parser.add_argument("--output", type=Path)
    options = parser.parse_args()
    recipe = load_recipe(RunFolder(options.run).recipe)
    test = list(load_dataset(recipe.data, recipe.task, seed=recipe.seed).test)
    drawn = random.Random(options.seed).sample(test, min(options.rows, len(test)))
    model = TrainedClassifier.from_folder(options.run)
    found = measured(model, [row.text for row in drawn], options.mode, options.seed)
    found = {"run": options.run.name, "mode": options.mode, **found, "machine": {**hardware(), **versions()}}
    print(json.dumps(found, indent=2))
    if options.output:
        write_json(options.output, found)


def measured(model: TrainedClassifier, texts: Sequence[str], mode: Mode, seed: int) -> dict[str, object]:
    """Return the figures; texts whose label rests on no stretch count with no evidence."""
    # The first prediction also tries out what the model can do, which is not a part of the cost.
    predicted(model, texts[:1], mode)
    started = time.monotonic()
    plain = predicted(model, texts, mode)
    plain_seconds, started = time.monotonic() - started, time.monotonic()
    explained = predicted(model, texts, mode, evidence=True)
    seconds = time.monotonic() - started
    stretches = [sorted((each.start, each.end) for each in one.evidence or ()) for one in explained]
    rng = random.Random(seed)
    others = [
        [elsewhere(text, of, rng) for text, of in zip(texts, stretches, strict=True)] for _ in range(_DRAWS)
    ]
    chances = [max(one.probabilities) for one in plain]
    labels = [one.label for one in plain]

    def drop(shortened: Sequence[str]) -> np.ndarray:
        left = predicted(model, [text or "-" for text in shortened], mode)
        kept = [one.probabilities[model.labels.index(label)] for one, label in zip(left, labels, strict=True)]
        return np.array(chances) - np.array(kept)

    figures: dict[str, object] = {
        "texts": len(texts),
        "with_evidence": sum(map(bool, stretches)),
        "share_of_words": round(
            float(np.mean([share(*pair) for pair in zip(texts, stretches, strict=True)])), 3
        ),
        "cost": round(seconds / plain_seconds, 1),
        "seconds_per_text": round((seconds - plain_seconds) / len(texts), 3),
    }
    for name, change in (("comprehensiveness", removed), ("sufficiency", alone)):
        ours = drop([change(text, of) for text, of in zip(texts, stretches, strict=True)])
        random_ones = np.mean(
            [drop([change(text, of) for text, of in zip(texts, draw, strict=True)]) for draw in others],
            axis=0,
        )
        for kind, values in (("evidence", ours), ("random", random_ones)):
            interval = bootstrap((values,), np.mean, method="percentile", rng=seed).confidence_interval
            figures[f"{name}_{kind}"] = [round(float(number), 3) for number in (values.mean(), *interval)]
    return figures


def predicted(
    model: TrainedClassifier, texts: Sequence[str], mode: Mode, *, evidence: bool = False
) -> list[Prediction]:
    """Return the prediction of each text."""
    rows = [(str(place), text) for place, text in enumerate(texts)]
    return list(model.predict(rows, mode, evidence=evidence))


def removed(text: str, stretches: Sequence[Stretch]) -> str:
    """Return the text without all of the stretches."""
    for stretch in sorted(stretches, reverse=True):
        text = without(text, stretch)
    return text.strip()


def alone(text: str, stretches: Sequence[Stretch]) -> str:
    """Return the stretches without the rest of the text."""
    return " ".join(text[slice(*stretch)] for stretch in sorted(stretches))


def words(text: str) -> list[Stretch]:
    """Return the words of a text."""
    found, left = [], [(0, len(text))]
    while left:
        stretch = left.pop(0)
        inside = parts(text, stretch, len(text))
        left = [*inside, *left]
        found += [] if inside else [stretch]
    return found


def elsewhere(text: str, stretches: Sequence[Stretch], rng: random.Random) -> list[Stretch]:
    """Return as many stretches with as many words each, drawn at random; they do not overlap."""
    every = words(text)
    free, drawn = set(range(len(every))), []
    for start, end in stretches:
        size = sum(start <= at and to <= end for at, to in every) or 1
        places = [at for at in range(len(every) - size + 1) if free.issuperset(range(at, at + size))]
        if places:
            first = rng.choice(places)
            free -= set(range(first, first + size))
            drawn.append((every[first][0], every[first + size - 1][1]))
    return drawn


def share(text: str, stretches: Sequence[Stretch]) -> float:
    """Return the share of a text's words that is in the stretches."""
    every = words(text)
    inside = sum(any(start <= at and to <= end for start, end in stretches) for at, to in every)
    return inside / max(1, len(every))


if __name__ == "__main__":
    main()
