"""`whylabel evaluate`: one stage."""

from __future__ import annotations

from pathlib import Path

import click

from whylabel.cli.options import finish, open_run, recipe_arguments


@click.command("evaluate")
@recipe_arguments
@click.option(
    "--data",
    metavar="SOURCE",
    help="Labelled texts for trained models: RECIPE is then a run folder or a model folder. "
    "[default folder: runs/MODEL-on-DATA]",
)
@click.option(
    "--faithfulness",
    is_flag=True,
    help="Measure, too, whether the labels rest on the reasonings: cut, spoil and exchange those of "
    "evaluation.faithfulness_rows test rows, and let the reasoner argue for other labels.",
)
def command(
    recipe_path: Path,
    overrides: tuple[str, ...],
    output: Path | None,
    limit: int | None,
    as_json: bool,
    data: str | None,
    faithfulness: bool,
) -> int:
    """Compare classifier and baseline of RECIPE on the test split, and write the report.

    `whylabel evaluate MODEL --data labelled.csv` evaluates trained models on other labelled texts, into a folder of
    its own that `whylabel compare` reads like a run.
    """
    from whylabel.cli.results import print_results
    from whylabel.errors import UsageError
    from whylabel.pipeline import Pipeline
    from whylabel.pipeline.faithfulness import require_reading

    if data is not None and faithfulness:
        raise UsageError(
            "--faithfulness reads the test rows of a run, not other texts.",
            where="--data",
            fix="whylabel evaluate RECIPE --faithfulness",
        )
    if data is not None:
        return _evaluate_labelled(recipe_path, data, overrides, output, limit, as_json)
    recipe, run = open_run(recipe_path, overrides, output, limit)
    if faithfulness:
        require_reading(recipe.classifier.target)
    pipeline = Pipeline(recipe, run)
    with run.locked():
        pipeline.begin(evaluated=True)
        pipeline.evaluate(faithfulness=faithfulness)
    print_results(run, as_json=as_json)
    return finish(pipeline)


def _evaluate_labelled(
    model: Path, data: str, overrides: tuple[str, ...], output: Path | None, limit: int | None, as_json: bool
) -> int:
    from whylabel.cli.results import print_results
    from whylabel.host.progress import say
    from whylabel.pipeline.labelled import LabelledEvaluation

    evaluation = LabelledEvaluation.of(model, data, overrides, output, limit)
    evaluation.check()
    with evaluation.output.locked():
        failed = evaluation.run()
    print_results(evaluation.output, as_json=as_json, with_model=False)
    if failed:
        say(f"{failed:,} predictions failed. They are listed in {evaluation.output.predictions}.")
    return 4 if failed else 0
