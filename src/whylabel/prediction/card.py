"""The content of `whylabel.json` in a trained model: everything that prediction needs besides the weights."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np

from whylabel.errors import ModelError
from whylabel.models.load import PROMPT_FORMAT, check_prompt_format
from whylabel.prediction.calibration import Calibration, Floats
from whylabel.prediction.multi_label import MultiLabel
from whylabel.recipe import ShownConfig
from whylabel.text.labels import LabelSet
from whylabel.text.prompts import FORMAT_VERSION, PromptStyle
from whylabel.types import Form, Mode, Target
from whylabel.version import __version__

MODES: dict[Target, tuple[Mode, ...]] = {
    "label": ("fast",),
    "reasoning_label": ("reasoned", "vote"),
    "label_reasoning": ("fast",),
    "dual": ("fast", "reasoned", "vote"),
    "multi_task": ("fast",),
}
"""The modes of each target, the default first. A calibrated `dual` model also has `adaptive` and `blend`."""


CHOSEN_ON_VALIDATION: tuple[Mode, ...] = ("adaptive", "blend")
CALIBRATED = (
    "modes",
    "calibration",
    "thresholds",
    "vote",
    "max_reasoning_tokens",
)
"""The entries of `whylabel.json` that calibration writes: how a trained model answers."""
CALIBRATED_LATER = ("reasoning_filters", "reasoning_attempts")
"""Those that cards of older versions do not have."""
DESCRIBING = ("whylabel", "lineage", "label_descriptions", "columns", "capabilities", PROMPT_FORMAT)
"""The entries that change no answer: where a model and its data come from, what it computes right, its text formats.

Models of earlier versions may have `label_descriptions`, and no `prompt_format`.
"""
REASONS: tuple[Mode, ...] = ("reasoned", "vote", "blend")
"""The modes that write a reasoning for every text."""

WRITING: tuple[Mode, ...] = (*REASONS, "adaptive")
"""The modes that write a reasoning for some texts."""


@dataclass(frozen=True, slots=True)
class Vote:
    """How mode `vote` samples: the same seed, texts and batches give the same reasonings."""

    reasonings: int = 5
    temperature: float = 0.7
    seed: int = 13


@dataclass(frozen=True, slots=True)
class TrainingColumns:
    """The columns that the model's training data had, named or recognised."""

    text: str
    label: str | None = None
    id: str | None = None


