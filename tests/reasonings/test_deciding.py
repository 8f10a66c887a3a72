import pytest

from whylabel.errors import DataError
from whylabel.reasonings.deciding import Wish, decide, standing, verdicts
from whylabel.reasonings.decisions import import_decisions
from whylabel.reasonings.review import review_rows
from whylabel.reasonings.store import open_store


def the_row(run, row_id="r3"):
    return next(row for row in review_rows(run) if row.id == row_id)


def test_decisions_on_one_row_follow_each_other(sort):
    run = sort()
    row = the_row(run)
    done, history = decide(run, row, Wish("accepted", 0, note="good"), "Ada")
    assert done and standing(row, history).decided_by == "Ada"
    # Ben has not seen it, so his decision is not recorded.
    done, history = decide(run, row, Wish("rejected", 0), "Ben")
    assert not done and [each.decided_by for each in history] == ["Ada"]
    done, history = decide(run, row, Wish("rejected", 1), "Ben")
    assert done and standing(row, history).verdict == "rejected"
    done, history = decide(run, row, Wish("cleared", 2), "Ada")
    assert done and standing(row, history) is None and verdicts([history]) == {}


@pytest.mark.parametrize("verdict", ["accepted", "rejected", "edited"])
def test_a_decision_works_as_one_that_was_imported(sort, tmp_path, verdict):
    from review_file import edit
    from whylabel.cli.review_files import write_rows

    run = sort()
    row = the_row(run)
    wish = Wish(verdict, 0, "better words, by hand" if verdict == "edited" else "")
    _, (mine,) = decide(run, row, wish, "Ada")
    decide(run, row, Wish("cleared", 1), "Ada")
    write_rows(tmp_path / "rows.jsonl", list(review_rows(run)))
    changes = {"reasoning": "better words, by hand"} if verdict == "edited" else {"verdict": verdict}
    edit(tmp_path / "rows.jsonl", {"r3": changes})
    assert import_decisions(run, tmp_path / "rows.jsonl", decided_by="Ada").total() == 1
    with open_store(run.store) as store:
        imported = store.history(row.row)[-1]
    assert (imported.verdict, imported.reasoning, imported.reasoning_hash) == (
        mine.verdict,
        mine.reasoning,
        mine.reasoning_hash,
    )


@pytest.mark.parametrize(
    "wish", [Wish("edited", 0, " "), Wish("edited", 0, "a\0"), Wish("accepted", 0, note="\ud800")]
)
def test_what_cannot_be_kept_is_refused(sort, wish):
    run = sort()
    with pytest.raises(DataError):
        decide(run, the_row(run), wish, "Ada")
    with open_store(run.store) as store:
        assert store.count_decisions() == 0
