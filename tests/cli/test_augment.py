import json
from contextlib import nullcontext

import pytest

from whylabel.cli.main import main
from whylabel.host.progress import duration
from whylabel.recipe import Recipe, override_recipe
from whylabel.run_folder import RunFolder
from whylabel.stages.augment import Rehearsal

ANSWER = 'The words "as written" say it.'


@pytest.fixture
def augment(tiny_model_folder, tmp_path, capsys):
    """Return a function that runs the verb on twelve rows and returns (exit code, its JSON, what it said)."""
    recipe = override_recipe(
        Recipe(name="tiny"),
        base_model=str(tiny_model_folder),
        data__train_rows=12,
        data__validation_rows=4,
        data__test_rows=4,
        reasoner__model=str(tiny_model_folder),
        augment__engine="scripted",
        augment__engine_options={"answers": [ANSWER]},
        augment__sampling__max_new_tokens=12,
    )
    path = tmp_path / "recipe.yaml"

    def run(*arguments, engine=None):
        options = {"answers": [ANSWER], **(engine or {})}
        path.write_text(override_recipe(recipe, augment__engine_options=options).to_yaml())
        code = main(["augment", str(path), "--output", str(tmp_path / "run"), "--json", *arguments])
        out, err = capsys.readouterr()
        return code, json.loads(out), err

    return run


@pytest.mark.parametrize("option", [("--retry", "failed"), ("--retry-failed",)])
def test_failed_rows_are_written_again_where_that_is_asked_for(augment, option):
    code, figures, _ = augment(engine={"fail_every": 3})
    assert (code, figures["failed"], figures["kept"]) == (4, 4, 8)
    code, figures, _ = augment()
    assert (code, figures["failed"]) == (4, 4)
    code, figures, said = augment(*option)
    assert (code, figures["failed"], figures["kept"], figures["reused"]) == (0, 0, 12, 8)
    assert "4 rows run again: failed" in said


def test_cut_rows_are_written_again_where_that_is_asked_for(augment):
    _, figures, _ = augment(engine={"cut_every": 4})
    assert figures["dropped_by_reason"] == {"unfinished": 3}
    assert augment("--retry", "failed")[1]["dropped_by_reason"] == {"unfinished": 3}
    _, figures, said = augment("--retry", "length")
    assert (figures["kept"], figures["reused"]) == (12, 9)
    assert "3 rows run again: length" in said


def test_several_kinds_of_rows_may_be_written_again_at_once(augment):
    augment(engine={"fail_every": 3, "cut_every": 4})
    code, figures, _ = augment("--retry", "failed", "--retry", "length")
    assert (code, figures["kept"]) == (0, 12)


def test_no_engine_is_opened_where_every_reasoning_is_written(augment):
    assert "engine scripted" in augment()[2]
    code, figures, said = augment("augment.filters.min_words=7")
    assert (code, figures["kept"], figures["reused"]) == (0, 0, 12)
    assert "12 of 12 rows were written before" in said and "engine scripted" not in said


def test_a_dry_run_says_what_would_be_written_and_writes_nothing(augment, tmp_path):
    run = RunFolder(tmp_path / "run")
    code, figures, _ = augment("--dry-run")
    assert (code, figures["rows"], figures["to_write"], len(figures["prompts"])) == (0, 12, 12, 3)
    assert not run.store.exists() and not run.kept.exists() and not run.manifest.exists()
    augment(engine={"fail_every": 3, "cut_every": 4})
    before = {path: path.read_bytes() for path in run.path.rglob("*.parquet")}
    assert augment("--dry-run")[1]["to_write"] == 0
    assert augment("--dry-run", "--retry", "length")[1]["to_write"] == 2
    assert augment("--dry-run", "--retry", "failed")[1]["to_write"] == 4
    assert augment("--dry-run", "--retry-failed", "--retry", "length")[1]["to_write"] == 6
    assert before == {path: path.read_bytes() for path in run.path.rglob("*.parquet")}
    assert json.loads(run.augment_metrics.read_text())["failed"] == 4


def test_an_unknown_retry_is_refused(tmp_path, capsys):
    assert main(["augment", str(tmp_path / "recipe.yaml"), "--retry", "cut"]) == 2
    assert "'cut' is not one of" in capsys.readouterr().err


