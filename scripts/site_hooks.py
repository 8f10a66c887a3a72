"""What mkdocs needs beside mkdocs.yml, so that pages written for GitHub are right on the site, too.

`CHANGELOG.md` and `CONTRIBUTING.md` become pages; links to other files outside docs/ lead to the repository; formulas
become MathML, which browsers show without a script.
"""

from __future__ import annotations

import html
import os
import re
from pathlib import Path
from typing import Any

from latex2mathml.converter import convert
from mkdocs.config.defaults import MkDocsConfig
from mkdocs.structure.files import File, Files
from mkdocs.structure.pages import Page

ROOT = Path(__file__).parents[1]
DOCS = ROOT / "docs"
REPOSITORY = "https://github.com/whylabel/whylabel"
FROM_ROOT = {"CHANGELOG.md": "changelog.md", "CONTRIBUTING.md": "contributing.md"}
"""Files of the root that are pages of the site, and the addresses that they have there."""

_FENCE = re.compile(r"(^```.*?^```)", re.MULTILINE | re.DOTALL)
_LINK = re.compile(r"(\]\()([^)\s#]+)([^)\s]*\))")
_FORMULA = re.compile(r'<(span|div) class="arithmatex">\\[(\[](.*?)\\[)\]]</\1>', re.DOTALL)


def on_config(config: MkDocsConfig) -> None:
    """Replace folders in the navigation by their pages."""
    config.nav = _with_folders(config.nav)


def on_files(files: Files, config: MkDocsConfig) -> Files:
    """Add the pages that lie in the root of the repository."""
    for name, page in FROM_ROOT.items():
        files.append(File.generated(config, page, abs_src_path=str(ROOT / name)))
    return files


def on_page_markdown(markdown: str, page: Page, **_: Any) -> str:
    """Turn links to files outside docs/ into those of the repository, and let Markdown work inside `<details>`."""
    assert page.file.abs_src_path is not None, page.file.src_uri
    source, folder = Path(page.file.abs_src_path), Path(page.file.src_uri).parent

    def link(found: re.Match[str]) -> str:
        return found[1] + _address(found[2], source, folder) + found[3]

    parts = _FENCE.split(markdown)
    parts[::2] = [_LINK.sub(link, part).replace("<details>", '<details markdown="1">') for part in parts[::2]]
    return "".join(parts)


def on_page_content(html_text: str, **_: Any) -> str:
    """Turn formulas into MathML."""
    return _FORMULA.sub(_mathml, html_text)


def _with_folders(entries: list[Any]) -> list[Any]:
    found: list[Any] = []
    for entry in entries:
        [(title, what)] = entry.items()
        if isinstance(what, list):
            found.append({title: _with_folders(what)})
        elif what.endswith("/"):
            pages = sorted((DOCS / what).glob("*.md"), key=lambda path: (path.name != "index.md", path.name))
            found += [{title: [str(path.relative_to(DOCS)) for path in pages]}] if pages else []
        else:
            found.append(entry)
    return found


def _address(link: str, source: Path, folder: Path) -> str:
    """Return where a link of a page leads on the site; `folder` is that of the page there."""
    target = (source.parent / link).resolve()
    if re.match(r"[a-z]+:", link) or not target.exists():
        return link
    if target.is_relative_to(DOCS):
        return os.path.relpath(target.relative_to(DOCS), folder)
    place = target.relative_to(ROOT).as_posix()
    if place in FROM_ROOT:
        return os.path.relpath(FROM_ROOT[place], folder)
    return f"{REPOSITORY}/{'tree' if target.is_dir() else 'blob'}/main/{place}"


def _mathml(found: re.Match[str]) -> str:
    # `\texttt` is not known there.
    latex = html.unescape(found[2]).replace(r"\texttt", r"\mathtt")
    formula = convert(latex, display="block" if found[1] == "div" else "inline")
    # Browsers put no space between a function and what it is applied to.
    return re.sub(r"<mi>(?:ln|log)</mi>(?!<mo)", r'\g<0><mspace width="0.17em"/>', formula)
