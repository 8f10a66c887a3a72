"""The engine process: `python -m whylabel.serving.engine`, started by `process.EngineProcess`.

It reads questions from stdin and writes answers to the stdout that it was started with; whatever a library prints
goes to stderr. It ends when its stdin does, so it never outlives the process that answers requests.
"""

from __future__ import annotations

import json
import os
import queue
import sys
import threading
import time
from dataclasses import asdict
from typing import IO

from whylabel.engines.writer import Writer
from whylabel.errors import WhylabelError
from whylabel.host.runtime import own_process
from whylabel.prediction.trained import TrainedClassifier
from whylabel.serving import messages
from whylabel.serving.messages import EngineSettings, ModelInfo, Question
from whylabel.serving.turns import Delta, Done, Job, Shares, Turns

_SIGN_SECONDS = 1.0
"""It gives a sign of life about so often, between two turns: it has made progress, or has nothing to do."""
_LINGER_SECONDS = 0.004
_TOKENS_PER_STEP = 128
"""Few tokens a step keep steps short, so that answers at once wait less; more would write no faster on a CPU."""
_GPU_SHARES = Shares(at_once=256, others=128, alone=512)


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
        shares = _GPU_SHARES if loaded.device.type == "cuda" else Shares()
        self._turns = Turns(self._classifier, writer, loaded.tokenizer, self._tell, shares)
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

    def run(self, lines: queue.Queue[bytes]) -> None:
        """Answer questions until the process ends."""
        self._say(messages.line(loaded=asdict(self.info)))
        self._flush()
        while True:
            self._take(lines)
            if not self._turns.is_idle:
                self._turns.turn()
            self._sign()
            self._flush()

    def _warm_up(self, writer: Writer) -> None:
        """Answer a few texts, so that no client waits for what is done once: the longest text, and several at once.

        What the model computes right together is tried out when it is first needed, and takes seconds.
        """
        card = self._classifier.card
        turns = Turns(self._classifier, writer, self._classifier.loaded.tokenizer, lambda _: None)
        for number, text in enumerate(("word " * card.max_text_tokens, *(f"text {n}" for n in range(8)))):
            steps = self._classifier.steps(
                str(number), text, card.explaining_mode if number < 2 else card.mode
            )
            turns.ask(Job(number, number, steps))
        while not turns.is_idle:
            turns.turn()

    def _take(self, lines: queue.Queue[bytes]) -> None:
        """Take all questions that have come; wait for one if there is nothing to do."""
        try:
            self._read(lines.get(block=self._turns.is_idle, timeout=_SIGN_SECONDS))
            # Clients that were answered together ask again together: the first of them waits for the others.
            until = time.monotonic() + (_LINGER_SECONDS if self._turns.at_once_together > 1 else 0)
            while True:
                left = until - time.monotonic()
                self._read(lines.get(block=left > 0, timeout=max(left, 0)))
        except queue.Empty:
            pass

    def _read(self, line: bytes) -> None:
        message = json.loads(line)
        if "cancel" in message:
            self._turns.cancel(message["cancel"])
            self._tokens.pop(message["cancel"], None)
            return
        number, request, text = (message.pop(key) for key in ("ask", "request", "text"))
        question = Question(**message)
        self._tokens[number] = self._classifier.prompts.count(text)
        steps = self._classifier.steps(
            str(number),
            text,
            question.mode,
            abstain_below=question.abstain_below,
            evidence=question.evidence,
            show_all=question.show_all,
        )
        self._turns.ask(Job(number, request, steps, streams=question.stream))

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
                prompt_tokens=self._tokens.pop(event.job),
            )
        )

    def _sign(self) -> None:
        now = time.monotonic()
        if now - self._signed >= _SIGN_SECONDS:
            self._signed = now
            turns = self._turns
            self._say(
                messages.line(
                    alive={
                        "waiting": turns.waiting,
                        "writing": turns.writing,
                        "step_seconds": turns.step_seconds,
                    }
                )
            )
            turns.step_seconds = []

    def _say(self, line: bytes) -> None:
        self._said.append(line)

    def _flush(self) -> None:
        if self._said:
            self._out.write(b"".join(self._said))
            self._out.flush()
            self._said.clear()


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
        from whylabel.engines.openvino import step_writer

        return step_writer(loaded, tokens_per_step=_TOKENS_PER_STEP), engine
    if loaded.device.type == "cuda":
        return TransformersWriter(loaded, max_rows=256, tokens_per_step=16_384), engine
    return TransformersWriter(loaded, tokens_per_step=_TOKENS_PER_STEP), engine


def _reader(stream: IO[bytes]) -> queue.Queue[bytes]:
    """Return a queue into which a thread puts all lines of a stream; at its end the process ends at once."""
    lines: queue.Queue[bytes] = queue.Queue()

    def read() -> None:
        for line in stream:
            lines.put(line)
        os._exit(0)

    threading.Thread(target=read, name="questions", daemon=True).start()
    return lines


def main() -> int:
    """Load the model that the first line names and answer questions; return 2 if it cannot be loaded."""
    own_process()
    # stdout belongs to the answers alone.
    out: IO[bytes] = os.fdopen(os.dup(sys.stdout.fileno()), "wb")
    os.dup2(sys.stderr.fileno(), sys.stdout.fileno())
    lines = _reader(sys.stdin.buffer)
    settings = EngineSettings(**json.loads(lines.get()))
    try:
        engine = Engine(settings, out)
    except WhylabelError as error:
        out.write(messages.line(failed={"what": error.what, "where": error.where, "fix": error.fix}))
        out.flush()
        return 2
    engine.run(lines)
    return 0


if __name__ == "__main__":
    sys.exit(main())
