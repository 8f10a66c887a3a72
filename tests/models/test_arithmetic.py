"""In which arithmetic a CPU trains and predicts."""

import pytest
import torch

from whylabel.models import arithmetic
from whylabel.models.arithmetic import pick_dtype

CPU = torch.device("cpu")


@pytest.mark.parametrize(
    ("amx", "avx512", "speed", "trained_in"),
    [
        (False, False, 9.0, torch.float32),
        (True, False, 3.0, torch.bfloat16),
        (False, True, 1.6, torch.bfloat16),
        (False, True, 0.55, torch.float32),  # a Xeon whose bf16 instructions are slower than those for fp32
        (False, True, 1.05, torch.float32),  # as fast: then the more exact one
    ],
)
def test_a_cpu_predicts_in_fp32_and_trains_in_bf16_only_where_that_is_faster(
    monkeypatch, amx, avx512, speed, trained_in
):
    monkeypatch.setattr("torch.cpu._is_amx_tile_supported", lambda: amx)
    monkeypatch.setattr("torch.cpu._is_avx512_bf16_supported", lambda: avx512)
    monkeypatch.setattr(arithmetic, "_bf16_speed", lambda: speed)
    dtype, reason = pick_dtype("auto", CPU, fastest=True)
    assert dtype == trained_in
    assert "bf16" in reason
    assert pick_dtype("auto", CPU)[0] == torch.float32
    assert pick_dtype("bfloat16", CPU)[0] == torch.bfloat16


def test_the_speed_is_measured_by_the_processor_time_of_one_thread(monkeypatch):
    computed, threads = [], torch.get_num_threads()
    # Products in fp32 take two seconds, those in bf16 one.
    clock = iter([place for n in range(7) for place in (n, n + 2, n, n + 1)])
    monkeypatch.setattr(arithmetic.time, "thread_time", lambda: float(next(clock)))

    def linear(left, right):
        computed.append((left.dtype, right.dtype, torch.get_num_threads()))

    monkeypatch.setattr(torch.nn.functional, "linear", linear)
    assert arithmetic._bf16_speed.__wrapped__() == 2.0
    assert computed == [(torch.float32, torch.float32, 1), (torch.bfloat16, torch.bfloat16, 1)] * 7
    assert torch.get_num_threads() == threads
