"""Experiment trackers, to which a training reports its figures where the recipe asks for it."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from importlib.util import find_spec
from typing import Any

from whylabel.errors import RecipeError, UsageError
from whylabel.host.progress import say
from whylabel.host.runtime import first_line
from whylabel.recipe import TrainingConfig

PROJECT = "whylabel"
"""Under which name trackers file the runs."""
_FOLDER = "TENSORBOARD_LOGGING_DIR"

Report = Callable[[int, dict[str, float]], None]
"""Takes the number of an optimizer step and figures by name."""


def check_tracker(config: TrainingConfig, section: str) -> None:
    """Raise `RecipeError` if the recipe asks for a tracker whose package is missing."""
    name = config.report_to
    if name is not None and find_spec(name) is None:
        raise RecipeError(
            f"{section}.report_to: {name} needs the package {name}.",
            where="recipe",
            fix=f"pip install {name}",
        )


@contextmanager
def tracked(config: TrainingConfig, title: str) -> Iterator[Report]:
    """Yield what reports figures to the tracker that the recipe names; without one, it does nothing.

    A tracker is set up by its own environment variables; TensorBoard's files go to `$TENSORBOARD_LOGGING_DIR`, or to
    `tensorboard` in the working folder. A tracker that fails does not end a training, it is told nothing more. Raises
    `UsageError` if it cannot be started.
    """
    name = config.report_to
    if name is None:
        yield lambda _step, _figures: None
        return
    tracker: Any = _started(name, title, config)

    def report(step: int, figures: dict[str, float]) -> None:
        nonlocal tracker
        if tracker is not None:
            try:
                tracker.log(figures, step=step)
            except Exception as error:  # a border: each library, and its network, fails in ways of its own
                say(f"  Warning: {name} takes no more figures: {first_line(error)}")
                tracker = None

    try:
        yield report
    finally:
        if tracker is not None:
            try:
                tracker.finish()
            except Exception as error:  # as above
                say(f"  Warning: {name} was not closed: {first_line(error)}")


def _started(name: str, title: str, config: TrainingConfig) -> Any:
    from accelerate.tracking import LOGGER_TYPE_TO_CLASS

    named: dict[str, dict[str, Any]] = {
        "tensorboard": {"run_name": title, "logging_dir": os.environ.get(_FOLDER) or "tensorboard"},
        "mlflow": {"experiment_name": PROJECT, "run_name": title},
    }
    try:
        tracker = LOGGER_TYPE_TO_CLASS[name](**named.get(name, {"run_name": PROJECT, "name": title}))
        tracker.start()
        tracker.store_init_configuration(_plain(config))
    except Exception as error:  # a border, as above
        raise UsageError(
            f"{name} cannot be started: {first_line(error)}",
            where="recipe: report_to",
            fix=f"set {name} up by its own documentation, or remove report_to",
        ) from error
    return tracker


def _plain(config: TrainingConfig) -> dict[str, Any]:
    """Return the settings as a flat mapping of plain values: what all trackers take."""
    values: dict[str, Any] = {}
    for key, value in config.model_dump(mode="json").items():
        parts = (
            {f"{key}.{part}": each for part, each in value.items()}
            if isinstance(value, dict)
            else {key: value}
        )
        values |= {part: str(each) if isinstance(each, list) else each for part, each in parts.items()}
    return {key: value for key, value in values.items() if value is not None}
