import json
import os
from dataclasses import replace

import pytest

from review_file import edit
from whylabel.cli.review_files import write_rows
from whylabel.errors import DataError, RunFolderError, UsageError
from whylabel.reasonings.decisions import import_decisions
from whylabel.reasonings.files import iterate_dropped, read_reasoned
from whylabel.reasonings.review import review_rows
from whylabel.reasonings.store import Decision, open_store
from whylabel.run_folder import RunFolder
from whylabel.types import Example

REASON = "=a reason, of five words"
ANOTHER = "another reason, of five words"


@pytest.fixture(params=["csv", "jsonl", "parquet"])
def path(request, tmp_path):
    return tmp_path / f"rows.{request.param}"


@pytest.fixture
def rows(tmp_path):
    return tmp_path / "rows.jsonl"


def export(run, path, *ids):
    write_rows(path, [row for row in review_rows(run) if not ids or row.id in ids])


def decided(run):
    """Return how many decisions are on record."""
    with open_store(run.store) as store:
        return store.count_decisions()


def kept(run):
    return {row.id: row.reasoning for row in read_reasoned(run.kept)}


def dropped(run):
    return {item.row.id: item.reason for item in iterate_dropped(run.dropped)}


# -- what counts ----------------------------------------------------------------------------------------------


def test_what_people_decide_holds_and_is_on_record(sort, path):
    run = sort()
    export(run, path)
    assert import_decisions(run, path, decided_by="Ada") == {}
    edit(path, {"r0": {"verdict": "Rejected", "note": "off topic"}, "r1": {"verdict": "accepted"}})
    edit(path, {"r2": {"reasoning": "better words, by hand"}})
    assert import_decisions(run, path, decided_by="Ada") == {"rejected": 1, "accepted": 1, "edited": 1}

    assert set(kept(sort())) == {"r1", "r2", "r3", "r4"}
    found = {row.id: row for row in read_reasoned(run.kept)}
    assert (found["r1"].reasoning, found["r1"].reasoner) == ("short", "accepted by Ada")
    assert (found["r2"].reasoning, found["r2"].reasoner) == ("better words, by hand", "edited by Ada")
    assert found["r3"].reasoning == REASON
    assert dropped(run) == {"r0": "rejected by a person"}
    assert decided(run) == 3


def test_the_same_file_twice_decides_once_before_and_after_the_rows_are_sorted(sort, path):
    run = sort()
    export(run, path)
    edit(path, {"r0": {"verdict": "rejected", "note": "no"}, "r1": {"verdict": "accepted"}})
    edit(path, {"r2": {"reasoning": "by hand"}})
    assert import_decisions(run, path, decided_by="Ada").total() == 3
    assert import_decisions(run, path, decided_by="Ben") == {}
    sort()
    assert import_decisions(run, path, decided_by="Ben") == {}
    # Somebody goes on with the file that they have.
    edit(path, {"r3": {"verdict": "rejected"}, "r2": {"reasoning": "by hand, and better"}})
    assert import_decisions(run, path, decided_by="Ben") == {"rejected": 1, "edited": 1}
    assert kept(sort())["r2"] == "by hand, and better"


@pytest.mark.parametrize("again", [False, True])
def test_what_is_exported_of_decisions_is_no_news(sort, path, again):
    run = sort()
    export(run, path)
    edit(path, {"r0": {"verdict": "rejected", "note": "no"}, "r1": {"verdict": "accepted"}})
    edit(path, {"r2": {"reasoning": "by hand"}})
    import_decisions(run, path, decided_by="Ada")
    if again:
        sort()
    export(run, path)
    edit(path, {})
    assert import_decisions(run, path, decided_by="Ben") == {}
    # Nor is it once somebody else has decided otherwise.
    other = path.with_name(f"other{path.suffix}")
    export(run, other)
    edit(other, {"r0": {"verdict": "accepted"}, "r1": {"verdict": "rejected"}})
    assert import_decisions(run, other, decided_by="Ben").total() == 2
    assert import_decisions(run, path, decided_by="Cy") == {}
    assert set(kept(sort())) == {"r0", "r2", "r3", "r4"}


