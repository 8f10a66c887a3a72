"""Model folders that try to do harm. Whatever runs their code leaves a canary: a file that must never appear.

Each is a copy of a good folder with something added or changed. `says` is what a refusal must name; None where the
folder may be loaded, because what is hostile in it is never read.
"""

from __future__ import annotations

import json
import pickle
import shutil
import struct
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

HUB = "evil-owner/evil-kernel"


@dataclass(frozen=True)
class Hostile:
    """A way to spoil a model folder; `spoil` gets the folder and the canary's path."""

    name: str
    spoil: Callable[[Path, Path], None]
    says: str | None = None

    def write(self, good: Path, folder: Path, canary: Path) -> Path:
        shutil.copytree(good, folder)
        self.spoil(folder, canary)
        return folder


class _Touch:
    """Pickled, it touches a file where it is read."""

    def __init__(self, file: Path) -> None:
        self.file = file

    def __reduce__(self) -> tuple[Any, ...]:
        return (Path.touch, (self.file,))


def _code(canary: Path) -> str:
    return f"from pathlib import Path\nPath({str(canary)!r}).touch()\n"


def _settings(folder: Path, file: str = "config.json", **values: Any) -> None:
    path = folder / file
    own = json.loads(path.read_text(encoding="utf-8")) if path.exists() else {}
    path.write_text(json.dumps({**own, **values}), encoding="utf-8")


def _without_weights(folder: Path) -> bytes:
    weights = folder / "model.safetensors"
    content = weights.read_bytes()
    weights.unlink()
    return content


def _index(folder: Path, name: str) -> None:
    """Let an index say that all weights are in the file `name`."""
    size = int.from_bytes((folder / "model.safetensors").read_bytes()[:8], "little")
    names = json.loads((folder / "model.safetensors").read_bytes()[8 : 8 + size])
    _without_weights(folder)
    weights = dict.fromkeys((key for key in names if key != "__metadata__"), name)
    index = {"metadata": {"total_size": 1}, "weight_map": weights}
    (folder / "model.safetensors.index.json").write_text(json.dumps(index))


# -- pickles -----------------------------------------------------------------------------------------------


def _pickles_beside(folder: Path, canary: Path) -> None:
    for name in (
        "rng_state.pth",
        "optimizer.pt",
        "scheduler.pt",
        "training_args.bin",
        "tokenizer.pkl",
        "vocab.pkl",
    ):
        (folder / name).write_bytes(pickle.dumps(_Touch(canary)))


def _pickled_weights(folder: Path, canary: Path) -> None:
    _without_weights(folder)
    (folder / "pytorch_model.bin").write_bytes(pickle.dumps(_Touch(canary)))


def _pickle_named_safetensors(folder: Path, canary: Path) -> None:
    (folder / "model.safetensors").write_bytes(pickle.dumps(_Touch(canary)))


def _pickle_in_index(folder: Path, canary: Path) -> None:
    _index(folder, "pytorch_model.bin")
    (folder / "pytorch_model.bin").write_bytes(pickle.dumps(_Touch(canary)))
    (folder / "other.safetensors").write_bytes(b"")


def _pickle_by_setting(folder: Path, canary: Path) -> None:
    _settings(folder, transformers_weights="pytorch_model.bin")
    (folder / "pytorch_model.bin").write_bytes(pickle.dumps(_Touch(canary)))


# -- code of their own -------------------------------------------------------------------------------------


def _auto_map(folder: Path, canary: Path) -> None:
    (folder / "modeling_evil.py").write_text(_code(canary))
    _settings(
        folder, auto_map={"AutoModelForCausalLM": "modeling_evil.Evil", "AutoConfig": "modeling_evil.C"}
    )


def _auto_map_elsewhere(folder: Path, canary: Path) -> None:
    _settings(folder, auto_map={"AutoModelForCausalLM": f"{HUB}--modeling.Evil"})


