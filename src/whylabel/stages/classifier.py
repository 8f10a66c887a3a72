"""Stage 2b: training the classifier (text -> reasoning + label) and the baseline (text -> label).

`train_classifier` trains, `save_checked` saves and checks that the saved model predicts the same, and
`calibrate_classifier` fits the probabilities to validation rows. A trained model is used through `trained.py`.
"""

from __future__ import annotations

import math
import random
from collections.abc import Sequence
from dataclasses import asdict, replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from whylabel.engines.base import Engine
from whylabel.errors import ModelError, RecipeError
from whylabel.host.progress import say
from whylabel.models.load import LoadedModel, as_deployed, prepare_for_training, save
from whylabel.models.trainable import check_trainable
from whylabel.prediction.calibration import LEAST_ROWS, Calibration, calibrate, default_mode
from whylabel.prediction.card import MODES, ModelCard, Vote
from whylabel.prediction.multi_label import multi_label_of, sigmoid
from whylabel.prediction.room import text_limit
from whylabel.prediction.thresholds import LEAST_POSITIVES, Bools, Floats, best_threshold, fit_thresholds
from whylabel.prediction.trained import TrainedClassifier
from whylabel.recipe import ClassifierTrainingConfig, Recipe, SelectionConfig
from whylabel.text.labels import LabelSet
from whylabel.text.prompts import Prompts
from whylabel.training import Selection, train
from whylabel.training.audit import audit
from whylabel.training.training_set import DecisionSet, TrainingSet
from whylabel.types import Example, Mode, Prediction, ReasonedExample, Target

_RELOADED_ROWS = 5
# The token limit of a reasoning at prediction: nearly the longest one seen in training, and a quarter more.
_BUDGET_QUANTILE, _BUDGET_FACTOR, _BUDGET_LEAST = 0.99, 1.25, 16


def train_classifier(
    loaded: LoadedModel,
    rows: Sequence[Example | ReasonedExample],
    labels: LabelSet,
    recipe: Recipe,
    *,
    target: Target,
    title: str,
    checkpoints: Path,
    lineage: dict[str, Any],
    validation: Sequence[Example] = (),
    training: ClassifierTrainingConfig | None = None,
) -> tuple[ModelCard, dict[str, Any]]:
    """Fine-tune the model in place for the target, and return its card and the figures of the training.

    `validation` rows choose the checkpoint that is kept, if the recipe says so. `training` replaces the
    recipe's. Raises `AuditError` if a row would teach something wrong, for example because it is too long.
    """
    training = training or recipe.training
    can = check_trainable(loaded, training.max_length, "training", writes="reasoned" in MODES[target])
    prepare_for_training(loaded)
    prompts = Prompts(loaded.tokenizer, recipe.prompt_style, recipe.task.question, recipe.task.name)
    limit = recipe.data.max_text_tokens
    trimmed_rows = [
        row if limit is None else replace(row, text=prompts.trim(row.text, limit)) for row in rows
    ]
    trimmed = sum(row.text != other.text for row, other in zip(trimmed_rows, rows, strict=True))
    if trimmed:
        say(f"  {trimmed:,} of {len(rows):,} texts were trimmed to {limit} tokens")
    multi_label = multi_label_of(recipe.task)
    settings = (prompts, trimmed_rows, target, recipe.classifier, training, recipe.seed)
    training_set = (
        TrainingSet(*settings)
        if multi_label is None
        else DecisionSet(*settings, labels=labels, separator=multi_label.separator)
    )
    ids, examples = zip(*training_set.every(), strict=True) if rows else ((), ())
    checked = audit(examples, ids, prompts, training.max_length)
    say(
        f"  {checked['rows']:,} examples, {checked['tokens']:,} tokens; the model is trained on the text in ⟦ ⟧:"
    )
    say(f"  {checked['example']!r}")
    reasonings, modes = training_set.reasonings(), MODES[target]
    if not reasonings and "fast" in modes:
        if len(modes) > 1:
            say("  there is no reasoning to learn from: the model will only have the mode fast")
        modes = ("fast",)
    card = ModelCard(
        labels=labels,
        target=target,
        question=recipe.task.question,
        name=recipe.task.name,
        prompt_style=recipe.prompt_style,
        max_text_tokens=limit or training.max_length,
        max_reasoning_tokens=recipe.classifier.max_reasoning_tokens or reasoning_budget(prompts, reasonings),
        lineage=lineage,
        modes=modes,
        vote=Vote(recipe.classifier.votes, recipe.classifier.vote_temperature, recipe.seed),
        multi_label=multi_label,
    )
    card = replace(card, max_text_tokens=text_limit(card, prompts, can.positions), capabilities=can.to_json())
    select = None
    if training.selection.steps is not None:
        if not validation:
            raise RecipeError(
                "training.selection needs validation rows, but there are none.",
                fix="set data.validation or data.validation_fraction, or remove training.selection",
            )
        selection_rows = _drawn(validation, training.selection.rows, f"{recipe.seed}-selection")
        select = partial(_selection, card, selection_rows, training.selection)
    result = train(
        loaded,
        training_set.epoch,
        training,
        seed=recipe.seed,
        checkpoints=checkpoints,
        title=title,
        select=select,
    )
    figures = {
        **asdict(result),
        "rows": len(rows),
        "examples_per_epoch": result.rows,
        "reasoning_budget": reasoning_budget(prompts, reasonings),
    }
    return card, {**figures, "target": target, "texts_trimmed": trimmed, "audit": checked}


