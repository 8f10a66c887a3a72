"""Review in a browser where answers come late, people meet, and things are undone."""

import re

from whylabel.evaluation.readings import read_readings
from whylabel.reasonings.store import open_store


def begin(page, name="Ada", what="kept"):
    page.get_by_role("tab", name="Review").click()
    page.locator("#review-by").fill(name)
    page.locator("#review-by").press("Enter")
    page.locator("#review-card .card").wait_for()
    page.locator("#review-what").select_option(what)
    page.locator("#review-card .card").wait_for()


def press(page, key, words):
    page.locator("#review-card .card").focus()
    page.keyboard.press(key)
    said(page, words)


def said(page, words):
    page.locator("#review-status").get_by_text(words, exact=True).wait_for()


def text_of(page):
    return page.locator("#review-card .text").inner_text()


def decisions(run):
    with open_store(run.store) as store:
        return [each for history in store.all_decisions().values() for each in history]


def hold(page, address):
    """Keep requests to an address from being sent; return what lets them go."""
    held, free = [], []

    def keep(route):
        if free:
            route.continue_()
        else:
            held.append(route)

    def let_go():
        free.append(True)
        for route in held:
            route.continue_()

    page.route(re.compile(address), keep)
    return held, let_go


def wait_until_held(page, held):
    while not held:
        page.wait_for_timeout(20)


# -- answers that come late -----------------------------------------------------------------------------------


def test_rows_that_come_late_are_not_taken_for_those_of_a_newer_choice(run, served_run, visit):
    page = visit(served_run.url)
    begin(page)
    held, let_go = hold(page, "readings.*blind=no")
    page.locator("#review-what").select_option("open")
    wait_until_held(page, held)
    page.locator("#review-what").select_option("blind")
    page.locator("#review-reason").wait_for()
    with page.expect_response(re.compile("blind=no")):
        let_go()
    page.wait_for_timeout(200)
    for _ in range(3):
        # Also those that wait behind the first card are blind.
        assert "gold" not in page.locator("#review-card").inner_text()
        press(page, "s", "Skipped.")
    assert page.locator("#review-progress").inner_text().endswith("rows left.")
    held, let_go = hold(page, "reasonings.*state=dropped")
    page.locator("#review-what").select_option("dropped")
    wait_until_held(page, held)
    page.locator("#review-what").select_option("blind")
    page.locator("#review-reason").wait_for()
    with page.expect_response(re.compile("state=dropped")):
        let_go()
    press(page, "r", "Rejected.")
    assert [each.blind for each in read_readings(run)] == [True]


def test_a_refusal_that_comes_late_is_not_said_of_a_newer_choice(looked_at, visit):
    page = visit(looked_at.url)
    begin(page)
    held, _ = hold(page, "state=dropped")
    page.locator("#review-what").select_option("dropped")
    wait_until_held(page, held)
    page.locator("#review-what").select_option("blind")
    page.locator("#review-reason").wait_for()
    with page.expect_response(re.compile("state=dropped")):
        held[0].fulfill(status=503, json={"error": {"message": "Busy."}})
    page.wait_for_timeout(200)
    assert page.locator("#review-status").inner_text() == ""
    assert page.locator("#review-card .card").is_visible()


def test_a_decision_that_is_recorded_late_is_not_undone_in_a_newer_choice(run, served_run, visit):
    page = visit(served_run.url)
    begin(page)
    held, let_go = hold(page, "decisions$")
    page.locator("#review-card .card").focus()
    page.keyboard.press("a")
    wait_until_held(page, held)
    page.locator("#review-what").select_option("blind")
    page.locator("#review-reason").wait_for()
    with page.expect_response(re.compile("decisions$")):
        let_go()
    said(page, "Accepted.")
    assert page.locator("#review-undo").is_disabled()
    assert not page.locator("#review-progress").inner_text().startswith("You")
    press(page, "s", "Skipped.")
    assert [each.verdict for each in decisions(run)] == ["accepted"]


# -- people who meet ------------------------------------------------------------------------------------------


def reject(server, text, by):
    """Reject the kept row with this text with a note, past the page."""
    dealt = [
        row
        for which in ("undecided", "decided")
        for row in server.client.get(
            "/v1/runs/fake/reasonings", params={"by": by, "which": which, "limit": 100}
        ).json()["data"]
    ]
    (row,) = [each for each in dealt if each["text"] == text]
    body = {name: row[name] for name in ("row", "reasoning_hash", "known")}
    body |= {"by": by, "verdict": "rejected", "note": "a note"}
    assert server.client.post("/v1/runs/fake/decisions", json=body).status_code == 200


def edit_all_the_same(page, by):
    """Edit the row on the card, which `by` has rejected in the meantime."""
    page.locator("#review-card .card").focus()
    page.keyboard.press("e")
    page.locator("#review-text").fill("what Ada wrote")
    page.keyboard.press("Control+Enter")
    page.locator("#review-conflict").get_by_text(f"{by} rejected it at").wait_for()
    page.get_by_role("button", name="Decide on it all the same").click()
    page.locator("#review-text:focus").wait_for()
    assert page.locator("#review-text").input_value() == "what Ada wrote"
    page.keyboard.press("Control+Enter")
    said(page, "Edited.")


def test_what_was_typed_outlives_a_conflict(run, served_run, visit):
    page = visit(served_run.url)
    begin(page)
    reject(served_run, text_of(page), "Ben")
    edit_all_the_same(page, "Ben")
    assert [(each.decided_by, each.verdict) for each in decisions(run)] == [
        ("Ben", "rejected"),
        ("Ada", "edited"),
    ]
    page.keyboard.press("e")
    assert page.locator("#review-text").input_value() != "what Ada wrote"


def test_an_undo_signs_nobody_elses_verdict(run, served_run, visit):
    page = visit(served_run.url)
    begin(page)
    reject(served_run, text_of(page), "Ben")
    edit_all_the_same(page, "Ben")
    press(page, "u", "Undone. Nothing is decided on it now; before, Ben rejected it.")
    # Her own in another window is restored.
    press(page, "s", "Skipped.")
    reject(served_run, text_of(page), "Ada")
    edit_all_the_same(page, "Ada")
    press(page, "u", "Undone: here it is again.")
    assert [(each.decided_by, each.verdict, each.note) for each in decisions(run)] == [
        ("Ben", "rejected", "a note"),
        ("Ada", "edited", ""),
        ("Ada", "cleared", ""),
        ("Ada", "rejected", "a note"),
        ("Ada", "edited", ""),
        ("Ada", "rejected", "a note"),
    ]


def test_an_undo_that_meets_a_conflict_is_not_tried_again(run, served_run, visit):
    page = visit(served_run.url)
    begin(page)
    text = text_of(page)
    press(page, "a", "Accepted.")
    reject(served_run, text, "Ben")
    shown = text_of(page)
    page.keyboard.press("u")
    page.locator("#review-conflict").get_by_text("Ben rejected it at").wait_for()
    assert page.locator("#review-undo").is_disabled()
    page.get_by_role("button", name="Leave theirs, go on").click()
    page.locator("#review-card .card:focus").wait_for()
    assert text_of(page) == shown != text
    assert [each.decided_by for each in decisions(run)] == ["Ada", "Ben"]
