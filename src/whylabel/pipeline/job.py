"""A stage at work: what its work gets (`Job`), and what it reports when it is done (`StageResult`)."""

from __future__ import annotations

import re
import shutil
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from whylabel.errors import RunFolderError
from whylabel.host.machine import versions
from whylabel.host.takeover import contents
from whylabel.models.fingerprint import model_fingerprint
from whylabel.models.quantisation import KEY, quantisation
from whylabel.pipeline.inputs import Inputs
from whylabel.run_folder import RunFolder

_KEY_LENGTH = 16
_KEY = re.compile(rf"[0-9a-f]{{{_KEY_LENGTH}}}")


@dataclass(frozen=True, slots=True)
class StageResult:
    """What a stage did; `record` is kept in `run.json` for the stages after it."""

    rows: int
    tokens: int
    record: dict[str, Any]
    failed_rows: int = 0


def own_folder(parent: Path, key: str) -> Path:
    """Return the folder in the parent that belongs to the work with this key."""
    return parent / key[:_KEY_LENGTH]


@dataclass(frozen=True, slots=True)
class Job:
    """One stage to do, from these inputs, in this run folder; `key` is the hash of what decides its outcome."""

    stage: str
    key: str
    inputs: Inputs
    run: RunFolder

    def checkpoints(self, model: Path) -> Path:
        """Return the checkpoint folder of exactly this training; those of other settings are removed."""
        return self.own(model.parent / "checkpoints")

    def own(self, parent: Path) -> Path:
        """Return the folder of exactly this work in the parent; folders of other settings are removed.

        Anything that does not have the name of such a folder may belong to a user, and stays.
        """
        own = own_folder(parent, self.key)
        for other in parent.glob("*"):
            if other != own and other.is_dir() and _KEY.fullmatch(other.name):
                shutil.rmtree(other)
        return own

    def discard(self, parent: Path) -> None:
        """Remove the folder of this work, and its parent if nothing else is in it."""
        shutil.rmtree(self.own(parent), ignore_errors=True)
        if parent.is_dir() and not contents(parent):
            shutil.rmtree(parent)

    def require_model(self, stage: str, folder: Path, content: str) -> None:
        """Raise `RunFolderError` if a model's content is not what its stage has recorded."""
        if content != self.run.content(stage):
            raise RunFolderError(
                f"This model is not as {stage} has left it: its files were changed.",
                where=str(folder),
                fix="remove the folder, and the stage runs again; or name a copy of it as the model of another run",
            )

    def lineage(self, base_model: str | None = None) -> dict[str, Any]:
        """Return the origin of a model that this stage makes; `base_model` is given if it is not the recipe's."""
        inputs, recipe = self.inputs, self.inputs.recipe
        name = base_model or recipe.base_model
        quantised = quantisation(name)
        return {
            "base_model": name,
            "base_model_fingerprint": model_fingerprint(base_model)
            if base_model
            else inputs.base_fingerprint,
            **({} if quantised is None else {KEY: quantised}),
            "data": inputs.description,
            "seed": recipe.seed,
            "stage": self.stage,
            "versions": versions(),
        }
