"""Model selection: keep the weights that label validation rows best, and stop training early."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from whylabel.training.checkpoints import Checkpoint


@dataclass(frozen=True)
class Selection:
    """Every `steps` optimizer steps, `measure` scores the current weights on validation rows (higher is better).

    `metric` is the name of the score in `Checkpoint.evaluations`. Training stops after `patience` evaluations without
    an improvement.
    """

    measure: Callable[[], float]
    steps: int
    patience: int | None = None
    metric: str = "accuracy"

    def is_due(self, step: int, last: int) -> bool:
        """Return whether to evaluate after this step; always true after the last step."""
        return step % self.steps == 0 or step == last

    def is_over(self, state: Checkpoint) -> bool:
        """Return whether none of the last `patience` evaluations was better than the best one before them."""
        if self.patience is None or len(state.evaluations) <= self.patience:
            return False
        scores = self._scores(state)
        return max(scores[: -self.patience]) >= max(scores[-self.patience :])

    def is_best(self, state: Checkpoint) -> bool:
        """Return whether the last evaluation is better than all before; of equal ones the first wins."""
        *before, last = self._scores(state)
        return all(last > other for other in before)

    def best_step(self, state: Checkpoint) -> int:
        """Return the step of the best evaluation; without evaluations, the last step."""
        scores = self._scores(state)
        return int(state.evaluations[scores.index(max(scores))]["step"]) if scores else state.step

    def _scores(self, state: Checkpoint) -> list[float]:
        """Return the scores of all evaluations."""
        return [evaluation[self.metric] for evaluation in state.evaluations]
