"""Stage 1: train a model to write a reasoning from a question and its answer, and test it on held-out rows."""

from __future__ import annotations

import math
import random
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np

from whylabel.engines.base import Engine, Sampling
from whylabel.engines.transformers import TransformersEngine
from whylabel.host.progress import progress, say
from whylabel.models.capabilities import positions_of
from whylabel.models.load import LoadedModel, prepare_for_training
from whylabel.models.trainable import check_trainable
from whylabel.prediction.scoring import LabelScorer, score_one_by_one
from whylabel.reasonings.masking import mask_words
from whylabel.recipe import ReasonerConfig
from whylabel.text.prompts import Prompt, Prompts, Rendered
from whylabel.text.words import count_words
from whylabel.training import train
from whylabel.training.audit import audit
from whylabel.types import QuestionAnswer

_RIVALS = 3
_SHOWN = 5


def train_reasoner(
    loaded: LoadedModel,
    prompts: Prompts,
    rows: Sequence[QuestionAnswer],
    config: ReasonerConfig,
    *,
    without_answer_share: float = 0.0,
    seed: int,
    checkpoints: Path,
) -> dict[str, Any]:
    """Fine-tune the model in place, with the loss on the reasoning only; return figures of the training.

    A share of the rows, drawn with the seed, is shown without its answer.
    """
    section = "reasoner.training"
    check_trainable(loaded, config.training.max_length, section, writes=True)
    prepare_for_training(loaded)
    examples = reasoner_examples(prompts, rows, without_answer_share, seed)
    checked = audit(examples, [row.id for row in rows], prompts, config.training.max_length, section=section)
    say(f"  {checked['rows']:,} rows, {checked['tokens']:,} tokens; the model is trained on the text in ⟦ ⟧:")
    say(f"  {checked['example']!r}")
    result = train(
        loaded,
        examples,
        config.training,
        seed=seed,
        checkpoints=checkpoints,
        title="train-reasoner",
        section=section,
    )
    return {**asdict(result), "audit": checked}


def reasoner_examples(
    prompts: Prompts, rows: Sequence[QuestionAnswer], without_answer_share: float, seed: int
) -> list[Rendered]:
    """Return a training example for each row; a share of them, drawn with the seed, shows no answer."""
    count = round(without_answer_share * len(rows))
    without = set(random.Random(f"{seed}-without-answer").sample(range(len(rows)), count))
    if without:
        say(f"  {count:,} of {len(rows):,} rows are shown without their answer")
    return [
        prompts.reasoner_example(row.question, None if at in without else row.answer, row.reasoning)
        for at, row in enumerate(rows)
    ]


def write_reasonings(
    engine: Engine,
    prompts: Prompts,
    rows: Sequence[QuestionAnswer],
    sampling: Sampling,
    *,
    with_answer: bool = True,
) -> list[tuple[QuestionAnswer, str, bool]]:
    """Return (row, written reasoning, whether it ended by itself) for held-out rows, in order."""
    asked = [prompts.reasoner(row.question, row.answer if with_answer else None) for row in rows]
    inputs = [Prompt(tuple(prompt)) for prompt in asked]
    written: dict[int, tuple[QuestionAnswer, str, bool]] = {}
    with progress("gate: reasonings", total=len(rows)) as bar:
        for completion in engine.generate(inputs, sampling):
            stopped = completion.finish == "stop"
            written[completion.index] = (rows[completion.index], completion.text, stopped)
            bar.advance(1, completion.tokens)
    return [written[index] for index in range(len(rows))]


