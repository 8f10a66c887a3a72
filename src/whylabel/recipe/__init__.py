"""The typed recipe: one YAML file, plus `key=value` overrides, that every verb reads.

Start at `recipe.py`; the sections are in `data.py`, `training.py`, `reasoner.py`, `augment.py` and `classifier.py`.
A field's doc string is its help; `fields.py` makes a reference of them. `load.py` reads files.
"""

from whylabel.recipe.augment import (
    AugmentConfig,
    FilterConfig,
    SamplingConfig,
    SuspectsConfig,
    VerificationConfig,
)
from whylabel.recipe.classifier import BaselineConfig, ClassifierConfig, EvaluationConfig, ShownConfig
from whylabel.recipe.data import DataConfig, TaskConfig
from whylabel.recipe.engine import EngineConfig, PredictionEngineConfig
from whylabel.recipe.fields import reference
from whylabel.recipe.load import build_recipe, load_recipe, override_recipe
from whylabel.recipe.reasoner import ReasonerConfig, endpoint_url
from whylabel.recipe.recipe import Recipe
from whylabel.recipe.section import Section
from whylabel.recipe.training import (
    ClassifierTrainingConfig,
    LoraSettings,
    LossConfig,
    ReasonerTrainingConfig,
    SelectionConfig,
    TrainingConfig,
)

__all__ = [
    "AugmentConfig",
    "BaselineConfig",
    "ClassifierConfig",
    "ClassifierTrainingConfig",
    "DataConfig",
    "EngineConfig",
    "EvaluationConfig",
    "FilterConfig",
    "LoraSettings",
    "LossConfig",
    "PredictionEngineConfig",
    "ReasonerConfig",
    "ReasonerTrainingConfig",
    "Recipe",
    "SamplingConfig",
    "Section",
    "SelectionConfig",
    "ShownConfig",
    "SuspectsConfig",
    "TaskConfig",
    "TrainingConfig",
    "VerificationConfig",
    "build_recipe",
    "endpoint_url",
    "load_recipe",
    "override_recipe",
    "reference",
]
