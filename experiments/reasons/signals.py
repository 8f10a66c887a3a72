"""Does a cheap figure tell which reasonings people reject? The area under the ROC curve over the kept readings.

    python experiments/reasons/signals.py runs/quickstart

Read again by a classifier: how probable it finds the label given the whole text (`text`), the quotation alone
(`quotation`), and the text without it (`rest`); `effect` is what the quotation adds, in nats.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from sklearn.metrics import roc_auc_score

from whylabel.prediction.trained import TrainedClassifier
from whylabel.text.quotes import quotations

READINGS = Path(__file__).parent / "readings.jsonl"


def main() -> None:
    """Print the area of each figure: 0.5 is chance."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("run", type=Path, help="a finished run folder, or a model folder")
    classifier = TrainedClassifier.from_folder(parser.parse_args().run)
    rows = [json.loads(line) for line in READINGS.read_text(encoding="utf-8").splitlines()]
    rows = [row for row in rows if quotations(row["reasoning"])]
    labels = [row["label"] for row in rows]
    texts = [row["text"] for row in rows]
    cues = [str(quotations(row["reasoning"])[0]) for row in rows]
    whole = probabilities(classifier, texts, labels)
    rest = probabilities(
        classifier,
        [text.replace(cue, "").strip() or "." for text, cue in zip(texts, cues, strict=True)],
        labels,
    )
    found = {
        "text": whole,
        "quotation": probabilities(classifier, cues, labels),
        "rest": 1 - rest,
        "effect": np.log(whole) - np.log(rest),
    }
    accepted = [row["verdict"] == "accepted" for row in rows]
    print(f"{sum(accepted)} of {len(rows)} accepted")
    for name, values in found.items():
        print(f"{name:10} {roc_auc_score(accepted, values):.2f}")


def probabilities(classifier: TrainedClassifier, texts: Sequence[str], labels: Sequence[str]) -> np.ndarray:
    """Return the probability of each text's label, without a reasoning."""
    places = [classifier.labels.names.index(label) for label in labels]
    rows = classifier.predict([(str(place), text) for place, text in enumerate(texts)], "fast")
    return np.array([row.probabilities[place] for row, place in zip(rows, places, strict=True)])


if __name__ == "__main__":
    main()
