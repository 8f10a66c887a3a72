"""Stage 2a: how reasonings are drawn, judged and dropped, and what generates them."""

from __future__ import annotations

import re
from typing import Any, ClassVar, Literal

from pydantic import Field, field_validator, model_validator

from whylabel.recipe.section import Section, Weights


class SamplingConfig(Section):
    """How a reasoning is drawn from the reasoner."""

    max_new_tokens: int = Field(96, ge=1)
    """Longest reasoning in tokens; one that does not end by then is dropped as unfinished."""
    temperature: float = Field(0.0, ge=0)
    """0 is greedy decoding; above 0 samples."""
    top_p: float = Field(1.0, gt=0, le=1)
    """Nucleus sampling; used with a temperature above 0."""


class FilterConfig(Section):
    """Which reasonings are dropped, and when."""

    names: list[str] = ["empty", "unfinished", "length", "repetition", "copy"]
    """Filters in the order in which they are asked; the first that refuses gives the reason.
    Also: `leak`, `language`, `pattern`, `near_duplicate` (last), and those added by entry point."""
    min_words: int = Field(4, ge=0)
    """`length`: shorter reasonings are dropped. In scripts without blanks, two characters of Han or kana, or four of
    Thai, Lao, Khmer or Burmese, count as a word."""
    max_words: int = Field(120, ge=1)
    """`length`: longer reasonings are dropped."""
    max_repeats: int = Field(3, ge=1)
    """`repetition`: a run of four words may stand this often in a reasoning."""
    max_copied: float = Field(0.8, gt=0, le=1)
    """`copy`: largest share of a reasoning's words that may be one verbatim stretch of the text or the question."""
    question: str | None = None
    """`copy`: the question that a reasoning may not repeat; default: `task.question`."""
    leak_words: int = Field(8, ge=1)
    """`leak`: a reasoning that names its label, or a relative of it, in so many first words is dropped."""
    drop_patterns: list[str] = []
    """`pattern`: a reasoning in which one of these regular expressions (Python's) is found is dropped; they heed
    case unless they begin with `(?i)`."""
    max_similarity: float = Field(0.9, ge=0.5, lt=1)
    """`near_duplicate`: largest share of word triples that a reasoning may have in common with an earlier one."""

    @model_validator(mode="after")
    def _ordered(self) -> FilterConfig:
        if self.min_words > self.max_words:
            raise ValueError(f"min_words {self.min_words} is above max_words {self.max_words}")
        return self

    @field_validator("drop_patterns")
    @classmethod
    def _regular_expressions(cls, patterns: list[str]) -> list[str]:
        for pattern in patterns:
            try:
                re.compile(pattern)
            except re.error as error:
                raise ValueError(f"{pattern!r} is no regular expression ({error})") from None
        return patterns

    @model_validator(mode="after")
    def _patterns_are_used(self) -> FilterConfig:
        if self.drop_patterns and "pattern" not in self.names:
            raise ValueError("drop_patterns are given, but names has no filter `pattern` to use them")
        return self


class VerificationConfig(Section):
    """Whether each reasoning leads to its label, as judged by a model that did not write it."""

    verifier: str | None = None
    """Who judges: `baseline` (this run's, then trained first), `base` (the base model, untrained), a model folder or
    hub id; default: nobody, the first candidate that passes the filters is kept."""
    min_margin: float = 0.0
    """The margin that the best candidate needs, in nats: its lift of the gold label's log-probability above that of
    the strongest rival, the labels' words masked."""
    unverified: Literal["drop", "keep"] = "drop"
    """What becomes of a row whose best candidate falls short."""
    unverified_weight: float = Field(0.5, gt=0, le=1)
    """`unverified: keep`: the weight that such a row gets."""


class SuspectsConfig(Section):
    """Training rows whose label looks wrong; they are listed in `augment/suspects.parquet`, never relabelled."""

    folds: int | None = Field(None, ge=2)
    """Look for them with this many baselines, each trained without a part of the rows; default: do not look."""
    exclude: bool = False
    """Write no reasoning for them: a reasoning for a wrong label teaches fabrication."""


class EngineConfig(Section):
    """What generates; a plain name, `engine: vllm`, means that engine in this process."""

    short_for: ClassVar[str | None] = "name"
    decides = "execution"

    name: Weights[str] = "auto"
    """`transformers`, `openvino` (the fast one on a CPU), `vllm`, `openai`, `scripted`, an engine added by entry
    point, or `auto`: openvino where it is installed, the device is the CPU and it can run the model, else
    transformers."""
    distributed: Literal["ray"] | None = None
    """`ray`: run the engine in worker processes of a Ray cluster (`pip install 'whylabel[ray]'`); default: here."""
    address: str | None = Field(None, min_length=1)
    """The cluster: `auto` (the one that runs on this machine), `HOST:PORT` or `ray://HOST:PORT`; default: one of our
    own on this machine, ended with the stage. Name only a cluster that you trust: Ray's processes run each other's
    code."""
    workers: int | None = Field(None, ge=1)
    """Worker processes, each with its own copy of the model; default: one for each GPU, or without GPUs for each
    node."""
    cpus_per_worker: int | None = Field(None, ge=1)
    """CPU cores that a worker reserves and computes with; default: 1 beside a GPU, else its share of the smallest
    node's."""
    gpus_per_worker: float | None = Field(None, ge=0)
    """GPUs that a worker reserves; 0: it computes on the CPU; default: 1 where the cluster has any, unless `device`
    is another than CUDA."""
    rows_per_task: int = Field(64, ge=1)
    """Most prompts that a worker is handed at a time; fewer where there would not be enough for all workers."""

    @model_validator(mode="after")
    def _for_a_cluster(self) -> EngineConfig:
        given = sorted(self.model_fields_set - {"name", "distributed"})
        changed = [key for key in given if getattr(self, key) != type(self).model_fields[key].default]
        if changed and self.distributed is None:
            raise ValueError(f"{' and '.join(changed)} need a cluster: add distributed: ray")
        return self


class AugmentConfig(Section):
    """Stage 2a: a reasoning for every labelled training text."""

    engine: EngineConfig = EngineConfig()
    """What generates: an engine's name (`engine: vllm`), or these fields."""
    engine_options: dict[str, Any] = {}
    """Settings of that engine alone."""
    sampling: SamplingConfig = SamplingConfig()
    """How reasonings are drawn."""
    candidates: int = Field(1, ge=1)
    """Reasonings drawn for every text; more than one needs a `sampling.temperature` above 0."""
    condition: Literal["label", "free", "free_then_label"] = "label"
    """What the reasoner is shown beside the text: its label, nothing, or first nothing and then the label for rows
    that have no acceptable reasoning without it."""
    filters: FilterConfig = FilterConfig()
    """What is dropped."""
    verification: VerificationConfig = VerificationConfig()
    """Which candidate is best, and whether it is good enough."""
    suspects: SuspectsConfig = SuspectsConfig()
    """Which labels look wrong."""

    @model_validator(mode="after")
    def _drawn_apart(self) -> AugmentConfig:
        if self.candidates > 1 and self.sampling.temperature == 0:
            raise ValueError(f"{self.candidates} candidates are all the same at sampling.temperature 0")
        return self
