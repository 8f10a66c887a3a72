"""Read the contents of a run folder once. Missing files give empty values; only a sample of reasonings is kept."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml
from pydantic import BaseModel

from whylabel.errors import RunFolderError
from whylabel.evaluation.evidence import Found, read_evidence
from whylabel.evaluation.predictions import PredictionRow, read_predictions
from whylabel.evaluation.readings import ReaderRate, ShownReasonings, rates
from whylabel.host.atomic import as_written, read_json
from whylabel.reasonings.files import iterate_dropped, iterate_kept
from whylabel.report import shapes
from whylabel.report.examples import sample_dropped, sample_reasonings
from whylabel.report.shapes import check_shape
from whylabel.run_folder import STAGES, RunFolder
from whylabel.types import Dropped, ReasonedExample


@dataclass(frozen=True, slots=True)
class RunContents:
    """The files of a run as values; the mappings are the JSON files and may lack any key."""

    name: str
    recipe: dict[str, Any]
    recipe_text: str
    manifest: dict[str, Any]
    reasoner: dict[str, Any]
    augment: dict[str, Any]
    baseline: dict[str, Any]
    classifier: dict[str, Any]
    evaluation: dict[str, Any]
    faithfulness: dict[str, Any]
    kept: tuple[ReasonedExample, ...]
    """A sample to show, like `dropped`."""
    dropped: tuple[Dropped, ...]
    predictions: tuple[PredictionRow, ...]
    evidence: Found
    """That of the predictions to show."""
    readers: tuple[ReaderRate, ...]
    """What people think of the reasonings that are shown now."""

    @classmethod
    def of_model(cls, name: str, recipe: dict[str, Any], manifest: dict[str, Any]) -> RunContents:
        """Return what is known of a model outside a run."""
        return cls(name, recipe, "", manifest, {}, {}, {}, {}, {}, {}, (), (), (), {}, ())

    @property
    def target(self) -> str | None:
        """What the classifier was trained to write, by the evaluation or the recipe; None if it is not known."""
        return self.evaluation.get("target") or (self.recipe.get("classifier") or {}).get("target")

    @property
    def base_fingerprint(self) -> str | None:
        """What was recorded of the base model's content; None if it was not."""
        recorded = self.manifest.get("base_model") or {}
        known = recorded.get("name") == self.recipe.get("base_model")
        return recorded.get("fingerprint") if known else None

    @property
    def stages(self) -> dict[str, dict[str, Any]]:
        """The entry of each stage in `run.json`, in the order in which the stages run."""
        stages = self.manifest.get("stages") or {}
        ordered = [name for name in STAGES if name in stages]
        return {name: stages[name] for name in [*ordered, *sorted(stages.keys() - set(ordered))]}


def read_run(run: RunFolder) -> RunContents:
    """Read the existing files. Raises `RunFolderError` if the folder does not exist or a file is damaged."""
    if not run.path.is_dir():
        raise RunFolderError(
            f"There is no run folder at {str(run.path)!r}.",
            fix="check the path, or make one with: whylabel run RECIPE",
        )
    recipe_text = run.recipe.read_text(encoding="utf-8", errors="replace") if run.recipe.exists() else ""
    manifest = run.read_manifest()
    check_shape(run.manifest, manifest, shapes.Manifest)
    recipe = _recipe(recipe_text, run.recipe)
    evaluation = _json(run.evaluation_metrics, shapes.Evaluation)
    if evaluation:
        # Earlier versions did not record it.
        evaluation = {"target": (recipe.get("classifier") or {}).get("target"), **evaluation}
    predictions = read_predictions(run.predictions) if run.predictions.exists() else ()
    # What an earlier recipe in this folder has written is none of this one's.
    reasoned = (recipe.get("classifier") or {}).get("target") != "label"
    return RunContents(
        name=run.path.resolve().name,
        recipe=recipe,
        recipe_text=recipe_text,
        manifest=manifest,
        reasoner=_json(run.reasoner_metrics, shapes.Reasoner) if reasoned else {},
        augment=_json(run.augment_metrics, shapes.Augmentation) if reasoned else {},
        baseline=_json(run.baseline_metrics, shapes.Training),
        classifier=_json(run.classifier_metrics, shapes.Training),
        evaluation=evaluation,
        faithfulness=_json(run.faithfulness, shapes.Faithfulness),
        kept=sample_reasonings(iterate_kept(run.kept) if reasoned and run.kept.exists() else ()),
        dropped=sample_dropped(iterate_dropped(run.dropped) if reasoned and run.dropped.exists() else ()),
        evidence=read_evidence(run.evidence),
        predictions=predictions,
        readers=_readers(run, evaluation, predictions),
    )


def _readers(
    run: RunFolder, evaluation: dict[str, Any], predictions: tuple[PredictionRow, ...]
) -> tuple[ReaderRate, ...]:
    if not (run.readings.exists() and predictions and (evaluation.get("classifier") or {}).get("mode")):
        return ()
    with as_written(run.evaluation_metrics):
        return rates(run, ShownReasonings.of(predictions, evaluation))


def _recipe(text: str, path: Path) -> dict[str, Any]:
    try:
        values = yaml.safe_load(text)
    except (yaml.YAMLError, RecursionError, ValueError) as error:
        raise _damaged(path, error) from None
    values = values if isinstance(values, dict) else {}
    check_shape(path, values, shapes.Recipe)
    return values


def _json(path: Path, shape: type[BaseModel]) -> dict[str, Any]:
    """Return what a JSON file holds, an empty mapping if there is no file."""
    values: dict[str, Any] = read_json(path, dict) if path.exists() else {}
    check_shape(path, values, shape)
    return values


def _damaged(path: Path, error: Exception) -> RunFolderError:
    reason = str(error).replace("\n", " ")
    return RunFolderError(
        f"{path.name} cannot be read: {reason}.",
        where=str(path),
        fix="remove the file and run the stage again",
    )
