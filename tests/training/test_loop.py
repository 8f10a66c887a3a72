import json
import shutil
import subprocess
import sys
import textwrap
from dataclasses import replace

import pytest
import torch

from whylabel.errors import ModelError
from whylabel.recipe import LossConfig
from whylabel.recipe.training import LoraSettings
from whylabel.text.prompts import LABEL_MARKER, Prompts
from whylabel.training import Selection, latest_checkpoint, loop, optimizer
from whylabel.training.checkpoints import Checkpoint
from whylabel.training.ragged import ragged_pays


def weights(loaded):
    return {name: value.clone() for name, value in loaded.model.state_dict().items()}


def same(one, other):
    return all(torch.equal(value, other[name]) for name, value in one.items())


def test_training_learns_and_counts(loaded, tmp_path, run, examples):
    before = weights(loaded)
    result = run(loaded, tmp_path)
    assert (result.steps, result.rows, result.best_step) == (12, 12, 12)
    assert result.train_loss < 6.0
    assert result.tokens == 4 * sum(map(len, examples))
    assert result.supervised_tokens == 4 * sum(len(row.completion_ids) for row in examples)
    assert result.flops > 6 * result.tokens * 10_000
    assert not same(before, weights(loaded))
    assert loaded.model.config.use_cache


def test_the_loss_falls_to_nothing_on_a_row_that_is_learnt_by_heart(loaded, tmp_path, run, examples):
    assert run(loaded, tmp_path, examples[:1], num_train_epochs=60, learning_rate=2e-2).train_loss < 2.5
    assert run(loaded, tmp_path / "again", examples[:1], max_steps=1).train_loss < 0.05


def test_a_long_training_returns_the_memory_that_it_does_not_use(loaded, tmp_path, run, monkeypatch):
    returned = []
    monkeypatch.setattr(loop, "return_freed_memory", lambda: returned.append(1))
    run(loaded, tmp_path / "short")
    assert not returned
    monkeypatch.setattr(loop, "_SECONDS_BETWEEN_RETURNS", 0)
    assert run(loaded, tmp_path / "long").steps == len(returned)


def test_memory_decides_nothing_but_the_parts(fresh, tmp_path, run):
    whole, parts = fresh(), fresh()
    run(whole, tmp_path / "whole")
    run(parts, tmp_path / "parts", tokens_per_batch=64)
    for name, value in weights(whole).items():
        assert torch.allclose(value, weights(parts)[name], atol=1e-4), name


@pytest.mark.parametrize("rows", [1, 4])
def test_a_step_that_memory_does_not_hold_is_an_error_that_names_the_cure(
    loaded, tmp_path, run, examples, monkeypatch, rows
):
    def full(*_):
        raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 128.00 MiB.")

    monkeypatch.setattr(loop, "weighted_loss", full)
    with pytest.raises(
        ModelError, match=r"the memory of cpu does not hold \d rows of [\d,]+ tokens"
    ) as raised:
        run(loaded, tmp_path, examples[:rows])
    assert raised.value.where == "step 1"
    cure = "tokens_per_batch=" if rows > 1 else "gradient_checkpointing=true"
    assert f"set training.{cure}" in raised.value.fix

    def broken(*_):
        raise RuntimeError("something else")

    monkeypatch.setattr(loop, "weighted_loss", broken)
    with pytest.raises(RuntimeError, match="something else"):
        run(loaded, tmp_path / "again", examples[:rows])


