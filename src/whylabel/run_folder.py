"""The run folder: the paths of all files of a run, and which stages are done.

A stage is current if `run.json` says that it is done, its recorded fingerprint is that of exactly these inputs, and
its outputs exist. A killed stage leaves no such entry, so the next run does it again. Each finished stage records the
recipe, versions and hardware that it was made with.
"""

from __future__ import annotations

import os
import tempfile
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from typing import Any

from whylabel.errors import RunFolderError, RunInUseError
from whylabel.host.atomic import (
    as_written,
    check_kinds,
    is_aside,
    read_json,
    remove_asides_in,
    write_json,
    write_text,
)
from whylabel.host.locks import locked
from whylabel.host.paths import nearest
from whylabel.host.takeover import check_folder

STAGES = (
    "train-reasoner",
    "augment",
    "train-baseline",
    "calibrate-baseline",
    "train-classifier",
    "calibrate-classifier",
    "evaluate",
)
FORMAT = 2
"""Version of `run.json`. Before version 2, calibration was a part of training, and stages did not record a recipe."""
_LOCK, _LOCKED = ".lock", ".lock.sqlite"
_ENTRY = {"status": str, "fingerprint": str, "content": str, "failed_rows": int, "decided_by": dict}
_WITHOUT_MANIFEST = (
    "choose another folder with --output DIR, or remove the file: finished stages then run again"
)


