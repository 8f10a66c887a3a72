"""The loop of the engine process, without a process."""

from types import SimpleNamespace

import pytest

from whylabel.serving.engine import Engine


@pytest.mark.parametrize(
    ("together", "seconds", "waited"),
    [
        # Clients whose answers took long are slower to ask again than a few milliseconds.
        (28, 2.0, 0.06),
        (28, 0.01, 0.004),
        # Nobody else is expected.
        (1, 2.0, 0),
        (0, 2.0, 0),
    ],
)
def test_clients_that_were_answered_together_are_waited_for_in_proportion(together, seconds, waited):
    asked = []
    inbox = SimpleNamespace(taken_back=list, next_question=asked.append)
    engine = object.__new__(Engine)
    engine._scheduler = SimpleNamespace(is_idle=False, at_once_together=together, at_once_seconds=seconds)
    engine._take(inbox)
    assert asked == [pytest.approx(waited)]