@pytest.mark.parametrize("spoilt", ["loss", "gradient"])
@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_a_step_without_a_finite_loss_ends_the_training_before_a_weight_is_spoilt(
    loaded, tmp_path, run, monkeypatch, spoilt, value
):
    calls, after = [], []
    right = loop.weighted_loss

    def sometimes(*arguments):
        calls.append(None)
        loss = right(*arguments)
        if len(calls) == 3:
            after.append(weights(loaded))
            loss = loss * value if spoilt == "loss" else Exploding.apply(loss, value)
        return loss

    class Exploding(torch.autograd.Function):
        @staticmethod
        def forward(context, loss, factor):
            context.factor = factor
            return loss.clone()

        @staticmethod
        def backward(context, gradient):
            return gradient * context.factor, None

    monkeypatch.setattr(loop, "weighted_loss", sometimes)
    looks = iter(range(9))
    selection = Selection(measure=lambda: float(next(looks)), steps=3)
    with pytest.raises(ModelError, match=f"the {spoilt} is (nan|inf)") as raised:
        # Two parts a step: the third part is in the second step.
        run(loaded, tmp_path, tokens_per_batch=64, save_steps=1, select=lambda _: selection)
    assert raised.value.exit_code == 2
    assert raised.value.where.startswith("step ") and "learning rate" in raised.value.where
    assert "lower training.learning_rate (it is 0.005)" in raised.value.fix
    assert not (tmp_path / "best.safetensors").exists()
    assert same(after[0], weights(loaded))
    assert all(value.isfinite().all() for value in weights(loaded).values())


def test_packing_trains_the_same_on_the_same_rows(fresh, tmp_path, run, examples):
    apart, packed = fresh(), fresh()
    one_step = {"num_train_epochs": 1, "per_device_train_batch_size": 12, "optim": "sgd"}
    run(apart, tmp_path / "apart", **one_step)
    run(packed, tmp_path / "packed", **one_step, packing=True, max_length=256)
    for name, value in weights(apart).items():
        assert torch.allclose(value, weights(packed)[name], atol=1e-5), name


def cannot(loaded, **ways):
    """Let a model be one that computes some ways wrong."""
    loaded.tried = replace(loaded.capabilities(64), **ways)
    return loaded


@pytest.mark.parametrize("reach", [0, 24])
def test_rows_are_padded_where_attention_is_not_honoured(fresh, tmp_path, run, examples, capsys, reach):
    ragged, padded = fresh(), cannot(fresh(), ragged_rows=reach)
    assert min(map(len, examples)) < 24 < max(map(len, examples))
    run(ragged, tmp_path / "ragged", optim="sgd")
    assert "padded" not in capsys.readouterr().err
    run(padded, tmp_path / "padded", optim="sgd")
    assert "rows of a batch are padded" in capsys.readouterr().err
    for name, value in weights(ragged).items():
        assert torch.allclose(value, weights(padded)[name], atol=1e-5), name


def test_rows_of_packs_are_computed_apart_where_they_would_see_each_other(
    fresh, tmp_path, run, capsys, monkeypatch
):
    right, apart = fresh(), cannot(fresh(), packing=0, ragged_rows=0)
    packing = {"packing": True, "max_length": 64, "per_device_train_batch_size": 2, "optim": "sgd"}
    expected = run(right, tmp_path / "right", **packing)
    assert "apart" not in capsys.readouterr().err
    monkeypatch.setattr(loop, "packed", None)
    assert run(apart, tmp_path / "apart", **packing).steps == expected.steps
    assert "rows of a pack are computed apart" in capsys.readouterr().err
    for name, value in weights(right).items():
        assert torch.allclose(value, weights(apart)[name], atol=1e-5), name


@pytest.mark.parametrize(
    ("unprobed", "reason"), [(None, "depends on the longest row"), (24, "take too long to try out")]
)
def test_long_rows_are_computed_alone_where_a_batch_depends_on_the_longest(
    fresh, tmp_path, run, monkeypatch, capsys, unprobed, reason
):
    seen, real = [], loop.padded
    monkeypatch.setattr(
        loop, "padded", lambda rows, *rest: seen.append([*map(len, rows)]) or real(rows, *rest)
    )
    run(cannot(fresh(), ragged_rows=0, right_padding=24, unprobed=unprobed), tmp_path)
    said = capsys.readouterr().err
    assert "rows of more than 24 tokens are computed one at a time" in said and reason in said
    assert any(len(lengths) > 1 for lengths in seen)
    assert all(len(lengths) == 1 or max(lengths) <= 24 for lengths in seen)


def test_rows_longer_than_the_positions_of_a_model_are_refused_before_the_first_step(fresh, tmp_path, run):
    with pytest.raises(ModelError, match=r"has 40 positions, .*: training\.max_length=1024\.") as caught:
        run(cannot(fresh(), positions=40), tmp_path)
    assert caught.value.fix.startswith("set training.max_length=40;")
    run(cannot(fresh(), positions=40), tmp_path, max_length=40)


