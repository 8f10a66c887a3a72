"""JSON Schema in plain words: what a field may hold, for the reference pages."""

from __future__ import annotations

from typing import Any

Schema = dict[str, Any]

_KINDS = {"boolean": "`true` or `false`", "null": "`null`", "object": "object", "string": "text"}
_NUMBERS = {"integer": "whole number", "number": "number"}


def in_words(schema: Schema) -> str:
    """Return what the values of a schema are: `whole number (1 or more)`, or the names of its choices."""
    choices = _choices(schema)
    if choices is not None:
        # Several kinds of object are one word: which fields each has is said elsewhere.
        return _either(list(dict.fromkeys(choices)))
    if "$ref" in schema:
        return "object"
    kind = schema.get("type")
    if kind == "array":
        return _list(schema)
    if kind in _NUMBERS:
        return _NUMBERS[kind] + _in_brackets(_bounds(schema))
    return _KINDS.get(kind, "any value") + _in_brackets(_form(schema))


def _choices(schema: Schema) -> list[str] | None:
    """Return each of several kinds of value, in words; None if there is one kind."""
    if "const" in schema:
        return [f"`{schema['const']}`"]
    if "enum" in schema:
        return [f"`{value}`" for value in schema["enum"]]
    parts = schema.get("anyOf") or schema.get("oneOf")
    if parts is None:
        return None
    return [words for part in parts for words in _choices(part) or [in_words(part)]]


def _either(parts: list[str]) -> str:
    return " or ".join(filter(None, (", ".join(parts[:-1]), parts[-1])))


def _in_brackets(parts: list[str]) -> str:
    return f" ({', '.join(parts)})" if parts else ""


def _list(schema: Schema) -> str:
    if "prefixItems" in schema:
        return f"list of {len(schema['prefixItems'])} numbers"
    least, most = schema.get("minItems"), schema.get("maxItems")
    size = [f"exactly {least}"] if least is not None and least == most else []
    if not size:
        size = [f"{least} or more"] if least else []
        size += [f"at most {most}"] if most else []
    item = in_words(schema.get("items", {}))
    for word in ("text", "whole number", "number", "object"):
        if item == word or item.startswith(f"{word} ("):
            return f"list of {word}s{item.removeprefix(word)}{_in_brackets(size)}"
    return f"list of {item}{_in_brackets(size)}"


def _form(schema: Schema) -> list[str]:
    """Return the limits of a text or an object."""
    least, most = schema.get("minLength"), schema.get("maxLength")
    parts = ["not empty"] if least else []
    parts += [f"at most {most:,} characters"] if most else []
    parts += [f"`{schema['pattern']}`"] if "pattern" in schema else []
    fewest, largest = schema.get("minProperties"), schema.get("maxProperties")
    parts += [f"{fewest} or more entries"] if fewest else []
    return parts + ([f"at most {largest}"] if largest else [])


def _bounds(schema: Schema) -> list[str]:
    """Return the limits of a number."""
    low, high = schema.get("minimum"), schema.get("maximum")
    if low is not None and high is not None:
        return [f"{_number(low)} to {_number(high)}"]
    named = (
        (low, "{} or more"),
        (schema.get("exclusiveMinimum"), "above {}"),
        (high, "at most {}"),
        (schema.get("exclusiveMaximum"), "below {}"),
    )
    return [words.format(_number(bound)) for bound, words in named if bound is not None]


def _number(value: float) -> str:
    return f"{int(value) if value == int(value) else value:,}"
