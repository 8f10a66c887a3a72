"""Runs of an older whylabel: finished stages are adopted if their outputs are still right.

Before run.json had a format, the fingerprint of a stage covered settings that decide nothing, and that of a model
covered the versions of the libraries that saved it. This module keeps the old formulas. Stages that are current
by them are recorded under today's keys. In the row store, today's identities of reasoner and verifier replace the old
ones, so that no reasoning is written again.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from whylabel.errors import WhylabelError
from whylabel.host.progress import say
from whylabel.models.fingerprint import model_fingerprint
from whylabel.models.load import find
from whylabel.pipeline.calibrate import calibrated_content, trained_content
from whylabel.pipeline.inputs import Inputs
from whylabel.pipeline.keys import Key, StageKeys
from whylabel.reasonings.masking import MASKING_VERSION
from whylabel.run_folder import FORMAT, RunFolder
from whylabel.text.hashes import fingerprint, rows_fingerprint
from whylabel.text.prompts import FORMAT_VERSION

_CONTENT = ("*.safetensors", "*.json", "*.jinja", "*.txt", "*.model")


def is_old(run: RunFolder) -> bool:
    """Return whether `run.json` still has the stages as an older whylabel recorded them."""
    manifest = run.saved_manifest()
    return bool(manifest.get("stages")) and manifest.get("format") != FORMAT


def adopt(inputs: Inputs, run: RunFolder, order: Mapping[str, Callable[[], Key]]) -> None:
    """Adopt the finished stages of an older whylabel in this `RunFolder` object, without writing anything.

    `order` has the stages of the recipe in their order, each with the function that computes its key. The recipe is
    the one that the run was made with, whatever is asked for now. A stage that was made with other settings or data
    is not changed, and runs again.
    """
    before = run.saved_manifest()
    old = _OldKeys(inputs, run, before["stages"])
    stages = dict(before["stages"])
    run.manifest_in_memory = {**before, "format": FORMAT, "stages": stages}
    for stage, key in order.items():
        try:
            if old.is_current(stage):
                new = key()
                entry = {"adopted": True, "decided_by": dict(new.parts), "fingerprint": new.fingerprint}
                stages[stage] = {
                    **before["stages"][stage.replace("calibrate-", "train-")],
                    **entry,
                    "content": _content_of(stage, run, before["stages"]),
                    "recipe": inputs.recipe.model_dump(mode="json"),
                }
        except (WhylabelError, KeyError):
            continue  # it depends on a stage that is not adopted, or its entry lacks something: it runs again
    names = [stage for stage in order if stages.get(stage, {}).get("adopted")]
    if names:
        say(f"made by an older whylabel, and still right: {', '.join(names)}")


def rename_in_store(inputs: Inputs, keys: StageKeys, run: RunFolder) -> None:
    """In the row store of an adopted run, replace the old identities of reasoner and verifier by today's."""
    from whylabel.reasonings.store import open_store

    if run.manifest_in_memory is None or not run.store.exists():
        return
    old = _OldKeys(inputs, run, run.saved_manifest().get("stages", {}))
    with open_store(run.store) as store:
        try:
            store.rename_reasoner(old.reasoner_settings()["reasoner"], keys.reasoner_settings()["reasoner"])
            old_verifier, verifier = old.verifier(), keys.verifier()
        except (WhylabelError, KeyError):
            return  # the reasoner is trained again, and its reasonings are written again
        if old_verifier is not None and verifier is not None:
            store.rename_verifier(old_verifier, verifier)


def _content_of(stage: str, run: RunFolder, recorded: Mapping[str, Any]) -> str | None:
    folders = {"baseline": run.baseline_model, "classifier": run.classifier_model}
    kind, _, name = stage.partition("-")
    if stage == "train-reasoner":
        return model_fingerprint(str(run.reasoner_model))
    if kind == "train":
        return trained_content(folders[name])
    if kind == "calibrate":
        return calibrated_content(folders[name])
    content: str | None = recorded[stage].get("content")
    return content


