"""Whatever bytes a file holds, each parser reads it or refuses it with an error of ours that names the file."""

import contextlib
import json

import pytest
import yaml
from hypothesis import example, given, settings
from hypothesis import strategies as st

from whylabel.data.delimited import DELIMITERS
from whylabel.data.list_cells import bare_lists, is_interval, labels_of_object, parsed
from whylabel.data.readers import read_table
from whylabel.errors import RecipeError, WhylabelError
from whylabel.evaluation.predictions import read_predictions
from whylabel.recipe import Recipe, load_recipe

MANY = settings(max_examples=150)
_SIGNS = st.sampled_from("\n\r\t,;|\"'{}[]:#&*!-=<>\\ abc01é\u2028\ufeff\0")
_TEXTS = st.text(_SIGNS, max_size=60) | st.text(max_size=40)
_BYTES = st.binary(max_size=80) | _TEXTS.map(lambda text: text.encode("utf-8", "surrogatepass"))
_MARKS = st.sampled_from(
    [b"", b"\xef\xbb\xbf", b"\xff\xfe", b"\xfe\xff", b"\xff\xfe\0\0", b"sep=;\n", b'"sep=\t"\n']
)
_VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | _TEXTS,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(_TEXTS, inner, max_size=3),
    max_leaves=8,
)


def refused_by_name(read, path):
    """Return what a parser gives, or None if it refuses the file by name. Other errors are faults."""
    try:
        return read(path)
    except WhylabelError as error:
        assert path.name in str(error)
        return None


@pytest.mark.parametrize("suffix", [".csv", ".tsv", ".jsonl", ".json", ".parquet"])
@MANY
@given(mark=_MARKS, content=_BYTES)
@example(mark=b"", content=b'a\tb\n"c\td\n')
@example(mark=b"\xff\xfe", content=b"a")
def test_a_table_is_read_or_refused(tmp_path, suffix, mark, content):
    path = tmp_path / f"table{suffix}"
    path.write_bytes(mark + content)
    table = refused_by_name(read_table, path)
    if table is not None:
        assert len(table) > 0 and all(len(cells) == len(table) for cells in table.columns.values())


@pytest.mark.parametrize("suffix", [".jsonl", ".json"])
@MANY
@given(rows=st.lists(_VALUES, min_size=1, max_size=4))
def test_json_values_are_rows_or_refused(tmp_path, suffix, rows):
    path = tmp_path / f"table{suffix}"
    text = "\n".join(map(json.dumps, rows)) if suffix == ".jsonl" else json.dumps(rows)
    path.write_text(text)
    table = refused_by_name(read_table, path)
    assert table is None or all(isinstance(row, dict) for row in rows)


@MANY
@given(
    rows=st.lists(
        st.lists(st.text(_SIGNS.filter(lambda sign: sign != "\0"), max_size=9), min_size=2, max_size=2)
    ),
    delimiter=st.sampled_from(DELIMITERS),
)
def test_a_quoted_table_comes_back_as_it_was(tmp_path, rows, delimiter):
    path = tmp_path / "table.csv"
    quoted = ["text" + delimiter + "label", *(delimiter.join(_quoted(cell) for cell in row) for row in rows)]
    path.write_text("\n".join(quoted) + "\n", encoding="utf-8", newline="")
    table = refused_by_name(read_table, path)
    assert (table is None) == (not rows)
    if table is not None:
        assert list(map(list, zip(table.columns["text"], table.columns["label"], strict=True))) == rows


def _quoted(cell):
    return '"' + cell.replace('"', '""') + '"'


@MANY
@given(content=_BYTES)
@example(content=b"? [a]\n: 1")
@example(content=b"a: !!binary =")
def test_a_recipe_is_read_or_refused(tmp_path, content):
    path = tmp_path / "recipe.yaml"
    path.write_bytes(content)
    recipe = refused_by_name(load_recipe, path)
    assert recipe is None or isinstance(recipe, Recipe)


_KEYS = st.sampled_from([*Recipe.model_fields, "labels", "question", "source", "names", "<<", ""])


@MANY
@given(values=st.dictionaries(_KEYS, _VALUES | st.dictionaries(_KEYS, _VALUES, max_size=3), max_size=4))
def test_values_of_a_recipe_are_taken_or_refused(tmp_path, values):
    path = tmp_path / "recipe.yaml"
    path.write_text(yaml.safe_dump(values), encoding="utf-8")
    refused_by_name(load_recipe, path)


@MANY
@given(override=_TEXTS)
@example(override="a.b=[")
def test_an_override_is_taken_or_refused(tmp_path, override):
    path = tmp_path / "recipe.yaml"
    path.write_text("seed: 1\n")
    with contextlib.suppress(RecipeError):
        load_recipe(path, [override])


@MANY
@given(cell=_TEXTS | _VALUES.map(str) | _VALUES.map(json.dumps))
@example(cell="[" * 3000)
@example(cell="{1: [2], 1: None}")
def test_a_label_cell_is_a_list_or_a_text(cell):
    value = parsed(cell)
    is_interval(value)
    bare_lists([cell, cell])
    if isinstance(value, dict):
        labels_of_object(value)


@MANY
@given(at=st.floats(0, 1), length=st.integers(0, 40), content=st.binary(max_size=40))
def test_a_damaged_file_of_predictions_is_read_or_refused(finished_run, tmp_path, at, length, content):
    whole = finished_run.predictions.read_bytes()
    place = int(at * len(whole))
    path = tmp_path / "predictions.parquet"
    path.write_bytes(whole[:place] + content + whole[place + length :])
    refused_by_name(read_predictions, path)
