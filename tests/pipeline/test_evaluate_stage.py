"""A dual model in every mode, and who is asked again."""

import json
import re
import shutil
from types import SimpleNamespace

import pytest

from whylabel.errors import ModelError, RunFolderError
from whylabel.evaluation.evidence import evidence_key, read_evidence, write_evidence
from whylabel.evaluation.judged import Judgement, judged_quality
from whylabel.evaluation.outcomes import Predictions
from whylabel.evaluation.predictions import read_predictions
from whylabel.pipeline import Pipeline, evaluate
from whylabel.pipeline.inputs import Inputs
from whylabel.pipeline.job import Job
from whylabel.prediction.trained import TrainedClassifier
from whylabel.recipe import build_recipe, override_recipe
from whylabel.report.examples import shown_predictions
from whylabel.run_folder import RunFolder
from whylabel.types import Dataset, Evidence, Example, Prediction


@pytest.fixture(scope="module")
def dual(recipe, tiny_model_folder, tmp_path_factory):
    """A finished run of a dual classifier, with more than the 20 validation rows that calibration needs."""
    values = {
        "classifier__target": "dual",
        "classifier__votes": 2,
        "data__validation_rows": 24,
        "reasoner__model": str(tiny_model_folder),
    }
    chosen = override_recipe(recipe, **values)
    run = RunFolder(tmp_path_factory.mktemp("dual"))
    Pipeline(chosen, run).run_all()
    return chosen, run


def test_a_dual_classifier_is_calibrated_and_evaluated_in_every_mode(dual):
    _, run = dual
    card = json.loads((run.classifier_model / "whylabel.json").read_text())
    assert set(card["modes"]) == {"fast", "reasoned", "vote", "adaptive", "blend"}
    assert set(card["calibration"]) == {"fast", "reasoned", "adaptive", "blend"}
    assert card["calibration"]["fast"]["n"] == 24
    assert card["vote"] == {"reasonings": 2, "temperature": 0.7, "seed": 13}
    baseline = json.loads((run.baseline_model / "whylabel.json").read_text())
    assert set(baseline["calibration"]) == {"fast"}
    metrics = json.loads(run.evaluation_metrics.read_text())
    modes = metrics["modes"]
    assert set(modes) == {"fast", "reasoned", "adaptive", "blend"}
    assert metrics["classifier"] == modes[card["modes"][0]]
    assert [point["coverage"] for point in modes["fast"]["coverage"]][:2] == [1.0, 1.0]
    rows = read_predictions(run.predictions)
    for mode in modes:
        mine = [row for row in rows if row.model == "classifier" and row.prediction.mode == mode]
        assert len(mine) == 12
    # Blend costs what its two parts do, adaptive what its share of reasoned rows does.
    seconds = {mode: score["cost"]["seconds_total"] for mode, score in modes.items()}
    assert seconds["blend"] == pytest.approx(seconds["fast"] + seconds["reasoned"])
    assert seconds["fast"] <= seconds["adaptive"] <= seconds["blend"] + 1e-9
    assert modes["blend"]["cost"]["tokens_per_row"] == modes["reasoned"]["cost"]["tokens_per_row"] > 0
    generated = run.read_manifest()["stages"]["evaluate"]["tokens"]
    assert generated == round(modes["reasoned"]["cost"]["tokens_per_row"] * 12)
    report = run.report.read_text(encoding="utf-8")
    assert "The classifier in each mode that was evaluated" in report
    assert "in each mode that was evaluated" in run.model_card.read_text(encoding="utf-8")


def test_the_recipe_names_the_modes_of_the_evaluation(dual):
    recipe, run = dual
    default = json.loads(run.evaluation_metrics.read_text())["classifier"]["mode"]
    Pipeline(override_recipe(recipe, evaluation__modes=["vote"]), run).evaluate()
    metrics = json.loads(run.evaluation_metrics.read_text())
    assert set(metrics["modes"]) == {default, "vote"}


