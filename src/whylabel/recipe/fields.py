"""Every field of the recipe with its doc string as its explanation: `whylabel recipe` prints these."""

from __future__ import annotations

import types
import typing
from collections.abc import Iterator
from typing import Literal

import yaml

from whylabel.recipe.recipe import Recipe
from whylabel.recipe.section import Section, is_section


def reference() -> Iterator[tuple[str, str, str, str]]:
    """Yield (dotted key, type, default, help) for every field of the recipe, in order."""
    yield from _reference(Recipe, "")


def _reference(section: type[Section], prefix: str) -> Iterator[tuple[str, str, str, str]]:
    for name, field in section.model_fields.items():
        key = f"{prefix}{name}"
        description = " ".join((field.description or "").split())
        if is_section(field.annotation):
            yield key, "section", "", description
            yield from _reference(typing.cast(type[Section], field.annotation), f"{key}.")
        else:
            default = "null" if field.default is None else _plain(field.default)
            yield key, _type_name(field.annotation), default, description


def _plain(value: object) -> str:
    return yaml.safe_dump(value, default_flow_style=True).removesuffix("\n...\n").strip()


def _type_name(annotation: object) -> str:
    origin = typing.get_origin(annotation)
    arguments = typing.get_args(annotation)
    if origin is Literal:
        return " | ".join(str(value) for value in arguments)
    if origin is types.UnionType or origin is typing.Union:
        return " | ".join(_type_name(item) for item in arguments)
    if origin is not None:
        return f"{origin.__name__}[{', '.join(_type_name(item) for item in arguments)}]"
    return "null" if annotation is type(None) else getattr(annotation, "__name__", str(annotation))
