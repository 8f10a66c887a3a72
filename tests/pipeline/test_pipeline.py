"""Which stages a recipe needs, why one runs, and what is recorded and said of it. No model is trained here."""

import json
from types import SimpleNamespace

import pytest

from whylabel.pipeline import Pipeline, pipeline
from whylabel.pipeline.job import StageResult
from whylabel.pipeline.keys import Key
from whylabel.recipe import build_recipe, load_recipe
from whylabel.run_folder import RunFolder
from whylabel.types import Dataset, Example

ROWS = tuple(Example(str(at), f"text {at}", "ab"[at % 2]) for at in range(4))
BASELINE, CLASSIFIER = ([f"train-{name}", f"calibrate-{name}"] for name in ("baseline", "classifier"))
MODELS = [*BASELINE, *CLASSIFIER, "evaluate"]


@pytest.fixture
def made(tmp_path, tiny_model_folder):
    """Return a function that makes the pipeline of a recipe over one run folder."""

    def make(**values):
        recipe = build_recipe({"name": "mine", "base_model": str(tiny_model_folder), **values})
        return Pipeline(recipe, RunFolder(tmp_path / "run"), Dataset(ROWS, ROWS, ROWS))

    return make


@pytest.mark.parametrize(
    ("values", "stages"),
    [
        ({}, ["train-reasoner", "augment", *MODELS]),
        ({"classifier": {"target": "label"}}, MODELS),
        ({"reasoner": {"model": "ready"}}, ["augment", *MODELS]),
        (
            {"augment": {"suspects": {"folds": 2}}},
            ["train-reasoner", "train-folds", "suspects", "augment", *MODELS],
        ),
        (
            {
                "augment": {"verification": {"verifier": "baseline"}},
                "baseline": {"budget": "matched_flops"},
            },
            ["train-reasoner", "train-folds", "augment", *CLASSIFIER, *BASELINE, "evaluate"],
        ),
        (
            {"augment": {"verification": {"verifier": "baseline"}, "suspects": {"folds": 2}}},
            ["train-reasoner", "train-folds", "suspects", "augment", *MODELS],
        ),
        ({"augment": {"verification": {"verifier": "base"}}}, ["train-reasoner", "augment", *MODELS]),
        (
            {"baseline": {"budget": "matched_flops"}},
            ["train-reasoner", "augment", *CLASSIFIER, *BASELINE, "evaluate"],
        ),
        (
            {
                "classifier": {"target": "label"},
                "augment": {"verification": {"verifier": "baseline"}, "suspects": {"folds": 2}},
            },
            MODELS,
        ),
    ],
    ids=str,
)
def test_a_recipe_needs_these_stages_in_this_order(made, values, stages):
    assert list(made(**values)._order()) == stages


KEY = Key({"a": 1, "b": "x"})


@pytest.mark.parametrize(
    ("entry", "missing", "reason"),
    [
        ({}, (), "it has not run yet"),
        ({"status": "running", "fingerprint": KEY.fingerprint}, (), "it was interrupted"),
        ({"status": "undone"}, (), "its model was trained again"),
        (
            {"status": "done", "fingerprint": "other", "decided_by": {"a": 2, "b": "x"}},
            (),
            "because a 2 -> 1",
        ),
        ({"status": "done", "fingerprint": "other"}, (), "it was made with other settings or data"),
        ({"status": "done", "fingerprint": KEY.fingerprint}, ("b.txt", "a.txt"), "b.txt is missing"),
        ({"status": "done", "fingerprint": KEY.fingerprint}, (), None),
    ],
)
def test_why_a_stage_runs(made, tmp_path, monkeypatch, entry, missing, reason):
    mine = made()
    monkeypatch.setattr(mine.run, "stage", lambda stage: entry)
    monkeypatch.setattr(mine.run, "missing_outputs", lambda stage: [tmp_path / name for name in missing])
    assert mine._reason("augment", KEY) == reason


def test_a_plan_says_of_each_stage_what_would_become_of_it(made, monkeypatch):
    mine = made()
    monkeypatch.setattr(mine, "would_run", lambda: {"augment": None, "evaluate": "it was interrupted"})
    assert mine.plan() == [
        "augment: nothing has changed, would be skipped",
        "evaluate: would run, it was interrupted",
    ]


@pytest.fixture
def stage(made, monkeypatch):
    """Return a function that runs a stage whose work is given, in the order in which it was called for."""
    monkeypatch.setattr(pipeline, "versions", lambda: {"whylabel": "1"})
    monkeypatch.setattr(pipeline, "hardware", lambda: {"cores": 2})
    jobs = []

    def run(key=KEY, again=False, name="evaluate", **values):
        mine = made(**values)

        def work(job):
            jobs.append(job)
            entry = mine.run.stage(name)
            assert (entry["status"], entry["fingerprint"]) == ("running", key.fingerprint)
            for path in mine.run.outputs(name):
                path.parent.mkdir(parents=True, exist_ok=True)
                path.write_text("{}")
            return StageResult(4, 12, {"content": "c"}, 1)

        mine._stage(name, key, work, again=again)
        return mine

    return SimpleNamespace(run=run, jobs=jobs)


