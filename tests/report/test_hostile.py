"""Rows that nobody has tidied: long texts, markup, controls, half characters, text that runs the other way."""

from __future__ import annotations

import json
import re

import pytest

from finished_run import MakeRun
from report_page import page_of
from whylabel.host.atomic import write_json

MOST_BYTES = 3_000_000
QUOTES = "\"'<&>" * 2_000


def test_long_texts_and_reasonings_are_clipped(make_run: MakeRun) -> None:
    run = make_run(labels=("joy", "fear", "rage"), text=QUOTES, reasoning=QUOTES)
    page = page_of(run)
    assert run.report.stat().st_size < MOST_BYTES
    assert "The first 2,000 of 10,0" in page.text
    # What is cut is said to be cut, in texts and in reasonings.
    assert page.text.count("…") > 100


def test_long_names_of_labels_are_clipped(make_run: MakeRun) -> None:
    labels = [f"{name} {QUOTES[:3_000]}" for name in "abcd"]
    run = make_run(labels=labels)
    page_of(run)
    assert run.report.stat().st_size < MOST_BYTES


def test_many_labels_make_no_long_page(make_run: MakeRun) -> None:
    run = make_run(labels=[f"intent {at}" for at in range(220)])
    page = page_of(run)
    assert "F1 of 200 labels, largest difference first" in page.text
    assert run.report.stat().st_size < MOST_BYTES


@pytest.mark.parametrize(
    "odd",
    [
        "\x00\x08\x1b[31m",
        "\x7f\x85\x9f",
        "\u202eevil\u2066",
        "a\ud800b",
        "\ufeff\u200b",
        "{{ 7 * 7 }}{% raw %}",
        "]]>-->",
    ],
)
def test_odd_characters_do_no_harm(make_run: MakeRun, odd: str) -> None:
    run = make_run(labels=(f"x{odd}", "plain", "other"), text=f"t{odd}", reasoning=f"r{odd}")
    manifest = json.loads(run.manifest.read_text(encoding="utf-8"))
    write_json(run.manifest, {**manifest, "odd": odd, odd: {"a": odd}})
    page = page_of(run)
    assert not re.search("[\x00-\x08\x0b-\x1f\x7f-\x9f]", run.report.read_text(encoding="utf-8"))
    assert "{{" not in odd or "t{{ 7 * 7 }}" in page.text
    assert {"script", "iframe"}.isdisjoint(tag for tag, _ in page.tags)


def test_texts_of_either_direction_stay_by_themselves(make_run: MakeRun) -> None:
    page = page_of(make_run(text="\u202eevil", labels=("\u0634", "b", "c")))
    for tag, attributes in page.tags:
        if attributes.get("class") in ("text", "reasoning"):
            assert attributes.get("dir") == "auto", tag
