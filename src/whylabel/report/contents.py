"""Read the contents of a run folder once. Missing files give empty values; only a sample of reasonings is kept."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import yaml
from pydantic import BaseModel

from whylabel.errors import RunFolderError
from whylabel.evaluation.evidence import Found, read_evidence
from whylabel.evaluation.outcomes import NO_PREDICTIONS, Predictions
from whylabel.evaluation.predictions import iterate_predictions
from whylabel.evaluation.readings import ReaderRate, ShownReasonings, rates, read_readings
from whylabel.host.atomic import as_written, read_json
from whylabel.reasonings.files import iterate_dropped, iterate_kept
from whylabel.report import shapes
from whylabel.report.current import is_of_recipe, outdated, setting, target_of
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
    inspection: dict[str, Any]
    kept: tuple[ReasonedExample, ...]
    """A sample to show, like `dropped`."""
    dropped: tuple[Dropped, ...]
    predictions: Predictions
    evidence: Found
    """That of the predictions to show."""
    readers: tuple[ReaderRate, ...]
    """What people think of the reasonings that are shown now."""
    writers: Mapping[str, int]
    """How many of the kept reasonings each reasoner has written; `data` where they came with the texts."""
    outdated: Mapping[str, str]
    """Why stages of the run are outdated; what they made is left out."""

    @classmethod
    def of_model(cls, name: str, recipe: dict[str, Any], manifest: dict[str, Any]) -> RunContents:
        """Return what is known of a model outside a run."""
        return cls(
            name, recipe, "", manifest, {}, {}, {}, {}, {}, {}, {}, (), (), NO_PREDICTIONS, {}, (), {}, {}
        )

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
        """The entry in `run.json` of each stage that the recipe has, in the order in which the stages run."""
        stages = {
            name: entry
            for name, entry in (self.manifest.get("stages") or {}).items()
            if is_of_recipe(name, self.recipe, self.augment)
        }
        ordered = [name for name in STAGES if name in stages]
        return {name: stages[name] for name in [*ordered, *sorted(stages.keys() - set(ordered))]}


def read_run(run: RunFolder) -> RunContents:
    """Read the existing files, without what stages made that the recipe has no longer, or that are outdated.

    Raises `RunFolderError` if the folder does not exist or a file is damaged.
    """
    if not run.path.is_dir():
        raise RunFolderError(
            f"There is no run folder at {str(run.path)!r}.",
            fix="check the path, or make one with: whylabel run RECIPE",
        )
    recipe_text = run.recipe.read_text(encoding="utf-8", errors="replace") if run.recipe.exists() else ""
    manifest = run.read_manifest()
    check_shape(run.manifest, manifest, shapes.Manifest)
    recipe = _recipe(recipe_text, run.recipe)
    recipe = _recipe(recipe_text, run.recipe)
    evaluation = _json(run.evaluation_metrics, shapes.Evaluation)
    if evaluation:
        # Earlier versions did not record the target, and none records the control.
        evaluation = {
            "target": target_of(recipe),
            **evaluation,
            "control": setting(recipe, "classifier.control"),
        }
    predictions = Predictions.of_file(run.predictions) if run.predictions.exists() else NO_PREDICTIONS
    writers: Counter[str] = Counter()
    contents = RunContents(
        name=run.path.resolve().name,
        recipe=recipe,
        recipe_text=recipe_text,
        manifest=manifest,
        reasoner=_json(run.reasoner_metrics, shapes.Reasoner),
        augment=_json(run.augment_metrics, shapes.Augmentation),
        baseline=_json(run.baseline_metrics, shapes.Training),
        classifier=_json(run.classifier_metrics, shapes.Training),
        evaluation=evaluation,
        faithfulness=_json(run.faithfulness, shapes.Faithfulness),
        inspection=_json(run.inspection, shapes.Inspected),
        kept=sample_reasonings(_counted(iterate_kept(run.kept), writers) if run.kept.exists() else ()),
        dropped=sample_dropped(iterate_dropped(run.dropped) if run.dropped.exists() else ()),
        evidence=read_evidence(run.evidence),
        predictions=predictions,
        readers=_readers(run, evaluation),
        writers=writers,
        outdated={},
    )
    return _current(contents)


def _current(contents: RunContents) -> RunContents:
    """Return the contents without those of stages that are not of the recipe, not done, or outdated."""
    old = outdated(contents.stages, contents.recipe)
    entries = contents.manifest.get("stages") or {}

    def is_left_out(stage: str) -> bool:
        known = stage in entries
        return stage in old or not (
            is_of_recipe(stage, contents.recipe, contents.augment)
            and (not known or entries[stage].get("status") in (None, "done"))
        )

    nothing: dict[str, dict[str, Any]] = {
        "train-reasoner": {"reasoner": {}},
        "augment": {"augment": {}, "kept": (), "dropped": (), "writers": {}},
        "train-baseline": {"baseline": {}},
        "train-classifier": {"classifier": {}},
        "evaluate": {"evaluation": {}, "predictions": NO_PREDICTIONS, "readers": (), "faithfulness": {}},
    }
    left_out = {
        key: value for stage, parts in nothing.items() if is_left_out(stage) for key, value in parts.items()
    }
    return replace(contents, outdated=old, **left_out)


def _counted(rows: Iterable[ReasonedExample], writers: Counter[str]) -> Iterator[ReasonedExample]:
    for row in rows:
        writers[row.reasoner] += 1
        yield row


def _readers(run: RunFolder, evaluation: dict[str, Any]) -> tuple[ReaderRate, ...]:
    evaluated = run.predictions.exists() and (evaluation.get("classifier") or {}).get("mode")
    if not (run.readings.exists() and evaluated):
        return ()
    read = {each.id for each in read_readings(run)}
    with as_written(run.evaluation_metrics):
        shown = ShownReasonings.of(iterate_predictions(run.predictions), evaluation, only=read)
    return rates(run, shown)


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
