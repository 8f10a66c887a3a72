import json
import re

import pytest
import yaml

from whylabel.engines.choice import chosen_engine, output_settings
from whylabel.errors import RecipeError
from whylabel.recipe import (
    ClassifierTrainingConfig,
    EngineConfig,
    FilterConfig,
    Recipe,
    build_recipe,
    load_recipe,
    override_recipe,
    reference,
)


@pytest.fixture
def load(tmp_path):
    def write_and_load(text, *overrides, name="recipe.yaml"):
        path = tmp_path / name
        path.write_text(text, encoding="utf-8")
        return load_recipe(path, overrides)

    return write_and_load


def test_an_empty_recipe_is_the_defaults_under_the_files_name(load):
    assert load("# nothing yet\n", name="my-run.yaml") == Recipe(name="my-run")


@pytest.mark.parametrize(
    ("file", "name"), [("my recipe.yaml", "my-recipe"), ("état.v2.yml", "tat.v2"), ("日本.yaml", "run")]
)
def test_a_files_name_becomes_a_safe_run_name(load, file, name):
    assert load("", name=file).name == name


def test_a_section_whose_lines_are_all_commented_out_is_its_defaults(load):
    assert (
        load("training:\n  # learning_rate: 1e-5\naugment:\n  filters:\n").training
        == ClassifierTrainingConfig()
    )


@pytest.mark.parametrize("written", ["1e-5", "1.0e-5", "0.00001", "'1e-5'"])
def test_scientific_numbers(load, written):
    assert load(f"training: {{learning_rate: {written}}}").training.learning_rate == 1e-5
    assert load("", f"training.learning_rate={written}").training.learning_rate == 1e-5


def test_a_byte_order_mark_is_no_part_of_the_first_key(load):
    assert load("\ufeffseed: 3").seed == 3


def test_the_resolved_recipe_reads_back_as_itself(load):
    recipe = load(
        "task: {question: 'Welche Gefühle? 🤔', labels: [joy, fear]}",
        "training.lora.r=4",
        "augment.engine_options={a: [1, 2]}",
    )
    assert load(recipe.to_yaml()) == recipe
    assert "Gefühle? 🤔" in recipe.to_yaml()
    assert next(iter(yaml.safe_load(recipe.to_yaml()))) == "name"


def test_stage_1_keeps_its_own_defaults_when_one_of_its_values_is_set(load):
    recipe = load("", "reasoner.training.learning_rate=3e-5")
    assert recipe.reasoner.training.num_train_epochs == Recipe().reasoner.training.num_train_epochs == 3


# -- overrides ---------------------------------------------------------------------------------------------


def test_overrides_win_over_the_file_and_later_ones_over_earlier_ones(load):
    recipe = load("seed: 1\ntraining: {max_steps: 5}", "seed=2", "training.max_steps=null", "seed=3")
    assert recipe.seed == 3
    assert recipe.training.max_steps is None


@pytest.mark.parametrize(
    ("override", "value"),
    [
        ("task.question=Is a = b?", "Is a = b?"),
        ("task.question=[half", "[half"),
        ("task.question='7'", "7"),
        (" task.question =plain", "plain"),
    ],
)
def test_values_with_signs(load, override, value):
    assert load("", override).task.question == value


def test_lists_and_mappings_as_overrides(load):
    recipe = load("", "task.labels=[b, a]", "augment.engine_options.url=http://x")
    assert recipe.task.labels == ["b", "a"]
    assert recipe.augment.engine_options == {"url": "http://x"}


@pytest.mark.parametrize("override", ["seed", "=3", "", "--seed"])
def test_an_override_without_key_or_value(load, override):
    with pytest.raises(RecipeError, match=r"is not of the form key=value.*"):
        load("", override)


def test_an_override_below_a_value(load):
    with pytest.raises(RecipeError, match="'seed' is a value, not a section"):
        load("seed: 1", "seed.deep=2")


def test_override_recipe_changes_only_what_it_names():
    recipe = override_recipe(Recipe(seed=5), data__train_rows=8, name="other")
    assert (recipe.seed, recipe.data.train_rows, recipe.name) == (5, 8, "other")
    with pytest.raises(RecipeError, match="train_rows"):
        override_recipe(recipe, data__train_rows=1)


