"""Servers with a run, and a browser that looks at their page."""

import pytest

from finished_run import EMOTIONS, write_run
from serving_servers import start_fake
from whylabel.reasonings.store import open_store
from whylabel.report.report import write_report


@pytest.fixture
def run(tmp_path):
    """A finished run with reasonings and predictions in the modes reasoned and fast."""
    found = write_run(tmp_path / "quickstart", modes=("fast",))
    with open_store(found.store):
        pass
    return found


@pytest.fixture
def serve_run():
    """Return a function that serves a run beside an engine without a model."""
    started = []

    def start(run, labels=EMOTIONS, environment=None, **settings):
        started.append(start_fake(environment, run=str(run.path), labels=labels, **settings))
        return started[-1]

    yield start
    for server in started:
        server.process.kill()
        server.process.wait()


@pytest.fixture
def served_run(run, serve_run):
    return serve_run(run)


@pytest.fixture(scope="session")
def looked_at(tmp_path_factory):
    """A server with a run, for tests that only look at it."""
    run = write_run(tmp_path_factory.mktemp("looked_at") / "quickstart", modes=("fast",))
    write_report(run)
    server = start_fake(run=str(run.path), labels=EMOTIONS)
    yield server
    server.process.kill()
    server.process.wait()


@pytest.fixture
def visit(chromium):
    """Return a function that opens a page; at the end nothing may have gone wrong in any of them.

    Nothing wrong: no script of a text ran (`alarm`), no error, nothing that the content security policy refused.
    """
    contexts, problems = [], []

    def open_page(url, **options):
        context = chromium.new_context(viewport={"width": 1280, "height": 900}, **options)
        contexts.append(context)
        context.expose_function("alarm", lambda *_: problems.append("a script of a text ran"))
        page = context.new_page()
        page.set_default_timeout(120_000)
        page.on("pageerror", lambda error: problems.append(f"error: {error}"))
        page.on("dialog", lambda dialog: (problems.append("dialog"), dialog.dismiss()))
        page.on(
            "console", lambda line: problems.append(line.text) if "Content Security" in line.text else None
        )
        page.on(
            "request",
            lambda request: (
                None
                if request.url.startswith(("http://127.0.0.1", "blob:"))
                else problems.append(request.url)
            ),
        )
        page.goto(url)
        return page

    yield open_page
    for context in contexts:
        context.close()
    assert problems == []