@pytest.mark.parametrize(
    "text",
    [
        "'@Sam' is thanked for all of it",
        "'=1' is what it says",
        "''- twice over",
        "=1+1 is a sum",
        "NA ",
        " a\tb\r\nc\rd",
    ],
)
def test_what_nobody_edited_comes_back_unedited(sort, path, text):
    run = sort([text], filters={"names": []})
    assert set(kept(run).values()) == {text}
    export(run, path)
    assert import_decisions(run, path, decided_by="Ada") == {}


def test_the_latest_decision_counts(sort, rows):
    run = sort()
    export(run, rows, "r0")
    for verdict, there in (("rejected", False), ("accepted", True)):
        edit(rows, {"r0": {"verdict": verdict}})
        import_decisions(run, rows, decided_by="Ada")
        assert ("r0" in kept(sort())) is there


def test_cleared_undoes_what_was_decided(sort, path):
    run = sort()
    before = kept(run)
    export(run, path)
    edit(path, {"r0": {"verdict": "rejected"}, "r1": {"verdict": "accepted"}, "r2": {"reasoning": "by hand"}})
    import_decisions(run, path, decided_by="Ada")
    sort()
    export(run, path)
    edit(path, {name: {"verdict": "cleared"} for name in ("r0", "r1", "r2", "r3")})
    # Nothing was decided on r3.
    assert import_decisions(run, path, decided_by="Ben") == {"cleared": 3}
    assert kept(sort()) == before
    assert not any(row.verdict for row in review_rows(run))
    assert import_decisions(run, path, decided_by="Ben") == {}


def test_an_edit_of_what_was_rejected_is_an_edit(sort, rows):
    run = sort()
    export(run, rows)
    edit(rows, {"r0": {"verdict": "rejected"}})
    import_decisions(run, rows, decided_by="Ada")
    sort()
    export(run, rows)
    edit(rows, {"r0": {"reasoning": "mended by hand"}})
    assert import_decisions(run, rows, decided_by="Ben") == {"edited": 1}
    assert kept(sort())["r0"] == "mended by hand"


@pytest.mark.parametrize(("verdict", "there"), [("accepted", "by hand"), ("rejected", None)])
def test_a_verdict_on_an_edit_holds_whatever_the_reasoner_writes(sort, rows, verdict, there):
    run = sort()
    export(run, rows)
    edit(rows, {"r0": {"reasoning": "by hand"}})
    import_decisions(run, rows, decided_by="Ada")
    sort()
    export(run, rows)
    edit(rows, {"r0": {"verdict": verdict}})
    assert import_decisions(run, rows, decided_by="Ben") == {verdict: 1}
    for reasoner in "ab":
        assert kept(sort([ANOTHER], reasoner=reasoner, fail_every=0)).get("r0") == there


def test_notes_are_news_where_they_change(sort, rows, capsys):
    run = sort()
    export(run, rows)
    edit(rows, {"r0": {"verdict": "rejected", "note": "no"}, "r2": {"note": "hm"}, "r3": {"note": "hm"}})
    assert import_decisions(run, rows, decided_by="Ada") == {"rejected": 1}
    assert "Notes without a verdict were not recorded: lines 2, 3" in capsys.readouterr().err
    export(run, rows)
    edit(rows, {"r0": {"note": "no, and off topic"}})
    assert import_decisions(run, rows, decided_by="Ben") == {"rejected": 1}
    assert import_decisions(run, rows, decided_by="Ben") == {}
    (row,) = [row for row in review_rows(run) if row.verdict]
    assert (row.note, row.decided_by) == ("no, and off topic", "Ben")
    export(run, rows)
    edit(rows, {"r0": {"verdict": ""}})
    assert import_decisions(run, rows, decided_by="Ada") == {}
    assert "to undo a decision, write cleared: line 1" in capsys.readouterr().err


def test_another_note_on_an_edit_keeps_the_edit(sort, rows):
    run = sort()
    export(run, rows, "r0")
    edit(rows, {"r0": {"reasoning": "by hand"}})
    import_decisions(run, rows, decided_by="Ada")
    export(run, rows, "r0")
    edit(rows, {"r0": {"note": "so it is better"}})
    assert import_decisions(run, rows, decided_by="Ben") == {"edited": 1}
    assert kept(sort())["r0"] == "by hand"


# -- when the reasonings have changed ---------------------------------------------------------------------------


