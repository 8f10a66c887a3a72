"""The tutorial, the how-to pages and the notebooks work: each is carried out, in a folder of its own.

A tiny model of random weights stands in the place of the default one, trained for a few steps. It learns nothing, so
its reasonings are made up: a quotation from the text. All else is the program.
"""

from __future__ import annotations

import csv
import io
import json
import random
import shutil
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest

from guide_pages import (
    NOT_RUN,
    ROOT,
    Block,
    Scenario,
    blocks_of,
    check_command,
    quoting,
    run_main,
    wrong_names,
)
from whylabel.engines.base import Completion, Sampling
from whylabel.engines.transformers import TransformersEngine
from whylabel.models.capabilities import Capabilities, try_out
from whylabel.pipeline import Pipeline
from whylabel.recipe import Recipe, override_recipe
from whylabel.text.prompts import Prompt

PAGES = [ROOT / "docs" / "tutorial.md", *sorted((ROOT / "docs" / "how-to").glob("*.md"))]
NOTEBOOKS = sorted((ROOT / "examples").glob("*.ipynb"))
_OPENINGS = ("Since Monday", "On my phone", "Hello there,", "For our team", "After the update", "Just now")
_TOPICS = {
    "bug": ("{} shows an error", "{} closes by itself", "{} cannot be saved", "nothing happens with {}"),
    "question": ("how do I share {}?", "where do I find {}?", "can I print {}?", "who may see {}?"),
    "praise": ("I love how {} looks", "{} works like a charm", "{} has saved my day", "thanks for {}"),
}
_THINGS = ("my invoices", "the calendar", "last year's report", "the photo album", "my notes", "the budget")
_ENDINGS = (
    "with 300 pages in it",
    "as you promised",
    "which my boss wants",
    "and so on",
    "in the new colours",
)


def tickets(rows: int = 270, seed: int = 13) -> str:
    """Return labelled messages as CSV, with the columns that README.md shows."""
    lines, rng = ["id,body,topic,agent"], random.Random(seed)
    for number in range(rows):
        topic = list(_TOPICS)[number % 3]
        middle = rng.choice(_TOPICS[topic]).format(rng.choice(_THINGS))
        body = f"{rng.choice(_OPENINGS)} {middle} {rng.choice(_ENDINGS)} {number}"
        lines.append(f'{seed}{number:03},"{body}",{topic},{rng.randrange(20)}')
    return "\n".join(lines) + "\n"


def write_folder(folder: Path) -> None:
    """Write the files that every page begins with: labelled messages, more of them, and others without labels."""
    (folder / "tickets.csv").write_text(tickets(), encoding="utf-8")
    (folder / "more.csv").write_text(tickets(18, seed=14), encoding="utf-8")
    intents = (f"{verb} {thing}" for verb in ("open", "close", "send", "find") for thing in _THINGS)
    wishes = [(f"I want to {name}, {place}", name) for name in intents for place in _ENDINGS[:4] * 2]
    lines = [f'"{text} {number}",{name}' for number, (text, name) in enumerate(wishes)]
    (folder / "intents.csv").write_text("\n".join(["text,intent", *lines]) + "\n", encoding="utf-8")
    aspects = ("price", "speed", "price, speed", "design")
    lines = [f'"The {aspects[n % 4]} {_ENDINGS[n % 5]} {n}","{aspects[n % 4]}"' for n in range(120)]
    (folder / "reviews.csv").write_text("\n".join(["review,aspects", *lines]) + "\n", encoding="utf-8")
    rows = csv.DictReader(io.StringIO(tickets(12, seed=15)))
    lines = [f'{row["id"]},"{row["body"]}"' for row in rows]
    (folder / "new.csv").write_text("\n".join(["id,body", *lines]) + "\n", encoding="utf-8")


def shortened(recipe: Recipe) -> Recipe:
    """Return a recipe with a few steps of training, and filters that let an ignorant model's reasonings be seen."""
    if recipe.training.max_steps == 3:
        return recipe
    few = {"reasoner__training__max_steps": 2, "training__max_steps": 3, "training__learning_rate": 1e-2}
    small = {"reasoner__rows": 8, "reasoner__validation_rows": 4, "evaluation__bootstrap_samples": 100}
    judged = {"evaluation__quality_rows": 2, "evaluation__faithfulness_rows": 4}
    shown = {"classifier__filters__min_probability": 0.0, "classifier__filters__min_effect": None}
    return override_recipe(recipe, **few, **small, **judged, **shown)


def written(
    engine: TransformersEngine, prompts: Sequence[Prompt], sampling: Sampling, inspect: Any = None
) -> Iterator[Completion]:
    """Yield a reasoning for every prompt that quotes its text."""
    for index, prompt in enumerate(prompts):
        text = engine._loaded.tokenizer.decode(list(prompt.ids), skip_special_tokens=True)
        yield Completion(index, quoting(text), len(prompt.ids), 9, "stop")


def tried_once() -> Callable[..., Capabilities]:
    """Return `try_out`, which remembers: all models of a page have the same shape."""
    known: dict[object, Capabilities] = {}

    def tried(model: Any, ids: Sequence[int], tokens: int, name: str) -> Capabilities:
        key = (len(ids), tokens, str(model.dtype), model.training)
        if key not in known:
            known[key] = try_out(model, ids, tokens, name)
        return known[key]

    return tried


