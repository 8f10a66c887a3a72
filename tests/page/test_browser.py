"""The page in a browser: what people do on it."""

import csv
import io
import re
import socket
import time
from pathlib import Path

import pytest

from finished_run import write_run
from page_payloads import PAYLOADS
from serving_servers import start_fake
from whylabel.evaluation.readings import read_readings
from whylabel.reasonings.store import open_store
from whylabel.text.spreadsheet import harmless

KEY = "a-key-of-the-tests-0123456789"


def try_text(page, text):
    page.locator("#try-text").fill(text)
    page.locator("#try-text").press("Control+Enter")


def decisions(run):
    with open_store(run.store) as store:
        return [each for history in store.all_decisions().values() for each in history]


# -- Try ------------------------------------------------------------------------------------------------------


def test_a_text_is_answered_at_once_and_with_a_reasoning(looked_at, visit):
    page = visit(looked_at.url)
    try_text(page, "stream 12")
    fast, reasoned = page.locator("#try .answer").all()
    reasoned.get_by_text("A draft, as it is written").wait_for()
    assert reasoned.locator(".draft").inner_text().startswith("word0")
    reasoned.get_by_text(" ".join(f"word{n}" for n in range(12)), exact=True).wait_for()
    for answer in (fast, reasoned):
        answer.locator("mark").wait_for()
        assert answer.locator(".label").inner_text() == "joy"
        assert "70.0" in answer.locator(".chances").inner_text()
        assert re.search(r"\d\ss", answer.locator(".time").inner_text())
    assert "reasoning written after" in reasoned.locator(".time").inner_text()
    assert "joy, 70" in page.locator("#try-status").inner_text()
    assert page.locator("#try-disagreement").is_hidden()


def test_evidence_is_marked_where_it_stands_and_not_by_colour_alone(looked_at, visit):
    page = visit(looked_at.url)
    try_text(page, "\U0001f600 ha")
    mark = page.locator("#try .answer mark").first
    mark.wait_for()
    # Characters count as in Python: the first is one, also where JavaScript needs two for it.
    assert mark.inner_text() == "\U0001f6000.5"
    assert mark.evaluate("one => getComputedStyle(one).borderBottomWidth") != "0px"
    assert "nats" in mark.get_attribute("title")


def test_disagreement_and_withheld_reasonings_are_said(looked_at, visit):
    page = visit(looked_at.url)
    try_text(page, "disagree with me")
    page.locator("#try-disagreement").wait_for()
    assert (
        page.locator("#try-disagreement").inner_text()
        == "They disagree: at once joy, with the reasoning sad."
    )
    try_text(page, "withhold it")
    page.get_by_text("A reasoning was written, but is withheld: unsure.").wait_for()
    assert page.locator("#try-disagreement").is_hidden()


def test_what_cannot_be_labelled_is_said(looked_at, visit):
    page = visit(looked_at.url)
    try_text(page, "fail")
    page.get_by_text("Not labelled: it failed.").first.wait_for()
    try_text(page, "x" * 20_001)
    page.get_by_text("has 20001 characters").first.wait_for()


def test_an_answer_can_be_stopped(looked_at, visit):
    page = visit(looked_at.url)
    try_text(page, "stream 400")
    page.locator("#try-stop").click()
    page.locator("#try .answer").get_by_text("Stopped.").first.wait_for()


def test_the_key_is_asked_for_and_kept_until_the_tab_is_closed(serve_run, run, visit):
    server = serve_run(run, keys=[KEY])
    page = visit(server.url)
    page.locator("#key").fill("not the key, which is longer")
    page.get_by_role("button", name="Use it").click()
    page.get_by_text("The server does not know this key.").wait_for()
    page.locator("#key").fill(KEY)
    page.keyboard.press("Enter")
    try_text(page, "hello")
    page.locator("#try .answer .label").first.wait_for()
    page.reload()
    page.get_by_role("tab", name="Errors").click()
    page.locator("#errors .card").first.wait_for()
    assert page.evaluate("localStorage.length + document.cookie.length") == 0
    page.get_by_role("button", name="Forget the key").click()
    page.locator("#key").wait_for()