def test_a_gpu_pads_and_trains_the_same(fresh, tmp_path, run, monkeypatch, capsys):
    assert ragged_pays(torch.device("cpu")) and not ragged_pays(torch.device("cuda"))
    ragged, padded = fresh(), fresh()
    run(ragged, tmp_path / "ragged", optim="sgd")
    monkeypatch.setattr(loop, "ragged_pays", lambda _device: False)
    monkeypatch.setattr(loop, "ragged", None)
    run(padded, tmp_path / "padded", optim="sgd")
    assert "padded" not in capsys.readouterr().err  # a choice, not a defect of the model
    for name, value in weights(ragged).items():
        assert torch.allclose(value, weights(padded)[name], atol=1e-5), name


def test_gradient_checkpointing_changes_no_weight(fresh, tmp_path, run):
    plain, checkpointed = fresh(), fresh()
    run(plain, tmp_path / "plain")
    run(checkpointed, tmp_path / "checkpointed", gradient_checkpointing=True)
    for name, value in weights(plain).items():
        assert torch.allclose(value, weights(checkpointed)[name], atol=1e-5), name


def test_other_examples_in_every_epoch(loaded, tmp_path, run, examples):
    asked = []

    def epochs(number):
        asked.append(number)
        return examples[: 4 * (number + 1)]

    assert run(loaded, tmp_path, epochs, num_train_epochs=3).steps == 1 + 2 + 3
    assert set(asked) == {0, 1, 2}


def test_the_last_steps_train_the_label_alone(loaded, tmp_path, run, examples):
    result = run(loaded, tmp_path, num_train_epochs=2, loss=LossConfig(label_only_share=0.5))
    labels = sum(row.label_end - row.label_start for row in examples)
    assert result.supervised_tokens == sum(len(row.completion_ids) for row in examples) + labels


@pytest.mark.parametrize("method", ["lora", "qlora"])
@pytest.mark.parametrize("tied", [True, False])
def test_adapters_are_merged_into_a_plain_model_and_learn_the_marker(fresh, tmp_path, run, tied, method):
    loaded = fresh(tied=tied)
    marker = loaded.tokenizer.convert_tokens_to_ids(LABEL_MARKER)
    before = weights(loaded)
    run(loaded, tmp_path, method=method)
    after = weights(loaded)
    assert type(loaded.model).__name__ == "LlamaForCausalLM"
    # What reads the marker, and what writes it.
    for layer in ("model.embed_tokens.weight", "lm_head.weight"):
        assert not torch.equal(before[layer][marker], after[layer][marker])
        assert torch.equal(before[layer][:marker], after[layer][:marker])
    assert torch.equal(after["model.embed_tokens.weight"], after["lm_head.weight"]) == tied


def test_qlora_trains_adapters_over_four_bits_and_merges_them_into_the_weights(
    fresh, tmp_path, run, examples
):
    before, loaded = weights(fresh()), fresh()
    settings = {"method": "qlora", "num_train_epochs": 40, "learning_rate": 2e-2}
    result = run(loaded, tmp_path, examples[:4], **settings)
    after = weights(loaded)
    assert type(loaded.model).__name__ == "LlamaForCausalLM"
    assert {str(value.dtype) for value in after.values()} == {"torch.float32"}
    layer = "model.layers.0.mlp.up_proj.weight"
    change = after[layer] - before[layer]
    assert change.abs().max() > 0 and torch.linalg.matrix_rank(change) <= 16
    assert torch.equal(after["model.norm.weight"], before["model.norm.weight"])
    marker = loaded.tokenizer.convert_tokens_to_ids(LABEL_MARKER)
    embedding = "model.embed_tokens.weight"
    assert not torch.equal(after[embedding][marker], before[embedding][marker])
    assert torch.equal(after[embedding][:marker], before[embedding][:marker])
    # What was learnt over four bits holds over the weights as they were.
    again = run(loaded, tmp_path / "again", examples[:4], max_steps=1, method="lora")
    assert again.train_loss < result.train_loss - 0.2


