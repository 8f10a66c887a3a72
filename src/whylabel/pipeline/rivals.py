"""What rivals of the two models say of the test rows: other models that learn the labels from the same rows.

Their answers are kept as those of the models are, so that a rival is not trained again where only another model has
changed.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from whylabel.evaluation.stored import StoredPredictions
from whylabel.host.atomic import as_written, read_json
from whylabel.host.progress import progress
from whylabel.models.fingerprint import model_fingerprint
from whylabel.pipeline.answers import answers_file, ask, read_answers
from whylabel.pipeline.job import Job
from whylabel.prediction.calibration import LEAST_ROWS
from whylabel.prediction.multi_label import MultiLabel, sigmoid
from whylabel.prediction.thresholds import fit_thresholds
from whylabel.recipe import TrainingConfig
from whylabel.text.hashes import fingerprint
from whylabel.text.labels import LabelSet
from whylabel.text.prompts import FORMAT_VERSION, Prompts
from whylabel.text.several_labels import Separator
from whylabel.types import Example, Prediction

if TYPE_CHECKING:
    from transformers import PreTrainedModel

    from whylabel.evaluation.evaluate import Measures
    from whylabel.models.load import LoadedModel

_VERSION = 1
"""Of how the rivals learn: another one makes kept answers void."""

_ENCODER_TRAINING = TrainingConfig(
    num_train_epochs=5.0,
    min_steps=300,
    learning_rate=3e-5,
    warmup_steps=0.1,
    weight_decay=0.01,
)
"""How an encoder is fine-tuned. With few rows, many steps and a warm-up make that stable (Mosbach et al. 2021)."""

_ENCODERS = {"fine_tuned": "encoder", "setfit": "setfit"}
"""The rival by the way in which the encoder is trained."""

Rival = Callable[[Job, "Measures"], Sequence[Prediction]]


def rival_answers(job: Job, measures: Measures) -> dict[str, StoredPredictions]:
    """Return the predictions of each rival that the recipe names; none without train rows."""
    config = job.inputs.recipe.evaluation
    names = [*config.rivals, *(_ENCODERS[way] for way in config.encoder_training if config.encoder)]
    return {name: _answers(job, measures, name) for name in names if job.inputs.dataset.train}


def _answers(job: Job, measures: Measures, name: str) -> StoredPredictions:
    kept = answers_file(job.run.answers, name, _key(job, name))
    rows = [(row.id, row.text) for row in job.inputs.dataset.test]
    known = read_answers(kept)
    if len(known) < len(rows):
        kept.unlink(missing_ok=True)
        said = _RIVALS[name](job, measures)
        answers = ask(kept, rows, {}, lambda _rows: ({"fast": p} for p in said))
        return StoredPredictions(answer["fast"] for answer in answers)
    return StoredPredictions(known[row_id]["fast"] for row_id, _ in rows)


def _key(job: Job, name: str) -> str:
    """Return a hash of everything that decides what a rival answers."""
    inputs, recipe = job.inputs, job.inputs.recipe
    return fingerprint(
        *(name, _VERSION, FORMAT_VERSION, inputs.base_fingerprint, list(inputs.labels.names), recipe.seed),
        *(inputs.data_fingerprints[split] for split in ("train", "test")),
        *(recipe.task.type, recipe.task.label_separator, recipe.task.name, recipe.task.question),
        *(recipe.prompt_style, recipe.data.max_text_tokens),
        *_learns_from(job, name),
    )


def _learns_from(job: Job, name: str) -> list[object]:
    """Return what decides a rival's answers besides the rows and the base model."""
    recipe = job.inputs.recipe
    if name == "embeddings":
        # Earlier versions kept no time, and fitted thresholds on train rows.
        return ["timed", _thresholds_from(job)]
    if name == "head":
        settings = recipe.training.deciding("weights", "training.")
        return [settings, _baseline_flops(job), _thresholds_from(job)]
    return [model_fingerprint(str(recipe.evaluation.encoder)), _thresholds_from(job)]


