"""Stage 2b and the comparison: the classifier, the baseline and their evaluation."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import Field, model_validator

from whylabel.recipe.augment import FilterConfig
from whylabel.recipe.engine import PredictionEngineConfig
from whylabel.recipe.section import Answers, Decides, Execution, Later, Presentation, Section
from whylabel.types import Control, Mode, Target


class ShownConfig(FilterConfig):
    """Which reasonings of the trained model are shown: those that pass these filters. The others are withheld."""

    decides = "answers"

    names: list[str] = ["empty", "unfinished", "length", "repetition", "copy", "ungrounded", "contradiction"]
    """The filters, those of `augment.filters`; an empty list lets every reasoning pass."""
    min_probability: float = Field(0.5, ge=0, le=1)
    """A reasoning is withheld where the label's calibrated probability at once, without a reasoning, is below this
    (for a model that cannot answer at once: its probability after the reasoning). Where the model is unsure, its
    reasons are mostly wrong."""
    min_effect: Annotated[float | None, Later()] = Field(None, ge=0)
    """A reasoning is withheld where its label does not rest on the words that it quotes: where log p of the label at
    once falls by less than this (nats) if they are left out of the text. That takes one more scoring a reasoning.
    Default: not measured; nor is it for a model that cannot answer at once."""


class ClassifierConfig(Section):
    """Stage 2b: the model that writes its reasoning, then the label."""

    target: Target = "dual"
    """What the model writes after the text: `label`, `reasoning_label`, `label_reasoning`, `dual` (one model that can
    do either of the first two, depending on the prompt) or `multi_task` (label and reasoning as two tasks)."""
    reasoned_share: float = Field(0.5, gt=0, lt=1)
    """`dual`, `multi_task`: the share of training examples that hold a reasoning."""
    negatives: int = Field(4, ge=1)
    """`multi_label`: for each text, this many labels that do not apply are trained on, beside all that do. They are
    drawn again in each epoch. The same for classifier and baseline."""
    reasonings_per_text: int = Field(1, ge=1)
    """How many acceptable candidates of a text are used (see `augment.candidates`), a different one in each epoch."""
    self_training_rounds: int = Field(0, ge=0)
    """Rounds before the last training in which the classifier writes its own reasonings for the training texts,
    without their labels. Reasonings that lead to the label and pass the filters join the next round, which starts
    from the base model again."""
    control: Control | None = None
    """Spoil the reasonings on purpose, to measure what they contribute: `shuffled_words`, `another_text`,
    `another_label`, `filler` or `key_words`. Default: train on them as they are."""
    max_reasoning_tokens: Answers[int | None] = Field(None, ge=1)
    """Largest number of tokens of a reasoning at prediction. Default: derived from the lengths seen in training.
    At the limit the reasoning is closed, and the label is still scored."""
    votes: Answers[int] = Field(5, ge=1)
    """Mode `vote`: number of reasonings sampled for a text."""
    vote_temperature: Answers[float] = Field(0.7, gt=0)
    """Mode `vote`: temperature at which they are sampled."""
    calibration_rows: Answers[int] = Field(500, ge=0)
    """Validation rows on which the probabilities of classifier and baseline are calibrated. With fewer than 20 rows
    nothing is calibrated."""
    adaptive_share: Answers[float] = Field(0.3, ge=0, le=1)
    """Mode `adaptive`: the largest share of validation rows that get a reasoning. Within this limit, the threshold
    with the most right labels is chosen."""
    filters: Annotated[ShownConfig, Later()] = ShownConfig()
    """Which of its reasonings are shown. A reasoning that is withheld still counts for the label."""
    reasoning_attempts: Annotated[int, Decides("answers"), Later()] = Field(1, ge=1)
    """A reasoning that would be withheld is drawn again, at `vote_temperature`, up to so many in all. Of those that
    pass the filters, the one after which its label is most probable is taken; the label is read after it."""
    engine: PredictionEngineConfig = PredictionEngineConfig()
    """The engine with which the trained model writes reasonings, in calibration and evaluation: its name
    (`engine: vllm`), or these fields."""
    engine_options: Execution[dict[str, Any]] = {}
    """Settings that only this engine has."""

    @model_validator(mode="after")
    def _writes_reasonings(self) -> ClassifierConfig:
        if self.self_training_rounds and self.target not in ("reasoning_label", "dual"):
            raise ValueError(
                f"self_training_rounds need a model that reasons before its label, and target is {self.target}: "
                "set target to reasoning_label or dual"
            )
        if self.control and (self.self_training_rounds or self.target == "label"):
            raise ValueError(
                f"control: {self.control} spoils the reasoner's reasonings, so it needs a target with reasonings "
                "and no self_training_rounds"
            )
        return self


class BaselineConfig(Section):
    """The same model, trained on the label alone."""

    budget: Literal["same", "matched_steps", "matched_flops"] = "same"
    """`same`: the budget in `training`, which the classifier has, too. `matched_steps`, `matched_flops`: as many
    optimizer steps, or as much arithmetic, as the training of the classifier, which is then trained first."""


class EvaluationConfig(Section):
    """How the models are compared."""

    decides = "answers"

    bootstrap_samples: int = Field(10_000, ge=100)
    """Resamples of the paired bootstrap."""
    floors: list[Literal["majority", "tfidf"]] = ["majority", "tfidf"]
    """Simple models that the others are compared with."""
    rivals: Annotated[list[Literal["embeddings", "head"]], Later()] = ["embeddings"]
    """Other models that learn the labels from the same rows. `embeddings`: logistic regression on what the untrained
    base model makes of a text. `head`: the base model with a classification head, trained as the baseline is, with as
    much arithmetic; it takes as long, too."""
    encoder: Annotated[str | None, Later()] = None
    """One more rival: a hub id or a folder of an encoder (BERT, RoBERTa, ModernBERT, ...), which is fine-tuned on the
    same rows, in 5 epochs and 300 steps at least."""
    encoder_training: Annotated[list[Literal["fine_tuned", "setfit"]], Later()] = ["fine_tuned"]
    """How the encoder is trained, each way a rival of its own. `fine_tuned`: all weights, with a classification head.
    `setfit`: on pairs of texts with and without a label in common, for few labels; needs whylabel[setfit]."""
    modes: list[Mode] | None = None
    """Modes in which the classifier is evaluated, beside its default mode. Default: all that it has except `vote`."""
    shown: Presentation[int] = Field(20, ge=1)
    """Number of right and of wrong predictions that the report shows of each model."""
    quality_rows: Annotated[int, Later()] = Field(50, ge=0)
    """How many of the classifier's reasonings on test texts models judge: how fluent they are, whether they lead to
    their label, whether they quote what it rests on. Drawn with the seed; 0: none."""
    slices: Annotated[list[str], Later()] = ["label", "length", "margin", "suspects", "steps"]
    """Where the reasoning helps: classifier and baseline are compared within groups of the test rows, by `label`,
    `length` of the text, `margin` of the answer at once, `suspects` (labels that look wrong), `steps` (sentences of
    the reasoning) or any column of the data (`column:label` if it has one of these names)."""
    error_rates: Annotated[list[Annotated[float, Field(ge=0, lt=1)]], Later()] = [0.1, 0.05, 0.02, 0.01]
    """Shares of wrong labels that are wanted: for each, the evaluation says which share of the rows a person has to
    review, the most doubtful first."""
    faithfulness_rows: Annotated[int, Decides("presentation"), Later()] = Field(50, ge=1)
    """How many reasonings on test texts `whylabel evaluate --faithfulness` cuts, spoils and exchanges, to see whether
    the label changes. Drawn with the seed; each text is read some 15 times, and up to 5 reasonings are written for
    it."""

    @property
    def learn_from_train(self) -> bool:
        """Whether the evaluation trains models of its own, on the train rows."""
        return bool(self.floors or self.rivals or self.encoder)