class KilledError(Exception):
    pass


def break_off(run, loaded, folder, after, **settings):
    """Train until so many losses were computed, then end as a kill would."""
    real, calls = loop.weighted_loss, []

    def failing(*arguments):
        calls.append(1)
        if len(calls) > after:
            raise KilledError
        return real(*arguments)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(loop, "weighted_loss", failing)
        with pytest.raises(KilledError):
            run(loaded, folder, **settings)


PACKED = {"packing": True, "max_length": 64, "per_device_train_batch_size": 1}


@pytest.mark.parametrize("settings", [{}, {"method": "lora"}, {"method": "qlora"}, PACKED])
def test_an_interrupted_training_ends_with_the_weights_of_an_uninterrupted_one(
    fresh, tmp_path, run, settings
):
    settings = {"save_steps": 2, "num_train_epochs": 2, **settings}
    whole, broken, resumed = fresh(), fresh(), fresh()
    expected = run(whole, tmp_path / "whole", **settings)
    break_off(run, broken, tmp_path / "broken", 3, **settings)
    result = run(resumed, tmp_path / "broken", **settings)
    assert result.resumed_from_step == 2
    assert same(weights(whole), weights(resumed))
    counted = ("steps", "tokens", "supervised_tokens", "flops", "train_loss")
    assert [getattr(result, name) for name in counted] == [getattr(expected, name) for name in counted]


def test_an_interrupted_selection_keeps_the_same_weights(fresh, tmp_path, run):
    def select(in_training):
        # Something that rises and falls with the weights.
        def accuracy():
            return float(in_training.model.get_input_embeddings().weight[5].detach().sin().mean())

        return Selection(accuracy, steps=1)

    settings = {"save_steps": 2, "num_train_epochs": 2, "select": select}
    whole, broken, resumed = fresh(), fresh(), fresh()
    expected = run(whole, tmp_path / "whole", **settings)
    assert len(expected.evaluations) == expected.steps == 6
    assert expected.best_step == max(expected.evaluations, key=lambda look: look["accuracy"])["step"]
    break_off(run, broken, tmp_path / "broken", 3, **settings)
    result = run(resumed, tmp_path / "broken", **settings)
    assert result.evaluations == expected.evaluations
    assert same(weights(whole), weights(resumed))


def test_what_a_look_draws_leaves_the_dropout_of_the_training_alone(fresh, tmp_path, run):
    def select(draws):
        def measure():
            if draws:
                torch.manual_seed(1)
            looks.append(1)
            return float(len(looks))

        looks = []
        return lambda _in_training: Selection(measure, steps=1)

    found = []
    for draws in (False, True):
        loaded = fresh()
        settings = {"method": "lora", "lora": LoraSettings(lora_dropout=0.5), "select": select(draws)}
        run(loaded, tmp_path / str(draws), **settings)
        found.append(weights(loaded))
    assert same(*found)


def test_a_training_goes_on_with_as_many_processes_as_it_was_begun_with(loaded, tmp_path, run, monkeypatch):
    with monkeypatch.context() as patch:
        patch.setattr(loop, "Checkpoint", lambda **_: Checkpoint(processes=2))
        run(loaded, tmp_path, save_steps=6)
    with pytest.raises(ModelError, match="started with 2 processes") as raised:
        run(loaded, tmp_path)
    assert raised.value.fix.startswith("launch 2 processes")


def test_flash_attention_is_for_the_steps_of_packed_rows_alone(loaded, tmp_path, run, monkeypatch):
    from transformers import AttentionInterface, PreTrainedModel
    from transformers.integrations.sdpa_attention import sdpa_attention_forward

    seen, real = [], PreTrainedModel.set_attn_implementation

    def flash(module, query, *others, is_causal=None, **named):
        seen.append(torch.is_autocast_enabled("cpu"))
        return sdpa_attention_forward(module, query, *others, **named)

    def set_implementation(model, name):
        real(model, "stand_in" if name == "flash_attention_2" else name)

    AttentionInterface.register("stand_in", flash)
    monkeypatch.setattr("transformers.utils.is_flash_attn_2_available", lambda: True)
    monkeypatch.setattr(PreTrainedModel, "set_attn_implementation", set_implementation)
    monkeypatch.setattr(loop, "ragged_pays", lambda _device: False)
    before = loaded.model.config._attn_implementation

    def select(in_training):
        def measure():
            assert in_training.model.config._attn_implementation == before
            return 0.0

        return Selection(measure, steps=1)

    run(loaded, tmp_path / "32", **PACKED, num_train_epochs=1)
    assert not seen  # its kernels refuse float32
    run(loaded, tmp_path / "16", **PACKED, num_train_epochs=1, dtype="bfloat16", select=select)
    assert seen and all(seen)
    assert loaded.model.config._attn_implementation == before


