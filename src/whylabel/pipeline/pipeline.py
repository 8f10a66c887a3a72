"""One recipe in one run folder: the stages in their order, each skipped when nothing has changed."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import TYPE_CHECKING

from whylabel.errors import RunFolderError
from whylabel.host.machine import hardware, versions
from whylabel.host.progress import duration, say
from whylabel.pipeline.augment import augment_stage, rehearse_augment
from whylabel.pipeline.evaluate import evaluate_stage
from whylabel.pipeline.inputs import Inputs
from whylabel.pipeline.job import Job, StageResult
from whylabel.pipeline.keys import StageKeys
from whylabel.pipeline.reasoner import reasoner_stage
from whylabel.pipeline.suspects import suspects_stage
from whylabel.pipeline.train import baseline_stage, classifier_stage
from whylabel.reasonings.filters import check_filters
from whylabel.recipe import FilterConfig, Recipe
from whylabel.run_folder import RunFolder, fingerprint
from whylabel.text.labels import LabelSet
from whylabel.types import Dataset

if TYPE_CHECKING:
    from whylabel.stages.augment import Rehearsal, Retry


class Pipeline:
    """One recipe in one run folder, over its data set or a given one. Hold `run.locked()` while stages run."""

    def __init__(self, recipe: Recipe, run: RunFolder, dataset: Dataset | None = None) -> None:
        self.recipe = recipe
        self.run = run
        self.failed_rows = 0
        self.inputs = Inputs(recipe, dataset)
        self.keys = StageKeys(self.inputs, run)

    @property
    def dataset(self) -> Dataset:
        """The labelled texts: given, or those that the recipe names."""
        return self.inputs.dataset

    @property
    def labels(self) -> LabelSet:
        """The closed label set."""
        return self.inputs.labels

    @property
    def filters(self) -> FilterConfig:
        """Which reasonings are dropped."""
        return self.inputs.filters

    def reasoner_fingerprint(self) -> str:
        """Return what decides the outcome of stage 1."""
        return self.keys.reasoner()

    # -- all stages --------------------------------------------------------------------------------------

    def run_all(self) -> None:
        """Run every stage, then write the report."""
        self.begin(evaluated=True)
        if self.recipe.classifier.target != "label":
            self.train_reasoner()
            self.augment()
        self.train_models()
        self.evaluate()

    def begin(self, *, evaluated: bool = False) -> None:
        """Write what is known before the first stage: the resolved recipe, versions, hardware, data.

        Raises `RecipeError`, `EngineError` or `ModelError` for an unknown filter or engine, or a mode that the target
        has not, `AuditError` for texts that are too long to train on, and `DataError` where an evaluation is to
        follow and there is no test split: hours before they would be asked.
        """
        from whylabel.engines import check_engine
        from whylabel.prediction.card import check_modes

        check_filters(self.filters)
        check_modes(self.recipe.classifier.target, self.recipe.evaluation.modes or ())
        check_engine(self.recipe.augment.engine.name)
        self._check_lengths()
        if evaluated:
            self.inputs.check_test()
        self.run.path.mkdir(parents=True, exist_ok=True)
        self.run.write_recipe(self.recipe.to_yaml())
        splits = self.dataset.splits()
        self.run.update_manifest(
            versions=versions(),
            hardware=hardware(),
            seed=self.recipe.seed,
            base_model={"name": self.recipe.base_model, "fingerprint": self.inputs.base_fingerprint},
            data={
                "source": self.recipe.data.source,
                "fingerprint": fingerprint(self.inputs.data_fingerprints),
                "rows": {name: len(rows) for name, rows in splits.items()},
                "labels": list(self.labels.names),
                "inferred": self.dataset.inferred,
            },
        )

    def _check_lengths(self) -> None:
        from whylabel.models.load import find, token_counter
        from whylabel.training.audit import audit_texts

        count_tokens = token_counter(find(self.recipe.base_model))
        if self.recipe.data.max_text_tokens is None and count_tokens is not None:
            rows = ((row.id, row.text) for row in self.dataset.train)
            audit_texts(rows, count_tokens, self.recipe.training.max_length)

    def plan(self) -> list[str]:
        """Return a line per stage: whether it would run."""
        said = {True: "would run", False: "nothing has changed, would be skipped"}
        return [f"{stage}: {said[runs]}" for stage, runs in self.would_run().items()]

    def would_run(self) -> dict[str, bool]:
        """Return by stage whether it would run. Stages after one that runs cannot be told, so they run."""
        found: dict[str, bool] = {}
        runs = False
        for stage, key in self._order().items():
            try:
                runs = runs or not self.run.is_current(stage, key())
            except RunFolderError:
                runs = True
            found[stage] = runs
        return found

    def _order(self) -> dict[str, Callable[[], str]]:
        """Return the stages that the recipe asks for in their order, each with what computes its key."""
        looked_for = self.recipe.augment.suspects.folds is not None
        order = {
            "train-reasoner": self.keys.reasoner,
            **({"train-baseline": self.keys.baseline} if self._verified_by_baseline else {}),
            **({"suspects": self.keys.suspects} if looked_for else {}),
            "augment": self.keys.augment,
            "train-baseline": self.keys.baseline,
            "train-classifier": self.keys.classifier,
            "evaluate": self.keys.evaluate,
        }
        if self.recipe.baseline.budget != "same":
            for stage in ("train-baseline", "evaluate"):
                order[stage] = order.pop(stage)
        if self.recipe.classifier.target == "label":
            order.pop("augment")
            order.pop("suspects", None)
        if self.recipe.classifier.target == "label" or self.recipe.reasoner.model is not None:
            order.pop("train-reasoner")
        return order

    @property
    def _verified_by_baseline(self) -> bool:
        return self.recipe.augment.verification.verifier == "baseline"

    # -- one stage ---------------------------------------------------------------------------------------

    def train_reasoner(self) -> None:
        """Stage 1, or nothing where the recipe names a ready reasoner."""
        if self.recipe.reasoner.model is not None:
            at = f" at {self.recipe.reasoner.endpoint}" if self.recipe.reasoner.endpoint else ""
            say(f"train-reasoner: the recipe names a ready reasoner, {self.recipe.reasoner.model}{at}")
            return
        self._stage("train-reasoner", self.keys.reasoner(), reasoner_stage)

    def augment(self, retry: frozenset[Retry] = frozenset()) -> None:
        """Stage 2a; `retry` names rows that are written again although they are there.

        A baseline that judges the reasonings is trained first.
        """
        if self._verified_by_baseline:
            self.train_baseline()
        if self.recipe.augment.suspects.folds is not None:
            self._stage("suspects", self.keys.suspects(), suspects_stage)
        self._stage(
            "augment",
            self.keys.augment(),
            lambda job: augment_stage(job, self.keys.reasoner_settings(), self.keys.verifier(), retry),
            again=bool(retry),
        )
        failed = self.run.failed_rows("augment")
        self.failed_rows += failed
        if failed:
            say(f"  {failed:,} rows failed; try them again with: whylabel augment RECIPE --retry-failed")

    def rehearse_augment(self) -> Rehearsal:
        """Return what stage 2a would write, and about what it would take; nothing is stored."""
        suspects = self.recipe.augment.suspects
        known = suspects.folds is not None and self.run.is_current("suspects", self.keys.suspects())
        if suspects.folds is not None and suspects.exclude and not known:
            say("  suspect labels have not been looked for yet: their rows are counted, too")
        return rehearse_augment(self.inputs, self.run, self.keys.reasoner_settings(), known)

    def train_models(self) -> None:
        """Stage 2b for both models, the one first whose budget the other's rests on."""
        order = [self.train_baseline, self.train_classifier]
        for train in order if self.recipe.baseline.budget == "same" else reversed(order):
            train()

    def train_baseline(self) -> None:
        """Stage 2b without reasonings."""
        self._stage("train-baseline", self.keys.baseline(), baseline_stage)

    def train_classifier(self) -> None:
        """Stage 2b with reasonings."""
        self._stage("train-classifier", self.keys.classifier(), classifier_stage)

    def evaluate(self) -> None:
        """Compare the models on the test split and write report and model card."""
        again = self.run.failed_rows("evaluate") > 0
        self._stage("evaluate", self.keys.evaluate(), evaluate_stage, again=again)
        self.failed_rows += self.run.failed_rows("evaluate")
        from whylabel.report.model_card import write_model_card
        from whylabel.report.report import write_report

        write_report(self.run)
        write_model_card(self.run)

    def _stage(
        self, stage: str, key: str, work: Callable[[Job], StageResult], *, again: bool = False
    ) -> None:
        """Do a stage and record it, or skip it if it is current."""
        if self.run.is_current(stage, key) and not again:
            say(f"{stage}: nothing has changed, skipped")
            return
        say(f"{stage}:")
        started = time.monotonic()
        self.run.begin_stage(stage, key)
        result = work(Job(stage, key, self.inputs, self.run))
        seconds = time.monotonic() - started
        self.run.finish_stage(
            stage,
            key,
            seconds=seconds,
            rows=result.rows,
            tokens=result.tokens,
            failed_rows=result.failed_rows,
            **result.record,
        )
        say(f"{stage}: done in {duration(seconds)}")