def test_a_stage_that_is_done_is_recorded_whole_and_skipped_from_then_on(stage, capsys):
    mine = stage.run()
    (job,) = stage.jobs
    assert (job.stage, job.key, job.inputs, job.run) == ("evaluate", KEY.fingerprint, mine.inputs, mine.run)
    said = capsys.readouterr().err.splitlines()
    assert said[0] == "evaluate:" and said[1].startswith("evaluate: done in 0.")
    entry = mine.run.stage("evaluate")
    assert entry.pop("finished").startswith("20") and entry.pop("seconds") < 60
    assert entry == {
        "status": "done",
        "fingerprint": KEY.fingerprint,
        **{"rows": 4, "tokens": 12, "failed_rows": 1, "content": "c"},
        "decided_by": {"a": 1, "b": "x"},
        "recipe": mine.recipe.model_dump(mode="json"),
        **{"versions": {"whylabel": "1"}, "hardware": {"cores": 2}},
    }
    assert load_recipe(mine.run.recipe) == mine.recipe
    manifest = mine.run.read_manifest()
    assert manifest["seed"] == mine.recipe.seed and manifest["data"] == mine.inputs.description
    assert manifest["base_model"] == {
        "name": mine.recipe.base_model,
        "fingerprint": mine.inputs.base_fingerprint,
    }
    assert (manifest["versions"], manifest["hardware"]) == ({"whylabel": "1"}, {"cores": 2})
    # The record of the run follows a recipe that decides nothing new.
    renamed = stage.run(name="evaluate", evaluation={"shown": 3})
    assert capsys.readouterr().err == "evaluate: nothing has changed, skipped\n"
    assert len(stage.jobs) == 1 and load_recipe(renamed.run.recipe) == renamed.recipe
    assert renamed.run.stage("evaluate")["recipe"] == mine.recipe.model_dump(mode="json")


def test_a_stage_runs_again_where_it_is_asked_for_or_its_key_has_changed_and_says_why(stage, capsys):
    stage.run()
    capsys.readouterr()
    stage.run(again=True)
    assert capsys.readouterr().err.splitlines()[0] == "evaluate:"
    mine = stage.run(Key({"a": 1, "b": "y"}))
    assert capsys.readouterr().err.splitlines()[0] == "evaluate: runs again, because b 'x' -> 'y'"
    assert len(stage.jobs) == 3 and mine.run.stage("evaluate")["decided_by"] == {"a": 1, "b": "y"}


def test_a_stage_that_fails_leaves_no_record_of_being_done(made):
    mine = made()
    mine.run.update_manifest()
    mine.run.finish_stage("calibrate-classifier", "earlier", seconds=1, rows=1, tokens=0)

    def fail(job):
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        mine._stage("train-classifier", KEY, fail, undone="calibrate-classifier")
    stages = json.loads(mine.run.manifest.read_text())["stages"]
    assert stages["train-classifier"]["status"] == "running"
    assert mine._reason("calibrate-classifier", KEY) == "its model was trained again"
    assert not mine.run.recipe.exists()


@pytest.fixture
def calls(made, monkeypatch):
    """Return a function that calls a method of the pipeline and returns which stages it runs, in their order."""
    for name in ("write_report", "write_model_card"):
        module = "report" if name == "write_report" else "model_card"
        monkeypatch.setattr(f"whylabel.report.{module}.{name}", lambda run, name=name: found.append(name))
    found = []

    def call(method, *arguments, failed=0, **values):
        found.clear()
        mine = made(**values)
        monkeypatch.setattr(mine, "_stage", lambda stage, key, work, **rest: found.append((stage, rest)))
        for part in ("reasoner", "folds", "suspects", "augment", "classifier", "evaluate"):
            monkeypatch.setattr(mine.keys, part, lambda: KEY)
        for part in ("training", "calibration"):
            monkeypatch.setattr(mine.keys, part, lambda name: KEY)
        monkeypatch.setattr(mine.keys, "reasoner_settings", dict)
        monkeypatch.setattr(mine.run, "failed_rows", lambda stage: failed)
        monkeypatch.setattr(pipeline, "explain_shown", lambda job: found.append(f"explained {job.stage}"))
        monkeypatch.setattr(pipeline, "require_reasonings", lambda run: found.append("required"))
        getattr(mine, method)(*arguments)
        return mine, list(found)

    return call


