"""The texts on which an export is checked: rows of the model's run, or of a file."""

from __future__ import annotations

import random
from pathlib import Path

from whylabel.data.parquet import read_rows
from whylabel.data.texts import load_texts
from whylabel.errors import UsageError
from whylabel.prediction.trained import TrainedClassifier
from whylabel.run_folder import RunFolder

_SEED = 13


def parity_rows(
    model: TrainedClassifier, folder: Path, file: Path | None, count: int
) -> list[tuple[str, str]]:
    """Return (id, text) of up to `count` rows, drawn from all by a fixed seed and trimmed as in a prediction.

    `folder` is the model's. Raises `UsageError` if it is in no run folder and no file is named, or there is no row.
    """
    # A test row has a prediction of each model and mode: its text counts once.
    found = {text: row_id for row_id, text in (_of_run(folder) if file is None else _of_file(file, model))}
    if not found:
        raise UsageError(
            "There is no row to check the export on.", where=str(file or folder), fix="--rows FILE"
        )
    drawn = random.Random(_SEED).sample(sorted(found), min(count, len(found)))
    return [(found[text], model.trimmed(text)) for text in drawn]


def _of_run(folder: Path) -> list[tuple[str, str]]:
    run = RunFolder(folder.resolve().parent.parent)
    table = next((path for path in (run.predictions, run.kept) if path.exists()), None)
    if not run.manifest.exists() or table is None:
        raise UsageError(
            "An export is checked on rows of the run, and this model is in none that has rows.",
            where=str(folder),
            fix="name a file of texts: --rows FILE",
        )
    records = read_rows(table, {"id": "text", "text": "text"}, what="The rows", fix="--rows FILE")
    return [(record["id"], record["text"]) for record in records if record["text"].strip()]


def _of_file(file: Path, model: TrainedClassifier) -> list[tuple[str, str]]:
    columns = model.card.columns
    trained = {"trained_text": columns.text, "trained_id": columns.id} if columns else {}
    return [
        (row_id, text) for row_id, text in load_texts(file, **trained) if text is not None and text.strip()
    ]
