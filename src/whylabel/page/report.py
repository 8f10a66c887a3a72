"""A run's report inside the page.

The report has a style of its own, which the page does not allow itself, so it is a document of its own in a frame. A
browser sends no key with a frame, so its address holds a ticket, which who has the key is given for a minute.
"""

from __future__ import annotations

import hashlib
import hmac
import secrets
import time

from fastapi.responses import FileResponse, Response

from whylabel.errors import RunInUseError
from whylabel.page import runs
from whylabel.page.runs import ServedRun
from whylabel.report.model_card import write_model_card
from whylabel.report.report import write_report
from whylabel.serving.errors import error_response

_SECONDS = 60
_HEADERS = {
    # No script runs in it, whatever stands in it, and it cannot reach the page.
    "content-security-policy": "default-src 'none'; style-src 'unsafe-inline'; img-src data:; base-uri 'none'; "
    "form-action 'none'; frame-ancestors 'self'; sandbox",
    "referrer-policy": "no-referrer",
}


class Reports:
    """Opens the reports of some runs, by name."""

    def __init__(self, served: dict[str, ServedRun]) -> None:
        self._runs = served
        self._secret = secrets.token_bytes(32)

    def address(self, run: ServedRun) -> str:
        """Return where the report can be opened for a minute; what people read since it was written is in it."""
        refresh(run)
        until = int(time.time()) + _SECONDS
        return f"page/report/{run.name.encode().hex()}-{until}-{self._sign(run.name, until)}"

    def open(self, ticket: str) -> Response:
        """Return the report that a ticket is for."""
        try:
            name, until, signed = ticket.split("-")
            run = self._runs[bytes.fromhex(name).decode()]
            valid = hmac.compare_digest(signed.encode(), self._sign(run.name, int(until)).encode())
        except (ValueError, KeyError):
            return error_response(404, "There is no such report.")
        if not valid or int(until) < time.time() or not run.folder.report.exists():
            return error_response(404, "There is no such report, or its address is too old.")
        return FileResponse(run.folder.report, media_type="text/html", headers=_HEADERS)

    def _sign(self, name: str, until: int) -> str:
        return hmac.new(self._secret, f"{until} {name}".encode(), hashlib.sha256).hexdigest()


def refresh(run: ServedRun) -> None:
    """Write report and model card again if somebody has read reasonings since."""
    read, written = runs.signature(run.folder.readings), runs.signature(run.folder.report)
    if read is None or written is None or read[0] <= written[0]:
        return

    def work() -> None:
        with run.folder.locked():
            write_report(run.folder)
            write_model_card(run.folder)

    try:
        run.write(work)
    except RunInUseError:
        return  # whoever is using it writes the report at the end
