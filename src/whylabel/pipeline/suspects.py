"""The work of the stage `suspects`: list rows whose label looks wrong to a baseline that has not seen them."""

from __future__ import annotations

from whylabel.host.progress import say
from whylabel.pipeline.job import Job, StageResult
from whylabel.text.hashes import fingerprint


def suspects_stage(job: Job) -> StageResult:
    """List the train rows whose label looks wrong."""
    from whylabel.stages.folds import read_out_of_fold
    from whylabel.stages.suspects import find_suspects, write_suspects

    labels, listed = job.inputs.labels, job.run.suspects
    rows = list(job.inputs.dataset.train)
    found = find_suspects(rows, read_out_of_fold(job.run.out_of_fold).probabilities, labels)
    write_suspects(listed, found)
    share = len(found) / len(rows)
    say(f"  {len(found):,} of {len(rows):,} labels look wrong ({share:.1%}); they are in {listed}")
    return StageResult(len(rows), 0, {"content": fingerprint(sorted(row.id for row in found))})
