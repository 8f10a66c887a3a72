"""Some 400 files that are wrong, written anew for each run: tables, recipes, label lists, runs, models, decisions.

`bad_tables()` and its like give `BadFile`s. Each writes itself into a folder, and says which words a message must
have beside the name of the file: the place (`line 4`), the column.
"""

from __future__ import annotations

import gzip
import io
import json
import os
import pickle
import zipfile
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pyarrow
import yaml
from pyarrow import parquet

ROWS = [
    {"id": f"r{number}", "text": f"It was a {word} day number {number}", "label": label}
    for number, (word, label) in enumerate(
        [("bright", "joy"), ("grey", "sad"), ("warm", "joy"), ("black", "sad")] * 6, start=1
    )
]
DELIMITED = {".csv": ",", ".tsv": "\t"}
TEXT_FORMATS = (".csv", ".tsv", ".jsonl", ".json")


@dataclass(frozen=True)
class BadFile:
    """A file or folder that is wrong, and what a message about it must name."""

    name: str
    content: bytes | Callable[[Path], object]
    says: tuple[str, ...] = ()
    labels_only: bool = False
    """Only labels are wrong: verbs that want texts alone may take the file."""
    taken_by: tuple[str, ...] = ()
    """Verbs for which nothing is wrong with the file."""

    @property
    def title(self) -> str:
        return self.name

    def write(self, folder: Path) -> Path:
        path = folder / self.name
        if isinstance(self.content, bytes):
            path.write_bytes(self.content)
        else:
            self.content(path)
        return path


# -- tables ------------------------------------------------------------------------------------------------


def table(suffix: str, rows: Sequence[dict[str, Any]]) -> bytes:
    """Return the rows in a format; a row may lack columns."""
    columns = list(dict.fromkeys(name for row in rows for name in row))
    if suffix == ".jsonl":
        return "".join(json.dumps(row) + "\n" for row in rows).encode()
    if suffix == ".json":
        return json.dumps(rows, indent=1).encode()
    if suffix == ".parquet":
        content = io.BytesIO()
        parquet.write_table(
            pyarrow.table({name: [row.get(name) for row in rows] for name in columns}), content
        )
        return content.getvalue()
    lines = [columns, *([str(row.get(name) or "") for name in columns] for row in rows)]
    return "".join(DELIMITED[suffix].join(line) + "\n" for line in lines).encode()


def bad_tables() -> Iterator[BadFile]:
    for suffix in TEXT_FORMATS:
        yield from _no_text_at_all(suffix)
        yield from _wrong_bytes(suffix)
    for suffix in (*TEXT_FORMATS, ".parquet"):
        yield from _wrong_cells(suffix)
    for suffix, delimiter in DELIMITED.items():
        yield from _delimited(suffix, delimiter)
    yield from _json_lines()
    yield from _json()
    yield from _parquet()
    yield from _no_files()


def _no_text_at_all(suffix: str) -> Iterator[BadFile]:
    good = table(suffix, ROWS)
    zipped = io.BytesIO()
    with zipfile.ZipFile(zipped, "w") as archive:
        archive.writestr("xl/workbook.xml", good)
    for name, content in {
        "empty": b"",
        "blank": b" \n\t\n\n",
        "byte-order-mark-alone": b"\xef\xbb\xbf",
        "gzip": gzip.compress(good),
        "spreadsheet": zipped.getvalue(),
        "picture": b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR" + bytes(range(256)),
        "parquet": table(".parquet", ROWS),
        "pickle": pickle.dumps(ROWS),
        "zeros": bytes(4096),
        "random": bytes((number * 7919) % 251 for number in range(4096)),
        "program": b"\x7fELF" + bytes(60) + os.urandom(64),
    }.items():
        yield BadFile(f"{name}{suffix}", content)
    yield BadFile(
        f"large-file-pointer{suffix}",
        b"version https://git-lfs.github.com/spec/v1\noid sha256:4d7a\nsize 12345\n",
    )
    yield BadFile(
        f"log-in-page{suffix}", b"<!DOCTYPE html>\n<html><body>\n<p>Log in, please</p></body></html>\n"
    )


