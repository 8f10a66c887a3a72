"""`whylabel classify`: label a file, or lines on stdin, by a server."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from itertools import chain, tee
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import click

from whylabel.cli.options import debug_option, prediction_options
from whylabel.types import Mode, Prediction

if TYPE_CHECKING:
    from whylabel.cli.prediction_files import Layout
    from whylabel.data.texts import TextRow, Texts
    from whylabel.prediction.card import ModelCard
    from whylabel.serving.client import Classification, Client, Options, ServedModel


@click.command("classify")
@click.option("--url", required=True, help="The address of the server, as http://127.0.0.1:8000.")
@click.option("--model", "model_name", help="One of several models that it serves. [default: its first]")
@prediction_options
@click.option("--text-column", help="The column with the text. [default: recognised]")
@click.option("--id-column", help="The column with the row id. [default: one called id]")
@click.option(
    "--stream",
    is_flag=True,
    help="Show each reasoning on stderr as it is written, one text after another.",
)
@debug_option
def command(url: str, model_name: str | None, output: Path | None, stream: bool, **request: Any) -> int:
    """Label texts by a server that `whylabel serve` runs: the same columns as `whylabel predict`.

    A key is taken from $WHYLABEL_API_KEY. Where the server is busy, requests are sent again when it says so. The
    output file appears when all rows are answered.

    The exit code is 4 if a row failed (its status and error say why). Every row of the input is in the output.
    """
    from whylabel.serving.client import Client

    with Client(url, model=model_name) as client:
        return _classify(client, output, stream, **request)


def _classify(
    client: Client,
    output: Path | None,
    stream: bool,
    *,
    input_path: Path | None,
    text_column: str | None,
    id_column: str | None,
    columns: str,
    mode: Mode | None,
    abstain_below: float,
    evidence: bool,
    show_all: bool,
) -> int:
    from whylabel.cli.prediction_files import Layout
    from whylabel.cli.prediction_output import checked_output
    from whylabel.host.progress import progress, say
    from whylabel.serving.client import Options

    if output is not None:
        output = checked_output(output, None, [input_path] if input_path else [])
    model = client.model()
    options = Options(mode or model.modes[0], evidence, abstain_below, show_all)
    texts = _texts(input_path, text_column, id_column)
    carried: Literal["none", "all"] = "none" if columns == "none" else "all"
    layout = Layout.of(texts, _card(model), carried, evidence=evidence)
    statuses: Counter[str] = Counter()
    found = _predictions(client, texts, options, model, stream)
    with _writer(layout, input_path, output) as write, progress("classify", total=len(texts)) as bar:
        for row, prediction in found:
            write(row, prediction)
            statuses[prediction.status] += 1
            bar.advance()
    if output is not None:
        say(f"{len(texts):,} rows in {output}")
    if statuses["failed"]:
        say(f"{statuses['failed']:,} of {len(texts):,} rows failed; see their status and error.")
    return 4 if statuses["failed"] else 0


def _texts(input_path: Path | None, text_column: str | None, id_column: str | None) -> Texts:
    """Return the rows, and say which columns they are taken from."""
    from whylabel.cli.prediction_files import read_lines
    from whylabel.data.texts import load_texts, texts_of_lines
    from whylabel.host.progress import say

    if input_path is None:
        return texts_of_lines("stdin", read_lines())
    texts = load_texts(
        input_path, text_column=text_column, id_column=id_column, trained_text=None, trained_id=None
    )
    for what, choice in (("texts", texts.text_column), ("ids", texts.id_column)):
        column = "" if choice.name is None else f"column {choice.name!r}, "
        say(f"{what}: {column}{choice.why}")
    return texts


def _card(model: ServedModel) -> ModelCard:
    """Return what the columns of the output need to know of the model."""
    from whylabel.prediction.card import ModelCard
    from whylabel.prediction.multi_label import MultiLabel
    from whylabel.text.labels import LabelSet
    from whylabel.text.several_labels import Separator

    separator = model.label_separator
    return ModelCard(
        labels=LabelSet(model.labels),
        target=model.target,
        question=model.question,
        name=model.id,
        prompt_style="compact",
        max_text_tokens=1,
        max_reasoning_tokens=1,
        lineage={},
        modes=model.modes,
        multi_label=None if separator is None else MultiLabel(Separator(separator)),
    )


def _predictions(
    client: Client, texts: Texts, options: Options, model: ServedModel, stream: bool
) -> Iterator[tuple[TextRow, Prediction]]:
    """Yield every row with the server's answer to it."""
    rows, asked = tee(chain.from_iterable(texts.pieces()))
    given = (row.text for row in asked)
    one_by_one = (_streamed(client, text, options) for text in given)
    found = one_by_one if stream else client.classify_all(given, options)
    for row, answer in zip(rows, found, strict=True):
        yield row, _prediction(row.id, answer, options, model)


def _streamed(client: Client, text: str | None, options: Options) -> Classification:
    """Return the answer to a text; its reasoning is shown as it is written."""
    from whylabel.errors import ServerError
    from whylabel.host.terminal import printable
    from whylabel.serving.client import Draft, concerns_texts, refused
    from whylabel.text.words import is_broken

    if text is None or is_broken(text):
        return refused()
    draft = 0
    try:
        for event in client.stream(text, options):
            if not isinstance(event, Draft):
                if draft:
                    click.echo(err=True)
                return event
            if event.draft != draft and draft:
                click.echo(err=True)
            draft = event.draft
            click.echo(printable(event.text), err=True, nl=False)
    except ServerError as error:
        if not concerns_texts(error):
            raise
        return refused(error.what)
    raise AssertionError("a stream ends with an answer or an error")


def _prediction(row_id: str, answer: Classification, options: Options, model: ServedModel) -> Prediction:
    return Prediction(
        id=row_id,
        label=answer.label or "",
        probabilities=tuple(answer.probabilities[label] for label in model.labels if answer.probabilities),
        reasoning=answer.reasoning,
        mode=answer.mode or options.mode or model.modes[0],
        status=answer.status,
        seconds=answer.seconds,
        error=answer.error,
        evidence=answer.evidence,
        reasoning_status=answer.reasoning_status,
        disagrees=answer.disagrees,
    )


@contextmanager
def _writer(
    layout: Layout, input_path: Path | None, output: Path | None
) -> Iterator[Callable[[TextRow, Prediction], None]]:
    """Yield a function that writes a row: to stdout at once, or to a file that appears when all are written."""
    import sys

    from whylabel.data.writers import json_writer, table_file

    if output is None:
        put = json_writer(sys.stdout)
        yield lambda row, prediction: put(layout.record(row, prediction))
        return
    suffix = output.suffix.lower()
    schema = layout.parquet_schema(input_path) if suffix == ".parquet" else layout.csv_schema()
    record = layout.csv_record if suffix == ".csv" else layout.record
    with table_file(output, schema) as put_row:
        yield lambda row, prediction: put_row(record(row, prediction))
