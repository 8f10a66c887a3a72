"""File in a browser: what is pasted, and labelling while things change."""

import csv
import io
from pathlib import Path


def open_file(page, text):
    page.get_by_role("tab", name="File").click()
    page.locator("#file-paste").fill(text)
    page.locator("#file-options").wait_for()


def labelled(page):
    with page.expect_download() as download:
        page.locator("#file-result a").click()
    text = Path(download.value.path()).read_bytes().decode()
    return download.value.suggested_filename, list(csv.DictReader(io.StringIO(text[1:])))


def count_asked(page, part):
    asked = []
    page.on("request", lambda request: asked.append(request.url) if part in request.url else None)
    return asked


def test_what_was_labelled_is_offered_though_the_input_has_changed(looked_at, visit):
    page = visit(looked_at.url)
    open_file(page, "n,text\n1,sleep 2\n2,hello\n3\n")
    page.get_by_role("button", name="Label the rows").click()
    page.get_by_role("button", name="Cancel").wait_for()
    page.locator("#file-paste").fill("")
    page.locator("#file-options").wait_for(state="hidden")
    assert page.get_by_role("button", name="Cancel").is_visible()
    page.locator("#file-result a").wait_for()
    assert (
        "1 row left out, as they do not have 2 cells: line 4 (1)" in page.locator("#file-status").inner_text()
    )
    assert "sleep 2" in page.locator("#file-labelled").inner_text()
    name, rows = labelled(page)
    assert name == "pasted.labelled.csv" and [row["label"] for row in rows] == ["joy", "joy"]


def test_a_server_that_is_gone_is_said_and_nothing_runs_twice(looked_at, visit):
    page = visit(looked_at.url)
    open_file(page, "text\nhello\nhow are you")
    page.route("**/v1/labels*", lambda route: route.abort())
    page.get_by_role("button", name="Label the rows").click()
    page.locator("#file-status").get_by_text("The server does not answer. Nothing was labelled.").wait_for()
    assert page.get_by_role("button", name="Cancel").is_hidden()
    page.unroute("**/v1/labels*")
    asked = count_asked(page, "v1/labels")
    page.evaluate("for (const _ of [1, 2]) document.getElementById('file-form').requestSubmit()")
    page.locator("#file-result a").wait_for()
    assert len(asked) == 1
    _, rows = labelled(page)
    assert [row["text"] for row in rows] == ["hello", "how are you"]


def test_a_row_without_a_reasoning_says_why(looked_at, visit):
    page = visit(looked_at.url)
    open_file(page, "text\nwithhold it")
    page.locator("#file-mode").select_option("reasoned")
    page.get_by_role("button", name="Label the rows").click()
    page.locator("#file-labelled").get_by_text("withheld: unsure").wait_for()


TABLES = {
    # A line is a name only if it says what it is.
    "Awful\nGreat product\nNo": ("", False, [["Awful"], ["Great product"], ["No"]]),
    "Text\nAwful\nNo": ("", True, [["Text"], ["Awful"], ["No"]]),
    '"review"\n"Good, cheap"': (",", True, [["review"], ["Good, cheap"]]),
    '"Good"\n"Good, cheap"': (",", False, [["Good"], ["Good, cheap"]]),
    # What is followed by a blank everywhere stands in a sentence.
    "I like it, really\nBad one, sorry": ("", False, [["I like it, really"], ["Bad one, sorry"]]),
    "Well, I came; I saw\nNo, he left; I won": ("", False, [["Well, I came; I saw"], ["No, he left; I won"]]),
    "I won, at last\nNo, never\nYes, often\nNobody": (
        "",
        False,
        [["I won, at last"], ["No, never"], ["Yes, often"], ["Nobody"]],
    ),
    "I won,\nat last": ("", False, [["I won,"], ["at last"]]),
    # Tables, also with blanks.
    "id,text\n1,I won": (",", True, [["id", "text"], ["1", "I won"]]),
    "id, text\n1, I won": (",", True, [["id", " text"], ["1", " I won"]]),
    "id,note\n1, I won\n2, no": (",", True, [["id", "note"], ["1", " I won"], ["2", " no"]]),
    "note;id\nI won, at last;1\nNo, never;2": (
        ";",
        True,
        [["note", "id"], ["I won, at last", "1"], ["No, never", "2"]],
    ),
    "note\tid\nI won, at last\t1\n": ("\t", True, [["note", "id"], ["I won, at last", "1"]]),
    "note | id\nI won | 1": ("|", True, [["note ", " id"], ["I won ", " 1"]]),
    'id,note\n1,"I won, at last"\n2,"No"': (
        ",",
        True,
        [["id", "note"], ["1", "I won, at last"], ["2", "No"]],
    ),
}


def test_texts_and_tables_are_told_apart(looked_at, visit):
    page = visit(looked_at.url)
    read = """async texts => {
        const { delimiterOf, hasHeader, parsed } = await import('/page/csv.js');
        return texts.map(text => {
            const delimiter = delimiterOf(text);
            const { rows } = parsed(text, delimiter);
            return [delimiter, hasHeader(rows), rows.map(({ cells }) => cells)];
        });
    }"""
    found = page.evaluate(read, list(TABLES))
    assert dict(zip(TABLES, map(tuple, found), strict=True)) == TABLES
    open_file(page, "Awful\nGreat product\nNo")
    assert page.locator("#file-found").inner_text() == "3 rows, 1 column."
