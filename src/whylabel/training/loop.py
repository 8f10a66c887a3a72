"""The training loop: run the plan's steps, with checkpoints, progress and evaluations on validation rows.

Any number of processes under `accelerate launch` compute the same steps: each takes some of a step's batches, and the
gradients are summed.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from whylabel.errors import ModelError
from whylabel.host.atomic import whole_file
from whylabel.host.progress import progress, say
from whylabel.host.runtime import is_out_of_memory, return_freed_memory
from whylabel.models.arithmetic import pick_dtype
from whylabel.models.attention import attention, ragged_attention
from whylabel.models.capabilities import Capabilities, check_positions
from whylabel.models.flops import Flops
from whylabel.models.load import LoadedModel
from whylabel.recipe import TrainingConfig
from whylabel.text.prompts import Rendered
from whylabel.training.adapters import merged, prepared
from whylabel.training.checkpoints import (
    Checkpoint,
    latest_checkpoint,
    load_checkpoint,
    load_parameters,
    save_checkpoint,
    save_parameters,
    trained_parameters,
)
from whylabel.training.loss import Inputs, coefficients, packed, padded, weighted_loss
from whylabel.training.optimizer import check_bitsandbytes, optimizer_class, optimizer_of, schedule
from whylabel.training.plan import Batch, Epochs, Plan, Step, Ways
from whylabel.training.processes import accelerator, from_first, shared
from whylabel.training.ragged import ragged, ragged_pays
from whylabel.training.selection import Selection
from whylabel.training.tracking import Report, tracked

if TYPE_CHECKING:
    import torch

_SECONDS_BETWEEN_CHECKPOINTS = 300.0
_SECONDS_BETWEEN_RETURNS = 60.0
"""Batches of ever other lengths leave gaps in the memory that is kept: 450 steps of 1,400 tokens made 10 GB of 5."""
_STEPS_BETWEEN_NOTES = 5
_BEST = "best.safetensors"


@dataclass(frozen=True, slots=True)
class TrainingResult:
    """What the loop did, including earlier processes of the same training.

    `rows` is the number of rows in the first epoch, `tokens` the number of computed tokens without padding; `flops`
    are counted as in `models.flops`; `train_loss` is the mean over all steps. `best_step` is the step whose weights
    were kept, and `evaluations` are the results on validation rows.
    """

    rows: int
    steps: int
    train_loss: float
    tokens: int
    supervised_tokens: int
    flops: float
    seconds: float
    resumed_from_step: int
    best_step: int
    evaluations: tuple[dict[str, float], ...] = ()


def train(
    loaded: LoadedModel,
    examples: Sequence[Rendered] | Epochs,
    config: TrainingConfig,
    *,
    seed: int,
    checkpoints: Path,
    title: str,
    section: str = "training",
    select: Callable[[LoadedModel], Selection] | None = None,
) -> TrainingResult:
    """Fine-tune the model in place on the completions, and return what was done.

    `examples` are the same in every epoch, or a function of the epoch. `checkpoints` is a folder for this training
    alone: training continues from a complete checkpoint in it, and removes an incomplete one. `section` is the part
    of the recipe with the fields of `config`, for messages. `select` gets the model in training.
    """
    from transformers import set_seed

    check_bitsandbytes(config)
    named = {"seed": seed, "checkpoints": checkpoints, "title": title, "section": section, "select": select}
    epochs: Epochs = examples if callable(examples) else lambda _epoch: examples
    with shared(loaded, checkpoints, (examples, config), named):
        set_seed(seed)
        loop = _Loop(loaded, epochs, config, seed, checkpoints, title, section, select)
        state = loop.run()
    loaded.model = loop.trained()
    return TrainingResult(
        rows=len(epochs(0)),
        steps=state.step,
        train_loss=state.loss_sum / max(1, state.step),
        tokens=state.tokens,
        supervised_tokens=state.supervised_tokens,
        flops=state.flops,
        seconds=state.seconds,
        resumed_from_step=loop.first_step,
        best_step=loop.best_step(),
        evaluations=tuple(state.evaluations),
    )


class _Loop:
    def __init__(
        self,
        loaded: LoadedModel,
        epochs: Epochs,
        config: TrainingConfig,
        seed: int,
        folder: Path,
        title: str,
        section: str,
        select: Callable[[LoadedModel], Selection] | None,
    ) -> None:
        import torch

        self._config, self._folder, self._title, self._section = config, folder, title, section
        self._device = loaded.device
        self._pad_id = int(loaded.tokenizer.pad_token_id)
        # The optimizer's class comes first: looking it up resets what an accelerator knows about the processes.
        kind = optimizer_class(loaded.model, config, folder)
        self._accelerator = accelerator(loaded.device)
        dtype, reason = pick_dtype(config.dtype, loaded.device, fastest=True)
        say(f"  arithmetic: {str(dtype).removeprefix('torch.')} ({reason})")
        self._autocast = dtype if dtype == torch.bfloat16 else None
        self._given = loaded
        longest = max(map(len, epochs(0)))
        self._ways = self._chosen_ways(loaded.capabilities(longest), longest)
        self._plan = Plan(
            epochs, config, seed, Flops.of(loaded.model), self._accelerator.num_processes, self._ways
        )
        self.model = prepared(loaded, config, self._autocast)
        # The model without adapters.
        self._plain = self.model if config.method == "full" else self.model.get_base_model()
        self._head = self.model.get_output_embeddings()
        self._optimizer = optimizer_of(self.model, config, *kind)
        self._wrapped = self.model
        if self._accelerator.num_processes > 1:
            self._wrapped = self._accelerator.prepare_model(self.model)
        in_training = replace(loaded, model=self.model)
        self._selection = select(in_training) if select else None
        self._state = Checkpoint(processes=self._accelerator.num_processes)
        self.first_step = 0

    def _chosen_ways(self, can: Capabilities, longest: int) -> Ways:
        """Return how the rows of a batch are computed together, and report what is slower with this model."""
        check_positions(
            can.positions, {f"{self._section}.max_length": self._config.max_length}, self._given.name
        )
        ragged = can.ragged_rows if ragged_pays(self._device) else 0
        if ragged_pays(self._device) and ragged < longest:
            self._given.say_once(
                "  rows of a batch are padded: this model's attention cannot be computed example by example"
            )
        packed = max(can.packing, ragged)
        if self._config.packing and packed < self._config.max_length:
            self._given.say_once(
                "  rows of a pack are computed apart: in one sequence this model would let them see each other"
            )
        if can.right_padding < longest:
            most = can.right_padding
            which = f"rows of more than {most:,} tokens" if most else "rows"
            why = (
                "longer ones take too long to try out"
                if most == can.unprobed
                else "this model depends on the longest row"
            )
            self._given.say_once(f"  {which} are computed one at a time: {why}")
        return Ways(ragged, can.right_padding, packed)

    def run(self) -> Checkpoint:
        """Train until the plan is done or selection stops it."""
        total = self._plan.count()
        newest = latest_checkpoint(self._folder) if self._is_main else None
        newest = self._from_main(newest)
        if newest is not None:
            self._state = load_checkpoint(newest, self.model, self._optimizer)
            self._check_processes(newest)
            self.first_step = self._state.step
            say(f"  {self._title}: continues from step {self.first_step}")
        factor = schedule(self._config, total)
        label_only_from = total * (1 - self._config.loss.label_only_share)
        saved_at = returned_at = started = time.monotonic()
        before = self._state.seconds
        with (
            self._tracked() as report,
            progress(self._title, total=total, unit="steps", done=self.first_step) as bar,
            self._training(),
        ):
            for step in self._plan.steps(self.first_step):
                if self._selection and self._selection.is_over(self._state):
                    say(
                        f"  {self._title}: stopped early, validation {self._selection.metric} has stopped rising"
                    )
                    break
                rate = factor(self._state.step)
                loss = self._step(step, rate, self._state.step >= label_only_from)
                self._state.seconds = before + time.monotonic() - started
                tokens = sum(len(row) for row in step.rows)
                figures = {"loss": loss, "learning_rate": self._config.learning_rate * rate}
                report(self._state.step, {**figures, "tokens": self._state.tokens, "epoch": step.epoch})
                note_due = self._state.step % _STEPS_BETWEEN_NOTES == 0
                bar.advance(1, tokens, note=f"loss {loss:.3f}" if note_due else "")
                if self._selection and self._selection.is_due(self._state.step, total):
                    report(self._state.step, {self._selection.metric: self._evaluate()})
                if time.monotonic() - returned_at > _SECONDS_BETWEEN_RETURNS:
                    return_freed_memory()
                    returned_at = time.monotonic()
                by_time = time.monotonic() - saved_at > _SECONDS_BETWEEN_CHECKPOINTS
                steps = self._config.save_steps
                if (self._state.step % steps == 0) if steps else self._from_main(by_time):
                    self._save()
                    saved_at = time.monotonic()
        return self._state

    def _tracked(self) -> AbstractContextManager[Report]:
        # The other processes report nothing.
        config = self._config if self._is_main else self._config.model_copy(update={"report_to": None})
        return tracked(config, self._title)

    def _check_processes(self, checkpoint: Path) -> None:
        started, now = self._state.processes, self._accelerator.num_processes
        if started != now:
            raise ModelError(
                f"{self._title}: started with {started} processes; with {now}, this training has other steps.",
                where=str(checkpoint),
                fix=f"launch {started} processes, or remove this folder to start again",
            )

    def trained(self) -> Any:
        """Return the plain model with the weights that are kept, adapters merged."""
        if self._selection and (self._folder / _BEST).exists():
            load_parameters(self.model, self._folder / _BEST)
        model = merged(self.model, self._given, self._config)
        model.eval()
        model.config.use_cache = True
        return model

    def best_step(self) -> int:
        """Return the step whose weights are kept."""
        return self._selection.best_step(self._state) if self._selection else self._state.step

    def _step(self, step: Step, factor: float, label_only: bool) -> float:
        """Do one optimizer step and return its loss (nats). Raises `ModelError` if the loss is not finite."""
        rows = list(step.rows)
        weights = iter(coefficients(rows, self._config.loss, label_only=label_only))
        batches = [(batch, [next(weights) for _ in batch]) for batch in step.batches]
        mine = batches[self._accelerator.process_index :: self._accelerator.num_processes]
        processes = self._accelerator.num_processes
        # Every process must take part in the last exchange of gradients. One without a batch computes another's
        # with weight 0.
        idle = not mine
        if idle:
            mine = [batches[0]]
        total = 0.0
        for place, (batch, found) in enumerate(mine):
            inputs = self._inputs(batch, found)
            exchange, attending = self._exchange(last=place == len(mine) - 1), self._attention(batch)
            with self._short_of_memory(batch), exchange, self._arithmetic(), attending:
                loss = weighted_loss(self._wrapped, self._head, inputs, self._config.loss.label_smoothing) * (
                    0.0 if idle else 1.0
                )
                # Gradients are averaged over the processes, but the loop needs their sum.
                (loss * processes).backward()
            total += float(loss.detach())
        total = self._sum(total)
        self._descend(total, self._config.learning_rate * factor, step.epoch)
        self._state.step += 1
        self._state.loss_sum += total
        self._state.tokens += sum(len(row) for row in rows)
        self._state.supervised_tokens += sum(
            row.label_end - row.label_start if label_only else len(row.completion_ids) for row in rows
        )
        self._state.flops += sum(self._plan.cost(row) for row in rows)
        return total

    def _descend(self, loss: float, learning_rate: float, epoch: int) -> None:
        """Update the weights with the accumulated gradients."""
        import torch

        parameters = list(trained_parameters(self.model).values())
        norm = float(torch.nn.utils.clip_grad_norm_(parameters, self._config.max_grad_norm))
        # Every process has the sums over all, so all of them stop here, before a weight is spoilt.
        for name, value in (("loss", loss), ("gradient", norm)):
            if not math.isfinite(value):
                raise self._diverged(f"the {name} is {value}", learning_rate, epoch)
        for group in self._optimizer.param_groups:
            group["lr"] = learning_rate
        self._optimizer.step()
        self._optimizer.zero_grad(set_to_none=True)

    def _diverged(self, what: str, learning_rate: float, epoch: int) -> ModelError:
        exact = "" if self._autocast is None else f", set {self._section}.dtype=float32"
        return ModelError(
            f"{self._title}: {what}, so no weights can be learnt from it. Nothing of this step is kept.",
            where=f"step {self._state.step + 1}, epoch {epoch + 1}, learning rate {learning_rate:.3g}",
            fix=f"lower {self._section}.learning_rate (it is {self._config.learning_rate:g}){exact}, "
            "or start from another base model",
        )

    def _inputs(self, batch: Batch, weights: Sequence[Any]) -> Inputs:
        if self._ways.without_padding(batch):
            return ragged(batch, weights, self._device)
        if self._plan.packs:
            return packed(batch, weights, self._device)
        return padded(batch, weights, self._pad_id, self._device)

    @contextmanager
    def _short_of_memory(self, batch: Batch) -> Iterator[None]:
        try:
            yield
        except RuntimeError as error:
            if not is_out_of_memory(error):
                raise
            tokens, half = sum(map(len, batch)), self._config.tokens_per_batch // 2
            parts = f"{len(batch)} rows of {tokens:,} tokens at once"
            smaller = f"set {self._section}.tokens_per_batch={half} (the same steps in smaller parts)"
            recomputed = f"set {self._section}.gradient_checkpointing=true"
            raise ModelError(
                f"{self._title}: the memory of {self._device} does not hold {parts}.",
                where=f"step {self._state.step + 1}",
                fix=f"{smaller if len(batch) > 1 else recomputed}, or end other programs there",
            ) from error

    def _evaluate(self) -> float:
        assert self._selection is not None
        with self._labelling():
            found = self._selection.measure()
        self._state.evaluations.append({"step": self._state.step, self._selection.metric: found})
        if self._is_main and self._selection.is_best(self._state):
            with whole_file(self._folder / _BEST) as aside:
                save_parameters(self.model, aside)
        return found

    def _save(self) -> None:
        if self._is_main:
            save_checkpoint(self._folder, self._state, self.model, self._optimizer)
        self._accelerator.wait_for_everyone()

    @contextmanager
    def _training(self) -> Iterator[None]:
        self._wrapped.train()
        self.model.config.use_cache = False
        try:
            yield
        finally:
            self._wrapped.eval()

    @contextmanager
    def _labelling(self) -> Iterator[None]:
        import torch

        self.model.eval()
        self.model.config.use_cache = True
        try:
            # Reasonings are sampled with their own seed, and dropout must not continue from it.
            with (
                torch.random.fork_rng([self._device] if self._device.type == "cuda" else []),
                _arithmetic(self._device, pick_dtype("auto", self._device)[0]),
            ):
                yield
        finally:
            self.model.config.use_cache = False
            self.model.train()

    def _arithmetic(self) -> Any:
        return _arithmetic(self._device, self._autocast)

    def _attention(self, batch: Batch) -> Any:
        from transformers.utils import is_flash_attn_2_available

        if self._ways.without_padding(batch):
            return ragged_attention(self._plain)
        # Its kernels only take 16 bits, so the model gets its own attention back for evaluations between two steps.
        if self._plan.packs and self._autocast is not None and is_flash_attn_2_available():
            return attention(self._plain, "flash_attention_2")
        return nullcontext()

    def _exchange(self, last: bool) -> Any:
        return nullcontext() if last else self._accelerator.no_sync(self._wrapped)

    @property
    def _is_main(self) -> bool:
        return bool(self._accelerator.is_main_process)

    def _from_main(self, value: Any) -> Any:
        """Return the value of the main process, so that all processes continue from the same place."""
        return from_first(value) if self._accelerator.num_processes > 1 else value

    def _sum(self, value: float) -> float:
        import torch

        if self._accelerator.num_processes == 1:
            return value
        found = torch.tensor(value, device=self._device, dtype=torch.float64)
        return float(self._accelerator.reduce(found, reduction="sum"))


def _arithmetic(device: torch.device, dtype: torch.dtype | None) -> Any:
    """Return the context in which weights in float32 compute in a shorter type; None and float32: as they are."""
    import torch

    if dtype in (None, torch.float32):
        return nullcontext()
    return torch.autocast(device.type, dtype=dtype)