@pytest.fixture(scope="module")
def stand_in(tiny_model_folder, tmp_path_factory) -> Iterator[None]:
    """The tiny model by the default model's name, in runs that are short."""
    cache = tmp_path_factory.mktemp("cache")
    shutil.copytree(tiny_model_folder, cache / "models" / "smollm2-135m-instruct")
    begin = Pipeline.__init__
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("WHYLABEL_CACHE", str(cache))
        patch.setattr(
            Pipeline, "__init__", lambda self, recipe, *given: begin(self, shortened(recipe), *given)
        )
        patch.setattr(TransformersEngine, "generate", written)
        patch.setattr("whylabel.models.load.try_out", tried_once())
        patch.setattr("whylabel.engines.pick_engine", lambda *_: ("transformers", "it is a test"))
        patch.setattr("whylabel.prediction.engine.pick_engine", lambda *_: ("transformers", "it is a test"))
        yield


@pytest.fixture(scope="module")
def finished(stand_in, tmp_path_factory) -> Path:
    """The folder that every page begins in: tickets.csv, its recipe, its run, and more tickets of both kinds."""
    folder = tmp_path_factory.mktemp("tickets")
    write_folder(folder)
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        for command in (["init", "tickets.csv"], ["run", "tickets.yaml"]):
            code, _, said = run_main(command)
            assert code == 0, said.decode()
    return folder


@pytest.fixture
def scenario(finished, tmp_path, monkeypatch) -> Iterator[Scenario]:
    folder = tmp_path / "work"
    shutil.copytree(finished, folder)
    monkeypatch.chdir(folder)
    found = Scenario()
    with found.opened:
        yield found


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.stem)
def test_a_page_does_what_it_says(page: Path, scenario: Scenario) -> None:
    for block in blocks_of(page.read_text(encoding="utf-8")):
        scenario.carry_out(block)


@pytest.mark.parametrize("notebook", NOTEBOOKS, ids=lambda path: path.stem)
def test_a_notebook_runs(notebook: Path, scenario: Scenario) -> None:
    shutil.copy(ROOT / "examples" / "bikes.csv", "bikes.csv")
    found = json.loads(notebook.read_text(encoding="utf-8"))
    assert found["nbformat"] == 4
    for cell in found["cells"]:
        if cell["cell_type"] == "code":
            assert cell["outputs"] == [] and cell["execution_count"] is None
            scenario.carry_out(Block("python", "", "".join(cell["source"]), 0))


def test_the_file_of_the_notebooks_is_that_of_the_tutorial() -> None:
    blocks = blocks_of((ROOT / "docs" / "tutorial.md").read_text(encoding="utf-8"))
    (shown,) = [block.text for block in blocks if block.title == "bikes.csv"]
    assert (ROOT / "examples" / "bikes.csv").read_text(encoding="utf-8") == shown


def test_there_are_pages_and_notebooks() -> None:
    assert len(PAGES) > 15 and len(NOTEBOOKS) == 2
    ran = [
        block
        for page in PAGES
        for block in blocks_of(page.read_text(encoding="utf-8"))
        if block.language in ("sh", "python") and not block.title.startswith(NOT_RUN)
    ]
    assert len(ran) > len(PAGES)


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.stem)
def test_what_the_text_of_a_page_names_is_there(page: Path) -> None:
    assert wrong_names(page.read_text(encoding="utf-8")) == []


@pytest.mark.parametrize(
    ("page", "message"),
    [
        ("```sh\nwhylabel inspect tickets.csv --text-colum body\n```\n", "ended with 2"),
        ('```sh title="not run in CI: x"\nwhylabel run tickets.yaml --dryrun\n```\n', "--dryrun"),
        ('```sh title="not run in CI: x"\nwhylabel run tickets.yaml training.min_step=3\n```\n', "min_step"),
        ('```sh title="not run in CI: x"\nwhylabel runn tickets.yaml\n```\n', "no verb"),
        ("```sh\npip install 'whylabel[servr]'\n```\n", "no extra"),
        ("```yaml\ntraining: {min_step: 3}\n```\n", "Unknown key 'min_step'"),
        ("```python\nfrom whylabel import ReasoningClasifier\n```\n", "ReasoningClasifier"),
        ('```sh\nhead -1 new.csv\n```\n```text title="output"\nid,bode\n```\n', "was not printed"),
        ('```csv title="into new.csv"\nid,body\nnobody,x\n```\n', "not enough values"),
        ("```sql\nselect 1\n```\n", "no test"),
        ("```sh linenos\nwhylabel doctor\n```\n", "a fence is not"),
    ],
)
def test_a_typo_in_a_page_is_noticed(page: str, message: str, scenario: Scenario) -> None:
    with pytest.raises(AssertionError, match=message):
        for block in blocks_of(page):
            scenario.carry_out(block)


def test_a_typo_in_the_text_of_a_page_is_noticed() -> None:
    wrong = [
        "whylabel serv",
        "whylabel run RECIPE --dry",
        "--text-colum",
        "training.min_step: 3",
        "data.colum",
    ]
    right = ["whylabel run RECIPE --dry-run", "--text-column", "training.min_steps: 3", "data", "verdict"]
    found = wrong_names(" ".join(f"`{code}`" for code in [*wrong, *right]))
    assert len(found) == len(wrong), found


def test_what_is_only_checked_may_be_right(scenario: Scenario) -> None:
    for command in (
        "pip install 'whylabel[serve,openvino]'",
        "whylabel run tickets.yaml training.min_steps=3 --dry-run",
        "docker run anything",
        "accelerate launch --num_processes 2 -m whylabel run best data.train_rows_per_label=8",
    ):
        check_command(command)
