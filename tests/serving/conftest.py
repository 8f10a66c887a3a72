"""Servers around an engine without a model, and around a tiny one."""

import sys

import pytest

from serving_servers import Server, start_fake
from trained_models import train_tiny


@pytest.fixture
def serve_fake():
    """Return a function that starts a server with these settings around an engine without a model."""
    started = []

    def start(environment=None, wait=True, **settings):
        started.append(start_fake(environment, wait, **settings))
        return started[-1]

    yield start
    for server in started:
        server.process.kill()
        server.process.wait()


@pytest.fixture(scope="module")
def fake():
    """A server around an engine without a model, shared by the tests of a module."""
    server = start_fake()
    yield server
    server.process.kill()
    server.process.wait()


@pytest.fixture(scope="session")
def dual_model(tiny_model_folder, tmp_path_factory):
    """A tiny model with all modes, and its folder."""
    folder = tmp_path_factory.mktemp("served")
    return train_tiny(tiny_model_folder, folder, "dual", validation=24), folder / "model"


@pytest.fixture(scope="session")
def served(dual_model):
    """The whole program around a tiny model."""
    command = [sys.executable, "-m", "whylabel", "serve", str(dual_model[1]), "--port", "0", "--name", "tiny"]
    server = Server([*command, "--engine", "transformers"])
    yield server
    server.process.kill()
    server.process.wait()