def test_decisions_sort_the_rows_anew_and_nothing_else_does(augment, tmp_path, capsys):
    run = RunFolder(tmp_path / "run")
    augment()
    path = tmp_path / "rows.jsonl"

    def decide(verdict, state):
        main(["reasonings", str(run.path), "--export", str(path), "--limit", "1", "--state", state])
        path.write_text(json.dumps({**json.loads(path.read_text()), "verdict": verdict}))
        assert main(["reasonings", str(run.path), "--import", str(path), "--by", "Ada"]) == 0
        capsys.readouterr()

    assert "nothing has changed" in augment()[2]
    decide("rejected", "kept")
    _, figures, _ = augment()
    assert (figures["dropped_by_reason"], figures["reused"]) == ({"rejected by a person": 1}, 12)
    decide("rejected", "dropped")
    assert "nothing has changed" in augment()[2]
    decide("cleared", "dropped")
    assert augment()[1]["kept"] == 12


@pytest.fixture
def shown(monkeypatch, capsys):
    """Return a function that returns what the verb prints of a rehearsal."""
    monkeypatch.setattr("whylabel.cli.augment.open_run", lambda *_: (None, _Run()))
    monkeypatch.setattr("whylabel.pipeline.Pipeline.__init__", lambda self, recipe, run: None)

    def printed(**values):
        found = Rehearsal(**{**REHEARSAL, **values})
        monkeypatch.setattr("whylabel.pipeline.Pipeline.rehearse_augment", lambda self, retry: found)
        assert main(["augment", "recipe.yaml", "--dry-run"]) == 0
        return capsys.readouterr().out

    return printed


REHEARSAL = {
    **{"rows": 1030, "to_write": 1024, "prompts": (("Why is it\njoy?", 7), ("And \x1bfear?", 5))},
    **{"prompt_tokens": 16800, "new_tokens": 9600, "tokens_per_second": 1200.4, "seconds": 8.0},
    **{"cost": 1234.5, "failed": 1},
}


def test_a_rehearsal_is_shown_to_people(shown):
    lines = [
        "1,024 reasonings to write for 1,030 rows",
        *("", "prompt 1 (7 tokens)", "  Why is it", "  joy?"),
        *("", "prompt 2 (5 tokens)", "  And \ufffdfear?"),
        "",
        "prompt tokens  about 16,800",
        "new tokens     about 9,600, 1,200 a second",
        f"time           about {duration(8.0)}; a large batch is faster than the few timed rows",
        "cost           about 1,234.5000, in the currency of the prices",
        "failed         1 of the timed rows",
    ]
    assert shown().splitlines() == lines
    assert shown(cost=None, failed=0).splitlines() == lines[:-2]
    # An endpoint has no tokenizer here, so nobody knows.
    assert shown(prompts=(("Why?", 0),)).splitlines()[1:4] == ["", "prompt 1", "  Why?"]


def test_a_rehearsal_with_nothing_to_write_says_what_is_there(shown):
    assert shown(to_write=0).splitlines() == [
        "0 reasonings to write for 1,030 rows",
        "All 1,030 reasonings are already in the store.",
    ]


class _Run:
    def locked(self):
        return nullcontext()


def test_a_label_that_loses_far_more_rows_than_the_others_is_said(tiny_model_folder, tmp_path, capsys):
    data = tmp_path / "d.csv"
    labels = ("IT", "glad", "Other")
    data.write_text("text,label\n" + "".join(f"text {at},{labels[at % 3]}\n" for at in range(36)))
    recipe = override_recipe(
        Recipe(name="tiny"),
        base_model=str(tiny_model_folder),
        data__source=str(data),
        reasoner__model=str(tiny_model_folder),
        augment__engine="scripted",
        augment__engine_options={"answers": ["Other people made it, so the writer is glad"]},
        augment__filters__names=["empty", "leak"],
        augment__filters__leak_words=9,
    )
    path = tmp_path / "recipe.yaml"
    path.write_text(recipe.to_yaml())
    run = RunFolder(tmp_path / "run")
    assert main(["augment", str(path), "--output", str(run.path), "--json"]) == 0
    out, err = capsys.readouterr()
    figures = json.loads(out)
    rows = figures["rows_by_label"]
    # Neither "it" nor "Other" at the start is the label: these keep all their reasonings.
    assert figures["dropped_by_label"] == {"label leaked at the start": {"glad": rows["glad"]}}
    others = rows["IT"] + rows["Other"]
    sentence = (
        f"label 'glad' loses {rows['glad']} of {rows['glad']} rows (label leaked at the start), "
        f"the other labels 0 of {others}"
    )
    assert figures["uneven"] == [sentence] and f"  Warning: {sentence}\n" in err
