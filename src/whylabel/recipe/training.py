"""The supervised loop: the fields that both stages share, and those of each stage."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from whylabel.recipe.section import Decides, Execution, Later, Section


class LoraSettings(Section):
    """Low-rank adapters (PEFT), merged into a plain model at the end."""

    r: int = Field(16, ge=1)
    """Rank of the adapters."""
    lora_alpha: int = Field(32, ge=1)
    """Scale of the adapters (PEFT's name)."""
    lora_dropout: float = Field(0.0, ge=0, lt=1)
    """Dropout inside the adapters."""
    target_modules: str | list[str] = "all-linear"
    """The layers that get an adapter, as PEFT names them."""


class LossConfig(Section):
    """How the tokens of a completion count: cross-entropy, weighted by segment. The weights of a step sum to 1."""

    normalise: Literal["token", "segment"] = "segment"
    """`segment`: the tokens of labels and those of reasonings are averaged separately, then the two averages are
    averaged. `token`: every token counts the same, so a long reasoning outweighs its label."""
    label_weight: float = Field(1.0, gt=0)
    """Weight of label tokens, or of their average."""
    reasoning_weight: float = Field(1.0, ge=0)
    """Weight of reasoning tokens, or of their average."""
    label_only_share: float = Field(0.0, ge=0, lt=1)
    """Share of the steps, at the end, that trains only the label tokens (SFTKey's answer-only stage)."""
    label_smoothing: float = Field(0.0, ge=0, lt=1)
    """Share of the probability that is spread over the vocabulary."""


class TrainingConfig(Section):
    """The supervised loop. Names are spelt as in Hugging Face's libraries."""

    method: Literal["full", "lora", "qlora"] = "full"
    """`full`: train all weights; `lora`: train low-rank adapters; `qlora`: train adapters over a copy of the weights
    in 4 bits, which saves memory (`pip install 'whylabel[qlora]'`). Adapters are merged into the weights at the
    end."""
    lora: LoraSettings = LoraSettings()
    """The adapters of `lora` and `qlora`."""
    num_train_epochs: float = Field(3.0, gt=0)
    """Passes over the training rows."""
    min_steps: int | None = Field(None, ge=1)
    """Continue after these epochs until this many optimizer steps are done, so that few rows are shown more often."""
    max_steps: int | None = Field(None, ge=1)
    """Train for this many optimizer steps instead of epochs."""
    max_supervised_tokens: int | None = Field(None, ge=1)
    """Train until the loss was computed on this many tokens, instead of epochs."""
    max_train_flops: float | None = Field(None, gt=0)
    """Train for this many floating-point operations instead of epochs. With several
    budgets, training ends when the first one is spent."""
    learning_rate: float = Field(1e-4, gt=0)
    """Peak learning rate."""
    lr_scheduler_type: Literal["linear", "cosine", "constant", "constant_with_warmup"] = "linear"
    """Shape of the learning rate after warm-up."""
    warmup_steps: float = Field(0.05, ge=0)
    """Optimizer steps of warm-up, or a share of all steps if below 1."""
    weight_decay: float = Field(0.0, ge=0)
    """Decoupled weight decay."""
    optim: str = "adamw_torch_fused"
    """Optimizer, by its Hugging Face name."""
    max_grad_norm: float = Field(1.0, gt=0)
    """Gradients with a larger norm are scaled down to this norm."""
    loss: LossConfig = LossConfig()
    """How label and reasoning tokens count."""
    per_device_train_batch_size: int = Field(16, ge=1)
    """Rows (or packs) in a batch."""
    gradient_accumulation_steps: int = Field(1, ge=1)
    """Batches in an optimizer step."""
    tokens_per_batch: Execution[int] = Field(2048, ge=32)
    """Largest number of tokens, padding included, that are computed at once. It affects only memory and speed: a step
    with more tokens is computed in parts."""
    max_length: int = Field(1024, ge=32)
    """Largest number of tokens of prompt and completion together. A longer row is an error, never cut silently."""
    packing: bool = False
    """Join rows into sequences of up to `max_length` tokens, in which no row sees another. The batch size then counts
    such sequences. This is fast if FlashAttention 2 is installed; otherwise a mask separates the rows."""
    gradient_checkpointing: Execution[bool] = False
    """Trade speed for memory."""
    dtype: Literal["auto", "float32", "bfloat16"] = "auto"
    """Arithmetic of training (weights stay float32). `auto`: bfloat16 where the hardware is faster in it, else
    float32."""
    save_steps: Execution[int | None] = Field(None, ge=1)
    """Optimizer steps between checkpoints; default: one every five minutes."""
    report_to: Annotated[
        Literal["trackio", "mlflow", "wandb", "tensorboard"] | None, Decides("execution"), Later()
    ] = None
    """The experiment tracker that gets settings, loss and learning rate; its own environment variables set it up.
    Default: none. `wandb` sends them to its makers' servers; no text is sent to any."""


class SelectionConfig(Section):
    """Which checkpoint is kept: the one with the best accuracy on validation rows (`multi_label`: the best micro-F1
    at its best threshold).
    """

    steps: int | None = Field(None, ge=1)
    """Optimizer steps between two evaluations on validation rows. Default: none; the last weights are kept."""
    rows: int = Field(200, ge=1)
    """Largest number of validation rows in an evaluation."""
    patience: int | None = Field(None, ge=1)
    """Stop early after this many evaluations without a better result. Default: train to the end."""


class ClassifierTrainingConfig(TrainingConfig):
    """The supervised loop of stage 2, the same for classifier and baseline."""

    class_weight: Literal["balanced"] | None = None
    """`balanced`: the weight of a row is n / (labels x rows of its label), as in scikit-learn. Default: all rows have
    the same weight."""
    balanced_sampling: bool = False
    """Every epoch shows as many rows of each label as of the most frequent one: rows of rarer labels are repeated."""
    selection: SelectionConfig = SelectionConfig()
    """Which checkpoint is kept."""


class ReasonerTrainingConfig(TrainingConfig):
    """The supervised loop of stage 1."""

    num_train_epochs: float = Field(3.0, gt=0)
    """Passes over the reasoning rows. With fewer than a hundred steps or so, a small model writes no sentences."""
    learning_rate: float = Field(2e-4, gt=0)
    """Peak learning rate."""
    per_device_train_batch_size: int = Field(8, ge=1)
    """Rows (or packs) in a batch."""