def trained(name):
    return [(f"train-{name}", {"undone": f"calibrate-{name}"}), (f"calibrate-{name}", {})]


def test_what_each_verb_runs(calls, capsys):
    assert calls("train_reasoner")[1] == [("train-reasoner", {})]
    assert calls("train_reasoner", reasoner={"model": "ready"})[1] == []
    assert calls("train_baseline")[1] == trained("baseline")
    assert calls("train_classifier")[1] == trained("classifier")
    both = [*trained("baseline"), *trained("classifier")]
    assert calls("train_models")[1] == ["required", *both]
    assert calls("train_models", classifier={"target": "label"})[1] == both
    matched = {"baseline": {"budget": "matched_steps"}}
    assert calls("train_models", **matched)[1] == ["required", *trained("classifier"), *trained("baseline")]
    assert calls("augment")[1] == [("augment", {"again": False})]
    assert calls("augment", frozenset({"failed"}))[1] == [("augment", {"again": True})]
    judged = {"verification": {"verifier": "baseline"}, "suspects": {"folds": 2}}
    assert calls("augment", augment=judged)[1] == [
        ("train-folds", {"again": False}),
        *(("suspects", {}), ("augment", {"again": False})),
    ]
    written = ["explained evaluate", "write_report", "write_model_card"]
    assert calls("evaluate")[1] == [("evaluate", {"again": False}), *written]
    capsys.readouterr()
    # Rows that failed are tried again, and counted.
    mine, ran = calls("evaluate", failed=3)
    assert ran == [("evaluate", {"again": True}), *written] and mine.failed_rows == 3
    mine, _ = calls("augment", failed=1234)
    assert mine.failed_rows == 1234
    assert capsys.readouterr().err == (
        "  1,234 rows failed; try them again with: whylabel augment RECIPE --retry-failed\n"
    )


def test_a_whole_run_checks_estimates_and_runs_the_stages_in_their_order(made, monkeypatch):
    called = []
    for name in ("begin", "say_time", "train_reasoner", "augment", "train_models", "evaluate"):
        monkeypatch.setattr(Pipeline, name, lambda self, name=name, **named: called.append((name, named)))
    made().run_all()
    assert called[0] == ("begin", {"evaluated": True})
    assert [name for name, _ in called[1:]] == [
        *("say_time", "train_reasoner", "augment", "train_models", "evaluate")
    ]
    called.clear()
    made(classifier={"target": "label"}).run_all()
    assert [name for name, _ in called] == ["begin", "say_time", "train_models", "evaluate"]


def test_the_time_of_the_stages_that_would_run_is_said_if_it_is_long(made, monkeypatch, capsys):
    asked = []
    would = {"train-reasoner": None, "augment": "it was interrupted", "evaluate": "after augment"}
    monkeypatch.setattr(Pipeline, "would_run", lambda self: would)

    def said(seconds):
        monkeypatch.setattr(
            "whylabel.pipeline.estimate.estimated_seconds",
            lambda inputs, stages: asked.append(stages) or seconds,
        )
        made().say_time()
        return capsys.readouterr().err

    assert said(60.1) == (
        "time: about 1 min 00 s on this machine; this is rough: it may take half or twice as long\n"
    )
    assert said(60.0) == said(None) == ""
    assert asked == [["augment", "evaluate"]] * 3
    would |= dict.fromkeys(would)
    # With nothing to do, nothing is measured.
    assert said(99.0) == "" and len(asked) == 3


@pytest.mark.parametrize(
    ("suspects", "known", "told"),
    [
        ({"folds": 2, "exclude": True}, False, True),
        ({"folds": 2, "exclude": True}, True, False),
        ({"folds": 2, "exclude": False}, False, False),
        ({"folds": None, "exclude": True}, False, False),
    ],
)
def test_a_rehearsal_knows_of_suspects_only_where_they_were_looked_for(
    made, monkeypatch, capsys, suspects, known, told
):
    mine = made(augment={"suspects": suspects})
    monkeypatch.setattr(mine.keys, "suspects", lambda: KEY)
    monkeypatch.setattr(mine.keys, "reasoner_settings", lambda: {"reasoner": "r"})
    monkeypatch.setattr(
        mine.run, "is_current", lambda stage, key: known and (stage, key) == ("suspects", KEY.fingerprint)
    )
    asked = []
    monkeypatch.setattr(pipeline, "rehearse_augment", lambda *given: asked.append(given) or "a rehearsal")
    assert mine.rehearse_augment(frozenset({"failed"})) == "a rehearsal"
    assert asked == [(mine.inputs, mine.run, {"reasoner": "r"}, known, frozenset({"failed"}))]
    assert ("the stage suspects has not run yet" in capsys.readouterr().err) == told
