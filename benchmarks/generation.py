"""How fast reasonings are generated on this CPU: whylabel and its peers, and what the arithmetic alone would allow.

    python benchmarks/generation.py --rows 64 256 --output benchmarks/generation.json
    python benchmarks/generation.py --table benchmarks/generation.json

One run, the same weights, distinct prompts as the same token ids, the same number of new tokens (no end comes early),
greedy, fp32 where a name says nothing else, all cores that this process may use. Rounds are interleaved (A B C, A B
C); of each contestant the best round counts, all are kept. Nothing of a prompt is cached when a measurement starts.
The matrix product that the limit rests on is timed in every round, and again the best counts. `by_rows` has a record
of every row count, and the keys beside it are those of the largest. What was measured is written after every round.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import psutil
from arithmetic import batch_flops, sgemm_rate
from contestants import Contestant, Ours, Row, Verb, Work, let_loops_run
from peers import PEERS, AbsentError

from whylabel.data.load import load_dataset
from whylabel.engines.transformers import shared_prefix
from whylabel.host.atomic import write_json
from whylabel.host.machine import hardware, usable_cores, versions
from whylabel.host.progress import say
from whylabel.host.runtime import first_line, own_process
from whylabel.models.arithmetic import pick_device, pick_dtype
from whylabel.models.load import ModelSource
from whylabel.recipe import DataConfig, TaskConfig
from whylabel.text.prompts import Prompts

TRIAL_ROWS = 64
VERB = "whylabel augment"
QUIET_LOAD = 0.5
"""With more processes than this wanting a core before the start, speeds say nothing."""
SETTLED_PERCENT = 10.0


def main() -> None:
    """Measure, print the table, and write the figures."""
    arguments = parsed()
    if arguments.table:
        print(table(json.loads(arguments.table.read_text(encoding="utf-8"))))
        return
    with tempfile.TemporaryDirectory(prefix="whylabel-") as scratch:
        for found in Benchmark(arguments, Path(scratch)).run():
            if arguments.output:
                write_json(arguments.output, found)
    print(table(found))


def parsed() -> argparse.Namespace:
    """Return the arguments."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rows", type=int, nargs="+", default=[64, 256], help="rows of a measurement")
    parser.add_argument("--new-tokens", type=int, default=48, help="new tokens of every row")
    parser.add_argument("--rounds", type=int, default=2)
    parser.add_argument("--style", choices=["chat", "compact"], default="compact", help="of the prompts")
    parser.add_argument("--data", default="builtin:emotions", help="labelled texts: a file or builtin:NAME")
    parser.add_argument("--model", default="smollm2-135m-instruct", help="a causal LM as recipes name it")
    parser.add_argument(
        "--peers", nargs="*", choices=list(PEERS), default=list(PEERS), metavar="NAME", help=", ".join(PEERS)
    )
    parser.add_argument(
        "--vllm-python", help="the Python that vLLM is installed for [default: beside `vllm`]"
    )
    parser.add_argument("--output", type=Path, help="where the figures go, as JSON")
    parser.add_argument(
        "--table", type=Path, metavar="JSON", help="print the table of earlier figures, no more"
    )
    return parser.parse_args()


