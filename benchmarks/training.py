"""How fast a model is fine-tuned on this machine: whylabel and TRL, and what the arithmetic alone would allow.

    python benchmarks/training.py --output benchmarks/training.json
    python benchmarks/training.py --table benchmarks/training.json

One run, the same weights, the same texts as the same token ids, one epoch, completions alone supervised. What counts
is tokens that are no padding, per second of the loop; rounds are interleaved, the best one counts, all are kept. The
limit is 6 x parameters FLOPs a token at the rate of a square float32 product in the same minutes. `by_length` has a
record of every row length, and the keys beside it are those of the longest.
"""

from __future__ import annotations

import argparse
import json
import os
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from arithmetic import sgemm_rate
from trainers import PEERS, Trainer, Work, our_trainers

from whylabel.data.load import load_dataset
from whylabel.host.atomic import write_json
from whylabel.host.machine import hardware, installed_version, usable_cores, versions
from whylabel.host.progress import say
from whylabel.host.runtime import first_line, own_process
from whylabel.models.attention import ragged_attention
from whylabel.models.load import LoadedModel, load, prepare_for_training
from whylabel.recipe import DataConfig, LossConfig, TaskConfig
from whylabel.text.prompts import Prompts, Rendered
from whylabel.training.loss import coefficients, padded, token_losses
from whylabel.training.ragged import ragged

QUIET_LOAD = 0.5
INSTALL = f"pip install trl=={installed_version('trl') or '1.16.0'}"
LLAMA_1B = {
    "hidden_size": 2048,
    "intermediate_size": 8192,
    "num_hidden_layers": 16,
    "num_attention_heads": 32,
    "num_key_value_heads": 8,
    "head_dim": 64,
    "tie_word_embeddings": True,
}


def main() -> None:
    """Measure, print the table, and write the figures."""
    arguments = parsed()
    if arguments.table:
        print(table(json.loads(arguments.table.read_text(encoding="utf-8"))))
        return
    for found in Benchmark(arguments).run():
        if arguments.output:
            write_json(arguments.output, found)
    print(table(found))


