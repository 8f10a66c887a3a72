"""Read a recipe from a YAML file and `key=value` overrides, and turn what is wrong with them into a plain message."""

from __future__ import annotations

import re
import typing
from collections.abc import Mapping, Sequence
from datetime import date
from pathlib import Path
from typing import Any

import yaml
from pydantic import ValidationError
from yaml.error import MarkedYAMLError

from whylabel.errors import RecipeError, unknown_name
from whylabel.recipe.recipe import Recipe
from whylabel.recipe.section import Section, is_section
from whylabel.recipe.shipped import shipped_recipes
from whylabel.recipe.values import MOST_LEVELS, check_values

_LARGEST_FILE = 2**20
_LONGEST_SHOWN = 200
_OVERRIDE = "for example: training.learning_rate=1e-5"
_WRITE = "write one with: whylabel init DATA"
_QUOTE = "correct that line: indent with blanks, close quotes and brackets, put texts with : # @ % in quotes"
# PyYAML reads values with Python's own functions and does not catch the errors that they raise.
_NO_VALUE = (ValueError, KeyError, AttributeError, IndexError, OverflowError, TypeError)


class _Loader(yaml.SafeLoader):
    """A YAML loader that refuses repeated keys, which would lose a setting, and reports where a value is invalid."""

    def compose_mapping_node(self, anchor: Any) -> yaml.MappingNode:
        mapping = super().compose_mapping_node(anchor)
        first: dict[object, yaml.Mark] = {}
        for key, _ in mapping.value:
            before = first.setdefault((key.tag, str(key.value)), key.start_mark)
            if before is not key.start_mark:
                what = f"the key {key.value!r} occurs twice, first in line {before.line + 1}: remove one"
                raise MarkedYAMLError(problem=what, problem_mark=key.start_mark)
        return mapping

    def flatten_mapping(self, node: yaml.MappingNode) -> None:
        super().flatten_mapping(node)
        # A key that several merges (`<<`) add is kept once; otherwise a few lines of merges could fill the memory.
        merged = {(key.tag, str(key.value)): (key, value) for key, value in node.value}
        node.value = list(merged.values())

    def construct_object(self, node: yaml.Node, deep: bool = False) -> Any:
        try:
            return super().construct_object(node, deep)
        except _NO_VALUE as error:
            value = _shortened(repr(node.value)) if isinstance(node, yaml.ScalarNode) else "this"
            kind = node.tag.rpartition(":")[2].replace("timestamp", "date")
            raise MarkedYAMLError(
                problem=f"{value} is not a valid {kind} ({_shortened(str(error))}): put it in quotes",
                problem_mark=node.start_mark,
            ) from None


def load_recipe(path: str | Path, overrides: Sequence[str] = ()) -> Recipe:
    """Read a recipe and apply `key=value` overrides with dots (`training.learning_rate=1e-5`).

    `path` is a file, or else the name of a recipe that comes with whylabel (`quickstart`).

    Raises `RecipeError` if the file cannot be read, a key is unknown or a value does not fit.
    """
    path = Path(path)
    shipped = shipped_recipes().get(str(path))
    if shipped is not None and not path.is_file():
        path = shipped
    values = _parsed(_text(path), path)
    if values is None:
        values = {}
    if not isinstance(values, dict):
        raise RecipeError("A recipe is a YAML mapping of keys to values.", where=str(path), fix=_WRITE)
    values.setdefault("name", name_from(path.stem))
    return build_recipe(with_overrides(values, overrides), where=str(path))


def name_from(text: str) -> str:
    """Return a name for a run that is as close to the text as names can be."""
    return re.sub(r"[^A-Za-z0-9._-]+", "-", text).strip("-._") or "run"


def with_overrides(values: dict[str, Any], overrides: Sequence[str]) -> dict[str, Any]:
    """Return the values, changed in place by `key=value` overrides.

    Raises `RecipeError` if an override is not of that form.
    """
    for override in overrides:
        _apply(values, override)
    return values


def _text(path: Path) -> str:
    try:
        with path.open("rb") as file:
            content = file.read(_LARGEST_FILE + 1)
        if len(content) > _LARGEST_FILE:
            raise RecipeError(
                "The file is too large for a recipe: it has more than 1 MiB.", where=str(path), fix=_WRITE
            )
        return content.decode("utf-8-sig")
    except FileNotFoundError:
        raise RecipeError(
            f"There is no recipe at {str(path)!r}.",
            fix=f"check the path, name one that comes with whylabel ({', '.join(shipped_recipes())}), or write one "
            "with: whylabel init DATA",
        ) from None
    except IsADirectoryError:
        raise RecipeError(
            "This is a folder, but a recipe is a YAML file.", where=str(path), fix="name the file"
        ) from None
    except (OSError, ValueError) as error:
        fix = "save it as text in UTF-8, and check the path and its rights"
        raise RecipeError(f"The recipe cannot be read: {error}.", where=str(path), fix=fix) from None