def test_the_best_weights_are_kept_and_training_stops_early(loaded, tmp_path, run):
    found = iter([0.1, 0.6, 0.5, 0.6, 0.9])
    at_look = []

    def select(in_training):
        def accuracy():
            assert not in_training.model.training
            at_look.append({name: value.clone() for name, value in in_training.model.state_dict().items()})
            return next(found)

        return Selection(accuracy, steps=2, patience=2)

    result = run(loaded, tmp_path, select=select)
    assert [look["accuracy"] for look in result.evaluations] == [0.1, 0.6, 0.5, 0.6]
    assert (result.steps, result.best_step) == (8, 4)
    assert same(weights(loaded), at_look[1])


def test_only_a_whole_checkpoint_is_used(loaded, tmp_path, run):
    run(loaded, tmp_path, save_steps=6)
    newest = latest_checkpoint(tmp_path)
    assert newest.name == "checkpoint-12"
    torn, cut, changed = (tmp_path / f"checkpoint-{step}" for step in (18, 24, 30))
    for other in (torn, cut, changed):
        shutil.copytree(newest, other)
    (torn / "complete.json").unlink()
    content = (cut / "weights.safetensors").read_bytes()
    (cut / "weights.safetensors").write_bytes(content[:-10])
    (changed / "weights.safetensors").write_bytes(content[:-10] + b"0123456789")
    assert latest_checkpoint(tmp_path) == newest
    assert not torn.exists()
    assert not cut.exists()
    assert not changed.exists()
    (newest / "complete.json").write_text(json.dumps([1]))
    assert latest_checkpoint(tmp_path) is None


KILLED = """
import sys
from pathlib import Path
from whylabel.models.load import load, prepare_for_training
from whylabel.text.prompts import Prompts
from whylabel.recipe import TrainingConfig
from whylabel.training import train

loaded = load(sys.argv[1], device="cpu")
prepare_for_training(loaded)
prompts = Prompts(loaded.tokenizer)
rows = [prompts.classifier_example(f"text {n}", "joy" if n % 2 else "fear", f"It says {n}.") for n in range(40)]
config = TrainingConfig(num_train_epochs=3, per_device_train_batch_size=4, save_steps=1, learning_rate=1e-3)
import whylabel.training.loop as loop
real = loop.save_checkpoint
def save(*arguments):
    print("saving")
    real(*arguments)
loop.save_checkpoint = save
result = train(loaded, rows, config, seed=1, checkpoints=Path(sys.argv[2]), title="t")
loaded.model.save_pretrained(sys.argv[3])
print("done", result.steps, result.resumed_from_step)
"""


def test_a_training_that_is_killed_inside_a_save_goes_on(tiny_model_folder, tmp_path, run_and_kill):
    paths = [tiny_model_folder, tmp_path / "checkpoints", tmp_path / "killed"]
    for saves in (3, 4, 6, 2):
        # The line is printed when a checkpoint begins to be written.
        run_and_kill(KILLED, *paths, lines=saves)
    command = [sys.executable, "-c", KILLED]
    ended = subprocess.run([*command, *map(str, paths)], check=True, capture_output=True, text=True)
    _, steps, resumed = ended.stdout.splitlines()[-1].split()
    assert steps == "30"
    assert 0 < int(resumed) < 30
    whole = [tiny_model_folder, tmp_path / "others", tmp_path / "whole"]
    subprocess.run([*command, *map(str, whole)], check=True, capture_output=True)
    expected = (tmp_path / "whole" / "model.safetensors").read_bytes()
    assert (tmp_path / "killed" / "model.safetensors").read_bytes() == expected


