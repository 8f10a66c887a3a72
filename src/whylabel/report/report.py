"""The report: all results of a run on one self-contained page."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from whylabel.host.atomic import write_text
from whylabel.recipe import EvaluationConfig
from whylabel.report.account import account_of
from whylabel.report.charts import (
    MANY_LABELS,
    class_bars,
    difference_plot,
    models_of,
    modes_of,
    score_plots,
)
from whylabel.report.confusion import confusions
from whylabel.report.contents import RunContents, read_run
from whylabel.report.cost import costs_of
from whylabel.report.data import data_of, leaks_of
from whylabel.report.examples import shown_predictions
from whylabel.report.faithfulness import faithfulness_of
from whylabel.report.formats import MISSING, is_number
from whylabel.report.multi_label import decides_by_label, verdict_of
from whylabel.report.quality import judged_of, quality_of, readers_sentences
from whylabel.report.rendering import render_html
from whylabel.report.review import review_of
from whylabel.report.slices import mended_of, slices_of
from whylabel.report.verdict import MODE_NAMES, learnt_reasoning, model_name
from whylabel.run_folder import RunFolder


def write_report(run: RunFolder) -> Path:
    """Write `report.html` from the files of the run folder, and return its path.

    Missing parts of the run are omitted. Raises `RunFolderError` if the run folder does not exist or a file in it is
    damaged.
    """
    write_text(run.report, render_report(read_run(run)))
    return run.report


def render_report(contents: RunContents) -> str:
    """Return the page: no script, no network, all data escaped."""
    evaluation = contents.evaluation
    said = verdict_of(evaluation)
    by_label = decides_by_label(evaluation)
    shown = shown_predictions(contents.predictions, _shown(contents.recipe), several_labels=by_label)
    return render_html(
        "report.html.j2",
        run=contents,
        verdict=said,
        warnings=(*_left_out(contents), *leaks_of(contents.inspection)),
        notes=said.notes,
        account=account_of(contents),
        data=data_of(contents.manifest, contents.recipe, contents.inspection, evaluation),
        by_label=by_label,
        learns_reasoning=learnt_reasoning(evaluation),
        model_name=model_name,
        mode_names=MODE_NAMES,
        models=models_of(evaluation),
        modes=modes_of(evaluation),
        plots=score_plots(evaluation),
        difference=difference_plot(evaluation),
        classes=class_bars(evaluation),
        many_labels=MANY_LABELS,
        confusions=confusions(evaluation),
        slices=slices_of(evaluation),
        mended=mended_of(evaluation, contents.predictions, _shown(contents.recipe)),
        review=review_of(evaluation),
        costs=costs_of(evaluation),
        used=faithfulness_of(contents.faithfulness, evaluation),
        readers=readers_sentences(contents.readers),
        judged=judged_of(evaluation),
        quality=quality_of(evaluation),
        shown=shown and shown.with_evidence(contents.evidence),
        reasonings=contents.kept,
        refused=contents.dropped,
        stages=contents.stages,
        lineage=tuple(_lineage(contents.manifest)),
    )


def _left_out(contents: RunContents) -> Iterator[str]:
    """Yield a sentence for each stage whose results are outdated, and so not shown."""
    for stage, why in contents.outdated.items():
        yield f"The results of {stage} are outdated ({why}) and not shown: whylabel run RECIPE makes them anew."


def _shown(recipe: Mapping[str, Any]) -> int:
    shown = (recipe.get("evaluation") or {}).get("shown")
    return shown if isinstance(shown, int) and shown > 0 else EvaluationConfig().shown


def _lineage(manifest: Mapping[str, Any]) -> Iterator[tuple[str, tuple[tuple[str, str], ...]]]:
    """Yield (group, its (name, value) pairs): the content of run.json without the stages."""
    plain = []
    for name, value in manifest.items():
        if name == "stages":
            continue
        if isinstance(value, Mapping):
            yield name, tuple(_flat(value))
        else:
            plain.append((name, _text(value)))
    if plain:
        yield "run", tuple(plain)


def _flat(values: Mapping[str, Any], prefix: str = "") -> Iterator[tuple[str, str]]:
    for name, value in values.items():
        if isinstance(value, Mapping):
            yield from _flat(value, f"{prefix}{name}.")
        else:
            yield f"{prefix}{name}", _text(value)


def _text(value: Any) -> str:
    if isinstance(value, list):
        return ", ".join(_text(item) for item in value)
    if isinstance(value, float) and is_number(value):
        return f"{value:g}"
    return MISSING if value is None else str(value)
