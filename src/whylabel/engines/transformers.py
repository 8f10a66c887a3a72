"""The engine that runs everywhere: transformers' `generate` over batches of rows of similar length."""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence

from whylabel.engines.base import Completion, Sampling
from whylabel.models import LoadedModel
from whylabel.prompts import Prompt
from whylabel.runtime import first_line


class TransformersEngine:
    """Static batches, left-padded, longest prompts first.

    `tokens_per_batch` bounds rows x (longest prompt + new tokens) of a batch. A batch that fails is halved until
    the row that is to blame stands alone.
    """

    name = "transformers"

    def __init__(self, loaded: LoadedModel, *, tokens_per_batch: int = 8192, max_rows: int = 64) -> None:
        self._loaded = loaded
        self._tokens_per_batch = tokens_per_batch
        self._max_rows = max_rows

    def generate(self, prompts: Sequence[Prompt], sampling: Sampling) -> Iterator[Completion]:
        """Yield completions batch by batch."""
        ids = [prompt.ids for prompt in prompts]
        for batch in self._batches(ids, sampling.max_new_tokens):
            yield from self._generate_batch(batch, ids, sampling)

    def close(self) -> None:
        """The model belongs to the caller: there is nothing to free."""

    def _batches(self, prompts: Sequence[Sequence[int]], new_tokens: int) -> Iterator[list[int]]:
        batch: list[int] = []
        for index in sorted(range(len(prompts)), key=lambda index: (-len(prompts[index]), index)):
            width = len(prompts[batch[0] if batch else index]) + new_tokens
            if batch and (len(batch) == self._max_rows or (len(batch) + 1) * width > self._tokens_per_batch):
                yield batch
                batch = []
            batch.append(index)
        if batch:
            yield batch

    def _generate_batch(
        self, batch: list[int], prompts: Sequence[Sequence[int]], sampling: Sampling
    ) -> Iterator[Completion]:
        started = time.monotonic()
        try:
            generated = self._call(batch, prompts, sampling)
        except Exception as error:  # out of memory, or an input that the model cannot take
            if len(batch) > 1:
                middle = len(batch) // 2
                yield from self._generate_batch(batch[:middle], prompts, sampling)
                yield from self._generate_batch(batch[middle:], prompts, sampling)
            else:
                count = len(prompts[batch[0]])
                yield Completion(batch[0], "", count, 0, "error", error=first_line(error))
            return
        seconds = (time.monotonic() - started) / len(batch)
        for index, ids in zip(batch, generated, strict=True):
            yield self._completion(index, ids, len(prompts[index]), sampling, seconds)

    def _call(
        self, batch: list[int], prompts: Sequence[Sequence[int]], sampling: Sampling
    ) -> list[list[int]]:
        import torch
        from transformers import GenerationConfig

        tokenizer = self._loaded.tokenizer
        pad = tokenizer.pad_token_id if tokenizer.pad_token_id is not None else sampling.stop_ids[0]
        longest = max(len(prompts[index]) for index in batch)
        inputs = torch.full((len(batch), longest), pad)
        mask = torch.zeros_like(inputs)
        for row, index in enumerate(batch):
            inputs[row, longest - len(prompts[index]) :] = torch.tensor(prompts[index])
            mask[row, longest - len(prompts[index]) :] = 1
        drawn = {"temperature": sampling.temperature, "top_p": sampling.top_p, "top_k": 0}
        settings = GenerationConfig(
            max_new_tokens=sampling.max_new_tokens,
            do_sample=sampling.temperature > 0,
            eos_token_id=list(sampling.stop_ids),
            pad_token_id=pad,
            **(drawn if sampling.temperature > 0 else {}),
        )
        torch.manual_seed(sampling.seed + batch[0])
        with torch.inference_mode():
            output = self._loaded.model.generate(
                input_ids=inputs.to(self._loaded.device),
                attention_mask=mask.to(self._loaded.device),
                generation_config=settings,
            )
        return [ids.tolist() for ids in output[:, longest:]]

    def _completion(
        self, index: int, ids: list[int], prompt_tokens: int, sampling: Sampling, seconds: float
    ) -> Completion:
        end = next((place for place, token in enumerate(ids) if token in sampling.stop_ids), None)
        text = self._loaded.tokenizer.decode(ids[:end], skip_special_tokens=True)
        tokens = len(ids) if end is None else end + 1
        return Completion(
            index,
            str(text).strip(),
            prompt_tokens,
            tokens,
            finish="length" if end is None else "stop",
            seconds=seconds,
            stop_id=None if end is None else ids[end],
        )
