"""A tiny recipe, and a run of it."""

from collections.abc import Callable

import pytest

from whylabel.pipeline import Pipeline
from whylabel.recipe import Recipe, override_recipe
from whylabel.run_folder import RunFolder


@pytest.fixture(scope="module")
def recipe(tiny_model_folder) -> Recipe:
    return override_recipe(
        Recipe(name="tiny"),
        base_model=str(tiny_model_folder),
        data__train_rows=24,
        data__validation_rows=6,
        data__test_rows=12,
        reasoner__rows=12,
        reasoner__validation_rows=4,
        reasoner__training__max_steps=2,
        augment__engine="scripted",
        augment__engine_options={"answers": ['The words "as written" tell it.', "no"]},
        augment__sampling__max_new_tokens=12,
        training__max_steps=4,
        training__learning_rate=1e-2,
        evaluation__bootstrap_samples=200,
    )


@pytest.fixture(scope="module")
def finished(recipe, tmp_path_factory) -> RunFolder:
    run = RunFolder(tmp_path_factory.mktemp("run"))
    Pipeline(recipe, run).run_all()
    return run


@pytest.fixture
def changed_stages() -> Callable[..., list[str]]:
    """Return what tells the stages that a changed recipe would run."""

    def stages(recipe, run, **values):
        plan = Pipeline(override_recipe(recipe, **values), run).plan()
        return [line.split(":")[0] for line in plan if "would run" in line]

    return stages