def test_a_server_that_loads_is_waited_for(visit):
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    server = start_fake({"FAKE_LOAD_SECONDS": "4"}, wait=False, port=port)
    try:
        while not any("Loading" in line for line in server.said):
            time.sleep(0.05)
        page = visit(f"http://127.0.0.1:{port}")
        page.get_by_text("The model is loading.").wait_for()
        page.get_by_role("tab", name="Try").wait_for()
    finally:
        server.process.kill()
        server.process.wait()


# -- File -----------------------------------------------------------------------------------------------------

CSV = 'id;Message;=note\r\n1;"two\r\nlines; and ""quotes""";-5\r\n2;fail;=1+1\r\n3;;@x\r\n4;odd\r\n5;hello;é\r\n'


def labelled(page):
    with page.expect_download() as download:
        page.locator("#file-result a").click()
    text = Path(download.value.path()).read_bytes().decode()
    assert text.startswith("\ufeff")
    return download.value.suggested_filename, list(csv.DictReader(io.StringIO(text[1:])))


def test_a_file_comes_back_labelled(looked_at, visit):
    page = visit(looked_at.url)
    page.get_by_role("tab", name="File").click()
    page.locator("#file-choose").set_input_files(
        {"name": "my rows.csv", "mimeType": "text/csv", "buffer": CSV.encode("cp1252")}
    )
    found = page.locator("#file-found")
    page.locator("#file-options").wait_for()
    assert "4 rows, 3 columns." in found.inner_text() and "line 6 (2)" in found.inner_text()
    assert "Windows-1252" in found.inner_text()
    assert page.locator("#file-column").input_value() == "1"
    page.get_by_role("button", name="Label the rows").click()
    page.locator("#file-result a").wait_for()
    assert "4 rows in the file: 3 labelled, 1 failed" in page.locator("#file-status").inner_text()
    name, rows = labelled(page)
    assert name == "my rows.labelled.csv" and len(rows) == 4
    assert [row["id"] for row in rows] == ["1", "2", "3", "5"]
    assert rows[0]["Message"] == 'two\r\nlines; and "quotes"' and rows[0]["p(joy)"] == "0.700000"
    assert [row["label"] for row in rows] == ["joy", "", "joy", "joy"]
    assert [row["'=note"] for row in rows] == ["-5", "'=1+1", "'@x", "é"]
    assert rows[1]["status"] == "failed" and rows[1]["error"] == "it failed"


def test_pasted_lines_are_texts(looked_at, visit):
    page = visit(looked_at.url)
    page.get_by_role("tab", name="File").click()
    page.locator("#file-paste").fill("I won, at last\n\nNobody came\n=1+1")
    page.get_by_role("button", name="Label the rows").click()
    page.locator("#file-result a").wait_for()
    name, rows = labelled(page)
    assert name == "pasted.labelled.csv"
    assert [row["text"] for row in rows] == ["I won, at last", "Nobody came", "'=1+1"]


def test_many_rows_wait_for_a_busy_server_and_each_is_answered(serve_run, run, visit):
    server = serve_run(run, max_queue=16, max_texts=4)
    page = visit(server.url)
    page.get_by_role("tab", name="File").click()
    rows = "text,label\n" + "".join(f"row {n},x{n}\n" for n in range(300))
    page.locator("#file-paste").fill(rows + "x" * 20_001 + ",long\n")
    page.get_by_role("button", name="Label the rows").click()
    page.locator("#file-result a").wait_for()
    _, found = labelled(page)
    assert [row["input_label"] for row in found] == [*(f"x{n}" for n in range(300)), "long"]
    assert {row["label"] for row in found[:-1]} == {"joy"}
    assert all(row["reasoning"] == row["text"] for row in found[:-1])
    assert "20001 characters" in found[-1]["error"]


