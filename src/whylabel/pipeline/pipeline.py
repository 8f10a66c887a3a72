"""One recipe in one run folder: the stages in their order, each skipped when nothing has changed."""

from __future__ import annotations

import time
from collections.abc import Callable
from functools import partial
from typing import TYPE_CHECKING

from whylabel.errors import RecipeError, WhylabelError
from whylabel.host.machine import hardware, versions
from whylabel.host.progress import duration, say
from whylabel.models.quantisation import quantisation
from whylabel.pipeline.adoption import adopt, is_old, rename_in_store
from whylabel.pipeline.augment import augment_stage, rehearse_augment, require_reasonings
from whylabel.pipeline.calibrate import calibrate_stage
from whylabel.pipeline.evaluate import evaluate_stage
from whylabel.pipeline.evidence import explain_shown
from whylabel.pipeline.faithfulness import forget_stale, measure_faithfulness
from whylabel.pipeline.folds import fold_models, folds_stage
from whylabel.pipeline.inputs import Inputs
from whylabel.pipeline.inspection import inspect_data
from whylabel.pipeline.job import Job, StageResult
from whylabel.pipeline.keys import Key, StageKeys, StageNotCurrentError, Trained
from whylabel.pipeline.preflight import preflight
from whylabel.pipeline.reasoner import reasoner_stage
from whylabel.pipeline.suspects import suspects_stage
from whylabel.pipeline.train import baseline_stage, classifier_stage
from whylabel.recipe import FilterConfig, Recipe, load_recipe
from whylabel.run_folder import RunFolder
from whylabel.text.labels import LabelSet
from whylabel.types import Dataset

if TYPE_CHECKING:
    from whylabel.stages.augment import Rehearsal, Retry


_SHORTEST_REPORTED_SECONDS = 60.0