def _selection(
    card: ModelCard, rows: Sequence[Example], config: SelectionConfig, in_training: LoadedModel
) -> Selection:
    """Return how a model in training is evaluated: by its labels for validation rows.

    If a text may have several labels, thresholds are not chosen yet: micro-F1 is that at the best common threshold.
    """
    assert config.steps is not None
    texts = [(row.id, row.text) for row in rows]

    def accuracy() -> float:
        predictions = TrainedClassifier(in_training, card).predict(texts)
        right = sum(found.label == row.label for found, row in zip(predictions, rows, strict=True))
        return right / len(rows)

    def micro_f1() -> float:
        probabilities, gold = _decisions(TrainedClassifier(in_training, card), rows)
        return best_threshold(probabilities.ravel(), gold.ravel())[1]

    if card.multi_label is not None:
        return Selection(micro_f1, config.steps, config.patience, "micro_f1")
    return Selection(accuracy, config.steps, config.patience)


def _decisions(model: TrainedClassifier, rows: Sequence[Example]) -> tuple[Floats, Bools]:
    """Return for each readable row the probability of every label, and whether the row has the label."""
    assert model.card.multi_label is not None
    scores = model.log_scores([(row.id, row.text) for row in rows], ["fast"])["fast"]
    read = np.isfinite(scores).all(axis=1)
    gold = model.card.multi_label.separator.matrix([row.label for row in rows], model.labels)
    return sigmoid(scores[read]), gold[read]


def _drawn(rows: Sequence[Example], most: int, seed: str) -> list[Example]:
    """Return at most this many rows, drawn at random because a split may be sorted by label, in their order."""
    places = random.Random(seed).sample(range(len(rows)), min(most, len(rows)))
    return [rows[place] for place in sorted(places)]


def uncalibrated(card: ModelCard, recipe: Recipe, budget: int) -> ModelCard:
    """Return the card without calibration, with the recipe's settings of how the model answers.

    `budget` is the token limit of a reasoning that follows from the lengths seen in training.
    """
    config = recipe.classifier
    return replace(
        card,
        modes=tuple(mode for mode in MODES[card.target] if mode in card.modes),
        calibration=Calibration(),
        max_reasoning_tokens=config.max_reasoning_tokens or budget,
        vote=Vote(config.votes, config.vote_temperature, recipe.seed),
        filters=config.filters,
        reasoning_attempts=config.reasoning_attempts,
        multi_label=None if card.multi_label is None else replace(card.multi_label, thresholds=()),
    )


def calibrate_classifier(
    loaded: LoadedModel,
    card: ModelCard,
    validation: Sequence[Example],
    recipe: Recipe,
    engine: Engine | None = None,
) -> ModelCard:
    """Return the card, calibrated on validation rows: temperatures, adaptive threshold, blend, default mode.

    If a text may have several labels, the threshold of each label is chosen instead.
    `engine` writes the reasonings; default: transformers.
    At most `classifier.calibration_rows` rows are used, drawn with the seed. With n votes per row, only one in n rows
    gets votes, so that mode `vote` costs as much as one reasoning for every row.
    """
    config = recipe.classifier
    size = min(len(validation), config.calibration_rows)
    if size < LEAST_ROWS:
        say(f"  not calibrated: {size} validation rows, at least {LEAST_ROWS} are needed")
        return card
    rows = _drawn(validation, size, f"{recipe.seed}-calibration")
    # Otherwise votes would only cover the first rows of a split that may be sorted by label.
    random.Random(recipe.seed).shuffle(rows)
    if card.multi_label is not None:
        return _with_thresholds(loaded, card, rows)
    voted = size // card.vote.reasonings
    modes = [mode for mode in card.modes if mode != "vote" or voted >= LEAST_ROWS]
    say(f"  calibration: {', '.join(modes)} on {size:,} validation rows")
    texts = [(row.id, row.text) for row in rows]
    gold = np.array([card.labels.index(row.label) for row in rows], dtype=np.int64)
    model = TrainedClassifier(loaded, card, engine)
    scores = model.log_scores(texts, [mode for mode in modes if mode != "vote"])
    if "vote" in modes:
        scores |= model.log_scores(texts[:voted], ["vote"])
    found = calibrate(scores, gold, config.adaptive_share)
    mode = card.mode if found.blend_weight is None else default_mode(found, scores, gold)
    _say_calibration(found, mode)
    return card.calibrated(found, mode)