def test_the_report_has_evidence_which_is_measured_once(dual, monkeypatch):
    recipe, run = dual
    recipe = override_recipe(recipe, evaluation__shown=2)
    run.evidence.unlink()
    measured = []
    explain = TrainedClassifier.with_evidence

    def counted(model, rows, predictions):
        measured.append(len(rows))
        return explain(model, rows, predictions)

    monkeypatch.setattr(TrainedClassifier, "with_evidence", counted)
    # The tiny model's labels may rest on nothing.
    monkeypatch.setattr(
        "whylabel.prediction.trained.find_evidence",
        lambda texts, log_p: [(Evidence(0, 2, text[:2], 1.5),) for text in texts],
    )
    Pipeline(recipe, run).evaluate()
    found = read_evidence(run.evidence)
    shown = shown_predictions(Predictions.of_file(run.predictions), 2)
    rows = [item.row for item in (*shown.right, *shown.wrong)]
    assert measured == [len(rows)] and set(found) == {evidence_key(row) for row in rows}
    for row in rows:
        assert found[evidence_key(row)]
        for one in found[evidence_key(row)]:
            assert row.text[one.start : one.end] == one.text
    assert run.report.read_text(encoding="utf-8").count("<mark style=") > len(rows)
    # What is there is not measured again, and no model is loaded for it.
    with monkeypatch.context() as patched:
        patched.setattr(TrainedClassifier, "from_folder", None)
        Pipeline(recipe, run).evaluate()
    Pipeline(override_recipe(recipe, evaluation__shown=3), run).evaluate()
    more = read_evidence(run.evidence)
    assert measured == [len(rows), len(more) - len(found)] and more.items() > found.items()
    # Evidence of another model is none of this one's.
    write_evidence(run.evidence, "another", more)
    Pipeline(recipe, run).evaluate()
    assert measured[2:] == [len(rows)] and set(read_evidence(run.evidence)) == set(found)


def test_evidence_of_a_model_that_was_changed_is_refused(dual, tmp_path):
    recipe, finished = dual
    run = RunFolder(shutil.copytree(finished.path, tmp_path / "run"))
    run.evidence.unlink()
    card = run.classifier_model / "whylabel.json"
    card.write_text(card.read_text().replace('"max_reasoning_tokens": ', '"max_reasoning_tokens": 1'))
    with pytest.raises(RunFolderError, match="not as calibrate-classifier has left it"):
        Pipeline(recipe, run).evaluate()


def test_the_evaluation_says_what_the_floors_learn_from(dual, capsys):
    recipe, run = dual
    Pipeline(override_recipe(recipe, evaluation__bootstrap_samples=250), run).evaluate()
    assert "evaluate majority, tfidf: learning from 24 train rows" in capsys.readouterr().err


def test_a_model_that_has_not_changed_is_not_asked_again(dual, monkeypatch, capsys):
    recipe, run = dual

    def predictions():
        return [row for row in read_predictions(run.predictions) if row.model in ("baseline", "classifier")]

    Pipeline(recipe, run).evaluate()
    before = predictions()
    asked = []
    predict = TrainedClassifier.predict_in_modes

    def counted(model, rows, modes, **options):
        asked.append((model.card.target, len(rows)))
        return predict(model, rows, modes, **options)

    monkeypatch.setattr(TrainedClassifier, "predict_in_modes", counted)
    Pipeline(override_recipe(recipe, evaluation__bootstrap_samples=300), run).evaluate()
    assert asked == [("label", 0), ("dual", 0)]
    assert predictions() == before
    # A killed evaluation has left the answers to four rows.
    (kept,) = run.answers.glob("classifier-*.jsonl")
    kept.write_bytes(b"".join(kept.read_bytes().splitlines(keepends=True)[:4]))
    asked.clear()
    capsys.readouterr()
    Pipeline(recipe, run).evaluate()
    assert asked == [("label", 0), ("dual", 8)]
    said = capsys.readouterr().err
    assert "  evaluate baseline: 12 of 12 rows were answered earlier\n" in said
    assert "  evaluate classifier: 4 of 12 rows were answered earlier\n" in said
    assert re.search(r"  evaluate classifier: 12 of 12 rows · [0-9,]+ tok/s · ", said)
    assert [row.prediction.label for row in predictions()] == [row.prediction.label for row in before]
    # Another baseline and fewer modes are asked, and what was said before is not kept.
    another = override_recipe(recipe, baseline__budget="matched_flops", evaluation__modes=["fast"])
    pipeline = Pipeline(another, run)
    pipeline.train_models()
    asked.clear()
    pipeline.evaluate()
    assert asked == [("label", 12), ("dual", 12)]
    said = capsys.readouterr().err
    assert "answered earlier" not in said and "  evaluate classifier: 12 of 12 rows · " in said
    assert len(list(run.answers.iterdir())) == 3  # with the embeddings