@dataclass(frozen=True, slots=True)
class ModelCard:
    """The content of `whylabel.json`; the first of `modes` is the default."""

    labels: LabelSet
    target: Target
    question: str
    name: str
    prompt_style: PromptStyle
    max_text_tokens: int
    max_reasoning_tokens: int
    lineage: dict[str, Any]
    modes: tuple[Mode, ...]
    calibration: Calibration = field(default_factory=Calibration)
    vote: Vote = field(default_factory=Vote)
    filters: ShownConfig = field(default_factory=ShownConfig)
    """Which reasonings are shown."""
    reasoning_attempts: int = 1
    """How many reasonings are drawn at most, until one may be shown."""
    multi_label: MultiLabel | None = None
    """How labels are decided if a text may have several; None: each text has one label."""
    columns: TrainingColumns | None = None
    """None if the model was trained on texts without columns, or before columns were recorded."""
    capabilities: dict[str, Any] | None = None
    """What the model computes right for several rows at once, as it was tried out before the training."""

    @property
    def mode(self) -> Mode:
        """The mode in which the model answers by default."""
        return self.modes[0]

    @property
    def explaining_mode(self) -> Mode:
        """The first mode that writes a reasoning, else the default mode."""
        return next((mode for mode in self.modes if mode in REASONS), self.mode)

    @property
    def label_form(self) -> Form:
        """The format in which it is asked for a label at once."""
        return "label_reasoning" if self.target == "label_reasoning" else "label"

    def compares(self, mode: Mode) -> bool:
        """Return whether predictions in a mode say if the model would label otherwise without a reasoning."""
        return mode in WRITING and "fast" in self.modes

    @property
    def is_calibrated(self) -> bool:
        """Whether its probabilities were fitted to validation rows."""
        return bool(self.calibration.temperatures)

    def calibrated(self, calibration: Calibration, mode: Mode) -> ModelCard:
        """Return the card with a calibration, the modes that it makes possible, and the default mode."""
        can = tuple(mode for mode in MODES[self.target] if mode in self.modes)
        if calibration.blend_weight is not None:
            can += CHOSEN_ON_VALIDATION
        modes = (mode, *(other for other in can if other != mode))
        return replace(self, calibration=calibration, modes=modes)

    def answer(self, mode: Mode, log_scores: Floats) -> tuple[str, Floats]:
        """Return the label that follows from a mode's scores of a text, and the probability of each label."""
        if self.multi_label is not None:
            return self.multi_label.answer(self.labels, log_scores)
        probabilities = np.exp(self.calibration.log_probabilities(mode, log_scores))
        return self.labels.names[int(probabilities.argmax())], probabilities

    def log_probability(self, mode: Mode, log_scores: Floats, label: str) -> float:
        """Return the natural logarithm of the probability that a text's scores in a mode give to a label.

        If each label is decided separately, it is that of all decisions together.
        """
        if self.multi_label is not None:
            return self.multi_label.log_probability(self.labels, log_scores, label)
        return float(self.calibration.log_probabilities(mode, log_scores)[self.labels.index(label)])

    def check_abstaining(self) -> None:
        """Raise `ModelError` if the model cannot abstain, because it decides each label separately."""
        if self.multi_label is not None:
            raise ModelError(
                "A model that decides each label separately cannot abstain.",
                fix="do not ask it to abstain: if no label reaches its threshold, it gives none",
            )

    def check_mode(self, mode: Mode) -> None:
        """Raise `ModelError` if the model does not have the mode."""
        if mode not in self.modes:
            raise _cannot("This model", mode, self.modes, self.target)

    def to_json(self) -> dict[str, Any]:
        """Return the content of `whylabel.json`."""
        return {
            "format": 1,
            "whylabel": __version__,
            "task": self._task(),
            "labels": list(self.labels.names),
            "target": self.target,
            "modes": list(self.modes),
            "calibration": self.calibration.to_json(),
            "thresholds": self.multi_label.to_json(self.labels) if self.multi_label else None,
            "vote": asdict(self.vote) if "vote" in self.modes else None,
            "prompt_style": self.prompt_style,
            PROMPT_FORMAT: FORMAT_VERSION,
            "max_text_tokens": self.max_text_tokens,
            "max_reasoning_tokens": self.max_reasoning_tokens,
            "reasoning_filters": self.filters.model_dump(mode="json"),
            "reasoning_attempts": self.reasoning_attempts,
            "columns": asdict(self.columns) if self.columns else None,
            **({"capabilities": self.capabilities} if self.capabilities else {}),
            "lineage": self.lineage,
        }

    def _task(self) -> dict[str, str]:
        task = {"type": "single_label", "question": self.question, "name": self.name}
        if self.multi_label is None:
            return task
        return {**task, "type": "multi_label", "label_separator": self.multi_label.separator.text}

    @classmethod
    def from_json(cls, card: dict[str, Any], where: Path) -> ModelCard:
        """Read `whylabel.json`.

        Raises `ModelError` if it does not describe a classifier, or one that was trained on other text formats.
        """
        check_prompt_format(card, where)
        try:
            labels = LabelSet(tuple(card["labels"]))
            return cls(
                labels=labels,
                target=card["target"],
                question=card["task"]["question"],
                name=card["task"]["name"],
                prompt_style=card["prompt_style"],
                max_text_tokens=int(card["max_text_tokens"]),
                max_reasoning_tokens=int(card["max_reasoning_tokens"]),
                lineage=dict(card["lineage"]),
                modes=tuple(card["modes"]) or MODES[card["target"]],
                calibration=Calibration.from_json(card["calibration"]),
                vote=Vote(**(card.get("vote") or {})),
                filters=ShownConfig(**(card.get("reasoning_filters") or {})),
                reasoning_attempts=int(card.get("reasoning_attempts") or 1),
                multi_label=_multi_label(card, labels),
                columns=TrainingColumns(**card["columns"]) if card.get("columns") else None,
                capabilities=card.get("capabilities"),
            )
        except (KeyError, TypeError, ValueError, AttributeError) as error:
            raise ModelError(
                f"This model is not a classifier: whylabel.json has no usable {error}.",
                where=str(where),
                fix="name a run folder, or its classifier/model or baseline/model",
            ) from None


def _multi_label(card: dict[str, Any], labels: LabelSet) -> MultiLabel | None:
    if card["task"].get("type") != "multi_label":
        return None
    return MultiLabel.from_json(card["task"]["label_separator"], card["thresholds"], labels)


def check_modes(target: Target, modes: Iterable[Mode]) -> None:
    """Raise `ModelError` if a model of the target can never answer in one of the modes."""
    can = (*MODES[target], *(CHOSEN_ON_VALIDATION if target == "dual" else ()))
    for mode in modes:
        if mode not in can:
            raise _cannot(f"A model of target {target}", mode, can, target)


def _cannot(who: str, mode: Mode, can: Sequence[Mode], target: Target) -> ModelError:
    fix = f"choose one of them, or train with classifier.target: {_TARGET_OF[mode]}"
    if target == "dual" and mode in CHOSEN_ON_VALIDATION:
        fix = "train with 20 validation rows or more, on which its threshold or weight is chosen"
    elif target == "dual":
        fix = "train it with reasonings: augment kept none, and augment/dropped.parquet says why"
    return ModelError(f"{who} cannot answer in mode {mode!r}. It can: {', '.join(can)}.", fix=fix)


_TARGET_OF: dict[Mode, str] = {
    "fast": "dual (or label)",
    "reasoned": "dual (or reasoning_label)",
    "vote": "dual (or reasoning_label)",
    "adaptive": "dual",
    "blend": "dual",
}
