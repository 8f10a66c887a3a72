"""A finished run and its models, all tiny; the figures of bad files, shown when the tests are done."""

import contextlib
import json
import shutil
import signal

import pytest
import yaml

from fake_endpoint import fake_endpoint
from release.bad_files import ROWS, table
from release.outcomes import FIGURES
from whylabel.cli.main import main
from whylabel.run_folder import RunFolder

SECRETS = {
    name: f"planted-{name.lower()}-0123456789abcdef"
    for name in ("HF_TOKEN", "OPENAI_API_KEY", "WHYLABEL_API_KEY", "ANTHROPIC_API_KEY", "WANDB_API_KEY")
}
"""Variables of the environment, and what must appear nowhere."""


@pytest.fixture(autouse=True)
def own_signals():
    before = signal.getsignal(signal.SIGTERM)
    yield
    signal.signal(signal.SIGTERM, before)


@pytest.fixture(scope="session")
def recipe_values(tiny_model_folder, tmp_path_factory):
    """A recipe over twenty-four texts that a tiny model goes through within seconds."""
    data = tmp_path_factory.mktemp("data") / "good.csv"
    data.write_bytes(table(".csv", ROWS))
    return {
        "name": "good",
        "base_model": str(tiny_model_folder),
        "data": {"source": str(data)},
        "reasoner": {"rows": 12, "validation_rows": 4, "training": {"max_steps": 2}},
        "augment": {
            "engine": "scripted",
            "engine_options": {"answers": ['The words "a day" tell it.']},
            "sampling": {"max_new_tokens": 12},
        },
        "training": {"max_steps": 2},
        "evaluation": {"bootstrap_samples": 100, "floors": ["majority"]},
    }


@pytest.fixture(scope="session")
def finished_run(recipe_values, tmp_path_factory):
    """The run of that recipe with an endpoint, and with secrets in the environment. It is shared by the session.

    A test that writes into it works on a copy. Beside it are all that was printed, and the keys that were sent.
    """
    folder = tmp_path_factory.mktemp("finished")
    augment = {"sampling": {"max_new_tokens": 12}}
    with (
        fake_endpoint() as endpoint,
        pytest.MonkeyPatch.context() as environment,
        (folder / "said.txt").open("w") as said,
        contextlib.redirect_stdout(said),
        contextlib.redirect_stderr(said),
    ):
        for name, value in SECRETS.items():
            environment.setenv(name, value)
        values = {
            **recipe_values,
            "reasoner": {"endpoint": endpoint.url, "model": "fake"},
            "augment": augment,
        }
        (folder / "good.yaml").write_text(yaml.safe_dump(values))
        code = main(["run", str(folder / "good.yaml"), "--output", str(folder / "run"), "--debug"])
    keys = [str(key).replace(SECRETS["OPENAI_API_KEY"], "(the key)") for key in endpoint.keys]
    (folder / "keys.json").write_text(json.dumps(keys))
    assert code == 0, (folder / "said.txt").read_text()
    return RunFolder(folder / "run")


@pytest.fixture
def run_copy(finished_run, tmp_path):
    shutil.copytree(finished_run.path, tmp_path / "run")
    return RunFolder(tmp_path / "run")


def pytest_terminal_summary(terminalreporter):
    if FIGURES.records:
        terminalreporter.section("bad files")
        for line in FIGURES.lines():
            terminalreporter.write_line(line)
