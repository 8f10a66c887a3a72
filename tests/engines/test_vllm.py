import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import psutil
import pytest

from whylabel.engines import Sampling, make_engine
from whylabel.errors import EngineError
from whylabel.models.load import ModelSource
from whylabel.text.prompts import Prompt

PROMPTS = [Prompt((1, 2, index)) for index in range(5)]
GREEDY = Sampling(20, (7,))
FAKE = Path(__file__).parents[1] / "fake_vllm.py"


@pytest.fixture
def fake(tmp_path, tiny_model_folder, monkeypatch):
    """Return a function that makes an engine over a fake `vllm` that behaves in some way."""
    program = tmp_path / "bin" / "vllm"
    program.parent.mkdir()
    program.write_text(FAKE.read_text().replace("PYTHON", sys.executable, 1))
    program.chmod(0o755)
    monkeypatch.setenv("PATH", str(program.parent), prepend=os.pathsep)
    monkeypatch.setenv("FAKE_VLLM_NOTES", str(tmp_path / "notes.json"))
    monkeypatch.setenv("OPENAI_API_KEY", "sk-another")
    monkeypatch.setattr("whylabel.engines.vllm_server._POLL_SECONDS", 0.02)
    monkeypatch.setattr("whylabel.engines.openai._FIRST_WAIT_SECONDS", 0.001)
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    engines = []

    def make(behaviour="serves", **options):
        monkeypatch.setenv("FAKE_VLLM", behaviour)
        engines.append(make_engine("vllm", ModelSource(str(tiny_model_folder), "cpu"), options))
        return engines[-1]

    yield make
    for engine in engines:
        engine.close()


def notes(tmp_path):
    return json.loads((tmp_path / "notes.json").read_text())


def logs(tmp_path):
    return list(tmp_path.glob("whylabel-vllm-*.log"))


def alive(pids):
    # A process that nobody has waited for yet has ended all the same.
    return [
        pid for pid in pids if psutil.pid_exists(pid) and psutil.Process(pid).status() != psutil.STATUS_ZOMBIE
    ]


def gone(pids):
    """Whether all processes end; a killed one takes a moment."""
    for _ in range(200):
        if not alive(pids):
            return True
        time.sleep(0.02)
    return False


def test_it_serves_the_folder_with_ids_a_key_and_no_telemetry(fake, tmp_path, tiny_model_folder, capsys):
    engine = fake(arguments=["--max-model-len", "512"])
    assert not (tmp_path / "notes.json").exists(), "nothing is started before there is something to do"
    rows = {row.index: row for row in engine.generate(PROMPTS, GREEDY)}
    assert [rows[index].text for index in range(5)] == [f"asked [1, 2, {index}]" for index in range(5)]
    assert {(row.finish, row.stop_id, row.tokens) for row in rows.values()} == {("stop", 7, 2)}
    seen = notes(tmp_path)
    arguments = seen["arguments"]
    assert arguments[:2] == ["serve", str(tiny_model_folder)]
    assert arguments[arguments.index("--dtype") + 1] == "float32"
    assert arguments[arguments.index("--generation-config") + 1] == "vllm"
    assert arguments[arguments.index("--load-format") + 1] == "safetensors"
    assert arguments[arguments.index("--host") + 1] == "127.0.0.1"
    assert arguments[arguments.index("--max-model-len") + 1] == "512"
    environment = seen["environment"]
    assert {environment[name] for name in ("VLLM_NO_USAGE_STATS", "DO_NOT_TRACK", "HF_HUB_OFFLINE")} == {"1"}
    assert environment["VLLM_CPU_KVCACHE_SPACE"]
    key = environment["VLLM_API_KEY"]
    assert len(key) >= 32
    assert key not in arguments
    said = capsys.readouterr()
    assert "ready after" in said.err
    assert key not in said.err
    assert said.out == ""


def test_a_loop_is_stopped_and_counts_as_cut(fake):
    rows = list(fake("loops").generate(PROMPTS, GREEDY))
    assert {(row.finish, row.stop_id, row.error) for row in rows} == {("length", None, None)}


def test_one_server_for_several_calls_and_close_ends_all_of_it(fake, tmp_path):
    engine = fake()
    list(engine.generate(PROMPTS, GREEDY))
    pids = notes(tmp_path)["pids"]
    list(engine.generate(PROMPTS, GREEDY))
    assert notes(tmp_path)["pids"] == pids
    assert alive(pids) == pids
    engine.close()
    assert gone(pids)
    assert (tmp_path / "tidied").exists(), "what tidies up last was killed"
    assert not logs(tmp_path)
    engine.close()


def test_the_weights_are_not_loaded_here(fake, monkeypatch):
    monkeypatch.setattr("whylabel.models.load.load", None)
    assert len(list(fake().generate(PROMPTS, GREEDY))) == 5


def test_a_server_that_dies_at_the_start_tells_its_last_words(fake, tmp_path):
    with pytest.raises(EngineError, match=r"ended by itself \(exit code 3\)") as raised:
        list(fake("dies").generate(PROMPTS, GREEDY))
    assert "ValueError: no such architecture" in raised.value.what
    assert "loading with ***" in raised.value.what
    assert [raised.value.where] == [str(log) for log in logs(tmp_path)]


