"""Predictions kept on disk, so that the memory of an evaluation does not grow with its rows."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import astuple, fields
from operator import attrgetter

from whylabel.data.lazy import LazySequence
from whylabel.data.spool import Spool
from whylabel.types import Evidence, Prediction

_FIELDS = tuple(field.name for field in fields(Prediction) if field.name not in ("probabilities", "evidence"))
_VALUES = attrgetter(*_FIELDS)


class StoredPredictions(LazySequence[Prediction]):
    """Predictions in their order, each read from a temporary file when it is asked for. A slice is a tuple."""

    def __init__(self, predictions: Iterable[Prediction] = ()) -> None:
        self._spool = Spool()
        for prediction in predictions:
            self.append(prediction)

    def append(self, prediction: Prediction) -> None:
        """Add a prediction. Raises `DataError` if the temporary folder takes no more."""
        evidence = None if prediction.evidence is None else [astuple(each) for each in prediction.evidence]
        self._spool.append((_VALUES(prediction), prediction.probabilities, evidence))

    def __len__(self) -> int:
        return len(self._spool)

    def _at(self, place: int) -> Prediction:
        values, probabilities, evidence = self._spool[place]
        return Prediction(
            **dict(zip(_FIELDS, values, strict=True)),
            probabilities=tuple(probabilities),
            evidence=None if evidence is None else tuple(Evidence(*each) for each in evidence),
        )