def _wrong_bytes(suffix: str) -> Iterator[BadFile]:
    good = table(suffix, ROWS)
    at = good.index(b"grey")
    line = good.count(b"\n", 0, at) + 1
    for name, content in {
        "latin-1": good.replace(b"grey", b"gr\xfcn", 1),
        "overlong": good.replace(b"grey", b"gr\xc0\xafy", 1),
        "half-a-character": good.replace(b"grey", b"gr\xed\xa0\x80y", 1),
        "cut-character": good.replace(b"grey", b"gr\xe2\x82", 1),
        "nul": good.replace(b"grey", b"gr\0y", 1),
    }.items():
        yield BadFile(f"{name}{suffix}", content, (f"line {line}",))
    yield BadFile(f"utf-16-without-mark{suffix}", good.decode().encode("utf-16-le"), ("line 1",))
    yield BadFile(f"utf-16-cut{suffix}", good.decode().encode("utf-16")[:-1])


def _wrong_cells(suffix: str) -> Iterator[BadFile]:
    """Rows that cannot be used in a file that can be read. Messages name the id of the row."""
    for name, column, value in (
        ("no-text", "text", None),
        ("blank-text", "text", "  "),
        ("no-label", "label", None),
        ("blank-label", "label", "   "),
    ):
        rows = [{**row} for row in ROWS]
        rows[2][column] = value
        yield BadFile(f"{name}{suffix}", table(suffix, rows), ("r3",), labels_only=True)
    once = [{**row, "id": "r1" if number == 4 else row["id"]} for number, row in enumerate(ROWS)]
    yield BadFile(f"id-twice{suffix}", table(suffix, once), ("r1",), labels_only=True)
    one = table(suffix, [{**row, "label": "joy"} for row in ROWS])
    yield BadFile(f"one-label{suffix}", one, labels_only=True, taken_by=("evaluate --data",))
    unnamed = [{"a": row["id"], "b": row["id"]} for row in ROWS]
    yield BadFile(f"unknown-columns{suffix}", table(suffix, unnamed), labels_only=True)
    yield BadFile(
        f"no-label-column{suffix}", table(suffix, [{"text": row["text"]} for row in ROWS]), labels_only=True
    )
    if suffix in (".jsonl", ".json", ".parquet"):
        lists = [{**row, "label": [row["label"]]} for row in ROWS]
        several = table(suffix, lists)
        yield BadFile(f"labels-in-lists{suffix}", several, labels_only=True, taken_by=("inspect",))
        nested = [{**row, "text": {"en": row["text"]}} for row in ROWS]
        yield BadFile(f"texts-in-objects{suffix}", table(suffix, nested), labels_only=True)


def _delimited(suffix: str, delimiter: str) -> Iterator[BadFile]:
    lines = table(suffix, ROWS).decode().splitlines()
    width = f"line 4 has {len(lines[0].split(delimiter)) + 1}"

    def with_line(number: int, line: str) -> bytes:
        return "\n".join([*lines[: number - 1], line, *lines[number:], ""]).encode()

    d = delimiter
    yield BadFile(f"field-too-many{suffix}", with_line(4, lines[3] + d + "more"), (width,))
    yield BadFile(f"field-too-few{suffix}", with_line(4, "alone"), ("line 4 has 1",))
    yield BadFile(f"header-alone{suffix}", (lines[0] + "\n").encode())
    yield BadFile(f"column-twice{suffix}", with_line(1, d.join(["id", "text", "text"])), ("text",))
    yield BadFile(
        f"name-with-control{suffix}", with_line(1, d.join(["id", "te\x07xt", "la\x1bbel"])), labels_only=True
    )
    yield BadFile(f"other-delimiter{suffix}", "\n".join(lines).replace(d, "^").encode(), labels_only=True)
    conflict = f"<<<<<<< HEAD\n{lines[3]}\n=======\n{lines[4]}\n>>>>>>> other"
    yield BadFile(f"merge-conflict{suffix}", with_line(4, conflict), ("line 4",))
    if suffix == ".csv":
        yield BadFile("open-quote.csv", with_line(4, 'r3,"It never ends,joy'), ("line 4",))
        yield BadFile("quote-inside.csv", with_line(4, 'r3,"It "ends" here",joy'), ("line 4",))
        yield BadFile("after-quote.csv", with_line(4, 'r3,"It ends"here,joy'), ("line 4",))
        yield BadFile("unquoted-break.csv", with_line(4, "r3,It\nends,joy"), ("line 4",))
        yield BadFile(
            "half-a-row-at-the-end.csv", "\n".join([*lines, "r99"]).encode(), (f"line {len(lines) + 1}",)
        )
        wide = ",".join(f"c{number}" for number in range(20_000))
        yield BadFile("many-columns.csv", f"{wide}\n1,2\n".encode(), ("line 2",))


