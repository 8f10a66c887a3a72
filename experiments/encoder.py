"""Fine-tune an encoder on the rows of an experiment's settings, beside which small LLMs must stand.

    python experiments/encoder.py e5-best --data FOLDER --encoder FOLDER --seeds 13 14 15 --test

The encoder is a folder of a BERT-like model; a linear layer reads the mean of its last hidden states. Results are
lines of the experiment's `results.jsonl`, the trial `encoder`. The learning rate was chosen on validation rows of
emotion with 32 texts a class (`log.md`).
"""

from __future__ import annotations

import tempfile
import time
from collections.abc import Sequence
from typing import Any

import torch
from run import SCORES, Trial, parser, planned, run_all
from torch.nn import functional
from transformers import (
    AutoModel,
    AutoTokenizer,
    DataCollatorWithPadding,
    Trainer,
    TrainingArguments,
    set_seed,
)

from whylabel.evaluation.metrics import score
from whylabel.pipeline.inputs import Inputs
from whylabel.recipe import load_recipe
from whylabel.text.labels import LabelSet
from whylabel.types import Example, Prediction

MAX_TOKENS = 128
LEAST_STEPS = 300
EPOCHS = 4
LEARNING_RATE = 1e-4


class Classifier(torch.nn.Module):
    """A linear layer over the mean of an encoder's last hidden states."""

    def __init__(self, encoder: str, labels: int) -> None:
        super().__init__()
        self.encoder = AutoModel.from_pretrained(encoder, local_files_only=True)
        self.head = torch.nn.Linear(self.encoder.config.hidden_size, labels)

    def forward(self, labels: torch.Tensor | None = None, **inputs: torch.Tensor) -> dict[str, torch.Tensor]:
        """Return the logits (texts, labels) and, where there are labels, the cross-entropy."""
        hidden = self.encoder(**inputs).last_hidden_state
        mask = inputs["attention_mask"].unsqueeze(-1)
        logits = self.head((hidden * mask).sum(dim=1) / mask.sum(dim=1))
        loss = {} if labels is None else {"loss": functional.cross_entropy(logits, labels)}
        return {**loss, "logits": logits}


def fit_predict(
    encoder: str, train: Sequence[Example], test: Sequence[Example], labels: LabelSet, seed: int
) -> tuple[Prediction, ...]:
    """Fine-tune on the train rows and label the test rows."""
    tokenizer = AutoTokenizer.from_pretrained(encoder, local_files_only=True)

    def encoded(rows: Sequence[Example]) -> list[dict[str, Any]]:
        return [
            {**tokenizer(row.text, truncation=True, max_length=MAX_TOKENS), "labels": labels.index(row.label)}
            for row in rows
        ]

    set_seed(seed)
    with tempfile.TemporaryDirectory() as folder:
        arguments = TrainingArguments(
            output_dir=folder, seed=seed, report_to=[], save_strategy="no", logging_strategy="no", disable_tqdm=True,
            per_device_train_batch_size=16, per_device_eval_batch_size=64, learning_rate=LEARNING_RATE,
            num_train_epochs=max(EPOCHS, LEAST_STEPS * 16 / len(train)), warmup_steps=0.1, weight_decay=0.01,
            remove_unused_columns=False, dataloader_pin_memory=torch.cuda.is_available(),
        )  # fmt: skip
        trainer = Trainer(
            Classifier(encoder, len(labels)),
            arguments,
            train_dataset=encoded(train),
            data_collator=DataCollatorWithPadding(tokenizer),
        )
        trainer.train()
        started = time.perf_counter()
        logits = torch.tensor(trainer.predict(encoded(test)).predictions)
    seconds = (time.perf_counter() - started) / len(test)
    found = zip(test, functional.softmax(logits, dim=1).tolist(), strict=True)
    return tuple(
        Prediction(row.id, labels.names[values.index(max(values))], tuple(values), seconds=seconds)
        for row, values in found
    )


def run(trial: Trial, encoder: str) -> dict[str, Any]:
    """Fine-tune and evaluate, and return what there is to keep."""
    recipe = load_recipe(trial.recipe, trial.overrides)
    inputs = Inputs(recipe)
    train, test, labels = list(inputs.dataset.train), list(inputs.dataset.test), inputs.labels
    predictions = fit_predict(encoder, train, test, labels, trial.seed)
    found = score(
        test, predictions, labels, bootstrap_samples=recipe.evaluation.bootstrap_samples, seed=trial.seed
    )
    right = {row.id: row.label == gold.label for row, gold in zip(predictions, test, strict=True)}
    return {
        "rows": {"train": len(train), "test": len(test)},
        "scores": {
            "encoder": {key: getattr(found, key) for key in SCORES}
            | {"seconds_per_row": found.cost.seconds_per_row}
        },
        "right": {"encoder": "".join("01"[right[row_id]] for row_id in sorted(right))},
    }


def main() -> None:
    """Run the encoder on what has no result of it yet."""
    arguments = parser(__doc__)
    arguments.add_argument("--encoder", required=True, help="the folder of the encoder")
    given = arguments.parse_args()
    given.trials = None
    trials = list(planned(given.experiment, given, {"encoder": []}))
    run_all(trials, given, lambda trial: run(trial, given.encoder))


if __name__ == "__main__":
    main()