# -- errors ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "overrides", "expected"),
    [
        ("sed: 1", (), "Unknown key 'sed'. Did you mean 'seed'?"),
        ("training: {learning_rte: 1}", (), "Unknown key 'learning_rte'. Did you mean 'learning_rate'?"),
        ("training: {lora: {rr: 1}}", (), "Unknown key 'rr'. Did you mean 'r'?"),
        ("", ("data.sorce=x",), "Unknown key 'sorce'. Did you mean 'source'?"),
        ("seed: 1.5\nsed: 1", (), "Unknown key 'sed'"),
        ("training: {learning_rate: fast}", (), "training.learning_rate: "),
        ("training: {learning_rate: 0}", (), "greater than 0, got 0"),
        ("training: {learning_rate: .nan}", (), "finite number, got nan"),
        ("training: 3", (), "training: "),
        ("prompt_style: chatty", (), "'compact' or 'chat', got 'chatty'"),
        ("name: ../up", (), "name: "),
        ("name: ''", (), "name: "),
        ("task: {labels: [0, 1]}", (), "task.labels.0: "),
        (
            "task: {labels: {joy: glad, fear: ''}}",
            (),
            "task.labels: no prompt shows descriptions of labels ('joy'",
        ),
        ("", ("task.labels={joy: glad}",), "say what the labels mean in task.question, or list their names"),
        ("task: {labels: joy}", (), "task.labels: "),
        ("augment: {filters: {min_words: 9, max_words: 3}}", (), "min_words 9 is above max_words 3"),
        (
            "augment: {filters: {names: [pattern], drop_patterns: [fine, 'as (an']}}",
            (),
            "augment.filters.drop_patterns: 'as (an' is not a regular expression",
        ),
        ("augment: {filters: {drop_patterns: [a]}}", (), "names has no filter `pattern`"),
        ("augment: {filters: {max_similarity: 1}}", (), "max_similarity"),
        ("1: x", (), "Keys should be strings"),
        ("- a\n- b", (), "A recipe is a YAML mapping"),
        ("just words", (), "A recipe is a YAML mapping"),
        ("a: b: c", (), "not valid YAML"),
        ("a: [1", (), "not valid YAML"),
        ("training: {learning_rate: .inf}", (), "finite number"),
        ("\t- x", (), "not valid YAML"),
        ("name: 2024-13-45", (), "'2024-13-45' is not a valid date"),
        ("seed: -1", (), "seed: Input should be greater than or equal to 0, got -1"),
        ("", ("seed=4294967296",), "seed: Input should be less than 4294967296"),
        ("a: !!python/object/apply:os.getcwd []", (), "not valid YAML"),
    ],
)
def test_a_recipe_that_does_not_hold(load, text, overrides, expected):
    with pytest.raises(RecipeError) as caught:
        load(text, *overrides)
    assert expected in caught.value.what
    assert "\n" not in caught.value.what
    assert "recipe.yaml" in caught.value.where


def test_labels_without_descriptions_may_stand_as_keys(load):
    assert load("task: {labels: {joy: '', fear: null}}").task.labels == ["joy", "fear"]


def test_more_than_one_fault_is_counted(load):
    with pytest.raises(RecipeError, match=r"\(2 more after this one\)"):
        load("a: 1\nb: 2\nseed: x")


def test_where_gives_the_key_or_the_line(load):
    with pytest.raises(RecipeError) as caught:
        load("training: {lr: 1}")
    assert caught.value.where.endswith("recipe.yaml: training.lr")
    with pytest.raises(RecipeError) as caught:
        load("seed: 1\na: b: c")
    assert caught.value.where.endswith("recipe.yaml, line 2")


@pytest.mark.parametrize(
    ("text", "key", "first", "second"),
    [
        ("seed: 1\nname: a\nseed: 2", "seed", 1, 3),
        ("training:\n  max_steps: 1\n  'max_steps': 2", "max_steps", 2, 3),
        ("training:\n  max_steps: 1\ntraining:\n  seed: 2", "training", 1, 3),
    ],
)
def test_a_key_that_stands_twice_is_refused_with_both_lines(load, text, key, first, second):
    with pytest.raises(RecipeError, match=f"the key '{key}' occurs twice, first in line {first}") as caught:
        load(text)
    assert caught.value.where.endswith(f"recipe.yaml, line {second}")


