"""What decides the outcome of each stage, as one fingerprint: its key.

A key covers everything that decides the stage's outputs, the content of the stages before it included.
"""

from __future__ import annotations

from typing import Any

from whylabel.data import fingerprint as data_fingerprint
from whylabel.engines.choice import output_settings
from whylabel.errors import RunFolderError
from whylabel.models.load import model_fingerprint
from whylabel.pipeline.inputs import Inputs
from whylabel.reasonings.masking import MASKING_VERSION
from whylabel.run_folder import RunFolder, fingerprint
from whylabel.text.prompts import FORMAT_VERSION

_VERBS = {
    "train-reasoner": "train-reasoner",
    "suspects": "augment",
    "augment": "augment",
    "train-baseline": "train",
    "train-classifier": "train",
}


class StageKeys:
    """The keys of the stages over these inputs in this run folder.

    A key that depends on an earlier stage raises `RunFolderError` where that one is not done and current.
    """

    def __init__(self, inputs: Inputs, run: RunFolder) -> None:
        self.inputs = inputs
        self.recipe = inputs.recipe
        self.run = run

    def reasoner(self) -> str:
        """Return the key of `train-reasoner`."""
        config = self.recipe.reasoner
        base = model_fingerprint(config.base_model) if config.base_model else self.inputs.base_fingerprint
        train, held_out = self.inputs.reasoning_rows
        rows = data_fingerprint([*train, *held_out])
        sampling = self.recipe.augment.sampling.max_new_tokens
        return fingerprint(
            base, rows, config.training.model_dump(), self.recipe.prompt_style, FORMAT_VERSION,
            self.recipe.seed, sampling,
        )  # fmt: skip

    def suspects(self) -> str:
        """Return the key of `suspects`: its baselines are trained as the recipe says, whatever `baseline.budget`."""
        train = self.inputs.data_fingerprints["train"]
        return fingerprint(self.recipe.augment.suspects.folds, "label", self._stage_two(), train)

    def augment(self) -> str:
        """Return the key of `augment`."""
        augment = self.recipe.augment
        return fingerprint(
            self.reasoner_settings(), self.inputs.data_fingerprints["train"], self.inputs.filters.model_dump(),
            augment.sampling.max_new_tokens, augment.candidates, augment.condition,
            augment.verification.model_dump(), self.verifier(), self._decisions(),
            augment.suspects.model_dump() if augment.suspects.exclude else None, *self._left_out(),
        )  # fmt: skip

    def baseline(self) -> str:
        """Return the key of `train-baseline`."""
        budget = self.recipe.baseline.budget
        if budget == "same":
            return fingerprint("label", self._stage_two(), self.inputs.data_fingerprints["train"])
        spent = self._content("train-classifier", self.classifier())
        return fingerprint("label", self._stage_two(), self.inputs.data_fingerprints["train"], budget, spent)

    def classifier(self) -> str:
        """Return the key of `train-classifier`."""
        rows = [self.inputs.data_fingerprints["train"]]
        if self.recipe.classifier.target != "label":
            rows.append(self._content("augment", self.augment()))
        if self.recipe.classifier.self_training_rounds > 0:
            rows.append(fingerprint(self.inputs.filters.model_dump()))
        return fingerprint(self.recipe.classifier.model_dump(), self._stage_two(), rows)

    def evaluate(self) -> str:
        """Return the key of `evaluate`."""
        return fingerprint(
            self._content("train-baseline", self.baseline()),
            self._content("train-classifier", self.classifier()),
            self.inputs.data_fingerprints["train"],
            self.inputs.data_fingerprints["test"],
            self.recipe.evaluation.model_dump(),
            self.recipe.seed,
        )

    def reasoner_settings(self) -> dict[str, Any]:
        """Return everything but the row and the token limit that changes a reasoning.

        An endpoint counts by its model's name, not its URL.
        """
        config, style = self.recipe.reasoner, self.recipe.prompt_style
        if config.endpoint is not None:
            model, style = f"endpoint:{config.model}", "chat"
        elif config.model is not None:
            model = model_fingerprint(config.model)[:16]
        else:
            model = self._content("train-reasoner", self.reasoner())[:16]
        # An endpoint is sent whole texts. Without a limit nothing is said of it: older rows stay valid.
        limit = self.recipe.data.max_text_tokens if config.endpoint is None else None
        sampling = self.recipe.augment.sampling
        drawn = {"top_p": sampling.top_p, "seed": self.recipe.seed}
        return {
            "reasoner": model,
            "prompt_style": style,
            "question": self.recipe.task.question,
            "format": FORMAT_VERSION,
            **({} if limit is None else {"max_text_tokens": limit}),
            "temperature": sampling.temperature,
            **(drawn if sampling.temperature > 0 else {}),
            **output_settings(self.recipe),
        }

    def verifier(self) -> str | None:
        """Return what a verdict depends on besides the reasoning; None where nobody judges."""
        name = self.recipe.augment.verification.verifier
        if name is None:
            return None
        if name == "baseline":
            model = self._content("train-baseline", self.baseline())
        else:
            model = self.inputs.base_fingerprint if name == "base" else model_fingerprint(name)
        recipe, task = self.recipe, self.recipe.task
        return fingerprint(
            model, task.question, task.name, self.inputs.labels.names, recipe.prompt_style,
            recipe.data.max_text_tokens, FORMAT_VERSION, MASKING_VERSION,
        )  # fmt: skip

    def _left_out(self) -> list[str]:
        """Return what `suspects` has listed where such rows are left out: a new list sorts the others anew."""
        suspects = self.recipe.augment.suspects
        return [self._content("suspects", self.suspects())] if suspects.folds and suspects.exclude else []

    def _decisions(self) -> int:
        """How much people have decided about this run's reasonings: a new decision sorts them anew."""
        from whylabel.reasonings.store import open_store

        if not self.run.store.exists():
            return 0
        with open_store(self.run.store) as store:
            return store.count_decisions()

    def _stage_two(self) -> list[object]:
        """Return what classifier and baseline both depend on."""
        inputs, recipe = self.inputs, self.recipe
        return [
            inputs.base_fingerprint, recipe.training.model_dump(), recipe.task.model_dump(), inputs.labels.names,
            recipe.prompt_style, recipe.data.max_text_tokens, FORMAT_VERSION, recipe.seed,
            inputs.data_fingerprints["validation"], recipe.classifier.calibration_rows,
            None if inputs.multi_label is None else recipe.classifier.negatives,
        ]  # fmt: skip

    def _content(self, stage: str, key: str) -> str:
        """Return the recorded content hash of a stage before this one, which must be done and current."""
        if not self.run.is_current(stage, key):
            known = self.run.read_manifest().get("stages", {}).get(stage, {}).get("status") == "done"
            state = "was made with other settings or data" if known else "has not been run"
            raise RunFolderError(
                f"The stage before this one, {stage}, {state}.",
                where=str(self.run.path),
                fix=f"run it first: whylabel {_VERBS[stage]} RECIPE, or all stages: whylabel run RECIPE",
            )
        return str(self.run.read_manifest()["stages"][stage]["content"])
