"""How much of a label rests on the evidence that is given for it, beside random stretches of the same length.

    python experiments/evidence.py runs/quickstart --rows 100 --output experiments/evidence.json

On rows of a finished run's data, in one mode: *comprehensiveness* is p(label | text) minus p(label | text without
the evidence), *sufficiency* p(label | text) minus p(label | evidence alone), with the predicted label, means over
the texts (DeYoung et al. 2020, ERASER, arXiv 1911.03429). Evidence is good where the first is large and the second
small. Random stretches have as many words, at places drawn by the seed. `ratio` is the comprehensiveness of the
evidence over that of random stretches. With `--every-word`, brute force stands beside them: of all words, left out
one at a time, as many as the evidence has, those with the largest effects. Intervals are 95 %, from a bootstrap
over texts.

`cost` is the processor time that evidence takes over that of the predictions themselves. A finished measurement is
kept under its name in the output; others in it stay.
"""

from __future__ import annotations

import argparse
import json
import random
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from whylabel.data.load import load_dataset
from whylabel.host.atomic import write_json
from whylabel.host.machine import hardware, versions
from whylabel.prediction.trained import TrainedClassifier
from whylabel.recipe import load_recipe
from whylabel.run_folder import RunFolder
from whylabel.text.stretches import Stretch, without, words
from whylabel.types import Mode, Prediction

_RESAMPLES = 10_000