class Benchmark:
    """One run: what takes part, and what was measured."""

    def __init__(self, arguments: argparse.Namespace, scratch: Path) -> None:
        self._arguments = arguments
        model = ModelSource(arguments.model, "cpu")
        prompts = Prompts(model.tokenizer, arguments.style)
        self._rows = distinct_rows(arguments.data, prompts, max(arguments.rows))
        self._work = Work(
            model,
            prompts,
            arguments.new_tokens,
            usable_cores(),
            scratch,
            self._rows[:TRIAL_ROWS],
            arguments.vllm_python,
        )
        self._seconds: dict[tuple[str, int], list[float]] = {}
        self._texts: dict[tuple[str, int], list[str]] = {}
        self._rates: dict[int, list[float]] = {}
        self._failed: dict[str, str] = {}

    def run(self) -> Iterator[dict[str, Any]]:
        """Measure everything; yield the record of all that was measured after every round."""
        import torch

        torch.set_num_threads(self._work.threads)
        let_loops_run()
        load_before = [round(load, 2) for load in os.getloadavg()]
        contestants, absent = self._contestants()
        by_rows = {}
        with ExitStack() as stack:
            for contestant in contestants:
                stack.callback(contestant.close)
            for count in sorted(self._arguments.rows):
                for round_ in range(1, self._arguments.rounds + 1):
                    self._rates.setdefault(count, []).append(sgemm_rate())
                    say(f"{count} rows, round {round_}; sgemm {self._rates[count][-1] / 1e9:.0f} GFLOP/s")
                    for contestant in contestants:
                        self._measure(contestant, count)
                    by_rows[str(count)] = self._record(count, contestants)
                    yield {
                        "machine": {**hardware(), **versions(), "load_before": load_before},
                        **by_rows[str(count)],
                        "absent": absent,
                        "failed": self._failed,
                        "by_rows": by_rows,
                    }

    def _contestants(self) -> tuple[list[Contestant], dict[str, str]]:
        found: list[Contestant] = [
            Ours(self._work, "whylabel", "auto", precision="float32"),
            Ours(self._work, "whylabel-transformers", "transformers"),
            Verb(self._work, VERB, "auto"),
        ]
        if self._work.threads > 1 and pick_dtype("auto", pick_device("cpu"), fastest=True)[0].itemsize == 2:
            found.insert(1, Ours(self._work, "whylabel bfloat16", "auto", precision="bfloat16"))
        absent = {}
        for peer in self._arguments.peers:
            try:
                found += PEERS[peer](self._work)
            except AbsentError as command:
                absent[peer] = str(command)
                say(f"{peer} is absent: {command}")
        return found, absent

    def _measure(self, contestant: Contestant, count: int) -> None:
        """Time one contestant once; one that fails is out, with what it has done so far."""
        if contestant.name in self._failed:
            return
        try:
            contestant.prepare()
            settle()
            started = time.perf_counter()
            texts = contestant.run(self._rows[:count])
            seconds = time.perf_counter() - started
            contestant.forget()
        except Exception as error:  # a peer's own failure is a result, too
            self._failed[contestant.name] = f"{type(error).__name__}: {first_line(error)}"
            say(f"  {contestant.name} failed: {self._failed[contestant.name]}")
            return
        key = (contestant.name, count)
        self._seconds.setdefault(key, []).append(seconds)
        self._texts[key] = texts
        say(
            f"  {contestant.name:26} {count * self._work.new_tokens / seconds:7.1f} tokens/s  {contestant.note}"
        )

    def _record(self, count: int, contestants: Sequence[Contestant]) -> dict[str, Any]:
        ids = [row.ids for row in self._rows[:count]]
        flops = batch_flops(self._work.model.load().model, ids, self._work.new_tokens)
        limit = max(self._rates[count]) * count * self._work.new_tokens / flops
        entries = {
            contestant.name: self._entry(contestant, count, limit)
            for contestant in contestants
            if (contestant.name, count) in self._seconds
        }
        verb = entries.pop(VERB, None)
        share = verb and round(verb["tokens_per_second"] / entries["whylabel"]["tokens_per_second"], 3)
        return {
            "work": {
                "model": self._arguments.model,
                "data": Path(self._arguments.data).name,
                "style": self._arguments.style,
                "rows": count,
                "new_tokens": self._work.new_tokens,
                "prompt_tokens": round(sum(map(len, ids)) / count, 1),
                "shared_tokens": shared_prefix(ids),
                "threads": self._work.threads,
                "arithmetic": "float32, greedy",
                "gflops_per_row": round(flops / count / 1e9, 2),
                "sgemm_gflops_per_second": [round(rate / 1e9, 1) for rate in self._rates[count]],
                "outputs_compared_with": self._reference(count),
            },
            "engines": entries,
            "limit_tokens_per_second": round(limit, 1),
            "whole_verb": verb,
            "whole_verb_share": share,
        }

    def _entry(self, contestant: Contestant, count: int, limit: float) -> dict[str, Any]:
        """Return a contestant's figures; `equal_rows` says how many of its outputs are those of the reference."""
        rounds = [count / seconds for seconds in self._seconds[contestant.name, count]]
        tokens_per_second = max(rounds) * self._work.new_tokens
        entry: dict[str, Any] = {
            "tokens_per_second": round(tokens_per_second, 1),
            "rows_per_second": round(max(rounds), 3),
            "rounds_tokens_per_second": [round(rows * self._work.new_tokens, 1) for rows in rounds],
            "share_of_limit": round(tokens_per_second / limit, 3),
            "note": contestant.note,
        }
        texts, reference = (
            self._texts[contestant.name, count],
            self._texts.get((self._reference(count), count)),
        )
        if texts and reference:
            entry["equal_rows"] = sum(a == b for a, b in zip(texts, reference, strict=True))
        return entry

    def _reference(self, count: int) -> str:
        return "transformers" if ("transformers", count) in self._texts else "whylabel-transformers"


