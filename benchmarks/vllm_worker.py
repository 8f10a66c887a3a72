"""vLLM behind standard input and output: run by the Python that vLLM is installed for, which may lack whylabel.

    python vllm_worker.py MODEL_FOLDER MAX_MODEL_LEN

A request is a line of JSON: `{"prompts": [[ID, ...], ...], "new_tokens": N}`. The answer is a line with the new ids
of each. The prefix cache is on, and an empty list of prompts empties it. The first line says the version, when the
model is loaded.
"""

import json
import os
import sys

# Answers have standard output to themselves; whatever libraries print goes to standard error.
ANSWERS = os.fdopen(os.dup(1), "w")
os.dup2(2, 1)


def answer(value: object) -> None:
    """Write one line."""
    print(json.dumps(value), file=ANSWERS, flush=True)


def main() -> None:
    """Load the model, then answer until standard input ends."""
    import vllm

    folder, max_model_len = sys.argv[1:]
    model = vllm.LLM(
        folder,
        dtype="float32",
        enable_prefix_caching=True,
        max_model_len=int(max_model_len),
        generation_config="vllm",
        disable_log_stats=True,
    )
    answer(vllm.__version__)
    for line in sys.stdin:
        request = json.loads(line)
        if not request["prompts"]:
            answer(model.reset_prefix_cache())
            continue
        sampling = vllm.SamplingParams(
            temperature=0, max_tokens=request["new_tokens"], ignore_eos=True, detokenize=False
        )
        prompts = [{"prompt_token_ids": ids} for ids in request["prompts"]]
        outputs = model.generate(prompts, sampling, use_tqdm=False)
        answer([list(output.outputs[0].token_ids) for output in outputs])


if __name__ == "__main__":
    main()
