"""`whylabel predict`: label a file, or lines on stdin."""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from typing import get_args

import click

from whylabel.cli.options import debug_option
from whylabel.types import Mode


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
@click.option("--text-column", help="The column with the text. [default: recognised]")
@click.option("--id-column", help="The column with the row id. [default: recognised]")
@click.option("--device", default="auto", show_default=True, help="auto, cpu, cuda ...")
@debug_option
def command(
    model: str,
    input_path: Path | None,
    output: Path | None,
    mode: Mode | None,
    abstain_below: float,
    text_column: str | None,
    id_column: str | None,
    device: str,
) -> int:
    """Label texts: id, label, the probability of every label, reasoning and status of each.

    Where a text may have several labels, they stand in `label` with separators between them, and as a list in
    `labels` (JSONL, Parquet); each has a probability of its own.

    Exit code 4 if a row failed (its status and error say why); every row in is a row out.
    """
    from whylabel.cli.prediction_files import read_lines, write_predictions
    from whylabel.data import load_texts

    writer = write_predictions(output)
    rows = (
        read_lines()
        if input_path is None
        else load_texts(input_path, text_column=text_column, id_column=id_column)
    )
    from whylabel.host.progress import progress
    from whylabel.prediction.trained import TrainedClassifier

    classifier = TrainedClassifier.from_folder(model, device=device)
    predictions = classifier.predict(rows, mode, abstain_below=abstain_below)
    statuses: Counter[str] = Counter()
    with writer(classifier.card) as write, progress("predict", total=len(rows)) as bar:
        for prediction in predictions:
            write(prediction)
            statuses[prediction.status] += 1
            bar.advance(1, prediction.tokens)
    failed = statuses["failed"]
    if statuses["abstained"]:
        click.echo(
            f"{statuses['abstained']:,} of {len(rows):,} rows are below {abstain_below:g}: abstained.",
            err=True,
        )
    if failed:
        click.echo(f"{failed:,} of {len(rows):,} rows failed; see their status and error.", err=True)
    return 4 if failed else 0
