"""The engine that generates, in this process or on a cluster: of stage 2a, and of prediction."""

from __future__ import annotations

from typing import ClassVar, Literal, get_args

from pydantic import Field, field_validator, model_validator

from whylabel.recipe.section import Execution, Section, Weights
from whylabel.types import PredictionEngine


class EngineConfig(Section):
    """The engine that generates. A plain name (`engine: vllm`) means that engine in this process."""

    short_for: ClassVar[str | None] = "name"
    decides = "execution"

    name: Weights[str] = "auto"
    """`transformers`, `openvino` (the fast one on a CPU), `vllm`, `openai`, `scripted`, an engine added by entry
    point, or `auto`: openvino if it is installed, the device is the CPU and it can run the model, else
    transformers."""
    distributed: Literal["ray"] | None = None
    """`ray`: run the engine in worker processes of a Ray cluster (`pip install 'whylabel[ray]'`). Default: in
    this process."""
    address: str | None = Field(None, min_length=1)
    """The cluster: `auto` (the one that runs on this machine), `HOST:PORT` or `ray://HOST:PORT`. Default: a new one
    on this machine, which ends with the stage. Name only a cluster that you trust: Ray's processes run each other's
    code."""
    workers: int | None = Field(None, ge=1)
    """Worker processes, each with its own copy of the model. Default: one for each GPU; without GPUs, one for each
    node."""
    cpus_per_worker: int | None = Field(None, ge=1)
    """CPU cores that a worker reserves and uses. Default: 1 for a worker with a GPU, else its share of the cores of
    the smallest node."""
    gpus_per_worker: float | None = Field(None, ge=0)
    """GPUs that a worker reserves; with 0 it computes on the CPU. Default: 1 if the cluster has GPUs and `device`
    does not name another device than CUDA."""
    rows_per_task: int = Field(64, ge=1)
    """Largest number of prompts that a worker gets at a time. It gets fewer if not all workers would get some."""

    @model_validator(mode="after")
    def _for_a_cluster(self) -> EngineConfig:
        given = sorted(self.model_fields_set - {"name", "distributed"})
        changed = [key for key in given if getattr(self, key) != type(self).model_fields[key].default]
        if changed and self.distributed is None:
            raise ValueError(f"{' and '.join(changed)} need a cluster: add distributed: ray")
        return self


class PredictionEngineConfig(EngineConfig):
    """The engine with which a trained model writes its reasonings; labels are always scored in this process."""

    name: Execution[str] = "auto"
    """`transformers`, `openvino`, `vllm`, or `auto`: openvino if it is installed, the device is the CPU, it can run
    the model and there are enough texts to pay for the export of the model (done once for a model, half a minute for
    a small one), else transformers. Modes that write no reasoning need no engine."""

    @field_validator("name")
    @classmethod
    def _runs_these_weights(cls, name: str) -> str:
        known = get_args(PredictionEngine)
        if name not in known:
            raise ValueError(
                f"a trained model answers by its own weights: {name!r} is none of {', '.join(known)}"
            )
        return name