def _with_thresholds(loaded: LoadedModel, card: ModelCard, rows: Sequence[Example]) -> ModelCard:
    """Return the card with the threshold of each label."""
    assert card.multi_label is not None
    probabilities, gold = _decisions(TrainedClassifier(loaded, card), rows)
    thresholds = fit_thresholds(probabilities, gold)
    few = int((gold.sum(axis=0) < LEAST_POSITIVES).sum())
    say(
        f"  thresholds: {min(thresholds):.3f} to {max(thresholds):.3f} on {len(gold):,} validation rows; {few} of "
        f"{len(card.labels)} labels occur in fewer than {LEAST_POSITIVES} of them and share one"
    )
    return replace(card, multi_label=replace(card.multi_label, thresholds=thresholds))


def _say_calibration(found: Calibration, mode: Mode) -> None:
    for name, fit in found.temperatures.items():
        say(
            f"    {name}: temperature {fit.temperature:.2f}, negative log-likelihood "
            f"{fit.nll_before:.3f} -> {fit.nll_after:.3f} ({fit.n:,} rows)"
        )
    if found.adaptive is not None:
        say(
            f"    adaptive: reasons below a margin of {found.adaptive.threshold:.3f}, {found.adaptive.share:.0%} "
            f"of the rows; blend: {found.blend_weight:.2f} of reasoned; default mode: {mode}"
        )


def reasoning_budget(prompts: Prompts, reasonings: Sequence[str]) -> int:
    """Return the token limit of a reasoning: the 99 % quantile of the training lengths, and a quarter more."""
    lengths = [prompts.count(reasoning) for reasoning in reasonings]
    if not lengths:
        return 0
    return max(_BUDGET_LEAST, math.ceil(_BUDGET_FACTOR * float(np.quantile(lengths, _BUDGET_QUANTILE))))


def save_checked(
    loaded: LoadedModel, card: ModelCard, rows: Sequence[Example | ReasonedExample], folder: Path
) -> None:
    """Save the model, load it again from disk and let it predict five rows, in the arithmetic that is deployed.

    The model in memory is converted to that arithmetic, too. Raises `ModelError` if the loaded model differs from the
    trained one, answers no row, or writes only empty reasonings.
    """
    save(loaded, folder, card.to_json())
    as_deployed(loaded)
    texts = [(row.id, row.text) for row in rows[:_RELOADED_ROWS]]
    # The other modes are combinations of these.
    modes = [mode for mode in card.modes if mode in ("fast", "reasoned")]
    before = list(TrainedClassifier(loaded, card).predict_in_modes(texts, modes, show_all=True))
    reloaded = TrainedClassifier.from_folder(folder, device=str(loaded.device))
    after = list(reloaded.predict_in_modes(texts, modes, show_all=True))
    for mode in modes:
        pairs = [(first[mode], second[mode]) for first, second in zip(before, after, strict=True)]
        # Rows without an answer are alike, too: where no row has one, nothing was compared.
        failed = [one.error for pair in pairs for one in pair if one.status == "failed"]
        if not pairs or len(failed) == 2 * len(pairs):
            raise ModelError(
                f"The trained model answers no row in mode {mode!r}: {failed[0] if failed else 'there are no rows'}.",
                where=str(folder),
                fix="use another base model (docs/models.md), and report this one",
            )
        if not all(_same(*pair) for pair in pairs):
            raise ModelError("The saved model predicts differently from the trained one.", where=str(folder))
    if "fast" not in modes and not any(predictions["reasoned"].reasoning for predictions in after):
        raise ModelError(
            "The trained model writes only empty reasonings.",
            where=str(folder),
            fix="train longer, or look at augment/train.parquet",
        )


def _same(one: Prediction, other: Prediction) -> bool:
    """Return whether two predictions are the same but for rounding."""
    if (one.status == "failed") != (other.status == "failed") or one.reasoning != other.reasoning:
        return False
    return np.allclose(one.probabilities, other.probabilities, atol=1e-4)
