"""What the parts of stage 1 are given, and what the stage leaves in the run folder."""

import json
import re
import shutil

import pytest

from whylabel.models import load as models
from whylabel.models.fingerprint import model_fingerprint
from whylabel.models.load import read_card
from whylabel.pipeline import Pipeline
from whylabel.recipe import override_recipe
from whylabel.run_folder import RunFolder
from whylabel.stages import reasoner
from whylabel.text.prompts import FORMAT_VERSION


@pytest.fixture
def calls(monkeypatch):
    """What the functions of the stage were called with, by name; they do their work."""
    found = {}

    def watch(place, name):
        real = getattr(place, name)

        def called(*arguments, **named):
            result = real(*arguments, **named)
            found.setdefault(name, []).append((arguments, named, result))
            return result

        monkeypatch.setattr(place, name, called)

    watch(models, "load")
    for name in ("train_reasoner", "gate", "answer_recovery"):
        watch(reasoner, name)
    return found


def test_stage_one_follows_the_recipe_and_says_what_it_made(
    recipe, tiny_model_folder, tmp_path, calls, capsys
):
    own = shutil.copytree(tiny_model_folder, tmp_path / "own")
    values = {
        "prompt_style": "chat",
        "reasoner__base_model": str(own),
        "augment__sampling__max_new_tokens": 7,
        "seed": 5,
    }
    changed = override_recipe(recipe, **values)
    run = RunFolder(tmp_path / "run")
    pipeline = Pipeline(changed, run)
    pipeline.begin()
    pipeline.train_reasoner()
    rows, held_out = pipeline.inputs.reasoning_rows

    # Full precision for the training, and whatever the machine does best for the base that judges the answers.
    assert [(arguments, named) for arguments, named, _ in calls["load"]] == [
        ((str(own),), {"device": "auto", "dtype": "float32"}),
        ((str(own),), {"device": "auto"}),
    ]
    trained, base = (loaded for _, _, loaded in calls["load"])
    [((model, prompts, given, config), named, figures)] = calls["train_reasoner"]
    assert (model, prompts.style, given, config) == (trained, "chat", rows, changed.reasoner)
    assert named["seed"] == 5 and run.reasoner_model.parent in named["checkpoints"].parents
    [((model, prompts, given), named, (measured, written))] = calls["gate"]
    assert (model, prompts.style, given, named) == (trained, "chat", held_out, {"max_new_tokens": 7})
    # These prompts know the tokens that the training has added.
    assert prompts.tokenizer is trained.tokenizer
    [((model, prompts, given), named, recovery)] = calls["answer_recovery"]
    assert (model, prompts.tokenizer, given, named) == (base, base.tokenizer, written, {"seed": 5})

    card = read_card(run.reasoner_model)
    assert (card["format"], card["role"], card["prompt_style"]) == (1, "reasoner", "chat")
    assert card["lineage"]["base_model"] == str(own) and card["lineage"]["stage"] == "train-reasoner"
    metrics = json.loads(run.reasoner_metrics.read_text())
    assert metrics == json.loads(
        json.dumps({**measured, "answer_recovery": recovery, "training": figures}, default=str)
    )
    assert "stopped_share_without_answer" not in metrics
    entry = run.stage("train-reasoner")
    assert entry["content"] == model_fingerprint(str(run.reasoner_model))
    assert (entry["rows"], entry["tokens"]) == (len(rows), figures["tokens"])
    assert not list(run.path.rglob("checkpoints"))
    said = capsys.readouterr().err
    assert re.search(
        rf"gate on {len(held_out)} held-out rows: loss \d+\.\d{{3}}, perplexity \d+\.\d, stopped by itself \d+%, "
        r"answer found from the masked reasoning \d+% against \d+% without\n",
        said,
    )
    assert re.search(r"^train-reasoner: done in ", said, re.MULTILINE)


@pytest.mark.parametrize(
    ("values", "share"),
    [
        ({}, 0.0),
        ({"augment__condition": "free", "augment__verification__verifier": "base"}, 0.5),
        ({"augment__condition": "free_then_label", "augment__verification__verifier": "base"}, 0.5),
        ({"augment__condition": "free_then_label", "reasoner__without_answer_share": 0.0}, 0.0),
        ({"reasoner__without_answer_share": 0.3}, 0.3),
    ],
    ids=str,
)
def test_prompts_without_an_answer_are_learnt_where_they_are_asked(recipe, values, share):
    assert override_recipe(recipe, **values).without_answer_share == share


def test_the_share_of_prompts_without_an_answer_reaches_the_training_and_the_card(recipe, tmp_path, calls):
    changed = override_recipe(recipe, reasoner__without_answer_share=0.25)
    pipeline = Pipeline(changed, RunFolder(tmp_path))
    pipeline.begin()
    pipeline.train_reasoner()
    [(_, named, _)] = calls["train_reasoner"]
    assert named["without_answer_share"] == 0.25
    card = read_card(pipeline.run.reasoner_model)
    assert (card["without_answer_share"], card["prompt_format"]) == (0.25, FORMAT_VERSION)
    # The gate then looks at such prompts, too.
    figures = json.loads(pipeline.run.reasoner_metrics.read_text())
    assert 0 <= figures["stopped_share_without_answer"] <= 1


def test_without_a_base_of_its_own_the_reasoner_starts_from_that_of_the_recipe(recipe, tmp_path, calls):
    pipeline = Pipeline(recipe, RunFolder(tmp_path))
    pipeline.begin()
    pipeline.train_reasoner()
    assert {arguments for arguments, _, _ in calls["load"]} == {(recipe.base_model,)}
    assert read_card(pipeline.run.reasoner_model)["lineage"]["base_model"] == recipe.base_model
