"""How the texts of many requests share one model: iteration by iteration (Yu et al. 2022, "Orca").

An iteration scores a few answers at once, or writes one step of all reasonings, or scores what reasonings and
evidence need. After answers at once one of the others follows, and these alternate; where no answer at once was
wanted lately, several steps may be written until there is more to score. So an answer at once waits for one of them
at most, never for a whole reasoning, and reasonings go on beside any stream of answers at once. Requests take turns,
so that a large one does not hold up small ones.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Protocol

from whylabel.engines.writer import Row, Writer
from whylabel.errors import EngineError, ModelError
from whylabel.host.runtime import first_line
from whylabel.prediction.answers import Answer
from whylabel.prediction.steps import Score, Write
from whylabel.serving.lanes import Job, Lane, Wanted
from whylabel.types import Prediction

_QUIET_SECONDS = 5.0
"""If no answer at once was wanted for so long, other iterations may be longer, which writes more a second."""
_GATHERING_STEPS = 8
"""Steps of writing, at most, in which prompts are gathered to be scored together."""


class Scorer(Protocol):
    """What scores prompts: a `TrainedClassifier`."""

    def score(self, prompts: list[Any]) -> list[Answer]:
        """Return an answer for every prompt."""


@dataclass(frozen=True, slots=True)
class Shares:
    """How much an iteration computes at most."""

    at_once: int = 8
    """Answers at once, beside anything else."""
    others: int = 2
    """What is wanted after reasonings and for evidence, where answers at once were wanted lately. A text is scored
    with its reasoning and without: both begin alike, and together cost little more than one."""
    gathered: int = 16
    """The same where none was wanted lately. On a CPU a prompt among so many takes half of the time of one by itself.
    Until so many wait, or half as many as reasonings are in progress where that is fewer, up to `_GATHERING_STEPS`
    steps are written first."""
    alone: int = 32
    """Answers at once, if nothing else is wanted."""
    scored_tokens: int = 2048
    """Tokens of the prompts that are scored, if it is more than one: no sign of life is given during an iteration."""
    joining_tokens: int = 128
    """Tokens of the prompts of reasonings that join in a step: what the writer computes in one. The others wait here,
    where requests take turns; the writer takes what it has in order."""


@dataclass(frozen=True, slots=True)
class Delta:
    """New characters of a reasoning that is being written; `draft` counts reasonings about the same text from 1."""

    job: int
    draft: int
    text: str


@dataclass(frozen=True, slots=True)
class Done:
    """The prediction for a text, or why there is none."""

    job: int
    prediction: Prediction | None
    error: str | None = None
    waited: float | None = None
    """Seconds until something was first computed for it; None if nothing was."""


class Scheduler:
    """The jobs of an engine process. `tell` is called with everything that happens to them."""

    def __init__(
        self,
        scorer: Scorer,
        writer: Writer,
        tokenizer: Any,
        tell: Callable[[Delta | Done], None],
        shares: Shares | None = None,
    ) -> None:
        self._scorer, self._writer, self._tokenizer, self._tell = scorer, writer, tokenizer, tell
        self._shares = shares or Shares()
        self._jobs: dict[int, Job] = {}
        self._writing: dict[Row, Wanted] = {}
        self._at_once, self._others, self._to_write = Lane(), Lane(), Lane()
        self._was_at_once = False
        self._steps_since_scoring = 0
        """Steps that were written since something was scored after reasonings."""
        self._asked_at_once = -math.inf
        self.at_once_together = 0
        """How many answers at once the last iteration scored together."""
        self.at_once_seconds = 0.0
        """How long the last answers at once took."""
        self.step_seconds: list[float] = []
        """How long steps of writing took; whoever reads it empties it."""

    @property
    def is_idle(self) -> bool:
        """Whether nothing is left to be computed."""
        return not self._jobs

    @property
    def waiting(self) -> int:
        """How many prompts wait to be scored."""
        return len(self._at_once) + len(self._others)

    @property
    def writing(self) -> int:
        """How many reasonings are being written or wait to be."""
        return len(self._writing) + len(self._to_write)

    def ask(self, job: Job) -> None:
        """Add a job; its outcome is told in a later iteration, or at once if nothing needs to be computed."""
        self._jobs[job.number] = job
        self._advance(job, None)

    def cancel(self, number: int) -> None:
        """Drop a job and free what it holds; nothing more is told of it. Others are not affected."""
        job = self._jobs.pop(number, None)
        if job is None:
            return
        for row in job.rows:
            self._writing.pop(row, None)
            self._writer.cancel(row)
        for lane in (self._at_once, self._others, self._to_write):
            lane.drop(job)
        job.steps.close()

    def iterate(self) -> None:
        """Score answers at once, or write one step, or score what reasonings and evidence need.

        Raises `EngineError` if nothing more can be written.
        """
        shares = self._shares
        wants_more = bool(self.writing or self._others)
        if self._at_once and not (self._was_at_once and wants_more):
            self._was_at_once = True
            taken = self._at_once.take(shares.at_once if wants_more else shares.alone, shares.scored_tokens)
            self.at_once_together, started = len(taken), time.monotonic()
            self._score(taken)
            self.at_once_seconds = time.monotonic() - started
            return
        self._was_at_once, self.at_once_together = False, 0
        is_watched = time.monotonic() - self._asked_at_once < _QUIET_SECONDS
        if self.writing and not self._others_are_due(is_watched):
            self._steps_since_scoring += 1
            self._write()
        else:
            self._steps_since_scoring = 0
            count = shares.others if self.writing and is_watched else shares.gathered
            self._score(self._others.take(count, shares.scored_tokens))

    def _others_are_due(self, is_watched: bool) -> bool:
        """Return whether what is wanted after reasonings is scored before another step is written."""
        steps, waiting = self._steps_since_scoring, len(self._others)
        if not waiting or not steps:
            return False
        enough = min(self._shares.gathered, self.writing // 2)
        return is_watched or waiting >= enough or steps >= _GATHERING_STEPS

    def _score(self, taken: list[tuple[Wanted, Any]]) -> None:
        if not taken:
            return
        for wanted, _ in taken:
            wanted.job.begin()
        answers = self._answers([prompt for _, prompt in taken])
        for (wanted, _), answer in zip(taken, answers, strict=True):
            wanted.results.append(answer)
            if len(wanted.results) == len(wanted.items):
                self._advance(wanted.job, wanted.results)

    def _answers(self, prompts: list[Any]) -> list[Answer]:
        """Return an answer for every prompt; for one that the model cannot take, the reason."""
        try:
            return self._scorer.score(prompts)
        except EngineError:
            raise
        except ModelError as error:
            if len(prompts) == 1:
                return [Answer(None, error=error.what)]
        return [answer for prompt in prompts for answer in self._answers([prompt])]

    def _write(self) -> None:
        self._join()
        started = time.monotonic()
        ended = self._writer.step()
        self.step_seconds.append(time.monotonic() - started)
        for row, wanted in self._writing.items():
            if row.generated:
                wanted.job.begin()
            # Of several reasonings that are written together, none is told: which one is shown is decided later.
            if wanted.job.streams and len(wanted.items) == 1:
                self._tell_new_text(wanted.job)
        for row in ended:
            wanted = self._writing.pop(row)
            rows = wanted.job.rows
            if not wanted.left and not any(other in self._writing for other in rows):
                completions = [one.completion(self._tokenizer) for one in rows]
                wanted.job.rows = []
                self._advance(wanted.job, completions)

    def _join(self) -> None:
        """Hand to the writer what joins in the next step: its prompts, and another for what is left of the step."""
        joining = [len(row.prompt) for row in self._writing if not row.generated]
        while self._to_write and (len(joining) < 2 or sum(joining) < self._shares.joining_tokens):
            ((wanted, (prompt, sampling)),) = self._to_write.take(1)
            row = self._writer.submit(wanted.job.number, prompt, sampling)
            self._writing[row] = wanted
            wanted.job.rows.append(row)
            joining.append(len(prompt))

    def _tell_new_text(self, job: Job) -> None:
        text = job.rows[0].text(self._tokenizer)
        if text.startswith(job.sent) and text != job.sent:
            self._tell(Delta(job.number, job.draft, text[len(job.sent) :]))
            job.sent = text

    def _advance(self, job: Job, result: Any) -> None:
        """Send a job the result of its step and begin its next one."""
        try:
            step = job.steps.send(result)
        except StopIteration as end:
            del self._jobs[job.number]
            self._tell(Done(job.number, end.value, waited=job.waited))
        except Exception as error:  # whatever it is, it concerns this text alone
            del self._jobs[job.number]
            what = f"{type(error).__name__}: {first_line(error)}"
            self._tell(Done(job.number, None, what, job.waited))
        else:
            self._begin(job, step)

    def _begin(self, job: Job, step: Score | Write) -> None:
        if isinstance(step, Score):
            if step.is_all:
                self._asked_at_once = time.monotonic()
            lane = self._at_once if step.is_all else self._others
            if step.prompts:
                lane.add(Wanted(job, list(step.prompts)))
            else:
                self._advance(job, [])
            return
        job.draft, job.sent = job.draft + 1, ""
        self._to_write.add(Wanted(job, [(step.prompt, sampling) for sampling in step.samplings]))
