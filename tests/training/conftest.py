import shutil

import pytest
import torch
from transformers import AutoConfig, AutoModelForCausalLM

from whylabel.models.load import load, prepare_for_training
from whylabel.recipe import TrainingConfig
from whylabel.text.prompts import Prompts
from whylabel.training import train

CONFIG = TrainingConfig(
    num_train_epochs=4, learning_rate=5e-3, per_device_train_batch_size=4, dtype="float32"
)


@pytest.fixture
def fresh(tiny_model_folder, tmp_path_factory):
    """Return a function that loads the tiny model, its output embeddings untied from the input's if it is wished."""

    def make(*, tied=True):
        folder = tiny_model_folder
        if not tied:
            folder = tmp_path_factory.mktemp("untied") / "model"
            shutil.copytree(tiny_model_folder, folder)
            config = AutoConfig.from_pretrained(folder, tie_word_embeddings=False)
            torch.manual_seed(1)
            AutoModelForCausalLM.from_config(config).save_pretrained(folder)
        loaded = load(str(folder), device="cpu")
        prepare_for_training(loaded)
        return loaded

    return make


@pytest.fixture
def loaded(fresh):
    return fresh()


@pytest.fixture
def examples(loaded):
    prompts = Prompts(loaded.tokenizer)
    words = ["bright", "grey", "loud", "quiet"]
    return [
        prompts.classifier_example(
            f"It was {words[row % 4]} " + "and so on " * (row % 3),
            "joy" if row % 2 else "fear",
            f"It says {row}.",
        )
        for row in range(12)
    ]


@pytest.fixture
def run(examples):
    def train_it(loaded, folder, rows=None, select=None, **settings):
        config = CONFIG.model_copy(update=settings)
        return train(
            loaded, rows or examples, config, seed=3, checkpoints=folder, title="test", select=select
        )

    return train_it
