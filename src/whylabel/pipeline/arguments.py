"""Reasonings that argue for other labels about test texts, each kept as soon as it is written.

So a killed measurement of faithfulness continues where it stopped.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from whylabel.errors import RunFolderError
from whylabel.host.atomic import whole_lines
from whylabel.host.progress import Progress
from whylabel.text.hashes import fingerprint

if TYPE_CHECKING:
    from whylabel.stages.augment.reasoner import Reasoner


def argue(
    path: Path, reasoner: Reasoner | None, bar: Progress, texts: Sequence[str], labels: Sequence[str]
) -> list[str | None]:
    """Return a reasoning for each label, as the training reasonings were written; None where it failed.

    Those in the file are taken from there; new ones are added to it at once, failed ones are not. Nothing is argued
    where there is no reasoner, as every training reasoning came with its row.
    """
    if reasoner is None:
        return [None] * len(texts)
    known = _read(path)
    places = [_place(*pair) for pair in zip(texts, labels, strict=True)]
    missing = [number for number, place in enumerate(places) if place not in known]
    found: dict[str, str] = dict(known)
    bar.advance(len(places) - len(missing))
    if missing:
        prompts = [reasoner.ask(texts[number], labels[number]) for number in missing]
        path.parent.mkdir(parents=True, exist_ok=True)
        with path.open("a", encoding="utf-8") as file:
            for completion in reasoner.engine.generate(prompts, reasoner.sampling):
                if completion.finish != "error" and completion.text.strip():
                    place = places[missing[completion.index]]
                    found[place] = completion.text
                    file.write(json.dumps({"of": place, "reasoning": completion.text}) + "\n")
                    file.flush()
                bar.advance(1, completion.tokens)
    return [found.get(place) for place in places]


def _place(text: str, label: str) -> str:
    return fingerprint(text, label)[:16]


def _read(path: Path) -> Mapping[str, str]:
    """Return the kept reasonings; an incomplete last line, left by a killed process, is cut off."""
    try:
        records = [json.loads(line) for line in whole_lines(path)]
        return {str(record["of"]): str(record["reasoning"]) for record in records}
    except (ValueError, KeyError, TypeError) as error:
        raise RunFolderError(
            f"The kept reasonings for other labels cannot be read: {error}.",
            where=str(path),
            fix="remove the file; they are then written again",
        ) from None
