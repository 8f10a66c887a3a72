"""The page at `/` and its files: nothing is loaded from elsewhere, no script stands in the page itself."""

from __future__ import annotations

from pathlib import Path

from fastapi import FastAPI
from fastapi.responses import FileResponse, Response

import whylabel.report
from whylabel.serving.errors import error_response

_STATIC = Path(__file__).parent / "static"
_REPORT_STYLE = Path(whylabel.report.__file__).parent / "templates" / "report.css"
"""The page looks like the report."""

_TYPES = {".html": "text/html", ".css": "text/css", ".js": "text/javascript", ".svg": "image/svg+xml"}
_HEADERS = {
    "content-security-policy": "; ".join(
        (
            "default-src 'none'",
            "script-src 'self'",
            "style-src 'self'",
            "img-src 'self'",
            "connect-src 'self'",
            "frame-src 'self'",
            "base-uri 'none'",
            "form-action 'none'",
            "frame-ancestors 'none'",
            "require-trusted-types-for 'script'",
            "trusted-types 'none'",
        )
    ),
    "referrer-policy": "no-referrer",
    "x-frame-options": "DENY",
    "cross-origin-opener-policy": "same-origin",
    "cross-origin-resource-policy": "same-origin",
    # Kept by the browser, but asked for again: another version has other files.
    "cache-control": "no-cache",
}


def add_page(app: FastAPI) -> None:
    """Add the page and its files; they need no key, as they say nothing of the model."""
    files = {path.name: path for path in (*_STATIC.iterdir(), _REPORT_STYLE) if path.is_file()}

    @app.get("/", include_in_schema=False)
    async def index() -> Response:
        return _file(files["index.html"])

    @app.get("/page/{name}", include_in_schema=False)
    async def part(name: str) -> Response:
        if name not in files:
            return error_response(404, "There is no such file.")
        return _file(files[name])


def _file(path: Path) -> FileResponse:
    # The types that a system knows may be others, and scripts are refused under another type.
    return FileResponse(path, media_type=_TYPES[path.suffix], headers=_HEADERS)
