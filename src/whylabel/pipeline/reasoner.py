"""The work of stage 1: train the reasoner, save it, and measure it."""

from __future__ import annotations

from whylabel.host.atomic import whole_folder, write_json
from whylabel.host.progress import say
from whylabel.models.fingerprint import model_fingerprint
from whylabel.models.load import PROMPT_FORMAT
from whylabel.pipeline.job import Job, StageResult
from whylabel.text.prompts import FORMAT_VERSION
from whylabel.version import __version__


def reasoner_stage(job: Job) -> StageResult:
    """Train the reasoner on reasoning rows, save it, and evaluate it on held-out rows (the gate)."""
    from whylabel.models.load import as_deployed, load, save
    from whylabel.stages import reasoner
    from whylabel.text.prompts import Prompts

    recipe, run = job.inputs.recipe, job.run
    config = recipe.reasoner
    rows, held_out = job.inputs.reasoning_rows
    base_name = config.base_model or recipe.base_model
    loaded = load(base_name, device=recipe.device, dtype="float32")
    prompts = Prompts(loaded.tokenizer, recipe.prompt_style)
    checkpoints = job.checkpoints(run.reasoner_model)
    trained = reasoner.train_reasoner(
        loaded,
        prompts,
        rows,
        config,
        without_answer_share=recipe.without_answer_share,
        seed=recipe.seed,
        checkpoints=checkpoints,
    )
    # The tokenizer has new tokens now, which the earlier prompts do not know.
    prompts = Prompts(loaded.tokenizer, recipe.prompt_style, end_ids=loaded.end_ids)
    with whole_folder(run.reasoner_model) as aside:
        card = {
            "format": 1,
            "whylabel": __version__,
            "role": "reasoner",
            "prompt_style": recipe.prompt_style,
            PROMPT_FORMAT: FORMAT_VERSION,
            "without_answer_share": recipe.without_answer_share,
        }
        can = loaded.tried.to_json() if loaded.tried else None
        save(loaded, aside, {**card, "lineage": job.lineage(base_name), "capabilities": can})
    content = model_fingerprint(str(run.reasoner_model))
    # The gate comes after saving: it measures what augment will use.
    limit = recipe.augment.sampling.max_new_tokens
    measured, written = reasoner.gate(as_deployed(loaded), prompts, held_out, max_new_tokens=limit)
    if recipe.without_answer_share > 0:
        alone = reasoner.stopped_without_answer(loaded, prompts, held_out, max_new_tokens=limit)
        measured["stopped_share_without_answer"] = alone
        say(f"  without an answer in the prompt, {alone:.0%} of its reasonings stop by themselves")
    del loaded
    base = load(base_name, device=recipe.device)
    recovery = reasoner.answer_recovery(base, Prompts(base.tokenizer), written, seed=recipe.seed)
    write_json(run.reasoner_metrics, {**measured, "answer_recovery": recovery, "training": trained})
    job.discard(checkpoints.parent)
    say(
        f"  gate on {measured['n']} held-out rows: loss {measured['held_out_loss']:.3f}, perplexity "
        f"{measured['perplexity']:.1f}, stopped by itself {measured['stopped_share']:.0%}, answer found from the "
        f"masked reasoning {recovery['with_reasoning']:.0%} against {recovery['without_reasoning']:.0%} without"
    )
    return StageResult(len(rows), int(trained["tokens"]), {"content": content})
