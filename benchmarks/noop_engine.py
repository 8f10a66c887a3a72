"""An engine process that computes nothing: what is left of a request's time is that of the server around it."""

from __future__ import annotations

import json
import sys
from dataclasses import asdict

from whylabel.serving.messages import ModelInfo

INFO = ModelInfo(("no", "yes"), ("fast",), "?", "Label", "label", None, 64, "none", "cpu", 0.0)
PREDICTION = {
    "label": "no",
    "probabilities": [0.75, 0.25],
    "reasoning": None,
    "mode": "fast",
    "status": "ok",
    "seconds": 0.0,
    "tokens": 0,
    "error": None,
    "evidence": None,
    "reasoning_status": None,
    "disagrees": None,
}


def main() -> None:
    """Answer every question at once."""
    sys.stdin.readline()
    print(json.dumps({"loaded": asdict(INFO)}), flush=True)
    for line in sys.stdin:
        message = json.loads(line)
        if "ask" in message:
            answer = {"done": message["ask"], "prediction": PREDICTION, "error": None, "waited": 0.0}
            print(json.dumps(answer | {"prompt_tokens": 0}), flush=True)


if __name__ == "__main__":
    main()
