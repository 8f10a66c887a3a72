"""The stages over a run folder, each skipped when nothing that it depends on has changed.

Start at `pipeline.py`: the stages in their order. `inputs.py` is what a run starts from, `keys.py` what decides the
outcome of each stage, `job.py` what the work of all stages has in common. The other files do that work, a stage each.
Compute is imported inside their functions, so that a run in which nothing changed ends within seconds.
"""

from whylabel.pipeline.pipeline import Pipeline

__all__ = ["Pipeline"]
