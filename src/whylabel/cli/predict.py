"""`whylabel predict`: label a file, or lines on stdin."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import closing
from dataclasses import dataclass
from itertools import chain
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, get_args

import click

from whylabel.cli.interrupts import if_interrupted
from whylabel.cli.options import debug_option, prediction_options
from whylabel.types import Mode, Prediction, PredictionEngine

if TYPE_CHECKING:
    from whylabel.cli.prediction_files import Layout
    from whylabel.data.texts import TextRow, Texts
    from whylabel.prediction.card import ModelCard
    from whylabel.prediction.doubt import MostDoubtful
    from whylabel.prediction.trained import TrainedClassifier
    from whylabel.recipe import PredictionEngineConfig


@dataclass(frozen=True, slots=True)
class _Request:
    """The request: the options of the command line that concern model and rows."""

    model: str
    input_path: Path | None
    mode: Mode | None
    abstain_below: float
    evidence: bool
    show_all: bool
    review_share: float | None
    review_by: Literal["probability", "both"]
    text_column: str | None
    id_column: str | None
    columns: str
    device: str
    engine: str
    engine_options: tuple[str, ...]
    distributed: str | None
    address: str | None
    workers: int | None


@click.command("predict")
@click.option("--model", required=True, help="A run folder, or a model folder inside one.")
@prediction_options
@click.option(
    "--text-column",
    help="The column with the text. [default: the one that the model was trained on, else recognised]",
)
@click.option(
    "--id-column",
    help="The column with the row id. [default: the one of the training data, else one called id]",
)
@click.option(
    "--review-share",
    type=click.FloatRange(0, 1),
    metavar="SHARE",
    help="Add the column to_review: whether a row is among this share of all rows (rounded up), the most doubtful "
    "ones, which a person should see. The report says how many errors that catches. Without --output, all rows are "
    "printed at the end.",
)
@click.option(
    "--review-by",
    type=click.Choice(["probability", "both"]),
    default="probability",
    show_default=True,
    help="What makes a row doubtful: a low probability of its label; with both, rows come first that would get "
    "another label without the reasoning.",
)
@click.option("--device", default="auto", show_default=True, help="auto, cpu, cuda ...")
@click.option(
    "--engine",
    type=click.Choice(get_args(PredictionEngine)),
    default="auto",
    show_default=True,
    help="What writes reasonings. auto: openvino on a CPU if it is installed and there are enough rows to pay for "
    "its start, else transformers. Labels are the same but for rounding.",
)
@click.option(
    "--engine-option",
    "engine_options",
    multiple=True,
    metavar="KEY=VALUE",
    help="A setting of this engine, as in the recipe's engine_options; several are allowed.",
)
@click.option(
    "--distributed",
    type=click.Choice(["ray"]),
    help="ray: reasonings are written by the workers of a cluster.",
)
@click.option("--address", help="The cluster, as in augment.engine.address. [default: one on this machine]")
@click.option("--workers", type=click.IntRange(min=1), help="Worker processes on the cluster.")
@debug_option
def command(output: Path | None, **request: Any) -> int:
    """Label texts: id, label, the probability of every label, reasoning and status of each.

    The columns of the input come first, in their order. If one has the name of a prediction's column, it gets the
    prefix input_ in the output (label becomes input_label). A column id with the row ids is the predictions' id.

    If a text may have several labels, `label` has them with separators between them, and `labels` has them as a list
    (JSONL, Parquet). Each label has its own probability.

    A reasoning is shown if it passes the model's filters and leads to the label. Otherwise `reasoning` is empty, and
    `reasoning_status` says why (`withheld: ungrounded`). An `afterthought` is a reasoning on which the label hardly
    rests. `disagrees` says whether the model would give another label without a reasoning.

    With --output, finished rows are kept in OUTPUT.partial until all rows are finished. If the command is stopped or
    killed, the same command continues there. A file that holds anything but predictions is never replaced.

    The exit code is 4 if a row failed (its status and error say why). Every row of the input is in the output.
    """
    return _predict(_Request(**request), output)


def _predict(request: _Request, output: Path | None) -> int:
    from whylabel.cli.prediction_files import Layout
    from whylabel.cli.prediction_output import checked_output
    from whylabel.host.progress import say

    if output is not None:
        sources = [request.input_path] if request.input_path else []
        output = checked_output(output, request.model, sources)
    card = _card(request)
    _engine(request)  # what is wrong with it is said before anything is read
    texts = _texts(request, card)
    carried: Literal["none", "all"] = "none" if request.columns == "none" else "all"
    layout = Layout.of(
        texts, card, carried, evidence=request.evidence, review=request.review_share is not None
    )
    for name, other in layout.renamed.items():
        say(f"column {name!r} of the input is {other!r} in the output")
    statuses = _print(request, layout) if output is None else _write(request, layout, output)
    if statuses["abstained"]:
        say(
            f"{statuses['abstained']:,} of {len(texts):,} rows are below {request.abstain_below:g}: abstained."
        )
    if statuses["failed"]:
        say(f"{statuses['failed']:,} of {len(texts):,} rows failed; see their status and error.")
    return 4 if statuses["failed"] else 0


def _card(request: _Request) -> ModelCard:
    """Return the model's card, without loading the model. Raises `ModelError` if it cannot do what is requested."""
    from whylabel.errors import UsageError
    from whylabel.models.load import read_card
    from whylabel.prediction.card import ModelCard
    from whylabel.prediction.trained import model_folder

    folder = model_folder(request.model)
    card = ModelCard.from_json(read_card(folder), folder)
    card.check_mode(request.mode or card.mode)
    if request.abstain_below > 0:
        card.check_abstaining()
    mode = request.mode or card.mode
    if request.review_by == "both" and not card.compares(mode):
        raise UsageError(
            f"In mode {mode} this model does not say whether it would label otherwise without a reasoning.",
            where="--review-by both",
            fix="leave it out, or choose a mode of a dual model that reasons: --mode reasoned",
        )
    return card


