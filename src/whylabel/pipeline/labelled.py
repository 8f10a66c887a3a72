"""A trained model on labelled texts that it was not trained with, in a folder of its own that is like a run's.

The folder has predictions, metrics and a report, but no models: it can be compared with runs and other such folders
over the same texts. `recipe.yaml` is the one that the model was trained by, where that is known.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from whylabel.data.load import load_labelled
from whylabel.errors import UsageError
from whylabel.host.atomic import write_json
from whylabel.host.machine import hardware, versions
from whylabel.host.progress import duration, say
from whylabel.models.load import read_card
from whylabel.pipeline.answers import Answers, answer_all, answers_file
from whylabel.pipeline.calibrate import calibrated_content
from whylabel.pipeline.evaluate import failed_predictions, generated_tokens
from whylabel.pipeline.seen import seen_in_training
from whylabel.prediction.card import ModelCard
from whylabel.prediction.trained import TrainedClassifier, model_folder
from whylabel.recipe import Recipe, build_recipe
from whylabel.recipe.load import name_from, with_overrides
from whylabel.run_folder import RunFolder
from whylabel.text.hashes import fingerprint, rows_fingerprint
from whylabel.types import Mode

_ALLOWED = (
    "data.",
    "evaluation.bootstrap_samples=",
    "evaluation.modes=",
    "evaluation.shown=",
    "device=",
    "classifier.engine",
)
"""What decides how a trained model is evaluated: it has no train rows, so neither rivals nor slices by them."""


@dataclass(frozen=True)
class LabelledEvaluation:
    """The evaluation of trained models on labelled texts; `models` are model folders by name."""

    models: dict[str, Path]
    source: RunFolder | None
    """The run that the models are from, if they lie in one."""
    recipe: Recipe
    output: RunFolder

    @classmethod
    def of(
        cls, model: Path, data: str, overrides: Sequence[str], output: Path | None, limit: int | None = None
    ) -> LabelledEvaluation:
        """Return the evaluation of a run's models, or of one model folder, on the labelled texts of a source.

        `overrides` may set what is read (`data.*`), how it is evaluated, and where it is computed.
        Raises `ModelError` if there is no model, `UsageError` for other overrides.
        """
        for override in overrides:
            if not override.startswith(_ALLOWED):
                raise UsageError(
                    f"{override.partition('=')[0]} has no effect on a model that is trained.",
                    fix="with --data, only data.*, evaluation.bootstrap_samples, evaluation.modes, evaluation.shown, "
                    "device and classifier.engine can be set",
                )
        run = RunFolder(model)
        in_run = {"baseline": run.baseline_model, "classifier": run.classifier_model}
        models = {name: folder for name, folder in in_run.items() if (folder / "whylabel.json").exists()}
        source: RunFolder | None = run
        if not models:
            folder = model_folder(model)
            models = {_name_of(folder): folder}
            above = RunFolder(folder.resolve().parent.parent)
            source = above if above.recipe.exists() else None
        card = _card(next(iter(models.values())))
        rows = {} if limit is None else {"test_rows": limit}
        values = {
            "name": name_from(f"{_shown_name(model, source)}-on-{_stem(data)}"),
            "seed": card.lineage.get("seed", Recipe().seed),
            "task": _task(card),
            "data": {"source": data, **rows},
            "classifier": {"target": card.target},
        }
        recipe = build_recipe(with_overrides(values, overrides), where="the command line")
        return cls(models, source, recipe, RunFolder(output or Path("runs") / recipe.name))

    def check(self) -> None:
        """Read the texts. Raises `DataError` or `LabelError` if they cannot be used; nothing is written."""
        _ = self._labelled

    def run(self) -> int:
        """Evaluate the models and write the report; return how many predictions failed. Hold the output's lock.

        Raises `DataError` or `LabelError` if the texts cannot be used, `ModelError` if a model cannot.
        """
        from whylabel.report.report import write_report

        key = self._key
        if self.output.is_current("evaluate", key) and not self.output.failed_rows("evaluate"):
            say("evaluate: nothing has changed, skipped")
        else:
            self._evaluate(key)
        write_report(self.output)
        return self.output.failed_rows("evaluate")

    @cached_property
    def _card(self) -> ModelCard:
        return _card(next(iter(self.models.values())))

    @cached_property
    def _labelled(self) -> tuple[Any, dict[str, str]]:
        columns = self._card.columns
        usual = (columns.text, columns.label, columns.id) if columns else ()
        recipe = self.recipe
        return load_labelled(
            recipe.data, recipe.task, seed=recipe.data.seed_of_splits(recipe.seed), usual=usual
        )

    @cached_property
    def _contents(self) -> dict[str, str]:
        return {name: calibrated_content(folder) for name, folder in self.models.items()}

    @cached_property
    def _data_fingerprint(self) -> str:
        return rows_fingerprint(self._labelled[0])

    @cached_property
    def _key(self) -> str:
        config = self.recipe.evaluation.deciding("answers", "evaluation.")
        return fingerprint(self._contents, self._data_fingerprint, config, self.recipe.seed)

    def _evaluate(self, key: str) -> None:
        from whylabel.evaluation.evaluate import SINGLE_LABEL, evaluate
        from whylabel.evaluation.multi_label import measures_by_label
        from whylabel.evaluation.predictions import write_predictions
        from whylabel.report.verdict import seen_note

        started = time.monotonic()
        rows, card, output = self._labelled[0], self._card, self.output
        say("evaluate:")
        seen = seen_in_training(self.source, rows, self.recipe.data.source)
        output.begin_stage("evaluate", key)
        said = {name: self._answers(name) for name in self.models}
        outcome = evaluate(
            rows,
            (),
            card.labels,
            {name: next(iter(found.values())) for name, found in said.items()},
            self.recipe.evaluation,
            self.recipe.seed,
            modes=said.get("classifier"),
            measures=measures_by_label(card.multi_label.separator) if card.multi_label else SINGLE_LABEL,
        )
        write_predictions(output.predictions, outcome.rows)
        described = {
            "target": card.target,
            "calibrated": card.is_calibrated,
            "seen_in_training": seen and asdict(seen),
        }
        if note := seen_note(described):
            say(f"  Warning: {note}")
        write_json(output.evaluation_metrics, {**outcome.to_json(), **described})
        self._record()
        seconds = time.monotonic() - started
        output.finish_stage(
            "evaluate",
            key,
            seconds=seconds,
            rows=len(rows),
            tokens=sum(map(generated_tokens, said.values())),
            failed_rows=sum(map(failed_predictions, said.values())),
        )
        say(f"evaluate: done in {duration(seconds)}")

    def _answers(self, name: str) -> Answers:
        """Return a model's predictions by mode, the default mode first."""
        recipe = self.recipe
        model = TrainedClassifier.from_folder(
            self.models[name],
            device=recipe.device,
            engine=recipe.classifier.engine,
            engine_options=recipe.classifier.engine_options,
        )
        wanted: Sequence[Mode] = ()
        if name == "classifier":
            asked = recipe.evaluation.modes
            wanted = [mode for mode in model.card.modes if mode != "vote"] if asked is None else asked
        modes = tuple(dict.fromkeys((model.mode, *wanted)))
        key = fingerprint(self._contents[name], self._data_fingerprint, sorted(modes), hardware())
        rows = [(row.id, row.text) for row in self._labelled[0]]
        return answer_all(model, name, rows, modes, answers_file(self.output.answers, name, key))

    def _record(self) -> None:
        rows, inferred = self._labelled
        lineage = self._card.lineage
        if self.source is not None and self.source.recipe.exists():
            self.output.write_recipe(self.source.recipe.read_text(encoding="utf-8"))
        self.output.update_manifest(
            versions=versions(),
            hardware=hardware(),
            seed=self.recipe.seed,
            base_model={
                "name": lineage.get("base_model"),
                "fingerprint": lineage.get("base_model_fingerprint"),
            },
            task=_task(self._card),
            model={name: str(folder) for name, folder in self.models.items()},
            data={
                "source": self.recipe.data.source,
                "fingerprint": self._data_fingerprint,
                "rows": {"test": len(rows)},
                "labels": list(self._card.labels.names),
                "inferred": inferred,
            },
        )


def _card(folder: Path) -> ModelCard:
    return ModelCard.from_json(read_card(folder), folder)


def _name_of(folder: Path) -> str:
    """Return as which model a model folder is evaluated: what it was trained as."""
    return "baseline" if _card(folder).lineage.get("stage") == "train-baseline" else "classifier"


def _shown_name(model: Path, source: RunFolder | None) -> str:
    folder = model.resolve()
    if source is None or source.path.resolve() == folder:
        return folder.name
    return f"{source.path.resolve().name}-{folder.parent.name}"


def _stem(data: str) -> str:
    return data.replace(":", "-").replace("/", "-") if ":" in data else Path(data).stem


def _task(card: ModelCard) -> dict[str, Any]:
    several = (
        {"type": "multi_label", "label_separator": card.multi_label.separator.text}
        if card.multi_label
        else {}
    )
    return {"question": card.question, "name": card.name, "labels": list(card.labels.names), **several}