def settle(patience: float = 20.0) -> None:
    """Wait until nothing else computes: a server that has just answered keeps its threads spinning for a while."""
    until = time.monotonic() + patience
    while psutil.cpu_percent(interval=0.5) > SETTLED_PERCENT and time.monotonic() < until:
        pass


def distinct_rows(source: str, prompts: Prompts, count: int) -> list[Row]:
    """Return labelled texts, no two prompts alike. Ends the program if there are too few."""
    data = load_dataset(DataConfig(source=source), TaskConfig(), seed=13)
    rows: dict[tuple[int, ...], Row] = {}
    for example in (*data.train, *data.validation, *data.test):
        prompt = prompts.reasoner_for_text(example.text, example.label)
        rows.setdefault(prompt.ids, Row(example, prompt))
        if len(rows) == count:
            return list(rows.values())
    sys.exit(f"{source} has {len(rows)} distinct texts, and {count} are wanted: use fewer --rows")


def table(found: dict[str, Any]) -> str:
    """Return the figures as a Markdown table, fastest first."""
    parts = dict(sorted(found["by_rows"].items(), key=lambda item: int(item[0])))
    columns = "".join(f" {count} rows: tokens/s | of the limit | same output |" for count in parts)
    lines = [f"| engine |{columns} how |", "|---|" + "---:|---:|---:|" * len(parts) + "---|"]
    engines = sorted(found["engines"].items(), key=lambda item: -item[1]["tokens_per_second"])
    for name, entry in engines:
        cells = ""
        for count, part in parts.items():
            figures = part["engines"].get(name)
            cells += f" {_figures(figures, count)} |" if figures else " | | |"
        lines.append(f"| {name} |{cells} {entry['note']} |")
    limits = "".join(f" {part['limit_tokens_per_second']:.0f} | 100 % | |" for part in parts.values())
    lines.append(f"| *limit of the arithmetic* |{limits} {_limit_note(found)} |")
    lines += [
        f"| {name} |" + " absent | | |" * len(parts) + f" `{how}` |" for name, how in found["absent"].items()
    ]
    load = found["machine"]["load_before"][0]
    if load > QUIET_LOAD:
        lines += [
            "",
            f"**Not a result:** other work held these cores (load {load} before). Only *same output* counts.",
        ]
    return "\n".join(lines)


def _figures(figures: dict[str, Any], count: str) -> str:
    equal = f"{figures['equal_rows']} of {count}" if "equal_rows" in figures else ""
    return f"{figures['tokens_per_second']:.0f} | {figures['share_of_limit']:.0%} | {equal}"


def _limit_note(found: dict[str, Any]) -> str:
    rate = max(found["work"]["sgemm_gflops_per_second"])
    return f"{found['work']['gflops_per_row']} GFLOP a row at {rate:.0f} GFLOP/s"


if __name__ == "__main__":
    own_process()
    main()
