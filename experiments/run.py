"""Run the trials of an experiment, one line of `results.jsonl` each; what is there already is not run again.

    python experiments/run.py e2-learning-curves --data FOLDER
    python experiments/run.py e2-learning-curves --data FOLDER --settings emotion-8 --seeds 13 --minutes 60
    python experiments/run.py e2-learning-curves --data FOLDER --settings emotion-8 --seeds 13 --again
    python experiments/run.py e5-best --data FOLDER --size gpu --test --jobs 12

An experiment is a folder: its `trials.yaml` says what is varied, as overrides of `recipe.yaml`, which all share. A
*setting* (data, rows) has a run folder of its own for each seed; its *trials* follow each other in it, so that what
they have in common is computed once. FOLDER holds the data sets of `data.yaml` and `reasoning`, each a folder with
train, validation and test as Parquet. Models are compared on validation rows, `--test` excepted; those that
calibration needs are then cut from the train rows. `--again` runs what has a result once more, in run folders of its
own, and compares; the kept results stay as they are.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import yaml
from data_sets import CHANGES, Changes, DataSet
from steps import reasoner_steps, written_steps

from whylabel.evaluation.evaluate import evaluate
from whylabel.evaluation.predictions import read_predictions, write_predictions
from whylabel.host.locks import one_at_a_time
from whylabel.host.machine import hardware, usable_cores, versions
from whylabel.host.progress import say
from whylabel.pipeline import Pipeline
from whylabel.prediction.trained import TrainedClassifier
from whylabel.reasonings.decisions import import_decisions
from whylabel.recipe import load_recipe
from whylabel.run_folder import RunFolder

HERE = Path(__file__).parent
KEY = ("setting", "trial", "seed", "split")
SPENT = ("steps", "rows", "tokens", "supervised_tokens", "flops", "seconds")
SCORES = ("n", "accuracy", "accuracy_ci95", "macro_f1", "macro_f1_ci95", "negative_log_likelihood")


@dataclass(frozen=True)
class Trial:
    """One training and evaluation; trials of one setting and seed share a run folder."""

    experiment: str
    setting: str
    name: str
    seed: int
    split: str
    recipe: Path
    overrides: tuple[str, ...]
    reasonings: Path | None = None
    """A file of reasonings that take the place of the reasoner's."""
    has_reasoner: bool = True
    """Whether the shared reasoner writes; if not, one of the run's own does, or the data has every reasoning."""
    program: Path | None = None
    """Train rows with the reasonings that a program wrote, if the reasoner is to be measured by them."""
    alone: bool = False
    """Whether only the classifier is trained: the label alone is that of another trial, on the same rows."""

    @property
    def key(self) -> tuple[str, str, int, str]:
        """What a result is found by, in the order of `KEY`."""
        return self.setting, self.name, self.seed, self.split


def main() -> int:
    """Run the trials of the plan; the exit code is 1 where a process of its own failed."""
    known = parser(__doc__)
    known.add_argument("--jobs", type=int, default=1, help="settings and seeds that run side by side")
    arguments = known.parse_args()
    trials = list(planned(arguments.experiment, arguments))
    if arguments.jobs > 1:
        return side_by_side(trials, arguments)
    run_all(trials, arguments, lambda trial: run(trial, arguments))
    return 0


