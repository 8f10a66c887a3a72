import errno
import sqlite3
import subprocess
import sys
import threading
import time
from contextlib import closing

import pytest

from whylabel.host.locks import locked, one_at_a_time

HOLD = (
    "import pathlib, sys, time\n"
    "from whylabel.host.locks import locked\n"
    "with locked(pathlib.Path(sys.argv[1]), wait=False):\n"
    "    print('held'); time.sleep(60)"
)


def test_a_second_process_is_refused_and_a_killed_one_frees_the_lock(tmp_path):
    file = tmp_path / ".lock"
    with subprocess.Popen([sys.executable, "-u", "-c", HOLD, file], stdout=subprocess.PIPE) as holder:
        try:
            assert holder.stdout.readline() == b"held\n"
            with pytest.raises(BlockingIOError), locked(file, wait=False):
                pass
        finally:
            holder.kill()
    with locked(file, wait=False):
        assert [path.name for path in tmp_path.iterdir()] == [".lock"]


def test_a_child_that_outlives_the_holder_does_not_hold_the_lock(tmp_path, run_and_kill):
    code = (
        "import os, pathlib, sys, time\n"
        "from whylabel.host.locks import locked\n"
        "with locked(pathlib.Path(sys.argv[1]), wait=False):\n"
        "    if os.fork() == 0:\n"
        "        os.close(1); time.sleep(5); os._exit(0)\n"
        "    print('held'); time.sleep(60)"
    )
    assert run_and_kill(code, tmp_path / ".lock") == ["held"]
    with locked(tmp_path / ".lock", wait=False):
        pass


def test_who_waits_comes_in_when_the_other_has_left(tmp_path):
    order = []

    def second():
        with one_at_a_time(tmp_path / "model"):
            order.append("second")

    with one_at_a_time(tmp_path / "model"):
        other = threading.Thread(target=second)
        other.start()
        time.sleep(0.3)
        order.append("first")
    other.join()
    assert order == ["first", "second"]


def test_a_file_that_cannot_be_locked_is_an_error_of_the_system(tmp_path):
    with pytest.raises(OSError, match="cannot be locked"), locked(tmp_path, wait=False):
        pass
    (tmp_path / "text").write_text("no lock of ours" * 100)
    with pytest.raises(OSError, match="cannot be locked"), locked(tmp_path / "text", wait=False):
        pass


def test_locks_and_whole_files_need_nothing_that_only_some_systems_have(tmp_path):
    code = (
        "import os, pathlib, sys\n"
        "for name in ('fcntl', 'msvcrt', 'resource', 'pwd', 'grp', 'termios'):\n"
        "    sys.modules[name] = None\n"
        "for name in ('sched_getaffinity', 'killpg', 'getpgid', 'getuid', 'pread', 'pwrite', 'fork'):\n"
        "    delattr(os, name)\n"
        "import whylabel.cli.main, whylabel.engines.vllm_server\n"
        "import whylabel.host.atomic as atomic\n"
        "from whylabel.errors import RunFolderError\n"
        "from whylabel.host.locks import one_at_a_time\n"
        "from whylabel.host.machine import usable_cores, user_name\n"
        "from whylabel.run_folder import RunFolder\n"
        "atomic._WINDOWS = True\n"
        "run = RunFolder(sys.argv[1])\n"
        "with run.locked(), one_at_a_time(run.path / 'model'):\n"
        "    run.begin_stage('augment', 'key')\n"
        "    with atomic.whole_folder(run.path / 'model') as aside:\n"
        "        (aside / 'weights').write_text('w')\n"
        "    try:\n"
        "        with run.locked():\n"
        "            pass\n"
        "    except RunFolderError as error:\n"
        "        print(error.what)\n"
        "print(usable_cores() > 0, bool(user_name()))"
    )
    environment = {"PATH": "", "PYTHONPATH": ":".join(sys.path)}
    outcome = subprocess.run(
        [sys.executable, "-c", code, tmp_path / "run"], capture_output=True, text=True, env=environment
    )
    assert outcome.returncode == 0, outcome.stderr
    refused, known = outcome.stdout.splitlines()
    assert refused.startswith("Another process is using this run folder (pid ") and known == "True True"


@pytest.mark.parametrize("number", [errno.ENOLCK, errno.ENOTSUP])
@pytest.mark.parametrize("wait", [True, False])
def test_a_folder_without_locks_is_told_from_a_lock_that_another_process_holds(
    tmp_path, monkeypatch, number, wait
):
    fcntl = pytest.importorskip("fcntl")

    def refuse(*_):
        raise OSError(number, "refused")

    # SQLite calls both cases busy: here another connection holds the lock, while the file system has none.
    monkeypatch.setattr(fcntl, "lockf", refuse)
    with closing(sqlite3.connect(tmp_path / ".lock", isolation_level=None)) as holder:
        holder.execute("BEGIN EXCLUSIVE")
        with (
            pytest.raises(OSError, match="its file system has no locks") as caught,
            locked(tmp_path / ".lock", wait=wait),
        ):
            pass
    assert caught.value.errno == errno.ENOLCK and caught.value.filename == str(tmp_path)
