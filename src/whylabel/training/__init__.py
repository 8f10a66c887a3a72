"""The one supervised loop: rendered (prompt, completion) pairs -> a trained model. Both stages use it."""

from whylabel.training.checkpoints import Checkpoint, latest_checkpoint
from whylabel.training.loop import TrainingResult, train
from whylabel.training.selection import Selection

__all__ = ["Checkpoint", "Selection", "TrainingResult", "latest_checkpoint", "train"]
