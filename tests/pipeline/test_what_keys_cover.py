"""Which rows decide which stage: a row that changes runs those stages again, and no others."""

from dataclasses import replace
from functools import partial

import pytest
from hypothesis import given
from hypothesis import strategies as st

from whylabel.errors import RunFolderError
from whylabel.pipeline.inputs import Inputs
from whylabel.pipeline.keys import Key, StageKeys
from whylabel.reasonings.store import Decision, open_store
from whylabel.recipe import build_recipe, override_recipe
from whylabel.run_folder import RunFolder
from whylabel.types import Dataset, Example, QuestionAnswer

LABELS = ("joy", "fear")
CALIBRATIONS = {"calibrate baseline", "calibrate classifier"}
STAGES = (
    "reasoner",
    "folds",
    "suspects",
    "augment",
    "baseline",
    "classifier",
    *sorted(CALIBRATIONS),
    "evaluate",
)
COVERED = {
    "train": {"folds", "suspects", "augment", "baseline", "classifier", "evaluate"},
    "validation": CALIBRATIONS,
    "test": {"evaluate"},
}
"""The stages that each split decides by itself, the content of earlier stages aside."""

REASONING = tuple(QuestionAnswer(str(n), f"question {n}", "yes", "because") for n in range(3))

examples = st.builds(Example, st.text(min_size=1), st.text(min_size=1), st.sampled_from(LABELS))
splits = st.lists(examples, min_size=1, max_size=4, unique_by=lambda row: row.id).map(tuple)
datasets = st.builds(Dataset, train=splits, validation=splits, test=splits, labels=st.just(LABELS))


