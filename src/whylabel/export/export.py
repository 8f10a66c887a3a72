"""Write an export, ask it in its own runtime, and keep it only if it answers as the model does."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from whylabel.errors import ParityError, UsageError
from whylabel.export import gguf, llama_cpp, merged, onnx, openvino
from whylabel.export.card import EXPORT, exported_card
from whylabel.export.formats import FORMATS, FormatName
from whylabel.export.parity import CLEAR_MARGIN, Parity, compare
from whylabel.export.rows import parity_rows
from whylabel.export.runtime import Runtime
from whylabel.host.atomic import whole_folder, write_json
from whylabel.host.progress import say
from whylabel.host.takeover import check_folder
from whylabel.models.load import CARD, read_card
from whylabel.prediction.trained import TrainedClassifier, model_folder

PARITY = "parity.json"
"""The comparison, beside the export."""


@dataclass(frozen=True, slots=True)
class _Maker:
    write: Callable[[TrainedClassifier, Path, str, dict[str, Any]], None]
    open: Callable[[TrainedClassifier, Path, str], Runtime]


_MAKERS: dict[FormatName, _Maker] = {
    "merged": _Maker(merged.write, merged.MergedRuntime),
    "gguf": _Maker(gguf.write, llama_cpp.LlamaCppRuntime),
    "openvino": _Maker(openvino.write, openvino.OpenVinoRuntime),
    "onnx": _Maker(onnx.write, onnx.OnnxRuntime),
}


@dataclass(frozen=True, slots=True)
class Exported:
    """A finished export: its folder, how it compares with the model, and what is lost in its format."""

    folder: Path
    format: FormatName
    quantisation: str
    parity: Parity
    lost: tuple[str, ...]


def export(
    source: str | Path,
    format_name: FormatName,
    output: Path,
    *,
    quantisation: str | None = None,
    rows: Path | None = None,
    count: int = 20,
) -> Exported:
    """Write the model of a run or model folder to `output`, and compare it on `count` rows of the run, or of a file.

    Raises `ParityError` if a label changes with a clear margin; nothing is written then. Raises `UsageError` if the
    folder holds other things than an export, and `ModelError` if the model cannot be exported.
    """
    target = FORMATS[format_name]
    quantisation = target.checked_quantisation(quantisation)
    target.check_packages()
    folder = model_folder(source)
    _check_output(output, folder)
    # The reference computes as exactly as can be: what differs is then the export's.
    model = TrainedClassifier.from_folder(folder, device="cpu", dtype="float32")
    asked = parity_rows(model, folder, rows, count)
    maker = _MAKERS[format_name]
    with whole_folder(output) as aside:
        say(f"writing {format_name}, {quantisation} ...")
        card = exported_card(model.card, model.prompts, format_name, quantisation)
        maker.write(model, aside, quantisation, card)
        say(f"asking it in {target.runtime}, {len(asked)} rows ...")
        with closing(maker.open(model, aside, quantisation)) as runtime:
            parity = compare(model, runtime, asked)
        _check_parity(parity, output)
        write_json(aside / PARITY, {"rows": len(asked), **parity.to_json()})
    return Exported(output, format_name, quantisation, parity, target.lost)


def _check_output(output: Path, source: Path) -> None:
    fix = "name a new or an empty folder: --output FOLDER"
    if source.resolve().is_relative_to(output.resolve()):
        raise UsageError("An export would replace what it is made from.", where=str(output), fix=fix)
    earlier = (output / CARD).is_file() and EXPORT in read_card(output)
    check_folder(output, lambda _: earlier, wanted="An export", fix=fix)


def _check_parity(parity: Parity, output: Path) -> None:
    clear = len(parity.clear_changes)
    if clear:
        details = "\n".join(f"  {line}" for line in parity.lines())
        raise ParityError(
            f"The export answers otherwise: {clear} labels change with a margin of {CLEAR_MARGIN:g} or more.\n"
            f"{details}",
            where=f"{output} was not written",
            fix="choose another quantisation or format",
        )