def test_merged_keys_stand_once(load):
    text = (
        "training: &plain {max_steps: 5}\nreasoner:\n  training: {<<: *plain, max_steps: 6, learning_rate: 1}"
    )
    recipe = load(text)
    assert (recipe.training.max_steps, recipe.reasoner.training.max_steps) == (5, 6)


def test_an_override_that_is_no_date_is_text(load):
    assert load("", "name=2024-13-45").name == "2024-13-45"


def test_labels_that_yaml_reads_as_booleans_get_the_cure(load):
    with pytest.raises(RecipeError, match="quotes"):
        load("task: {labels: [yes, no]}")
    assert load("task: {labels: ['yes', 'no']}").task.labels == ["yes", "no"]


def test_a_file_that_is_not_there_or_is_no_text(tmp_path):
    with pytest.raises(RecipeError, match=r"There is no recipe.*"):
        load_recipe(tmp_path / "none.yaml")
    with pytest.raises(RecipeError, match="This is a folder"):
        load_recipe(tmp_path)
    (tmp_path / "b.yaml").write_bytes(b"name: \xff\xfe\x00")
    with pytest.raises(RecipeError, match="cannot be read"):
        load_recipe(tmp_path / "b.yaml")


def test_build_recipe_says_where():
    with pytest.raises(RecipeError) as caught:
        build_recipe({"sed": 1}, where="the call")
    assert caught.value.where == "the call: sed"


def test_a_recipe_is_frozen():
    with pytest.raises(ValueError, match="frozen"):
        Recipe().seed = 1


# -- the engine: a name or a section -----------------------------------------------------------------------


def test_a_plain_name_stands_for_an_engine_in_this_process(load):
    plain = load("augment: {engine: vllm}")
    assert plain.augment.engine == EngineConfig(name="vllm")
    assert load("augment: {engine: {name: vllm}}") == plain
    assert load("augment: {engine: {distributed: ray}}", "augment.engine=vllm") == plain
    assert load(plain.to_yaml()) == plain


def test_an_override_below_a_plain_name_keeps_the_name(load):
    engine = load("augment: {engine: scripted}", "augment.engine.distributed=ray").augment.engine
    assert engine == EngineConfig(name="scripted", distributed="ray")
    engine = load("", "augment.engine=vllm", "augment.engine.distributed=ray").augment.engine
    assert engine == EngineConfig(name="vllm", distributed="ray")


@pytest.mark.parametrize(
    ("engine", "expected"),
    [
        ("{distributed: dask}", "augment.engine.distributed: Input should be 'ray'"),
        ("{distributd: ray}", "Unknown key 'distributd'. Did you mean 'distributed'?"),
        ("{distributed: ray, workers: 0}", "augment.engine.workers"),
        ("{address: auto, workers: 2}", "address and workers need a cluster: add distributed: ray"),
        ("3", "augment.engine: "),
    ],
)
def test_an_engine_section_that_does_not_hold(load, engine, expected):
    with pytest.raises(RecipeError) as caught:
        load(f"augment: {{engine: {engine}}}")
    assert expected in caught.value.what


def test_the_distribution_is_no_part_of_what_is_written(load):
    alone = load("augment: {engine: scripted}")
    over_ray = load("augment: {engine: {name: scripted, distributed: ray, workers: 3}}")
    assert output_settings(alone) == output_settings(over_ray)
    assert chosen_engine(alone) == chosen_engine(over_ray)


@pytest.mark.parametrize("name", ["auto", "openvino"])
def test_a_precision_that_is_named_is_part_of_what_is_written(name):
    def told(**options):
        return output_settings(
            override_recipe(Recipe(), augment__engine=name, augment__engine_options=options)
        )

    assert told() == told(precision="auto") == told(threads=3) == {}
    assert told(precision="bfloat16") == {"precision": "bfloat16"}


def test_whether_ids_are_sent_tells_outputs_apart_where_any_could_be():
    def told(**options):
        options = {"base_url": "http://127.0.0.1:1/v1", "model": "m", **options}
        return output_settings(
            override_recipe(Recipe(), augment__engine="openai", augment__engine_options=options)
        )

    assert told(send_token_ids=False) == {**told(), "send_token_ids": False}
    assert told(api="chat", send_token_ids=False) == told(api="chat")


# -- reference ---------------------------------------------------------------------------------------------


