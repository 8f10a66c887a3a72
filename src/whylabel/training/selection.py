"""Model selection on the task: the weights that label validation rows best are kept, and training may stop early."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from whylabel.training.checkpoints import Checkpoint


@dataclass(frozen=True)
class Selection:
    """`measure` says how well the weights as they are label validation rows, every `steps` optimizer steps.

    `metric` is its name, under which `evaluations` keep what it said.
    """

    measure: Callable[[], float]
    steps: int
    patience: int | None = None
    metric: str = "accuracy"

    def is_due(self, step: int, last: int) -> bool:
        """Return whether a look is due after this step; the last one always is."""
        return step % self.steps == 0 or step == last

    def is_over(self, state: Checkpoint) -> bool:
        """Return whether so many looks in a row were no better than the best one before them."""
        if self.patience is None or len(state.evaluations) <= self.patience:
            return False
        found = self.found(state)
        return max(found[: -self.patience]) >= max(found[-self.patience :])

    def is_best(self, state: Checkpoint) -> bool:
        """Return whether the last look is better than all before: of equals the first is kept."""
        *before, last = self.found(state)
        return all(last > other for other in before)

    def best_step(self, state: Checkpoint) -> int:
        """Return the step of the best look; without any, the last step."""
        found = self.found(state)
        return int(state.evaluations[found.index(max(found))]["step"]) if found else state.step

    def found(self, state: Checkpoint) -> list[float]:
        """Return what all looks have found."""
        return [look[self.metric] for look in state.evaluations]
