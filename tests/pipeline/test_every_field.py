"""For every field of the recipe: what runs again when it changes is what is said beside it."""

import csv
import json
from functools import cache

import pytest

from whylabel.errors import DataError
from whylabel.pipeline import Pipeline, keys
from whylabel.recipe import Recipe, override_recipe, reference
from whylabel.recipe.section import is_section
from whylabel.run_folder import RunFolder

LABELS = ["joy", "fear", "anger"]
TRAINING = ("train-reasoner", "train-folds", "suspects", "augment", "train-baseline", "train-classifier")
# Another value of each field, and where the field counts only beside others, those.
OTHERS = {
    "name": "other",
    "seed": 14,
    "base_model": "MODEL_B",
    "prompt_style": "chat",
    "device": "cpu",
    "task.type": "multi_label",
    "task.label_separator": ("|", {"task.type": "multi_label"}),
    "task.question": "Which mood?",
    "task.name": "Mood",
    "task.labels": ["fear", "joy", "anger"],
    "data.source": "b.csv",
    "data.validation": "b.csv",
    "data.test": "b.csv",
    "data.text_column": "other_text",
    "data.label_column": "other_label",
    "data.id_column": "other_id",
    "data.reasoning_column": "reasoning",
    "data.split_seed": 14,
    "data.validation_fraction": 0.3,
    "data.test_fraction": 0.4,
    "data.train_rows_per_label": 5,
    "data.train_rows": 20,
    "data.validation_rows": 21,
    "data.test_rows": 5,
    "data.bad_rows": ("drop", {"data.source": "bad.csv"}),
    "data.max_text_tokens": 30,
    "reasoner.model": "MODEL_B",
    "reasoner.endpoint": (
        "http://127.0.0.1:2/v1",
        {"reasoner.model": "big", "reasoner.endpoint": "http://127.0.0.1:1/v1"},
    ),
    "reasoner.base_model": "MODEL_B",
    "reasoner.data": "pairs_b.csv",
    "reasoner.question_column": "q",
    "reasoner.answer_column": "q",
    "reasoner.reasoning_column": "q",
    "reasoner.rows": 5,
    "reasoner.without_answer_share": 0.25,
    "reasoner.validation_rows": 3,
    "training.method": "lora",
    "training.num_train_epochs": 2,
    "training.min_steps": 9,
    "training.max_steps": 9,
    "training.max_supervised_tokens": 9,
    "training.max_train_flops": 9.0,
    "training.learning_rate": 0.5,
    "training.lr_scheduler_type": "constant",
    "training.warmup_steps": 3,
    "training.weight_decay": 0.1,
    "training.optim": "adamw_torch",
    "training.max_grad_norm": 2.0,
    "training.per_device_train_batch_size": 3,
    "training.gradient_accumulation_steps": 2,
    "training.tokens_per_batch": 64,
    "training.max_length": 99,
    "training.packing": True,
    "training.gradient_checkpointing": True,
    "training.dtype": "float32",
    "training.save_steps": 3,
    "training.report_to": "trackio",
    "training.lora.r": 3,
    "training.lora.lora_alpha": 3,
    "training.lora.lora_dropout": 0.5,
    "training.lora.target_modules": ["q_proj"],
    "training.loss.normalise": "token",
    "training.loss.label_weight": 2.0,
    "training.loss.reasoning_weight": 2.0,
    "training.loss.label_only_share": 0.5,
    "training.loss.label_smoothing": 0.5,
    "training.class_weight": "balanced",
    "training.balanced_sampling": True,
    "training.selection.steps": 3,
    "training.selection.rows": 3,
    "training.selection.patience": 3,
    "augment.engine.name": ("openai", {"augment.engine_options": {"base_url": "http://x/v1", "model": "m"}}),
    "augment.engine.distributed": "ray",
    "augment.engine.address": ("auto", {"augment.engine.distributed": "ray"}),
    "augment.engine.workers": (2, {"augment.engine.distributed": "ray"}),
    "augment.engine.cpus_per_worker": (2, {"augment.engine.distributed": "ray"}),
    "augment.engine.gpus_per_worker": (2, {"augment.engine.distributed": "ray"}),
    "augment.engine.rows_per_task": (2, {"augment.engine.distributed": "ray"}),
    "augment.engine_options": ({"answers": ["x"]}, {"augment.engine.name": "scripted"}),
    "augment.sampling.max_new_tokens": 9,
    "augment.sampling.temperature": 0.9,
    "augment.sampling.top_p": 0.9,
    "augment.candidates": 3,
    "augment.condition": "free",
    "augment.filters.names": ["empty"],
    "augment.filters.min_words": 3,
    "augment.filters.max_words": 99,
    "augment.filters.max_repeats": 9,
    "augment.filters.max_copied": 0.5,
    "augment.filters.question": "What?",
    "augment.filters.leak_words": 3,
    "augment.filters.quotation_required": True,
    "augment.filters.labels": ["joy"],
    "augment.filters.drop_patterns": (["x"], {"augment.filters.names": ["pattern"]}),
    "augment.filters.max_similarity": 0.6,
    "augment.filters.min_fluency": -3.0,
    "augment.verification.verifier": "MODEL_B",
    "augment.verification.folds": (
        4,
        {"augment.verification.verifier": "baseline", "augment.suspects.folds": None},
    ),
    "augment.verification.min_margin": 1.0,
    "augment.verification.unverified": "keep",
    "augment.verification.unverified_weight": 0.25,
    "augment.suspects.folds": 3,
    "augment.suspects.exclude": False,
    "classifier.target": "label_reasoning",
    "classifier.reasoned_share": 0.25,
    "classifier.negatives": (2, {"task.type": "multi_label"}),
    "classifier.reasonings_per_text": 2,
    "classifier.self_training_rounds": 1,
    "classifier.control": "filler",
    "classifier.max_reasoning_tokens": 9,
    "classifier.votes": 3,
    "classifier.vote_temperature": 0.2,
    "classifier.filters.names": ["empty"],
    "classifier.filters.min_words": 3,
    "classifier.filters.max_words": 99,
    "classifier.filters.max_repeats": 9,
    "classifier.filters.max_copied": 0.5,
    "classifier.filters.question": "What?",
    "classifier.filters.leak_words": 3,
    "classifier.filters.quotation_required": True,
    "classifier.filters.labels": ["joy"],
    "classifier.filters.drop_patterns": (["x"], {"classifier.filters.names": ["pattern"]}),
    "classifier.filters.max_similarity": 0.6,
    "classifier.filters.min_fluency": -3.0,
    "classifier.filters.min_probability": 0.7,
    "classifier.filters.min_effect": 0.1,
    "classifier.reasoning_attempts": 2,
    "classifier.calibration_rows": 20,
    "classifier.adaptive_share": 0.1,
    "classifier.engine.name": "vllm",
    "classifier.engine.distributed": "ray",
    "classifier.engine.address": ("auto", {"classifier.engine.distributed": "ray"}),
    "classifier.engine.workers": (2, {"classifier.engine.distributed": "ray"}),
    "classifier.engine.cpus_per_worker": (2, {"classifier.engine.distributed": "ray"}),
    "classifier.engine.gpus_per_worker": (2, {"classifier.engine.distributed": "ray"}),
    "classifier.engine.rows_per_task": (2, {"classifier.engine.distributed": "ray"}),
    "classifier.engine_options": {"max_rows": 8},
    "baseline.budget": ("matched_flops", {"augment.verification.verifier": "base"}),
    "evaluation.bootstrap_samples": 300,
    "evaluation.floors": ["majority"],
    "evaluation.rivals": [],
    "evaluation.encoder": "MODEL_B",
    "evaluation.encoder_training": (["setfit"], {"evaluation.encoder": "MODEL_B"}),
    "evaluation.modes": ["fast"],
    "evaluation.shown": 3,
    "evaluation.quality_rows": 3,
    "evaluation.slices": ["length", "other_label"],
    "evaluation.error_rates": [0.3],
    "evaluation.faithfulness_rows": 3,
}
for _key in [key for key in OTHERS if key.startswith("training.")]:
    if not _key.startswith(("training.class_weight", "training.balanced", "training.selection")):
        OTHERS[f"reasoner.{_key}"] = OTHERS[_key]