def _thresholds_from(job: Job) -> str | None:
    return job.inputs.data_fingerprints["validation"] if job.inputs.multi_label else None


def _baseline_flops(job: Job) -> float:
    metrics = read_json(job.run.baseline_metrics, dict)
    with as_written(job.run.baseline_metrics):
        return float(metrics["flops"])


def _embeddings(job: Job, measures: Measures) -> Sequence[Prediction]:
    """Learn a logistic regression on what the untrained base model makes of the texts."""
    from whylabel.models.load import load
    from whylabel.prediction.embeddings import embed

    recipe = job.inputs.recipe
    loaded = load(recipe.base_model, device=recipe.device)

    def vectors(rows: Sequence[Example], done: Callable[[int], None]) -> Any:
        return embed(loaded, prompts_of(job, loaded, rows), done)

    return _on_vectors(job, measures, "embeddings", vectors, trained=False)


def _setfit(job: Job, measures: Measures) -> Sequence[Prediction]:
    """Train the encoder that the recipe names on pairs of texts, then a logistic regression on its vectors."""
    from whylabel.stages.pairs import drawn_pairs, steps_of, train_on_pairs, vectors_of

    recipe, train = job.inputs.recipe, list(job.inputs.dataset.train)
    several = job.inputs.multi_label
    labels = [set(several.separator.split(row.label)) if several else {row.label} for row in train]
    pairs = drawn_pairs(labels, recipe.seed)
    with progress("evaluate setfit: training", total=steps_of(pairs), unit="steps") as bar:
        model = train_on_pairs(
            str(recipe.evaluation.encoder),
            [row.text for row in train],
            pairs,
            device=recipe.device,
            seed=recipe.seed,
            done=bar.advance,
        )

    def vectors(rows: Sequence[Example], done: Callable[[int], None]) -> Any:
        found = vectors_of(model, [row.text for row in rows])
        done(len(rows))
        return found

    return _on_vectors(job, measures, "setfit", vectors, trained=True)


def _on_vectors(
    job: Job,
    measures: Measures,
    name: str,
    vectors: Callable[[Sequence[Example], Callable[[int], None]], Any],
    *,
    trained: bool,
) -> Sequence[Prediction]:
    """Learn a logistic regression on the vectors of rows; those of a text count as part of its time."""
    from whylabel.evaluation.floors import on_vectors

    inputs = job.inputs
    train, test = inputs.dataset.train, inputs.dataset.test
    learnt_from = [*train, *(inputs.dataset.validation if inputs.multi_label else ())]
    with progress(f"evaluate {name}", total=len(learnt_from) + len(test)) as bar:
        known = vectors(learnt_from, bar.advance)
        started = time.perf_counter()
        asked = vectors(test, bar.advance)
        seconds = (time.perf_counter() - started) / len(test)
    rows = zip([*learnt_from, *test], [*known, *asked], strict=True)
    learner = on_vectors({(row.id, row.text): vector for row, vector in rows}, trained=trained)
    said = measures.learnt(learner, train, test, inputs.labels, inputs.recipe.seed)
    return [replace(one, seconds=one.seconds + seconds) for one in said]


def prompts_of(job: Job, loaded: LoadedModel, rows: Sequence[Example]) -> list[list[int]]:
    """Return the prompts of the baseline for rows: token ids, trimmed to what the recipe and the model allow."""
    from whylabel.models.capabilities import positions_of

    recipe, multi_label = job.inputs.recipe, job.inputs.multi_label
    prompts = Prompts(loaded.tokenizer, recipe.prompt_style, recipe.task.question, recipe.task.name)
    whole = prompts.decision_prefix if multi_label else lambda text: prompts.classifier(text, "label")
    positions = positions_of(loaded.model)
    room = None if positions is None else positions - len(whole("a")) - _SPARE_TOKENS
    limits = [limit for limit in (recipe.data.max_text_tokens, room) if limit is not None]
    limit = min(limits, default=None)
    return [whole(row.text if limit is None else prompts.trim(row.text, limit)) for row in rows]


