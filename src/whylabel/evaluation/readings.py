"""What people think of the reasonings that are shown: predictions dealt out to read, and their verdicts kept.

A reader sees text, label and reasoning; a blind one neither the gold label nor the probabilities, and nobody sees the
mode. The verdicts are in `evaluation/readings.jsonl`, one reading a line. A verdict counts as long as the classifier
shows the same reasoning beside the same label. Nothing here runs a stage again.
"""

from __future__ import annotations

import json
import random
import time
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any, Literal, get_args

from whylabel.data.cells import is_missing
from whylabel.data.readers import read_table
from whylabel.data.table import Table
from whylabel.errors import DataError, RunFolderError, unknown_name
from whylabel.evaluation.predictions import PredictionRow, iterate_predictions
from whylabel.evaluation.quality import Share, explaining_mode, share_of
from whylabel.host.atomic import as_written, read_json, write_text
from whylabel.prediction.withheld import is_withheld
from whylabel.run_folder import RunFolder
from whylabel.text.garbled import is_garbled
from whylabel.text.hashes import fingerprint
from whylabel.text.spreadsheet import as_kept, restored
from whylabel.text.words import is_broken

ReadingVerdict = Literal["accepted", "rejected"]
VERDICTS: tuple[ReadingVerdict, ...] = get_args(ReadingVerdict)
DEALT = {name: "text" for name in ("id", "text", "label", "reasoning", "verdict", "reason")}
"""The columns of a file of predictions to read; `verdict` and `reason` are the reader's to fill."""
NOT_BLIND = {"gold": "text", "probabilities": "text"}
"""What follows them for a reader who is not blind."""
_SEEN = ("text", "label", "reasoning")
_PLACES_NAMED = 10
_FIX = (
    "deal the predictions out again and open that file as UTF-8, its columns as text; fill in verdict and reason, "
    "and nothing else"
)
_ENCODING = "Most likely the file was opened or saved in another encoding than UTF-8."


@dataclass(frozen=True, slots=True)
class Reading:
    """One verdict of one person on a reasoning; `id` stands for text, label and reasoning."""

    id: str
    text: str
    label: str
    reasoning: str
    verdict: ReadingVerdict
    reason: str
    by: str
    at: str
    blind: bool
    mode: str


@dataclass(frozen=True, slots=True)
class ReaderRate:
    """How many of the reasonings that a person has read are acceptable; `blind`: how many were read blind."""

    by: str
    mode: str
    accepted: Share
    blind: int


@dataclass(frozen=True, slots=True)
class ShownReasonings:
    """The reasonings of a classifier that are shown, in the mode that stands for it, by an id that names no row."""

    mode: str
    labels: tuple[str, ...]
    rows: Mapping[str, PredictionRow]

    @classmethod
    def of(
        cls,
        predictions: Iterable[PredictionRow],
        evaluation: Mapping[str, Any],
        only: Collection[str] | None = None,
    ) -> ShownReasonings:
        """Return those among the predictions of an evaluation, the content of `evaluation/metrics.json`.

        `only`: no others than those with these ids.
        """
        mode = explaining_mode(evaluation)
        by_id = ((_id(row), row) for row in predictions if _is_shown(row, mode))
        rows = {row_id: row for row_id, row in by_id if only is None or row_id in only}
        return cls(mode, tuple(evaluation.get("labels") or ()), rows)

    @classmethod
    def of_run(cls, run: RunFolder) -> ShownReasonings:
        """Return those of a run. Raises `RunFolderError` if it has not been evaluated, or shows no reasoning."""
        return cls._read(run, lambda metrics: cls.of(iterate_predictions(run.predictions), metrics))

    @classmethod
    def on_disk(cls, run: RunFolder) -> ShownReasonings:
        """Return the same, each row read when it is asked for. Raises what `of_run` raises."""

        def read(metrics: Mapping[str, Any]) -> ShownReasonings:
            mode = explaining_mode(metrics)
            rows = enumerate(iterate_predictions(run.predictions))
            numbers = {_id(row): number for number, row in rows if _is_shown(row, mode)}
            return cls(mode, tuple(metrics.get("labels") or ()), _RowsOnDisk(run.predictions, numbers))

        return cls._read(run, read)

    @classmethod
    def _read(cls, run: RunFolder, read: Callable[[Mapping[str, Any]], ShownReasonings]) -> ShownReasonings:
        if not (run.evaluation_metrics.exists() and run.predictions.exists()):
            raise RunFolderError(
                "This run has not been evaluated yet.",
                where=str(run.path),
                fix="predict its test texts with: whylabel evaluate RECIPE",
            )
        metrics = read_json(run.evaluation_metrics, dict)
        with as_written(run.evaluation_metrics):
            shown = read(metrics)
        if not shown.rows:
            raise RunFolderError(
                f"The classifier shows no reasoning in its mode {shown.mode!r}.",
                where=str(run.predictions),
                fix="evaluate a mode that writes reasonings (evaluation.modes), or look at why they are withheld: "
                f"{run.report}",
            )
        return shown


