"""What `inspect` finds in the texts that a run reads: looked for once and kept for the report."""

from __future__ import annotations

from dataclasses import asdict
from typing import Any

from whylabel.data import Inspection, inspect_dataset
from whylabel.data.inspect import inspect_rows
from whylabel.data.leakage import leakage
from whylabel.host.atomic import read_json, write_json
from whylabel.models.load import token_counter
from whylabel.pipeline.inputs import Inputs
from whylabel.pipeline.job import Job
from whylabel.text.hashes import fingerprint

_FORMAT = 1
"""Of `inspection.json`; in another one it is written again."""
_IDS = 10
"""So many ids of rows are kept of each finding; `whylabel inspect --json` has all."""


def inspect_data(job: Job) -> None:
    """Look for what is wrong with the data, and keep it; nothing is done if that is there, for these data."""
    inputs, path = job.inputs, job.run.inspection
    key = _key(inputs)
    if path.exists() and read_json(path, dict).get("of") == key:
        return
    found = _inspected(inputs)
    write_json(
        path,
        {
            "of": key,
            **found.to_json(),
            "id_column": inputs.columns.id if inputs.columns else None,
            "findings": [
                {**finding.to_json(), "ids": list(finding.ids[:_IDS])} for finding in found.findings
            ],
            "leakage": [asdict(each) for each in leakage(inputs.dataset)],
        },
    )


def _key(inputs: Inputs) -> str:
    recipe = inputs.recipe
    settings: list[Any] = [section.model_dump(mode="json") for section in (recipe.data, recipe.task)]
    return fingerprint(_FORMAT, inputs.description, settings, recipe.seed, inputs.base_fingerprint)


def _inspected(inputs: Inputs) -> Inspection:
    recipe = inputs.recipe
    count_tokens = token_counter(recipe.base_model)
    if inputs.given is None:
        return inspect_dataset(recipe.data, recipe.task, recipe.seed, count_tokens)
    return inspect_rows(inputs.dataset, inputs.source, recipe.data, recipe.task, count_tokens)
