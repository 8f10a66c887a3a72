"""An engine process without a model: it answers by what a text says, and echoes it as its reasoning.

Its labels may be given in FAKE_LABELS, its question in FAKE_QUESTION, its error in FAKE_ERROR.
`sleep N` answers after N seconds, `stream N` writes a word every 0.05 s for N words, `die` ends the process, `hang`
stops all signs of life, `count` answers with how many questions were taken back, `fail` has no prediction,
`withhold` withholds its reasoning, `disagree` gives another label after it. `busy N` does nothing else for N seconds,
as in a long step, `flood N` writes N long pieces as fast as it can, `garble` says what has no meaning.
"""

import json
import os
import sys
import threading
import time
from dataclasses import asdict

from whylabel.serving.messages import ModelInfo

LABELS = tuple(json.loads(os.environ.get("FAKE_LABELS", '["joy", "sad", "not sure"]')))
INFO = ModelInfo(
    LABELS,
    ("fast", "reasoned", "vote"),
    "What is it?",
    "Label",
    "dual",
    os.environ.get("FAKE_SEVERAL"),
    64,
    "fake",
    "cpu",
    0.1,
)


class FakeEngine:
    def __init__(self):
        self.lock = threading.Lock()
        self.taken_back = 0
        self.open = {}

    def say(self, **message):
        with self.lock:
            sys.stdout.write(json.dumps(message) + "\n")
            sys.stdout.flush()

    def run(self):
        settings = json.loads(sys.stdin.readline())
        time.sleep(float(os.environ.get("FAKE_LOAD_SECONDS", "0")))
        if settings["model"] == "broken":
            self.say(failed={"what": "It is broken.", "where": "there", "fix": "mend it"})
            sys.exit(2)
        self.say(loaded=asdict(INFO) | {"question": os.environ.get("FAKE_QUESTION", INFO.question)})
        self.hangs = False
        threading.Thread(target=self.live, daemon=True).start()
        for line in sys.stdin:
            message = json.loads(line)
            if "cancel" in message:
                self.taken_back += self.open.pop(message["cancel"], None) is not None
                self.say(cancelled=message["cancel"])
            else:
                self.open[message["ask"]] = message
                self.answer(message)

    def live(self):
        while not self.hangs:
            self.say(alive={"waiting": 0, "writing": len(self.open), "step_seconds": [0.01]})
            time.sleep(0.2)

    def answer(self, message):
        word, _, rest = message["text"].partition(" ")
        if word == "die":
            os._exit(1)
        if word == "hang":
            self.hangs = True
        elif word == "sleep":
            threading.Timer(float(rest.split()[0]), self.done, [message]).start()
        elif word == "stream":
            threading.Thread(target=self.write, args=(message, int(rest.split()[0])), daemon=True).start()
        elif word == "busy":
            time.sleep(float(rest.split()[0]))
            self.done(message)
        elif word == "flood":
            threading.Thread(target=self.flood, args=(message, int(rest)), daemon=True).start()
        elif word == "garble":
            self.say(delta=message["ask"])
        elif word == "fail":
            self.open.pop(message["ask"])
            self.say(done=message["ask"], prediction=None, error=os.environ.get("FAKE_ERROR", "it failed"))
        elif word == "count":
            self.done(message, str(self.taken_back))
        else:
            self.done(message)

    def write(self, message, words):
        for number in range(words):
            time.sleep(0.05)
            if message["ask"] not in self.open:
                return
            self.say(delta=message["ask"], draft=1, text=f" word{number}" if number else "word0")
        self.done(message, " ".join(f"word{number}" for number in range(words)))

    def flood(self, message, pieces):
        for _ in range(pieces):
            if message["ask"] not in self.open:
                return
            self.say(delta=message["ask"], draft=1, text="x" * 100_000)
        self.done(message)

    def done(self, message, reasoning=None):
        if self.open.pop(message["ask"], None) is None:
            return
        word = message["text"].partition(" ")[0]
        withheld = message["mode"] != "fast" and word == "withhold"
        prediction = {
            "id": str(message["ask"]),
            "label": LABELS[0] if message["mode"] == "fast" or word != "disagree" else LABELS[1],
            "probabilities": [0.7, 0.1, 0.2] if len(LABELS) == 3 else [1 / len(LABELS)] * len(LABELS),
            "reasoning": None if withheld else message["text"] if reasoning is None else reasoning,
            "mode": message["mode"],
            "status": "ok",
            "seconds": 0.01,
            "tokens": 3,
            "error": None,
            "evidence": [{"start": 0, "end": 1, "text": "x", "effect": 0.5}] if message["evidence"] else None,
            "reasoning_status": "withheld: unsure" if withheld else "ok",
            "disagrees": word == "disagree",
        }
        self.say(
            done=message["ask"],
            prediction=prediction,
            waited=0.01,
            prompt_tokens=len(message["text"].split()),
        )


if __name__ == "__main__":
    FakeEngine().run()