def side_by_side(trials: Sequence[Trial], arguments: argparse.Namespace) -> int:
    """Run every setting and seed in a process of its own, so many at a time, and return 1 if one of them failed.

    A small model leaves most of a GPU idle. What a process says is in a log beside its run folder.
    """
    groups = dict.fromkeys((trial.setting, trial.split, trial.seed) for trial in to_run(trials, arguments))
    folder, started = arguments.runs / arguments.experiment, time.monotonic()
    folder.mkdir(parents=True, exist_ok=True)
    threads = str(max(1, usable_cores() // arguments.jobs))

    def run_group(group: tuple[str, str, int]) -> int:
        setting, split, seed = group
        log = folder / f"{setting}-{split}-{seed}.log"
        own = ["--jobs", "1", "--settings", setting, "--seeds", str(seed)]
        if arguments.minutes is not None:
            own += ["--minutes", str(arguments.minutes - (time.monotonic() - started) / 60)]
        with log.open("w", encoding="utf-8") as said:
            code = subprocess.run(
                [sys.executable, __file__, *sys.argv[1:], *own],
                stdout=said,
                stderr=subprocess.STDOUT,
                env={**os.environ, "OMP_NUM_THREADS": threads},
                check=False,
            ).returncode
        say(f"{setting} · seed {seed}: {f'failed, see {log}' if code else 'done'}")
        return code

    with ThreadPoolExecutor(arguments.jobs) as pool:
        failed = any(list(pool.map(run_group, groups)))
    if arguments.again:
        compare(trials, arguments)
    return int(failed)


def run_all(
    trials: Sequence[Trial], arguments: argparse.Namespace, work: Callable[[Trial], dict[str, Any]]
) -> None:
    """Do the work of the trials that are to be run, and keep what it finds as a line each."""
    results, started = results_of(arguments), time.monotonic()
    left = to_run(trials, arguments)
    say(
        f"{arguments.experiment}: {len(read_results(results))} trials have a result, {len(left)} are to be run"
    )
    results.parent.mkdir(parents=True, exist_ok=True)
    for trial in left:
        begun = time.monotonic()
        minutes = (begun - started) / 60
        if arguments.minutes is not None and minutes > arguments.minutes:
            say(f"{minutes:.0f} minutes are over: the rest another time")
            break
        say(f"\n{trial.setting} · {trial.name} · seed {trial.seed}")
        result = {
            **dict(zip(KEY, trial.key, strict=True)),
            **work(trial),
            "seconds": round(time.monotonic() - begun),
            "date": datetime.now(UTC).date().isoformat(),
            "machine": {**hardware(), **versions()},
        }
        # In one write, which nothing that another process appends can come between.
        with results.open("ab", buffering=0) as file:
            file.write(f"{json.dumps(result, sort_keys=True)}\n".encode())
    if arguments.again:
        compare(trials, arguments)


def results_of(arguments: argparse.Namespace) -> Path:
    """Return the file that results are added to: with `--again` one beside the run folders."""
    kept = HERE / arguments.experiment / "results.jsonl"
    return arguments.runs / arguments.experiment / "again.jsonl" if arguments.again else kept


def to_run(trials: Iterable[Trial], arguments: argparse.Namespace) -> list[Trial]:
    """Return the trials without a result; with `--again` those that have one, and no second one."""
    done = by_key(results_of(arguments))
    kept = by_key(HERE / arguments.experiment / "results.jsonl")
    return [trial for trial in trials if trial.key not in done and (trial.key in kept or not arguments.again)]


def compare(trials: Iterable[Trial], arguments: argparse.Namespace) -> None:
    """Say for each trial that was run again, and each model, its accuracy as it was kept and as it is now."""
    kept, again = by_key(HERE / arguments.experiment / "results.jsonl"), by_key(results_of(arguments))
    for trial in trials:
        if trial.key not in again:
            continue
        before, now = kept[trial.key], again[trial.key]
        say(f"\n{trial.setting} · {trial.name} · seed {trial.seed}: as it was kept, and now")
        for condition, found in before.get("reasoner", {}).items():
            old, new = (100 * each["all_right"] for each in (found, now["reasoner"][condition]))
            say(f"  reasonings, {condition}: all right in {old:.1f} % and {new:.1f} %")
        for model in sorted(before.get("scores", ())):
            rows = before["right"][model], now["right"][model]
            old, new = (100 * row.count("1") / len(row) for row in rows)
            alike = sum(one == other for one, other in zip(*rows, strict=False))
            same = len(rows[0]) == len(rows[1])
            agree = f"right or wrong alike on {alike:,} of {len(rows[0]):,} rows" if same else "on other rows"
            say(f"  {model:20}  {old:5.1f} %  {new:5.1f} %  {new - old:+5.1f} points  {agree}")


def parser(description: str) -> argparse.ArgumentParser:
    """Return the parser of what is run of an experiment."""
    parser = argparse.ArgumentParser(description=description.splitlines()[0])
    parser.add_argument("experiment", choices=sorted(path.parent.name for path in HERE.glob("*/trials.yaml")))
    parser.add_argument("--data", type=Path, required=True, help="the folder of the data sets")
    parser.add_argument(
        "--models", type=Path, default=Path("models"), help="the folder of larger base models"
    )
    parser.add_argument("--size", choices=["cpu", "gpu"], help="default: what this machine has")
    parser.add_argument("--settings", nargs="+", help="default: all of the size")
    parser.add_argument("--trials", nargs="+", help="default: all")
    parser.add_argument("--seeds", nargs="+", type=int, help="default: those of the size")
    parser.add_argument(
        "--test", action="store_true", help="evaluate on the test split: once, at the very end"
    )
    parser.add_argument(
        "--again", action="store_true", help="run what has a result once more, and compare; results stay"
    )
    parser.add_argument("--minutes", type=float, help="start no trial after so many minutes")
    parser.add_argument("--runs", type=Path, default=Path("runs/experiments"), help="where run folders go")
    return parser


def planned(
    experiment: str, arguments: argparse.Namespace, trials: Mapping[str, Sequence[str]] | None = None
) -> Iterator[Trial]:
    """Yield trials, default those of the plan, as they are run: seed by seed, so that the first ones are whole."""
    plan = yaml.safe_load((HERE / experiment / "trials.yaml").read_text(encoding="utf-8"))
    trials = plan["trials"] if trials is None else trials
    recipe = HERE / experiment / plan.get("recipe", "../recipe.yaml")
    reasonings = HERE / experiment / plan["reasonings"] if "reasonings" in plan else None
    size = plan["sizes"][arguments.size or ("gpu" if has_gpu() else "cpu")]
    split = "test" if arguments.test else "validation"
    for seed in arguments.seeds or size["seeds"]:
        for setting in arguments.settings or size["settings"]:
            shared = plan["settings"][setting]
            changes = Changes(**{key: shared[key] for key in CHANGES if key in shared})
            data = DataSet.of(shared["data"], arguments.data)
            overrides = [
                *data.overrides(split, changes, arguments.runs / "data"),
                f"seed={seed}",
                *plan.get("overrides", []),
            ]
            overrides += [*shared.get("overrides", []), *size.get("overrides", [])]
            for name in arguments.trials or trials:
                own = tuple(
                    text.replace("REASONING", str(arguments.data / "reasoning")).replace(
                        "MODELS", str(arguments.models)
                    )
                    for text in (*overrides, *trials[name])
                )
                reads = shared.get("reasoner", plan.get("reasoner")) not in ("none", "own")
                program = data.folder / "train.parquet" if changes.given else None
                alone = name in plan.get("alone", ())
                yield Trial(
                    experiment, setting, name, seed, split, recipe, own, reasonings, reads, program, alone
                )


def run_folder_of(trial: Trial, arguments: argparse.Namespace) -> RunFolder:
    """Return the run folder of a trial's setting and seed, which its trials share."""
    name = f"{trial.setting}-{trial.split}-{trial.seed}{'-again' if arguments.again else ''}"
    return RunFolder(arguments.runs / trial.experiment / name)


def run(trial: Trial, arguments: argparse.Namespace) -> dict[str, Any]:
    """Train and evaluate, and return what there is to keep."""
    runs = arguments.runs
    overrides = list(trial.overrides)
    if trial.has_reasoner:
        reasoner = str(shared_reasoner(arguments.data / "reasoning", runs))
        overrides = [
            f"reasoner.model={reasoner}",
            *(text.replace("REASONER", reasoner) for text in overrides),
        ]
    recipe = load_recipe(trial.recipe, overrides)
    run_folder = run_folder_of(trial, arguments)
    pipeline = Pipeline(recipe, run_folder)
    if trial.reasonings is not None:
        with run_folder.locked():
            pipeline.begin()
            pipeline.augment()
        import_decisions(run_folder, trial.reasonings, decided_by=trial.reasonings.name)
    with run_folder.locked():
        evaluation = classifier_alone(pipeline) if trial.alone else whole(pipeline)
    return {
        "rows": read(run_folder.manifest)["data"]["rows"],
        "scores": dict(scores(evaluation)),
        "right": right(run_folder),
        **(written_steps(run_folder, Path(recipe.data.test)) if recipe.data.test else {}),
        **(reasoner_steps(run_folder, trial.program) if trial.program else {}),
        "spent": {
            name: {key: read(path).get(key) for key in SPENT}
            for name, path in (
                ("baseline", run_folder.baseline_metrics),
                ("classifier", run_folder.classifier_metrics),
            )
            if name == "classifier" or not trial.alone
        },
        "augment": {
            key: value
            for key, value in (read(run_folder.augment_metrics) if run_folder.kept.exists() else {}).items()
            if isinstance(value, int | dict)
        },
    }


def whole(pipeline: Pipeline) -> dict[str, Any]:
    """Run every stage, and return what the evaluation found."""
    pipeline.run_all()
    return read(pipeline.run.evaluation_metrics)


def classifier_alone(pipeline: Pipeline) -> dict[str, Any]:
    """Train the classifier, no baseline, and return what it scores; its predictions are in the run folder."""
    pipeline.begin()
    if pipeline.inputs.trains_reasoner:
        pipeline.train_reasoner()
    pipeline.augment()
    pipeline.train_classifier()
    test, recipe = pipeline.dataset.test, pipeline.recipe
    model = TrainedClassifier.from_folder(pipeline.run.classifier_model, device=recipe.device)
    rows = [(row.id, row.text) for row in test]
    modes = [mode for mode in model.card.modes if mode != "vote"]
    answers = list(model.predict_in_modes(rows, modes))
    by_mode = {mode: [answer[mode] for answer in answers] for mode in modes}
    outcome = evaluate(
        test,
        (),
        pipeline.labels,
        {"classifier": by_mode[model.mode]},
        recipe.evaluation,
        recipe.seed,
        modes=by_mode,
    )
    write_predictions(pipeline.run.predictions, outcome.rows)
    return outcome.to_json()


def shared_reasoner(data: Path, runs: Path) -> Path:
    """Return the reasoner of all experiments, trained if it is not there (`reasoner.yaml`)."""
    run_folder = RunFolder(runs / "reasoner")
    pipeline = Pipeline(load_recipe(HERE / "reasoner.yaml", [f"reasoner.data={data}"]), run_folder)
    with one_at_a_time(run_folder.path), run_folder.locked():
        pipeline.train_reasoner()
    return run_folder.reasoner_model


def scores(evaluation: Mapping[str, Any]) -> Iterator[tuple[str, dict[str, Any]]]:
    """Yield each model's scores: `baseline` if there is one, `classifier` in every mode, the floors and rivals."""
    found = {**evaluation["floors"], **evaluation.get("rivals", {})}
    found |= {"baseline": evaluation["baseline"]} if evaluation["baseline"] else {}
    found |= {f"classifier {mode}": score for mode, score in evaluation["modes"].items()}
    for name, score in found.items():
        cost = {key: score["cost"][key] for key in ("seconds_per_row", "tokens_per_row")}
        yield name, {**{key: score[key] for key in SCORES}, **cost, **score["rates"]}


def right(run_folder: RunFolder) -> dict[str, str]:
    """Return for each model which rows it labels rightly, as 0 and 1 in the order of their ids."""
    by_model: dict[str, dict[str, bool]] = {}
    for row in read_predictions(run_folder.predictions):
        name = f"classifier {row.prediction.mode}" if row.model == "classifier" else row.model
        by_model.setdefault(name, {})[row.prediction.id] = row.right
    return {
        name: "".join("01"[found[row_id]] for row_id in sorted(found)) for name, found in by_model.items()
    }


def read_results(path: Path) -> Sequence[dict[str, Any]]:
    """Return the results of finished trials."""
    return [json.loads(line) for line in path.read_text("utf-8").splitlines()] if path.exists() else []


def by_key(path: Path) -> dict[tuple[str, str, int, str], dict[str, Any]]:
    """Return the results of finished trials by the key of their trial."""
    return {tuple(result[name] for name in KEY): result for result in read_results(path)}


def read(path: Path) -> dict[str, Any]:
    """Return the content of a JSON file."""
    found: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    return found


def has_gpu() -> bool:
    """Return whether CUDA is there."""
    import torch

    return torch.cuda.is_available()


if __name__ == "__main__":
    sys.exit(main())
