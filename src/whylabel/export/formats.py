"""The formats of an export: their quantisations, what they need, and what is lost in them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, get_args

from whylabel.errors import EngineError, UsageError
from whylabel.host.machine import installed_version

FormatName = Literal["merged", "gguf", "openvino", "onnx"]
FORMAT_NAMES: tuple[FormatName, ...] = get_args(FormatName)

_UNCALIBRATED = (
    "No calibration: probabilities are those of the model. Temperatures and thresholds are in whylabel.json.",
    "A prompt given as text may read as control tokens what a user has typed. Send token ids.",
)

_FREE_TEXT = (
    "No closed label set: the runtime writes a label as free text. For scores of all labels alone, sum the "
    "log-probabilities of their tokens (export.tokens.labels in whylabel.json).",
    *_UNCALIBRATED,
)

_ONNX = (
    "No modes: `writer` writes a reasoning and a label as free text. For the label behind it, ask scorer.onnx.",
    *_UNCALIBRATED,
)

_GGUF = (
    'The label marker is the ordinary piece "\\nLabel:": it is seen between reasoning and label, and whylabel cannot '
    "read the file back as a model that reasons.",
)


@dataclass(frozen=True, slots=True)
class Format:
    """What is to know of a format. The first quantisation is the default."""

    runtime: str
    """Where an export is checked."""
    quantisations: tuple[str, ...]
    packages: tuple[str, ...] = ()
    """The distributions that write and check it, beside those that whylabel always needs."""
    lost: tuple[str, ...] = ()
    """What the model can do here and the runtime cannot, in sentences."""

    def checked_quantisation(self, quantisation: str | None) -> str:
        """Return the quantisation, or the default for None. Raises `UsageError` if the format does not have it."""
        if quantisation is None:
            return self.quantisations[0]
        if quantisation not in self.quantisations:
            raise UsageError(
                f"This format has no quantisation {quantisation!r}. It has: {', '.join(self.quantisations)}.",
                where="--quantisation",
            )
        return quantisation

    def check_packages(self) -> None:
        """Raise `EngineError` if a package is not installed."""
        missing = [package for package in self.packages if installed_version(package) is None]
        if missing:
            raise EngineError(
                f"This export needs {', '.join(missing)}.", fix="pip install 'whylabel[export]'"
            )


FORMATS: dict[FormatName, Format] = {
    "merged": Format("transformers", ("float32", "bfloat16", "float16")),
    "gguf": Format("llama.cpp", ("f16", "f32", "bf16", "q8_0"), ("gguf", "xllamacpp"), _FREE_TEXT + _GGUF),
    "openvino": Format(
        "OpenVINO", ("fp32", "fp16"), ("openvino", "openvino-genai", "openvino-tokenizers"), _FREE_TEXT
    ),
    "onnx": Format(
        "ONNX Runtime", ("fp32", "int8"), ("onnx", "onnxruntime", "onnxscript", "onnxruntime-genai"), _ONNX
    ),
}
