"""The stages over a run folder, each skipped when nothing that it depends on has changed.

A stage's fingerprint covers everything that decides its outputs, the content of the stages before it included.
Compute is imported inside the stages, so that a run in which nothing changed ends within seconds.
"""

from __future__ import annotations

import json
import shutil
import tempfile
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property, partial
from itertools import chain
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from whylabel.atomic import whole_folder, write_json
from whylabel.data import fingerprint as data_fingerprint
from whylabel.data import load_dataset, load_reasoning
from whylabel.engines.choice import output_settings
from whylabel.errors import RunFolderError
from whylabel.filters import check_filters
from whylabel.labels import LabelSet
from whylabel.machine import hardware, versions
from whylabel.models import CARD, model_fingerprint
from whylabel.multi_label import MultiLabel, multi_label_of
from whylabel.progress import duration, say
from whylabel.prompts import FORMAT_VERSION, FORMS
from whylabel.reasoned_rows import read_reasoned
from whylabel.recipe import ClassifierTrainingConfig, FilterConfig, Recipe
from whylabel.run_folder import RunFolder, fingerprint
from whylabel.types import Dataset, Example, Mode, Prediction, QuestionAnswer, ReasonedExample, Target

if TYPE_CHECKING:
    from whylabel.augment import Rehearsal, Retry
    from whylabel.verification import Verifier

_VERBS = {
    "train-reasoner": "train-reasoner",
    "augment": "augment",
    "train-baseline": "train",
    "train-classifier": "train",
}


@dataclass(frozen=True, slots=True)
class StageResult:
    """What a stage did; `record` is kept in `run.json` for the stages after it."""

    rows: int
    tokens: int
    record: dict[str, Any]
    failed_rows: int = 0