def _head(job: Job, _measures: Measures) -> Sequence[Prediction]:
    """Train the base model with a classification head on as much arithmetic as the baseline's training took."""
    from whylabel.models.flops import Flops
    from whylabel.models.load import load
    from whylabel.stages.head import steps_for_flops

    recipe, dataset = job.inputs.recipe, job.inputs.dataset
    loaded = load(recipe.base_model, device=recipe.device, dtype="float32")
    splits = (dataset.train, dataset.validation, dataset.test)
    prompts = [prompts_of(job, loaded, rows) for rows in splits]
    flops = Flops.of(loaded.model)
    epoch = sum(flops.training(len(row), 0) for row in prompts[0])
    steps = steps_for_flops(len(prompts[0]), epoch, _baseline_flops(job), recipe.training)
    return _with_head(job, "head", loaded.model.base_model, prompts, recipe.training, steps, mean=False)


def _encoder(job: Job, _measures: Measures) -> Sequence[Prediction]:
    """Fine-tune the encoder that the recipe names."""
    from whylabel.models.encoder import load_encoder
    from whylabel.stages.head import rows_per_step

    recipe, dataset, config = job.inputs.recipe, job.inputs.dataset, _ENCODER_TRAINING
    loaded = load_encoder(str(recipe.evaluation.encoder), device=recipe.device)
    splits = (dataset.train, dataset.validation, dataset.test)
    texts = [loaded.token_ids([row.text for row in rows]) if len(rows) else [] for rows in splits]
    epochs = config.num_train_epochs * len(texts[0]) / rows_per_step(config)
    steps = max(math.ceil(epochs), config.min_steps or 0)
    return _with_head(job, "encoder", loaded.model, texts, config, steps, mean=True)


def _with_head(
    job: Job,
    name: str,
    core: PreTrainedModel,
    splits: Sequence[Sequence[Sequence[int]]],
    config: TrainingConfig,
    steps: int,
    *,
    mean: bool,
) -> Sequence[Prediction]:
    """Train a model with a head on token ids; `splits` are those of train, validation and test rows."""
    from whylabel.stages.head import train_head

    inputs, multi_label = job.inputs, job.inputs.multi_label
    train, validation, test = splits
    labels, seed = inputs.labels, inputs.recipe.seed
    separator = multi_label.separator if multi_label else None
    gold = _gold(inputs.dataset.train, labels, separator)
    with progress(f"evaluate {name}: training", total=steps, unit="steps") as bar:
        head = train_head(
            core, train, gold, config, steps, seed, several=bool(separator), mean=mean, done=bar.advance
        )
    started = time.perf_counter()
    with progress(f"evaluate {name}", total=len(test)) as bar:
        scores = head.scores(test, bar.advance)
    seconds = (time.perf_counter() - started) / max(1, len(test))
    if separator is None:
        chances = np.exp(scores)
        said = [labels.names[int(row.argmax())] for row in chances]
    else:
        chances = sigmoid(scores)
        thresholds: tuple[float, ...] = ()
        if len(validation) >= LEAST_ROWS:
            found = sigmoid(head.scores(validation))
            thresholds = fit_thresholds(found, _gold(inputs.dataset.validation, labels, separator) > 0)
        said = [MultiLabel(separator, thresholds).decided(labels, row) for row in chances]
    return [
        Prediction(row.id, label, tuple(map(float, values)), seconds=seconds)
        for row, label, values in zip(inputs.dataset.test, said, chances, strict=True)
    ]


def _gold(rows: Sequence[Example], labels: LabelSet, separator: Separator | None) -> NDArray[np.float64]:
    """Return 1 where a row has a label, shape (rows, labels)."""
    if separator is not None:
        return separator.matrix([row.label for row in rows], labels).astype(float)
    places = [labels.index(row.label) for row in rows]
    return np.eye(len(labels))[places]


# At its borders a text may be encoded in other tokens than by itself.
_SPARE_TOKENS = 8
_RIVALS: dict[str, Rival] = {"embeddings": _embeddings, "head": _head, "encoder": _encoder, "setfit": _setfit}
