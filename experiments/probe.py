"""Does a cheap figure tell beforehand whether reasoning will pay? What words alone make of a few hundred train rows.

    python experiments/probe.py --data FOLDER

For each data set: how far TF-IDF with logistic regression, and the labels of the five most similar texts, rise above
the most frequent label, in cross-validation. `page.py` puts what reasoning gained beside it.
"""

from __future__ import annotations

import argparse
import json
import random
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet
from data_sets import Changes, DataSet
from sklearn.feature_extraction.text import TfidfVectorizer
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import StratifiedKFold, cross_val_predict
from sklearn.neighbors import KNeighborsClassifier
from sklearn.pipeline import make_pipeline

OUTPUT = Path(__file__).parent / "e13-probe" / "surface.jsonl"
ROWS, FOLDS, SEED = 600, 3, 13
SETS = {
    "emotion": ("emotion", Changes()),
    "goemotions": ("goemotions", Changes()),
    "sst2": ("sst2", Changes()),
    "trec": ("trec", Changes()),
    "shuffled_objects": ("shuffled_objects", Changes(where={"steps": 3})),
    "proofwriter": ("proofwriter", Changes()),
    "clutrr": ("clutrr", Changes()),
    "legal_diversity": ("legal_diversity", Changes()),
}
MODELS = {
    "tfidf": lambda: LogisticRegression(C=10, max_iter=1000),
    "neighbours": lambda: KNeighborsClassifier(5, metric="cosine"),
}


def texts_and_labels(data: DataSet, changes: Changes, work: Path) -> tuple[list[str], np.ndarray]:
    """Return some train rows, drawn by the seed; labels with fewer rows than folds are left out."""
    folder = data.write(work / f"{data.name}-{changes.name}", changes)
    rows = pyarrow.parquet.read_table(folder / "train.parquet").to_pylist()
    column = "label_name" if "label_name" in rows[0] else "label"
    drawn = random.Random(SEED).sample(rows, min(ROWS, len(rows)))
    counts = Counter(row[column] for row in drawn)
    kept = [row for row in drawn if counts[row[column]] >= FOLDS]
    return [row["text"] for row in kept], np.array([str(row[column]) for row in kept])


def surface(data: Path, work: Path) -> Iterator[dict[str, Any]]:
    """Yield for each data set its rows, the most frequent label's share, and the accuracy of each simple model."""
    for name, (known, changes) in SETS.items():
        texts, labels = texts_and_labels(DataSet.of(known, data), changes, work)
        folds = StratifiedKFold(FOLDS, shuffle=True, random_state=SEED)
        found = {"data": name, "rows": len(texts), "majority": max(Counter(labels).values()) / len(labels)}
        for model, make in MODELS.items():
            whole = make_pipeline(TfidfVectorizer(ngram_range=(1, 2), sublinear_tf=True), make())
            found[model] = float((cross_val_predict(whole, texts, labels, cv=folds) == labels).mean())
        yield {key: round(value, 4) if isinstance(value, float) else value for key, value in found.items()}


def main() -> None:
    """Measure all data sets and write a line for each."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data", type=Path, required=True, help="the folder of the data sets")
    parser.add_argument("--work", type=Path, default=Path("runs/experiments/data"))
    options = parser.parse_args()
    lines = [json.dumps(found) for found in surface(options.data, options.work)]
    OUTPUT.write_text("\n".join(lines) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