def test_an_older_export_counts_edits_and_nothing_that_was_written_anew(sort, path):
    run = sort()
    export(run, path)
    sort([ANOTHER], reasoner="b", fail_every=0)
    assert import_decisions(run, path, decided_by="Ada") == {}
    edit(path, {"r2": {"reasoning": "better words, by hand"}})
    assert import_decisions(run, path, decided_by="Ada") == {"edited": 1}
    found = kept(sort([ANOTHER], reasoner="b", fail_every=0))
    assert found == dict.fromkeys(["r0", "r1", "r3", "r4", "r5"], ANOTHER) | {"r2": "better words, by hand"}


@pytest.mark.parametrize("verdict", ["accepted", "rejected"])
def test_verdicts_on_older_reasonings_are_refused_by_number_and_place(sort, tmp_path, verdict):
    run = sort(fail_every=0)
    path = tmp_path / "rows.jsonl"
    export(run, path)
    names = [json.loads(line)["id"] for line in path.read_text().splitlines()]
    sort(lambda index: REASON if index < 2 else ANOTHER, reasoner="b", fail_every=0)
    edit(
        path,
        {names[0]: {"verdict": "rejected"}, names[2]: {"verdict": verdict}, names[4]: {"verdict": verdict}},
    )
    edit(path, {names[1]: {"reasoning": "by hand"}})
    with pytest.raises(
        DataError, match="2 of the verdicts are about reasonings that are not the run's any more"
    ) as caught:
        import_decisions(run, path)
    assert caught.value.where == f"{path}, lines 3, 5"
    assert "export the rows again" in caught.value.fix
    assert decided(run) == 0


def test_an_older_verdict_that_is_on_record_is_no_news(sort, path):
    run = sort(fail_every=0)
    export(run, path)
    edit(path, {"r0": {"verdict": "rejected"}, "r1": {"verdict": "accepted"}})
    assert import_decisions(run, path, decided_by="Ada").total() == 2
    sort([ANOTHER], reasoner="b", fail_every=0)
    edit(path, {"r2": {"reasoning": "by hand"}})
    assert import_decisions(run, path, decided_by="Ada") == {"edited": 1}


def test_an_older_file_does_not_clear_an_edit_that_it_does_not_show(sort, path):
    run = sort()
    export(run, path, "r0")
    newer = path.with_name(f"newer{path.suffix}")
    export(run, newer, "r0")
    edit(newer, {"r0": {"reasoning": "by hand"}})
    import_decisions(run, newer, decided_by="Ada")
    sort()
    edit(path, {"r0": {"verdict": "cleared"}})
    with pytest.raises(DataError, match="1 of the verdicts is about"):
        import_decisions(run, path, decided_by="Ben")


def test_a_file_with_many_stale_verdicts_names_the_first(sort, tmp_path):
    many = [Example(f"r{number}", f"Text {number}", "joy") for number in range(30)]
    run = sort([REASON], examples=many, fail_every=0)
    path = tmp_path / "rows.csv"
    export(run, path)
    sort([ANOTHER], examples=many, reasoner="b", fail_every=0)
    edit(path, {row.id: {"verdict": "accepted"} for row in many})
    with pytest.raises(DataError, match="30 of the verdicts are") as caught:
        import_decisions(run, path)
    assert "lines 2, 3, 4" in caught.value.where and caught.value.where.endswith("11 and 20 more")


def test_an_edit_about_another_text_under_the_same_id_is_refused(sort, path):
    run = sort(fail_every=0)
    export(run, path, "r0", "r2")
    changed = [
        Example("r0", "Quite another text", "fear"),
        Example("r2", 'Text 2, "quoted"\nand so on', "joy"),
    ]
    sort([REASON], examples=changed, fail_every=0)
    edit(path, {"r0": {"reasoning": "by hand"}, "r2": {"reasoning": "by hand"}})
    with pytest.raises(DataError, match="2 of the verdicts are"):
        import_decisions(run, path)
    assert decided(run) == 0


def test_a_verdict_applies_to_the_reasoning_that_was_seen_alone(sort, rows):
    run = sort(fail_every=0)
    export(run, rows)
    edit(rows, {"r0": {"verdict": "rejected"}, "r1": {"verdict": "accepted"}, "r2": {"reasoning": "by hand"}})
    import_decisions(run, rows, decided_by="Ada")
    found = kept(sort(lambda index: "brief" if index == 1 else ANOTHER, reasoner="b", fail_every=0))
    assert (found["r0"], found["r2"], "r1" in found) == (ANOTHER, "by hand", False)
    assert {row.id for row in review_rows(run) if row.verdict} == {"r2"}
    # Back with the first reasoner, they are about what the rows say again.
    found = kept(sort())
    assert ("r0" in found, found["r1"], found["r2"]) == (False, "short", "by hand")