def test_answers_are_kept_for_this_model_these_rows_modes_and_this_machine(tmp_path, monkeypatch):
    run = RunFolder(tmp_path)
    run.answers.mkdir(parents=True)
    known = {"content": "weights", "test": "rows", "hardware": "cpu"}

    def kept(name="baseline", modes=("fast", "reasoned"), **changed):
        found = {**known, **changed}
        monkeypatch.setattr(evaluate, "hardware", lambda: found["hardware"])
        monkeypatch.setattr(run, "stage", lambda stage: {"content": f"{stage} {found['content']}"})
        inputs = SimpleNamespace(data_fingerprints={"train": "others", "test": found["test"]})
        return evaluate._kept_answers(Job("evaluate", "key", inputs, run), name, modes)

    own = kept()
    assert own.parent == run.answers and re.fullmatch(r"baseline-[0-9a-f]{16}\.jsonl", own.name)
    assert kept(modes=("reasoned", "fast")) == own
    others = [
        *(kept("classifier"), kept(modes=("fast",)), kept(content="other weights")),
        *(kept(test="other rows"), kept(hardware="gpu")),
    ]
    assert len({path.name.removeprefix("classifier-") for path in (own, *others)}) == 6
    for path in (own, *others, run.answers / "baseline-notes.jsonl"):
        path.touch()
    # Those of the same model that are not these are removed, nothing else is.
    assert kept() == own
    assert {path.name for path in run.answers.iterdir()} == {
        *(own.name, others[0].name, "baseline-notes.jsonl"),
    }


def test_a_vote_costs_its_own_tokens_and_the_other_modes_share_theirs():
    def rows(*tokens):
        return [Prediction("1", "a", (1.0,), tokens=each) for each in tokens]

    assert evaluate.generated_tokens({"fast": rows(0, 0), "reasoned": rows(7, 5), "blend": rows(7, 6)}) == 13
    assert evaluate.generated_tokens({"fast": rows(0, 0), "vote": rows(30, 20), "reasoned": rows(7, 5)}) == 62
    assert evaluate.generated_tokens({"vote": rows(30)}) == 30


ROWS = tuple(Example(str(at), f"text {at}", ("joy", "fear")[at % 2]) for at in range(4))


def said_of(mode, *labels, failed=0):
    return [
        Prediction(row.id, label, (0.75, 0.25), mode=mode, tokens=7 if mode == "reasoned" else 0)
        if at >= failed
        else Prediction(row.id, "", (), mode=mode, status="failed", error="lost")
        for at, (row, label) in enumerate(zip(ROWS, labels, strict=True))
    ]


@pytest.mark.parametrize("floors", [["majority"], []])
def test_both_models_are_compared_on_the_test_rows_in_every_mode(tmp_path, monkeypatch, capsys, floors):
    settings = {"floors": floors, "rivals": [], "modes": ["fast"], "bootstrap_samples": 100}
    recipe = build_recipe({"evaluation": settings})
    run = RunFolder(tmp_path)
    job = Job("evaluate", "key", Inputs(recipe, Dataset(ROWS[:3], test=ROWS)), run)
    answers = {
        "baseline": ({"fast": said_of("fast", "joy", "joy", "joy", "joy", failed=1)}, "fast"),
        "classifier": (
            {
                "reasoned": said_of("reasoned", "joy", "fear", "joy", "fear"),
                "fast": said_of("fast", "fear", "fear", "fear", "fear", failed=2),
            },
            "reasoned",
        ),
    }
    asked = []

    def predict(given, name, folder, requested):
        assert given is job
        asked.append((name, folder, requested))
        return answers[name]

    monkeypatch.setattr(evaluate, "_predict", predict)
    monkeypatch.setattr(evaluate, "_card", lambda _run: SimpleNamespace(target="dual", is_calibrated=True))
    judged = judged_quality("reasoned", [Judgement(-1.0, 0.5, None)], [])
    monkeypatch.setattr(
        evaluate,
        "judge_reasonings",
        lambda of, rows, mode: judged if of is job and mode == "reasoned" else None,
    )
    result = evaluate.evaluate_stage(job)
    # The baseline answers in its default mode alone.
    assert asked == [("baseline", run.baseline_model, []), ("classifier", run.classifier_model, ["fast"])]
    learning = "  evaluate majority: learning from 3 train rows\n" if floors else ""
    assert capsys.readouterr().err == learning
    metrics = json.loads(run.evaluation_metrics.read_text())
    assert metrics["classifier"]["accuracy"] == 1.0 and metrics["classifier"]["mode"] == "reasoned"
    assert metrics["baseline"]["accuracy"] == metrics["modes"]["fast"]["accuracy"] == 0.25
    assert list(metrics["floors"]) == floors
    assert metrics["reasonings_judged"]["support"]["mean_margin"] == 0.5
    found = [(row.model, row.prediction.mode) for row in read_predictions(run.predictions)]
    assert set(found) >= {("baseline", "fast"), ("classifier", "fast"), ("classifier", "reasoned")}
    assert (result.rows, result.tokens, result.record, result.failed_rows) == (4, 28, {}, 3)


