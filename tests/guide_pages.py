"""Read the fenced blocks of a page, and do what they say, one after the other, as a reader would.

The language and the title of a block say what becomes of it:

| block | what is done |
|---|---|
| `csv title="FILE"` | the file is written |
| `csv title="into FILE"` | its cells are written into FILE: into the rows with the same id, or else the first ones |
| `yaml title="FILE"` | its fields are written into that recipe (a new one, if there is none), which has to be valid |
| `yaml` | its fields are put into a copy of tickets.yaml, which has to be valid |
| `sh` | the commands run; each has to end with 0 |
| `text title="output"` | the commands before it have printed these lines; `...` stands for anything |
| `python` | it runs, in one namespace for the whole page |
| `sh title="not run in CI: why"` | verbs, options, recipes and extras are checked; nothing runs |
| `text` | an example, for readers alone |

In a block that runs, `pip install` is checked against the extras of the package and not run. `whylabel serve` goes on
until the end of the page, and later blocks reach it at its address.
"""

from __future__ import annotations

import csv
import io
import os
import re
import shlex
import subprocess
import sys
import tomllib
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager, redirect_stderr, redirect_stdout
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import Any

import click
import yaml

from fake_endpoint import Endpoint, answer, content, fake_endpoint
from serving_servers import Server
from whylabel.cli.main import VERBS, cli, main
from whylabel.recipe import Recipe, load_recipe, reference
from whylabel.recipe.load import build_recipe

ROOT = Path(__file__).parents[1]
RECIPE = "tickets.yaml"
NOT_RUN = "not run in CI: "
_FENCE = re.compile(r"^```(\w+)(?: title=\"([^\"]+)\")?\n(.*?)^```$", re.MULTILINE | re.DOTALL)
_ANY_FENCE = re.compile(r"^ *```.*?^ *```", re.MULTILINE | re.DOTALL)
_SERVER, _ENDPOINT = "http://127.0.0.1:8000", "http://127.0.0.1:8000/v1"
_TAKES_RECIPE = ("run", "train-reasoner", "augment", "train", "evaluate", "curve", "inspect")


@dataclass(frozen=True)
class Block:
    """A fenced block of a page."""

    language: str
    title: str
    text: str
    line: int


def blocks_of(page: str) -> list[Block]:
    """Return the fenced blocks of a page. A fence of any other form is refused: nobody would run it."""
    found = [
        Block(match[1], match[2] or "", match[3], page[: match.start()].count("\n") + 1)
        for match in _FENCE.finditer(page)
    ]
    assert len(found) == len(_ANY_FENCE.findall(page)), "a fence is not of the form that tests read"
    return found


def commands_of(text: str) -> list[str]:
    """Return the commands of a shell block: lines that go on are joined, comments are left out."""
    joined = re.sub(r"\\\n\s*", " ", text)
    commands = [re.sub(r"(?:^|\s)#.*$", "", line).strip() for line in joined.splitlines()]
    return [command for command in commands if command]


def merged(values: Any, more: Any) -> Any:
    """Return nested values with others in their place."""
    if not isinstance(values, dict) or not isinstance(more, dict):
        return more
    return {**values, **{key: merged(values.get(key), value) for key, value in more.items()}}


def wrong_names(page: str) -> list[str]:
    """Return what stands as code in the text of a page and is not there: commands, options and recipe fields."""
    wrong = []
    for code in re.findall(r"`([^`\n]+)`", _ANY_FENCE.sub("", page)):
        if code.startswith("whylabel "):
            try:
                check_command(code, load=False)
            except AssertionError as error:
                wrong.append(str(error))
        elif code.startswith("--") and code.split()[0] not in _options():
            wrong.append(code)
        elif field := re.match(r"[a-z_]+(\.[a-z_]+)+(?=$|:|=)", code):
            section = field[0].partition(".")[0]
            # What an engine takes is checked by the engine.
            named = re.sub(r"(?<=engine_options)\..*", "", field[0])
            if section in Recipe.model_fields and named not in _fields():
                wrong.append(code)
    return wrong


@cache
def _options() -> set[str]:
    """Return the options of all verbs."""
    context = click.Context(cli)
    verbs = filter(None, (cli.get_command(context, verb) for verb in VERBS))
    return {name for verb in verbs for option in verb.params for name in option.opts} | {"--jobs"}