def test_a_verdict_waits_with_its_reasoning_for_a_higher_limit(sort, rows):
    run = sort([REASON], fail_every=0)
    export(run, rows)
    edit(rows, {"r0": {"verdict": "rejected"}})
    import_decisions(run, rows, decided_by="Ada")
    assert kept(sort([REASON], fail_every=0, limit=3, filters={"names": []}))["r0"] == "=a reason, of"
    assert "r0" not in kept(sort([REASON], fail_every=0))


def test_a_decision_without_a_hash_from_an_older_store_keeps_applying(sort):
    run = sort(fail_every=0)
    rows = {row.id: row.row for row in review_rows(run)}
    with open_store(run.store) as store:
        store.put_decisions(
            [
                Decision(rows["r0"], "rejected", REASON, "Ada", "2026-01-02T03:04:05Z"),
                Decision(rows["r1"], "accepted", "short", "Ada", "2026-01-02T03:04:05Z"),
            ]
        )
    found = kept(sort([ANOTHER], reasoner="b", fail_every=0))
    assert "r0" not in found and found["r1"] == "short"


def test_of_several_candidates_the_accepted_one_is_kept(sort, rows):
    drawn = {"sampling": {"temperature": 0.7}}
    run = sort(lambda index: f"a reason of number {index}", candidates=2, fail_every=0, **drawn)
    export(run, rows, "r1")
    edit(rows, {"r1": {"verdict": "accepted"}})
    import_decisions(run, rows, decided_by="Ada")
    assert kept(run)["r1"] == "a reason of number 2"
    # The filter is against all that begin with an `a`, and of r1 also against what was accepted.
    strict = {"filters": {"names": ["pattern"], "drop_patterns": ["number [02468]"]}}
    found = kept(sort(candidates=2, fail_every=0, **drawn, **strict))
    assert found["r1"] == "a reason of number 2"
    assert found["r0"] == "a reason of number 1"


# -- files without a hash ---------------------------------------------------------------------------------------


def test_an_older_export_without_hashes_says_which_rows_it_leaves_alone(sort, path, capsys):
    run = sort(fail_every=0)
    export(run, path)
    edit(path, {"r2": {"verdict": "edited", "reasoning": "by hand"}}, drop=("reasoning_hash",))
    sort([ANOTHER], reasoner="b", fail_every=0)
    assert import_decisions(run, path, decided_by="Ada") == {"edited": 1}
    said = capsys.readouterr().err
    assert "Some reasonings are not the run's" in said and "set verdict to edited" in said
    assert decided(run) == 1


def test_an_older_export_without_hashes_of_unchanged_reasonings(sort, path):
    run = sort()
    export(run, path)
    edit(path, {"r0": {"verdict": "rejected"}, "r1": {"verdict": "accepted"}}, drop=("reasoning_hash",))
    assert import_decisions(run, path, decided_by="Ada") == {"rejected": 1, "accepted": 1}
    assert "r0" not in kept(sort())


@pytest.mark.parametrize("verdict", ["accepted", "rejected"])
def test_a_verdict_beside_another_reasoning_is_refused_without_a_hash(sort, path, verdict):
    run = sort(fail_every=0)
    export(run, path, "r0", "r2")
    edit(path, {"r2": {"verdict": verdict}}, drop=("reasoning_hash",))
    sort([ANOTHER], reasoner="b", fail_every=0)
    with pytest.raises(DataError, match="1 of the verdicts is about"):
        import_decisions(run, path)


def test_a_file_of_ids_and_reasonings_is_one_of_edits(sort, rows):
    run = sort()
    lines = [{"id": "r0", "reasoning": "by hand"}, {"id": "r2", "reasoning": REASON}]
    rows.write_text("\n".join(map(json.dumps, lines)))
    assert import_decisions(run, rows, decided_by="Ada") == {"edited": 1}
    rows.write_text('{"id": "r3", "reasoning": null, "verdict": "rejected"}\n')
    assert import_decisions(run, rows, decided_by="Ada") == {"rejected": 1}