def test_a_server_that_hangs_is_given_up_and_ended(fake, tmp_path):
    engine = fake("hangs", start_seconds=2)
    with pytest.raises(EngineError, match="did not answer within") as raised:
        list(engine.generate(PROMPTS, GREEDY))
    assert "start_seconds" in raised.value.fix
    engine.close()
    assert gone(notes(tmp_path)["pids"])


def test_a_server_that_dies_later_keeps_what_was_finished(fake):
    rows = []
    with pytest.raises(EngineError, match="out of memory"):
        for row in fake("dies later", concurrency=1).generate(PROMPTS, GREEDY):
            rows.append(row)
    assert [row.index for row in rows] == [0, 1, 2]


def test_a_stubborn_server_is_killed(fake, tmp_path, monkeypatch):
    monkeypatch.setattr("whylabel.engines.vllm_server._GRACE_SECONDS", 0.2)
    engine = fake("is stubborn")
    list(engine.generate(PROMPTS, GREEDY))
    engine.close()
    assert gone(notes(tmp_path)["pids"])


RUN = """
import signal, sys
from whylabel.engines import Sampling, make_engine
from whylabel.models.load import ModelSource
from whylabel.text.prompts import Prompt

# A shell may have told its jobs to ignore Ctrl-C.
signal.signal(signal.SIGINT, signal.default_int_handler)
engine = make_engine("vllm", ModelSource(sys.argv[1], "cpu"), {"concurrency": 1})
for row in engine.generate([Prompt((1, index)) for index in range(3)], Sampling(20, (7,))):
    print(row.index)
    if sys.argv[2] == "raises":
        raise ZeroDivisionError
"""


@pytest.mark.parametrize(("how", "behaviour"), [("interrupted", "answers slowly"), ("raises", "serves")])
def test_no_process_is_left_where_nobody_calls_close(fake, tmp_path, tiny_model_folder, how, behaviour):
    fake(behaviour)
    command = [sys.executable, "-u", "-c", RUN, str(tiny_model_folder), how]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        assert process.stdout.readline() == "0\n"
        pids = notes(tmp_path)["pids"]
        if how == "interrupted":
            assert alive(pids) == pids
            process.send_signal(signal.SIGINT)
        _, said = process.communicate(timeout=60)
    assert ("KeyboardInterrupt" if how == "interrupted" else "ZeroDivisionError") in said
    assert gone(pids)


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        ({"command": "no-such-vllm"}, "There is no program 'no-such-vllm'"),
        ({"command": "~nouser/bin/vllm"}, "There is no program '~nouser/bin/vllm'"),
        ({"comand": "vllm"}, "Did you mean 'command'"),
        ({"dtype": "int8"}, "dtype: .* got 'int8'"),
        ({"api_key": "secret"}, "Unknown option 'api_key'"),
    ],
)
def test_wrong_options_are_refused(fake, options, expected):
    with pytest.raises(EngineError, match=expected):
        fake(**options)


def test_a_gguf_file_is_refused(tmp_path):
    file = tmp_path / "model.gguf"
    file.write_bytes(b"GGUF")
    with pytest.raises(EngineError, match="the reasoner is a GGUF file"):
        make_engine("vllm", ModelSource(str(file)), {})


@pytest.mark.vllm
def test_the_real_vllm_writes_what_transformers_writes():
    def shared_memory():
        return {path.name for path in Path("/dev/shm").glob("psm_*")}

    command = os.environ.get("WHYLABEL_VLLM")
    assert command, "name the vllm program in WHYLABEL_VLLM; scripts/try_vllm.sh installs one"
    from whylabel.text.prompts import Prompts

    source = ModelSource("smollm2-135m-instruct", "cpu")
    prompts = Prompts(source.tokenizer, "chat", "Which emotion does the writer feel?")
    texts = ["I won the race!", "It rained on the day of the fair.", "The dog came home at last, thin.", "ok"]
    asked = [prompts.reasoner_for_text(text, label) for text in texts for label in ("joy", "sadness")]
    sampling = Sampling(32, tuple(sorted(prompts.stop_ids)))
    before = shared_memory()
    engine = make_engine("vllm", source, {"command": command})
    try:
        served = {row.index: row for row in engine.generate(asked, sampling)}
        server = psutil.Process(engine._server._process.pid)
        pids = [server.pid, *(child.pid for child in server.children(recursive=True))]
        drawn = Sampling(16, sampling.stop_ids, temperature=1.5, seed=3)
        twins = [row.text for row in engine.generate([asked[0]] * 4, drawn)]
        loops = list(
            engine.generate(
                [Prompt(tuple(source.tokenizer.encode("1 2 " * 5)))], Sampling(64, sampling.stop_ids)
            )
        )
    finally:
        engine.close()
    assert len(pids) > 1
    assert gone(pids)
    assert shared_memory() <= before, "hundreds of MB were left behind"
    assert source.place == "", "the weights were loaded here, too"
    assert len(set(twins)) > 1
    assert loops[0].finish == "length" and 12 <= loops[0].tokens <= 18
    here = make_engine("transformers", source, {})
    expected = {row.index: row for row in here.generate(asked, sampling)}
    assert [served[index].text for index in range(len(asked))] == [
        expected[index].text for index in range(len(asked))
    ]
    assert [served[index].finish for index in expected] == [expected[index].finish for index in expected]
    assert [served[index].prompt_tokens for index in range(len(asked))] == [
        len(prompt.ids) for prompt in asked
    ]
