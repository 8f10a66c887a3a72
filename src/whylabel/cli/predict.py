"""`whylabel predict`: label a file, or lines on stdin."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from itertools import chain
from pathlib import Path
from typing import TYPE_CHECKING, Any, get_args

import click

from whylabel.cli.interrupts import if_interrupted
from whylabel.cli.options import debug_option
from whylabel.types import Mode, Prediction

if TYPE_CHECKING:
    from whylabel.cli.prediction_files import Layout
    from whylabel.data.texts import TextRow, Texts
    from whylabel.prediction.card import ModelCard
    from whylabel.prediction.trained import TrainedClassifier


@dataclass(frozen=True, slots=True)
class _Asked:
    """What is asked for: all that the command line says of model and rows."""

    model: str
    input_path: Path | None
    mode: Mode | None
    abstain_below: float
    text_column: str | None
    id_column: str | None
    columns: str
    device: str


@click.command("predict")
@click.option("--model", required=True, help="A run folder, or a model folder inside one.")
@click.option(
    "--input",
    "input_path",
    type=click.Path(path_type=Path),
    help="A CSV, TSV, JSONL or Parquet file. [default: stdin, one text a line]",
)
@click.option(
    "--output",
    type=click.Path(path_type=Path),
    help="A .csv, .jsonl or .parquet file. [default: JSONL on stdout]",
)
@click.option(
    "--mode",
    type=click.Choice(get_args(Mode)),
    help="How the model answers: fast, reasoned, vote (several reasonings), adaptive (reasoned where fast is unsure) "
    "or blend (fast and reasoned). [default: the model's own]",
)
@click.option(
    "--abstain-below",
    type=click.FloatRange(0, 1),
    default=0.0,
    metavar="P",
    help="Rows whose best probability is below P get the status abstained; their label stays beside it.",
)
@click.option(
    "--text-column",
    help="The column with the text. [default: the one that the model was trained on, else recognised]",
)
@click.option(
    "--id-column",
    help="The column with the row id. [default: the one of the training data, else one called id]",
)
@click.option(
    "--columns",
    type=click.Choice(["all", "none"]),
    default="all",
    show_default=True,
    help="Which columns of the input stand before those of the predictions.",
)
@click.option("--device", default="auto", show_default=True, help="auto, cpu, cuda ...")
@debug_option
def command(output: Path | None, **asked: Any) -> int:
    """Label texts: id, label, the probability of every label, reasoning and status of each.

    The columns of the input come first, in their order. One of them with the name of a prediction's column (label,
    for example) is called input_label in the output; a column id that holds the row ids is the id of the predictions.

    Where a text may have several labels, they stand in `label` with separators between them, and as a list in
    `labels` (JSONL, Parquet); each has a probability of its own.

    With --output, finished rows are kept in OUTPUT.partial until all are there: the same command goes on where a
    stopped or killed one was. A file that holds something else than predictions is never replaced.

    Exit code 4 if a row failed (its status and error say why); every row in is a row out.
    """
    return _predict(_Asked(**asked), output)


def _predict(asked: _Asked, output: Path | None) -> int:
    from whylabel.cli.prediction_files import Layout
    from whylabel.cli.prediction_output import checked_output
    from whylabel.host.progress import say

    if output is not None:
        sources = [asked.input_path] if asked.input_path else []
        output = checked_output(output, asked.model, sources)
    card = _card(asked)
    texts = _texts(asked, card)
    layout = Layout.of(texts, card, "none" if asked.columns == "none" else "all")
    for name, other in layout.renamed.items():
        say(f"column {name!r} of the input is {other!r} in the output")
    statuses = _print(asked, layout) if output is None else _write(asked, layout, output)
    if statuses["abstained"]:
        say(f"{statuses['abstained']:,} of {len(texts):,} rows are below {asked.abstain_below:g}: abstained.")
    if statuses["failed"]:
        say(f"{statuses['failed']:,} of {len(texts):,} rows failed; see their status and error.")
    return 4 if statuses["failed"] else 0


def _card(asked: _Asked) -> ModelCard:
    """Return what is known of the model before it is loaded. Raises `ModelError` if it cannot do what is asked."""
    from whylabel.models.load import read_card
    from whylabel.prediction.card import ModelCard
    from whylabel.prediction.trained import model_folder

    folder = model_folder(asked.model)
    card = ModelCard.from_json(read_card(folder), folder)
    card.check_mode(asked.mode or card.mode)
    if asked.abstain_below > 0:
        card.check_abstaining()
    return card


def _texts(asked: _Asked, card: ModelCard) -> Texts:
    """Return the rows, and say which columns they are taken from."""
    from whylabel.cli.prediction_files import read_lines
    from whylabel.data.texts import load_texts, texts_of_lines
    from whylabel.host.progress import say

    if asked.input_path is None:
        return texts_of_lines("stdin", read_lines())
    trained = card.columns
    texts = load_texts(
        asked.input_path,
        text_column=asked.text_column,
        id_column=asked.id_column,
        trained_text=trained.text if trained else None,
        trained_id=trained.id if trained else None,
    )
    for what, choice in (("texts", texts.text_column), ("ids", texts.id_column)):
        column = "" if choice.name is None else f"column {choice.name!r}, "
        say(f"{what}: {column}{choice.why}")
    return texts


def _print(asked: _Asked, layout: Layout) -> Counter[str]:
    """Print the predictions as they come."""
    import sys

    from whylabel.data.writers import json_writer
    from whylabel.host.progress import progress

    statuses: Counter[str] = Counter()
    rows = len(layout.texts)

    def interrupted() -> str:
        return (
            f"{statuses.total():,} of {rows:,} rows were printed and are good, but nothing is kept: the same command "
            "begins with the first row again. With --output FILE it would go on."
        )

    write = json_writer(sys.stdout)
    with if_interrupted(interrupted):
        classifier = _classifier(asked)
        with progress("predict", total=rows) as bar:
            for _, row, prediction in _predictions(classifier, asked, layout.texts, lambda _number: False):
                write(layout.record(row, prediction))
                statuses[prediction.status] += 1
                bar.advance(1, prediction.tokens)
    return statuses


def _write(asked: _Asked, layout: Layout, output: Path) -> Counter[str]:
    """Write the predictions to a file, those of an earlier process included."""
    from whylabel.host.atomic import remove_asides
    from whylabel.host.progress import progress, say
    from whylabel.prediction.journal import journal_path, open_journal

    kept = journal_path(output)
    rows = len(layout.texts)
    write = _writer(asked, layout, output)
    with open_journal(kept, rows, _settings(asked, layout)) as journal:

        def interrupted() -> str:
            if not journal.finished:
                return "No row was finished yet; the same command begins with the first row again."
            done = f"{journal.finished:,} of {rows:,} rows are kept in {kept}"
            return f"{done}: the same command goes on with the rest."

        with if_interrupted(interrupted):
            if journal.changed:
                changed = ", ".join(journal.changed)
                say(f"{kept} was made with other settings ({changed}): it begins anew")
            elif journal.finished:
                say(f"{journal.finished:,} of {rows:,} rows were finished before, and are kept in {kept}")
            remove_asides(output)
            if journal.finished < rows:
                found = _predictions(_classifier(asked), asked, layout.texts, journal.__contains__)
                with progress("predict", total=rows, done=journal.finished) as bar:
                    for number, _, prediction in found:
                        journal.add(number, prediction)
                        bar.advance(1, prediction.tokens)
            statuses = write(journal.__getitem__)
            kept.unlink()
    say(f"{rows:,} rows in {output}")
    return statuses


def _writer(
    asked: _Asked, layout: Layout, output: Path
) -> Callable[[Callable[[int], Prediction]], Counter[str]]:
    """Return what writes the file from the predictions by row number; the types of its columns are known before."""
    from whylabel.data.writers import table_file

    suffix = output.suffix.lower()
    schema = layout.parquet_schema(asked.input_path) if suffix == ".parquet" else layout.csv_schema()
    record = layout.csv_record if suffix == ".csv" else layout.record

    def write(prediction_of: Callable[[int], Prediction]) -> Counter[str]:
        statuses: Counter[str] = Counter()
        with table_file(output, schema) as put:
            for number, row in enumerate(chain.from_iterable(layout.texts.pieces())):
                prediction = prediction_of(number)
                put(record(row, prediction))
                statuses[prediction.status] += 1
        return statuses

    return write


def _settings(asked: _Asked, layout: Layout) -> dict[str, Any]:
    """Return all that must be the same for predictions to stand in one file."""
    from whylabel.models.fingerprint import model_fingerprint
    from whylabel.prediction.trained import model_folder
    from whylabel.text.hashes import fingerprint
    from whylabel.version import __version__

    weights = model_fingerprint(str(model_folder(asked.model)))
    return {
        "model": fingerprint(weights, layout.card.to_json()),
        "input": layout.texts.digest,
        "text column": layout.texts.text_column.name,
        "id column": layout.texts.id_column.name,
        "mode": asked.mode or layout.card.mode,
        "abstain-below": asked.abstain_below,
        "columns": asked.columns,
        "device": asked.device,
        "version of whylabel": __version__,
    }


def _classifier(asked: _Asked) -> TrainedClassifier:
    from whylabel.prediction.trained import TrainedClassifier

    return TrainedClassifier.from_folder(asked.model, device=asked.device)


def _predictions(
    classifier: TrainedClassifier, asked: _Asked, texts: Texts, is_done: Callable[[int], bool]
) -> Iterator[tuple[int, TextRow, Prediction]]:
    """Yield the number of every row that is not done, counted from 0, the row, and what the model says of it."""
    number = 0
    for rows in texts.pieces():
        waiting = [(place, row) for place, row in enumerate(rows, number) if not is_done(place)]
        number += len(rows)
        found = classifier.predict(
            [(row.id, row.text) for _, row in waiting], asked.mode, abstain_below=asked.abstain_below
        )
        for (place, row), prediction in zip(waiting, found, strict=True):
            yield place, row, prediction