def test_labelling_can_be_cancelled(looked_at, visit):
    page = visit(looked_at.url)
    page.get_by_role("tab", name="File").click()
    page.locator("#file-paste").fill("text,n\n" + "sleep 1,1\n" * 100)
    page.get_by_role("button", name="Label the rows").click()
    page.get_by_text("of 100 rows").wait_for()
    page.get_by_role("button", name="Cancel").click()
    page.get_by_text("Cancelled.").wait_for()
    _, rows = labelled(page)
    assert len(rows) == 100 and rows[-1]["error"] == "not labelled"


def test_cells_are_made_harmless_as_by_the_command_line(looked_at, visit):
    cells = [
        "=1",
        "'=1",
        "''+x",
        "-5",
        "-5.5%",
        "+1,000.5",
        "-1e5",
        "-",
        "@",
        "\tx",
        "\rx",
        "a=1",
        "",
        "-1,5",
        "-1,5,5",
        "+",
        "1-2",
        "-x\n1",
    ]
    page = visit(looked_at.url)
    found = page.evaluate(
        "async cells => (await import('/page/csv.js')).written(['c'], cells.map(c => [c]))", cells
    )
    read = [row[0] for row in csv.reader(io.StringIO(found[1:], newline=""))]
    assert read[1:] == [harmless(cell) for cell in cells]


# -- Errors ---------------------------------------------------------------------------------------------------


def test_predictions_are_filtered_searched_and_paged(looked_at, visit):
    page = visit(f"{looked_at.url}/#errors")
    status = page.locator("#errors-status")
    page.locator("#errors .card").first.wait_for()
    assert page.locator("#errors-answer").input_value() == "wrong"
    page.locator("#errors-mode").select_option("reasoned")
    page.locator("#errors-answer").select_option("")
    page.get_by_text("180 predictions, 1 to 20 shown").wait_for()
    assert page.locator("#errors .card").count() == 20
    page.get_by_role("button", name="Next").click()
    page.get_by_text("21 to 40 shown").wait_for()
    page.locator("#errors-gold").select_option("joy")
    page.get_by_text("30 predictions, 1 to 20 shown").wait_for()
    page.locator("#errors-search").fill("nowhere to be found")
    page.get_by_text("No prediction is like that.").wait_for()
    page.locator("#errors-search").fill("jo 17")
    page.get_by_text("1 prediction", exact=True).wait_for()
    assert status.inner_text() == "1 prediction"
    page.get_by_role("button", name="Try this text").click()
    assert page.locator("#try-text").input_value() == "The kettle sang and I thought of jo 17"


# -- Review ---------------------------------------------------------------------------------------------------


def begin_review(page, name="Ada", what="kept"):
    page.get_by_role("tab", name="Review").click()
    page.locator("#review-by").fill(name)
    page.locator("#review-by").press("Enter")
    page.locator("#review-card .card").wait_for()
    page.locator("#review-what").select_option(what)
    page.locator("#review-card .card").wait_for()


def said(page, words):
    page.locator("#review-status").get_by_text(words, exact=True).wait_for()


def test_a_review_by_keyboard_alone(run, served_run, visit):
    page = visit(served_run.url)
    page.get_by_role("tab", name="Try").focus()
    for _ in range(4):
        page.keyboard.press("ArrowRight")
    assert page.locator("[role=tab][aria-selected=true]").inner_text() == "Review"
    page.keyboard.press("Tab")
    page.keyboard.type("Ada")
    page.keyboard.press("Enter")
    page.locator("#review-card .card:focus").wait_for()
    page.keyboard.press("a")
    said(page, "Accepted.")
    page.locator("#review-card .card:focus").wait_for()
    page.keyboard.press("r")
    said(page, "Rejected.")
    page.keyboard.press("e")
    page.locator("#review-text:focus").wait_for()
    page.keyboard.press("Control+a")
    page.keyboard.type("a better reason, rated")
    page.keyboard.press("Control+Enter")
    said(page, "Edited.")
    page.keyboard.press("s")
    said(page, "Skipped.")
    page.keyboard.press("u")
    said(page, "Undone: here it is again.")
    assert [each.verdict for each in decisions(run)] == ["accepted", "rejected", "edited", "cleared"]
    assert {each.decided_by for each in decisions(run)} == {"Ada"}
    assert decisions(run)[2].reasoning == "a better reason, rated"
    progress = page.locator("#review-progress").inner_text()
    assert "1 of 2, 50" in progress and "interval 9 to 91" in progress