# -- what is refused ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("row", "change", "message"),
    [
        ("r3", {"id": "nobody"}, "No row of this run has the id 'nobody'"),
        ("r3", {"verdict": "acceptd"}, "Did you mean 'accepted'"),
        ("r3", {"reasoning": " "}, "The reasoning is empty"),
        ("r3", {"reasoning": "", "verdict": "accepted"}, "The reasoning is empty"),
        ("r3", {"reasoning": "other", "verdict": "cleared"}, "cleared, but the reasoning was edited"),
        ("r5", {"verdict": "accepted", "reasoning": "by hand"}, "'r5' failed"),
        ("r5", {"reasoning": "by hand"}, "'r5' failed"),
    ],
)
def test_a_faulty_row_is_named_and_nothing_is_recorded(sort, path, row, change, message):
    run = sort()
    export(run, path)
    edit(path, {"r0": {"verdict": "rejected"}, row: change})
    with pytest.raises(DataError, match=message):
        import_decisions(run, path)
    assert decided(run) == 0


@pytest.mark.parametrize("escape", [r"\ud800", r"\u0000", r"ab\udfffc"])
@pytest.mark.parametrize("column", ["reasoning", "note", "verdict", "id"])
def test_text_that_is_none_is_refused_with_its_place(sort, rows, column, escape):
    run = sort()
    export(run, rows)
    lines = rows.read_text().splitlines()
    row = json.loads(lines[1])
    lines[1] = json.dumps({**row, "verdict": "rejected", column: "TEXT"}).replace("TEXT", escape)
    rows.write_text("\n".join(lines))
    with pytest.raises(DataError) as caught:
        import_decisions(run, rows)
    assert caught.value.where == f"{rows}, line 2"
    str(caught.value).encode()
    assert decided(run) == 0


@pytest.mark.parametrize("value", [["a", "list"], {"a": 1}])
def test_a_cell_that_is_no_text_is_refused(sort, rows, value):
    run = sort()
    rows.write_text(json.dumps({"id": "r0", "reasoning": value}))
    with pytest.raises(DataError, match="not a text"):
        import_decisions(run, rows)


def test_equal_rows_are_decided_alike(sort, rows):
    twins = [Example("a", "the same", "joy"), Example("b", "the same", "joy")]
    run = sort([REASON], examples=twins, fail_every=0)
    export(run, rows)
    edit(rows, {"a": {"verdict": "rejected"}, "b": {"verdict": "accepted"}})
    with pytest.raises(DataError, match="'a' and 'b' have the same text and label"):
        import_decisions(run, rows)
    edit(rows, {"b": {"verdict": "rejected"}})
    assert import_decisions(run, rows) == {"rejected": 1}


def test_a_run_without_reasonings_is_left_alone(tmp_path):
    with pytest.raises(RunFolderError, match="no reasonings yet"):
        import_decisions(RunFolder(tmp_path / "run"), tmp_path / "rows.csv")
    assert list(tmp_path.iterdir()) == []


# -- who decided ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("error", [KeyError("getpwuid(): uid not found: 1234"), OSError("No username set")])
def test_a_user_without_a_name_is_known_by_a_number(sort, rows, monkeypatch, error):
    def getuser():
        raise error

    monkeypatch.setattr("getpass.getuser", getuser)
    run = sort()
    export(run, rows)
    edit(rows, {"r0": {"verdict": "rejected"}})
    import_decisions(run, rows)
    assert {row.decided_by for row in review_rows(run) if row.verdict} == {f"user {os.getuid()}"}


def test_a_name_that_is_no_text_is_refused(sort, rows):
    run = sort()
    export(run, rows)
    with pytest.raises(UsageError, match="not readable as text"):
        import_decisions(run, rows, decided_by="\udcff")


def test_rows_come_back_as_they_were_shown(sort, path):
    run = sort()
    shown = list(review_rows(run))
    write_rows(path, [replace(row, note="") for row in shown])
    assert import_decisions(run, path) == {}


def test_in_a_table_with_tabs_the_protection_against_formulas_is_undone_too(sort, tmp_path):
    run, path = sort(), tmp_path / "rows.tsv"
    path.write_text("id\treasoning\nr0\t'=words by hand\n")
    import_decisions(run, path, decided_by="Ada")
    with open_store(run.store) as store:
        ((decision,),) = store.all_decisions().values()
    assert (decision.verdict, decision.reasoning) == ("edited", "=words by hand")