class RunFolder:
    """The files of one run. Creating the object touches no file."""

    def __init__(self, path: str | Path) -> None:
        self.path = Path(path)
        self.manifest_in_memory: dict[str, Any] | None = None
        """The content that `run.json` gets with the next record, if it differs from the file; else None."""
        self.recipe = self.path / "recipe.yaml"
        self.manifest = self.path / "run.json"
        self.reasoner_model = self.path / "reasoner" / "model"
        self.reasoner_metrics = self.path / "reasoner" / "metrics.json"
        self.store = self.path / "augment" / "store.sqlite"
        self.kept = self.path / "augment" / "train.parquet"
        self.dropped = self.path / "augment" / "dropped.parquet"
        self.folds = self.path / "augment" / "folds"
        self.out_of_fold = self.path / "augment" / "folds.parquet"
        self.suspects = self.path / "augment" / "suspects.parquet"
        self.augment_metrics = self.path / "augment" / "metrics.json"
        self.classifier_model = self.path / "classifier" / "model"
        self.classifier_metrics = self.path / "classifier" / "metrics.json"
        self.self_training = self.path / "classifier" / "self_training"
        self.baseline_model = self.path / "baseline" / "model"
        self.baseline_metrics = self.path / "baseline" / "metrics.json"
        self.evaluation_metrics = self.path / "evaluation" / "metrics.json"
        self.answers = self.path / "evaluation" / "answers"
        self.predictions = self.path / "evaluation" / "predictions.parquet"
        self.evidence = self.path / "evaluation" / "evidence.json"
        self.faithfulness = self.path / "evaluation" / "faithfulness.json"
        self.readings = self.path / "evaluation" / "readings.jsonl"
        self.inspection = self.path / "inspection.json"
        self.report = self.path / "report.html"
        self.model_card = self.path / "MODEL_CARD.md"

    def __repr__(self) -> str:
        return f"RunFolder({str(self.path)!r})"

    def outputs(self, stage: str) -> tuple[Path, ...]:
        """Return the files that a finished stage has written."""
        return {
            "train-reasoner": (*_model_files(self.reasoner_model), self.reasoner_metrics),
            "train-folds": (self.out_of_fold,),
            "suspects": (self.suspects,),
            "augment": (self.kept, self.dropped, self.augment_metrics),
            "train-baseline": (*_model_files(self.baseline_model), self.baseline_metrics),
            "calibrate-baseline": (self.baseline_model / "whylabel.json",),
            "train-classifier": (*_model_files(self.classifier_model), self.classifier_metrics),
            "calibrate-classifier": (self.classifier_model / "whylabel.json",),
            "evaluate": (self.evaluation_metrics, self.predictions),
        }[stage]

    def read_manifest(self) -> dict[str, Any]:
        """Return the content of `run.json`, or an empty mapping before the first stage."""
        return self.saved_manifest() if self.manifest_in_memory is None else dict(self.manifest_in_memory)

    def saved_manifest(self) -> dict[str, Any]:
        """Return `run.json` as it is on disk. Raises `RunFolderError` if it is not what whylabel writes."""
        if not self.manifest.exists():
            return {}
        fix = _WITHOUT_MANIFEST
        manifest: dict[str, Any] = read_json(self.manifest, dict, fix=fix)
        if not manifest:
            return {}
        with as_written(self.manifest, fix=fix):
            if not {"stages", "versions"} & set(manifest):
                raise KeyError("stages")
        check_kinds(self.manifest, manifest, {"stages": dict, "data": dict, "versions": dict}, fix=fix)
        stages = manifest.get("stages") or {}
        check_kinds(self.manifest, stages, dict.fromkeys(stages, dict), fix=fix)
        for entry in filter(None, stages.values()):
            check_kinds(self.manifest, entry, _ENTRY, fix=fix)
        return {**manifest, "stages": {name: entry for name, entry in stages.items() if entry is not None}}

    def update_manifest(self, **values: Any) -> None:
        """Merge top-level values into `run.json`."""
        write_json(self.manifest, {"format": FORMAT, "stages": {}, **self.read_manifest(), **values})
        self.manifest_in_memory = None

    def stage(self, stage: str) -> dict[str, Any]:
        """Return the entry of a stage in `run.json`; empty before its first run."""
        return dict(self.read_manifest().get("stages", {}).get(stage, {}))

    def is_current(self, stage: str, fingerprint: str) -> bool:
        """Return whether the stage is done for these inputs and its outputs exist."""
        entry = self.stage(stage)
        done = entry.get("status") == "done" and entry.get("fingerprint") == fingerprint
        return done and not self.missing_outputs(stage)

    def content(self, stage: str) -> str:
        """Return the hash that a finished stage recorded of its outputs. Raises `RunFolderError` if there is none."""
        with as_written(self.manifest, fix=_WITHOUT_MANIFEST):
            return str(self.stage(stage)["content"])

    def missing_outputs(self, stage: str) -> list[Path]:
        """Return the files of a finished stage that are missing."""
        return [path for path in self.outputs(stage) if not path.exists()]

    def failed_rows(self, stage: str) -> int:
        """Return how many rows of a finished stage failed; the next run tries them again."""
        return int(self.stage(stage).get("failed_rows") or 0)

    def begin_stage(self, stage: str, fingerprint: str, *, undone: str | None = None) -> None:
        """Record that the stage runs. Its earlier result no longer counts, nor does that of the stage `undone`."""
        if undone is not None and self.stage(undone):
            self._record(undone, {"status": "undone"})
        self._record(stage, {"status": "running", "fingerprint": fingerprint})

    def finish_stage(
        self, stage: str, fingerprint: str, *, seconds: float, rows: int, tokens: int, **record: Any
    ) -> None:
        """Record that the stage is done and its outputs are complete, with what later stages need to know."""
        self._record(
            stage,
            {
                "status": "done",
                "fingerprint": fingerprint,
                "seconds": round(seconds, 2),
                "rows": rows,
                "tokens": tokens,
                "finished": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()),
                **record,
            },
        )

    def _record(self, stage: str, entry: dict[str, Any]) -> None:
        stages = dict(self.read_manifest().get("stages", {}))
        stages[stage] = entry
        self.update_manifest(stages=stages)

    def write_recipe(self, text: str) -> None:
        """Write the resolved recipe."""
        write_text(self.recipe, text)

    def check_ours(self) -> None:
        """Raise `UsageError` if the folder holds other things than a run: nobody else's files are overwritten.

        Raises `RunFolderError` if no file can be written there, or a folder is in the place of one. Writes nothing.
        """
        try:
            if not self.read_manifest():
                fix = "choose a new or an empty folder with --output DIR"
                check_folder(self.path, _is_before_a_run, wanted="A run", fix=fix)
            outputs = (path for stage in STAGES for path in self.outputs(stage))
            for file in (
                self.recipe,
                self.store,
                *outputs,
                self.evidence,
                self.faithfulness,
                self.inspection,
                self.report,
                self.model_card,
            ):
                if file.is_dir():
                    raise RunFolderError(
                        f"A folder is in the place of {file.name}.", where=str(file), fix="move it away"
                    )
            str(self.path).encode()
            with tempfile.TemporaryFile(dir=nearest(self.path.absolute())):
                pass
        except (OSError, UnicodeEncodeError) as error:
            raise self._unwritable(error) from None

    def _unwritable(self, error: OSError | UnicodeEncodeError) -> RunFolderError:
        reason = (error.strerror or error) if isinstance(error, OSError) else "its name is not valid UTF-8"
        return RunFolderError(
            f"The run folder cannot be written: {reason}.",
            where=str(self.path),
            fix="choose another with --output DIR",
        )

    @contextmanager
    def locked(self) -> Iterator[None]:
        """Hold the run folder for this process alone, without the files that killed processes left half-written.

        The operating system frees the lock when the process ends, however it ends. A folder that is new, and in which
        nothing was written, is removed again.
        Raises `RunInUseError` if another process holds it, `RunFolderError` if the folder cannot be written, and
        `UsageError` if it holds other things than a run.
        """
        self.check_ours()
        holder, new = self.path / _LOCK, not self.path.exists()
        with ExitStack() as stack:
            try:
                self.path.mkdir(parents=True, exist_ok=True)
                stack.enter_context(locked(self.path / _LOCKED, wait=False))
                holder.write_text(f"pid {os.getpid()}", encoding="ascii")
            except BlockingIOError:
                named = holder.read_text(encoding="ascii", errors="replace") if holder.exists() else "unknown"
                raise RunInUseError(
                    f"Another process is using this run folder ({named}).",
                    where=str(self.path),
                    fix="wait for it to end, or choose another folder with --output DIR",
                ) from None
            except OSError as error:
                raise self._unwritable(error) from None
            if new:
                stack.callback(self._remove_if_unused)
            remove_asides_in(self.path)
            yield

    def _remove_if_unused(self) -> None:
        locks = (self.path / _LOCK, self.path / _LOCKED)
        with suppress(OSError):  # not worth an error: an empty folder is in nobody's way
            if set(self.path.iterdir()) <= set(locks):
                for lock in locks:
                    lock.unlink(missing_ok=True)
                self.path.rmdir()


def _is_before_a_run(path: Path) -> bool:
    """Return whether a run may leave such a file before it has a manifest, if it is killed."""
    return path.name in (_LOCK, _LOCKED) or is_aside(path)


def _model_files(folder: Path) -> tuple[Path, ...]:
    """Return the files without which a saved model is none; its weights may be in several."""
    weights = sorted(folder.glob("*.safetensors")) or [folder / "model.safetensors"]
    return folder / "whylabel.json", *weights