class _OldKeys:
    """The fingerprints that stages had before run.json had a format, when calibration was a part of training."""

    def __init__(self, inputs: Inputs, run: RunFolder, stages: Mapping[str, Any]) -> None:
        self.inputs = inputs
        self.recipe = inputs.recipe
        self.run = run
        self.stages = stages

    def is_current(self, stage: str) -> bool:
        """Return whether a stage was done with these inputs, and its outputs exist."""
        key = {
            "train-reasoner": self.reasoner,
            "suspects": self.suspects,
            "augment": self.augment,
            "train-baseline": self.baseline,
            "calibrate-baseline": self.baseline,
            "train-classifier": self.classifier,
            "calibrate-classifier": self.classifier,
            "evaluate": self.evaluate,
        }[stage]
        entry = self.stages.get(stage.replace("calibrate-", "train-"), {})
        done = entry.get("status") == "done" and entry.get("fingerprint") == key()
        return done and not self.run.missing_outputs(stage)

    def reasoner(self) -> str:
        recipe, config = self.recipe, self.recipe.reasoner
        train, held_out = self.inputs.reasoning_rows
        rows = rows_fingerprint([*train, *held_out])
        return fingerprint(
            _old_model_fingerprint(config.base_model or recipe.base_model), rows,
            config.training.without_later_fields(),
            recipe.prompt_style, FORMAT_VERSION, recipe.seed, recipe.augment.sampling.max_new_tokens,
        )  # fmt: skip

    def suspects(self) -> str:
        folds = self.recipe.augment.suspects.folds
        return fingerprint(folds, "label", self._stage_two(), self.inputs.data_fingerprints["train"])

    def augment(self) -> str:
        augment = self.recipe.augment
        suspects = augment.suspects
        left_out = [self._content("suspects")] if suspects.folds and suspects.exclude else []
        # No older whylabel knew of these: with them, nothing is taken over.
        own = [found] if (found := self.inputs.own_reasonings) is not None else []
        return fingerprint(
            self.reasoner_settings(), self.inputs.data_fingerprints["train"], self._filters(),
            augment.sampling.max_new_tokens, augment.candidates, augment.condition,
            augment.verification.without_later_fields(), self.verifier(), self._decisions(),
            suspects.model_dump() if suspects.exclude else None, *left_out, *own,
        )  # fmt: skip

    def baseline(self) -> str:
        budget, train = self.recipe.baseline.budget, self.inputs.data_fingerprints["train"]
        spent = [] if budget == "same" else [budget, self._content("train-classifier")]
        return fingerprint("label", self._stage_two(), train, *spent)

    def classifier(self) -> str:
        rows = [self.inputs.data_fingerprints["train"]]
        if self.recipe.classifier.target != "label":
            rows.append(self._content("augment"))
        if self.recipe.classifier.self_training_rounds > 0:
            rows.append(fingerprint(self._filters()))
        settings = self.recipe.classifier.without_later_fields()
        # These came later, too, and change no weights.
        for name in ("engine", "engine_options"):
            settings.pop(name)
        return fingerprint(settings, self._stage_two(), rows)

    def evaluate(self) -> str:
        rows = self.inputs.data_fingerprints
        return fingerprint(
            self._content("train-baseline"), self._content("train-classifier"), rows["train"], rows["test"],
            self.recipe.evaluation.without_later_fields(), self.recipe.seed,
        )  # fmt: skip

    def reasoner_settings(self) -> dict[str, Any]:
        """Return today's settings of reasonings under the old identity of the reasoner."""
        config = self.recipe.reasoner
        if config.endpoint is not None:
            model = f"endpoint:{config.model}"
        elif config.model is not None:
            model = _old_model_fingerprint(config.model)[:16]
        else:
            model = self._content("train-reasoner")[:16]
        return StageKeys(self.inputs, self.run).settings_of(model)

    def verifier(self) -> str | None:
        name = self.recipe.augment.verification.verifier
        if name is None:
            return None
        if name == "baseline":
            model = self._content("train-baseline")
        else:
            model = _old_model_fingerprint(self.recipe.base_model if name == "base" else name)
        recipe, task = self.recipe, self.recipe.task
        return fingerprint(
            model, task.question, task.name, self.inputs.labels.names, recipe.prompt_style,
            recipe.data.max_text_tokens, FORMAT_VERSION, MASKING_VERSION,
        )  # fmt: skip

    def _filters(self) -> dict[str, Any]:
        # An older whylabel's filters never looked for other labels: with these, nothing is taken over.
        return self.inputs.filters.without_later_fields()

    def _decisions(self) -> int:
        from whylabel.reasonings.store import open_store

        if not self.run.store.exists():
            return 0
        with open_store(self.run.store) as store:
            return store.count_decisions()

    def _stage_two(self) -> list[object]:
        inputs, recipe = self.inputs, self.recipe
        return [
            _old_model_fingerprint(recipe.base_model), recipe.training.without_later_fields(),
            recipe.task.model_dump(),
            inputs.labels.names, recipe.prompt_style, recipe.data.max_text_tokens, FORMAT_VERSION, recipe.seed,
            inputs.data_fingerprints["validation"], recipe.classifier.calibration_rows,
            None if inputs.multi_label is None else recipe.classifier.negatives,
        ]  # fmt: skip

    def _content(self, stage: str) -> str:
        """Return the content hash that a stage recorded. Raises `KeyError` if the stage is not current."""
        if not self.is_current(stage):
            raise KeyError(stage)
        return str(self.stages[stage]["content"])


def _old_model_fingerprint(name: str) -> str:
    source = Path(find(name))
    if not source.exists():
        return model_fingerprint(name)  # a hub id and its commit, as today
    files = [source]
    if source.is_dir():
        files = sorted(
            file for pattern in _CONTENT for file in source.glob(pattern) if file.name != "README.md"
        )
    digest = hashlib.sha256()
    for file in files:
        with file.open("rb") as content:
            digest.update(file.name.encode() + hashlib.file_digest(content, "sha256").digest())
    return digest.hexdigest()
