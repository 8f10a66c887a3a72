"""Train small language models that say why, then label.

Public names are loaded on first use, so importing whylabel imports no torch.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from whylabel.version import __version__

if TYPE_CHECKING:
    from whylabel.errors import WhylabelError
    from whylabel.estimator import ReasoningClassifier
    from whylabel.prediction.trained import TrainedClassifier
    from whylabel.recipe import Recipe, load_recipe
    from whylabel.text.labels import LabelSet
    from whylabel.types import Example, Prediction, ReasonedExample

_HOMES = {
    "Example": "whylabel.types",
    "LabelSet": "whylabel.text.labels",
    "Prediction": "whylabel.types",
    "ReasonedExample": "whylabel.types",
    "ReasoningClassifier": "whylabel.estimator",
    "Recipe": "whylabel.recipe",
    "TrainedClassifier": "whylabel.prediction.trained",
    "WhylabelError": "whylabel.errors",
    "load_recipe": "whylabel.recipe",
}

__all__ = [
    "Example",
    "LabelSet",
    "Prediction",
    "ReasonedExample",
    "ReasoningClassifier",
    "Recipe",
    "TrainedClassifier",
    "WhylabelError",
    "__version__",
    "load_recipe",
]


def __getattr__(name: str) -> object:
    if name not in _HOMES:
        raise AttributeError(f"module 'whylabel' has no attribute {name!r}")
    from importlib import import_module

    return getattr(import_module(_HOMES[name]), name)
