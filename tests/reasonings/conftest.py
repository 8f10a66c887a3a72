"""A run whose reasonings people look at, made without any model."""

import json

import pytest

from whylabel.engines import Sampling
from whylabel.engines.scripted import ScriptedEngine
from whylabel.reasonings.store import open_store
from whylabel.recipe import AugmentConfig
from whylabel.run_folder import RunFolder
from whylabel.stages.augment import Reasoner, Work, augment
from whylabel.text.prompts import Prompts
from whylabel.types import Example

REASON = "=a reason, of five words"
EXAMPLES = [
    Example(f"r{number}", f'Text {number}, "quoted"\nand so on', "joy" if number % 2 else "fear")
    for number in range(6)
]


@pytest.fixture
def sort(tokenizer, tmp_path):
    """Return a function that augments (row 1 too short, row 5 failed) and returns the run."""
    folder = RunFolder(tmp_path / "run")
    folder.update_manifest()

    def run(
        answers=lambda index: "short" if index == 1 else REASON,
        *,
        examples=EXAMPLES,
        limit=50,
        fail_every=6,
        retry=(),
        reasoner="a",
        **config,
    ):
        prompts = Prompts(tokenizer)
        engine = ScriptedEngine(answers, fail_every=fail_every)
        asked = Reasoner(
            "reasoner",
            engine,
            prompts.reasoner_for_text,
            Sampling(
                limit, (prompts.eos_id,), temperature=config.get("sampling", {}).get("temperature", 0.0)
            ),
            {"reasoner": reasoner},
        )
        with open_store(folder.store) as store:
            work = Work(asked, store, AugmentConfig(**config), retry=frozenset(retry))
            outcome = augment(examples, work, kept=folder.kept, dropped=folder.dropped)
        folder.augment_metrics.write_text(json.dumps(outcome.to_json()))
        return folder

    return run