def test_of_several_labels_each_is_scored_by_itself(tmp_path, monkeypatch):
    recipe = build_recipe(
        {
            "task": {"type": "multi_label", "label_separator": "|"},
            "classifier": {"target": "label"},
            "evaluation": {"floors": [], "rivals": [], "bootstrap_samples": 100},
        }
    )
    rows = tuple(Example(str(at), f"text {at}", "joy|fear") for at in range(4))
    answers = [Prediction(row.id, "joy", (0.75, 0.25)) for row in rows]
    monkeypatch.setattr(evaluate, "_predict", lambda *_: ({"fast": answers}, "fast"))
    monkeypatch.setattr(evaluate, "_card", lambda _run: SimpleNamespace(target="label", is_calibrated=False))
    run = RunFolder(tmp_path)
    evaluate.evaluate_stage(Job("evaluate", "key", Inputs(recipe, Dataset(rows, test=rows)), run))
    metrics = json.loads(run.evaluation_metrics.read_text())
    # Half of the labels are found, and nothing else.
    assert metrics["classifier"]["micro_f1"] == pytest.approx(2 / 3)


class Answering:
    """Stands for a trained model: answers in any of its modes, and notes where it came from."""

    def __init__(self, folder, device):
        self.card, self.mode, self.opened = (
            SimpleNamespace(modes=("reasoned", "fast", "vote")),
            "reasoned",
            (folder, device),
        )
        self.asked = []

    def predict_in_modes(self, rows, modes, *, show_all):
        assert show_all  # What is withheld is measured, too.
        self.asked.append((list(rows), modes))
        for row_id, text in rows:
            yield {mode: Prediction(row_id, text, (), mode=mode, tokens=2500) for mode in modes}

    def close(self):
        pass


@pytest.mark.parametrize(
    ("requested", "modes"),
    [
        ([], ("reasoned",)),
        (["fast"], ("reasoned", "fast")),
        (["vote", "reasoned"], ("reasoned", "vote")),
        (None, ("reasoned", "fast")),
    ],
)
def test_a_model_answers_in_its_own_mode_and_those_that_are_asked_for(
    tmp_path, monkeypatch, capsys, requested, modes
):
    models = []

    def from_folder(folder, *, device, engine, engine_options):
        assert (engine, engine_options) == (job.inputs.recipe.classifier.engine, {})
        models.append(Answering(folder, device))
        return models[-1]

    monkeypatch.setattr(TrainedClassifier, "from_folder", from_folder)
    run = RunFolder(tmp_path)
    monkeypatch.setattr(run, "stage", lambda stage: {"content": stage})
    monkeypatch.setattr(evaluate, "calibrated_content", lambda folder: "calibrate-classifier")
    job = Job("evaluate", "key", Inputs(build_recipe({"device": "cpu"}), Dataset(ROWS[:1], test=ROWS)), run)

    def predicted():
        found, mode = evaluate._predict(job, "classifier", tmp_path / "model", requested)
        assert mode == "reasoned" and tuple(found) == modes
        assert all([row.label for row in rows] == [row.text for row in ROWS] for rows in found.values())
        assert all({row.mode for row in rows} == {mode} for mode, rows in found.items())
        return capsys.readouterr().err

    pairs = [(row.id, row.text) for row in ROWS]
    assert re.fullmatch(r"  evaluate classifier: 4 of 4 rows · [0-9,]+ tok/s · [0-9.]+ s\n", predicted())
    assert (models[0].opened, models[0].asked) == ((tmp_path / "model", "cpu"), [(pairs, modes)])
    (kept,) = run.answers.iterdir()
    kept.write_bytes(b"".join(kept.read_bytes().splitlines(keepends=True)[:3]))
    first, last = predicted().splitlines()
    assert first == "  evaluate classifier: 3 of 4 rows were answered earlier"
    assert last.startswith("  evaluate classifier: 4 of 4 rows · ")
    assert models[1].asked == [(pairs[3:], modes)]


def test_a_mode_that_the_target_has_not_stops_before_anything_is_written(recipe, tmp_path):
    wanted = override_recipe(recipe, classifier__target="reasoning_label", evaluation__modes=["vote", "fast"])
    pipeline = Pipeline(wanted, RunFolder(tmp_path / "run"))
    with pytest.raises(
        ModelError, match="reasoning_label cannot answer in mode 'fast'. It can: reasoned, vote"
    ):
        pipeline.begin()
    assert not pipeline.run.path.exists()
