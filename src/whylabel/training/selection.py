"""Model selection on the task: the weights that label validation rows best are kept, and training may stop early."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from whylabel.training.checkpoints import Checkpoint


@dataclass(frozen=True)
class Selection:
    """`accuracy` labels the validation rows with the weights as they are, every `steps` optimizer steps."""

    accuracy: Callable[[], float]
    steps: int
    patience: int | None = None

    def is_due(self, step: int, last: int) -> bool:
        """Return whether a look is due after this step; the last one always is."""
        return step % self.steps == 0 or step == last

    def is_over(self, state: Checkpoint) -> bool:
        """Return whether so many looks in a row were no better than the best one before them."""
        if self.patience is None or len(state.evaluations) <= self.patience:
            return False
        found = [look["accuracy"] for look in state.evaluations]
        return max(found[: -self.patience]) >= max(found[-self.patience :])


def is_best(state: Checkpoint) -> bool:
    """Return whether the last look is better than all before: of equals the first is kept."""
    *before, last = (look["accuracy"] for look in state.evaluations)
    return all(last > other for other in before)
