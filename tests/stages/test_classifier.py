import json
from dataclasses import replace

import numpy as np
import pytest
import torch

from trained_models import LABELS, RECIPE, labelled, train_tiny
from whylabel.errors import AuditError, ModelError
from whylabel.models.load import load
from whylabel.prediction.calibration import Calibration
from whylabel.prediction.card import ModelCard
from whylabel.prediction.trained import TrainedClassifier
from whylabel.recipe import override_recipe
from whylabel.stages.classifier import calibrate_classifier, reasoning_budget, save_checked, train_classifier
from whylabel.text.prompts import Prompts
from whylabel.types import Example


def test_the_reasoning_budget_comes_from_training(tokenizer):
    prompts = Prompts(tokenizer)
    reasonings = ["word " * length for length in (10, 20, 30)]
    longest = prompts.count(reasonings[-1])
    assert longest < reasoning_budget(prompts, reasonings) <= 1.25 * longest + 1
    assert reasoning_budget(prompts, []) == 0


def test_a_model_that_does_not_come_back_is_refused(tiny_model_folder, tmp_path, monkeypatch):
    from whylabel.stages import classifier

    model = train_tiny(tiny_model_folder, tmp_path, "label")

    real = classifier.save

    def corrupting(loaded, folder, card):
        real(loaded, folder, card)
        other = load(str(folder), device="cpu")
        other.model.get_input_embeddings().weight.data.mul_(-3)
        real(other, folder, card)

    monkeypatch.setattr(classifier, "save", corrupting)
    with pytest.raises(ModelError, match="predicts differently"):
        save_checked(model.loaded, model.card, list(labelled(False)), tmp_path / "other")


def test_what_was_trained_in_bf16_is_saved_as_what_predicts(tiny_model_folder, tmp_path):
    loaded = load(str(tiny_model_folder), device="cpu")
    recipe = override_recipe(RECIPE, training__dtype="bfloat16", training__max_steps=2)
    examples = list(labelled(True))
    card, _ = train_classifier(
        loaded,
        examples,
        LABELS,
        recipe,
        target="reasoning_label",
        title="t",
        checkpoints=tmp_path / "checkpoints",
        lineage={},
    )
    save_checked(loaded, card, examples, tmp_path / "model")
    again = load(str(tmp_path / "model"), device="cpu").model
    ids = torch.tensor([[5, 6, 7]])
    assert torch.equal(loaded.model(ids).logits, again(ids).logits)


def test_a_trained_model_is_checked_and_selected_in_the_arithmetic_that_is_deployed(
    tiny_model_folder, tmp_path, monkeypatch
):
    """As on a GPU, where weights are trained in float32 and predict in bf16."""
    from whylabel.prediction.scoring import LabelScorer

    def pick(dtype, device, *, fastest=False):
        return (torch.float32 if dtype == "float32" or fastest else torch.bfloat16), "as a GPU does"

    monkeypatch.setattr("whylabel.models.load.pick_dtype", pick)
    monkeypatch.setattr("whylabel.training.loop.pick_dtype", pick)
    computed = []
    real = LabelScorer.log_scores

    def noted(scorer, prompts):
        model = scorer._loaded.model
        with torch.no_grad():
            logits = model(input_ids=torch.tensor([[5, 6]])).logits
        computed.append((str(model.dtype), str(logits.dtype)))
        return real(scorer, prompts)

    monkeypatch.setattr(LabelScorer, "log_scores", noted)
    loaded = load(str(tiny_model_folder), device="cpu", dtype="float32")
    recipe = override_recipe(RECIPE, training__max_steps=2, training__selection={"steps": 1})
    rows = list(labelled(False))
    card, _ = train_classifier(
        loaded, rows, LABELS, recipe, target="label", title="t", checkpoints=tmp_path / "c", lineage={},
        validation=rows[:4],
    )  # fmt: skip
    assert set(computed) == {("torch.float32", "torch.bfloat16")}, "weights in float32, arithmetic in bf16"
    computed.clear()
    save_checked(loaded, card, rows, tmp_path / "model")
    assert set(computed) == {("torch.bfloat16", "torch.bfloat16")}
    assert {str(loaded.model.dtype), str(load(str(tmp_path / "model"), device="cpu").model.dtype)} == {
        "torch.bfloat16"
    }
    exact = load(str(tmp_path / "model"), device="cpu", dtype="float32")
    assert "torch.float32" in str(exact.model.dtype), "the file keeps what was trained"


def test_a_text_too_long_to_train_on_is_an_error_or_trimmed(tiny_model_folder, tmp_path):
    loaded = load(str(tiny_model_folder), device="cpu")
    long = [Example("long-one", "grey " * 2000, "sad"), *labelled(False)]
    with pytest.raises(AuditError, match="long-one"):
        train_classifier(
            loaded, long, LABELS, RECIPE, target="label", title="t", checkpoints=tmp_path, lineage={}
        )
    trimming = override_recipe(RECIPE, data__max_text_tokens=30, training__max_steps=1)
    _, figures = train_classifier(
        loaded, long, LABELS, trimming, target="label", title="t", checkpoints=tmp_path, lineage={}
    )
    assert figures["texts_trimmed"] == 1