def _json_lines() -> Iterator[BadFile]:
    lines = table(".jsonl", ROWS).decode().splitlines()
    for name, line in {
        "cut": lines[3][:20],
        "list": "[1, 2]",
        "number": "7",
        "text-alone": '"a text"',
        "null": "null",
        "python": str(ROWS[3]),
        "two-in-a-line": lines[3] + lines[4],
        "comment": "// a comment",
        "comma": lines[3] + ",",
        "key-without-quotes": '{text: "a", label: "joy"}',
        "nested": "[" * 100_000,
        "nested-objects": '{"a":' * 50_000,
        "digits": '{"text": "a", "label": ' + "9" * 5000 + "}",
        "control": '{"text": "a\x01b", "label": "joy"}',
        "escape": '{"text": "\\x41", "label": "joy"}',
    }.items():
        content = "\n".join([*lines[:3], line, *lines[4:]])
        yield BadFile(f"{name}.jsonl", content.encode(), ("line 4",))
    for name, text in {"half-a-character-escaped": "\\ud800", "nul-escaped": "\\u0000"}.items():
        line = '{"id": "r4", "text": "a ' + text + '", "label": "joy"}'
        content = "\n".join([*lines[:3], line, *lines[4:]])
        yield BadFile(f"{name}.jsonl", content.encode(), ("r4",), labels_only=True)