def parsed() -> argparse.Namespace:
    """Return the arguments."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument(
        "--rows", type=int, default=256, help="rows of the shortest length; longer ones are fewer"
    )
    parser.add_argument("--lengths", type=int, nargs="+", default=[25, 256], help="tokens of a row, about")
    parser.add_argument("--tokens-per-step", type=int, default=1600, help="of an optimizer step, about")
    parser.add_argument("--rounds", type=int, default=2)
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--model", default="smollm2-135m-instruct", help="a causal LM as recipes name it")
    parser.add_argument(
        "--shape", choices=["llama-3.2-1b"], help="random weights of this shape, with the model's tokenizer"
    )
    parser.add_argument(
        "--peers", nargs="*", choices=list(PEERS), default=list(PEERS), metavar="NAME", help=", ".join(PEERS)
    )
    parser.add_argument("--output", type=Path, help="where the figures go, as JSON")
    parser.add_argument(
        "--table", type=Path, metavar="JSON", help="print the table of earlier figures, no more"
    )
    return parser.parse_args()


class Benchmark:
    """One run: who takes part, and what was measured."""

    def __init__(self, arguments: argparse.Namespace) -> None:
        self._arguments = arguments
        self._seconds: dict[tuple[str, int], list[float]] = {}
        self._rates: list[float] = []
        self._failed: dict[str, str] = {}

    def run(self) -> Iterator[dict[str, Any]]:
        """Measure everything; yield the record of all that was measured after every round."""
        import torch

        arguments = self._arguments
        load_before = [round(load, 2) for load in os.getloadavg()]
        if arguments.device == "cpu":
            torch.set_num_threads(usable_cores())
        loaded = self._load()
        trainers = our_trainers(loaded)
        absent = {}
        if arguments.peers and installed_version("trl") is None:
            absent = dict.fromkeys(arguments.peers, INSTALL)
        else:
            trainers += [PEERS[name]() for name in arguments.peers]
        by_length = {}
        for length in sorted(arguments.lengths):
            rows = rows_of_length(loaded, length, max(8, arguments.rows * min(arguments.lengths) // length))
            tokens = sum(map(len, rows))
            per_step = max(1, arguments.tokens_per_step * len(rows) // tokens)
            work = Work(per_step, max(arguments.tokens_per_step, max(map(len, rows))))
            difference = largest_difference(loaded, rows[:16])
            for round_ in range(1, arguments.rounds + 1):
                if arguments.device == "cpu":
                    self._rates.append(sgemm_rate())
                    say(f"{length} tokens, round {round_}; sgemm {self._rates[-1] / 1e9:.0f} GFLOP/s")
                for trainer in trainers:
                    self._measure(trainer, rows, work, length)
                by_length[str(length)] = self._record(loaded, trainers, rows, work, length, difference)
                yield {
                    "machine": {**hardware(), **versions(), "load_before": load_before},
                    **by_length[str(length)],
                    "absent": absent,
                    "failed": self._failed,
                    "by_length": by_length,
                }

    def _load(self) -> LoadedModel:
        loaded = load(self._arguments.model, device=self._arguments.device, dtype="float32")
        if self._arguments.shape:
            from transformers import LlamaConfig, LlamaForCausalLM

            config = LlamaConfig(vocab_size=128_256, **LLAMA_1B)
            loaded.model = LlamaForCausalLM(config).to(loaded.device)
        prepare_for_training(loaded)
        return loaded

    def _measure(self, trainer: Trainer, rows: Sequence[Rendered], work: Work, length: int) -> None:
        """Time one trainer once; one that fails is out, with what it has done so far."""
        if trainer.name in self._failed:
            return
        try:
            seconds = trainer.run(self._load(), rows, work)
        except Exception as error:  # a peer's own failure is a result, too
            self._failed[trainer.name] = f"{type(error).__name__}: {first_line(error)}"
            say(f"  {trainer.name} failed: {self._failed[trainer.name]}")
            return
        self._seconds.setdefault((trainer.name, length), []).append(seconds)
        say(f"  {trainer.name:18} {sum(map(len, rows)) / seconds:7.1f} tokens/s  {trainer.note}")

    def _record(
        self,
        loaded: LoadedModel,
        trainers: Sequence[Trainer],
        rows: Sequence[Rendered],
        work: Work,
        length: int,
        difference: float,
    ) -> dict[str, Any]:
        parameters = sum(value.numel() for value in loaded.model.parameters())
        tokens = sum(map(len, rows))
        limit = max(self._rates) / (6 * parameters) if self._rates else None
        engines = {}
        for trainer in trainers:
            rounds = self._seconds.get((trainer.name, length))
            if rounds:
                best = tokens / min(rounds)
                engines[trainer.name] = {
                    "tokens_per_second": round(best, 1),
                    "rows_per_second": round(len(rows) / min(rounds), 2),
                    "rounds_tokens_per_second": [round(tokens / seconds, 1) for seconds in rounds],
                    "tflops_per_second": round(6 * parameters * best / 1e12, 3),
                    "share_of_limit": round(best / limit, 3) if limit else None,
                    "note": trainer.note,
                }
        return {
            "work": {
                "model": self._arguments.shape or self._arguments.model,
                "parameters": parameters,
                "device": self._arguments.device,
                "rows": len(rows),
                "tokens_per_row": round(tokens / len(rows), 1),
                "longest_row": max(map(len, rows)),
                "supervised_tokens_per_row": round(
                    sum(len(row.completion_ids) for row in rows) / len(rows), 1
                ),
                "rows_per_step": work.rows_per_step,
                "sgemm_gflops_per_second": [round(rate / 1e9, 1) for rate in self._rates],
                "largest_loss_difference": difference,
            },
            "engines": engines,
            "limit_tokens_per_second": round(limit, 1) if limit else None,
        }


def rows_of_length(loaded: LoadedModel, length: int, count: int) -> list[Rendered]:
    """Return label examples of about so many tokens: builtin emotions, long ones of several texts."""
    prompts = Prompts(loaded.tokenizer, "compact", name="Emotion")
    data = load_dataset(DataConfig(source="builtin:emotions"), TaskConfig(), seed=13)
    examples = [*data.train, *data.validation, *data.test]
    average = sum(prompts.count(row.text) for row in examples) / len(examples)
    together = max(1, round((length - 5) / average))
    found = []
    for number in range(count):
        some = [examples[(number * together + place) % len(examples)] for place in range(together)]
        found.append(prompts.classifier_example(" ".join(row.text for row in some), some[0].label, None))
    return found


def largest_difference(loaded: LoadedModel, rows: Sequence[Rendered]) -> float:
    """Return by how much a token's loss differs at most between rows alone and rows together, padded or not."""
    import torch

    device, pad_id = loaded.device, int(loaded.tokenizer.pad_token_id)
    weights = coefficients(rows, LossConfig())
    head = loaded.model.get_output_embeddings()
    with torch.no_grad():
        alone = torch.cat(
            [
                token_losses(loaded.model, head, padded([row], [weight], pad_id, device))
                for row, weight in zip(rows, weights, strict=True)
            ]
        )
        found = [token_losses(loaded.model, head, padded(rows, weights, pad_id, device))]
        with ragged_attention(loaded.model):
            found.append(token_losses(loaded.model, head, ragged(rows, weights, device)))
    return round(max(float((losses - alone).abs().max()) for losses in found), 7)


def table(found: dict[str, Any]) -> str:
    """Return the figures as a Markdown table, fastest first."""
    parts = dict(sorted(found["by_length"].items(), key=lambda item: int(item[0])))
    columns = "".join(
        f" {part['work']['tokens_per_row']:.0f}-token rows: tokens/s | of the limit |"
        for part in parts.values()
    )
    lines = [f"| trainer |{columns} how |", "|---|" + "---:|---:|" * len(parts) + "---|"]
    for name, entry in sorted(found["engines"].items(), key=lambda item: -item[1]["tokens_per_second"]):
        cells = ""
        for part in parts.values():
            figures = part["engines"].get(name)
            share = f"{figures['share_of_limit']:.0%}" if figures and figures["share_of_limit"] else ""
            cells += f" {figures['tokens_per_second']:.0f} | {share} |" if figures else " | |"
        lines.append(f"| {name} |{cells} {entry['note']} |")
    if found["limit_tokens_per_second"]:
        limits = "".join(f" {part['limit_tokens_per_second']:.0f} | 100 % |" for part in parts.values())
        rate = max(found["work"]["sgemm_gflops_per_second"])
        lines.append(f"| *limit of the arithmetic* |{limits} 6 x parameters a token at {rate:.0f} GFLOP/s |")
    lines += [
        f"| {name} |" + " absent | |" * len(parts) + f" `{how}` |" for name, how in found["absent"].items()
    ]
    load_before = found["machine"]["load_before"][0]
    if load_before > QUIET_LOAD:
        lines += ["", f"**Not a result:** other work held these cores (load {load_before} before)."]
    return "\n".join(lines)


if __name__ == "__main__":
    own_process()
    main()