class Pipeline:
    """One recipe in one run folder, over its data set or a given one. Hold `run.locked()` while stages run."""

    def __init__(self, recipe: Recipe, run: RunFolder, dataset: Dataset | None = None) -> None:
        self.recipe = recipe
        self.run = run
        self.failed_rows = 0
        self._given = dataset

    # -- inputs ------------------------------------------------------------------------------------------

    @cached_property
    def dataset(self) -> Dataset:
        """The labelled texts: given, or those that the recipe names."""
        return self._given or load_dataset(self.recipe.data, self.recipe.task, seed=self.recipe.seed)

    @cached_property
    def data_fingerprints(self) -> dict[str, str]:
        """Identity of the labelled texts' content, by split."""
        return {split: data_fingerprint(rows) for split, rows in self.dataset.splits().items()}

    @cached_property
    def labels(self) -> LabelSet:
        """The closed label set; a sample of the rows does not shrink it."""
        every = self.dataset.labels or self._labels_of_rows()
        labels = LabelSet.from_labels(every, self.recipe.task.labels)
        if self.multi_label is not None:
            self.multi_label.separator.check(labels.names)
        return labels

    @cached_property
    def multi_label(self) -> MultiLabel | None:
        """How several labels of a text are told apart; None where each text has one."""
        return multi_label_of(self.recipe.task)

    def _labels_of_rows(self) -> set[str]:
        held = {row.label for row in chain.from_iterable(self.dataset.splits().values())}
        if self.multi_label is None:
            return held
        return {name for label in held for name in self.multi_label.separator.split(label)}

    @cached_property
    def reasoning_rows(self) -> tuple[tuple[QuestionAnswer, ...], tuple[QuestionAnswer, ...]]:
        """Train and held-out rows of stage 1."""
        return load_reasoning(self.recipe.reasoner, seed=self.recipe.seed)

    @cached_property
    def base_fingerprint(self) -> str:
        """Identity of the base model's weights."""
        return model_fingerprint(self.recipe.base_model)

    @cached_property
    def filters(self) -> FilterConfig:
        """Which reasonings are dropped: the recipe's settings, completed by its question."""
        filters = self.recipe.augment.filters
        asked = self.recipe.task.question if filters.question is None else filters.question
        return filters.model_copy(update={"question": asked})

    def begin(self) -> None:
        """Write what is known before the first stage: the resolved recipe, versions, hardware, data.

        Raises `RecipeError`, `EngineError` or `ModelError` for an unknown filter or engine, or a mode that the target
        has not: hours before it would be asked.
        """
        from whylabel.card import check_modes
        from whylabel.engines import check_engine

        check_filters(self.filters)
        check_modes(self.recipe.classifier.target, self.recipe.evaluation.modes or ())
        check_engine(self.recipe.augment.engine.name)
        self.run.path.mkdir(parents=True, exist_ok=True)
        self.run.write_recipe(self.recipe.to_yaml())
        splits = self.dataset.splits()
        self.run.update_manifest(
            versions=versions(),
            hardware=hardware(),
            seed=self.recipe.seed,
            base_model={"name": self.recipe.base_model, "fingerprint": self.base_fingerprint},
            data={
                "source": self.recipe.data.source,
                "fingerprint": fingerprint(self.data_fingerprints),
                "rows": {name: len(rows) for name, rows in splits.items()},
                "labels": list(self.labels.names),
                "inferred": self.dataset.inferred,
            },
        )

    # -- stages ------------------------------------------------------------------------------------------

    def run_all(self) -> None:
        """Run every stage, then write the report."""
        self.begin()
        if self.recipe.classifier.target != "label":
            self.train_reasoner()
            self.augment()
        self.train_models()
        self.evaluate()

    def plan(self) -> list[str]:
        """Return a line per stage: whether it would run. Stages after one that runs cannot be told, so they run."""
        lines: list[str] = []
        runs = False
        for stage, key in self._keys().items():
            try:
                runs = runs or not self.run.is_current(stage, key())
            except RunFolderError:
                runs = True
            lines.append(f"{stage}: {'would run' if runs else 'nothing has changed, would be skipped'}")
        return lines

    def _keys(self) -> dict[str, Callable[[], str]]:
        looked_for = self.recipe.augment.suspects.folds is not None
        keys = {
            "train-reasoner": self.reasoner_fingerprint,
            **({"train-baseline": self._baseline_fingerprint} if self._verified_by_baseline else {}),
            **({"suspects": self._suspects_fingerprint} if looked_for else {}),
            "augment": self._augment_fingerprint,
            "train-baseline": self._baseline_fingerprint,
            "train-classifier": self._classifier_fingerprint,
            "evaluate": self._evaluate_fingerprint,
        }
        if self.recipe.baseline.budget != "same":
            for stage in ("train-baseline", "evaluate"):
                keys[stage] = keys.pop(stage)
        if self.recipe.classifier.target == "label":
            keys.pop("augment")
            keys.pop("suspects", None)
        if self.recipe.classifier.target == "label" or self.recipe.reasoner.model is not None:
            keys.pop("train-reasoner")
        return keys

    def train_reasoner(self) -> None:
        """Stage 1, or nothing where the recipe names a ready reasoner."""
        if self.recipe.reasoner.model is not None:
            at = f" at {self.recipe.reasoner.endpoint}" if self.recipe.reasoner.endpoint else ""
            say(f"train-reasoner: the recipe names a ready reasoner, {self.recipe.reasoner.model}{at}")
            return
        self._stage("train-reasoner", self.reasoner_fingerprint(), self._train_reasoner)

    def augment(self, retry: frozenset[Retry] = frozenset()) -> None:
        """Stage 2a; `retry` names rows that are written again although they are there.

        A baseline that judges the reasonings is trained first.
        """
        if self._verified_by_baseline:
            self.train_baseline()
        if self.recipe.augment.suspects.folds is not None:
            self._stage("suspects", self._suspects_fingerprint(), self._find_suspects)
        self._stage("augment", self._augment_fingerprint(), lambda: self._augment(retry), again=bool(retry))
        failed = self.run.failed_rows("augment")
        self.failed_rows += failed
        if failed:
            say(f"  {failed:,} rows failed; try them again with: whylabel augment RECIPE --retry-failed")

    def rehearse_augment(self) -> Rehearsal:
        """Return what stage 2a would write, and about what it would take; nothing is stored."""
        from whylabel.augment import Work, open_reasoner, rehearse
        from whylabel.store import open_store

        opened = open_reasoner(self.recipe, self.run.reasoner_model, self._reasoner_settings())
        with tempfile.TemporaryDirectory() as scratch:
            path = self.run.store if self.run.store.exists() else Path(scratch) / "store.sqlite"
            with open_store(path) as store, opened as reasoner:
                return rehearse(self.dataset.train, Work(reasoner, store, self.recipe.augment))

    def train_models(self) -> None:
        """Stage 2b for both models, the one first whose budget the other's rests on."""
        order = [self.train_baseline, self.train_classifier]
        for train in order if self.recipe.baseline.budget == "same" else reversed(order):
            train()

    def train_baseline(self) -> None:
        """Stage 2b without reasonings."""
        self._stage("train-baseline", self._baseline_fingerprint(), self._train_baseline)

    def train_classifier(self) -> None:
        """Stage 2b with reasonings."""
        self._stage("train-classifier", self._classifier_fingerprint(), self._train_classifier)

    def evaluate(self) -> None:
        """Compare the models on the test split and write report and model card."""
        again = self.run.failed_rows("evaluate") > 0
        self._stage("evaluate", self._evaluate_fingerprint(), self._evaluate, again=again)
        self.failed_rows += self.run.failed_rows("evaluate")
        from whylabel.report.model_card import write_model_card
        from whylabel.report.report import write_report

        write_report(self.run)
        write_model_card(self.run)

    def _stage(self, stage: str, key: str, work: Callable[[], StageResult], *, again: bool = False) -> None:
        if self.run.is_current(stage, key) and not again:
            say(f"{stage}: nothing has changed, skipped")
            return
        say(f"{stage}:")
        started = time.monotonic()
        self.run.begin_stage(stage, key)
        result = work()
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

    # -- fingerprints ------------------------------------------------------------------------------------

    def reasoner_fingerprint(self) -> str:
        """Return what decides the outcome of stage 1."""
        config = self.recipe.reasoner
        base = model_fingerprint(config.base_model) if config.base_model else self.base_fingerprint
        train, held_out = self.reasoning_rows
        rows = data_fingerprint([*train, *held_out])
        sampling = self.recipe.augment.sampling.max_new_tokens
        return fingerprint(
            base, rows, config.training.model_dump(), self.recipe.prompt_style, FORMAT_VERSION,
            self.recipe.seed, sampling,
        )  # fmt: skip

    def _reasoner_settings(self) -> dict[str, Any]:
        """Everything but the row and the token limit that changes a reasoning.

        An endpoint counts by its model's name, not its URL.
        """
        config, style = self.recipe.reasoner, self.recipe.prompt_style
        if config.endpoint is not None:
            model, style = f"endpoint:{config.model}", "chat"
        elif config.model is not None:
            model = model_fingerprint(config.model)[:16]
        else:
            model = self._content("train-reasoner", self.reasoner_fingerprint())[:16]
        sampling = self.recipe.augment.sampling
        drawn = {"top_p": sampling.top_p, "seed": self.recipe.seed}
        return {
            "reasoner": model,
            "prompt_style": style,
            "question": self.recipe.task.question,
            "format": FORMAT_VERSION,
            "temperature": sampling.temperature,
            **(drawn if sampling.temperature > 0 else {}),
            **output_settings(self.recipe),
        }

    def _augment_fingerprint(self) -> str:
        augment = self.recipe.augment
        return fingerprint(
            self._reasoner_settings(), self.data_fingerprints["train"], self.filters.model_dump(),
            augment.sampling.max_new_tokens, augment.candidates, augment.condition,
            augment.verification.model_dump(), self._verifier_identity(), self._decisions(),
            augment.suspects.model_dump() if augment.suspects.exclude else None,
        )  # fmt: skip

    def _suspects_fingerprint(self) -> str:
        return fingerprint(self.recipe.augment.suspects.folds, self._baseline_fingerprint())

    def _decisions(self) -> int:
        """How much people have decided about this run's reasonings: a new decision sorts them anew."""
        from whylabel.store import open_store

        if not self.run.store.exists():
            return 0
        with open_store(self.run.store) as store:
            return store.count_decisions()

    @property
    def _verified_by_baseline(self) -> bool:
        return self.recipe.augment.verification.verifier == "baseline"

    def _verifier_identity(self) -> str | None:
        """What a verdict depends on besides the reasoning."""
        name = self.recipe.augment.verification.verifier
        if name is None:
            return None
        if name == "baseline":
            model = self._content("train-baseline", self._baseline_fingerprint())
        else:
            model = self.base_fingerprint if name == "base" else model_fingerprint(name)
        task = self.recipe.task
        return fingerprint(model, task.question, task.name, self.labels.names, FORMAT_VERSION)

    def _baseline_fingerprint(self) -> str:
        budget = self.recipe.baseline.budget
        if budget == "same":
            return fingerprint("label", self._stage_two(), self.data_fingerprints["train"])
        spent = self._content("train-classifier", self._classifier_fingerprint())
        return fingerprint("label", self._stage_two(), self.data_fingerprints["train"], budget, spent)

    def _classifier_fingerprint(self) -> str:
        rows = [self.data_fingerprints["train"]]
        if self.recipe.classifier.target != "label":
            rows.append(self._content("augment", self._augment_fingerprint()))
        return fingerprint(self.recipe.classifier.model_dump(), self._stage_two(), rows)

    def _stage_two(self) -> list[object]:
        recipe = self.recipe
        return [
            self.base_fingerprint, recipe.training.model_dump(), recipe.task.model_dump(), self.labels.names,
            recipe.prompt_style, recipe.data.max_text_tokens, FORMAT_VERSION, recipe.seed,
            self.data_fingerprints["validation"], recipe.classifier.calibration_rows,
            None if self.multi_label is None else recipe.classifier.negatives,
        ]  # fmt: skip

    def _evaluate_fingerprint(self) -> str:
        return fingerprint(
            self._content("train-baseline", self._baseline_fingerprint()),
            self._content("train-classifier", self._classifier_fingerprint()),
            self.data_fingerprints["train"],
            self.data_fingerprints["test"],
            self.recipe.evaluation.model_dump(),
            self.recipe.seed,
        )

    def _content(self, stage: str, key: str) -> str:
        """Return the recorded content hash of a stage before this one, which must be done and current."""
        if not self.run.is_current(stage, key):
            known = self.run.read_manifest().get("stages", {}).get(stage, {}).get("status") == "done"
            state = "was made with other settings or data" if known else "has not been run"
            raise RunFolderError(
                f"The stage before this one, {stage}, {state}.",
                where=str(self.run.path),
                fix=f"run it first: whylabel {_VERBS[stage]} RECIPE, or all stages: whylabel run RECIPE",
            )
        return str(self.run.read_manifest()["stages"][stage]["content"])

    # -- work --------------------------------------------------------------------------------------------

    def _train_reasoner(self) -> StageResult:
        from whylabel import reasoner
        from whylabel.models import load, save
        from whylabel.prompts import Prompts

        config = self.recipe.reasoner
        rows, held_out = self.reasoning_rows
        base_name = config.base_model or self.recipe.base_model
        loaded = load(base_name, device=self.recipe.device, dtype="float32")
        prompts = Prompts(loaded.tokenizer, self.recipe.prompt_style)
        checkpoints = self._checkpoints(self.run.reasoner_model, self.reasoner_fingerprint())
        trained = reasoner.train_reasoner(
            loaded, prompts, rows, config, seed=self.recipe.seed, checkpoints=checkpoints
        )
        # The tokenizer has new tokens now; prompts remember the old ones.
        prompts = Prompts(loaded.tokenizer, self.recipe.prompt_style)
        shown, written = reasoner.gate(
            loaded, prompts, held_out, max_new_tokens=self.recipe.augment.sampling.max_new_tokens
        )
        with whole_folder(self.run.reasoner_model) as aside:
            card = {"format": 1, "role": "reasoner", "prompt_style": self.recipe.prompt_style}
            save(loaded, aside, {**card, "lineage": self._lineage("train-reasoner", base_name)})
        content = model_fingerprint(str(self.run.reasoner_model))
        del loaded
        base = load(base_name, device=self.recipe.device)
        recovery = reasoner.answer_recovery(base, Prompts(base.tokenizer), written, seed=self.recipe.seed)
        metrics = {**shown, "answer_recovery": recovery, "training": trained}
        write_json(self.run.reasoner_metrics, metrics)
        shutil.rmtree(checkpoints.parent, ignore_errors=True)
        say(
            f"  gate on {shown['n']} held-out rows: loss {shown['held_out_loss']:.3f}, perplexity "
            f"{shown['perplexity']:.1f}, stopped by itself {shown['stopped_share']:.0%}, answer told from the "
            f"masked reasoning {recovery['with_reasoning']:.0%} against {recovery['without_reasoning']:.0%} without"
        )
        return StageResult(len(rows), int(trained["tokens"]), {"content": content})

    def _find_suspects(self) -> StageResult:
        from whylabel.suspects import find_suspects, out_of_fold, write_suspects

        folds = self.recipe.augment.suspects.folds
        assert folds is not None
        rows, labels = list(self.dataset.train), self.labels
        scratch = self.run.suspects.with_name("folds")
        own = scratch / self._suspects_fingerprint()[:16]
        fit_predict = partial(self._fit_predict, own)
        probabilities = out_of_fold(rows, labels, folds, self.recipe.seed, fit_predict, own)
        found = find_suspects(rows, probabilities, labels)
        write_suspects(self.run.suspects, found)
        shutil.rmtree(scratch, ignore_errors=True)
        share = len(found) / len(rows)
        say(
            f"  {len(found):,} of {len(rows):,} labels look wrong ({share:.1%}); they are in {self.run.suspects}"
        )
        return StageResult(len(rows), 0, {})

    def _fit_predict(
        self, scratch: Path, train: Sequence[Example], held_out: Sequence[Example], fold: int
    ) -> Any:
        """Return a baseline's probabilities for rows that it was not trained on."""
        from whylabel.classifier import train_classifier
        from whylabel.models import load
        from whylabel.trained import TrainedClassifier

        loaded = load(self.recipe.base_model, device=self.recipe.device, dtype="float32")
        card, _ = train_classifier(
            loaded,
            train,
            self.labels,
            self.recipe,
            target="label",
            title=f"fold {fold + 1}",
            checkpoints=scratch / f"checkpoints-{fold}",
            lineage={},
        )
        predictions = TrainedClassifier(loaded, card).predict([(row.id, row.text) for row in held_out])
        even = [1 / len(self.labels)] * len(self.labels)
        return np.array([prediction.probabilities or even for prediction in predictions])

    def _augment(self, retry: frozenset[Retry]) -> StageResult:
        from whylabel.augment import Work, augment, open_reasoner
        from whylabel.store import open_store

        config = self.recipe.augment.model_copy(update={"filters": self.filters})
        opened = open_reasoner(self.recipe, self.run.reasoner_model, self._reasoner_settings())
        with open_store(self.run.store) as store, opened as reasoner:
            work = Work(reasoner, store, config, self._verifier(), retry, self._excluded())
            outcome = augment(self.dataset.train, work, kept=self.run.kept, dropped=self.run.dropped)
        write_json(self.run.augment_metrics, outcome.to_json())
        found = outcome.sorted
        reasons = "".join(f", {count:,} {reason}" for reason, count in found.dropped.most_common())
        say(
            f"  {found.rows:,} rows in = {found.kept:,} kept + {found.dropped.total():,} dropped{reasons} "
            f"+ {found.failed:,} failed"
        )
        return StageResult(found.rows, outcome.written.tokens, {"content": found.content}, found.failed)

    def _excluded(self) -> frozenset[str]:
        from whylabel.suspects import read_suspects

        suspects = self.recipe.augment.suspects
        if suspects.folds is None or not suspects.exclude:
            return frozenset()
        return frozenset(row.id for row in read_suspects(self.run.suspects))

    def _verifier(self) -> Verifier | None:
        from whylabel.models import load, read_card
        from whylabel.prompts import Prompts
        from whylabel.verification import Verifier

        recipe = self.recipe
        name = recipe.augment.verification.verifier
        if name is None:
            return None
        source = {"baseline": str(self.run.baseline_model), "base": recipe.base_model}.get(name, name)
        loaded = load(source, device=recipe.device)
        trained = (Path(source) / CARD).exists() and read_card(Path(source)).get("target") == "label"
        prompts = Prompts(loaded.tokenizer, recipe.prompt_style, recipe.task.question, recipe.task.name)
        return Verifier(loaded, prompts, self.labels, trained, str(self._verifier_identity()))

    def _train_baseline(self) -> StageResult:
        key = self._baseline_fingerprint()
        training = self._baseline_training()
        rows, run = self.dataset.train, self.run
        return self._train_model(
            "train-baseline", "label", rows, run.baseline_model, run.baseline_metrics, key, training
        )

    def _baseline_training(self) -> ClassifierTrainingConfig:
        """Return how the baseline is trained: its budget may be what the classifier's training took."""
        budget, training = self.recipe.baseline.budget, self.recipe.training
        if budget == "same":
            return training
        spent = json.loads(self.run.classifier_metrics.read_text(encoding="utf-8"))
        trainings = [spent, *spent.get("self_training", [])]
        nothing = {"max_steps": None, "max_supervised_tokens": None, "max_train_flops": None}
        if budget == "matched_steps":
            limit = {"max_steps": sum(one["steps"] for one in trainings)}
        else:
            limit = {"max_train_flops": sum(one["flops"] for one in trainings)}
        return training.model_copy(update={**nothing, **limit})

    def _train_classifier(self) -> StageResult:
        key, target, run = self._classifier_fingerprint(), self.recipe.classifier.target, self.run
        rows, rounds = self._classifier_rows(), []
        for number in range(1, self.recipe.classifier.self_training_rounds + 1):
            rows, counts = self._self_training_round(number, rows, key)
            rounds.append(counts)
        result = self._train_model(
            "train-classifier", target, rows, run.classifier_model, run.classifier_metrics, key
        )
        if rounds:
            metrics = json.loads(run.classifier_metrics.read_text(encoding="utf-8"))
            write_json(run.classifier_metrics, {**metrics, "self_training": rounds})
        return result

    def _self_training_round(
        self, number: int, rows: Sequence[Example | ReasonedExample], key: str
    ) -> tuple[list[Example | ReasonedExample], dict[str, Any]]:
        """Return the rows with what a classifier trained on them has written by itself, and the counts.

        What a round has written is kept in the run folder, and read from there by a process that goes on.
        """
        from whylabel.classifier import train_classifier
        from whylabel.models import load
        from whylabel.reasoned_rows import kept_rows
        from whylabel.self_training import joined, write_own
        from whylabel.trained import TrainedClassifier

        folder = self._own(self.run.self_training, key)
        written, counts = folder / f"round-{number}.parquet", folder / f"round-{number}.json"
        if not counts.exists():
            say(f"  self-training, round {number}:")
            loaded = load(self.recipe.base_model, device=self.recipe.device, dtype="float32")
            checkpoints = self._checkpoints(self.run.classifier_model, key) / f"round-{number}"
            card, trained = train_classifier(
                loaded,
                rows,
                self.labels,
                self.recipe,
                target=self.recipe.classifier.target,
                title=f"round {number}",
                checkpoints=checkpoints,
                lineage={},
                validation=self.dataset.validation,
            )
            model = TrainedClassifier(loaded, card)
            own = write_own(
                model, list(self.dataset.train), self.filters, title=f"round {number}: own reasonings"
            )
            with kept_rows(written) as write:
                for row in own.kept:
                    write(row)
            write_json(counts, {**own.to_json(), "steps": trained["steps"], "flops": trained["flops"]})
            shutil.rmtree(checkpoints, ignore_errors=True)
        return joined(rows, read_reasoned(written)), json.loads(counts.read_text(encoding="utf-8"))

    def _classifier_rows(self) -> Sequence[Example | ReasonedExample]:
        """Return what the classifier is trained on: a row without a reasoning can only be answered at once."""
        target = self.recipe.classifier.target
        if target == "label":
            return self.dataset.train
        reasoned: Sequence[ReasonedExample] = read_reasoned(self.run.kept)
        control = self.recipe.classifier.control
        if control is not None:
            from whylabel.controls import controlled

            say(f"  a control: the reasonings are spoilt on purpose ({control})")
            reasoned = controlled(reasoned, control, self.recipe.seed)
        if "label" not in FORMS[target]:
            return reasoned
        by_id = {row.id: row for row in reasoned}
        return [by_id.get(row.id, row) for row in self.dataset.train]

    def _train_model(
        self,
        stage: str,
        target: Target,
        rows: Sequence[Example | ReasonedExample],
        folder: Path,
        metrics: Path,
        key: str,
        training: ClassifierTrainingConfig | None = None,
    ) -> StageResult:
        from whylabel.classifier import calibrate_classifier, save_checked, train_classifier
        from whylabel.models import load

        loaded = load(self.recipe.base_model, device=self.recipe.device, dtype="float32")
        checkpoints = self._checkpoints(folder, key)
        card, trained = train_classifier(
            loaded,
            rows,
            self.labels,
            self.recipe,
            target=target,
            title=stage,
            checkpoints=checkpoints,
            lineage=self._lineage(stage),
            validation=self.dataset.validation,
            training=training,
        )
        card = calibrate_classifier(loaded, card, self.dataset.validation, self.recipe)
        with whole_folder(folder) as aside:
            save_checked(loaded, card, rows, aside)
        write_json(metrics, trained)
        shutil.rmtree(checkpoints.parent, ignore_errors=True)
        record = {"content": model_fingerprint(str(folder))}
        return StageResult(len(rows), int(trained["tokens"]), record)

    def _evaluate(self) -> StageResult:
        from whylabel.evaluation.evaluate import SINGLE_LABEL, evaluate
        from whylabel.evaluation.multi_label import measures_by_label
        from whylabel.evaluation.predictions import write_predictions

        if not self.dataset.test:
            raise RunFolderError(
                "There is no test split to evaluate on.", fix="set data.test or data.test_fraction"
            )
        baseline, _ = self._predict(self.run.baseline_model, "baseline", [])
        classifier, mode = self._predict(
            self.run.classifier_model, "classifier", self.recipe.evaluation.modes
        )
        outcome = evaluate(
            self.dataset.test,
            self.dataset.train,
            self.labels,
            {"baseline": next(iter(baseline.values())), "classifier": classifier[mode]},
            self.recipe.evaluation,
            self.recipe.seed,
            modes=classifier,
            measures=measures_by_label(self.multi_label.separator) if self.multi_label else SINGLE_LABEL,
        )
        write_predictions(self.run.predictions, outcome.rows)
        write_json(self.run.evaluation_metrics, outcome.to_json())
        every = [row for found in (*baseline.values(), *classifier.values()) for row in found]
        failed = sum(prediction.status == "failed" for prediction in every)
        return StageResult(len(self.dataset.test), _generated(classifier), {}, failed)

    def _predict(
        self, folder: Path, title: str, asked: Sequence[Mode] | None
    ) -> tuple[dict[Mode, list[Prediction]], Mode]:
        """Return a model's predictions on the test rows by mode, and which mode is its default.

        That one is always there, beside those that are asked: None for all that it has, `vote` excepted.
        """
        from whylabel.progress import progress
        from whylabel.trained import TrainedClassifier

        model = TrainedClassifier.from_folder(folder, device=self.recipe.device)
        wanted = [mode for mode in model.card.modes if mode != "vote"] if asked is None else asked
        found: dict[Mode, list[Prediction]] = {mode: [] for mode in (model.mode, *wanted)}
        rows = [(row.id, row.text) for row in self.dataset.test]
        with progress(f"evaluate {title}", total=len(rows)) as bar:
            for predictions in model.predict_in_modes(rows, tuple(found)):
                for mode, prediction in predictions.items():
                    found[mode].append(prediction)
                bar.advance(1, max(prediction.tokens for prediction in predictions.values()))
        return found, model.mode

    def _checkpoints(self, model: Path, key: str) -> Path:
        """Return the folder of this very training; checkpoints of other settings are removed."""
        return self._own(model.parent / "checkpoints", key)

    def _own(self, parent: Path, key: str) -> Path:
        """Return the folder of this very work below the parent; those of other settings are removed."""
        own = parent / key[:16]
        for other in parent.glob("*"):
            if other != own:
                shutil.rmtree(other)
        return own

    def _lineage(self, stage: str, base_model: str | None = None) -> dict[str, Any]:
        manifest = self.run.read_manifest()
        return {
            "base_model": base_model or self.recipe.base_model,
            "base_model_fingerprint": model_fingerprint(base_model) if base_model else self.base_fingerprint,
            "data": manifest.get("data", {}),
            "seed": self.recipe.seed,
            "stage": stage,
            "versions": versions(),
        }


def _generated(predictions: dict[Mode, list[Prediction]]) -> int:
    """Return the tokens that were generated: all modes but `vote` share one reasoning a row."""
    by_mode = {mode: [row.tokens for row in rows] for mode, rows in predictions.items()}
    votes = by_mode.pop("vote", [])
    shared: list[int] = [max(row) for row in zip(*by_mode.values(), strict=True)]
    return sum(votes) + sum(shared)
