"""The records that stages pass to each other. A field has the same name as its column."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Literal

Mode = Literal["fast", "reasoned", "vote", "adaptive", "blend"]
Condition = Literal["label", "free"]
"""Under which condition a reasoner writes: it is shown the label or not."""
Origin = Literal[Condition, "own"]
"""Where a reasoning comes from: a reasoner under a condition, or the data itself (`own`)."""
Control = Literal["shuffled_words", "another_text", "another_label", "filler", "key_words"]
Form = Literal["label", "reasoning_label", "label_reasoning", "reasoning"]
Target = Literal["label", "reasoning_label", "label_reasoning", "dual", "multi_task"]
PredictionEngine = Literal["auto", "transformers", "openvino", "vllm"]
"""The engines with which a trained model may write: they run its own weights, and differ by rounding alone."""
Status = Literal[
    "ok", "truncated", "reasoning_cut", "label_forced", "reasoning_failed", "abstained", "failed"
]


@dataclass(frozen=True, slots=True)
class Example:
    """One labelled text. `id` is the user's own, or a hash of the text.

    If a text has several labels, `label` has all of them in label order, with separators between them (`joy, love`);
    if it has none, `label` is empty. `reasoning` is the one that a train row came with, empty if none; it is no
    part of what identifies the row.
    """

    id: str
    text: str
    label: str
    reasoning: str = field(default="", compare=False)


@dataclass(frozen=True, slots=True)
class QuestionAnswer:
    """One row of general-purpose reasoning data; stage 1 is trained on these."""

    id: str
    question: str
    answer: str
    reasoning: str


@dataclass(frozen=True, slots=True)
class ReasonedExample:
    """An example with a reasoning that leads from its text to its label.

    `finished` is False if the reasoner reached its token limit. `condition` says whether it was shown the label
    (`label`) or not (`free`), or that the reasoning came with the data (`own`). If several reasonings were sampled,
    `candidate` is the number of this one, and `candidates` are all acceptable ones, this one first; `scores` are
    their margins (see `Lift`). `weight` is below 1 if the margin was too small for the verifier.
    """

    id: str
    text: str
    label: str
    reasoning: str
    reasoner: str = ""
    finished: bool = True
    condition: Origin = "label"
    candidate: int = 0
    candidates: tuple[str, ...] = ()
    scores: tuple[float, ...] = ()
    weight: float = 1.0
    fluency: float | None = None
    """Mean log-probability of its tokens, given the text, under a model that did not write it; None: not judged."""

    @property
    def example(self) -> Example:
        """The example without its reasoning."""
        return Example(self.id, self.text, self.label)


@dataclass(frozen=True, slots=True)
class Lift:
    """How much more probable a reasoning makes labels, in nats of log-probability over the label set.

    `gold` is the lift of the row's own label, `rival` the most probable other label, `rival_lift` its lift.
    """

    gold: float
    rival: str
    rival_lift: float

    @property
    def margin(self) -> float:
        """The lift of the gold label minus that of its rival."""
        return self.gold - self.rival_lift


@dataclass(frozen=True, slots=True)
class Dropped:
    """A reasoned example that was dropped, and the reason."""

    row: ReasonedExample
    reason: str


@dataclass(frozen=True, slots=True)
class FilterResult:
    """What the filters kept and what they dropped: rows in = kept + dropped."""

    kept: tuple[ReasonedExample, ...]
    dropped: tuple[Dropped, ...]

    def counts(self) -> dict[str, int]:
        """Return how many rows were dropped for each reason, most frequent first."""
        counts: dict[str, int] = {}
        for item in self.dropped:
            counts[item.reason] = counts.get(item.reason, 0) + 1
        return dict(sorted(counts.items(), key=lambda pair: (-pair[1], pair[0])))


@dataclass(frozen=True, slots=True)
class Evidence:
    """A stretch of a text, and how much its label rests on it.

    `start` and `end` are character offsets (code points) of the text as given: `text` is text[start:end]. `effect` is
    log p(label | text) minus log p(label | text without the stretch), in nats.
    """

    start: int
    end: int
    text: str
    effect: float


@dataclass(frozen=True, slots=True)
class Prediction:
    """A model's answer to one text.

    `probabilities` are in label order and sum to 1; they come from scoring every label of the closed set. If a text
    may have several labels, each is decided separately: the probabilities do not sum to 1, and `label` has all labels
    that reach their threshold, with separators between them; it is empty if none does.
    `reasoning` is None if none was written, or if it is withheld (`reasoning_status`). Of several (`vote`), it is the
    one that made the label most probable, among those that are not to be withheld.
    `seconds` is the row's share of its batch; `tokens` counts generated tokens.
    `status` is one of

    - `ok`
    - `truncated`: the text had to be trimmed to the model's budget;
    - `reasoning_cut`: the reasoning reached its token limit and was closed for the label;
    - `label_forced`: the model ended before it reached the label, which was scored all the same;
    - `reasoning_failed`: the reasoning that mode `adaptive` asked for failed (`error` says why); it answers without;
    - `abstained`: the best probability is below the requested one; `label` is the best label all the same;
    - `failed`: the row could not be computed; `error` says why, and `label` is empty.
    """

    id: str
    label: str
    probabilities: tuple[float, ...]
    reasoning: str | None = None
    mode: Mode = "fast"
    status: Status = "ok"
    seconds: float = 0.0
    tokens: int = 0
    error: str | None = None
    evidence: tuple[Evidence, ...] | None = None
    """The stretches of the text that the label rests on, the largest effect first; None if it was not asked for."""
    reasoning_status: str | None = None
    """What became of the reasoning; None if none was written:

    - `ok`: it passed the filters, and the label was read after it;
    - `afterthought`: it passed the filters and leads to the label, which rests more on the answer without it;
    - `withheld: REASON`: it is not shown, because a filter refused it or it leads to another label.
    """
    disagrees: bool | None = None
    """Whether the model would give another label without the reasoning; None if only one of the two is known."""


@dataclass(frozen=True, slots=True)
class Dataset:
    """Labelled texts in their three splits; a split may be empty."""

    train: Sequence[Example]
    validation: Sequence[Example] = ()
    test: Sequence[Example] = ()
    labels: tuple[str, ...] = ()
    """All labels of the data, including labels of rows outside a sample. Empty: the labels of the rows."""
    inferred: dict[str, str] = field(default_factory=dict)
    """What was recognised, not named by the user: columns, labels, splits."""

    def splits(self) -> dict[str, Sequence[Example]]:
        """Return the splits by name, in the order train, validation, test."""
        return {"train": self.train, "validation": self.validation, "test": self.test}