def test_two_people_at_once_are_told_of_each_other(run, served_run, visit):
    ada, ben = visit(served_run.url), visit(served_run.url)
    begin_review(ada)
    text = ada.locator("#review-card .text").inner_text()
    begin_review(ben, "Ben")
    while ben.locator("#review-card .text").inner_text() != text:
        ben.keyboard.press("s")
        said(ben, "Skipped.")
    ben.keyboard.press("r")
    said(ben, "Rejected.")
    ada.locator("#review-card .card").focus()
    ada.keyboard.press("a")
    conflict = ada.locator("#review-conflict")
    conflict.wait_for()
    assert "Nothing was recorded" in conflict.inner_text() and "Ben rejected it at" in conflict.inner_text()
    ada.get_by_role("button", name="Decide on it all the same").click()
    ada.locator("#review-card .card:focus").wait_for()
    ada.keyboard.press("a")
    said(ada, "Accepted.")
    assert [(each.decided_by, each.verdict) for each in decisions(run)] == [
        ("Ben", "rejected"),
        ("Ada", "accepted"),
    ]
    # Undone, nothing is decided: what Ben did is not signed by Ada.
    ada.keyboard.press("u")
    said(ada, "Undone. Nothing is decided on it now; before, Ben rejected it.")
    assert [(each.decided_by, each.verdict) for each in decisions(run)][2:] == [("Ada", "cleared")]


def test_predictions_are_read_blind(run, served_run, visit):
    page = visit(served_run.url)
    begin_review(page, what="blind")
    page.locator("#review-reason").wait_for()
    assert "gold" not in page.locator("#review-card").inner_text()
    page.locator("#review-reason").fill("it rambles")
    page.locator("#review-reason").press("Escape")
    page.keyboard.press("r")
    said(page, "Rejected.")
    (reading,) = read_readings(run)
    assert (reading.by, reading.verdict, reading.reason, reading.blind) == (
        "Ada",
        "rejected",
        "it rambles",
        True,
    )
    page.keyboard.press("u")
    said(page, "Undone: here it is again.")
    assert read_readings(run) == []


def test_single_keys_can_be_turned_off(run, served_run, visit):
    page = visit(served_run.url)
    begin_review(page)
    page.locator("#review-keys").uncheck()
    page.locator("#review-card .card").focus()
    page.keyboard.press("a")
    page.get_by_role("button", name="Reject").click()
    said(page, "Rejected.")
    assert [each.verdict for each in decisions(run)] == ["rejected"]


# -- Compare, Report ------------------------------------------------------------------------------------------


def test_two_modes_are_compared(looked_at, visit):
    page = visit(f"{looked_at.url}/#compare")
    page.locator("#compare-text").fill("disagree here")
    page.locator("#compare-form button.primary").click()
    page.get_by_text("They disagree: joy and sad.").wait_for()
    assert "This server serves one model" in page.locator("#compare-help").inner_text()


def test_two_models_are_compared_and_tried(visit):
    server = start_fake(others=["second"])
    try:
        page = visit(f"{server.url}/#compare")
        page.locator("#compare-text").fill("hello")
        assert page.locator("#compare-right option:checked").inner_text() == "second: At once (fast)"
        page.locator("#compare-form button.primary").click()
        page.locator("#compare .answer .label").nth(1).wait_for()
        page.get_by_role("tab", name="Try").click()
        page.locator("#model").select_option("second")
        try_text(page, "hello")
        page.locator("#try .answer .label").nth(1).wait_for()
    finally:
        server.process.kill()
        server.process.wait()