class Pipeline:
    """One recipe in one run folder, with its data set or a given one. Hold `run.locked()` while stages run."""

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
        """Return the fingerprint of everything that decides the outcome of stage 1."""
        return self.keys.reasoner().fingerprint

    # -- all stages --------------------------------------------------------------------------------------

    def run_all(self) -> None:
        """Run every stage, then write the report."""
        self.begin(evaluated=True)
        self.say_time()
        if self._reasoned:
            if self.inputs.trains_reasoner or self.recipe.reasoner.model is not None:
                self.train_reasoner()
            else:
                say("train-reasoner: every train row came with its reasoning, so there is nothing to write")
            self.augment()
        self.train_models()
        self.evaluate()

    def check(self, *, evaluated: bool = False) -> None:
        """Check everything that can be checked before the first stage; see `preflight`. Nothing is written."""
        preflight(self.inputs, self.run, evaluated=evaluated)

    def begin(self, *, evaluated: bool = False) -> None:
        """Check everything that can be checked before the first stage, and prepare the run folder.

        Raises what `preflight` raises, before any stage runs. Finished stages of an older whylabel are adopted if
        their outputs are still right.
        """
        self.check(evaluated=evaluated)
        self.run.path.mkdir(parents=True, exist_ok=True)
        self._adopt()
        stages = self.run.read_manifest().get("stages", {})
        self.run.update_manifest()
        if not any(entry.get("status") == "done" for entry in stages.values()):
            self._record()

    def plan(self) -> list[str]:
        """Return one line per stage: whether it would run, and why."""
        return [
            f"{stage}: nothing has changed, would be skipped"
            if reason is None
            else f"{stage}: would run, {reason}"
            for stage, reason in self.would_run().items()
        ]

    def would_run(self) -> dict[str, str | None]:
        """Return for each stage why it would run; None if it would not run.

        If an earlier stage runs, it is not yet known whether the stages that depend on it must run: they are counted.
        """
        found: dict[str, str | None] = {}
        order = self._order()
        self._adopt(in_store=False)
        for stage, key in order.items():
            try:
                found[stage] = self._reason(stage, key())
            except StageNotCurrentError as error:
                found[stage] = f"after {error.stage}"
        return found

    def say_time(self) -> None:
        """Report about how long the stages that would run will take on this machine, if it is more than a minute."""
        from whylabel.pipeline.estimate import estimated_seconds

        stages = [stage for stage, reason in self.would_run().items() if reason is not None]
        seconds = estimated_seconds(self.inputs, stages) if stages else None
        if seconds is not None and seconds > _SHORTEST_REPORTED_SECONDS:
            say(
                f"time: about {duration(seconds)} on this machine; this is rough: it may take half or twice as long"
            )

    def _order(self) -> dict[str, Callable[[], Key]]:
        """Return the stages that the recipe needs in their order, each with the function that computes its key."""
        order: dict[str, Callable[[], Key]] = {}
        if self._reasoned and self.inputs.trains_reasoner:
            order["train-reasoner"] = self.keys.reasoner
        if self._reasoned and self.recipe.augment.folds is not None:
            order["train-folds"] = self.keys.folds
        if self._reasoned and self.recipe.augment.suspects.folds is not None:
            order["suspects"] = self.keys.suspects
        if self._reasoned:
            order["augment"] = self.keys.augment
        for name in self._trained:
            order |= self._order_of(name)
        return {**order, "evaluate": self.keys.evaluate}

    def _order_of(self, name: Trained) -> dict[str, Callable[[], Key]]:
        return {
            f"train-{name}": partial(self.keys.training, name),
            f"calibrate-{name}": partial(self.keys.calibration, name),
        }

    @property
    def _reasoned(self) -> bool:
        return self.recipe.classifier.target != "label"

    @property
    def _trained(self) -> tuple[Trained, Trained]:
        """The models of stage 2b in the order of training: a matched budget needs the classifier first."""
        if self.recipe.baseline.budget == "same":
            return "baseline", "classifier"
        return "classifier", "baseline"

    # -- one stage ---------------------------------------------------------------------------------------

    def train_reasoner(self) -> None:
        """Run stage 1, or do nothing if the recipe names a ready reasoner."""
        if self.recipe.reasoner.model is not None:
            at = f" at {self.recipe.reasoner.endpoint}" if self.recipe.reasoner.endpoint else ""
            say(f"train-reasoner: the recipe names a ready reasoner, {self.recipe.reasoner.model}{at}")
            return
        self._stage("train-reasoner", self.keys.reasoner(), reasoner_stage)

    def augment(self, retry: frozenset[Retry] = frozenset()) -> None:
        """Run stage 2a; `retry` names rows that are written again although the store has them.

        Baselines that judge the reasonings, or find suspect labels, are trained first.
        """
        if self.recipe.augment.folds is not None:
            # Raises if there is no reasoner yet: before baselines are trained for its reasonings.
            self.keys.reasoner_settings()
            self._stage(
                "train-folds", self.keys.folds(), folds_stage, again=bool(retry) and self._lacks_judges()
            )
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

    def rehearse_augment(self, retry: frozenset[Retry] = frozenset()) -> Rehearsal:
        """Return what stage 2a would write, with estimates of tokens and time; nothing is stored."""
        self._adopt()
        suspects = self.recipe.augment.suspects
        known = suspects.folds is not None and self.run.is_current(
            "suspects", self.keys.suspects().fingerprint
        )
        if suspects.folds is not None and suspects.exclude and not known:
            say("  the stage suspects has not run yet: rows whose label looks wrong are counted, too")
        return rehearse_augment(self.inputs, self.run, self.keys.reasoner_settings(), known, retry)

    def train_models(self) -> None:
        """Run stage 2b for both models.

        Raises `RunFolderError` if the classifier needs reasonings and none was kept.
        """
        if self._reasoned:
            # The classifier's key raises if there are no reasonings yet: before the baseline is trained.
            self.keys.classifier()
            require_reasonings(self.run)
        for name in self._trained:
            self._train(name)

    def train_baseline(self) -> None:
        """Run stage 2b for the baseline, without reasonings."""
        self._train("baseline")

    def train_classifier(self) -> None:
        """Run stage 2b for the classifier, with reasonings."""
        self._train("classifier")

    def _train(self, name: Trained) -> None:
        run = self.run
        work, folder, metrics = {
            "baseline": (baseline_stage, run.baseline_model, run.baseline_metrics),
            "classifier": (classifier_stage, run.classifier_model, run.classifier_metrics),
        }[name]
        # A training writes the card anew, so that it has to be calibrated again, whatever was trained.
        self._stage(f"train-{name}", self.keys.training(name), work, undone=f"calibrate-{name}")
        calibrate = partial(calibrate_stage, folder=folder, metrics=metrics)
        self._stage(f"calibrate-{name}", self.keys.calibration(name), calibrate)

    def evaluate(self, *, faithfulness: bool = False) -> None:
        """Compare the models on the test split and write report and model card.

        `faithfulness`: measure, too, on a sample of the test rows, whether the classifier uses its reasonings.
        """
        again = self.run.failed_rows("evaluate") > 0
        key = self.keys.evaluate()
        self._stage("evaluate", key, evaluate_stage, again=again)
        self.failed_rows += self.run.failed_rows("evaluate")
        job = Job("evaluate", key.fingerprint, self.inputs, self.run)
        explain_shown(job)
        inspect_data(job)
        forget_stale(job)
        if faithfulness:
            measure_faithfulness(job, self.keys.reasoner_settings())
        from whylabel.report.model_card import write_model_card
        from whylabel.report.report import write_report

        write_report(self.run)
        write_model_card(self.run)

    def _stage(
        self,
        stage: str,
        key: Key,
        work: Callable[[Job], StageResult],
        *,
        again: bool = False,
        undone: str | None = None,
    ) -> None:
        """Run a stage and record it, or skip it if it is current; `undone` is a stage whose outputs it replaces."""
        reason = self._reason(stage, key)
        if reason is None and not again:
            say(f"{stage}: nothing has changed, skipped")
            self._record()
            return
        say(f"{stage}: runs again, {reason}" if reason and self.run.stage(stage) else f"{stage}:")
        started = time.monotonic()
        self.run.begin_stage(stage, key.fingerprint, undone=undone)
        result = work(Job(stage, key.fingerprint, self.inputs, self.run))
        seconds = time.monotonic() - started
        self.run.finish_stage(
            stage,
            key.fingerprint,
            seconds=seconds,
            rows=result.rows,
            tokens=result.tokens,
            failed_rows=result.failed_rows,
            decided_by=dict(key.parts),
            recipe=self.recipe.model_dump(mode="json"),
            versions=versions(),
            hardware=hardware(),
            **result.record,
        )
        self._record()
        say(f"{stage}: done in {duration(seconds)}")

    def _reason(self, stage: str, key: Key) -> str | None:
        """Return in words why a stage has to run; None if it is current, or nothing needs what it makes."""
        if stage == "train-folds":
            return self._reason_for_folds(key)
        return self._reason_of(stage, key)

    def _reason_for_folds(self, key: Key) -> str | None:
        """Return why baselines without a part of the rows are trained: only if a stage that asks them has to run."""
        augment, looked_for = self.recipe.augment, self.recipe.augment.suspects.folds is not None
        looks = looked_for and self._reason_of("suspects", self.keys.suspects()) is not None
        try:
            judges = (
                augment.judged_by_baselines and self._reason_of("augment", self.keys.augment()) is not None
            )
        except StageNotCurrentError:
            judges = augment.judged_by_baselines
        if not looks and not judges:
            return None
        reason = self._reason_of("train-folds", key)
        if reason is None and judges and self._lacks_judges():
            return "its models are missing"
        return reason

    def _lacks_judges(self) -> bool:
        return self.recipe.augment.judged_by_baselines and not fold_models(self.run)

    def _reason_of(self, stage: str, key: Key) -> str | None:
        entry = self.run.stage(stage)
        missing = self.run.missing_outputs(stage)
        if entry.get("status") != "done":
            state = {None: "it has not run yet", "running": "it was interrupted"}
            return state.get(entry.get("status"), "its model was trained again")
        if entry.get("fingerprint") != key.fingerprint:
            old = entry.get("decided_by")
            return f"because {key.changes_from(old)}" if old else "it was made with other settings or data"
        return f"{missing[0].name} is missing" if missing else None

    def _record(self) -> None:
        """Write the resolved recipe, and versions, hardware and data to `run.json`.

        This happens only when a stage is done or current: a verb that fails leaves the record of the finished stages.
        """
        quantised = quantisation(self.recipe.base_model)
        # A recipe.yaml that says the same stays as it is: people comment in it.
        if self._recorded_recipe() != self.recipe:
            self.run.write_recipe(self.recipe.to_yaml())
        self.run.update_manifest(
            versions=versions(),
            hardware=hardware(),
            seed=self.recipe.seed,
            base_model={
                "name": self.recipe.base_model,
                "fingerprint": self.inputs.base_fingerprint,
                **({} if quantised is None else {"quantisation": quantised}),
            },
            data=self.inputs.description,
        )

    def _recorded_recipe(self) -> Recipe | None:
        """Return the recipe that the run folder holds; None if there is none that can be read."""
        try:
            return load_recipe(self.run.recipe)
        except RecipeError:
            return None

    def _adopt(self, *, in_store: bool = True) -> None:
        """Adopt the stages of an older whylabel by the recipe that they were made with.

        `in_store`: rename reasoner and verifier in the row store, too.
        """
        if not is_old(self.run):
            return
        before: Pipeline = self
        recorded = self._recorded_recipe()
        if recorded not in (None, self.recipe):
            before = Pipeline(recorded, self.run, self.inputs.given)
            try:
                before.dataset.splits()
            except WhylabelError:
                before = self  # its data are gone
        adopt(before.inputs, self.run, before._order())
        if in_store:
            rename_in_store(before.inputs, before.keys, self.run)