def test_every_field_is_explained():
    fields = list(reference())
    assert [key for key, _, _, help_text in fields if not help_text] == []
    keys = [key for key, *_ in fields]
    assert len(keys) == len(set(keys))
    assert {"seed", "training.lora.r", "reasoner.training.learning_rate", "task.labels"} <= set(keys)


def test_the_reference_gives_the_defaults_that_hold(load):
    values = Recipe().model_dump(mode="json")
    for key, kind, default, _ in reference():
        if kind == "section":
            continue
        value = values
        for part in key.split("."):
            value = value[part]
        written = yaml.safe_load(default)
        # YAML 1.1 reads 1e-05 as text; the recipe makes a number of it.
        assert (float(written) if isinstance(value, float) else written) == value, key


def test_types_are_given_in_words():
    kinds = {key: kind for key, kind, _, _ in reference()}
    assert kinds["prompt_style"] == "compact | chat"
    assert kinds["data.train_rows"] == "int | null"
    assert kinds["task.labels"] == "list[str] | null"
    assert not [kind for kind in kinds.values() if re.search(r"typing|class|<", kind)]


def test_default_filters_exist():
    from whylabel.reasonings.filters import FILTERS

    assert set(FilterConfig().names) <= set(FILTERS)


ENDPOINT = "reasoner: {endpoint: 'http://127.0.0.1:8000', model: big}"


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("reasoner: {endpoint: 'http://127.0.0.1:8000'}", "endpoint needs the name of the model"),
        ("reasoner: {endpoint: '127.0.0.1:8000', model: big}", "a URL such as"),
        ("reasoner: {endpoint: 'http://me:secret@host/v1', model: big}", "may hold no password"),
        (f"{ENDPOINT}\naugment: {{engine: vllm}}", "augment.engine is 'vllm'"),
        (f"{ENDPOINT}\naugment: {{engine_options: {{base_url: x}}}}", "gives base_url, which"),
    ],
)
def test_an_endpoint_that_does_not_fit_is_refused(tmp_path, text, expected):
    path = tmp_path / "recipe.yaml"
    path.write_text(text)
    with pytest.raises(RecipeError, match=expected) as raised:
        load_recipe(path)
    assert "secret" not in str(raised.value)
    assert "{" not in raised.value.what, "a whole section was printed"


def test_an_endpoint_without_a_path_gets_one(tmp_path):
    path = tmp_path / "recipe.yaml"
    path.write_text(ENDPOINT)
    recipe = load_recipe(path)
    assert recipe.reasoner.endpoint == "http://127.0.0.1:8000/v1"
    assert load_recipe(path, ["augment.engine=openai"]).augment.engine.name == "openai"


@pytest.mark.parametrize(
    ("data", "sources"),
    [
        ("own", ["own"]),
        ("[builtin:reasoning, own]", ["builtin:reasoning", "own"]),
        ("pairs.csv", ["pairs.csv"]),
    ],
)
def test_reasoning_data_may_have_several_sources(load, data, sources):
    recipe = load(f"reasoner: {{data: {data}}}")
    assert recipe.reasoner.sources == sources
    assert load("", f"reasoner.data={data}") == recipe


@pytest.mark.parametrize(
    ("data", "message"), [("[]", "at least one source"), ("[a.csv, own, a.csv]", "a source twice")]
)
def test_sources_of_reasonings_that_make_no_sense(load, data, message):
    with pytest.raises(RecipeError, match=message):
        load(f"reasoner: {{data: {data}}}")


@pytest.mark.parametrize("key", ["[", "a[b]", "list[str]"])
def test_an_unknown_key_with_brackets_is_named(tmp_path, key):
    path = tmp_path / "recipe.yaml"
    path.write_text(f'"{key}": 1\n')
    with pytest.raises(RecipeError, match=f"Unknown key '{re.escape(key)}'"):
        load_recipe(path)


@pytest.mark.parametrize("labels", [["joy"], ["joy", "joy"], ["joy", " "], []])
def test_labels_that_form_no_set_are_refused_with_the_recipe(tmp_path, labels):
    path = tmp_path / "recipe.yaml"
    path.write_text(json.dumps({"task": {"labels": labels}}))
    with pytest.raises(RecipeError, match=r"task\.labels: ") as caught:
        load_recipe(path)
    assert "recipe.yaml" in caught.value.where
