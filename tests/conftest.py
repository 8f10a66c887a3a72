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

from whylabel.host.runtime import own_process

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerFast

# Tests are to fail rather than to look something up, and to leave the cores to each other.
os.environ.setdefault("HF_HUB_OFFLINE", "1")
os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")
# With tokens, Ray would write one into the home folder of whoever runs the tests.
os.environ.setdefault("RAY_AUTH_MODE", "disabled")

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

CHATML = (
    "{% for message in messages %}"
    "<|im_start|>{{ message['role'] }}\n{{ message['content'] }}<|im_end|>\n"
    "{% endfor %}"
    "{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}"
)


@pytest.fixture(scope="session")
def tokenizer() -> PreTrainedTokenizerFast:
    """A byte-level BPE of 600 tokens, trained on the builtin emotions; ChatML; adds no BOS.

    It is shared by the session: a test that adds tokens or changes the template works on a `deepcopy`.
    """
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers
    from transformers import PreTrainedTokenizerFast

    from whylabel.data.builtin import read_builtin

    texts = [str(text) for text in read_builtin("builtin:emotions")["train"].columns["text"]]
    backend = Tokenizer(models.BPE())
    backend.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    backend.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=600,
        special_tokens=["<|endoftext|>", "<|im_start|>", "<|im_end|>"],
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    backend.train_from_iterator(texts, trainer)
    return PreTrainedTokenizerFast(
        tokenizer_object=backend,
        bos_token="<|im_start|>",
        eos_token="<|im_end|>",
        unk_token="<|endoftext|>",
        chat_template=CHATML,
        model_max_length=2048,
    )


@pytest.fixture(scope="session")
def tiny_model_folder(tokenizer: PreTrainedTokenizerFast, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A Hugging Face folder with a Llama of random weights (seed 0, about 0.03 M parameters) and `tokenizer`.

    It is shared by the session: a test that writes into it works on a copy.
    """
    import torch
    from transformers import LlamaConfig, LlamaForCausalLM

    config = LlamaConfig(
        vocab_size=len(tokenizer),
        hidden_size=32,
        intermediate_size=64,
        num_hidden_layers=2,
        num_attention_heads=2,
        num_key_value_heads=1,
        max_position_embeddings=2048,
        tie_word_embeddings=True,
        bos_token_id=tokenizer.bos_token_id,
        eos_token_id=tokenizer.eos_token_id,
    )
    with torch.random.fork_rng():
        torch.manual_seed(0)
        model = LlamaForCausalLM(config)
    folder = tmp_path_factory.mktemp("models") / "tiny"
    model.save_pretrained(folder)
    tokenizer.save_pretrained(folder)
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


@pytest.fixture(scope="session")
def chromium():
    """A headless browser; without one its tests are skipped, but not where everything is to be tested."""
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