def gate(
    loaded: LoadedModel,
    prompts: Prompts,
    rows: Sequence[QuestionAnswer],
    *,
    max_new_tokens: int,
) -> tuple[dict[str, Any], list[tuple[QuestionAnswer, str, bool]]]:
    """Return the reasoner's metrics on held-out rows, and the reasonings that it wrote.

    Held-out loss is the mean negative log-likelihood per token of the reference reasonings (nats). Perplexity is its
    exponential. Quantiles are of the lengths of the written reasonings, in words.
    """
    examples = [prompts.reasoner_example(row.question, row.answer, row.reasoning) for row in rows]
    positions = positions_of(loaded.model)
    fitting = [example for example in examples if positions is None or len(example) <= positions]
    if len(fitting) < len(examples):
        say(
            f"  {len(examples) - len(fitting):,} of {len(examples):,} held-out rows have more tokens than the "
            f"model's {positions} positions: the loss is without them"
        )
    loss, tokens = 0.0, 0
    for example in fitting:
        loss -= float(score_one_by_one(loaded, [example.prompt_ids], [example.completion_ids])[0, 0])
        tokens += len(example.completion_ids)
    held_out_loss = loss / max(1, tokens)
    written = write_reasonings(
        TransformersEngine(loaded),
        prompts,
        rows,
        Sampling(max_new_tokens=max_new_tokens, stop_ids=tuple(sorted(prompts.stop_ids))),
    )
    words = [count_words(text) for _, text, _ in written]
    return {
        "n": len(rows),
        "held_out_loss": held_out_loss,
        "perplexity": math.exp(min(held_out_loss, 50.0)),
        "stopped_share": float(np.mean([stopped for _, _, stopped in written])),
        "length_quantiles": {
            str(share): float(np.quantile(words, share)) for share in (0.05, 0.25, 0.5, 0.75, 0.95)
        },
        "examples": [
            {"question": row.question, "answer": row.answer, "reasoning": text}
            for row, text, _ in written[:_SHOWN]
        ],
    }, written


def stopped_without_answer(
    loaded: LoadedModel, prompts: Prompts, rows: Sequence[QuestionAnswer], *, max_new_tokens: int
) -> float:
    """Return the share of its reasonings that end by themselves where the prompt shows no answer."""
    sampling = Sampling(max_new_tokens=max_new_tokens, stop_ids=tuple(sorted(prompts.stop_ids)))
    written = write_reasonings(TransformersEngine(loaded), prompts, rows, sampling, with_answer=False)
    return float(np.mean([stopped for _, _, stopped in written]))


def answer_recovery(
    base: LoadedModel, prompts: Prompts, written: Sequence[tuple[QuestionAnswer, str, bool]], *, seed: int
) -> dict[str, Any]:
    """Return how often the base model ranks the answer above three rivals, with the reasoning and without it.

    The answer's words and their relatives are masked in the reasoning, and rivals are answers of other rows. So this
    measures whether the reasoning leads to its answer, not whether it names it. Candidates are ranked by mean
    log-probability per token because answers differ in length. Chance is 0.25. Rows that do not fit into the model's
    positions are not counted in `n`.
    """
    rng = random.Random(seed)
    answers = sorted({row.answer for row, _, _ in written})
    hits = {"with_reasoning": 0, "without_reasoning": 0}
    counted, positions = 0, positions_of(base.model)
    with progress("gate: answer recovery", total=len(written)) as bar:
        for row, reasoning, _ in written:
            others = [answer for answer in answers if answer.casefold() != row.answer.casefold()]
            candidates = [row.answer, *rng.sample(others, min(_RIVALS, len(others)))]
            ids = [prompts.answer_ids(candidate) for candidate in candidates]
            texts = {"with_reasoning": mask_words(reasoning, [row.answer]), "without_reasoning": ""}
            asked = {name: prompts.recovery(row.question, text) for name, text in texts.items()}
            bar.advance()
            if positions is not None and len(asked["with_reasoning"]) + max(map(len, ids)) > positions:
                continue
            counted += 1
            scorer = LabelScorer(base, ids)
            for name, prompt in asked.items():
                scores = scorer.log_scores([prompt])[0]
                hits[name] += int(np.argmax(scores / [len(tokens) for tokens in ids]) == 0)
    return {"n": counted, **{name: count / max(1, counted) for name, count in hits.items()}}
