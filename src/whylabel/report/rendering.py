"""The one template environment: every value is escaped, and unreadable characters are made visible."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from jinja2 import ChainableUndefined, Environment, FileSystemLoader

from whylabel.report import formats

_TEMPLATES = Path(__file__).parent / "templates"

# HTML forbids control characters other than tab and line ends; a NUL would end some parsers' text.
_CONTROLS = {code: "\ufffd" for code in (*range(0x20), 0x7F) if chr(code) not in "\t\n\r"}


def render_html(template: str, **values: Any) -> str:
    """Render a template of this package as HTML; missing values render as nothing."""
    environment = Environment(
        loader=FileSystemLoader(_TEMPLATES, encoding="utf-8"),
        autoescape=True,
        undefined=ChainableUndefined,
        finalize=_readable,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    for name in ("count", "decimal", "percent", "points", "p_value", "duration", "shortened"):
        environment.filters[name] = getattr(formats, name)
    environment.tests["numeric"] = formats.is_number
    return environment.get_template(template).render(**values)


def _readable(value: Any) -> Any:
    return value.translate(_CONTROLS) if isinstance(value, str) else value
