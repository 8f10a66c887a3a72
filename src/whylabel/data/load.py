"""Labelled texts and reasoning data, from wherever the recipe says they are."""

from __future__ import annotations

import random
from collections.abc import Sequence
from typing import TYPE_CHECKING

from whylabel.data.cells import is_missing, is_scalar, normalise_text, text_of
from whylabel.data.collect import collect_rows, row_ids
from whylabel.data.columns import (
    columns_of_splits,
    recognise_columns,
    recognise_id_column,
    require_column,
)
from whylabel.data.examples import Examples
from whylabel.data.findings import rows_inside_texts
from whylabel.data.reasonings import own_reasonings
from whylabel.data.rows import refuse_bad_rows
from whylabel.data.sources import Source, read_source, read_splits, with_extra_files
from whylabel.data.split import balanced, complete_splits, subsample
from whylabel.data.table import Stream, Table, stream_of_frame
from whylabel.data.unlabelled import described
from whylabel.errors import DataError
from whylabel.host.progress import say
from whylabel.recipe import DataConfig, ReasonerConfig, TaskConfig
from whylabel.recipe.reasoner import OWN_ROWS
from whylabel.text.labels import LabelSet
from whylabel.text.words import is_broken
from whylabel.types import Dataset, Example, QuestionAnswer

if TYPE_CHECKING:
    import pandas

Pairs = tuple[QuestionAnswer, ...]

_PREDICTED = frozenset({"label", "reasoning_status", "disagrees", "status"})
"""Columns that `predict` writes, and nobody else has together."""
_LABELLED = "name the column with the labels: data.label_column=NAME"


def load_dataset(config: DataConfig, task: TaskConfig, *, seed: int, limit: int | None = None) -> Dataset:
    """Return the labelled texts of a recipe in three splits. A row is read from disk when it is asked for.

    Columns are recognised by the first rows of train (`table.HEAD_ROWS`). `limit` caps the rows of each split, on
    top of `train_rows`, `validation_rows` and `test_rows`. Raises `DataError` if the data cannot be read as
    labelled texts, `LabelError` if a label is outside `task.labels` or there are fewer than two.
    """
    return _dataset(read_source(config), config, task, seed, limit)


def load_labelled(
    config: DataConfig, task: TaskConfig, *, seed: int, usual: Sequence[str | None] = ()
) -> tuple[Sequence[Example], dict[str, str]]:
    """Return labelled texts to evaluate on, and what was recognised: the test split of a source that has one, else
    all its rows.

    `usual` are the names of the text, label and id column where the recipe does not name them and the file has them.
    Raises what `load_dataset` does, `DataError` for the output of `predict`, and `LabelError` for a label outside
    `task.labels`.
    """
    streams = read_splits(config.source).streams
    split = "test" if "test" in streams else "train"
    head = streams[split].head
    if config.label_column is None and set(head.columns) >= _PREDICTED:
        raise DataError(
            "These labels were predicted by whylabel: a model would be compared with itself.",
            where=config.source,
            fix="name the column of the labels that people gave: data.label_column=input_label",
        )
    settings = ("text_column", "label_column", "id_column")
    names = {
        setting: name
        for setting, name in zip(settings, usual, strict=False)
        if getattr(config, setting) is None and name in head.columns
    }
    columns = recognise_columns(head, config.model_copy(update=names))
    rows = collect_rows({"train": streams[split]}, columns, task)
    noted = refuse_bad_rows(rows, config)
    usable = rows.usable().get("train")
    if usable is None or not len(usable):
        raise DataError("There is no labelled text here.", where=config.source, fix=_LABELLED)
    LabelSet.from_labels(rows.distinct_labels(usable), task.labels, where=config.source)
    numbers = subsample(usable, rows.keys, config.test_rows, seed)
    of_splits = {"rows_of": f"its {split} split"} if len(streams) > 1 else {}
    used = {setting: name for setting, name in names.items() if name is not None}
    return Examples(rows, numbers), {**used, **columns.inferred, **rows.inferred, **noted, **of_splits}


def dataset_from_frame(
    frame: pandas.DataFrame, config: DataConfig, task: TaskConfig, *, seed: int
) -> Dataset:
    """Return a DataFrame's labelled texts as `load_dataset` would those of a file; `source` is not read."""
    source = with_extra_files(Source({"train": stream_of_frame(frame)}), config)
    return _dataset(source, config, task, seed, None)