class _RowsOnDisk(Mapping[str, PredictionRow]):
    """Rows of a file by their ids; only where they stand is in memory."""

    def __init__(self, path: Path, numbers: Mapping[str, int]) -> None:
        self._path, self._numbers = path, numbers

    def __getitem__(self, row_id: str) -> PredictionRow:
        (row,) = iterate_predictions(self._path, [self._numbers[row_id]])
        return row

    def __iter__(self) -> Iterator[str]:
        return iter(self._numbers)

    def __len__(self) -> int:
        return len(self._numbers)

    def __contains__(self, row_id: object) -> bool:
        return row_id in self._numbers


def deal(shown: ShownReasonings, sample: int, seed: int, *, blind: bool) -> list[dict[str, str]]:
    """Return up to `sample` rows to read, drawn with the seed and in the order in which they were drawn."""
    every = sorted(shown.rows)
    drawn = random.Random(seed).sample(every, min(sample, len(every)))
    return [dealt(shown, row_id, blind=blind) for row_id in drawn]


def record_readings(run: RunFolder, path: Path, by: str) -> tuple[list[Reading], int]:
    """Record the verdicts in a file that was dealt out; return the new ones, and how many rows have no verdict.

    A verdict that the same person has already given is not recorded again; another one takes its place. If one row
    cannot be recorded, none is: raises `DataError` for a missing column, an unknown verdict, a reasoning that this
    run does not show, and a file in which anything else has changed.
    """
    table = read_table(path)
    if path.suffix.lower() in (".csv", ".tsv"):
        table = replace(
            table, columns={name: [*map(restored, cells)] for name, cells in table.columns.items()}
        )
    with run.locked():
        shown = ShownReasonings.of_run(run)
        earlier = _recorded(run)
        found, unread = _readings(table, path, shown, by)
        new = [each for each in found if not _is_recorded(each, earlier.get((each.id, by)))]
        if new:
            _write(run, earlier | {(each.id, by): each for each in new})
    return new, unread


def record_reading(run: RunFolder, reading: Reading) -> None:
    """Record one verdict; one that the same person has given before is replaced.

    Raises `RunFolderError` if the run folder is in use, and `DataError` for a reason that cannot be stored.
    """
    if is_broken(reading.reason):
        raise _unreadable_reason(None)
    with run.locked():
        _write(run, _recorded(run) | {(reading.id, reading.by): reading})


def take_back(run: RunFolder, row_id: str, by: str) -> None:
    """Forget the verdict of a person on a row, if there is one. Raises `RunFolderError` if the folder is in use."""
    with run.locked():
        readings = _recorded(run)
        if readings.pop((row_id, by), None) is not None:
            _write(run, readings)


