"""The verbs that are killed and made to fail: where they start, what they leave, and what must hold of it."""

from __future__ import annotations

import csv
import hashlib
import json
import os
import re
import shutil
import sqlite3
import tempfile
from collections.abc import Callable, Collection
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml
from pyarrow import parquet

from release.children import Work, child, import_what_it_did
from release.trainer import torn_checkpoint, train_with_trainer
from tiny_model import tiny_tokenizer, write_tiny_model


@dataclass(frozen=True)
class Case:
    """A verb as it is tried: its work in a folder, what lies there before, and the results that are compared."""

    name: str
    work: Work
    start: Path
    left: tuple[str, ...]
    """Patterns of the files whose content is compared."""
    check: Callable[[Path, str], str | None] | None = None
    """Looks at the folder after a kill, given what the process has printed; returns what is wrong with it."""
    saves: str = ""
    """What the paths of its checkpoints contain; half of the kills come while these are written."""


VERBS = ("augment", "train", "evaluate", "predict", "export", "review")
TRAINER = "trainer"
"""transformers' Trainer, which is tried beside the verbs."""


def prepared(folder: Path, verbs: Collection[str] = VERBS) -> list[Case]:
    """Return the cases of these verbs; a tiny run is made once, as far as they need it."""
    model = folder / "model"
    trial = folder / "trial"

    def make_model(_: Path) -> int:
        write_tiny_model(model, tiny_tokenizer())
        return 0

    trial.mkdir()
    child(make_model, trial)
    starts = {name: folder / f"before-{name}" for name in ("augment", "train", "evaluate", "done")}
    recipe = {
        "base_model": str(model),
        "data": {"train_rows": 60, "test_rows": 12, "validation_rows": 6},
        "reasoner": {"model": str(model)},
        "augment": {"engine": "scripted", "sampling": {"max_new_tokens": 24}},
        "training": {"per_device_train_batch_size": 4, "save_steps": 3, "num_train_epochs": 1},
        "evaluation": {"bootstrap_samples": 100, "quality_rows": 0},
        "classifier": {"target": "dual"},
    }
    (trial / "recipe.yaml").write_text(yaml.safe_dump(recipe))
    lines = [{"id": f"r{number}", "text": f"a text of number {number}"} for number in range(40)]
    (trial / "texts.jsonl").write_text("".join(f"{json.dumps(line)}\n" for line in lines))

    def over_recipe(name: str) -> Work:
        return _verb(f"{name} FOLDER/recipe.yaml --output FOLDER/run")

    def after(name: str, start: str) -> None:
        ended = child(over_recipe(name), trial)
        if ended.code:
            raise RuntimeError(ended.printed)
        import_what_it_did(trial)
        shutil.copytree(trial, starts[start])

    shutil.copytree(trial, starts["augment"])
    if set(verbs) - {TRAINER, "augment"}:
        after("augment", "train")
    if set(verbs) - {TRAINER, "augment", "train"}:
        after("train", "evaluate")
    if set(verbs) - {TRAINER, "augment", "train", "evaluate"}:
        after("evaluate", "done")
    weights = ("run/classifier/model/model.safetensors", "run/baseline/model/model.safetensors")
    cases = [
        Case(
            "augment", over_recipe("augment"), starts["augment"], ("run/augment/*.parquet",), _rows_are_kept
        ),
        Case("train", over_recipe("train"), starts["train"], weights, _steps_are_kept, "checkpoint-"),
        Case("evaluate", over_recipe("evaluate"), starts["evaluate"], ("run/evaluation/*.parquet",)),
        Case(
            "predict",
            _verb("predict --model FOLDER/run --input FOLDER/texts.jsonl --output FOLDER/out.csv"),
            starts["done"],
            ("out.csv",),
        ),
        Case(
            "export",
            _verb("export FOLDER/run --format merged --output FOLDER/exported"),
            starts["done"],
            ("exported/*.safetensors", "exported/*.json"),
        ),
        Case(
            TRAINER,
            train_with_trainer,
            starts["augment"],
            ("trainer/model/model.safetensors",),
            torn_checkpoint,
            "checkpoint-",
        ),
        Case("review", _review, starts["done"], (), _decisions_are_kept),
    ]
    return sorted(
        (case for case in cases if case.name in verbs), key=lambda case: list(verbs).index(case.name)
    )