def _parsed(text: str, path: Path) -> Any:
    try:
        return yaml.load(text, _Loader)  # noqa: S506 - a SafeLoader
    except RecursionError:
        fix = "no recipe needs so many levels: close brackets, and look at the indents"
        raise RecipeError("The recipe is nested too deeply.", where=str(path), fix=fix) from None
    except yaml.YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        line = f"{path}, line {mark.line + 1}" if mark else str(path)
        problem = getattr(error, "problem", None) or str(error).replace("\n", " ")
        raise RecipeError(f"The recipe is not valid YAML: {problem}.", where=line, fix=_QUOTE) from None


def build_recipe(values: Mapping[str, Any], *, where: str = "recipe") -> Recipe:
    """Return the recipe with these nested plain values. Raises `RecipeError` naming the first wrong key."""
    try:
        check_values(values)
    except ValueError as error:
        fix = "give it another value; where it names a file, rename the file"
        raise RecipeError(f"{error}.", where=where, fix=fix) from None
    try:
        return Recipe.model_validate(values)
    except ValidationError as error:
        raise _readable(error, where) from None


def override_recipe(recipe: Recipe, **values: object) -> Recipe:
    """Return the recipe with values replaced; keys use two underscores for dots (`data__train_rows=8`)."""
    nested = recipe.model_dump(mode="python")
    for key, value in values.items():
        *parents, last = key.split("__")
        target = nested
        for parent in parents:
            target = target[parent]
        target[last] = value
    return build_recipe(nested)


def _apply(values: dict[str, Any], override: str) -> None:
    key, equals, text = override.partition("=")
    key = key.strip()
    if not equals or not key:
        raise RecipeError(
            f"Override {override!r} is not of the form key=value.",
            fix=_OVERRIDE,
        )
    *parents, last = key.split(".")
    if len(parents) >= MOST_LEVELS:
        raise RecipeError(
            f"Override {_shortened(key)!r}: no recipe has so many nested sections.", fix=_OVERRIDE
        )
    try:
        value = yaml.load(text, _Loader)  # noqa: S506 - a SafeLoader
    except RecursionError:
        raise RecipeError(
            f"Override {_shortened(key)!r}: the value is nested too deeply.", fix=_OVERRIDE
        ) from None
    except yaml.YAMLError:
        value = text
    target = values
    for depth, parent in enumerate(parents, start=1):
        child = target.get(parent)
        section = _section_at(parents[:depth])
        if child is None:
            child = target[parent] = {}
        elif isinstance(child, str) and section is not None and section.short_for is not None:
            child = target[parent] = {section.short_for: child}
        if not isinstance(child, dict):
            raise RecipeError(f"Override {key!r}: {parent!r} is a value, not a section.", fix=_OVERRIDE)
        target = child
    target[last] = value


def _readable(error: ValidationError, where: str) -> RecipeError:
    details = error.errors()
    unknown = [item for item in details if item["type"] == "extra_forbidden"]
    first = (unknown or details)[0]
    # If several types are allowed, pydantic adds the one that it tried (`list[str]`) to the location.
    parts = [str(part) for part in first["loc"]]
    location = [part for part in parts[:-1] if "[" not in part]
    location += [part for part in parts[-1:] if unknown or "[" not in part]
    key = ".".join(location)
    more = f" ({len(details) - 1} more after this one)" if len(details) > 1 else ""
    fix = "see the explanation of every field with: whylabel recipe"
    if first["type"] == "extra_forbidden":
        section = _section_at(location[:-1])
        known = list(section.model_fields) if section else []
        what = unknown_name("key", location[-1], known) + more
    else:
        message = first["msg"].removeprefix("Value error, ")
        # A whole section is too long to show, and a refused URL may hold a password.
        shown = not isinstance(first["input"], (dict, Section)) and location[-1:] != ["endpoint"]
        got = f", got {_shortened(repr(first['input']))}" if shown else ""
        what = f"{key or 'recipe'}: {message}{got}.{more}"
        if first["type"] == "string_type" and isinstance(first["input"], (bool, int, float, date)):
            fix = "put it in quotes: YAML does not read yes, no, on, off, digits and dates as text"
    return RecipeError(what, where=f"{where}: {key}" if key else where, fix=fix)


def _shortened(text: str) -> str:
    return text if len(text) <= _LONGEST_SHOWN else f"{text[:_LONGEST_SHOWN]}..."


def _section_at(location: Sequence[str]) -> type[Section] | None:
    section: type[Section] = Recipe
    for name in location:
        field = section.model_fields.get(name)
        if field is None or not is_section(field.annotation):
            return None
        section = typing.cast(type[Section], field.annotation)
    return section