@cache
def _fields() -> set[str]:
    """Return the fields of a recipe and its sections, by their whole names."""
    return {key for key, *_ in reference()}


@dataclass
class Scenario:
    """A page that is carried out in the current folder."""

    namespace: dict[str, Any] = field(default_factory=dict)
    output: str = ""
    addresses: dict[str, str] = field(default_factory=dict)
    opened: ExitStack = field(default_factory=ExitStack)

    def carry_out(self, block: Block) -> None:
        """Do what a block says. Raises `AssertionError` naming its line if that does not work."""
        handlers: Mapping[str, Callable[[Block], None]] = {
            "csv": _write_csv,
            "yaml": self._recipe,
            "sh": self._shell,
            "text": self._compare,
            "python": self._python,
        }
        assert block.language in handlers, f"line {block.line}: {block.language} blocks are read by no test"
        try:
            handlers[block.language](block)
        except Exception as error:
            raise AssertionError(f"line {block.line}: {error}\n{self.output}") from error

    def _shell(self, block: Block) -> None:
        self.output = ""
        for command in commands_of(block.text):
            if block.title.startswith(NOT_RUN) or command.startswith("pip install"):
                check_command(command)
            else:
                self._command(command)

    def _command(self, command: str) -> None:
        if command.startswith("export "):
            ((name, value),) = [word.split("=", 1) for word in shlex.split(command)[1:]]
            self._setting(name, value)
            return
        if command.startswith("whylabel serve "):
            self._serve(command)
            return
        words = shlex.split(self._addressed(command), posix=True)
        stages = list(_split(words, "|"))
        sent: bytes | None = None
        for stage in stages:
            code, sent = self._stage(stage, sent)
            assert code == 0, f"{command!r} ended with {code}"

    def _stage(self, words: list[str], sent: bytes | None) -> tuple[int, bytes]:
        words, source, target = _redirected(words)
        if source is not None:
            sent = Path(source).read_bytes()
        if words[0] == "whylabel":
            code, printed, said = run_main(words[1:], sent or b"")
        else:
            assert words[0] in ("echo", "head", "cat", "curl", "mkdir", "cp"), f"no test runs {words[0]}"
            done = subprocess.run(words, input=sent or b"", capture_output=True, check=False)
            code, printed, said = done.returncode, done.stdout, done.stderr
        self.output += (said + (b"" if target else printed)).decode()
        if target is not None:
            Path(target).write_bytes(printed)
        return code, printed

    def _serve(self, command: str) -> None:
        check_command(command)
        words = [sys.executable, "-m", *shlex.split(command), "--port", "0", "--engine", "transformers"]
        server = Server(words)
        self.opened.callback(server.stop)
        self.addresses[_SERVER] = server.url

    def _addressed(self, text: str) -> str:
        if "endpoint" in text and _ENDPOINT in text and _ENDPOINT not in self.addresses:
            self.addresses[_ENDPOINT] = self.opened.enter_context(quoting_endpoint()).url
        # The longer address first.
        for address in sorted(self.addresses, key=len, reverse=True):
            text = text.replace(address, self.addresses[address])
        return text

    def _setting(self, name: str, value: str) -> None:
        before = os.environ.get(name)
        os.environ[name] = value
        if before is None:
            self.opened.callback(os.environ.pop, name, None)
        else:
            self.opened.callback(os.environ.__setitem__, name, before)

    def _compare(self, block: Block) -> None:
        if block.title != "output":
            assert not block.title, f"a text block has no title {block.title!r}"
            return
        wanted = re.escape(block.text.strip("\n")).replace(r"\.\.\.", "(?:.*?)")
        printed = "\n".join(line.rstrip() for line in self.output.splitlines())
        assert re.search(wanted, printed, re.DOTALL), f"this was not printed:\n{block.text}\nbut this:"

    def _recipe(self, block: Block) -> None:
        path = Path(block.title or RECIPE)
        values = yaml.safe_load(path.read_text(encoding="utf-8")) if path.exists() else {"name": path.stem}
        values = merged(values, yaml.safe_load(self._addressed(block.text)))
        build_recipe(values, where=str(path))
        if block.title:
            path.write_text(yaml.safe_dump(values, allow_unicode=True, sort_keys=False), encoding="utf-8")

    def _python(self, block: Block) -> None:
        code, printed, said = _captured(lambda: _executed(self._addressed(block.text), self.namespace))
        self.output = (said + printed).decode()
        assert code == 0