def _json() -> Iterator[BadFile]:
    good = table(".json", ROWS).decode()
    for name, content, says in (
        ("cut", good[: len(good) // 2], ("line",)),
        ("object", json.dumps({"rows": ROWS}), ()),
        ("columns", json.dumps({"text": ["a"], "label": ["b"]}), ()),
        ("words", json.dumps(["a", "b"]), ("row 1",)),
        ("lists", json.dumps([["a", "joy"]]), ("row 1",)),
        ("second-row-null", json.dumps([ROWS[0], None]), ("row 2",)),
        ("no-rows", "[]", ()),
        ("null", "null", ()),
        ("number", "3.5", ()),
        ("nested", "[" * 100_000, ()),
        ("rest", good + "}", ("line",)),
        ("no-columns", "[{}, {}]", ()),
    ):
        yield BadFile(f"{name}.json", content.encode(), says)


def _parquet() -> Iterator[BadFile]:
    good = table(".parquet", ROWS)
    footer = int.from_bytes(good[-8:-4], "little")
    middle = 4 + (len(good) - footer) // 2
    for name, content in {
        "empty": b"",
        "csv": table(".csv", ROWS),
        "magic-alone": b"PAR1",
        "magic-twice": b"PAR1PAR1",
        "encrypted": good[:-4] + b"PARE",
        "cut-at-the-end": good[:-20],
        "cut-at-the-start": good[20:],
        "first-half": good[: len(good) // 2],
        "footer-of-4-gib": good[:-8] + b"\xff\xff\xff\xff" + good[-4:],
        "footer-of-zeros": good[: -8 - footer] + bytes(footer) + good[-8:],
        "footer-turned": good[: -8 - footer] + good[-8 - footer : -8][::-1] + good[-8:],
        "pages-of-zeros": good[:4] + bytes(middle - 4) + good[middle:],
        "pages-of-ones": good[:4] + b"\xff" * (middle - 4) + good[middle:],
        "feather": b"ARROW1\0\0" + bytes(64) + b"ARROW1",
        "zip": b"PK\x03\x04" + bytes(64),
    }.items():
        yield BadFile(f"{name}.parquet", content)
    for name, columns in {
        "no-rows": {
            "text": pyarrow.array([], pyarrow.string()),
            "label": pyarrow.array([], pyarrow.string()),
        },
        "texts-of-bytes": {"text": [b"\xff\xfe"] * 8, "label": ["joy", "sad"] * 4},
        "texts-of-lists": {"text": [["a"], ["b"]] * 4, "label": ["joy", "sad"] * 4},
        "all-empty": {
            "text": pyarrow.nulls(8, pyarrow.string()),
            "label": pyarrow.nulls(8, pyarrow.string()),
        },
        "labels-of-objects": {"text": list("abcdefgh"), "label": [{"a": 1}, {"a": 2}] * 4},
    }.items():
        content = io.BytesIO()
        parquet.write_table(pyarrow.table(columns), content)
        yield BadFile(f"{name}.parquet", content.getvalue(), labels_only=name != "no-rows")
    content = io.BytesIO()
    twice = pyarrow.Table.from_arrays([pyarrow.array(["a"]), pyarrow.array(["b"])], names=["text", "text"])
    parquet.write_table(twice, content)
    yield BadFile("column-twice.parquet", content.getvalue(), ("text",))


def _no_files() -> Iterator[BadFile]:
    good = table(".csv", ROWS)
    yield BadFile("absent.csv", lambda path: None)
    yield BadFile("a-folder.csv", lambda path: path.mkdir())
    yield BadFile("pipe.csv", os.mkfifo)
    yield BadFile("link-to-nothing.csv", lambda path: path.symlink_to("nowhere.csv"))
    yield BadFile("link-to-itself.csv", lambda path: path.symlink_to(path.name))
    yield BadFile("device.csv", lambda path: path.symlink_to("/dev/zero"))
    yield BadFile("table.xlsx", good)
    yield BadFile("table.xls", good)
    yield BadFile("table.csv.gz", gzip.compress(good))
    yield BadFile("table.docx", good)
    yield BadFile("table", good)
    yield BadFile("table.parquet.crdownload", good)


def bad_folders() -> Iterator[BadFile]:
    """Folders with splits."""
    good = table(".csv", ROWS)

    def holding(**files: bytes) -> Callable[[Path], None]:
        def write(path: Path) -> None:
            path.mkdir()
            for name, content in files.items():
                (path / name.replace("__", "-").replace("_", ".")).write_bytes(content)

        return write

    yield BadFile("no-files", holding())
    yield BadFile("no-train", holding(test_csv=good))
    yield BadFile("two-trains", holding(train_csv=good, train_jsonl=table(".jsonl", ROWS)), ("train",))
    yield BadFile("bad-test", holding(train_csv=good, test_csv=b"\xff\xfe\xff"), ("test.csv",))
    yield BadFile("empty-test", holding(train_csv=good, test_csv=b""), ("test.csv",))
    yield BadFile("test-without-rows", holding(train_csv=good, test_csv=b"id,text,label\n"), ("test.csv",))
    yield BadFile("missing-part", holding(train__00000__of__00002_csv=good), ("train-00001-of-00002",))
    parts = {"train__00000__of__00002_csv": good, "train__00001__of__00002_csv": b"words,kind\na,b\n"}
    yield BadFile("parts-that-differ", holding(**parts), ("train-00001-of-00002",))


# -- recipes -----------------------------------------------------------------------------------------------

_WRONG_YAML = {
    "tab": "training:\n\tseed: 1\n",
    "open-quote": 'name: "run\nseed: 1\n',
    "open-list": "task:\n  labels: [a, b\nseed: 1\n",
    "open-map": "task: {question: a\n",
    "colon": "task:\n  question: Which: one\n",
    "key-twice": "seed: 1\nseed: 2\n",
    "section-twice": "task:\n  name: A\ntask:\n  name: B\n",
    "indent": "task:\n  name: A\n   question: B\n",
    "unknown-anchor": "task: *nothing\n",
    "python-object": "task: !!python/object/apply:os.system ['true']\n",
    "python-name": "task: !!python/name:os.system\n",
    "unknown-tag": "task: !thing {a: 1}\n",
    "list": "- a\n- b\n",
    "word": "just a word\n",
    "number": "7\n",
    "two-documents": "seed: 1\n---\nseed: 2\n",
    "key-of-a-list": "? [a, b]\n: 1\n",
    "date": "name: 2024-13-45\n",
    "merge-of-a-word": "<<: word\nseed: 1\n",
    "nested": "a: " + "[" * 5000,
    "levels": "".join("  " * level + f"k{level}:\n" for level in range(60)),
    "aliases": "a: &a [x, x, x, x, x, x, x, x, x]\n"
    + "".join(f"{k}: &{k} [{', '.join([f'*{p}'] * 9)}]\n" for p, k in zip("abcdefg", "bcdefgh", strict=True)),
    "alias-of-itself": "a: &a [*a]\n",
    "merges": "a: &a {k: 1}\n"
    + "".join(
        f"{k}: &{k} {{<<: [{', '.join([f'*{p}'] * 9)}]}}\n" for p, k in zip("abcdefg", "bcdefgh", strict=True)
    ),
    "control": "name: a\x07\n",
    "directive": "%YAML 9.9\n---\nseed: 1\n",
    "binary": "name: !!binary '*'\n",
    "int-too-long": "seed: " + "9" * 5000 + "\n",
    "json": '{"seed": 1,,}',
    "percent": "name: %a\n",
    "at": "name: @a\n",
    "backtick": "name: `a`\n",
    "html": "<html>\n<p>Log in: now</p>\n</html>\n",
    "merge-conflict": "<<<<<<< HEAD\nseed: 1\n=======\nseed: 2\n>>>>>>> other\n",
}
_WRONG_VALUES: dict[str, Any] = {
    "seed": {"seed": -1},
    "seed-word": {"seed": "many"},
    "name": {"name": "../../etc"},
    "name-empty": {"name": ""},
    "base_model": {"base_model": ["a"]},
    "unknown": {"trainng": {}},
    "task.type": {"task": {"type": "regression"}},
    "task": {"task": "Which label?"},
    "data": {"data": []},
    "data.validation_fraction": {"data": {"validation_fraction": 1.5}},
    "data.train_rows": {"data": {"train_rows": 0}},
    "data.bad_rows": {"data": {"bad_rows": "ignore"}},
    "reasoner.endpoint": {"reasoner": {"endpoint": "file:///etc/passwd", "model": "a"}},
    "reasoner.endpoint-key": {"reasoner": {"endpoint": "http://me:secret@127.0.0.1/v1", "model": "a"}},
    "reasoner.endpoint-port": {"reasoner": {"endpoint": "http://127.0.0.1:99999/v1", "model": "a"}},
    "reasoner.endpoint-alone": {"reasoner": {"endpoint": "http://127.0.0.1/v1"}},
    "reasoner.data": {"reasoner": {"data": []}},
    "augment.condition": {"augment": {"condition": "sometimes"}},
    "augment.filters.drop_patterns": {"augment": {"filters": {"drop_patterns": ["("], "names": ["pattern"]}}},
    "training.learning_rate": {"training": {"learning_rate": "fast"}},
    "training.learning_rate-nan": {"training": {"learning_rate": float("nan")}},
    "training.max_steps": {"training": {"max_steps": -5}},
    "training.method": {"training": {"method": "magic"}},
    "classifier.target": {"classifier": {"target": "both"}},
    "classifier.votes": {"classifier": {"votes": 0}},
    "evaluation.rivals": {"evaluation": {"rivals": ["gpt"]}},
    "evaluation.bootstrap_samples": {"evaluation": {"bootstrap_samples": 1.5}},
    "prompt_style": {"prompt_style": "poem"},
    "nul": {"task": {"question": "a\0b"}},
}
_WRONG_LABELS: dict[str, Any] = {
    "word": "joy",
    "number": 3,
    "one": ["joy"],
    "none": [],
    "twice": ["joy", "sad", "joy"],
    "blank": ["joy", "sad", " "],
    "empty": ["joy", "sad", ""],
    "yes-and-no": [True, False],
    "numbers": [1, 2],
    "null": ["joy", None],
    "lists": [["joy"], ["sad"]],
    "described": {"joy": "what is good", "sad": "what is not"},
    "nul": ["joy", "sa\0d"],
    "spaces": ["joy", "sad", "sad "],
}
_OTHER_LABELS: dict[str, Any] = {
    "line-break": ["joy", "sa\nd"],
    "too-few": ["joy", "fear"],
    "many": [f"label {number}" for number in range(5000)],
}
"""Labels that may be meant: the rows that have others are at fault, and named."""


def bad_recipes() -> Iterator[BadFile]:
    for name, text in _WRONG_YAML.items():
        yield BadFile(f"{name}.yaml", text.encode("utf-8", "surrogatepass"))
    for name, values in _WRONG_VALUES.items():
        yield BadFile(
            f"value-{name}.yaml",
            yaml.safe_dump(values).encode(),
            (name.partition("-")[0],) if "." in name else (),
        )
    yield BadFile("latin-1.yaml", "name: a\ntask:\n  question: für\n".encode("latin-1"))
    yield BadFile("utf-16.yaml", "seed: 1\n".encode("utf-16"))
    yield BadFile("zeros.yaml", bytes(100))
    yield BadFile("gzip.yaml", gzip.compress(b"seed: 1\n"))
    yield BadFile("two-mib.yaml", b"# " + b"x" * 2**21)
    yield BadFile("absent.yaml", lambda path: None)
    yield BadFile("folder.yaml", lambda path: path.mkdir())
    yield BadFile("link-to-itself.yaml", lambda path: path.symlink_to(path.name))


def bad_label_lists(data: Path) -> Iterator[BadFile]:
    for name, labels in _WRONG_LABELS.items():
        values = {"data": {"source": str(data)}, "task": {"labels": labels}}
        yield BadFile(f"labels-{name}.yaml", yaml.safe_dump(values).encode(), (f"labels-{name}.yaml",))
    for name, labels in _OTHER_LABELS.items():
        values = {"data": {"source": str(data)}, "task": {"labels": labels}}
        yield BadFile(f"labels-{name}.yaml", yaml.safe_dump(values).encode(), (Path(data).name,))


# -- runs, models ------------------------------------------------------------------------------------------


def _another(content: Any) -> Any:
    """Return JSON with every value of another type."""
    if isinstance(content, dict):
        return {key: _another(value) for key, value in content.items()}
    return 7 if isinstance(content, str | list) else "seven"


_DAMAGE: dict[str, Callable[[bytes], bytes | None]] = {
    "missing": lambda _: None,
    "empty": lambda _: b"",
    "half": lambda content: content[: len(content) // 2],
    "zeros": lambda content: bytes(len(content)),
    "turned": lambda content: content[::-1],
}
_DAMAGE_OF_JSON: dict[str, Callable[[bytes], bytes]] = {
    "list": lambda _: b"[]",
    "null": lambda _: b"null",
    "no-keys": lambda _: b"{}",
    "other-types": lambda content: json.dumps(_another(json.loads(content))).encode(),
    "nested": lambda _: b"[" * 100_000,
}


def damages(folder: Path, files: Sequence[str]) -> Iterator[tuple[str, str, bytes | None]]:
    """Yield (file, damage, content) for each file of a folder; None where the file is to be missing."""
    for file in files:
        content = (folder / file).read_bytes()
        kinds = {**_DAMAGE, **_DAMAGE_OF_JSON} if file.endswith(".json") else _DAMAGE
        for name, damage in kinds.items():
            yield file, name, damage(content)


# -- decisions ---------------------------------------------------------------------------------------------


def bad_decisions(rows: Sequence[dict[str, Any]]) -> Iterator[BadFile]:
    """Yield files of decisions that are wrong; `rows` are those of an export (JSON lines)."""

    def changed(at: int = 1, **cells: Any) -> bytes:
        return table(
            ".jsonl", [{**row, **(cells if number == at else {})} for number, row in enumerate(rows)]
        )

    place = ("line 2",)
    yield BadFile("unknown-verdict.jsonl", changed(verdict="maybe"), place)
    yield BadFile("verdict-of-a-number.jsonl", changed(verdict=1), place)
    yield BadFile("verdict-of-a-list.jsonl", changed(verdict=["accepted"]), place)
    yield BadFile(
        "unknown-id.jsonl", changed(id="nobody", verdict="accepted", text="", reasoning_hash=""), place
    )
    yield BadFile("no-id.jsonl", changed(id=None, verdict="accepted", text="", reasoning_hash=""), place)
    yield BadFile("id-of-a-list.jsonl", changed(id=["r1"], verdict="accepted"), place)
    yield BadFile("emptied.jsonl", changed(verdict="edited", reasoning=""), place)
    yield BadFile("edited-nul.jsonl", changed(verdict="edited", reasoning="a\0b"), place)
    yield BadFile("edited-half.jsonl", changed(verdict="edited", reasoning="a\ud800"), place)
    yield BadFile(
        "cleared-and-edited.jsonl", changed(verdict="cleared", reasoning="another reasoning"), place
    )
    yield BadFile("note-of-an-object.jsonl", changed(verdict="accepted", note={"a": 1}), place)
    yield BadFile("note-nul.jsonl", changed(verdict="accepted", note="a\0b"), place)
    yield BadFile("other-text.jsonl", changed(verdict="accepted", text="another text"), ("text",))
    yield BadFile("other-label.jsonl", changed(verdict="accepted", label="fear"), ("label",))
    lines = [{name: cell for name, cell in row.items() if name != "id"} for row in rows]
    yield BadFile("without-ids.jsonl", table(".jsonl", lines), ("id",))
    lines = [{name: cell for name, cell in row.items() if name != "reasoning"} for row in rows]
    yield BadFile("without-reasonings.jsonl", table(".jsonl", lines), ("reasoning",))
    both = [{**rows[0], "verdict": "accepted"}, {**rows[0], "verdict": "rejected"}]
    yield BadFile("decided-twice.jsonl", table(".jsonl", both))
