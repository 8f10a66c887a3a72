"""The checks before the first stage: they find what would otherwise end a run after hours.

`run`, its `--dry-run` and every other verb that takes a recipe share them.
"""

from __future__ import annotations

import os
import shutil
from importlib.util import find_spec
from pathlib import Path

from whylabel.data.leakage import leakage
from whylabel.errors import RecipeError, UsageError
from whylabel.host.progress import say
from whylabel.models.check import check_model, check_replaceable, float32_bytes
from whylabel.models.load import CARD, check_prompt_format, find, read_card, token_counter
from whylabel.models.packaged import PACKAGED_MODELS, is_cached
from whylabel.models.trainable import check_lengths
from whylabel.pipeline.inputs import Inputs
from whylabel.prediction.calibration import LEAST_ROWS
from whylabel.prediction.card import CHOSEN_ON_VALIDATION, check_modes
from whylabel.reasonings.filters import check_filters
from whylabel.recipe import Recipe
from whylabel.run_folder import RunFolder
from whylabel.text.alike import described, groups_alike

# Two checkpoints at a time, each with weights and the optimizer's two moments; and the new model beside the old one.
_COPIES_IN_TRAINING = 7
_GIB = 2**30
_ASKED = ("reasoner.model", "augment.verification.verifier")
"""The settings whose model is asked as it is; the others name one that is trained first."""


def preflight(inputs: Inputs, run: RunFolder, *, evaluated: bool) -> None:
    """Check recipe, run folder, data, models, engine, packages and disk, and report what was read of the data.

    Raises `RecipeError`, `EngineError`, `ModelError`, `DataError`, `AuditError` or `UsageError` for the first problem
    that would stop a stage. `evaluated` says whether an evaluation follows. Nothing is written.
    """
    recipe = inputs.recipe
    check_filters(inputs.filters)
    _check_free_reasonings(recipe)
    check_modes(recipe.classifier.target, recipe.evaluation.modes or ())
    _check_engine(recipe)
    _check_packages(recipe)
    _check_models(recipe)
    run.check_ours()
    _check_model_folders(run)
    _describe_data(inputs)
    if recipe.classifier.target != "label" and inputs.trains_reasoner:
        _ = (
            inputs.reasoning_rows
        )  # what is wrong with the reasoning data is said before a run folder is written
    if evaluated:
        inputs.check_test()
        inputs.check_slices()
        _check_rows_for_modes(inputs)
    _check_lengths(inputs)
    _check_disk(inputs, run)


def _check_free_reasonings(recipe: Recipe) -> None:
    """Refuse reasonings that are written without the label where nothing says whether they lead to it."""
    augment = recipe.augment
    checked = augment.verification.verifier is not None or "contradiction" in augment.filters.names
    if recipe.classifier.target == "label" or augment.condition == "label" or checked:
        return
    cure = "set augment.verification.verifier (base, for example), add the filter contradiction to "
    cure += "augment.filters.names, or set augment.condition: label"
    raise RecipeError(
        f"Reasonings written without the label (augment.condition: {augment.condition}) would be kept though "
        "nothing says that they lead to it.",
        where="recipe: augment.condition",
        fix="set augment.condition: label" if recipe.task.type == "multi_label" else cure,
    )


def _check_engine(recipe: Recipe) -> None:
    from whylabel.engines.check import check_engine, named_after
    from whylabel.engines.choice import chosen_engine

    if recipe.classifier.target != "label":
        check_engine(*chosen_engine(recipe), distributed=recipe.augment.engine.distributed is not None)
    engine, options = recipe.classifier.engine, recipe.classifier.engine_options
    with named_after("classifier.engine"):
        check_engine(engine.name, options, distributed=engine.distributed is not None)


def _check_packages(recipe: Recipe) -> None:
    from whylabel.training.tracking import check_tracker

    reasoned = recipe.classifier.target != "label"
    methods = {recipe.training.method, *([recipe.reasoner.training.method] if reasoned else [])}
    needed = {
        "cleanlab": (
            reasoned and recipe.augment.suspects.folds is not None,
            "augment.suspects.folds",
            "suspects",
        ),
        "sentence_transformers": (
            recipe.evaluation.encoder is not None and "setfit" in recipe.evaluation.encoder_training,
            "evaluation.encoder_training: setfit",
            "setfit",
        ),
        "bitsandbytes": ("qlora" in methods, "method: qlora", "qlora"),
    }
    if needed["sentence_transformers"][0] and int(os.environ.get("WORLD_SIZE", "1")) > 1:
        raise RecipeError(
            "SetFit trains in one process, and this is one of several.",
            where="evaluation.encoder_training: setfit",
            fix="leave setfit out, or run `whylabel evaluate` without accelerate launch",
        )
    check_tracker(recipe.training, "training")
    if reasoned:
        check_tracker(recipe.reasoner.training, "reasoner.training")
    for package, (wanted, setting, extra) in needed.items():
        if wanted and find_spec(package) is None:
            raise RecipeError(
                f"{setting} needs the package {package.replace('_', '-')}.",
                where="recipe",
                fix=f"pip install 'whylabel[{extra}]'",
            )