def _texts(request: _Request, card: ModelCard) -> Texts:
    """Return the rows, and say which columns they are taken from."""
    from whylabel.cli.prediction_files import read_lines
    from whylabel.data.texts import load_texts, texts_of_lines
    from whylabel.host.progress import say

    if request.input_path is None:
        return texts_of_lines("stdin", read_lines())
    trained = card.columns
    texts = load_texts(
        request.input_path,
        text_column=request.text_column,
        id_column=request.id_column,
        trained_text=trained.text if trained else None,
        trained_id=trained.id if trained else None,
    )
    for what, choice in (("texts", texts.text_column), ("ids", texts.id_column)):
        column = "" if choice.name is None else f"column {choice.name!r}, "
        say(f"{what}: {column}{choice.why}")
    return texts


def _print(request: _Request, layout: Layout) -> Counter[str]:
    """Print each prediction as soon as it is computed."""
    import sys

    from whylabel.data.writers import json_writer
    from whylabel.host.progress import progress

    statuses: Counter[str] = Counter()
    rows = len(layout.texts)

    def interrupted() -> str:
        if doubtful.wanted:
            return (
                "No row was printed yet, and nothing is kept. With --output FILE the command would continue."
            )
        return (
            f"{statuses.total():,} of {rows:,} rows were printed and are valid, but nothing is kept: the same "
            "command starts again with the first row. With --output FILE it would continue."
        )

    put = json_writer(sys.stdout)
    doubtful = _doubtful(request, layout.card)
    waiting: list[tuple[TextRow, Prediction]] = []
    with if_interrupted(interrupted):
        classifier = _classifier(request)
        with closing(classifier), progress("predict", total=rows) as bar:
            for _, row, prediction in _predictions(classifier, request, layout.texts, lambda _number: False):
                if doubtful.wanted:
                    doubtful.add(prediction)
                    waiting.append((row, prediction))
                else:
                    put(layout.record(row, prediction))
                statuses[prediction.status] += 1
                bar.advance(1, prediction.tokens)
        marked = doubtful.places()
        for place, (row, prediction) in enumerate(waiting):
            put(layout.record(row, prediction, to_review=place in marked))
    return statuses


def _write(request: _Request, layout: Layout, output: Path) -> Counter[str]:
    """Write the predictions to a file, including those that an earlier process has kept."""
    from whylabel.host.atomic import remove_asides
    from whylabel.host.progress import progress, say
    from whylabel.prediction.journal import journal_path, open_journal

    kept = journal_path(output)
    rows = len(layout.texts)
    write = _writer(request, layout, output)
    with open_journal(kept, rows, _settings(request, layout)) as journal:

        def interrupted() -> str:
            if not journal.finished:
                return "No row was finished yet; the same command starts again with the first row."
            done = f"{journal.finished:,} of {rows:,} rows are kept in {kept}"
            return f"{done}: the same command continues with the rest."

        with if_interrupted(interrupted):
            if journal.changed:
                changed = ", ".join(journal.changed)
                say(f"{kept} was made with other settings ({changed}): it starts again")
            elif journal.finished:
                say(f"{journal.finished:,} of {rows:,} rows were finished earlier, and are kept in {kept}")
            remove_asides(output)
            if journal.finished < rows:
                classifier = _classifier(request)
                found = _predictions(classifier, request, layout.texts, journal.__contains__)
                with closing(classifier), progress("predict", total=rows, done=journal.finished) as bar:
                    for number, _, prediction in found:
                        journal.add(number, prediction)
                        bar.advance(1, prediction.tokens)
            statuses = write(journal.__getitem__)
            kept.unlink()
    say(f"{rows:,} rows in {output}")
    return statuses


