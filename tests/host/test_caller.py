"""What whylabel does in a process that is not its own."""

import logging
import os
import random
import subprocess
import sys
import time
import warnings
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
import torch
from huggingface_hub.utils import are_progress_bars_disabled
from transformers.utils import logging as transformers_logging

from whylabel.host.caller import as_found
from whylabel.host.runtime import own_process, prepare_process


@pytest.fixture(autouse=True)
def prepared():
    """An earlier test may have run the command line here, whose process is its own: it is changed for good."""
    prepare_process()


def state():
    return {
        "python": random.getstate(),
        "numpy": np.random.get_state()[1].tolist(),
        "torch": torch.get_rng_state().tolist(),
        "threads": torch.get_num_threads(),
        "dtype": torch.get_default_dtype(),
        "gradients": torch.is_grad_enabled(),
        "warnings": list(warnings.filters),
        "root": (logging.root.level, list(logging.root.handlers)),
        "bitsandbytes": logging.getLogger("bitsandbytes").level,
        "transformers": transformers_logging.get_verbosity(),
        "bars": transformers_logging.is_progress_bar_enabled(),
        "hub's bars": are_progress_bars_disabled(),
    }


def meddle():
    random.seed(1)
    np.random.seed(1)
    torch.manual_seed(1)
    warnings.simplefilter("error")
    transformers_logging.set_verbosity_debug()


@pytest.mark.parametrize("level", [logging.INFO, logging.WARNING])
@pytest.mark.parametrize("bars", [True, False])
def test_everything_is_left_as_it_was_found(level, bars):
    transformers_logging.set_verbosity(level)
    (transformers_logging.enable_progress_bar if bars else transformers_logging.disable_progress_bar)()
    before = state()
    with pytest.raises(ZeroDivisionError), as_found():
        assert transformers_logging.get_verbosity() == logging.ERROR
        assert not transformers_logging.is_progress_bar_enabled()
        meddle()
        raise ZeroDivisionError
    assert state() == before


def test_the_outermost_block_puts_back():
    # Not the seed of `meddle`, which an earlier test may have left.
    torch.manual_seed(2)
    before = state()
    with as_found():
        with as_found():
            meddle()
        assert torch.get_rng_state().tolist() != before["torch"]
    assert state() == before


def test_the_next_number_is_the_one_that_it_would_have_been():
    for draw in (random.random, np.random.rand, lambda: float(torch.rand(1))):
        torch.manual_seed(5), np.random.seed(5), random.seed(5)
        expected = [draw(), draw()]
        torch.manual_seed(5), np.random.seed(5), random.seed(5)
        first = draw()
        with as_found():
            meddle()
        assert [first, draw()] == expected


def test_a_caller_may_have_an_accelerator_of_its_own():
    from accelerate import Accelerator
    from accelerate.state import AcceleratorState

    AcceleratorState._reset_state(True)
    with as_found():
        assert Accelerator(cpu=True, mixed_precision="no").mixed_precision == "no"
    mine = Accelerator(cpu=True, mixed_precision="bf16")
    with as_found():
        assert Accelerator(cpu=True, mixed_precision="no").mixed_precision == "no"
    assert mine.mixed_precision == Accelerator(cpu=True).mixed_precision == "bf16"
    AcceleratorState._reset_state(True)


def test_of_several_threads_one_at_a_time_is_inside():
    inside, most = [], []

    def work(number):
        with as_found(), as_found():
            inside.append(number)
            time.sleep(0.01)
            most.append(len(inside))
            inside.pop()

    with ThreadPoolExecutor(4) as pool:
        list(pool.map(work, range(8)))
    assert most == [1] * 8


def test_in_a_process_of_our_own_nothing_is_put_back():
    own_process()
    try:
        with as_found():
            random.seed(1)
        assert random.getstate() == random.Random(1).getstate()
    finally:
        own_process(False)


CODE = """
import ctypes, os, sys
called = []
ctypes.CDLL = lambda name: called.append(name)
from whylabel.host import runtime
if "own" in sys.argv:
    runtime.own_process()
runtime._keep_freed_memory = lambda: called.append("tuned")
runtime.prepare_process()
from transformers.utils import logging
print(called, os.environ.get("TQDM_DISABLE"), os.environ["HF_HUB_DISABLE_TELEMETRY"], logging.get_verbosity())
"""


@pytest.mark.parametrize(("argument", "expected"), [("own", "['tuned'] 1 1 40"), ("", "[] None 1 30")])
def test_only_a_process_of_our_own_is_changed_for_good(argument, expected):
    inherited = {
        name: value for name, value in os.environ.items() if not name.startswith(("TQDM", "HF_HUB_DIS"))
    }
    command = [sys.executable, "-c", CODE, argument]
    done = subprocess.run(command, env=inherited, capture_output=True, text=True, check=True)
    assert done.stdout.strip() == expected


KEPT = """
import sys
from pathlib import Path
from whylabel.host import runtime
runtime.own_process("own" in sys.argv)
runtime.prepare_process()
def resident():
    return int(Path("/proc/self/statm").read_text().split()[1]) * 4096
pieces = [bytearray(b"x") * 1_000_000 for _ in range(300)]
held = resident()
last = pieces.pop()
pieces.clear()
kept = resident()
runtime.return_freed_memory()
print(held - kept > 200_000_000, held - resident() > 200_000_000)
"""


@pytest.mark.skipif(sys.platform != "linux", reason="the allocator is glibc's")
@pytest.mark.parametrize(("argument", "given_back"), [("own", "False True"), ("", "True True")])
def test_freed_memory_is_kept_until_it_is_returned(argument, given_back):
    command = [sys.executable, "-c", KEPT, argument]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    assert done.stdout.strip() == given_back