def calibrated(tiny_model_folder, folder, target, rows, **values):
    return train_tiny(tiny_model_folder, folder, target, rows, override_recipe(RECIPE, **values))


@pytest.mark.parametrize("target", ["label", "reasoning_label"])
def test_every_mode_of_a_model_is_calibrated_on_validation_rows(tiny_model_folder, tmp_path, target):
    model = calibrated(tiny_model_folder, tmp_path, target, 24, training__num_train_epochs=2)
    (fit,) = model.card.calibration.temperatures.values()
    assert list(model.card.calibration.temperatures) == [model.mode]
    assert fit.n == 24
    assert fit.nll_after <= fit.nll_before
    texts = [(row.id, row.text) for row in labelled(False, 100, 24)]
    gold = [LABELS.index(row.label) for row in labelled(False, 100, 24)]
    said = [row.probabilities for row in model.predict(texts)]
    loss = -np.mean([np.log(row[label]) for row, label in zip(said, gold, strict=True)])
    assert loss == pytest.approx(fit.nll_after, abs=1e-4)
    plain = TrainedClassifier(model.loaded, replace(model.card, calibration=Calibration()))
    assert [row.label for row in plain.predict(texts)] == [row.label for row in model.predict(texts)]
    for row in said:
        assert sum(row) == pytest.approx(1, abs=1e-12)


def test_a_dual_model_learns_where_to_reason_how_to_blend_and_its_default(tiny_model_folder, tmp_path):
    model = calibrated(tiny_model_folder, tmp_path, "dual", 60, classifier__adaptive_share=0.5)
    card = json.loads((tmp_path / "model" / "whylabel.json").read_text())
    assert card["modes"][0] in ("fast", "reasoned", "blend")
    assert sorted(card["modes"]) == ["adaptive", "blend", "fast", "reasoned", "vote"]
    assert set(card["calibration"]) == {"adaptive", "blend", "fast", "reasoned", "vote"}
    # 60 rows with 3 votes each: as many reasonings as one for every row.
    assert card["calibration"]["vote"]["n"] == 20
    assert card["calibration"]["fast"]["n"] == card["calibration"]["blend"]["n"] == 60
    assert 0 <= card["calibration"]["blend"]["weight"] <= 1
    assert 0 <= card["calibration"]["adaptive"]["share"] <= 0.5
    assert model.card.modes == tuple(card["modes"])
    assert ModelCard.from_json(card, tmp_path) == model.card


@pytest.mark.parametrize("share", [0.5, 0.8])
def test_a_dual_model_that_saw_no_reasoning_answers_at_once_alone(tiny_model_folder, tmp_path, capsys, share):
    recipe = override_recipe(RECIPE, training__max_steps=2, classifier__reasoned_share=share)
    loaded, rows = load(str(tiny_model_folder), device="cpu"), list(labelled(False))
    card, _ = train_classifier(
        loaded, rows, LABELS, recipe, target="dual", title="t", checkpoints=tmp_path, lineage={}
    )
    assert "no reasoning to learn from" in capsys.readouterr().err
    card = calibrate_classifier(loaded, card, list(labelled(False, 100, 24)), recipe)
    assert card.modes == ("fast",)
    model = TrainedClassifier(loaded, card)
    with pytest.raises(ModelError, match=r"cannot answer in mode 'reasoned'. It can: fast\.") as raised:
        model.predict([("1", "text")], "reasoned")
    assert "augment/dropped.parquet" in raised.value.fix


def test_too_few_rows_calibrate_nothing_and_it_is_said(tiny_model_folder, tmp_path, capsys):
    model = calibrated(tiny_model_folder, tmp_path, "dual", 19)
    assert "not calibrated: 19 validation rows, at least 20 are needed" in capsys.readouterr().err
    assert model.card.calibration == Calibration()
    assert model.card.modes == ("fast", "reasoned", "vote")


def test_calibration_looks_at_so_many_rows_of_all_labels(tiny_model_folder, tmp_path, monkeypatch):
    seen = []
    real = TrainedClassifier.log_scores

    def watching(self, rows, modes):
        seen.append([text for _, text in rows])
        return real(self, rows, modes)

    monkeypatch.setattr(TrainedClassifier, "log_scores", watching)
    model = calibrated(
        tiny_model_folder, tmp_path, "label", 80, classifier__calibration_rows=24, training__max_steps=1
    )
    assert [len(texts) for texts in seen] == [24]
    assert max(int(text.split()[-1]) for text in seen[0]) > 123
    assert model.card.calibration.temperatures["fast"].n == 24