def run_main(arguments: list[str], sent: bytes = b"") -> tuple[int, bytes, bytes]:
    """Run the command line in this process; return its exit code, and what it wrote to stdout and stderr."""
    stdin = sys.stdin
    sys.stdin = io.TextIOWrapper(io.BytesIO(sent), encoding="utf-8")
    try:
        return _captured(lambda: main(arguments))
    finally:
        sys.stdin = stdin


def check_command(command: str, *, load: bool = True) -> None:
    """Check what can be checked of a command that is not run: verbs, options, recipes, extras of the package.

    `load`: whether a recipe that it names has to be there, and valid with what overrides it.
    """
    words = shlex.split(command, comments=True)
    if words[:2] == ["pip", "install"]:
        project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
        extras = [extra for word in words for extra in re.findall(r"whylabel\[([\w,]+)\]", word)]
        unknown = {name for given in extras for name in given.split(",")} - {
            *project["optional-dependencies"]
        }
        assert not unknown, f"the package has no extra {unknown}"
        return
    if "whylabel" not in words:
        return
    words, _, _ = _redirected(next(_split(words[words.index("whylabel") + 1 :], "|")))
    verb, *arguments = words
    assert verb in VERBS, f"whylabel has no verb {verb!r}"
    found = cli.get_command(click.Context(cli), verb)
    assert found is not None
    try:
        with found.make_context(verb, arguments) as context:
            given = context.params
    except click.MissingParameter as error:
        # In a sentence a verb is often named without what it is about.
        assert not load, f"{command!r}: {error.format_message()}"
        return
    except click.ClickException as error:
        raise AssertionError(f"{command!r}: {error.format_message()}") from error
    if load and verb in _TAKES_RECIPE and not given.get("source"):
        load_recipe(str(given.get("recipe_path", given.get("data"))), given["overrides"])


@contextmanager
def quoting_endpoint() -> Iterator[Endpoint]:
    """Serve an endpoint that quotes what it is asked about."""
    with fake_endpoint(lambda _number, body: answer(body, quoting(str(content(body))))) as endpoint:
        yield endpoint


def quoting(prompt: str) -> str:
    """Return a reasoning that quotes the first words of the text in a prompt."""
    text = prompt.rpartition("Question: ")[2].lstrip().partition("\n")[0]
    words = text.split()[:3] if " " in text else [text[:4]]
    return f'"{" ".join(words)}" says what this is about.'.replace('""', '"')


def _executed(code: str, namespace: dict[str, Any]) -> int:
    exec(code, namespace)
    return 0


def _captured(work: Callable[[], int]) -> tuple[int, bytes, bytes]:
    printed, said = io.BytesIO(), io.BytesIO()
    streams = [io.TextIOWrapper(stream, encoding="utf-8", write_through=True) for stream in (printed, said)]
    with redirect_stdout(streams[0]), redirect_stderr(streams[1]):
        code = work()
    return code, printed.getvalue(), said.getvalue()


def _write_csv(block: Block) -> None:
    assert block.title, "a csv block names its file"
    if not block.title.startswith("into "):
        Path(block.title).write_text(block.text, encoding="utf-8")
        return
    path = Path(block.title.removeprefix("into "))
    with path.open(encoding="utf-8-sig", newline="") as file:
        rows = list(csv.DictReader(file))
    for number, filled in enumerate(csv.DictReader(io.StringIO(block.text))):
        (row,) = [row for row in rows if row["id"] == filled["id"]] if "id" in filled else [rows[number]]
        row.update(filled)
    columns = list(dict.fromkeys(name for row in rows for name in row))
    with path.open("w", encoding="utf-8", newline="") as file:
        writer = csv.DictWriter(file, columns, restval="")
        writer.writeheader()
        writer.writerows(rows)


def _split(words: list[str], separator: str) -> Iterator[list[str]]:
    part: list[str] = []
    for word in words:
        if word == separator:
            yield part
            part = []
        else:
            part.append(word)
    yield part


def _redirected(words: list[str]) -> tuple[list[str], str | None, str | None]:
    """Return a command without its redirections, the file that it reads, and the file that it writes."""
    files: dict[str, str | None] = {"<": None, ">": None}
    kept = []
    rest = iter(words)
    for word in rest:
        if word in files:
            files[word] = next(rest)
        else:
            kept.append(word)
    return kept, files["<"], files[">"]
