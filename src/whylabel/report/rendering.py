"""The two template environments, HTML and Markdown: every value is escaped for its output format."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

from jinja2 import ChainableUndefined, Environment, FileSystemLoader
from markupsafe import Markup

from whylabel.report import formats
from whylabel.report.marks import pieces

_TEMPLATES = Path(__file__).parent / "templates"

# HTML forbids control characters other than tab and line ends; a NUL ends the text in some parsers.
_CONTROLS = {code: "\ufffd" for code in (*range(0x20), *range(0x7F, 0xA0)) if chr(code) not in "\t\n\r"}


# Characters that can start markup, HTML or a table cell in GitHub's and Hugging Face's Markdown.
_MARKDOWN = re.compile(r"([\\`*_\[\]<>|#&~$])")


def render_html(template: str, **values: Any) -> str:
    """Render a template of this package as HTML; missing values render as nothing."""
    return _environment(_replace_controls, autoescape=True).get_template(template).render(**values)


def render_markdown(template: str, **values: Any) -> str:
    """Render a template of this package as Markdown; values are on one line and contain no markup.

    Values of the type `Markup` are not changed.
    """
    return _environment(_escape_markdown, autoescape=False).get_template(template).render(**values)


def _environment(finalize: Callable[[Any], Any], *, autoescape: bool) -> Environment:
    environment = Environment(
        loader=FileSystemLoader(_TEMPLATES, encoding="utf-8"),
        autoescape=autoescape,  # noqa: S701 - Markdown is escaped by `finalize`
        undefined=ChainableUndefined,
        finalize=finalize,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
    )
    for name in ("count", "decimal", "percent", "points", "p_value", "duration", "shortened", "clipped"):
        environment.filters[name] = getattr(formats, name)
    environment.filters["pieces"] = pieces
    environment.tests["numeric"] = formats.is_number
    return environment


def _replace_controls(value: Any) -> Any:
    return value.translate(_CONTROLS) if isinstance(value, str) else value


def _escape_markdown(value: Any) -> Any:
    if isinstance(value, Markup) or not isinstance(value, str):
        return value
    return _MARKDOWN.sub(r"\\\1", _replace_controls(re.sub(r"[\r\n\t]+", " ", value)))
