"""The log: one form for all that is written, whoever writes it."""

import asyncio
import io
import json
import logging
import os

import pytest

from whylabel.serving.log import Log


@pytest.fixture
def asyncio_logger():
    logger = logging.getLogger("asyncio")
    before = logger.handlers, logger.propagate, logger.level
    yield logger
    logger.handlers, logger.propagate = before[:2]
    logger.setLevel(before[2])


def test_what_asyncio_logs_has_the_form_of_all_lines_and_no_values(asyncio_logger):
    stream = io.StringIO()
    Log(stream).take_over("asyncio")
    secret = "a private text"

    async def forget():
        asyncio.get_running_loop().call_exception_handler(
            {"message": "It broke.", "handle": secret, "exception": ValueError(secret)}
        )
        asyncio.get_running_loop().call_exception_handler({"message": "It broke again.", "handle": secret})

    asyncio.run(forget())
    first, second = [json.loads(line) for line in stream.getvalue().splitlines()]
    assert (first["event"], first["message"], first["error"]) == ("error", "It broke.", "ValueError")
    assert second["message"] == "It broke again."
    assert secret not in stream.getvalue()


def test_a_pipe_that_nobody_reads_loses_lines_and_nothing_else():
    reader, writer = os.pipe()
    os.close(reader)
    with os.fdopen(writer, "w") as stream:
        log = Log(stream)
        for _ in range(3):
            log.write("request", status=200)
    closed = io.StringIO()
    closed.close()
    Log(closed).write("request", status=200)
