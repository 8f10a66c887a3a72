"""The command line: one group, one module per verb, one place where errors become exit codes.

Exit codes: 0 ok, 1 a bug of ours (or an export that answers otherwise), 2 usage, recipe or data error, or a machine
that lacks something, 4 finished with failed rows, 130 interrupted.
"""

from __future__ import annotations

import errno
import importlib
import io
import os
import signal
import sys
import threading
import traceback

import click

from whylabel.cli.interrupts import interruption
from whylabel.host.runtime import own_process
from whylabel.host.terminal import prepare_streams, printable_lines

VERBS = {
    "demo": "Run the whole method on builtin data: the quickest way to see it.",
    "init": "Write a commented recipe for your own data.",
    "inspect": "Show what is in the data, and what is wrong with it.",
    "run": "Run all stages of a recipe; finished ones are skipped.",
    "train-reasoner": "Stage 1: train the model that writes reasonings.",
    "augment": "Stage 2a: write a reasoning for every training text.",
    "train": "Stage 2b: train the classifier and the baseline.",
    "evaluate": "Compare classifier and baseline on the test split.",
    "curve": "Run a recipe with more and more labels: would more of them pay?",
    "compare": "Compare any runs on the same test rows.",
    "predict": "Label a file, or lines on stdin.",
    "serve": "Answer requests over HTTP with a trained model.",
    "classify": "Label a file, or lines on stdin, by a server.",
    "export": "Write a trained model for other runtimes, and check it there.",
    "reasonings": "Look at, export and review the reasonings of a run.",
    "push": "Publish a model on the Hugging Face hub.",
    "models": "Fetch and list models.",
    "doctor": "Show what this machine and installation can do.",
    "recipe": "Explain every field of the recipe.",
    "completion": "Print the shell completion script.",
}

_SHOWN = 20
_SPACE = ("The disk refused a file", "free some space, or choose another folder with --output")
_DISK = ("The disk failed", "look at the disk and its connection")
# What the machine lacks is no bug of ours: what is said of such an error, and how to fix it.
_LACKING = {
    errno.ENOSPC: _SPACE,
    errno.EDQUOT: _SPACE,
    errno.EFBIG: _SPACE,
    errno.EROFS: _SPACE,
    errno.EIO: _DISK,
    errno.ESTALE: _DISK,
    errno.ENOLCK: ("The folder cannot lock files", "choose a folder on a disk of this machine"),
    errno.ETIMEDOUT: (
        "The network did not answer",
        "look at the connection, also that of disks in the network",
    ),
    errno.ENOMEM: ("The memory is full", "end other programs, or use a smaller model or a larger machine"),
    # Its message begins like the next one.
    errno.ENFILE: ("The machine can open no more files", "end other programs"),
    errno.EMFILE: ("The process can open no more files", "raise its limit, for example with: ulimit -n 4096"),
}


class _Verbs(click.Group):
    """Loads a verb's module only when the verb is used, so that --help is instant."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        return list(VERBS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        if cmd_name not in VERBS:
            return None
        module = importlib.import_module(f"whylabel.cli.{cmd_name.replace('-', '_')}")
        command = module.command
        assert isinstance(command, click.Command)
        return command

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        if args and not args[0].startswith("-") and args[0] not in VERBS:
            from whylabel.errors import UsageError, unknown_name

            raise UsageError(unknown_name("verb", args[0], VERBS))
        return super().resolve_command(ctx, args)

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        with formatter.section("Verbs"):
            formatter.write_dl(list(VERBS.items()))


def _version(ctx: click.Context, _parameter: click.Parameter, value: bool) -> None:
    if value:
        from whylabel.version import __version__

        click.echo(f"whylabel {__version__}")
        ctx.exit()


@click.group(cls=_Verbs, context_settings={"help_option_names": ["-h", "--help"]})
@click.option(
    "--version",
    is_flag=True,
    is_eager=True,
    expose_value=False,
    callback=_version,
    help="Show the version and exit.",
)
def cli() -> None:
    """Train small language models that say why, then label."""


def main(arguments: list[str] | None = None) -> int:
    """Run the command line and return its exit code; never raises."""
    arguments = sys.argv[1:] if arguments is None else arguments
    prepare_streams()
    own_process()
    if threading.current_thread() is threading.main_thread():
        # SIGTERM ends the process like Ctrl-C: committed work stays, and the exit code says so.
        signal.signal(signal.SIGTERM, signal.default_int_handler)
    stdout = sys.stdout
    try:
        result = _run(arguments)
        return result if isinstance(result, int) else 0
    except (KeyboardInterrupt, click.Abort) as error:
        _print_error(interruption(error))
        return 130
    except click.ClickException as error:
        shown = io.StringIO()
        error.show(shown)
        _print_error(shown.getvalue().rstrip("\n"))
        return 2
    except SystemExit as error:
        if sys.stdout is stdout:
            return error.code if isinstance(error.code, int) else 1
        # Click wraps stdout and exits when the reader has closed the pipe (`| head`): that is no error of ours.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0
    except Exception as error:
        return _report(error, debug="--debug" in arguments)
    finally:
        own_process(False)


def _run(arguments: list[str]) -> object:
    if int(os.environ.get("WORLD_SIZE", "1")) == 1:
        return cli.main(args=arguments, prog_name="whylabel", standalone_mode=False)
    from whylabel.training import train
    from whylabel.training.processes import is_first, others_serving, serve

    if not is_first():
        serve(train)
        return 0
    with others_serving():
        return cli.main(args=arguments, prog_name="whylabel", standalone_mode=False)


def _report(error: Exception, *, debug: bool) -> int:
    from whylabel.errors import WhylabelError

    if debug:
        _print_error("".join(traceback.format_exception(error)).rstrip("\n"))
    if isinstance(error, WhylabelError):
        _print_error(f"Error: {error}")
        return error.exit_code
    for number, (what, fix) in _LACKING.items():
        if _says(error, number):
            said = str(error).splitlines()[0]
            _print_error(f"Error: {what}: {said}\n  fix: {fix}; the same command then continues")
            return 2
    if isinstance(error, OSError) and error.filename:
        _print_error(f"Error: {error.strerror}\n  where: {error.filename}")
        return 2
    if isinstance(error, PermissionError):  # of a writer in C++, which names the file in its message
        _print_error(
            f"Error: {error.strerror or error}\n  fix: look at the rights of the file and its folder"
        )
        return 2
    if isinstance(error, UnicodeEncodeError) and "surrogates" in error.reason:
        _print_error(
            f"Error: A text or a name holds half a character, which no file can: {_excerpt(error)}\n"
            "  fix: correct that text in the data, or rename the file"
        )
        return 2
    _print_error(
        f"Internal error: {type(error).__name__}: {error}\n"
        "  fix: this is a bug of whylabel; run again with --debug and report the traceback"
    )
    return 1


def _excerpt(error: UnicodeEncodeError) -> str:
    return ascii(error.object[max(0, error.start - _SHOWN) : error.end + _SHOWN])


def _says(error: Exception, number: int) -> bool:
    """Return whether this error of the operating system is behind an error."""
    # Writers in Rust and C++ raise their own errors, which contain its message.
    named = isinstance(error, OSError) and error.errno == number
    return named or os.strerror(number).casefold() in str(error).casefold()


def _print_error(message: str) -> None:
    click.echo(printable_lines(message), err=True)


def entry() -> None:
    """The console script."""
    sys.exit(main())