def new_reading(
    shown: ShownReasonings, row_id: str, verdict: ReadingVerdict, by: str, *, reason: str = "", blind: bool
) -> Reading:
    """Return a verdict given now. Raises `KeyError` if no such reasoning is shown."""
    row = shown.rows[row_id]
    label, reasoning = row.prediction.label, row.prediction.reasoning or ""
    return Reading(row_id, row.text, label, reasoning, verdict, reason, by, _now(), blind, shown.mode)


def read_readings(run: RunFolder) -> list[Reading]:
    """Return all recorded readings. Raises `RunFolderError` if the file is damaged."""
    if not run.readings.exists():
        return []
    with as_written(run.readings, fix="move the file away, and import the readings again"):
        lines = run.readings.read_text(encoding="utf-8").split("\n")
        found = [Reading(**json.loads(line)) for line in lines if line]
        for each in found:
            _check_types(each)
    return found


def _recorded(run: RunFolder) -> dict[tuple[str, str], Reading]:
    """Return what is recorded, by row and person."""
    return {(each.id, each.by): each for each in read_readings(run)}


def _write(run: RunFolder, readings: Mapping[tuple[str, str], Reading]) -> None:
    lines = (json.dumps(asdict(each), ensure_ascii=False) for each in readings.values())
    write_text(run.readings, "".join(f"{line}\n" for line in lines))


def _now() -> str:
    return time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime())


def rates(run: RunFolder, shown: ShownReasonings) -> tuple[ReaderRate, ...]:
    """Return how each reader found the reasonings that are shown now; readings of others do not count."""
    by_reader: dict[str, list[Reading]] = {}
    for each in read_readings(run):
        if each.id in shown.rows:
            by_reader.setdefault(each.by, []).append(each)
    return tuple(
        ReaderRate(
            by,
            shown.mode,
            share_of(sum(each.verdict == "accepted" for each in found), len(found)),
            sum(each.blind for each in found),
        )
        for by, found in by_reader.items()
    )


def _is_shown(row: PredictionRow, mode: str) -> bool:
    prediction = row.prediction
    wanted = row.model == "classifier" and prediction.mode == mode
    return wanted and bool(prediction.reasoning) and not is_withheld(prediction)


def _id(row: PredictionRow) -> str:
    """Return what stands for text, label and reasoning; its first letter keeps spreadsheets from reading a number."""
    return f"r{fingerprint(row.text, row.prediction.label, row.prediction.reasoning)[:16]}"


def dealt(shown: ShownReasonings, row_id: str, *, blind: bool) -> dict[str, str]:
    """Return what a reader sees of a row. Raises `KeyError` if no such reasoning is shown."""
    row = shown.rows[row_id]
    prediction = row.prediction
    cells = {
        "id": row_id,
        "text": row.text,
        "label": prediction.label,
        "reasoning": prediction.reasoning or "",
        "verdict": "",
        "reason": "",
    }
    if blind:
        return cells
    chances = zip(shown.labels, prediction.probabilities, strict=True)
    most_first = sorted(chances, key=lambda pair: -pair[1])
    return {
        **cells,
        "gold": row.gold,
        "probabilities": ", ".join(f"{label} {chance:.2f}" for label, chance in most_first),
    }


def _readings(table: Table, path: Path, shown: ShownReasonings, by: str) -> tuple[list[Reading], int]:
    """Return the verdicts in a table, and how many of its rows have none."""
    _check_columns(table, path)
    blind = not NOT_BLIND.keys() & table.columns.keys()
    at = _now()
    found: dict[str, Reading] = {}
    unread = 0
    for place, row_id, row in _matched(table, shown):
        verdict, reason = (_cell(table, name, place).strip() for name in ("verdict", "reason"))
        if not verdict:
            unread += 1
            if reason:
                raise DataError(
                    "There is a reason, but no verdict. Nothing was recorded.",
                    where=table.place(place),
                    fix=f"set verdict to {' or '.join(VERDICTS)}",
                )
            continue
        if is_broken(reason):
            raise _unreadable_reason(table.place(place))
        label, reasoning = row.prediction.label, row.prediction.reasoning or ""
        given = _verdict(verdict, table.place(place))
        reading = Reading(row_id, row.text, label, reasoning, given, reason, by, at, blind, shown.mode)
        if found.setdefault(row_id, reading) != reading:
            raise DataError(
                f"The row {row_id!r} stands twice in the file, with different verdicts. Nothing was recorded.",
                where=table.place(place),
                fix="leave one of them",
            )
    return list(found.values()), unread


