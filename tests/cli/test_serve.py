"""`whylabel serve`: what is wrong is said before anything is loaded."""

import pytest

from whylabel.cli.main import main


@pytest.fixture(autouse=True)
def no_key(monkeypatch):
    monkeypatch.delenv("WHYLABEL_API_KEY", raising=False)


def failure(capsys, *arguments):
    assert main(["serve", *map(str, arguments)]) == 2
    return capsys.readouterr().err


def test_another_address_needs_a_key(capsys, model):
    found = failure(capsys, model, "--host", "0.0.0.0")
    assert "Without a key" in found and "WHYLABEL_API_KEY" in found


def test_a_short_key_is_no_key(capsys, model, tmp_path):
    file = tmp_path / "key"
    file.write_text("short\n")
    assert "16 ASCII characters" in failure(capsys, model, "--api-key-file", file)


def test_no_model(capsys, tmp_path, tiny_model_folder):
    assert "no model folder" in failure(capsys, tmp_path / "none")
    assert "fix:" in failure(capsys, tiny_model_folder)


def test_missing_packages(capsys, model, monkeypatch):
    monkeypatch.setattr("whylabel.host.machine.installed_version", lambda _: None)
    assert "pip install 'whylabel[serve]'" in failure(capsys, model)