def load_reasoning(config: ReasonerConfig, *, seed: int, own: Pairs = ()) -> tuple[Pairs, Pairs]:
    """Return the (train, validation) rows of the reasoning data; `own` are those of the source `own`.

    Rows that miss a field are left out and said. Where no source has a validation split, `validation_rows`
    are taken from train, a quarter of it at most; equal questions stay together. Own rows are all trained on, except
    where there are no others. Raises `DataError` if the data cannot be read or a column is missing.
    """
    general = [source for source in config.sources if source != OWN_ROWS]
    if not general:
        say("Reasoning data: rows of your own alone; a quarter of them at most are held out for the gate.")
        train, held_out = _hold_out(own, min(config.validation_rows, len(own) // 4), seed)
        return tuple(train), tuple(held_out)
    read = {name: read_splits(name).streams for name in general}
    train = [row for name, streams in read.items() for row in _usable(name, streams["train"], config)]
    held_out = [
        row
        for name, streams in read.items()
        if "validation" in streams
        for row in _pairs(streams["validation"].whole(), config)
    ]
    if any("validation" in streams for streams in read.values()):
        held_out = _sample(held_out, config.validation_rows, seed)
    else:
        train, held_out = _hold_out(train, min(config.validation_rows, len(train) // 4), seed)
        if len(held_out) < config.validation_rows:
            say(f"Reasoning data: {len(held_out)} validation rows, a quarter of what there is.")
    return (*_sample(train, config.rows, seed), *own), tuple(held_out)


def _usable(name: str, stream: Stream, config: ReasonerConfig) -> list[QuestionAnswer]:
    """Return the rows of a source. Raises `DataError` if there is none."""
    found = _pairs(stream.whole(), config)
    if not found:
        raise DataError(
            "No row of the reasoning data can be used.",
            where=name,
            fix="check the columns: reasoner.question_column, answer_column and reasoning_column",
        )
    return found


def _dataset(source: Source, config: DataConfig, task: TaskConfig, seed: int, limit: int | None) -> Dataset:
    columns = columns_of_splits(source.heads(), config)
    rows = collect_rows(source.streams, columns, task)
    noted = refuse_bad_rows(rows, config)
    for split in rows.set_aside:
        say(f"Warning: {described(rows, split)}.")
        noted[f"{split}_set_aside"] = f"{len(rows.splits[split]):,} rows without labels"
    for finding in rows_inside_texts(rows, source.heads(), columns):
        say(f"Warning: {finding.message}.")
    usable = rows.usable()
    if not len(usable["train"]):
        fix = "fill its texts and labels, or name another file"
        raise DataError("The train split has no usable row.", where=config.source, fix=fix)
    every = [label for numbers in usable.values() for label in rows.distinct_labels(numbers)]
    labels = LabelSet.from_labels(every, task.labels, where=config.source)
    split_seed = config.seed_of_splits(seed)
    splits, cut = complete_splits(usable, rows.keys, config, split_seed)
    # A sample keeps what people have written, as far as there is room for it.
    written = rows.with_reasoning
    if config.train_rows_per_label is not None:
        splits["train"] = balanced(
            splits["train"], rows.keys, config.train_rows_per_label, seed, first=written
        )
    caps = {"train": config.train_rows, "validation": config.validation_rows, "test": config.test_rows}
    for split, cap in caps.items():
        bounds = [bound for bound in (cap, limit) if bound is not None]
        splits[split] = subsample(
            splits[split],
            rows.keys,
            min(bounds, default=None),
            seed if split == "train" else split_seed,
            first=written if split == "train" else (),
        )
    if columns.reasoning is not None:
        noted["own_reasonings"] = own_reasonings(rows, splits, columns.reasoning, config.bad_rows)
    return Dataset(
        **{
            split: Examples(
                rows,
                numbers,
                trained_on=split == "train",
                streams=source.streams,
                text_column=columns.text,
            )
            for split, numbers in splits.items()
        },
        labels=labels.names,
        inferred={**source.inferred, **columns.inferred, **rows.inferred, **cut, **noted},
    )


def _pairs(table: Table, config: ReasonerConfig) -> list[QuestionAnswer]:
    names = (config.question_column, config.answer_column, config.reasoning_column)
    settings = ("question_column", "answer_column", "reasoning_column")
    for name, setting in zip(names, settings, strict=True):
        require_column(table, name, f"reasoner.{setting}")
    cells = list(zip(*(table.columns[name] for name in names), strict=True))
    joined = ["\n".join(map(text_of, row)) for row in cells]
    ids = row_ids(table, recognise_id_column(table, names), joined, {})
    pairs = [
        QuestionAnswer(row_id, *map(text_of, row))
        for row_id, row in zip(ids, cells, strict=True)
        if not any(is_missing(cell) or not is_scalar(cell) or is_broken(str(cell)) for cell in row)
    ]
    left_out = len(cells) - len(pairs)
    if left_out:
        say(
            f"Left out {left_out} of {len(cells)} rows of {table.name}: "
            "question, answer or reasoning is missing."
        )
    return pairs


def _sample(rows: Sequence[QuestionAnswer], count: int | None, seed: int) -> list[QuestionAnswer]:
    if count is None or count >= len(rows):
        return list(rows)
    drawn = random.Random(seed).sample(range(len(rows)), count)
    return [rows[at] for at in sorted(drawn)]


def _hold_out(
    rows: Sequence[QuestionAnswer], count: int, seed: int
) -> tuple[list[QuestionAnswer], list[QuestionAnswer]]:
    groups: dict[str, list[int]] = {}
    for at, row in enumerate(rows):
        groups.setdefault(normalise_text(row.question), []).append(at)
    members = list(groups.values())
    random.Random(seed).shuffle(members)
    taken: set[int] = set()
    for group in members:
        # A group that is too large is passed over, so that the count is not overshot.
        if len(taken) + len(group) <= count:
            taken.update(group)
    rest = [row for at, row in enumerate(rows) if at not in taken]
    return rest, [rows[at] for at in sorted(taken)]
