"""The engine process: `python -m whylabel.serving.engine`, started by `process.EngineProcess`.

It reads questions from stdin and writes answers to the stdout that it was started with; whatever a library prints
goes to stderr. It ends when its stdin does, so it never outlives the process that answers requests.
"""

from __future__ import annotations

import json
import os
import sys
import threading
import time
import traceback
from dataclasses import asdict
from typing import IO, Any

from whylabel.engines.writer import Writer
from whylabel.errors import EngineError, WhylabelError
from whylabel.host.runtime import own_process
from whylabel.prediction.steps import Steps
from whylabel.prediction.trained import TrainedClassifier
from whylabel.serving import messages
from whylabel.serving.inbox import Inbox
from whylabel.serving.lanes import Job
from whylabel.serving.messages import EngineSettings, ModelInfo, Question
from whylabel.serving.scheduler import Delta, Done, Scheduler, Shares
from whylabel.types import Prediction

_SIGN_SECONDS = 1.0
"""It gives a sign of life about so often, between two iterations: it has made progress, or has nothing to do."""
_LINGER_SECONDS, _LINGER_SHARE = 0.004, 0.03
"""How long the next client of those that were answered together is waited for: so many seconds, or this share of the
time that their answers took, if that is longer."""
_TAKING_SECONDS = 0.05
"""New texts are split into tokens for so long, then those that were begun go on."""
_TOKENS_PER_STEP = 128
"""Few tokens a step keep steps short, so that answers at once wait less; more would write no faster on a CPU."""
_SHARES = Shares(joining_tokens=_TOKENS_PER_STEP)
_GPU_TOKENS_PER_STEP = 16_384
_GPU_SHARES = Shares(
    at_once=256,
    others=128,
    gathered=256,
    alone=512,
    scored_tokens=65_536,
    joining_tokens=_GPU_TOKENS_PER_STEP,
)


class Engine:
    """A loaded model, and the loop that answers questions to it."""

    def __init__(self, settings: EngineSettings, out: IO[bytes]) -> None:
        started = time.monotonic()
        self._out = out
        self._said: list[bytes] = []
        self._signed = 0.0
        self._tokens: dict[int, int] = {}
        """How many tokens the texts have that are not answered."""
        self._classifier = TrainedClassifier.from_folder(settings.model, device=settings.device)
        loaded, card = self._classifier.loaded, self._classifier.card
        writer, name = make_writer(self._classifier, settings.engine)
        self._warm_up(writer)
        shares = _GPU_SHARES if loaded.device.type == "cuda" else _SHARES
        self._scheduler = Scheduler(self._classifier, writer, loaded.tokenizer, self._tell, shares)
        self.info = ModelInfo(
            labels=card.labels.names,
            modes=card.modes,
            question=card.question,
            name=card.name,
            target=card.target,
            label_separator=None if card.multi_label is None else card.multi_label.separator.text,
            max_text_tokens=card.max_text_tokens,
            engine=name,
            device=str(loaded.device),
            load_seconds=time.monotonic() - started,
        )

    def run(self, inbox: Inbox) -> None:
        """Answer questions until the process ends."""
        self._say(messages.line(loaded=asdict(self.info)))
        self._flush()
        while True:
            self._take(inbox)
            if not self._scheduler.is_idle:
                self._scheduler.iterate()
            self._sign()
            self._flush()

    def _warm_up(self, writer: Writer) -> None:
        """Answer a few texts, so that no client waits for what is done once: the longest text, and several at once.

        What the model computes right together is tried out when it is first needed, and takes seconds. Raises
        `EngineError` if it answers none of them.
        """
        card = self._classifier.card
        outcomes: list[Delta | Done] = []
        scheduler = Scheduler(self._classifier, writer, self._classifier.loaded.tokenizer, outcomes.append)
        for number, text in enumerate(("word " * card.max_text_tokens, *(f"text {n}" for n in range(8)))):
            steps = self._classifier.steps(
                str(number), text, card.explaining_mode if number < 2 else card.mode
            )
            scheduler.ask(Job(number, number, steps))
        while not scheduler.is_idle:
            scheduler.iterate()
        errors = [_error(outcome) for outcome in outcomes if isinstance(outcome, Done)]
        if all(errors):
            raise EngineError(f"The model answers no text: {errors[0]}", where=card.name)

    def _take(self, inbox: Inbox) -> None:
        """Begin what has come, for a short time; wait for something if there is nothing to do."""
        if self._scheduler.is_idle:
            inbox.wait(_SIGN_SECONDS)
        until = time.monotonic() + _TAKING_SECONDS
        # Clients that were answered together ask again one after the other: the first of them waits for the others.
        expected = self._scheduler.at_once_together if self._scheduler.at_once_together > 1 else 0
        linger = max(_LINGER_SECONDS, _LINGER_SHARE * self._scheduler.at_once_seconds)
        while time.monotonic() < until:
            self._drop(inbox.taken_back())
            question = inbox.next_question(linger if expected > 0 else 0)
            if question is None:
                return
            self._begin(**question)
            expected -= 1

    def _drop(self, numbers: list[int]) -> None:
        for number in numbers:
            self._scheduler.cancel(number)
            self._tokens.pop(number, None)
            # Only now is its place free.
            self._say(messages.line(cancelled=number))

    def _begin(self, ask: int, request: int, text: str, came: float, **question: Any) -> None:
        asked = Question(**question)
        steps = self._steps(ask, text, asked)
        self._scheduler.ask(Job(ask, request, steps, streams=asked.stream, asked=came))

    def _steps(self, number: int, text: str, question: Question) -> Steps[Prediction]:
        self._tokens[number] = self._classifier.prompts.count(text)
        return (
            yield from self._classifier.steps(
                str(number),
                text,
                question.mode,
                abstain_below=question.abstain_below,
                evidence=question.evidence,
                show_all=question.show_all,
            )
        )

    def _tell(self, event: Delta | Done) -> None:
        if isinstance(event, Delta):
            self._say(messages.line(delta=event.job, draft=event.draft, text=event.text))
            return
        prediction = None if event.prediction is None else asdict(event.prediction)
        self._say(
            messages.line(
                done=event.job,
                prediction=prediction,
                error=event.error,
                waited=event.waited,
                prompt_tokens=self._tokens.pop(event.job, 0),
            )
        )

    def _sign(self) -> None:
        now = time.monotonic()
        if now - self._signed >= _SIGN_SECONDS:
            self._signed = now
            scheduler = self._scheduler
            self._say(
                messages.line(
                    alive={
                        "waiting": scheduler.waiting,
                        "writing": scheduler.writing,
                        "step_seconds": scheduler.step_seconds,
                    }
                )
            )
            scheduler.step_seconds = []

    def _say(self, line: bytes) -> None:
        self._said.append(line)

    def _flush(self) -> None:
        if self._said:
            self._out.write(b"".join(self._said))
            self._out.flush()
            self._said.clear()


