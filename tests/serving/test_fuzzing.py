"""Requests that schemathesis makes up from the description of the API: none may fail, none that is wrong may pass."""

import pytest

from fuzzing import fuzz


def test_made_up_requests(serve_fake, tmp_path):
    server = serve_fake(timeout=5.0)
    assert fuzz(server, 20, tmp_path) > 300
    assert not server.events("error")
    assert server.classify("x").status_code == 200


@pytest.mark.slow
def test_thousands_of_made_up_requests(serve_fake, tmp_path):
    server = serve_fake(timeout=5.0)
    assert fuzz(server, 400, tmp_path) > 2000
    assert not server.events("error")