def _verb(command: str) -> Work:
    """Return the work of a command line in a folder, which it calls FOLDER."""

    def work(folder: Path) -> int:
        from whylabel.cli.main import main

        return main([part.replace("FOLDER", str(folder)) for part in command.split()])

    return work


def _review(folder: Path) -> int:
    """Decide on every reasoning of the run as the page does, and print the row once the decision is made."""
    from whylabel.errors import WhylabelError

    try:
        _decide_on_all(folder)
    except (WhylabelError, OSError) as error:
        # As a request the page is told, with status 409, 422 or 500, and what was decided before stands.
        print(f"Error: {error}")
        return 2
    return 0


def _decide_on_all(folder: Path) -> None:
    from whylabel.page import review, runs
    from whylabel.page.schemas import DecisionRequest
    from whylabel.run_folder import RunFolder

    run = runs.ServedRun("run", RunFolder(folder / "run"), ())
    known = runs.all_decisions(run)
    for row in runs.reasonings(run, "kept", runs.dealt_reasonings(run, "kept", "reader")):
        if row.row in known:
            continue
        body = DecisionRequest(
            by="reader", row=row.row, reasoning_hash=row.reasoning_hash, known=0, verdict="accepted"
        )
        review.record_decision(run, body)
        os.write(1, f"decided {row.row}\n".encode())


def _decisions_are_kept(folder: Path, printed: str) -> str | None:
    said = re.findall(r"^decided (\w+)$", printed, re.MULTILINE)
    kept = _asked(folder / "run/augment/store.sqlite", "SELECT row FROM decisions")
    if len(set(kept)) != len(kept):
        return "a decision is there twice"
    if lost := set(said) - set(kept):
        return f"{len(lost)} decisions are lost"
    return "more is kept than was decided" if len(kept) > len(said) + 1 else None


def _rows_are_kept(folder: Path, printed: str) -> str | None:
    """A row is in the store once, and whole."""
    store = folder / "run/augment/store.sqlite"
    if not store.exists():
        return None
    check = _asked(store, "PRAGMA integrity_check")
    return None if check == ["ok"] else f"the store is broken: {check}"


def _steps_are_kept(folder: Path, printed: str) -> str | None:
    """A checkpoint that says that it is complete has all its files, none of them empty."""
    for mark in folder.glob("run/**/checkpoint-*/complete.json"):
        empty = [path.name for path in mark.parent.iterdir() if path.is_file() and not path.stat().st_size]
        if empty:
            return f"{mark.parent.name} is called complete, and {empty} are empty"
    return None


def _asked(store: Path, question: str) -> list[Any]:
    """Ask a copy of the store: to open it would mend it."""
    with tempfile.TemporaryDirectory() as copy:
        for path in store.parent.glob(f"{store.name}*"):
            shutil.copy(path, copy)
        connection = sqlite3.connect(Path(copy) / store.name)
        try:
            return [value for (value,) in connection.execute(question)]
        except sqlite3.OperationalError as error:
            # The process was killed before it had made the tables.
            if "no such table" in str(error):
                return []
            raise
        finally:
            connection.close()


def results(case: Case, trial: Path) -> dict[str, str]:
    """Return hashes of what a command has left; of predictions without the seconds that they took."""
    files = sorted(path for pattern in case.left for path in trial.glob(pattern))
    found = {str(path.relative_to(trial)): hashlib.sha256(_content(path)).hexdigest() for path in files}
    if case.name == "review":
        rows = sorted(_asked(trial / "run/augment/store.sqlite", "SELECT row FROM decisions"))
        found["decisions"] = hashlib.sha256(repr(rows).encode()).hexdigest()
    return found


def _content(path: Path) -> bytes:
    """Return a file's content; of tables the rows, without seconds and the last bits of what was computed."""
    if path.suffix == ".parquet":
        rows = parquet.read_table(path).to_pylist()
    elif path.suffix == ".csv":
        with path.open(encoding="utf-8-sig", newline="") as stream:
            rows = list(csv.DictReader(stream))
    else:
        return path.read_bytes()
    return json.dumps(
        [{name: _rounded(row[name]) for name in row if name != "seconds"} for row in rows]
    ).encode()


def _rounded(value: Any) -> Any:
    # How many rows are computed together decides on some processors the last bits of a probability.
    if isinstance(value, str):
        with suppress(ValueError):
            value = float(value)
    if isinstance(value, float):
        return round(value, 4)
    return [_rounded(one) for one in value] if isinstance(value, list) else value
