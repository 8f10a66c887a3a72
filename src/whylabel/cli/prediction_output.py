"""Where predictions may be written: no file that a user may need is replaced."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Sequence
from pathlib import Path

from whylabel.data.writers import require_format, written_columns
from whylabel.errors import UsageError
from whylabel.host.paths import expanded, nearest
from whylabel.host.takeover import check_file
from whylabel.prediction.journal import is_journal, journal_path, lock_path
from whylabel.prediction.trained import model_folder
from whylabel.run_folder import RunFolder

_FIX = "name another file: --output FILE"
# The file is first written beside itself, under a longer name.
_LONGER_NAME = ".partial-1234567"


def checked_output(output: Path, model: str | None, sources: Sequence[Path]) -> Path:
    """Return the file to which a path of predictions leads, with links followed.

    `sources` are the files that the predictions are made from; `model` is None where a server has it. Raises
    `UsageError` if the suffix is unknown, no file can be written there, or it would replace anything but earlier
    predictions; `ModelError` if there is no model.
    """
    require_format(output, "Predictions")
    file = Path(os.path.realpath(expanded(output)))
    require_format(file, "Predictions")
    _require_writable(file, output)
    for folder in [] if model is None else _own_folders(model_folder(model)):
        if file.is_relative_to(folder.resolve()):
            raise UsageError(
                "Predictions cannot be written into a folder of the model or its run.",
                where=f"--output {output}",
                fix=_FIX,
            )
    check_file(file, _is_of_predictions, wanted="A file of predictions", fix=_FIX, sources=sources)
    partial = journal_path(file)
    check_file(
        partial,
        is_journal,
        wanted=f"{partial.name}, which grows beside the output,",
        fix=_FIX,
        sources=sources,
    )
    lock = lock_path(partial)
    check_file(lock, lambda _: False, wanted=f"{lock.name}, which is locked meanwhile,", fix=_FIX)
    return file


def _require_writable(file: Path, output: Path) -> None:
    try:
        if file.is_dir():
            raise UsageError(
                "This is a folder, not a file.",
                where=f"--output {output}",
                fix=f"name a file in it: --output {output / 'predictions.jsonl'}",
            )
        nearest(file.with_name(f"{file.name}{_LONGER_NAME}"))
        # Missing folders are created later, when there is something to write.
        with tempfile.TemporaryFile(dir=nearest(file.parent)):
            pass
    except OSError as error:
        raise UsageError(
            f"No file can be written there: {error.strerror}.",
            where=f"--output {output}",
            fix="name a file in a folder that you may write to",
        ) from None


def _own_folders(model: Path) -> list[Path]:
    """Return the folders that hold the files of a model and its run."""
    folder = model.resolve()
    run = RunFolder(folder.parent.parent)
    if folder not in [path.resolve() for path in (run.classifier_model, run.baseline_model)]:
        return [folder]
    files = (run.reasoner_model, run.store, run.classifier_model, run.baseline_model, run.predictions)
    return [path.parent for path in files]


def _is_of_predictions(file: Path) -> bool:
    """Return whether the file holds predictions that whylabel wrote, judged by its last columns."""
    # Some are there only where they were asked for, and older versions wrote no more than the reasoning.
    optional = ("evidence", "to_review", "reasoning_status", "disagrees")
    names = [name for name in written_columns(file) if name not in optional]
    if file.suffix.lower() == ".csv":
        while names[-4:-3] and names[-4].startswith("p(") and names[-4].endswith(")"):
            del names[-4]
        return "id" in names and names[-4:] == ["label", "reasoning", "status", "error"]
    # A line of JSON has `error` only if there is one.
    ending = [name for name in names if name not in ("labels", "error")][-5:]
    return "id" in names and ending == ["label", "probabilities", "reasoning", "mode", "status"]
