"""Stage 2a: how reasonings are sampled, judged and dropped, and which engine generates them."""

from __future__ import annotations

import re
from typing import Annotated, Any, Literal

from pydantic import Field, field_validator, model_validator

from whylabel.recipe.engine import EngineConfig
from whylabel.recipe.section import Later, Section

_FOLDS = 3


class SamplingConfig(Section):
    """How the reasoner samples a reasoning."""

    max_new_tokens: int = Field(96, ge=1)
    """Longest reasoning in tokens. A reasoning that does not end by then is dropped as unfinished."""
    temperature: float = Field(0.0, ge=0)
    """0: greedy decoding; above 0: sampling."""
    top_p: float = Field(1.0, gt=0, le=1)
    """Nucleus sampling; used with a temperature above 0."""


class FilterConfig(Section):
    """Which reasonings are dropped, and when."""

    names: list[str] = ["empty", "unfinished", "length", "repetition", "copy"]
    """Filters in the order in which they run; the first one that drops a reasoning gives the reason.
    Also available: `ungrounded`, `contradiction`, `fluency`, `leak`, `language`, `pattern`, `near_duplicate` (put it
    last), and those added by entry point."""
    min_words: int = Field(4, ge=0)
    """`length`: shorter reasonings are dropped. In scripts without blanks, two characters of Han or kana count as a
    word, or four of Thai, Lao, Khmer or Burmese."""
    max_words: int = Field(120, ge=1)
    """`length`: longer reasonings are dropped."""
    max_repeats: int = Field(3, ge=1)
    """`repetition`: the same four words in a row may occur this often in a reasoning."""
    max_copied: float = Field(0.8, gt=0, le=1)
    """`copy`: largest share of a reasoning's words that may be one verbatim passage of the text or the question."""
    question: str | None = None
    """`copy`: the question that a reasoning may not repeat; default: `task.question`."""
    leak_words: int = Field(8, ge=1)
    """`leak`: a reasoning that names its label, or a word related to it, within this many first words is dropped; one
    that was written without the label, if it names any label there."""
    drop_patterns: list[str] = []
    """`pattern`: a reasoning that matches one of these regular expressions (Python's) anywhere is dropped. They are
    case-sensitive unless they begin with `(?i)`."""
    quotation_required: Annotated[bool, Later()] = False
    """`ungrounded`: also drop a reasoning that quotes nothing of its text."""
    labels: Annotated[list[str] | None, Later()] = None
    """`contradiction`, `leak`: the labels that they look for beside that of the row; default: all of the task."""
    min_fluency: Annotated[float | None, Later()] = None
    """`fluency`: the smallest mean log-probability of a reasoning's tokens (nats), given the text, under the base
    model, untrained. Default: learnt from the reasoner's own training rows; 5 % of them are below it."""
    max_similarity: float = Field(0.9, ge=0.5, lt=1)
    """`near_duplicate`: largest share of word triples that a reasoning may share with an earlier one."""

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
                raise ValueError(f"{pattern!r} is not a regular expression ({error})") from None
        return patterns

    @model_validator(mode="after")
    def _patterns_are_used(self) -> FilterConfig:
        if self.drop_patterns and "pattern" not in self.names:
            raise ValueError("drop_patterns are given, but names has no filter `pattern` that uses them")
        return self


class VerificationConfig(Section):
    """Whether each reasoning leads to its label, as judged by a model that did not write it."""

    verifier: str | None = None
    """The model that judges: `baseline` (baselines that are each trained without one part of the train rows, and
    judge the reasonings of that part), `base` (the base model, untrained), a model folder or hub id. Default: none;
    the first candidate that passes the filters is kept."""
    folds: Annotated[int | None, Later()] = Field(None, ge=2)
    """`verifier: baseline`: into how many parts the train rows are divided. Each part takes the training of a
    baseline on the others, and its room on the disk. Default: `augment.suspects.folds` if it is set, else 3."""
    min_margin: float = 0.0
    """The margin that the best candidate needs, in nats: its lift of the gold label's log-probability minus its lift
    of the strongest rival's. The labels' words are masked."""
    unverified: Literal["drop", "keep"] = "drop"
    """What to do with a row whose best candidate has too small a margin: drop it, or keep it with a lower weight."""
    unverified_weight: float = Field(0.5, gt=0, le=1)
    """`unverified: keep`: the weight of such a row."""


class SuspectsConfig(Section):
    """Training rows whose label looks wrong. They are listed in `augment/suspects.parquet`, never relabelled."""

    folds: int | None = Field(None, ge=2)
    """Look for them with this many baselines, each trained without one part of the rows. Default: do not look."""
    exclude: bool = False
    """Write no reasoning for them: a reasoning for a wrong label teaches fabrication."""


class AugmentConfig(Section):
    """Stage 2a: a reasoning for every labelled training text."""

    engine: EngineConfig = EngineConfig()
    """The engine that generates: its name (`engine: vllm`), or these fields."""
    engine_options: dict[str, Any] = {}
    """Settings that only this engine has."""
    sampling: SamplingConfig = SamplingConfig()
    """How reasonings are sampled."""
    candidates: int = Field(1, ge=1)
    """Reasonings sampled for every text. More than one needs a `sampling.temperature` above 0."""
    condition: Literal["label", "free", "free_then_label"] = "label"
    """What the reasoner sees beside the text. `label`: the label; `free`: nothing; `free_then_label`: first nothing,
    then the label, for rows that have no acceptable reasoning without it. What is written without the label needs
    `verification.verifier` or the filter `contradiction`: else nothing says that it leads to its label."""
    filters: FilterConfig = FilterConfig()
    """Which reasonings are dropped."""
    verification: VerificationConfig = VerificationConfig()
    """Which candidate is best, and whether it is good enough."""
    suspects: SuspectsConfig = SuspectsConfig()
    """Which labels look wrong."""

    @property
    def judged_by_baselines(self) -> bool:
        """Whether baselines judge the reasonings, each those of rows that it has not seen."""
        return self.verification.verifier == "baseline"

    @property
    def folds(self) -> int | None:
        """Into how many parts the rows are divided for baselines that have not seen one; None: there are none."""
        if not self.judged_by_baselines:
            return self.suspects.folds
        return self.verification.folds or self.suspects.folds or _FOLDS

    @model_validator(mode="after")
    def _trained_once(self) -> AugmentConfig:
        judging, looking = self.verification.folds, self.suspects.folds
        if self.judged_by_baselines and None not in (judging, looking) and judging != looking:
            raise ValueError(
                f"verification.folds {judging} and suspects.folds {looking} are served by the same baselines: "
                "give both the same number, or leave out verification.folds"
            )
        return self

    @model_validator(mode="after")
    def _drawn_apart(self) -> AugmentConfig:
        if self.candidates > 1 and self.sampling.temperature == 0:
            raise ValueError(f"{self.candidates} candidates are all the same at sampling.temperature 0")
        return self
