"""The stages over a run folder, each skipped when nothing that it depends on has changed.

Start at `pipeline.py`: it has the stages in their order. `inputs.py` holds what a run starts from, `keys.py` what
decides the outcome of each stage, `job.py` what the work of all stages has in common. Each of the other files does
the work of one stage. Heavy libraries are imported inside their functions, so that a run in which nothing has changed
ends within seconds.
"""

from whylabel.pipeline.pipeline import Pipeline

__all__ = ["Pipeline"]
