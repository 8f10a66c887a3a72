"""Give 52 texts of dair-ai/emotion the reasonings that were written for them.

    python experiments/reasons/emotion.py FOLDER --form sounds_like --output train.parquet
    whylabel run experiments/reasons/emotion.yaml data.source=train.parquet \
        data.validation=FOLDER/validation.parquet data.test=FOLDER/test.parquet 'reasoner.data=[cues.jsonl,own]'

The form is that of the reasonings of `builtin:cues`, too, which are written beside the output, as `cues.jsonl`.
`seeds_emotion.jsonl` has no text: it says which characters of which text are quoted. In the form `phrases` one of a
dozen phrases says what they show ("so ugly" speaks of shame, so it is sadness, not fear.), in `sounds_like` nothing
is claimed beyond the label ("so ugly" sounds like sadness rather than fear.).
"""

from __future__ import annotations

import argparse
import json
import re
from pathlib import Path

import pyarrow
from pyarrow import parquet

from whylabel.data.builtin import read_builtin

FORMS = {
    "phrases": '"{cue}" {phrase}, so it is {label}, not {rival}.',
    "sounds_like": '"{cue}" sounds like {label} rather than {rival}.',
}
_PHRASED = re.compile(
    r'"(?P<cue>[^"]+)" (?P<phrase>[^"]*?), so it is (?P<label>[^,"]+), not (?P<rival>[^"]+)\.'
)


def main() -> None:
    """Write the train split with a column `reasoning`."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("data", type=Path, help="the folder with train.parquet")
    parser.add_argument("--form", choices=FORMS, default="phrases")
    parser.add_argument("--output", type=Path, required=True)
    options = parser.parse_args()
    table = parquet.read_table(options.data / "train.parquet")
    texts = dict(zip(table["id"].to_pylist(), table["text"].to_pylist(), strict=True))
    seeds = map(json.loads, Path(__file__).with_name("seeds_emotion.jsonl").read_text().splitlines())
    written = {
        seed["id"]: FORMS[options.form].format(cue=texts[seed["id"]][seed["start"] : seed["end"]], **seed)
        for seed in seeds
    }
    reasonings = [written.get(row, "") for row in texts]
    parquet.write_table(table.append_column("reasoning", pyarrow.array(reasonings)), options.output)
    cues = read_builtin("builtin:cues")["train"].columns
    rows = (dict(zip(cues, cells, strict=True)) for cells in zip(*cues.values(), strict=True))
    lines = (
        json.dumps({**row, "reasoning": _in_form(row["reasoning"], options.form)}) + "\n" for row in rows
    )
    options.output.with_name("cues.jsonl").write_text("".join(lines))


def _in_form(reasoning: str, form: str) -> str:
    found = _PHRASED.fullmatch(reasoning)
    return FORMS[form].format(**found.groupdict()) if found else reasoning


if __name__ == "__main__":
    main()
