"""How the texts of many requests share one model: turns, each of which ends soon.

A turn scores a few answers at once, or writes one step of all reasonings, or scores what reasonings and evidence
need. After answers at once the turn is that of one of the others, which alternate. So an answer at once waits for one
of them at most, never for a whole reasoning, and reasonings go on beside any stream of answers at once. Requests take
turns, so that a large one does not hold up small ones.
"""

from __future__ import annotations

import math
import time
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, Protocol

from whylabel.engines.writer import Row, Writer
from whylabel.errors import EngineError
from whylabel.host.runtime import first_line
from whylabel.prediction.modes import Answer
from whylabel.prediction.steps import Score, Steps, Write
from whylabel.types import Prediction

_QUIET_SECONDS = 5.0
"""If no answer at once was wanted for so long, other turns may be longer, which writes more a second."""


class Scorer(Protocol):
    """What scores prompts: a `TrainedClassifier`."""

    def score(self, prompts: list[Any]) -> list[Answer]:
        """Return an answer for every prompt."""


@dataclass(frozen=True, slots=True)
class Shares:
    """How many prompts a turn scores at most."""

    at_once: int = 8
    """Answers at once, beside anything else."""
    others: int = 1
    """What is wanted after reasonings and for evidence, where answers at once were wanted lately; else `at_once`."""
    alone: int = 32
    """Answers at once, if nothing else is wanted."""


@dataclass(slots=True, eq=False)
class Job:
    """A text on its way to its prediction."""

    number: int
    request: int
    steps: Steps[Prediction]
    streams: bool = False
    rows: list[Row] = field(default_factory=list)
    """The reasonings that are being written."""
    draft: int = 0
    """How many reasonings were begun one after another."""
    sent: str = ""
    """What was said of the present one."""
    asked: float = field(default_factory=time.monotonic)
    waited: float | None = None
    """Seconds until something was first computed for it."""

    def begin(self) -> None:
        """Take note that something is computed for it now."""
        if self.waited is None:
            self.waited = time.monotonic() - self.asked


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


@dataclass(slots=True, eq=False)
class _Wanted:
    """The prompts of a step `Score`, and the answers to those that were scored."""

    job: Job
    prompts: list[Any]
    answers: list[Answer] = field(default_factory=list)


class _Lane:
    """Prompts that wait, by request. They are taken one from each request in turn."""

    def __init__(self) -> None:
        self._requests: dict[int, deque[_Wanted]] = {}

    def __len__(self) -> int:
        return sum(
            len(one.prompts) - len(one.answers) for wanted in self._requests.values() for one in wanted
        )

    def add(self, wanted: _Wanted) -> None:
        self._requests.setdefault(wanted.job.request, deque()).append(wanted)

    def drop(self, job: Job) -> None:
        self._requests = {
            request: kept
            for request, wanted in self._requests.items()
            if (kept := deque(one for one in wanted if one.job is not job))
        }

    def take(self, count: int) -> list[tuple[_Wanted, Any]]:
        """Take up to so many prompts, with the steps that they belong to; all of a step come in order.

        The prompts of one step are taken together: they begin alike, so that together they cost less.
        """
        taken: list[tuple[_Wanted, Any]] = []
        while self._requests and len(taken) < count:
            request = next(iter(self._requests))
            waiting = self._requests.pop(request)
            wanted = waiting[0]
            begun = len(wanted.answers)
            prompts = wanted.prompts[begun : begun + count - len(taken)]
            taken += [(wanted, prompt) for prompt in prompts]
            if begun + len(prompts) == len(wanted.prompts):
                waiting.popleft()
                if waiting:
                    self._requests[request] = waiting
            else:
                # It is the last that is taken now; the others of its step come when it is this request's turn again.
                self._requests[request] = waiting
                break
        return taken


class Turns:
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
        self._writing: dict[Row, Job] = {}
        self._at_once, self._others = _Lane(), _Lane()
        self._was_at_once = self._wrote = False
        self._asked_at_once = -math.inf
        self.at_once_together = 0
        """How many answers at once were scored together, the last time."""
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
        return len(self._writing)

    def ask(self, job: Job) -> None:
        """Add a job; its outcome is told in a later turn, or at once if nothing needs to be computed."""
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
        self._at_once.drop(job)
        self._others.drop(job)
        job.steps.close()

    def turn(self) -> None:
        """Score answers at once, or write one step, or score what reasonings and evidence need.

        Raises `EngineError` if nothing more can be written.
        """
        shares = self._shares
        if self._at_once and not self._was_at_once:
            self._was_at_once = True
            wants_more = bool(self._writing or self._others)
            taken = self._at_once.take(shares.at_once if wants_more else shares.alone)
            self.at_once_together = len(taken)
            self._score(taken)
            return
        self._was_at_once = False
        self._wrote = bool(self._writing) and not (self._wrote and self._others)
        if self._wrote:
            self._write()
        else:
            is_watched = self._writing and time.monotonic() - self._asked_at_once < _QUIET_SECONDS
            self._score(self._others.take(shares.others if is_watched else shares.at_once))

    def _score(self, taken: list[tuple[_Wanted, Any]]) -> None:
        if not taken:
            return
        for wanted, _ in taken:
            wanted.job.begin()
        answers = self._scorer.score([prompt for _, prompt in taken])
        for (wanted, _), answer in zip(taken, answers, strict=True):
            wanted.answers.append(answer)
            if len(wanted.answers) == len(wanted.prompts):
                self._advance(wanted.job, wanted.answers)

    def _write(self) -> None:
        started = time.monotonic()
        ended = self._writer.step()
        self.step_seconds.append(time.monotonic() - started)
        for row, job in self._writing.items():
            if row.generated:
                job.begin()
            # Of several reasonings that are written together, none is told: which one is shown is decided later.
            if job.streams and len(job.rows) == 1:
                self._tell_new_text(job)
        for row in ended:
            job = self._writing.pop(row)
            if not any(other in self._writing for other in job.rows):
                completions = [one.completion(self._tokenizer) for one in job.rows]
                job.rows = []
                self._advance(job, completions)

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
        except EngineError:
            raise
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
            lane.add(_Wanted(job, list(step.prompts)))
            return
        job.draft, job.sent = job.draft + 1, ""
        job.rows = [self._writer.submit(job.number, step.prompt, sampling) for sampling in step.samplings]
        self._writing |= dict.fromkeys(job.rows, job)
