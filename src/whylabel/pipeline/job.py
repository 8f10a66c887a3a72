"""A stage that is being done: what its work is given, and what it says of itself when it is done."""

from __future__ import annotations

import re
import shutil
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from whylabel.host.machine import versions
from whylabel.host.takeover import contents
from whylabel.models.fingerprint import model_fingerprint
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


@dataclass(frozen=True, slots=True)
class Job:
    """One stage to do, from these inputs, in this run folder; `key` is what decides its outcome."""

    stage: str
    key: str
    inputs: Inputs
    run: RunFolder

    def checkpoints(self, model: Path) -> Path:
        """Return the folder of this very training; checkpoints of other settings are removed."""
        return self.own(model.parent / "checkpoints")

    def own(self, parent: Path) -> Path:
        """Return the folder of this very work below the parent; those of other settings are removed.

        What does not bear the name of such a folder is somebody else's, and stays.
        """
        own = parent / self.key[:_KEY_LENGTH]
        for other in parent.glob("*"):
            if other != own and other.is_dir() and _KEY.fullmatch(other.name):
                shutil.rmtree(other)
        return own

    def discard(self, parent: Path) -> None:
        """Remove the folder of this work, and its parent if nothing else is in it."""
        shutil.rmtree(self.own(parent), ignore_errors=True)
        if parent.is_dir() and not contents(parent):
            shutil.rmtree(parent)

    def lineage(self, base_model: str | None = None) -> dict[str, Any]:
        """Return where a model that this stage makes comes from; `base_model` where it is not the recipe's."""
        inputs, recipe = self.inputs, self.inputs.recipe
        return {
            "base_model": base_model or recipe.base_model,
            "base_model_fingerprint": model_fingerprint(base_model)
            if base_model
            else inputs.base_fingerprint,
            "data": inputs.description,
            "seed": recipe.seed,
            "stage": self.stage,
            "versions": versions(),
        }
