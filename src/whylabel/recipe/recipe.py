"""The recipe itself: its sections, and which settings exclude each other."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Literal

import yaml
from pydantic import Field, model_validator

from whylabel.recipe.augment import AugmentConfig
from whylabel.recipe.classifier import BaselineConfig, ClassifierConfig, EvaluationConfig
from whylabel.recipe.data import DataConfig, TaskConfig
from whylabel.recipe.reasoner import ReasonerConfig
from whylabel.recipe.section import Execution, Presentation, Section
from whylabel.recipe.training import ClassifierTrainingConfig

_WITHOUT_ANSWER = 0.5


class Recipe(Section):
    """Everything that decides a run."""

    name: Presentation[str] = Field("run", pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]*$")
    """Name of the run; its folder is `runs/NAME` unless --output says otherwise."""
    seed: int = Field(13, ge=0, lt=2**32)
    """Seed of splits, data order, training and sampling."""
    base_model: str = "smollm2-135m-instruct"
    """The model that is fine-tuned: the default model, a hub id, a local folder or a GGUF file of a causal LM."""
    prompt_style: Literal["compact", "chat"] = "compact"
    """`compact`: whylabel's own short format, with far fewer tokens; `chat`: the model's chat template."""
    device: Execution[str] = "auto"
    """`auto`, `cpu`, `cuda` or a torch device name."""
    task: TaskConfig = TaskConfig()
    """The question and the labels."""
    data: DataConfig = DataConfig()
    """The labelled texts."""
    reasoner: ReasonerConfig = ReasonerConfig()
    """Stage 1."""
    augment: AugmentConfig = AugmentConfig()
    """Stage 2a."""
    training: ClassifierTrainingConfig = ClassifierTrainingConfig()
    """How classifier and baseline are trained: the same for both, so that they can be compared."""
    classifier: ClassifierConfig = ClassifierConfig()
    """Stage 2b."""
    baseline: BaselineConfig = BaselineConfig()
    """What the classifier is compared with."""
    evaluation: EvaluationConfig = EvaluationConfig()
    """The comparison."""

    @property
    def without_answer_share(self) -> float:
        """The share of stage 1's training rows whose prompt shows no answer."""
        share = self.reasoner.without_answer_share
        if share is None:
            return 0.0 if self.augment.condition == "label" else _WITHOUT_ANSWER
        return share

    @model_validator(mode="after")
    def _one_source_of_reasonings(self) -> Recipe:
        if self.reasoner.endpoint is None:
            return self
        engine = self.augment.engine.name
        if engine not in ("auto", "openai"):
            raise ValueError(
                f"reasoner.endpoint is served by the engine openai, and augment.engine is {engine!r}: "
                "remove one of them"
            )
        twice = sorted({"base_url", "model"} & set(self.augment.engine_options))
        if twice:
            raise ValueError(
                f"augment.engine_options gives {' and '.join(twice)}, which reasoner.endpoint and reasoner.model "
                "give already: leave them out"
            )
        return self

    @model_validator(mode="after")
    def _fits_several_labels(self) -> Recipe:
        if self.task.type == "multi_label":
            for key, holds, instead in self._for_one_label_only():
                if holds:
                    raise ValueError(f"task.type: multi_label does not allow {key}: {instead}")
        return self

    def _for_one_label_only(self) -> Iterator[tuple[str, bool, str]]:
        """Yield (a setting that only single-label tasks have, whether the recipe sets it, what to do instead)."""
        target, training, augment = self.classifier.target, self.training, self.augment
        targets = "set classifier.target to label or multi_task"
        yield f"classifier.target: {target}", target not in ("label", "multi_task"), targets
        yield "training.class_weight", training.class_weight is not None, "leave it out"
        yield "training.balanced_sampling", training.balanced_sampling, "leave it out"
        yield "augment.verification.verifier", augment.verification.verifier is not None, "leave it out"
        yield "the filter contradiction", "contradiction" in augment.filters.names, "leave it out"
        yield "augment.suspects.folds", augment.suspects.folds is not None, "leave it out"

    def to_yaml(self) -> str:
        """Return the resolved recipe as YAML, in the order of the fields."""
        return yaml.safe_dump(self.model_dump(mode="json"), sort_keys=False, allow_unicode=True)