def _auto_map_of_tokenizer(folder: Path, canary: Path) -> None:
    (folder / "tokenization_evil.py").write_text(_code(canary))
    tokenizers = {"AutoTokenizer": ["tokenization_evil.Evil", "tokenization_evil.Evil"]}
    _settings(folder, "tokenizer_config.json", auto_map=tokenizers, tokenizer_class="Evil")


def _kernel(**values: Any) -> Callable[[Path, Path], None]:
    return lambda folder, canary: _settings(folder, **values)


def _custom_generate(folder: Path, canary: Path) -> None:
    (folder / "custom_generate").mkdir()
    (folder / "custom_generate" / "generate.py").write_text(_code(canary))
    _settings(folder, "generation_config.json", custom_generate=str(folder), trust_remote_code=True)


def _adapter(folder: Path, canary: Path) -> None:
    settings = {"base_model_name_or_path": HUB, "peft_type": "LORA", "auto_mapping": {"parent_library": "os"}}
    (folder / "adapter_config.json").write_text(json.dumps(settings))
    (folder / "adapter_model.bin").write_bytes(pickle.dumps(_Touch(canary)))


# -- templates ---------------------------------------------------------------------------------------------

_ESCAPES = (
    "{{ ''.__class__.__mro__[1].__subclasses__() }}"
    "{{ cycler.__init__.__globals__.os.system('touch CANARY') }}"
    "{{ lipsum.__globals__['os'].popen('touch CANARY').read() }}"
    "{{ self.__init__.__globals__.__builtins__.open('CANARY', 'w') }}"
)


def _template(text: str) -> Callable[[Path, Path], None]:
    def spoil(folder: Path, canary: Path) -> None:
        (folder / "chat_template.jinja").write_text(text.replace("CANARY", str(canary)))
        card = folder / "whylabel.json"
        if card.exists():
            card.write_text(json.dumps({**json.loads(card.read_text()), "prompt_style": "chat"}))

    return spoil


# -- weights -----------------------------------------------------------------------------------------------


def _header(header: Any, *, size: int | None = None, data: bytes = b"") -> Callable[[Path, Path], None]:
    def spoil(folder: Path, canary: Path) -> None:
        text = json.dumps(header).encode()
        content = struct.pack("<Q", len(text) if size is None else size) + text + data
        (folder / "model.safetensors").write_bytes(content)

    return spoil


def _tensor(start: int, end: int, shape: tuple[int, ...] = (4,)) -> dict[str, Any]:
    return {"dtype": "F32", "shape": shape, "data_offsets": [start, end]}


def _huge_beside(folder: Path, canary: Path) -> None:
    """Put a file beside good weights whose first eight bytes ask for 4 EiB."""
    (folder / "beside.safetensors").write_bytes(struct.pack("<Q", 2**62) + b"{}")


def _shard_elsewhere(folder: Path, canary: Path) -> None:
    elsewhere = folder.parent / f"{folder.name}-elsewhere.safetensors"
    shutil.copy(folder / "model.safetensors", elsewhere)
    _index(folder, f"../{elsewhere.name}")
    (folder / "other.safetensors").write_bytes(b"")


def _shard_of_the_system(folder: Path, canary: Path) -> None:
    _index(folder, "/etc/passwd")
    (folder / "other.safetensors").write_bytes(b"")


def _linked_weights(folder: Path, canary: Path) -> None:
    _without_weights(folder)
    (folder / "model.safetensors").symlink_to("/etc/passwd")


def _endless_weights(folder: Path, canary: Path) -> None:
    _without_weights(folder)
    (folder / "model.safetensors").symlink_to("/dev/zero")


def _link_to_itself(folder: Path, canary: Path) -> None:
    (folder / "config.json").unlink()
    (folder / "config.json").symlink_to("config.json")


# -- settings ----------------------------------------------------------------------------------------------


def _tokenizer_class(folder: Path, canary: Path) -> None:
    _settings(
        folder, "tokenizer_config.json", tokenizer_class="../../os.system", tokenizer_file="/etc/passwd"
    )


def _hub_tokenizer(folder: Path, canary: Path) -> None:
    _settings(folder, "tokenizer_config.json", name_or_path=HUB, _name_or_path=HUB)
    _settings(folder, _name_or_path=HUB)