def _matched(table: Table, shown: ShownReasonings) -> Iterator[tuple[int, str, PredictionRow]]:
    """Yield each row of the file with the prediction that it is. Blank rows are left out."""
    rows = [
        at for at in range(len(table)) if not all(is_missing(cells[at]) for cells in table.columns.values())
    ]
    ids = {at: _cell(table, "id", at).strip() for at in rows}
    unknown = [at for at in rows if ids[at] not in shown.rows]
    if unknown:
        raise DataError(
            f"The run shows no reasoning with the id {ids[unknown[0]]!r}: the file is of another run, or the run has "
            "been evaluated again since. Nothing was recorded.",
            where=_where(table, unknown),
            fix=f"name the run that the file was dealt from; else {_FIX}",
        )
    for name in _SEEN:
        if name in table.columns:
            _refuse_changed(table, name, {at: _seen(shown.rows[ids[at]], name) for at in rows})
    for at in rows:
        yield at, ids[at], shown.rows[ids[at]]


def _refuse_changed(table: Table, name: str, true: Mapping[int, str]) -> None:
    changed = [at for at, cell in true.items() if as_kept(cell) != as_kept(_cell(table, name, at))]
    if changed:
        garbled = any(is_garbled(true[at], _cell(table, name, at)) for at in changed)
        raise DataError(
            f"The column {name!r}, which nobody edits, has changed in {len(changed):,} of {len(true):,} rows."
            f"{f' {_ENCODING}' if garbled else ''} Nothing was recorded.",
            where=_where(table, changed),
            fix=_FIX,
        )


def _check_columns(table: Table, path: Path) -> None:
    for name in ("id", "verdict"):
        if name not in table.columns:
            garbled = is_garbled("\ufeffid", next(iter(table.columns)))
            raise DataError(
                f"There is no column {name!r}.{f' {_ENCODING}' if garbled else ''}", where=str(path), fix=_FIX
            )


def _seen(row: PredictionRow, name: str) -> str:
    seen = {"text": row.text, "label": row.prediction.label, "reasoning": row.prediction.reasoning or ""}
    return seen[name]


def _cell(table: Table, name: str, at: int) -> str:
    value = table.columns[name][at] if name in table.columns else None
    return "" if is_missing(value) else str(value)


def _where(table: Table, rows: Sequence[int]) -> str:
    named = ", ".join(str(table.places[at]) for at in rows[:_PLACES_NAMED])
    more = f" and {len(rows) - _PLACES_NAMED:,} more" if len(rows) > _PLACES_NAMED else ""
    return f"{table.name}, {table.unit}{'s' if len(rows) > 1 else ''} {named}{more}"


def _verdict(given: str, place: str) -> ReadingVerdict:
    for verdict in VERDICTS:
        if given.lower() == verdict:
            return verdict
    raise DataError(unknown_name("verdict", given, VERDICTS), where=place)


def _unreadable_reason(where: str | None) -> DataError:
    return DataError(
        "The reason is not readable as text: it holds NUL or half a surrogate pair.",
        where=where,
        fix="write it again with whole characters",
    )


def _is_recorded(reading: Reading, earlier: Reading | None) -> bool:
    """Return whether the same person has said the same before."""
    return earlier is not None and replace(earlier, at=reading.at) == reading


def _check_types(reading: Reading) -> None:
    kinds = {name: bool if name == "blind" else str for name in Reading.__slots__}
    for name, kind in kinds.items():
        if not isinstance(getattr(reading, name), kind):
            raise TypeError(f"{name} is no {kind.__name__}")
    if reading.verdict not in VERDICTS:
        raise ValueError(f"verdict is {reading.verdict!r}")
