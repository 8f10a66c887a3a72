"""The filter `fluency` in a whole run: judged by the base model, by a limit that is learnt or given."""

import json

from whylabel.pipeline import Pipeline
from whylabel.prediction.trained import TrainedClassifier
from whylabel.recipe import override_recipe
from whylabel.run_folder import RunFolder

NAMES = ["empty", "fluency"]


def test_a_learnt_limit_drops_some_and_a_given_one_what_it_says(recipe, tmp_path, capsys, changed_stages):
    run = RunFolder(tmp_path / "run")
    judged = override_recipe(recipe, augment__filters__names=NAMES, classifier__filters__names=NAMES)
    Pipeline(judged, run).run_all()
    said = capsys.readouterr().err
    assert said.count("fluency: a reasoning needs a mean log-probability of ") == 2  # augment, calibration
    metrics = json.loads(run.augment_metrics.read_text())
    assert metrics["kept"] + metrics["dropped_by_reason"].get("not fluent", 0) == metrics["rows"] > 0
    card = json.loads((run.classifier_model / "whylabel.json").read_text())
    assert card["reasoning_filters"]["names"] == NAMES
    limit = card["reasoning_filters"]["min_fluency"]
    assert limit < 0
    assert changed_stages(judged, run) == []
    # Nothing is as probable as this limit asks for, and the base model judges predictions, too.
    strict = override_recipe(judged, classifier__filters__min_fluency=-1e-9)
    assert changed_stages(strict, run) == ["calibrate-classifier", "evaluate"]
    Pipeline(strict, run).run_all()
    model = TrainedClassifier.from_folder(run.path, device="cpu")
    rows = [(row.id, row.text) for row in Pipeline(strict, run).dataset.test]
    found = list(model.predict(rows, "reasoned"))
    assert {row.reasoning_status for row in found} <= {"withheld: not fluent", "withheld: empty"}
    assert {row.reasoning for row in found} == {None}
