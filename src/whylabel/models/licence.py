"""The licence of a base model, by the identifiers of the Hugging Face hub, where it is known."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from whylabel.host.paths import expanded
from whylabel.models.load import CARD, is_gguf, read_card
from whylabel.models.packaged import PACKAGED_MODELS


@dataclass(frozen=True, slots=True)
class Licence:
    """A licence as a model card names it: `name` is given where `identifier` is `other`."""

    identifier: str
    name: str | None = None
    link: str | None = None

    @property
    def words(self) -> str:
        """The name for people."""
        return self.name or self.identifier


# What the publishers' own cards say, by hub id; the first that matches counts. A model that is not here is unknown.
_PUBLISHED: tuple[tuple[str, Licence], ...] = (
    (r"HuggingFaceTB/SmolLM.*", Licence("apache-2.0")),
    (r"Qwen/Qwen2\.5-(Coder-)?3B.*", Licence("other", "qwen-research")),
    (r"Qwen/Qwen2(\.5)?-(Math-)?72B.*", Licence("other", "tongyi-qianwen")),
    (r"Qwen/Qwen(2|2\.5|3)-.*", Licence("apache-2.0")),
    (r"meta-llama/Llama-3\.([1-3])-.*", Licence("llama3.{0}")),
    (r"meta-llama/Meta-Llama-3-.*", Licence("llama3")),
    (r"meta-llama/Llama-2-.*", Licence("llama2")),
    (r"google/gemma-[123]-.*", Licence("gemma")),
    (r"microsoft/(phi-[124]|phi-1_5|Phi-3|Phi-4).*", Licence("mit")),
    (r"mistralai/(Mistral-7B|Mistral-Nemo)-.*", Licence("apache-2.0")),
    (r"ibm-granite/granite-[34].*", Licence("apache-2.0")),
    (r"openai/gpt-oss-.*", Licence("apache-2.0")),
    (r"(openai-community/)?gpt2.*", Licence("mit")),
    (r"EleutherAI/gpt-neo-.*", Licence("mit")),
    (r"EleutherAI/(pythia|gpt-neox)-.*", Licence("apache-2.0")),
)


def licence_of(name: str) -> Licence | None:
    """Return the licence of a model by name, as `base_model` gives it; None if it is not known. No network is used.

    Known are the hub ids of common families, packaged models, folders whose `README.md` names it, GGUF files that do,
    and models that whylabel has trained from any of these.
    """
    if name in PACKAGED_MODELS:
        name = PACKAGED_MODELS[name].hub_id
    source = expanded(name)
    if source.is_file() and is_gguf(name):
        return _of_gguf(source)
    if source.is_dir():
        return _of_folder(source)
    for pattern, licence in _PUBLISHED:
        if found := re.fullmatch(pattern, name):
            return Licence(licence.identifier.format(*found.groups()), licence.name, licence.link)
    return None


def _of_folder(folder: Path) -> Licence | None:
    readme = folder / "README.md"
    if readme.is_file():
        text = readme.read_text(encoding="utf-8", errors="replace")
        return _of_front_matter(text)
    if (folder / CARD).is_file():
        base = (read_card(folder).get("lineage") or {}).get("base_model")
        # A base model in the folder itself would be looked up for ever.
        return licence_of(base) if isinstance(base, str) and expanded(base) != folder else None
    return None


def _of_front_matter(text: str) -> Licence | None:
    found = re.match(r"\ufeff?---\r?\n(.*?\n)---", text, re.DOTALL)
    try:
        values: Any = yaml.safe_load(found[1]) if found else None
    except (yaml.YAMLError, RecursionError, ValueError):
        return None
    if not isinstance(values, dict) or not isinstance(values.get("license"), str):
        return None
    name, link = (
        value if isinstance(value := values.get(key), str) else None
        for key in ("license_name", "license_link")
    )
    return Licence(values["license"], name, link)


def _of_gguf(path: Path) -> Licence | None:
    from gguf import GGUFReader

    try:
        field = GGUFReader(path).fields.get("general.license")
        value = None if field is None else field.contents()
    except Exception:  # its reader raises many types of errors, and here nobody has asked for the file
        return None
    return Licence(value) if isinstance(value, str) and value else None
