"""What all parts of the recipe are: frozen records that know their fields."""

from __future__ import annotations

from typing import Any, ClassVar

from pydantic import BaseModel, ConfigDict, model_validator


class Section(BaseModel):
    """A part of the recipe: frozen, and unknown keys are errors."""

    model_config = ConfigDict(extra="forbid", frozen=True, use_attribute_docstrings=True, allow_inf_nan=False)

    short_for: ClassVar[str | None] = None
    """The field that is meant where a plain word stands in the section's place (`engine: vllm`)."""

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


def is_section(annotation: object) -> bool:
    """Return whether a field of this type is a section of its own."""
    return isinstance(annotation, type) and issubclass(annotation, Section)