@pytest.fixture(autouse=True, scope="module")
def small():
    """One validation row is enough to calibrate on, and the classifier's training took three steps."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("whylabel.pipeline.keys.LEAST_ROWS", 1)
        patch.setattr("whylabel.pipeline.keys.matched_budget", lambda run, budget: {budget: 3})
        yield


def fingerprints(keys: StageKeys) -> dict[str, str]:
    found = {stage: getattr(keys, stage) for stage in STAGES if stage not in CALIBRATIONS}
    for name in ("baseline", "classifier"):
        found[f"calibrate {name}"] = partial(keys.calibration, name)
    return {stage: found[stage]().fingerprint for stage in STAGES}


def keys_of(recipe, dataset, folder="none", reasoning=(REASONING[:2], REASONING[2:])) -> dict[str, str]:
    """Return the keys of all stages, as if every stage before had made the same once more."""
    inputs = Inputs(recipe, dataset)
    # Both would be read from files, the same ones for all examples.
    inputs.__dict__ |= {"reasoning_rows": reasoning, "base_fingerprint": "base"}
    keys = StageKeys(inputs, RunFolder(folder))
    keys._content = lambda stage, key: stage
    return fingerprints(keys)


def changed(before: dict[str, str], after: dict[str, str]) -> set[str]:
    return {stage for stage in STAGES if before[stage] != after[stage]}


def other(label: str) -> str:
    return LABELS[1 - LABELS.index(label)]


CHANGES = {
    "another id": lambda rows, at: (*rows[:at], replace(rows[at], id=rows[at].id + "'"), *rows[at + 1 :]),
    "another text": lambda rows, at: (
        *rows[:at],
        replace(rows[at], text=rows[at].text + " "),
        *rows[at + 1 :],
    ),
    "another label": lambda rows, at: (
        *rows[:at],
        replace(rows[at], label=other(rows[at].label)),
        *rows[at + 1 :],
    ),
    "a row less": lambda rows, at: rows[:at] + rows[at + 1 :],
    "a row more": lambda rows, at: (*rows, Example("new", "text", "joy")),
}


@pytest.mark.parametrize("change", CHANGES)
@given(datasets, st.sampled_from(sorted(COVERED)), st.data())
def test_a_row_that_changes_runs_again_what_its_split_decides_and_no_more(
    recipe, change, dataset, split, data
):
    rows = getattr(dataset, split)
    at = data.draw(st.integers(0, len(rows) - 1))
    mended = replace(dataset, **{split: CHANGES[change](rows, at)})
    assert changed(keys_of(recipe, dataset), keys_of(recipe, mended)) == COVERED[split]


@pytest.mark.parametrize("budget", ["matched_steps", "matched_flops"])
@pytest.mark.parametrize("split", COVERED)
def test_a_baseline_of_a_matched_budget_depends_on_its_rows_too(recipe, budget, split):
    matched = override_recipe(recipe, baseline__budget=budget)
    rows = tuple(Example(str(at), f"text {at}", LABELS[at % 2]) for at in range(4))
    dataset = Dataset(rows, rows, rows, LABELS)
    before = keys_of(matched, dataset)
    assert changed(keys_of(recipe, dataset), before) == {"baseline"}
    for change in CHANGES.values():
        mended = replace(dataset, **{split: change(rows, 2)})
        assert changed(before, keys_of(matched, mended)) == COVERED[split]


@given(datasets)
def test_the_same_rows_give_the_same_keys(recipe, dataset):
    again = Dataset(dataset.train, dataset.validation, dataset.test, LABELS)
    assert keys_of(recipe, dataset) == keys_of(build_recipe(recipe.model_dump()), again)
    assert keys_of(recipe, dataset) == keys_of(override_recipe(recipe, name="another"), again)


@pytest.mark.parametrize("trained", [REASONING[:1], REASONING[1::-1]])
def test_reasoning_rows_decide_the_reasoner_and_nothing_else(recipe, trained):
    dataset = Dataset((Example("1", "text", "joy"),), labels=LABELS)
    before = keys_of(recipe, dataset)
    assert changed(before, keys_of(recipe, dataset, reasoning=(trained, REASONING[2:]))) == {"reasoner"}
    # The gate looks at the held-out rows; they decide no weight.
    assert changed(before, keys_of(recipe, dataset, reasoning=(REASONING[:2], ()))) == set()


def test_what_people_decide_sorts_the_reasonings_anew_and_runs_nothing_else(recipe, tmp_path):
    dataset = Dataset((Example("1", "text", "joy"),), labels=LABELS)
    run = RunFolder(tmp_path)
    before = keys_of(recipe, dataset, tmp_path)
    with open_store(run.store) as store:
        assert keys_of(recipe, dataset, tmp_path) == before
        store.put_decisions([Decision("row", "rejected", "", "Ada", "2026-01-01T00:00:00Z")])
    after = keys_of(recipe, dataset, tmp_path)
    assert changed(before, after) == {"augment"}
    with open_store(run.store) as store:
        # The same decision once more decides nothing else.
        store.put_decisions([Decision("row", "rejected", "", "Ada", "2026-02-01T00:00:00Z")])
    assert changed(after, keys_of(recipe, dataset, tmp_path)) == set()
    with open_store(run.store) as store:
        store.put_decisions([Decision("row", "cleared", "", "Ada", "2026-03-01T00:00:00Z")])
    assert changed(before, keys_of(recipe, dataset, tmp_path)) == set()


@pytest.mark.parametrize("budget", ["same", "matched_steps"])
def test_a_stage_that_made_something_else_runs_those_after_it(recipe, budget):
    dataset = Dataset((Example("1", "text", "joy"),), labels=LABELS)
    made: dict[str, str] = {}

    def keys() -> dict[str, str]:
        inputs = Inputs(override_recipe(recipe, baseline__budget=budget), dataset)
        stage_keys = StageKeys(inputs, RunFolder("none"))
        stage_keys._content = lambda stage, key: made.get(stage, stage)
        return fingerprints(stage_keys)

    before = keys()
    for stage, after in {
        "train-reasoner": {"augment"},
        "augment": {"classifier"},
        "train-baseline": {"calibrate baseline"},
        "train-classifier": {"calibrate classifier"},
        "calibrate-baseline": {"evaluate"},
        "calibrate-classifier": {"evaluate"},
    }.items():
        made[stage] = "something else"
        assert changed(before, keys()) == after
        made.clear()


STAGE_TWO = {"folds", "suspects", "baseline", "classifier"}
FOUR = tuple(Example(str(at), f"text {at}", LABELS[at % 2]) for at in range(4))


@pytest.fixture
def drawn(recipe):
    """A recipe whose reasonings are drawn at random, and judged by the base model."""
    values = {"augment__sampling__temperature": 0.7, "augment__verification__verifier": "base"}
    return override_recipe(recipe, **values)


@pytest.mark.parametrize(
    ("values", "stages"),
    [
        ({"name": "another"}, set()),
        ({"seed": 99}, set(STAGES)),
        ({"prompt_style": "chat"}, {"reasoner", "augment", *STAGE_TWO}),
        ({"task__question": "Which?"}, {"augment", *STAGE_TWO}),
        ({"data__max_text_tokens": 20}, {"augment", *STAGE_TWO}),
        ({"reasoner__training__max_steps": 3}, {"reasoner"}),
        ({"augment__sampling__max_new_tokens": 9}, {"augment"}),
        ({"augment__sampling__temperature": 0.1}, {"augment"}),
        ({"augment__sampling__top_p": 0.5}, {"augment"}),
        ({"augment__candidates": 3}, {"augment"}),
        # The reasoner learns to do without the answer.
        ({"augment__condition": "free"}, {"reasoner", "augment"}),
        ({"augment__condition": "free", "reasoner__without_answer_share": 0}, {"augment"}),
        ({"reasoner__without_answer_share": 0.2}, {"reasoner"}),
        ({"reasoner__without_answer_share": 0.0}, set()),
        ({"augment__filters__min_words": 9}, {"augment"}),
        ({"augment__verification__min_margin": 0.5}, {"augment"}),
        ({"augment__suspects__folds": 3}, {"folds", "suspects"}),
        ({"augment__suspects": {"folds": 3, "exclude": True}}, {"folds", "suspects", "augment"}),
        ({"training__max_steps": 3}, STAGE_TWO),
        ({"classifier__calibration_rows": 9}, CALIBRATIONS),
        ({"classifier__max_reasoning_tokens": 9}, {"calibrate classifier"}),
        ({"training__tokens_per_batch": 64}, set()),
        ({"training__selection__steps": 5}, STAGE_TWO),
        ({"classifier__target": "label"}, {"classifier"}),
        ({"baseline__budget": "matched_steps"}, {"baseline"}),
        ({"evaluation__bootstrap_samples": 300}, {"evaluate"}),
    ],
    ids=lambda value: str(value) if isinstance(value, dict) else None,
)
def test_a_setting_decides_these_stages_and_no_others(drawn, values, stages):
    dataset = Dataset(FOUR, FOUR, FOUR, LABELS)
    assert changed(keys_of(drawn, dataset), keys_of(override_recipe(drawn, **values), dataset)) == stages


@pytest.mark.parametrize("version", ["FORMAT_VERSION", "MASKING_VERSION"])
def test_a_new_version_of_a_format_runs_again_what_was_made_by_the_old_one(drawn, monkeypatch, version):
    dataset = Dataset(FOUR, FOUR, FOUR, LABELS)
    before = keys_of(drawn, dataset)
    settings = StageKeys(Inputs(drawn, dataset), RunFolder("none"))
    settings._content = lambda stage, key: stage
    written = settings.reasoner_settings()
    monkeypatch.setattr(f"whylabel.pipeline.keys.{version}", 99)
    stages = {"augment"} if version == "MASKING_VERSION" else {"reasoner", "augment", *STAGE_TWO}
    assert changed(before, keys_of(drawn, dataset)) == stages
    # Other masks change verdicts alone: no reasoning is written again.
    assert (settings.reasoner_settings() == written) == (version == "MASKING_VERSION")


def test_what_a_reasoning_depends_on_is_named(drawn):
    keys = StageKeys(Inputs(drawn, Dataset(FOUR, labels=LABELS)), RunFolder("none"))
    keys._content = lambda stage, key: f"the hash of what {stage} has made"
    keys.inputs.__dict__ |= {"reasoning_rows": (REASONING[:2], REASONING[2:]), "base_fingerprint": "base"}
    found = keys.reasoner_settings()
    named = {"reasoner", "prompt_style", "question", "format", "temperature", "top_p", "seed"}
    assert named <= set(found) and "max_text_tokens" not in found
    assert (found["reasoner"], found["seed"]) == ("the hash of what", drawn.seed)
    greedy = StageKeys(
        Inputs(override_recipe(drawn, augment__sampling__temperature=0.0), Dataset(FOUR, labels=LABELS)),
        keys.run,
    )
    greedy._content = keys._content
    greedy.inputs.__dict__ |= {"reasoning_rows": (REASONING[:2], REASONING[2:]), "base_fingerprint": "base"}
    # Nothing is drawn, so neither the seed nor top_p says anything.
    assert not {"seed", "top_p"} & set(greedy.reasoner_settings())


@pytest.mark.parametrize(
    "values",
    [
        {"task__question": "Which?"},
        {"task__name": "Mood"},
        {"prompt_style": "chat"},
        {"data__max_text_tokens": 20},
        {"augment__verification__verifier": "baseline"},
    ],
    ids=str,
)
def test_a_verdict_depends_on_all_that_the_verifier_reads(drawn, values):
    def verdict(recipe, labels=LABELS):
        keys = StageKeys(Inputs(recipe, Dataset(FOUR, labels=labels)), RunFolder("none"))
        keys.inputs.__dict__ |= {"base_fingerprint": "base"}
        keys._content = lambda stage, key: stage
        return keys.verifier()

    assert verdict(drawn) == verdict(override_recipe(drawn, augment__verification__min_margin=0.5))
    assert verdict(drawn) != verdict(override_recipe(drawn, **values))
    assert verdict(drawn) != verdict(drawn, (*LABELS, "anger"))
    assert verdict(override_recipe(drawn, augment__verification__verifier=None)) is None


def test_a_verifier_of_another_model_counts_by_its_weights(drawn, tiny_model_folder):
    named = override_recipe(drawn, augment__verification__verifier=str(tiny_model_folder))
    verdicts = []
    for recipe in (drawn, named):
        inputs = Inputs(recipe, Dataset(FOUR, labels=LABELS))
        inputs.__dict__ |= {"base_fingerprint": "base"}
        verdicts.append(StageKeys(inputs, RunFolder("none")).verifier())
    assert verdicts[0] != verdicts[1]


def test_settings_of_several_labels_are_in_a_key_only_where_a_text_may_have_several(recipe):
    several = {"task__type": "multi_label", "classifier__target": "label"}
    for values, expected in (({}, False), (several, True)):
        inputs = Inputs(override_recipe(recipe, **values), Dataset(FOUR, labels=LABELS))
        inputs.__dict__ |= {"reasoning_rows": (REASONING[:2], REASONING[2:]), "base_fingerprint": "base"}
        keys = StageKeys(inputs, RunFolder("none"))
        keys._content = lambda stage, key: stage
        for key in (keys.folds(), keys.suspects(), keys.baseline(), keys.classifier()):
            for name in ("task.label_separator", "classifier.negatives"):
                assert (name in key.parts) == expected


def test_suspects_that_nobody_looks_for_are_not_left_out(drawn):
    dataset = Dataset(FOUR, labels=LABELS)
    keys = StageKeys(
        Inputs(override_recipe(drawn, augment__suspects__exclude=True), dataset), RunFolder("none")
    )
    keys.inputs.__dict__ |= {"reasoning_rows": (REASONING[:2], REASONING[2:]), "base_fingerprint": "base"}
    keys._content = lambda stage, key: {"train-reasoner": "a reasoner"}[stage]
    assert keys.augment().parts["suspects left out"] is None


@pytest.mark.parametrize(
    ("stage", "verb"),
    [
        ("train-reasoner", "train-reasoner"),
        ("train-folds", "augment"),
        ("suspects", "augment"),
        ("augment", "augment"),
        ("train-baseline", "train"),
        ("train-classifier", "train"),
        ("calibrate-baseline", "train"),
        ("calibrate-classifier", "train"),
    ],
)
def test_a_stage_that_is_missing_is_named_with_its_verb(recipe, stage, verb):
    keys = StageKeys(Inputs(recipe), RunFolder("none"))
    with pytest.raises(RunFolderError, match=f"{stage}, has not been run") as caught:
        keys._content(stage, Key({}))
    assert f"run it first: whylabel {verb} RECIPE, or all" in caught.value.fix


def test_the_reasoning_of_a_row_decides_what_is_kept_and_nothing_else(recipe):
    rows = tuple(Example(str(at), f"text {at}", LABELS[at % 2]) for at in range(4))
    own = (replace(rows[0], reasoning="so"), *rows[1:])
    other = (replace(rows[0], reasoning="thus"), *rows[1:])
    keys = [keys_of(recipe, Dataset(train, rows, rows, LABELS)) for train in (rows, own, other)]
    assert changed(keys[0], keys[1]) == changed(keys[1], keys[2]) == {"augment"}
