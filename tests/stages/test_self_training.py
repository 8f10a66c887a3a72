import json

import pytest

from whylabel.errors import RecipeError
from whylabel.pipeline import Pipeline
from whylabel.reasonings.files import read_reasoned
from whylabel.recipe import FilterConfig, build_recipe
from whylabel.run_folder import RunFolder
from whylabel.stages.self_training import joined, write_own
from whylabel.types import Example, Prediction, ReasonedExample

ROWS = [Example(str(number), f"text {number}", "joy") for number in range(6)]


class Model:
    """Says what it is told, whatever the texts are."""

    def __init__(self, *said):
        self._said = said

    def predict(self, rows, mode, *, show_all):
        # What readers would not see is learnt from, too, if the filters of stage 2a let it pass.
        assert mode == "reasoned" and show_all
        for (row_id, text), (label, reasoning, status) in zip(rows, self._said, strict=True):
            assert "joy" not in text
            yield Prediction(row_id, label, (), reasoning, "reasoned", status)


def test_what_leads_to_the_label_by_itself_is_kept():
    model = Model(
        ("joy", "The text shines from its first word on.", "ok"),
        ("fear", "The text is dark from its first word on.", "ok"),
        ("joy", "It shines and shines and", "reasoning_cut"),
        ("", None, "failed"),
        ("joy", "Short.", "ok"),
        ("joy", "Every line of it is bright and warm.", "truncated"),
    )
    own = write_own(model, ROWS, FilterConfig(), title="t")
    assert [row.id for row in own.kept] == ["0", "5"]
    assert own.kept[0].condition == "free" and own.kept[0].reasoner == "self"
    assert own.to_json() == {
        "rows": 6,
        "kept": 2,
        "refused": {"led to another label": 1, "did not come to a label": 1, "failed": 1, "too short": 1},
    }


def test_own_reasonings_come_first_and_none_is_lost():
    old = ReasonedExample("0", "text 0", "joy", "old", candidates=("old", "older"), weight=0.5)
    own = [ReasonedExample(str(n), f"text {n}", "joy", "own", candidates=("own",)) for n in (0, 1, 3)]
    found = joined([old, *ROWS[1:3]], own)
    assert [row.id for row in found] == ["0", "1", "2", "3"]
    assert found[0].candidates == ("own", "old", "older")
    assert (found[0].reasoning, found[0].weight) == ("own", 1.0)
    assert found[1] == own[1] and found[2] == ROWS[2] and found[3] == own[2]


@pytest.fixture
def recipe(tiny_model_folder):
    return build_recipe(
        {
            "name": "tiny",
            "base_model": str(tiny_model_folder),
            "data": {"train_rows": 24, "validation_rows": 6, "test_rows": 12},
            "reasoner": {"model": str(tiny_model_folder)},
            "augment": {
                "engine": "scripted",
                "engine_options": {"answers": ['The words "as written" tell it.']},
                "filters": {"names": ["empty"]},
            },
            "training": {"num_train_epochs": 2, "learning_rate": 1e-2},
            "classifier": {"target": "dual", "self_training_rounds": 2, "max_reasoning_tokens": 8},
            "baseline": {"budget": "matched_steps"},
        }
    )


def test_rounds_are_recorded_and_a_killed_one_goes_on(recipe, tmp_path, monkeypatch):
    from whylabel.stages import classifier, self_training

    run = RunFolder(tmp_path)
    pipeline = Pipeline(recipe, run)
    pipeline.begin()
    pipeline.augment()
    real, rounds = self_training.write_own, []

    def killed_in_the_second(model, rows, filters, *, title):
        rounds.append(title)
        if len(rounds) == 2:
            raise KeyboardInterrupt
        return real(model, rows, filters, title=title)

    monkeypatch.setattr(self_training, "write_own", killed_in_the_second)
    with pytest.raises(KeyboardInterrupt):
        pipeline.train_classifier()
    trained = []
    train = classifier.train_classifier

    def counting(*arguments, **named):
        trained.append(named["title"])
        return train(*arguments, **named)

    monkeypatch.setattr(classifier, "train_classifier", counting)
    pipeline = Pipeline(recipe, run)
    pipeline.train_models()
    assert trained == ["round 2", "train-classifier", "train-baseline"]
    spent = json.loads(run.classifier_metrics.read_text())
    assert [found["rows"] for found in spent["self_training"]] == [24, 24]
    # What a run costs is that of its rounds, too.
    assert all(found["tokens"] > 0 and found["seconds"] > 0 for found in spent["self_training"])
    for number, found in enumerate(spent["self_training"], start=1):
        (file,) = run.self_training.glob(f"*/round-{number}.parquet")
        assert len(read_reasoned(file)) == found["kept"]
    # The baseline may take all the steps that the classifier took, those of the rounds before included.
    steps = spent["steps"] + sum(found["steps"] for found in spent["self_training"])
    assert json.loads(run.baseline_metrics.read_text())["steps"] == steps


def test_a_target_that_cannot_reason_first_has_no_rounds():
    with pytest.raises(RecipeError, match="target is label_reasoning"):
        build_recipe({"classifier": {"target": "label_reasoning", "self_training_rounds": 1}})