def _error(outcome: Done) -> str | None:
    """Return why a text has no label; None if it has one."""
    prediction = outcome.prediction
    if prediction is None:
        return outcome.error
    return prediction.error if prediction.status == "failed" else None


def make_writer(classifier: TrainedClassifier, engine: str) -> tuple[Writer, str]:
    """Return what writes a model's reasonings step by step, and its name; `auto` is the fastest that can.

    Raises `EngineError` if the named engine cannot run the model.
    """
    from whylabel.engines import pick_engine
    from whylabel.engines.transformers_writer import TransformersWriter
    from whylabel.models.load import ModelSource
    from whylabel.prediction.card import WRITING

    loaded = classifier.loaded
    if engine == "auto":
        writes = any(mode in WRITING for mode in classifier.card.modes)
        in_float32 = str(loaded.model.dtype) == "torch.float32"
        engine = pick_engine(ModelSource.of(loaded))[0] if writes and in_float32 else "transformers"
    if engine == "openvino":
        from whylabel.engines.check import named_after
        from whylabel.engines.openvino import step_writer

        if loaded.device.type != "cpu":
            raise EngineError(
                f"OpenVINO writes on the CPU; the model is on {loaded.device}.",
                where="--engine openvino",
                fix="--engine transformers writes there; --device cpu brings the model to the CPU",
            )
        with named_after("--engine"):
            return step_writer(loaded, tokens_per_step=_TOKENS_PER_STEP), engine
    if loaded.device.type == "cuda":
        return TransformersWriter(loaded, max_rows=256, tokens_per_step=_GPU_TOKENS_PER_STEP), engine
    return TransformersWriter(loaded, tokens_per_step=_TOKENS_PER_STEP), engine


def _inbox_of(stream: IO[bytes]) -> Inbox:
    """Return an inbox into which a thread puts all lines of a stream; at its end the process ends at once."""
    inbox = Inbox()

    def read() -> None:
        try:
            for line in stream:
                inbox.put(line)
        except Exception:
            traceback.print_exc()
            os._exit(1)
        os._exit(0)

    threading.Thread(target=read, name="questions", daemon=True).start()
    return inbox


def main() -> int:
    """Load the model that the first line names and answer questions; return 2 if it cannot be loaded."""
    own_process()
    # stdout belongs to the answers alone.
    out: IO[bytes] = os.fdopen(os.dup(sys.stdout.fileno()), "wb")
    os.dup2(sys.stderr.fileno(), sys.stdout.fileno())
    settings = EngineSettings(**json.loads(sys.stdin.buffer.readline()))
    inbox = _inbox_of(sys.stdin.buffer)
    try:
        engine = Engine(settings, out)
    except WhylabelError as error:
        out.write(messages.line(failed={"what": error.what, "where": error.where, "fix": error.fix}))
        out.flush()
        return 2
    engine.run(inbox)
    return 0


if __name__ == "__main__":
    sys.exit(main())