def test_the_report_stands_in_the_page(looked_at, visit):
    frame = visit(f"{looked_at.url}/#report").frame_locator("#report-frame")
    frame.get_by_text("Recipe and lineage").first.wait_for()
    # The report's own style is let in, though the page itself allows none.
    style = frame.locator("h1").evaluate("one => getComputedStyle(one).fontFamily")
    assert "Palatino" in style


# -- everywhere -----------------------------------------------------------------------------------------------


def test_nothing_is_wider_than_the_window(looked_at, visit):
    page = visit(looked_at.url)
    try_text(page, f"{'long' * 60} {'words and ' * 30}")
    page.locator("#try .answer mark").nth(1).wait_for()
    page.get_by_role("tab", name="File").click()
    page.locator("#file-paste").fill("a,b,text\n" + f"{'x' * 90},2,{'y ' * 200}\n" * 3)
    page.locator("#file-go").click()
    page.locator("#file-labelled table").wait_for()
    page.get_by_role("tab", name="Errors").click()
    page.locator("#errors .card").first.wait_for()
    begin_review(page)
    for width in (360, 768, 1280, 2560):
        page.set_viewport_size({"width": width, "height": 800})
        for tab in page.get_by_role("tab").all():
            tab.click()
            assert page.evaluate("document.documentElement.scrollWidth") <= width, (width, tab.inner_text())


def test_every_field_has_a_name_and_every_contrast_is_enough(looked_at, visit):
    page = visit(looked_at.url)
    unnamed = page.evaluate(
        """() => [...document.querySelectorAll('input, select, textarea, button, iframe, progress')]
            .filter(one => !(one.labels?.length || one.textContent.trim() || one.title))
            .filter(one => !one.getAttribute('aria-label'))
            .map(one => one.outerHTML)"""
    )
    assert unnamed == []
    assert page.evaluate("document.documentElement.lang") == "en"
    for scheme in ("light", "dark"):
        page.emulate_media(color_scheme=scheme)
        for selector in ("body", ".soft", "button.primary", "[role=tab][aria-selected=false]"):
            assert page.evaluate(_CONTRAST, selector) >= 4.5, (scheme, selector)


_CONTRAST = """selector => {
    const light = color => {
        const [r, g, b] = color.match(/[\\d.]+/g).map(Number)
            .map(v => v / 255).map(v => v <= 0.04045 ? v / 12.92 : ((v + 0.055) / 1.055) ** 2.4);
        return 0.2126 * r + 0.7152 * g + 0.0722 * b;
    };
    const one = document.querySelector(selector);
    let behind = one;
    while (/, 0\\)$|transparent/.test(getComputedStyle(behind).backgroundColor)) behind = behind.parentElement;
    const [a, b] = [light(getComputedStyle(one).color), light(getComputedStyle(behind).backgroundColor)];
    return (Math.max(a, b) + 0.05) / (Math.min(a, b) + 0.05);
}"""


# -- hostile texts --------------------------------------------------------------------------------------------


