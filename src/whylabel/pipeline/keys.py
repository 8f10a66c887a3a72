"""What decides the outcome of each stage: its key.

A key holds everything that decides the stage's outputs, including the content of earlier stages. Each field of the
recipe says what it decides (`recipe/section.py`). Keys of writing and training stages hold the fields that decide
`weights`; keys of calibration and evaluation hold the fields that decide `answers`. Fields that decide `presentation`
or `execution` are in no key.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any, Literal

from whylabel.engines.choice import output_settings
from whylabel.errors import RunFolderError
from whylabel.host.atomic import as_written, read_json
from whylabel.models.decoding import decoding_settings
from whylabel.models.fingerprint import model_fingerprint
from whylabel.models.load import find
from whylabel.pipeline.fluency import limit_key
from whylabel.pipeline.inputs import Inputs
from whylabel.prediction.calibration import LEAST_ROWS
from whylabel.reasonings.masking import MASKING_VERSION
from whylabel.run_folder import RunFolder
from whylabel.text.hashes import fingerprint, rows_fingerprint
from whylabel.text.prompts import ENDPOINT_FORMAT, FORMAT_VERSION

Trained = Literal["baseline", "classifier"]

_VERBS = {
    "train-reasoner": "train-reasoner",
    "train-folds": "augment",
    "suspects": "augment",
    "augment": "augment",
    "train-baseline": "train",
    "train-classifier": "train",
    "calibrate-baseline": "train",
    "calibrate-classifier": "train",
}
_HASH_LENGTH = 64


@dataclass(frozen=True)
class Key:
    """Everything that decides a stage's outputs: fields of the recipe by dotted key, hashes of data by name."""

    parts: Mapping[str, Any]

    @cached_property
    def fingerprint(self) -> str:
        """SHA-256 (hex) of the parts."""
        return fingerprint(self.parts)

    def changes_from(self, old: Mapping[str, Any]) -> str:
        """Return the differences to an older key of the stage in words: `training.learning_rate 0.0001 -> 1e-05`."""
        new = json.loads(json.dumps(self.parts))
        names = [name for name in dict.fromkeys([*old, *new]) if old.get(name) != new.get(name)]
        return ", ".join(_change(name, old.get(name), new.get(name)) for name in names)


def _change(name: str, old: Any, new: Any) -> str:
    if any(isinstance(value, str) and len(value) == _HASH_LENGTH for value in (old, new)):
        return f"{name} changed"
    return f"{name} {old!r} -> {new!r}"


class StageNotCurrentError(RunFolderError):
    """A key depends on a stage that has not run, or ran with other settings or data."""

    def __init__(self, stage: str, what: str, *, where: str, fix: str) -> None:
        super().__init__(what, where=where, fix=fix)
        self.stage = stage


