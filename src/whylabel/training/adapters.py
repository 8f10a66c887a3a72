"""Which weights of a model are trained: all, or low-rank adapters (PEFT) over base weights, optionally in 4 bits."""

from __future__ import annotations

import tempfile
from typing import TYPE_CHECKING, Any

from whylabel.models.load import LoadedModel
from whylabel.recipe import TrainingConfig
from whylabel.text.prompts import LABEL_MARKER

if TYPE_CHECKING:
    import torch


def prepared(loaded: LoadedModel, config: TrainingConfig, arithmetic: torch.dtype | None) -> Any:
    """Return the model to train, with adapters and gradient checkpointing if the config asks for them.

    `arithmetic` is the data type for computing with 4-bit weights (default: float32).
    """
    model: Any = loaded.model
    if config.method == "lora":
        model = _with_adapters(model, loaded, config)
    elif config.method == "qlora":
        model = _with_adapters(_quantised(model, arithmetic), loaded, config)
    if config.gradient_checkpointing:
        model.gradient_checkpointing_enable(gradient_checkpointing_kwargs={"use_reentrant": False})
        model.enable_input_require_grads()
    return model


def merged(model: Any, loaded: LoadedModel, config: TrainingConfig) -> Any:
    """Return the trained model without adapters. Adapters over 4-bit weights are merged into the original weights."""
    if config.method == "full":
        return model
    if config.method == "lora":
        return model.merge_and_unload()
    from peft import get_peft_model_state_dict, set_peft_model_state_dict

    plain = _with_adapters(loaded.model.to(model.device), loaded, config)
    set_peft_model_state_dict(plain, get_peft_model_state_dict(model, save_embedding_layers=False))
    return plain.merge_and_unload()


def _quantised(model: Any, arithmetic: torch.dtype | None) -> Any:
    """Return a copy with its linear layers in 4 bits (NF4, Dettmers et al. 2023, arXiv 2305.14314).

    The model itself is moved to the CPU to free memory on the device.
    """
    import torch
    from peft import prepare_model_for_kbit_training
    from transformers import AutoModelForCausalLM, BitsAndBytesConfig

    settings = BitsAndBytesConfig(
        load_in_4bit=True,
        bnb_4bit_quant_type="nf4",
        bnb_4bit_use_double_quant=True,
        bnb_4bit_compute_dtype=arithmetic or torch.float32,
    )
    device = model.device
    model.to("cpu")
    with tempfile.TemporaryDirectory() as scratch:
        model.save_pretrained(scratch)
        copy = AutoModelForCausalLM.from_pretrained(
            scratch, quantization_config=settings, device_map={"": device}, dtype=torch.float32
        )
    return prepare_model_for_kbit_training(copy, use_gradient_checkpointing=False)


def _with_adapters(model: Any, loaded: LoadedModel, config: TrainingConfig) -> Any:
    from peft import LoraConfig, get_peft_model

    marker = loaded.tokenizer.convert_tokens_to_ids(LABEL_MARKER)
    adapters = LoraConfig(
        task_type="CAUSAL_LM",
        r=config.lora.r,
        lora_alpha=config.lora.lora_alpha,
        lora_dropout=config.lora.lora_dropout,
        target_modules=config.lora.target_modules,
        # Adapters do not train embeddings, but the label marker is new and must be learnt.
        trainable_token_indices={name: [marker] for name in _embeddings(model)},
    )
    return get_peft_model(model, adapters)


def _embeddings(model: Any) -> list[str]:
    """Return the names of the embedding layers: one, or two if input and output embeddings are not tied."""
    layers = [model.get_input_embeddings()]
    if model.get_output_embeddings().weight is not layers[0].weight:
        layers.append(model.get_output_embeddings())
    return [name for name, part in model.named_modules() if part in layers]