@pytest.fixture
def hostile_run(tmp_path):
    """A run with every payload as text, label, reasoning, id, error, reason and name of a person."""
    from whylabel.evaluation.predictions import PredictionRow, read_predictions, write_predictions
    from whylabel.reasonings.files import dropped_rows, kept_rows
    from whylabel.reasonings.store import Decision
    from whylabel.report.report import write_report
    from whylabel.types import Dropped, Prediction, ReasonedExample

    run = write_run(tmp_path / "hostile", labels=PAYLOADS, text=PAYLOADS[0], reasoning=PAYLOADS[1])
    chances = tuple(1 / len(PAYLOADS) for _ in PAYLOADS)
    rows = [
        PredictionRow(
            "classifier",
            text,
            text,
            Prediction(
                f"id {text}",
                PAYLOADS[at - 1],
                chances,
                reasoning=text,
                mode="reasoned",
                status="failed" if at % 5 == 0 else "ok",
                error=text if at % 5 == 0 else None,
                reasoning_status=f"withheld: {text}" if at % 3 == 0 else "ok",
                disagrees=True,
            ),
        )
        for at, text in enumerate(PAYLOADS)
    ]
    assert read_predictions(run.predictions)
    write_report(run)
    write_predictions(run.predictions, rows)
    reasoned = [ReasonedExample(f"id {text}", text, text, text, "reasoner") for text in PAYLOADS]
    with kept_rows(run.kept) as keep:
        for row in reasoned[:30]:
            keep(row)
    with dropped_rows(run.dropped) as drop:
        for row in reasoned[30:]:
            drop(Dropped(row, row.text))
    with open_store(run.store) as store:
        store.put_decisions(
            Decision(f"{n:032x}", "accepted", text, text, text, text) for n, text in enumerate(PAYLOADS)
        )
    return run


def test_no_script_of_a_text_runs_on_the_pages_of_a_run(hostile_run, serve_run, visit):
    page = visit(f"{serve_run(hostile_run, PAYLOADS).url}/#errors")
    page.locator("#errors .card").first.wait_for()
    page.locator("#errors-answer").select_option("")
    page.get_by_text(f"{len(PAYLOADS)} predictions, 1 to 20 shown").wait_for()
    for _ in range(len(PAYLOADS) // 20):
        for more in page.locator("#errors summary").all():
            more.click()
        page.get_by_role("button", name="Next").click()
        page.wait_for_timeout(100)
    page.locator("#errors-gold").select_option(PAYLOADS[2])
    page.get_by_text("1 prediction", exact=True).wait_for()
    begin_review(page, PAYLOADS[0])
    for what in ("kept", "dropped", "open"):
        page.locator("#review-what").select_option(what)
        page.locator("#review-card .card").wait_for()
        for _ in range(len(PAYLOADS)):
            if page.locator("#review-accept").is_disabled():
                break
            page.locator("#review-card .card").focus()
            page.keyboard.press("s")
            page.wait_for_timeout(5)
    page.get_by_role("tab", name="Report").click()
    page.frame_locator("#report-frame").get_by_text("Recipe and lineage").first.wait_for()


def test_no_script_of_a_text_runs_where_it_is_tried(visit, run, serve_run):
    import json

    environment = {
        "FAKE_LABELS": json.dumps(PAYLOADS),
        "FAKE_QUESTION": PAYLOADS[0],
        "FAKE_ERROR": PAYLOADS[3],
    }
    server = serve_run(run, environment=environment, name=PAYLOADS[2])
    page = visit(server.url)
    page.get_by_role("heading", level=1).get_by_text(PAYLOADS[0], exact=True).wait_for()
    for text in ("\n".join(PAYLOADS), *PAYLOADS[::12], "fail"):
        try_text(page, text)
        page.locator("#try-status:not(:text-is('The model is reading.'))").wait_for(state="attached")
    page.get_by_text(f"Not labelled: {PAYLOADS[3]}.").first.wait_for()
    page.get_by_role("tab", name="File").click()
    rows = io.StringIO()
    csv.writer(rows).writerows(
        [[PAYLOADS[4], "text", PAYLOADS[5]], *([text, text, text] for text in PAYLOADS)]
    )
    page.locator("#file-choose").set_input_files(
        {
            "name": f"{PAYLOADS[0].replace('/', '')}.csv",
            "mimeType": "text/csv",
            "buffer": rows.getvalue().encode(),
        }
    )
    page.get_by_role("button", name="Label the rows").click()
    page.locator("#file-result a").wait_for()
    _, found = labelled(page)
    assert len(found) == len(PAYLOADS)