FOLDERS = (
    Hostile("pickles-beside", _pickles_beside),
    Hostile("pickled-weights", _pickled_weights),
    Hostile("pickle-named-safetensors", _pickle_named_safetensors),
    Hostile("pickle-in-index", _pickle_in_index, "pytorch_model.bin"),
    Hostile("pickle-by-setting", _pickle_by_setting, "transformers_weights"),
    Hostile("auto-map", _auto_map, "auto_map"),
    Hostile("auto-map-of-another-repository", _auto_map_elsewhere, "auto_map"),
    Hostile("auto-map-of-tokenizer", _auto_map_of_tokenizer),
    Hostile("kernel", _kernel(_attn_implementation_internal=HUB), "_attn_implementation_internal"),
    Hostile(
        "kernel-of-experts", _kernel(_experts_implementation_internal=HUB), "_experts_implementation_internal"
    ),
    Hostile("kernel-by-plain-name", _kernel(attn_implementation=HUB), "attn_implementation"),
    Hostile(
        "kernel-in-a-section",
        _kernel(text_config={"_attn_implementation_internal": HUB}),
        "_attn_implementation_internal",
    ),
    Hostile("custom-generate", _custom_generate),
    Hostile("adapter", _adapter, "adapter"),
    Hostile("template-that-escapes", _template(_ESCAPES), "chat template"),
    Hostile("template-that-raises", _template("{{ raise_exception('CANARY') }}"), "chat template"),
    Hostile("template-that-does-not-parse", _template("{% for %}"), "chat template"),
    Hostile("template-without-end", _template("{% for a in range(10**9) %}{% endfor %}"), "chat template"),
    Hostile("overlapping-weights", _header({"a": _tensor(0, 16), "b": _tensor(8, 24)}, data=bytes(24))),
    Hostile("weights-beyond-the-end", _header({"a": _tensor(0, 2**50, (2**48,))}, data=bytes(16))),
    Hostile("huge-header", _header({}, size=2**62)),
    Hostile("huge-header-beside", _huge_beside),
    Hostile("negative-shape", _header({"a": _tensor(0, 16, (-4,))}, data=bytes(16))),
    Hostile("shard-elsewhere", _shard_elsewhere, "elsewhere.safetensors"),
    Hostile("shard-of-the-system", _shard_of_the_system, "/etc/passwd"),
    Hostile("linked-weights", _linked_weights),
    Hostile("endless-weights", _endless_weights),
    Hostile("config-that-is-a-link-to-itself", _link_to_itself),
    Hostile("tokenizer-class", _tokenizer_class),
    Hostile("names-of-a-hub", _hub_tokenizer),
)


# -- GGUF --------------------------------------------------------------------------------------------------


def _gguf(tensors: int, values: int, content: bytes = b"") -> bytes:
    return b"GGUF" + struct.pack("<IQQ", 3, tensors, values) + content


def _text(text: bytes, size: int | None = None) -> bytes:
    return struct.pack("<Q", len(text) if size is None else size) + text


GGUF_FILES = {
    "no-header": b"GGUF",
    "version-of-the-future": b"GGUF" + struct.pack("<IQQ", 2**31, 0, 0),
    "no-tensors": _gguf(0, 0),
    "tensors-without-end": _gguf(2**62, 0),
    "values-without-end": _gguf(0, 2**62),
    "key-without-end": _gguf(0, 1, _text(b"general.architecture", 2**62)),
    "array-without-end": _gguf(0, 1, _text(b"a") + struct.pack("<IIQ", 9, 8, 2**62)),
    "array-of-arrays": _gguf(0, 1, _text(b"a") + struct.pack("<I", 9) + struct.pack("<IQ", 9, 1) * 5000),
    "unknown-type": _gguf(0, 1, _text(b"a") + struct.pack("<I", 99)),
    "architecture-that-is-code": _gguf(
        0, 1, _text(b"general.architecture") + struct.pack("<I", 8) + _text(b"../../os")
    ),
}
"""GGUF files that say more than they hold."""