def _check_models(recipe: Recipe) -> None:
    """Check every model that the recipe names, except packaged ones that are fetched later."""
    named: dict[str, str | None] = {"base_model": recipe.base_model}
    if recipe.classifier.target != "label":
        verifier = recipe.augment.verification.verifier
        named |= {
            "reasoner.base_model": recipe.reasoner.base_model if recipe.reasoner.model is None else None,
            "reasoner.model": recipe.reasoner.model if recipe.reasoner.endpoint is None else None,
            "augment.verification.verifier": verifier if verifier not in ("baseline", "base") else None,
        }
    for setting, name in named.items():
        if name is not None and not (name in PACKAGED_MODELS and not is_cached(name)):
            check_model(name, setting)
            if setting in _ASKED:
                _check_prompts(Path(find(name)))
    if recipe.evaluation.encoder is not None:
        check_model(recipe.evaluation.encoder, "evaluation.encoder", encoder=True)
    if "head" in recipe.evaluation.rivals and recipe.training.method != "full":
        raise RecipeError(
            "The rival head trains all weights, and the baseline trains adapters alone.",
            where="recipe: evaluation.rivals",
            fix="leave it out, or set training.method: full",
        )
    for name, lengths in _trained_lengths(recipe).items():
        if not (name in PACKAGED_MODELS and not is_cached(name)):
            check_lengths(name, lengths)


def _check_prompts(folder: Path) -> None:
    """Raise `ModelError` if whylabel has trained this model on prompts of another format."""
    if (folder / CARD).is_file():
        check_prompt_format(read_card(folder), folder)


def _trained_lengths(recipe: Recipe) -> dict[str, dict[str, int]]:
    """Return the longest rows that each model is trained on, by the setting that says so."""
    found = {recipe.base_model: {"training.max_length": recipe.training.max_length}}
    if recipe.classifier.target != "label" and recipe.reasoner.model is None:
        name = recipe.reasoner.base_model or recipe.base_model
        longest = {"reasoner.training.max_length": recipe.reasoner.training.max_length}
        found[name] = found.get(name, {}) | longest
    return found


def _check_model_folders(run: RunFolder) -> None:
    for folder in (run.reasoner_model, run.baseline_model, run.classifier_model):
        check_replaceable(folder)


def _describe_data(inputs: Inputs) -> None:
    """Report how the data was read, and warn of labels that look alike and of texts that occur in several splits."""
    dataset = inputs.dataset
    rows = " · ".join(f"{name} {len(part):,}" for name, part in dataset.splits().items())
    say(f"data: {inputs.source}, {rows} rows, {len(inputs.labels):,} labels")
    if dataset.inferred:
        noted = ", ".join(f"{name.replace('_', ' ')} {value}" for name, value in dataset.inferred.items())
        say(f"  recognised: {noted}")
    for group in groups_alike(inputs.labels.names):
        say(
            f"  Warning: {described(group)}; they are learnt as different labels (whylabel inspect lists the rows)"
        )
    for found in leakage(dataset):
        say(
            f"  Warning: {found}; scores on texts seen in training are too good (whylabel inspect lists them)"
        )


def _check_rows_for_modes(inputs: Inputs) -> None:
    """Refuse modes that no model of this run could have, for want of validation rows."""
    recipe = inputs.recipe
    rows = min(len(inputs.dataset.validation), recipe.classifier.calibration_rows)
    wanting = [mode for mode in recipe.evaluation.modes or () if mode in CHOSEN_ON_VALIDATION]
    if wanting and rows < LEAST_ROWS:
        raise RecipeError(
            f"The mode {wanting[0]!r} needs {LEAST_ROWS} validation rows, and there are {rows} to calibrate on.",
            where="recipe: evaluation.modes",
            fix="leave it out, or raise data.validation_rows and classifier.calibration_rows, or name more data",
        )


def _check_lengths(inputs: Inputs) -> None:
    from whylabel.training.audit import audit_texts

    recipe = inputs.recipe
    count_tokens = token_counter(find(recipe.base_model))
    if recipe.data.max_text_tokens is None and count_tokens is not None:
        rows = ((row.id, row.text) for row in inputs.dataset.train)
        audit_texts(rows, count_tokens, recipe.training.max_length)


def _check_disk(inputs: Inputs, run: RunFolder) -> None:
    """Raise `UsageError` if the disk has no room for the models; warn if it may have no room for checkpoints."""
    recipe = inputs.recipe
    size = float32_bytes(recipe.base_model)
    folders = [run.baseline_model, run.classifier_model]
    if recipe.classifier.target != "label" and inputs.trains_reasoner:
        folders.append(run.reasoner_model)
    missing = sum(not folder.exists() for folder in folders)
    if recipe.classifier.target != "label" and recipe.augment.judged_by_baselines and not run.folds.exists():
        missing += recipe.augment.folds or 0
    if size is None or not missing:
        return
    place = next(parent for parent in (run.path.absolute(), *run.path.absolute().parents) if parent.exists())
    free = shutil.disk_usage(place).free
    needed, at_most = missing * size, (missing + _COPIES_IN_TRAINING) * size
    if free < needed:
        raise UsageError(
            f"{_gib(missing * size)} are needed for {missing} models, and {_gib(free)} are free on this disk.",
            where=str(place),
            fix="free some space, or choose a folder on another disk with --output DIR",
        )
    if free < at_most and recipe.training.method == "full":
        say(f"  Warning: {_gib(free)} are free on the disk; with checkpoints up to {_gib(at_most)} are used")


def _gib(size: int) -> str:
    return f"{size / _GIB:.1f} GiB"
