"""Training of an encoder on pairs of texts, as a rival for few labels: SetFit.

Texts with a label in common are drawn together, others apart (Tunstall et al. 2022, arXiv 2209.11055). The labels
themselves are then learnt from the vectors.
"""

from __future__ import annotations

import random
import tempfile
from collections.abc import Callable, Sequence, Set
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from whylabel.host.runtime import prepare_process
from whylabel.models.arithmetic import pick_device
from whylabel.models.encoder import load_encoder
from whylabel.models.load import as_model_error, find

if TYPE_CHECKING:
    from sentence_transformers import SentenceTransformer

_ROUNDS = 20
"""How many alike and how many other texts are drawn for each, as in the paper."""
_MOST_TEXTS, _MOST_PAIRS = 1000, 20_000
_BATCH, _LEARNING_RATE, _WARM_UP = 16, 2e-5, 0.1


@dataclass(frozen=True)
class Pair:
    """Two texts by their places, and whether they have a label in common."""

    one: int
    other: int
    alike: bool


def drawn_pairs(labels: Sequence[Set[str]], seed: int) -> list[Pair]:
    """Return pairs in random order: for each text up to 20 with a label in common, and as many without.

    `labels` are those of each text. Of many texts, 1,000 are drawn, and of each fewer pairs: 20,000 at most.
    """
    draw = random.Random(f"{seed}-pairs")
    places = draw.sample(range(len(labels)), min(_MOST_TEXTS, len(labels)))
    rounds = max(1, min(_ROUNDS, _MOST_PAIRS // (2 * max(1, len(places)))))
    found = []
    for one in places:
        groups: dict[bool, list[int]] = {True: [], False: []}
        for other in places:
            if other != one:
                groups[bool(labels[one] & labels[other])].append(other)
        for alike, others in groups.items():
            found += [Pair(one, draw.choice(others), alike) for _ in range(rounds if others else 0)]
    draw.shuffle(found)
    return found


def train_on_pairs(
    name: str,
    texts: Sequence[str],
    pairs: Sequence[Pair],
    *,
    device: str,
    seed: int,
    done: Callable[[int], None],
) -> SentenceTransformer:
    """Return the encoder with this folder or hub id, trained on pairs of the texts; a text is its mean state.

    `done` is called after each of `steps_of(pairs)` steps. Raises `ModelError` if the encoder cannot be found, read
    or trusted.
    """
    model = _sentence_transformer(name, device)
    if not pairs:
        return model
    from datasets import Dataset
    from sentence_transformers import SentenceTransformerTrainer, SentenceTransformerTrainingArguments
    from sentence_transformers.sentence_transformer.losses import CosineSimilarityLoss
    from transformers import TrainerCallback

    class Trainer(SentenceTransformerTrainer):
        def add_model_card_callback(self, *_arguments: Any) -> None:
            """Gather nothing for a model card, which would ask the hub."""

    class Steps(TrainerCallback):  # type: ignore[misc]
        def on_step_end(self, *_arguments: Any, **_options: Any) -> None:
            done(1)

    rows = Dataset.from_dict(
        {
            "one": [texts[pair.one] for pair in pairs],
            "other": [texts[pair.other] for pair in pairs],
            "label": [float(pair.alike) for pair in pairs],
        }
    )
    with tempfile.TemporaryDirectory() as folder:
        arguments = SentenceTransformerTrainingArguments(
            output_dir=folder,
            num_train_epochs=1,
            per_device_train_batch_size=_BATCH,
            learning_rate=_LEARNING_RATE,
            warmup_steps=_WARM_UP,
            seed=seed,
            use_cpu=model.device.type == "cpu",
            report_to="none",
            save_strategy="no",
            logging_strategy="no",
            disable_tqdm=True,
        )
        arguments._n_gpu = 1  # else every GPU would get a batch of its own, and there would be fewer steps
        Trainer(
            model=model,
            args=arguments,
            train_dataset=rows,
            loss=CosineSimilarityLoss(model),
            callbacks=[Steps()],
        ).train()
    return model.eval()


def steps_of(pairs: Sequence[Pair]) -> int:
    """Return the number of optimizer steps that pairs are trained in."""
    return -(-len(pairs) // _BATCH)


def vectors_of(model: SentenceTransformer, texts: Sequence[str]) -> NDArray[np.float32]:
    """Return the vectors of texts, shape (texts, width)."""
    return np.asarray(model.encode(list(texts), show_progress_bar=False, batch_size=32))


def _sentence_transformer(name: str, device: str) -> SentenceTransformer:
    prepare_process()
    import torch

    # It is checked, and its limit of tokens found, as for the encoder that is fine-tuned.
    longest = load_encoder(name, device="cpu").longest
    from sentence_transformers import SentenceTransformer
    from sentence_transformers.base.modules import Transformer
    from sentence_transformers.sentence_transformer.modules import Pooling

    trusted = {"trust_remote_code": False}
    with as_model_error(name):
        core = Transformer(
            find(name),
            model_kwargs={**trusted, "use_safetensors": True, "dtype": torch.float32},
            processor_kwargs=dict(trusted),
            config_kwargs=dict(trusted),
            max_seq_length=longest,
        )
    tokenizer = core.tokenizer
    if tokenizer is not None and tokenizer.pad_token is None:
        # What stands in the padding is not looked at.
        tokenizer.pad_token = tokenizer.eos_token
    return SentenceTransformer(
        modules=[core, Pooling(core.get_embedding_dimension(), "mean")], device=str(pick_device(device))
    )
