"""Stage 2a: reasonings for every labelled training text, written offline into the durable row store.

Start at `stage.py`. `write.py` fills the store, `verify.py` scores what was written, `sort.py` decides what of it
is kept. Only a few thousand rows are in memory at a time, however many there are.
"""

from whylabel.stages.augment.reasoner import Reasoner, open_reasoner
from whylabel.stages.augment.rehearse import Rehearsal, rehearse
from whylabel.stages.augment.rows import Retry, Work
from whylabel.stages.augment.stage import Augmentation, augment

__all__ = ["Augmentation", "Reasoner", "Rehearsal", "Retry", "Work", "augment", "open_reasoner", "rehearse"]