class StageKeys:
    """The keys of the stages over these inputs in this run folder.

    A key that depends on an earlier stage raises `StageNotCurrentError` unless that stage is done and current.
    """

    def __init__(self, inputs: Inputs, run: RunFolder) -> None:
        self.inputs = inputs
        self.recipe = inputs.recipe
        self.run = run

    def reasoner(self) -> Key:
        """Return the key of `train-reasoner`."""
        config = self.recipe.reasoner
        train, _ = self.inputs.reasoning_rows
        share = self.recipe.without_answer_share
        return Key(
            {
                "reasoner.base_model": model_fingerprint(config.base_model)
                if config.base_model
                else self.inputs.base_fingerprint,
                "reasoning rows": rows_fingerprint(train),
                **config.training.deciding("weights", "reasoner.training."),
                **({"reasoner.without_answer_share": share} if share else {}),
                "prompt_style": self.recipe.prompt_style,
                "format": FORMAT_VERSION,
                "seed": self.recipe.seed,
            }
        )

    def folds(self) -> Key:
        """Return the key of `train-folds`: it trains as `training` says, whatever `baseline.budget`."""
        return Key({"folds": self.recipe.augment.folds, **self._training()})

    def suspects(self) -> Key:
        """Return the key of `suspects`: what the baselines that find them depend on."""
        return Key({"augment.suspects.folds": self.recipe.augment.suspects.folds, **self._training()})

    def augment(self) -> Key:
        """Return the key of `augment`."""
        augment = self.recipe.augment
        judged = augment.verification.verifier is not None
        suspects = augment.suspects
        own = self.inputs.own_reasonings
        judging = augment.verification.deciding("weights", "augment.verification.")
        # The verifier's identity says it.
        judging.pop("augment.verification.folds", None)
        return Key(
            {
                **self.reasoner_settings(),
                "train rows": self.inputs.data_fingerprints["train"],
                # Without any there is no entry, so that older runs stay current.
                **({} if own is None else {"own reasonings": own}),
                **self.inputs.filters.deciding("weights", "augment.filters."),
                **limit_key(self.inputs, self.inputs.filters),
                "augment.sampling.max_new_tokens": augment.sampling.max_new_tokens,
                "augment.candidates": augment.candidates,
                "augment.condition": augment.condition,
                **(judging if judged else {}),
                "verifier": self.verifier(),
                "decisions": self._decisions(),
                "suspects left out": self._content("suspects", self.suspects())
                if suspects.folds and suspects.exclude
                else None,
            }
        )

    def baseline(self) -> Key:
        """Return the key of `train-baseline`."""
        budget = self.recipe.baseline.budget
        if budget == "same":
            return Key(self._training())
        self._content("train-classifier", self.classifier())
        return Key({**self._training(), "baseline.budget": matched_budget(self.run, budget)})

    def classifier(self) -> Key:
        """Return the key of `train-classifier`."""
        config = self.recipe.classifier
        parts = {**self._training(), **config.deciding("weights", "classifier.")}
        if self.inputs.multi_label is None:
            parts.pop("classifier.negatives")
        if config.target != "label":
            parts["reasonings"] = self._content("augment", self.augment())
        if config.self_training_rounds > 0:
            parts |= self.inputs.filters.deciding("weights", "augment.filters.")
            parts["classifier.max_reasoning_tokens"] = config.max_reasoning_tokens
        return Key(parts)

    def training(self, name: Trained) -> Key:
        """Return the key of `train-baseline` or `train-classifier`."""
        return self.baseline() if name == "baseline" else self.classifier()

    def calibration(self, name: Trained) -> Key:
        """Return the key of `calibrate-baseline` or `calibrate-classifier`."""
        config = self.recipe.classifier
        rows = config.calibration_rows
        used = min(len(self.inputs.dataset.validation), rows) >= LEAST_ROWS
        answers = {"classifier.calibration_rows": rows}
        folder = self.run.baseline_model
        if name == "classifier":
            answers = config.deciding("answers", "classifier.") | limit_key(self.inputs, config.filters)
            folder = self.run.classifier_model
        return Key(
            {
                "model": self._content(f"train-{name}", self.training(name)),
                "validation rows": self.inputs.data_fingerprints["validation"] if used else None,
                **answers,
                "seed": self.recipe.seed,
                **decoding_settings(str(folder)),
            }
        )

    def evaluate(self) -> Key:
        """Return the key of `evaluate`."""
        config = self.recipe.evaluation
        return Key(
            {
                "baseline": self._content("calibrate-baseline", self.calibration("baseline")),
                "classifier": self._content("calibrate-classifier", self.calibration("classifier")),
                # Floors and rivals learn from the train rows.
                "train rows": self.inputs.data_fingerprints["train"] if config.learn_from_train else None,
                "test rows": self.inputs.data_fingerprints["test"],
                **self._thresholds_of_others(),
                **config.deciding("answers", "evaluation."),
                **(
                    {"slice columns": fingerprint(self.inputs.slice_cells)}
                    if self.inputs.slice_columns
                    else {}
                ),
                "seed": self.recipe.seed,
            }
        )

    def _thresholds_of_others(self) -> dict[str, Any]:
        """Return from what floors and rivals learn thresholds, if texts may have several labels."""
        if self.inputs.multi_label is None or not self.recipe.evaluation.learn_from_train:
            return {}
        return {"validation rows": self.inputs.data_fingerprints["validation"]}

    def reasoner_settings(self) -> dict[str, Any]:
        """Return everything that changes a reasoning, except the row and the token limit.

        An endpoint is identified by its model's name, not its URL.
        """
        config = self.recipe.reasoner
        if config.endpoint is not None:
            return self.settings_of(f"endpoint:{config.model}")
        if config.model is None and not self.inputs.trains_reasoner:
            return self.settings_of("none")
        if config.model is not None:
            identity, source = model_fingerprint(config.model), find(config.model)
        else:
            identity = self._content("train-reasoner", self.reasoner())
            source = str(self.run.reasoner_model)
        return {**self.settings_of(identity[:16]), **decoding_settings(source)}

    def settings_of(self, reasoner: str) -> dict[str, Any]:
        """Return the settings of reasonings that the reasoner with this identity writes."""
        config = self.recipe.reasoner
        # An endpoint gets whole texts. Without a limit there is no entry, so that older rows stay valid.
        limit = self.recipe.data.max_text_tokens if config.endpoint is None else None
        sampling = self.recipe.augment.sampling
        drawn = {"top_p": sampling.top_p, "seed": self.recipe.seed}
        return {
            "reasoner": reasoner,
            "prompt_style": self.recipe.prompt_style if config.endpoint is None else "chat",
            "question": self.recipe.task.question,
            "format": FORMAT_VERSION,
            **({} if config.endpoint is None else self._told_to_endpoint()),
            **({} if limit is None else {"max_text_tokens": limit}),
            "temperature": sampling.temperature,
            **(drawn if sampling.temperature > 0 else {}),
            **output_settings(self.recipe),
        }

    def _told_to_endpoint(self) -> dict[str, Any]:
        """Return what an endpoint is told beside the row: answers and examples by their content."""
        told = self.inputs.briefing
        examples = [(row.text, row.label, row.reasoning) for row in told.examples]
        return {
            "endpoint format": ENDPOINT_FORMAT,
            "possible answers": fingerprint(told.labels)[:16],
            "examples shown": fingerprint(examples)[:16] if examples else None,
        }

    def verifier(self) -> str | None:
        """Return a hash of what a verdict depends on besides the reasoning; None if there is no verifier."""
        name = self.recipe.augment.verification.verifier
        if name is None:
            return None
        if name == "baseline":
            model = self._content("train-folds", self.folds())
        else:
            model = self.inputs.base_fingerprint if name == "base" else model_fingerprint(name)
        recipe, task = self.recipe, self.recipe.task
        return fingerprint(
            model, task.question, task.name, self.inputs.labels.names, recipe.prompt_style,
            recipe.data.max_text_tokens, FORMAT_VERSION, MASKING_VERSION,
        )  # fmt: skip

    def _decisions(self) -> str | int:
        """Return a digest of people's decisions about this run's reasonings: a new decision sorts them again."""
        from whylabel.reasonings.store import open_store

        if not self.run.store.exists():
            return 0
        with open_store(self.run.store) as store:
            return store.decisions_digest() or 0

    def _training(self) -> dict[str, Any]:
        """Return what both trainings, of classifier and baseline, depend on."""
        inputs, recipe, task = self.inputs, self.recipe, self.recipe.task
        several = {
            "task.label_separator": task.label_separator,
            "classifier.negatives": recipe.classifier.negatives,
        }
        selects = recipe.training.selection.steps is not None
        return {
            "base_model": inputs.base_fingerprint,
            "train rows": inputs.data_fingerprints["train"],
            "labels": list(inputs.labels.names),
            "task.type": task.type,
            "task.question": task.question,
            "task.name": task.name,
            **(several if inputs.multi_label else {}),
            "prompt_style": recipe.prompt_style,
            "data.max_text_tokens": recipe.data.max_text_tokens,
            **recipe.training.deciding("weights", "training."),
            # The validation rows choose the weights that are kept.
            "validation rows": inputs.data_fingerprints["validation"] if selects else None,
            "format": FORMAT_VERSION,
            "seed": recipe.seed,
        }

    def _content(self, stage: str, key: Key) -> str:
        """Return the recorded content hash of an earlier stage, which must be done and current."""
        if not self.run.is_current(stage, key.fingerprint):
            known = self.run.stage(stage).get("status") == "done"
            state = "was made with other settings or data" if known else "has not been run"
            raise StageNotCurrentError(
                stage,
                f"The stage before this one, {stage}, {state}.",
                where=str(self.run.path),
                fix=f"run it first: whylabel {_VERBS[stage]} RECIPE, or all stages: whylabel run RECIPE",
            )
        return self.run.content(stage)


def matched_budget(run: RunFolder, budget: str) -> dict[str, Any]:
    """Return the limit for the baseline's training that equals what the classifier's training took.

    Rounds of self-training count, too. `budget` is `matched_steps` or `matched_flops`.
    """
    spent = read_json(run.classifier_metrics, dict)
    with as_written(run.classifier_metrics):
        trainings = [spent, *spent.get("self_training", [])]
        if budget == "matched_steps":
            return {"max_steps": sum(one["steps"] for one in trainings)}
        return {"max_train_flops": sum(one["flops"] for one in trainings)}
