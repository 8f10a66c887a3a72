import asyncio
import threading

import pytest

from whylabel.engines.background import Background


def test_what_was_handed_over_comes_before_the_error():
    async def produce(put):
        put(1)
        put(2)
        raise ValueError("broken")

    background = Background(produce)
    seen = []
    with pytest.raises(ValueError, match="broken"):
        for item in background:
            seen.append(item)
    background.close()
    assert seen == [1, 2]


def test_close_cancels_and_waits_and_may_be_called_twice():
    cancelled = threading.Event()

    async def produce(put):
        put(1)
        try:
            await asyncio.sleep(60)
        finally:
            cancelled.set()

    background = Background(produce)
    assert next(iter(background)) == 1
    background.close()
    assert cancelled.is_set()
    background.close()
    assert list(background) == []
