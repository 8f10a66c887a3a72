"""The base class of all parts of the recipe: a frozen record that knows what each of its fields decides."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, Any, ClassVar, Literal, TypeVar

from pydantic import BaseModel, ConfigDict, model_validator

Effect = Literal["weights", "answers", "presentation", "execution"]
"""What a field decides, and so what runs again when it changes:

- `weights`: what is written and learnt: reasonings, the rows that are trained on, the training itself;
- `answers`: what a trained model answers, and the figures computed from its answers: calibration and evaluation;
- `presentation`: how a run is shown: nothing runs again, only the report is written again;
- `execution`: where, how fast and with how much memory something runs: nothing runs again.
"""


@dataclass(frozen=True, slots=True)
class Decides:
    """Mark a field that decides something different from most fields of its section."""

    effect: Effect


@dataclass(frozen=True, slots=True)
class Later:
    """Mark a field that was added later. With its default it is in no key, so that older runs stay current."""


T = TypeVar("T")
Weights = Annotated[T, Decides("weights")]
Answers = Annotated[T, Decides("answers")]
Presentation = Annotated[T, Decides("presentation")]
Execution = Annotated[T, Decides("execution")]


class Section(BaseModel):
    """A part of the recipe: frozen, and unknown keys are errors."""

    model_config = ConfigDict(extra="forbid", frozen=True, use_attribute_docstrings=True, allow_inf_nan=False)

    decides: ClassVar[Effect] = "weights"
    """What the fields without a mark decide."""
    short_for: ClassVar[str | None] = None
    """The field that gets the value if the section is given as a plain word (`engine: vllm`)."""

    @model_validator(mode="before")
    @classmethod
    def _empty_sections(cls, values: Any) -> Any:
        if cls.short_for is not None and isinstance(values, str):
            return {cls.short_for: values}
        # `training:` with all its lines commented out is null in YAML, and means the defaults.
        if not isinstance(values, dict):
            return values
        fields = cls.model_fields
        empty = {key for key, value in values.items() if value is None and key in fields}
        sections = {key for key in empty if is_section(fields[key].annotation)}
        return {key: value for key, value in values.items() if key not in sections}

    @classmethod
    def effect_of(cls, name: str) -> Effect:
        """Return what a field of this section decides."""
        marks = (item.effect for item in cls.model_fields[name].metadata if isinstance(item, Decides))
        return next(marks, cls.decides)

    def deciding(self, effect: Effect, prefix: str = "") -> dict[str, Any]:
        """Return the fields with this effect, those of nested sections included, as plain values by dotted key."""
        found: dict[str, Any] = {}
        plain = self.model_dump(mode="json")
        for name in type(self).model_fields:
            value = getattr(self, name)
            if self._says_nothing_new(name):
                continue
            if isinstance(value, Section):
                found |= value.deciding(effect, f"{prefix}{name}.")
            elif self.effect_of(name) == effect:
                found[f"{prefix}{name}"] = plain[name]
        return found

    def without_later_fields(self) -> dict[str, Any]:
        """Return the fields as plain values, without those that were added later and have their default."""
        return self.model_dump(
            exclude={name for name in type(self).model_fields if self._says_nothing_new(name)}
        )

    def _says_nothing_new(self, name: str) -> bool:
        field = type(self).model_fields[name]
        is_later = any(isinstance(mark, Later) for mark in field.metadata)
        return is_later and getattr(self, name) == field.get_default(call_default_factory=True)


def is_section(annotation: object) -> bool:
    """Return whether a field of this type is a section of its own."""
    return isinstance(annotation, type) and issubclass(annotation, Section)