FIELDS = [key for key, kind, _, _ in reference() if kind != "section"]


def effect_of(key):
    section = Recipe
    *parents, last = key.split(".")
    for name in parents:
        section = section.model_fields[name].annotation
        assert is_section(section)
    return section.effect_of(last)


@pytest.fixture(scope="module")
def fingerprints(tiny_model_folder, tmp_path_factory):
    """Return what gives the fingerprints of all stages of a recipe, as if each stage made what its key says."""
    folder = tmp_path_factory.mktemp("data")
    other_model = folder / "model"
    other_model.mkdir()
    for file in tiny_model_folder.iterdir():
        content = file.read_bytes()
        (other_model / file.name).write_bytes(content + b" " if file.suffix == ".jinja" else content)
    for name in ("a", "b", "bad"):
        with (folder / f"{name}.csv").open("w", newline="") as file:
            table = csv.writer(file)
            table.writerow(["id", "other_id", "text", "other_text", "label", "other_label", "reasoning"])
            for row in range(300):
                text = "" if name == "bad" and row == 7 else f"{name} wrote the sentence {row}"
                mood, other = LABELS[row % 3], LABELS[row % 2]
                reasoning = f"it says {row}" if row % 2 else ""
                again = f"again: {name} {row}"
                table.writerow([f"{name}{row}", f"o{row}", text, again, mood, other, reasoning])
        with (folder / f"pairs_{name}.csv").open("w", newline="") as file:
            table = csv.writer(file)
            table.writerow(["question", "answer", "reasoning", "q"])
            table.writerows([[f"q{row}", f"{name}{row}", f"r{row}", f"s{row}"] for row in range(40)])
    base = {
        "base_model": "MODEL_A",
        "data.source": "a.csv",
        "data.text_column": "text",
        "data.label_column": "label",
        "data.id_column": "id",
        "reasoner.data": "pairs_a.csv",
        "augment.sampling.temperature": 0.5,
        "augment.candidates": 2,
        "augment.verification.verifier": "base",
        "augment.suspects.folds": 2,
        "augment.suspects.exclude": True,
        "training.selection.patience": None,
    }
    models = {"MODEL_A": str(tiny_model_folder), "MODEL_B": str(other_model)}

    def resolve(value):
        if not isinstance(value, str):
            return value
        return str(folder / value) if value.endswith(".csv") else models.get(value, value)

    @cache
    def compute(changes):
        values = {**base, **json.loads(changes)}
        if values.get("task.type") == "multi_label":
            values |= {"augment.suspects.folds": None, "augment.verification.verifier": None}
            values |= {"classifier.target": "label"}
        resolved = {key.replace(".", "__"): resolve(value) for key, value in values.items()}
        found = Pipeline(override_recipe(Recipe(), **resolved), RunFolder(folder / "none")).keys
        found._content = lambda stage, key: key.fingerprint
        stages = {
            "train-reasoner": found.reasoner,
            "train-folds": found.folds,
            "suspects": found.suspects,
            "augment": found.augment,
            "train-baseline": found.baseline,
            "train-classifier": found.classifier,
            "calibrate-baseline": lambda: found.calibration("baseline"),
            "calibrate-classifier": lambda: found.calibration("classifier"),
            "evaluate": found.evaluate,
        }
        if found.recipe.reasoner.model is not None:
            stages.pop("train-reasoner")
        return {stage: key().fingerprint for stage, key in stages.items()}

    return lambda changes: compute(json.dumps(changes))


def test_another_value_of_every_field_is_known():
    assert set(OTHERS) == set(FIELDS)


@pytest.mark.parametrize("field", FIELDS)
def test_what_runs_again_is_what_the_field_decides(fingerprints, monkeypatch, field):
    monkeypatch.setattr(keys, "matched_budget", lambda run, budget: {"max_train_flops": 9})
    value, beside = OTHERS[field] if isinstance(OTHERS[field], tuple) else (OTHERS[field], {})
    after = fingerprints({**beside, field: value})
    if field == "data.bad_rows":
        with pytest.raises(DataError):
            fingerprints(beside)
        return  # only with the other value can the data be read
    before = fingerprints(beside)
    changed = {stage for stage in after if after[stage] != before.get(stage)}
    effect = effect_of(field)
    if effect in ("presentation", "execution"):
        assert changed == set()
    elif effect == "answers":
        assert changed and not changed & set(TRAINING)
    else:
        assert changed & set(TRAINING)
