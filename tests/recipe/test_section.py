"""What each field of the recipe decides is said beside it."""

from typing import Annotated

from whylabel.recipe import Recipe, reference
from whylabel.recipe.section import Later, Section

EFFECTS = ("weights", "answers", "presentation", "execution")


def test_every_field_decides_exactly_one_thing():
    # Fields that were added later count once they differ from their default.
    filters = {"quotation_required": True, "labels": ["joy"], "min_fluency": -3}
    augment = {"filters": filters, "verification": {"folds": 4}}
    data = {"reasoning_column": "reasoning", "split_seed": 7}
    training = {"report_to": "trackio"}
    reasoner = {"without_answer_share": 0.5, "training": training}
    classifier = {"filters": {**filters, "min_effect": 0.1}, "reasoning_attempts": 2}
    recipe = Recipe.model_validate(
        {
            **{"augment": augment, "data": data, "reasoner": reasoner, "classifier": classifier},
            "training": training,
            "evaluation": {
                **{"quality_rows": 3, "faithfulness_rows": 3, "rivals": [], "encoder": "e"},
                **{"encoder_training": ["setfit"]},
                **{"slices": ["topic"], "error_rates": [0.3]},
            },
        }
    )
    by_effect = {effect: set(recipe.deciding(effect)) for effect in EFFECTS}
    fields = {key for key, kind, _, _ in reference() if kind != "section"}
    assert set.union(*by_effect.values()) == fields
    assert sum(map(len, by_effect.values())) == len(fields)


def test_what_is_only_about_speed_memory_and_place():
    assert set(Recipe().deciding("execution")) == {
        "device",
        *(
            f"{section}.engine.{name}"
            for section in ("augment", "classifier")
            for name in (
                "distributed",
                "address",
                "workers",
                "rows_per_task",
                "cpus_per_worker",
                "gpus_per_worker",
            )
        ),
        # These run the same weights, so that a trained model answers alike with all of them.
        "classifier.engine.name",
        "classifier.engine_options",
        "reasoner.endpoint",
        *(
            f"{section}.{name}"
            for section in ("training", "reasoner.training")
            for name in ("tokens_per_batch", "gradient_checkpointing", "save_steps")
        ),
    }
    assert set(Recipe().deciding("presentation")) == {"name", "evaluation.shown"}


def test_values_are_plain_and_keys_dotted():
    recipe = Recipe.model_validate({"training": {"loss": {"label_weight": 2.0}}, "classifier": {"votes": 7}})
    assert recipe.training.deciding("weights", "training.")["training.loss.label_weight"] == 2.0
    assert recipe.classifier.deciding("answers") == {
        "max_reasoning_tokens": None,
        "votes": 7,
        "vote_temperature": 0.7,
        "calibration_rows": 500,
        "adaptive_share": 0.3,
    }


def test_a_new_field_decides_the_weights_unless_it_says_otherwise():
    class New(Section):
        size: int = 1

    assert New().deciding("weights") == {"size": 1}


def test_a_field_that_was_added_later_decides_nothing_with_its_default():
    class Older(Section):
        size: int = 1
        names: Annotated[tuple[str, ...], Later()] = ()

    assert Older().deciding("weights") == {"size": 1}
    assert Older(names=("a",)).deciding("weights") == {"size": 1, "names": ["a"]}
