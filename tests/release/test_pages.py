"""Sixty payloads in every field that a report, a card or a comparison shows: nothing runs, nothing is fetched."""

import json
import shutil
from pathlib import Path

import pytest
import yaml

from finished_run import write_run
from release.payloads import PAYLOADS, in_attributes
from whylabel.cli.main import main
from whylabel.errors import WhylabelError
from whylabel.report.model_card import write_model_card
from whylabel.report.report import write_report
from whylabel.run_folder import RunFolder

ALL = " ".join((*PAYLOADS, in_attributes()))


@pytest.fixture
def shown(chromium):
    """Return a function that shows a page, and returns what ran or was fetched; its policy is not obeyed."""

    def show(file, bypass_csp=True):
        context = chromium.new_context(bypass_csp=bypass_csp)
        page = context.new_page()
        found = []
        page.on("dialog", lambda dialog: (found.append("a dialog"), dialog.dismiss()))
        page.on(
            "request", lambda request: found.append(request.url) if request.url != file.as_uri() else None
        )
        page.goto(file.as_uri())
        for element in page.query_selector_all("summary, button, [autofocus]")[:20]:
            element.dispatch_event("focus")
        found += ["the canary"] if page.evaluate("window.canary || 0") else []
        found += ["a script"] if page.query_selector("script, iframe, object, embed, base") else []
        context.close()
        return found

    return show


def hostile_run(folder):
    """Return a run in which payloads are the labels, and stand in every text, reasoning, name and setting."""
    labels = [f"{payload} {number}" for number, payload in enumerate(PAYLOADS)]
    run = write_run(folder / "quickstart", labels=labels, text=ALL, reasoning=ALL, modes=("fast",))
    for file in sorted(run.path.rglob("*.json")):
        content = json.loads(file.read_text(encoding="utf-8"))
        file.write_text(json.dumps(_with_payloads(content, keys=file == run.manifest)), encoding="utf-8")
    recipe = yaml.safe_load(run.recipe.read_text(encoding="utf-8"))
    run.recipe.write_text(yaml.safe_dump(_with_payloads(recipe)), encoding="utf-8")
    return run


_KEPT = {"label", "labels", "status", "id", "model", "mode", "target", "type", "fingerprint", "sha256"}
"""Values that decide which part of a page there is; payloads stand in the labels already."""


def _with_payloads(value, keys=False, name=""):
    if isinstance(value, dict):
        return {key: _with_payloads(inner, keys, key) for key, inner in value.items()}
    if isinstance(value, list):
        return [_with_payloads(inner, keys, name) for inner in value]
    return f"{value} {ALL}" if isinstance(value, str) and name not in _KEPT else value


def test_there_are_sixty_payloads():
    assert len(set(PAYLOADS)) == 60


def test_a_page_that_does_not_escape_is_found_out(shown, tmp_path):
    page = tmp_path / "page.html"
    page.write_text(f"<title>x</title>{PAYLOADS[12]}", encoding="utf-8")
    assert "the canary" in shown(page)


@pytest.fixture(scope="module")
def pages(tmp_path_factory):
    """A report, a card as HTML, and a comparison, of a run full of payloads."""
    folder = tmp_path_factory.mktemp("hostile")
    run = hostile_run(folder)
    write_report(run)
    write_model_card(run)
    other = RunFolder(shutil.copytree(run.path, folder / "other"))
    assert main(["compare", str(run.path), str(other.path), "--html", str(folder / "compare.html")]) in (0, 2)
    card = folder / "card.html"
    card.write_text(f'<!DOCTYPE html><meta charset="utf-8">{_as_html(run.model_card)}', encoding="utf-8")
    return {"report": run.report, "card": card, "compare": folder / "compare.html"}


def _as_html(card: Path) -> str:
    from markdown_it import MarkdownIt

    body = card.read_text(encoding="utf-8").split("---\n", 2)[2]
    return str(MarkdownIt("gfm-like", {"html": True, "linkify": False}).render(body))


@pytest.mark.parametrize("name", ["report", "card", "compare"])
def test_no_payload_runs_or_fetches_anything(pages, shown, name):
    if not pages[name].exists():
        pytest.skip("there is no such page of this run")
    assert shown(pages[name]) == []


def leaves(value, path=()):
    """Yield the path of every single value in a JSON value."""
    if isinstance(value, dict | list):
        for key, inner in value.items() if isinstance(value, dict) else enumerate(value):
            yield from leaves(inner, (*path, key))
    else:
        yield path


def with_leaf(value, path, new):
    """Return the value with one of its leaves replaced."""
    if not path:
        return new
    copy = dict(value) if isinstance(value, dict) else list(value)
    copy[path[0]] = with_leaf(value[path[0]], path[1:], new)
    return copy


@pytest.mark.parametrize("step", [61, pytest.param(7, marks=pytest.mark.slow)])
def test_each_field_alone_is_refused_or_escaped(tmp_path, step):
    run = write_run(tmp_path / "quickstart", labels=("joy", "sad"), modes=("fast",))
    refused = written = 0
    for file in sorted(run.path.rglob("*.json")):
        before = file.read_text(encoding="utf-8")
        content = json.loads(before)
        for path in list(leaves(content))[::step]:
            file.write_text(json.dumps(with_leaf(content, path, ALL)), encoding="utf-8")
            try:
                write_report(run)
                write_model_card(run)
                written += 1
            except WhylabelError:
                refused += 1
            html = run.report.read_text(encoding="utf-8") if run.report.exists() else ""
            assert "<script" not in html.lower() and "<img" not in html.lower(), (file, path)
        file.write_text(before, encoding="utf-8")
    assert refused and written