TWO = """
import json, sys
from pathlib import Path
from accelerate import PartialState
from whylabel.models.load import load, prepare_for_training
from whylabel.text.prompts import Prompts
from whylabel.recipe import TrainingConfig
from whylabel.training import train

loaded = load(sys.argv[1], device="cpu")
prepare_for_training(loaded)
prompts = Prompts(loaded.tokenizer)
rows = [
    prompts.classifier_example("and so on " * (n % 4) + f"text {n}", "joy" if n % 2 else "fear", f"It says {n}.")
    for n in range(21)
]
config = TrainingConfig(
    num_train_epochs=3, per_device_train_batch_size=int(sys.argv[3]), learning_rate=1e-3, save_steps=4, optim="sgd"
)
result = train(loaded, rows, config, seed=1, checkpoints=Path(sys.argv[2]) / "checkpoints", title="t")
state = PartialState()
total = sum(float(value.double().sum()) for value in loaded.model.parameters())
found = {"loss": result.train_loss, "steps": result.steps, "tokens": result.tokens, "weights": total}
Path(sys.argv[2], f"{state.num_processes}-{state.process_index}.json").write_text(json.dumps(found))
# Gloo's threads may still hold a tensor when an interpreter that has not left the group ends, and abort it.
state.wait_for_everyone()
state.destroy_process_group()
"""


def test_two_processes_train_what_one_does(tiny_model_folder, tmp_path):
    script = tmp_path / "train_it.py"
    script.write_text(textwrap.dedent(TWO))
    for processes in (1, 2):
        launch = [sys.executable, "-m", "accelerate.commands.launch", "--num_machines", "1"]
        launch += ["--num_processes", str(processes), "--mixed_precision", "no", "--dynamo_backend", "no"]
        # Accelerate starts several processes on CPUs only as if they were GPUs; the model says where it computes.
        launch += ["--multi_gpu", "--main_process_port", "0"] if processes > 1 else ["--cpu"]
        folder = tmp_path / str(processes)
        folder.mkdir()
        arguments = [script, tiny_model_folder, folder, 8 // processes]
        ended = subprocess.run([*launch, *map(str, arguments)], capture_output=True, text=True)
        assert ended.returncode == 0, ended.stderr[-2000:]
    (alone,) = (json.loads(file.read_text()) for file in (tmp_path / "1").glob("*.json"))
    both = [json.loads(file.read_text()) for file in (tmp_path / "2").glob("*.json")]
    assert len(both) == 2
    for found in both:
        assert found == pytest.approx(alone, rel=1e-5)


def test_a_missing_library_is_named_before_anything_is_trained(loaded, tmp_path, run, monkeypatch):
    monkeypatch.setattr(optimizer.importlib.util, "find_spec", lambda name: None)
    for settings in ({"optim": "paged_adamw_8bit"}, {"method": "qlora"}):
        with pytest.raises(ModelError, match="bitsandbytes"):
            run(loaded, tmp_path, **settings)


def test_the_order_of_texts_is_the_same_for_both_targets(fresh, tmp_path, monkeypatch, run):
    seen = {}
    for target, reasoning in (("label", None), ("reasoning_label", "for this reason")):
        loaded = fresh()
        prompts = Prompts(loaded.tokenizer)
        texts = [f"{'very ' * (row % 5)}text {row}" for row in range(16)]
        steps = seen[target] = []
        real = loop._Loop._step

        def spy(self, step, *arguments, steps=steps, loaded=loaded, real=real):
            decoded = [loaded.tokenizer.decode(list(row.prompt_ids)) for row in step.rows]
            steps.append(sorted(text.split("text ")[1].split("\n")[0] for text in decoded))
            return real(self, step, *arguments)

        with monkeypatch.context() as patch:
            patch.setattr(loop._Loop, "_step", spy)
            run(
                loaded,
                tmp_path / target,
                [prompts.classifier_example(text, "joy", reasoning) for text in texts],
            )
    assert seen["label"] == seen["reasoning_label"]
    assert len(seen["label"]) == 16
