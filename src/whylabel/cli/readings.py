"""`whylabel reasonings RUN --predictions`: deal predictions out to read, and import what readers think of them."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path

import click

from whylabel.data.cells import is_missing
from whylabel.data.readers import read_table
from whylabel.data.writers import require_format, table_file, written_columns
from whylabel.errors import UsageError
from whylabel.evaluation.readings import DEALT, NOT_BLIND, ShownReasonings, deal, rates, record_readings
from whylabel.host.progress import say
from whylabel.host.takeover import check_file
from whylabel.reasonings.decisions import person_named
from whylabel.report.formats import percent
from whylabel.report.model_card import write_model_card
from whylabel.report.report import write_report
from whylabel.run_folder import RunFolder


def refuse_options(given: Mapping[str, object], *, beside: str | None = None) -> None:
    """Raise `UsageError` if an option, by name, was given that does not go with another, or needs --predictions."""
    wrong = [name for name, value in given.items() if value not in (None, False)]
    if wrong:
        needed = "needs --predictions" if beside is None else f"does not go with {beside}"
        raise UsageError(f"{wrong[0]} {needed}.", fix="whylabel reasonings --help says what goes together")


def deal_predictions(run: RunFolder, sample: int, output: Path | None, *, blind: bool) -> None:
    """Write predictions whose reasoning is shown to a file, or as CSV to stdout."""
    shown = ShownReasonings.of_run(run)
    seed = run.read_manifest().get("seed")
    rows = deal(shown, sample, seed if isinstance(seed, int) else 0, blind=blind)
    schema = DEALT if blind else {**DEALT, **NOT_BLIND}
    if output is None:
        with tempfile.TemporaryDirectory() as scratch:
            _write(Path(scratch) / "rows.csv", schema, rows)
            click.echo((Path(scratch) / "rows.csv").read_bytes(), nl=False)
    else:
        require_format(output, "Predictions")
        file = Path(os.path.realpath(output))
        require_format(file, "Predictions")
        fix = "name another file: --output FILE"
        check_file(file, _is_dealt, wanted="A deal of predictions that nobody has read yet", fix=fix)
        _write(file, schema, rows)
        say(f"{len(rows):,} of {len(shown.rows):,} predictions that show a reasoning, in {output}")
    say(
        "set verdict to accepted or rejected, and say why in reason; then: "
        f"whylabel reasonings {run.path} --predictions --import FILE"
    )


def import_readings(run: RunFolder, path: Path, by: str | None) -> None:
    """Record what a reader thinks, and write it into report and model card."""
    person = person_named(by)
    new, unread = record_readings(run, path, person)
    left = f"; {unread:,} rows have no verdict yet" if unread else ""
    if not new:
        say(f"the file holds no new verdicts{left}")
        return
    say(f"{len(new):,} verdicts of {person} recorded{left}")
    shown = ShownReasonings.of_run(run)
    rate = next(each for each in rates(run, shown) if each.by == person).accepted
    low, high = rate.ci95
    say(
        f"accepted: {rate.count:,} of {rate.n:,}, {percent(rate.share)} "
        f"[{percent(low)}, {percent(high)}], mode {shown.mode}"
    )
    write_report(run)
    write_model_card(run)


def _write(file: Path, schema: Mapping[str, str], rows: Sequence[Mapping[str, str]]) -> None:
    with table_file(file, schema) as write:
        for row in rows:
            write(row)


def _is_dealt(file: Path) -> bool:
    """Return whether a file holds predictions that were dealt out, and that nobody has read yet."""
    if written_columns(file)[: len(DEALT)] != list(DEALT):
        return False
    return all(is_missing(verdict) for verdict in read_table(file).columns["verdict"])
