import json
import shutil

import pytest
import torch

from whylabel import training
from whylabel.errors import ModelError
from whylabel.models import load, prepare_for_training
from whylabel.prompts import LABEL_MARKER, Prompts
from whylabel.recipe import TrainingConfig
from whylabel.training import completion_loss, last_complete_checkpoint, train

CONFIG = TrainingConfig(num_train_epochs=4, learning_rate=5e-3, per_device_train_batch_size=4)


@pytest.fixture
def loaded(tiny_model_folder):
    loaded = load(str(tiny_model_folder), device="cpu")
    prepare_for_training(loaded)
    return loaded


def examples(loaded, count=12):
    prompts = Prompts(loaded.tokenizer)
    words = ["bright", "grey", "loud", "quiet"]
    return [
        prompts.classifier_example(
            f"It was {words[row % 4]} " + "and so on " * (row % 3),
            "joy" if row % 2 else "fear",
            f"It says {row}.",
        )
        for row in range(count)
    ]


def run(loaded, folder, config=CONFIG, rows=None):
    return train(loaded, rows or examples(loaded), config, seed=3, checkpoints=folder, title="test")


def test_the_loss_is_that_of_the_completions_alone(loaded):
    rows = examples(loaded, 3)
    width = max(len(row.prompt_ids) + len(row.completion_ids) for row in rows)
    ids = torch.full((3, width), loaded.tokenizer.pad_token_id)
    labels = torch.full((3, width), -100)
    for place, row in enumerate(rows):
        length = len(row.prompt_ids) + len(row.completion_ids)
        ids[place, :length] = torch.tensor([*row.prompt_ids, *row.completion_ids])
        labels[place, len(row.prompt_ids) : length] = torch.tensor(row.completion_ids)
    mask = (ids != loaded.tokenizer.pad_token_id).long()
    found = completion_loss(loaded.model, {"input_ids": ids, "attention_mask": mask, "labels": labels})
    expected = loaded.model(input_ids=ids, attention_mask=mask, labels=labels).loss
    assert torch.allclose(found, expected, atol=1e-5)
    assert not loaded.model.get_output_embeddings()._forward_pre_hooks


def test_training_learns_and_counts(loaded, tmp_path):
    rows = examples(loaded)
    before = loaded.model.get_input_embeddings().weight.detach().clone()
    result = run(loaded, tmp_path, rows=rows)
    assert result.steps == 12
    assert result.rows == 12
    assert result.train_loss < 6.0
    assert result.tokens == 4 * sum(len(row.prompt_ids) + len(row.completion_ids) for row in rows)
    assert result.supervised_tokens == 4 * sum(len(row.completion_ids) for row in rows)
    assert not torch.equal(before, loaded.model.get_input_embeddings().weight)


def test_the_bar_ends_full_where_the_last_accumulation_is_partial(loaded, tmp_path, monkeypatch):
    totals = []
    real = training.progress

    def counting(*arguments, **named):
        totals.append(named)
        return real(*arguments, **named)

    monkeypatch.setattr(training, "progress", counting)
    config = CONFIG.model_copy(update={"num_train_epochs": 2, "gradient_accumulation_steps": 2})
    assert run(loaded, tmp_path, config).steps == totals[0]["total"] == 4


def test_max_steps_wins_over_epochs(loaded, tmp_path):
    assert run(loaded, tmp_path, CONFIG.model_copy(update={"max_steps": 2})).steps == 2


def test_lora_is_merged_into_a_plain_model_and_learns_the_marker(loaded, tmp_path):
    marker = loaded.tokenizer.convert_tokens_to_ids(LABEL_MARKER)
    before = loaded.model.get_input_embeddings().weight.detach().clone()
    run(loaded, tmp_path, CONFIG.model_copy(update={"method": "lora"}))
    after = loaded.model.get_input_embeddings().weight
    assert type(loaded.model).__name__ == "LlamaForCausalLM"
    assert not torch.equal(before[marker], after[marker])
    assert torch.equal(before[:marker], after[:marker])


def test_an_interrupted_training_ends_with_the_weights_of_an_uninterrupted_one(tiny_model_folder, tmp_path):
    config = CONFIG.model_copy(update={"save_steps": 5})

    def fresh():
        model = load(str(tiny_model_folder), device="cpu")
        torch.manual_seed(1)
        prepare_for_training(model)
        return model

    whole = fresh()
    run(whole, tmp_path / "whole", config)

    broken = fresh()
    stop_after = 7

    class KilledError(Exception):
        pass

    from whylabel import training

    real = training.completion_loss
    calls = []

    def failing(*arguments):
        calls.append(1)
        if len(calls) > stop_after:
            raise KilledError
        return real(*arguments)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(training, "completion_loss", failing)
        with pytest.raises(KilledError):
            run(broken, tmp_path / "broken", config)
    resumed = fresh()
    result = run(resumed, tmp_path / "broken", config)
    assert result.resumed_from_step == 5
    assert result.steps == 12
    for name, value in whole.model.state_dict().items():
        assert torch.equal(value, resumed.model.state_dict()[name]), name


def test_only_a_whole_checkpoint_is_used(loaded, tmp_path):
    run(loaded, tmp_path, CONFIG.model_copy(update={"save_steps": 6}))
    newest = last_complete_checkpoint(tmp_path)
    assert newest.name == "checkpoint-12"
    torn = tmp_path / "checkpoint-18"
    shutil.copytree(newest, torn)
    (torn / "complete.json").unlink()
    cut = tmp_path / "checkpoint-24"
    shutil.copytree(newest, cut)
    weights = cut / "model.safetensors"
    weights.write_bytes(weights.read_bytes()[:-10])
    assert last_complete_checkpoint(tmp_path) == newest
    assert not torn.exists()
    assert not cut.exists()
    (newest / "complete.json").write_text(json.dumps([1]))
    assert last_complete_checkpoint(tmp_path) is None


def test_the_order_of_rows_is_the_same_for_both_targets(loaded, tmp_path, monkeypatch):
    from whylabel import training

    prompts = Prompts(loaded.tokenizer)
    texts = [f"{'very ' * (row % 5)}text {row}" for row in range(16)]
    seen = {}
    for target, reasoning in (("label", None), ("reasoning_label", "for this reason")):
        batches = seen[target] = []

        def spy(model, inputs, tokens=None, batches=batches):
            decoded = loaded.tokenizer.batch_decode(inputs["input_ids"])
            batches.append([text.split("text ")[1].split("\n")[0] for text in decoded])
            return sum(parameter.sum() for parameter in model.parameters()) * 0

        monkeypatch.setattr(training, "completion_loss", spy)
        rows = [prompts.classifier_example(text, "joy", reasoning) for text in texts]
        run(loaded, tmp_path / target, rows=rows)
    assert seen["label"] == seen["reasoning_label"]
    assert len(seen["label"]) == 16


def test_a_missing_library_is_named_before_anything_is_trained(loaded, tmp_path):
    for settings, package in (
        ({"optim": "paged_adamw_8bit"}, "bitsandbytes"),
        ({"packing": True}, "FlashAttention"),
    ):
        with pytest.raises(ModelError, match=package):
            run(loaded, tmp_path, TrainingConfig(**settings))
