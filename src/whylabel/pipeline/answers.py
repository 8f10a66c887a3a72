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
from whylabel.evaluation.stored import StoredPredictions
from whylabel.host.atomic import whole_lines
from whylabel.host.progress import progress, say
from whylabel.types import Mode, Prediction

if TYPE_CHECKING:
    from whylabel.prediction.trained import TrainedClassifier

Answer = dict[Mode, Prediction]
"""A model's prediction for one text in each mode."""

Answers = dict[Mode, StoredPredictions]
"""A model's predictions for all texts by mode."""

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
) -> Answers:
    """Return the model's predictions of the rows by mode, those in the file `kept` first; the model is closed."""
    found: Answers = {mode: StoredPredictions() for mode in modes}
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


class KeptAnswers(Mapping[str, Answer]):
    """The answers in a file by row id, each read when it is asked for."""

    def __init__(self, path: Path) -> None:
        """Raise `ValueError`, `KeyError` or `TypeError` if a line is not what `ask` writes."""
        self._path = path
        self._places: dict[str, int] = {}
        place = 0
        for line in whole_lines(path):
            self._places[_parsed(line)[0]] = place
            place += len(line)

    def __len__(self) -> int:
        return len(self._places)

    def __iter__(self) -> Iterator[str]:
        return iter(self._places)

    def __contains__(self, row_id: object) -> bool:
        return row_id in self._places

    def __getitem__(self, row_id: str) -> Answer:
        place = self._places[row_id]
        with self._path.open("rb") as file:
            file.seek(place)
            return _parsed(file.readline())[1]


def read_answers(path: Path) -> KeptAnswers:
    """Return the kept answers by row id; an incomplete last line, left by a killed process, is cut off.

    Raises `RunFolderError` if another line is not what `ask` writes.
    """
    try:
        return KeptAnswers(path)
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