def main() -> None:
    """Measure, print and write the figures."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("run", type=Path)
    parser.add_argument("--model", choices=("classifier", "baseline"), default="classifier")
    parser.add_argument("--split", choices=("validation", "test"), default="validation")
    parser.add_argument("--rows", type=int, default=100)
    parser.add_argument("--mode", default="fast")
    parser.add_argument("--draws", type=int, default=5, help="sets of random stretches for a text")
    parser.add_argument("--every-word", action="store_true")
    parser.add_argument("--seed", type=int, default=13)
    parser.add_argument("--name", help="default: that of the run, the split and the mode")
    parser.add_argument("--output", type=Path)
    options = parser.parse_args()
    run = RunFolder(options.run)
    recipe = load_recipe(run.recipe)
    rows = list(getattr(load_dataset(recipe.data, recipe.task, seed=recipe.seed), options.split))
    drawn = random.Random(options.seed).sample(rows, min(options.rows, len(rows)))
    model = TrainedClassifier.from_folder(run.path / options.model / "model")
    measure = Measure(model, [row.text for row in drawn], options.mode, options.seed)
    found = {
        "run": options.run.name,
        "split": options.split,
        "mode": options.mode,
        **measure.figures(options.draws, every_word=options.every_word),
        "machine": {**hardware(), **versions()},
    }
    print(json.dumps(found, indent=2))
    if options.output:
        kept = json.loads(options.output.read_text()) if options.output.exists() else {}
        name = options.name or f"{options.run.name} {options.split} {options.mode}"
        write_json(options.output, {**kept, name: found})


class Measure:
    """The figures of one model on some texts."""

    def __init__(self, model: TrainedClassifier, texts: Sequence[str], mode: Mode, seed: int) -> None:
        self._model, self._texts, self._mode, self._seed = model, texts, mode, seed
        # The first prediction also tries out what the model can do, which is not a part of the cost.
        self._predicted(texts[:1])
        started = time.process_time()
        self._plain = self._predicted(texts)
        self._plain_seconds = time.process_time() - started
        self._chances = np.array([max(one.probabilities) for one in self._plain])

    def figures(self, draws: int, *, every_word: bool) -> dict[str, Any]:
        """Return the figures; texts whose label rests on no stretch count with no evidence."""
        started = time.process_time()
        explained = list(self._model.with_evidence(self._rows(self._texts), self._plain))
        seconds = time.process_time() - started
        ours = [sorted((each.start, each.end) for each in one.evidence or ()) for one in explained]
        rng = random.Random(self._seed)
        places = [
            [elsewhere(text, of, rng) for text, of in zip(self._texts, ours, strict=True)]
            for _ in range(draws)
        ]
        found: dict[str, Any] = {
            "texts": len(ours),
            "words": mean([len(words(text)) for text in self._texts], 1),
            "with_evidence": sum(map(bool, ours)),
            "share_of_words": mean(
                [inside(text, of) / len(words(text)) for text, of in zip(self._texts, ours, strict=True)], 3
            ),
            "cost": round(seconds / self._plain_seconds, 1),
            "processor_seconds_per_text": round(seconds / len(ours), 3),
        }
        kinds = {"evidence": [ours], "random": places}
        if every_word:
            kinds["every_word"] = [self._by_brute_force(ours)]
        for name, change in (("comprehensiveness", removed), ("sufficiency", alone)):
            drops = {
                kind: np.mean([self._drop(change, one) for one in several], axis=0)
                for kind, several in kinds.items()
            }
            found[name] = {kind: self._interval(values) for kind, values in drops.items()}
            if name == "comprehensiveness":
                found["ratio"] = self._interval(drops["evidence"], drops["random"])
        return found

    def _by_brute_force(self, ours: Sequence[Sequence[Stretch]]) -> list[list[Stretch]]:
        """Return for each text its words with the largest effects, as many as there are in the evidence."""
        pairs = [(place, word) for place, text in enumerate(self._texts) for word in words(text)]
        shortened = [without(self._texts[place], word) for place, word in pairs]
        left = self._kept(shortened, [place for place, _ in pairs])
        by_text: list[list[tuple[float, Stretch]]] = [[] for _ in self._texts]
        for (place, word), chance in zip(pairs, left, strict=True):
            by_text[place].append((chance, word))
        return [
            [word for _, word in sorted(found)[: inside(text, of)]]
            for text, of, found in zip(self._texts, ours, by_text, strict=True)
        ]

    def _drop(self, change: Any, stretches: Sequence[Sequence[Stretch]]) -> NDArray[np.float64]:
        changed = [change(text, of) for text, of in zip(self._texts, stretches, strict=True)]
        return self._chances - self._kept(changed, range(len(changed)))

    def _kept(self, texts: Sequence[str], of: Sequence[int]) -> NDArray[np.float64]:
        """Return the probability that each text gives to the label of the text of this number."""
        left = self._predicted([text if text.strip() else "-" for text in texts])
        labels = self._model.labels
        return np.array(
            [
                one.probabilities[labels.index(self._plain[place].label)]
                for one, place in zip(left, of, strict=True)
            ]
        )

    def _predicted(self, texts: Sequence[str]) -> list[Prediction]:
        return list(self._model.predict(self._rows(texts), self._mode, show_all=True))

    def _rows(self, texts: Sequence[str]) -> list[tuple[str, str | None]]:
        return [(str(place), text) for place, text in enumerate(texts)]

    def _interval(self, values: NDArray[np.float64], over: NDArray[np.float64] | None = None) -> list[float]:
        """Return the mean, or the mean over another mean, and its interval."""
        drawn = np.random.default_rng(self._seed).integers(0, len(values), (_RESAMPLES, len(values)))
        means, mean_of_all = values[drawn].mean(1), values.mean()
        if over is not None:
            means, mean_of_all = means / over[drawn].mean(1), mean_of_all / over.mean()
        return [round(float(value), 3) for value in (mean_of_all, *np.percentile(means, (2.5, 97.5)))]


def mean(values: Sequence[float], digits: int) -> float:
    """Return a rounded mean."""
    return round(float(np.mean(values)), digits)


def removed(text: str, stretches: Sequence[Stretch]) -> str:
    """Return the text without all of the stretches."""
    for stretch in sorted(stretches, reverse=True):
        text = without(text, stretch)
    return text.strip()


def alone(text: str, stretches: Sequence[Stretch]) -> str:
    """Return the stretches without the rest of the text."""
    return " ".join(text[slice(*stretch)] for stretch in sorted(stretches))


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


def inside(text: str, stretches: Sequence[Stretch]) -> int:
    """Return how many words of a text are in the stretches."""
    return sum(any(start <= at and to <= end for start, end in stretches) for at, to in words(text))


if __name__ == "__main__":
    main()