def _doubtful(request: _Request, card: ModelCard) -> MostDoubtful:
    from whylabel.prediction.doubt import MostDoubtful

    return MostDoubtful(request.review_share, request.review_by, card.labels, card.multi_label)


def _writer(
    request: _Request, layout: Layout, output: Path
) -> Callable[[Callable[[int], Prediction]], Counter[str]]:
    """Return a function that writes the file, given the predictions by row number.

    The types of the columns are found now, before the first prediction.
    """
    from whylabel.data.writers import table_file

    suffix = output.suffix.lower()
    schema = layout.parquet_schema(request.input_path) if suffix == ".parquet" else layout.csv_schema()
    record = layout.csv_record if suffix == ".csv" else layout.record

    def write(prediction_of: Callable[[int], Prediction]) -> Counter[str]:
        statuses: Counter[str] = Counter()
        doubtful = _doubtful(request, layout.card)
        for number in range(len(layout.texts)) if doubtful.wanted else ():
            doubtful.add(prediction_of(number))
        marked = doubtful.places()
        with table_file(output, schema) as put:
            for number, row in enumerate(chain.from_iterable(layout.texts.pieces())):
                prediction = prediction_of(number)
                put(record(row, prediction, to_review=number in marked))
                statuses[prediction.status] += 1
        return statuses

    return write


def _settings(request: _Request, layout: Layout) -> dict[str, Any]:
    """Return everything that must be equal for predictions to belong in one file."""
    from whylabel.models.fingerprint import model_fingerprint
    from whylabel.prediction.trained import model_folder
    from whylabel.text.hashes import fingerprint
    from whylabel.version import __version__

    weights = model_fingerprint(str(model_folder(request.model)))
    return {
        "model": fingerprint(weights, layout.card.to_json()),
        "input": layout.texts.digest,
        "text column": layout.texts.text_column.name,
        "id column": layout.texts.id_column.name,
        "mode": request.mode or layout.card.mode,
        "abstain-below": request.abstain_below,
        "evidence": request.evidence,
        "show-all": request.show_all,
        "columns": request.columns,
        "device": request.device,
        "version of whylabel": __version__,
    }


def _classifier(request: _Request) -> TrainedClassifier:
    from whylabel.prediction.trained import TrainedClassifier

    engine, options = _engine(request)
    return TrainedClassifier.from_folder(
        request.model,
        device=request.device,
        engine=engine,
        engine_options=options,
        engine_setting="--engine",
    )


def _engine(request: _Request) -> tuple[PredictionEngineConfig, dict[str, Any]]:
    """Return the engine that is requested, with its options. Raises `WhylabelError` if it cannot be had."""
    import yaml
    from pydantic import ValidationError

    from whylabel.engines.check import check_engine, named_after
    from whylabel.errors import UsageError
    from whylabel.recipe import PredictionEngineConfig

    options = {}
    for given in request.engine_options:
        key, equals, value = given.partition("=")
        if not equals or not key:
            raise UsageError(f"--engine-option {given!r} is no KEY=VALUE.", fix="--engine-option threads=2")
        options[key] = yaml.safe_load(value)
    try:
        config = PredictionEngineConfig(
            name=request.engine,
            distributed=request.distributed,
            address=request.address,
            **({} if request.workers is None else {"workers": request.workers}),
        )
    except ValidationError as error:
        what = (
            error.errors()[0]["msg"]
            .removeprefix("Value error, ")
            .replace("distributed: ray", "--distributed ray")
        )
        raise UsageError(f"{what}.", where="--engine") from None
    with named_after("--engine"):
        check_engine(config.name, options, distributed=config.distributed is not None)
    return config, options


def _predictions(
    classifier: TrainedClassifier, request: _Request, texts: Texts, is_done: Callable[[int], bool]
) -> Iterator[tuple[int, TextRow, Prediction]]:
    """Yield (row number, counted from 0, row, prediction) for every row that is not done."""
    number = 0
    for rows in texts.pieces():
        waiting = [(place, row) for place, row in enumerate(rows, number) if not is_done(place)]
        number += len(rows)
        found = classifier.predict(
            [(row.id, row.text) for _, row in waiting],
            request.mode,
            abstain_below=request.abstain_below,
            evidence=request.evidence,
            show_all=request.show_all,
        )
        for (place, row), prediction in zip(waiting, found, strict=True):
            yield place, row, prediction
