"""Fixtures of all tests: a small tokenizer and a tiny model, both made at test time, nothing downloaded."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from hypothesis import HealthCheck, settings

from tiny_model import tiny_tokenizer, write_tiny_model
from whylabel.host.machine import usable_cores
from whylabel.host.runtime import own_process

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerFast

# Tests are to fail rather than to look something up, and to leave the cores to each other.
os.environ.setdefault("HF_HUB_OFFLINE", "1")
os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")
# With tokens, Ray would write one into the home folder of whoever runs the tests.
os.environ.setdefault("RAY_AUTH_MODE", "disabled")
if "PYTEST_XDIST_WORKER_COUNT" in os.environ:
    threads = usable_cores() // int(os.environ["PYTEST_XDIST_WORKER_COUNT"])
    os.environ.setdefault("OMP_NUM_THREADS", str(max(1, threads)))
    os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")

# Property tests: a few quick examples, the same ones wherever tests must not depend on luck.
settings.register_profile(
    "whylabel",
    max_examples=50,
    deadline=None,
    derandomize="CI" in os.environ,
    database=None,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.function_scoped_fixture],
)
settings.load_profile("whylabel")


@pytest.fixture(autouse=True)
def _a_program_that_uses_whylabel() -> Iterator[None]:
    """Commands and workers that a test runs in this process leave it to the next test as that of a program."""
    yield
    own_process(False)


_CHROMIUM = ("chromium", "chromium-browser", "google-chrome", "chrome")


@pytest.fixture(scope="session")
def tokenizer() -> PreTrainedTokenizerFast:
    """The tokenizer of the tiny model.

    It is shared by the session: a test that adds tokens or changes the template works on a `deepcopy`.
    """
    return tiny_tokenizer()


@pytest.fixture(scope="session")
def tiny_model_folder(tokenizer: PreTrainedTokenizerFast, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A Hugging Face folder with the tiny model and `tokenizer`.

    It is shared by the session: a test that writes into it works on a copy.
    """
    folder = tmp_path_factory.mktemp("models") / "tiny"
    write_tiny_model(folder, tokenizer)
    return folder


@pytest.fixture
def run_and_kill() -> Callable[..., list[str]]:
    """Return a function that runs Python code in a process of its own and kills it in the middle.

    `run_and_kill(code, *arguments, lines=1)` waits until the code has printed so many lines, sends SIGKILL and
    returns every line that was printed by then.
    """

    def run(code: str, *arguments: object, lines: int = 1) -> list[str]:
        command = [sys.executable, "-u", "-c", code, *map(str, arguments)]
        with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
            assert process.stdout is not None
            printed = [process.stdout.readline() for _ in range(lines)]
            process.kill()
            printed += process.stdout.readlines()
        assert process.returncode == -9, "the code ended before it could be killed"
        # The last line may be torn.
        return [line.rstrip("\n") for line in printed if line.endswith("\n")]

    return run


@pytest.fixture(scope="session")
def bert(tokenizer: PreTrainedTokenizerFast, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A BERT of random weights, with the tokenizer of the tests."""
    import torch
    from transformers import BertConfig, BertForMaskedLM

    config = BertConfig(
        vocab_size=len(tokenizer),
        hidden_size=32,
        intermediate_size=64,
        num_hidden_layers=2,
        num_attention_heads=2,
        max_position_embeddings=64,
    )
    folder = tmp_path_factory.mktemp("models") / "bert"
    with torch.random.fork_rng():
        torch.manual_seed(0)
        BertForMaskedLM(config).save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return folder


@pytest.fixture(scope="module")
def chromium():
    """A headless browser; without one its tests are skipped, but not where everything is to be tested.

    Playwright keeps an event loop running in this thread, so it must not outlive the file that asks for it.
    """
    path = next(filter(None, map(shutil.which, _CHROMIUM)), None)
    if path is None:
        if os.environ.get("CI"):
            pytest.fail("there is no Chromium")
        pytest.skip("there is no Chromium")
    playwright = pytest.importorskip("playwright.sync_api")
    with playwright.sync_playwright() as driver:
        browser = driver.chromium.launch(executable_path=path, args=["--no-sandbox"])
        yield browser
        browser.close()
