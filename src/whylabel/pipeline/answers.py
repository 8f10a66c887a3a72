"""A model's answers to the test rows, each kept as soon as it is given.

So a killed evaluation continues where it stopped, and a change of one model does not run the other one again.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import closing
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

from whylabel.errors import RunFolderError
from whylabel.host.atomic import whole_lines
from whylabel.host.progress import progress, say
from whylabel.types import Mode, Prediction

if TYPE_CHECKING:
    from whylabel.prediction.trained import TrainedClassifier

Answer = dict[Mode, Prediction]
"""A model's prediction for one text in each mode."""

Row = tuple[str, str]
"""Id and text."""


def answers_file(folder: Path, name: str, key: str) -> Path:
    """Return the file of a model's answers with this key; those of other keys are removed."""
    own = folder / f"{name}-{key[:16]}.jsonl"
    for other in folder.glob(f"{name}-{'[0-9a-f]' * 16}.jsonl"):
        if other != own:
            other.unlink()
    return own


def answer_all(
    model: TrainedClassifier, name: str, rows: Sequence[Row], modes: Sequence[Mode], kept: Path
) -> dict[Mode, list[Prediction]]:
    """Return the model's predictions of the rows by mode, those in the file `kept` first; the model is closed."""
    found: dict[Mode, list[Prediction]] = {mode: [] for mode in modes}
    known = read_answers(kept)
    if known:
        say(f"  evaluate {name}: {len(known):,} of {len(rows):,} rows were answered earlier")
    answers = ask(kept, rows, known, lambda left: model.predict_in_modes(left, tuple(found), show_all=True))
    with closing(model), progress(f"evaluate {name}", total=len(rows), done=len(known)) as bar:
        for (row_id, _), answer in zip(rows, answers, strict=True):
            for mode, prediction in answer.items():
                found[mode].append(prediction)
            if row_id not in known:
                bar.advance(1, max(prediction.tokens for prediction in answer.values()))
    return found


def read_answers(path: Path) -> dict[str, Answer]:
    """Return the kept answers by row id; an incomplete last line, left by a killed process, is cut off.

    Raises `RunFolderError` if another line is not what `ask` writes.
    """
    try:
        return dict(map(_parsed, whole_lines(path)))
    except (ValueError, KeyError, TypeError) as error:
        raise RunFolderError(
            f"The kept answers of a model cannot be read: {error}.",
            where=str(path),
            fix="remove the file; the model then answers again",
        ) from None


def ask(
    path: Path,
    rows: Sequence[Row],
    known: Mapping[str, Answer],
    model: Callable[[Sequence[Row]], Iterator[Answer]],
) -> Iterator[Answer]:
    """Yield an answer for each row: a known one, or a new one of the model, which is kept at once.

    Failed answers are not kept, so that they are tried again.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    new = model([row for row in rows if row[0] not in known])
    with path.open("a", encoding="utf-8") as file:
        for row_id, _ in rows:
            if row_id in known:
                yield known[row_id]
                continue
            answer = next(new)
            if all(prediction.status != "failed" for prediction in answer.values()):
                file.write(_line(row_id, answer))
                file.flush()
            yield answer


def _line(row_id: str, answer: Answer) -> str:
    by_mode = {mode: asdict(prediction) for mode, prediction in answer.items()}
    return json.dumps({"id": row_id, "answer": by_mode}) + "\n"


def _parsed(line: bytes) -> tuple[str, Answer]:
    record: dict[str, Any] = json.loads(line)
    answer: Answer = {
        mode: Prediction(**{**values, "probabilities": tuple(values["probabilities"])})
        for mode, values in record["answer"].items()
    }
    return record["id"], answer
