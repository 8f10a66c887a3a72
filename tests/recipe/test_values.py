import pytest

from whylabel.errors import RecipeError
from whylabel.recipe import build_recipe, load_recipe

BOMB = ["a: &a [x, x, x, x, x, x, x, x, x]"] + [
    f"{name}: &{name} [{', '.join(['*' + before] * 9)}]"
    for before, name in zip("abcdefgh", "bcdefghi", strict=True)
]
MERGES = ["a: &a {k: 1}"] + [
    f"{name}: &{name} {{<<: [{', '.join(['*' + before] * 9)}]}}"
    for before, name in zip("abcdefgh", "bcdefghi", strict=True)
]


def options(lines):
    return "augment:\n  engine_options:\n" + "\n".join(f"    {line}" for line in lines)


@pytest.mark.parametrize(
    ("content", "expected"),
    [
        ('task: {question: "\\ud800"}', "task.question holds NUL, half a character"),
        ('task: {"\\ud800": 1}', "task.\\ud800 holds NUL, half a character"),
        ('task: {labels: {"\\ud800": x, b: c}}', "task.labels.\\ud800 holds"),
        ('augment: {engine_options: {a: ["\\udcff"]}}', "augment.engine_options.a.1 holds"),
        ('data: {source: "a\\0b"}', "data.source holds NUL"),
        ("a: " + "[" * 20_000, "nested too deeply"),
        ("a: " + "{a: " * 3000 + "}" * 3000, "nested too deeply"),
        ("augment: {engine_options: {a: " + "[" * 200 + "]" * 200 + "}}", "augment.engine_options.a is nested in"),
        ("augment: {engine_options: &a {b: *a}}", "is nested in more than 32 levels"),
        ("&a {augment: *a}", "is nested in more than 32 levels"),
        (options(BOMB), "at most 100,000 values"),
        ("\n".join(MERGES), "Unknown key 'a'"),
        ("seed: " + "9" * 5000, "is not a valid int"),
        ("seed: 0x" + "9" * 5000, "seed is a number that is too large"),
        ("seed: 1" + ":59" * 5000, "seed is a number that is too large"),
        ("augment: {engine_options: {a: !!binary '/w=='}}", "augment.engine_options.a is a bytes"),
        ("task: !!set {a, b}", "task is a set"),
        ("seed: !!bool x", "'x' is not a valid bool"),
        ("seed: !!timestamp x", "'x' is not a valid date"),
        ("seed: !!int ''", "'' is not a valid int"),
        ("seed: !!python/object:os.system {}", "not valid YAML"),
        ("task:\n\tquestion: x", "not valid YAML"),
        ("reasoner: {endpoint: 'http://x:99999', model: a}", "reasoner.endpoint: Port out of range"),
        ("reasoner: {endpoint: 'http://x:abc', model: a}", "reasoner.endpoint: Port could not be"),
        ("reasoner: {endpoint: 'http://[::1', model: a}", "reasoner.endpoint: Invalid IPv6 URL"),
        (bytes(range(256)), "cannot be read"),
        (b"seed: 1\n" + b"# more\n" * 200_000, "too large for a recipe"),
    ],
)  # fmt: skip
def test_a_file_that_no_recipe_is_says_so(tmp_path, content, expected):
    path = tmp_path / "r.yaml"
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    with pytest.raises(RecipeError) as caught:
        load_recipe(path)
    assert expected in caught.value.what
    assert str(path) in caught.value.where
    assert len(str(caught.value)) < 1000


@pytest.mark.parametrize(
    ("override", "expected"),
    [
        ("task.question=\udcff", "task.question holds"),
        ("\udcff=1", "\\udcff holds"),
        ("augment.engine_options.\udcff=1", "augment.engine_options.\\udcff holds"),
        ("a=" + "[" * 20_000, "Override 'a': the value is nested too deeply"),
        ("augment.engine_options.x=" + "[" * 300 + "]" * 300, "is nested in more than 32 levels"),
        ("augment.engine_options." + "a." * 5000 + "b=1", "no recipe has so many nested sections"),
        ("seed=" + "9" * 5000, "seed: Unable to parse"),
        ("=1", "not of the form key=value"),
        ("...=1", "Unknown key ''"),
    ],
)
def test_an_override_that_cannot_be_used_says_so(tmp_path, override, expected):
    (tmp_path / "r.yaml").write_text("")
    with pytest.raises(RecipeError) as caught:
        load_recipe(tmp_path / "r.yaml", [override])
    assert expected in caught.value.what and len(str(caught.value)) < 1000


def test_merged_sections_still_work(tmp_path):
    (tmp_path / "r.yaml").write_text("task: {<<: {name: A, question: B}, name: C}")
    recipe = load_recipe(tmp_path / "r.yaml")
    assert (recipe.task.name, recipe.task.question) == ("C", "B")


def test_values_from_python_are_looked_at_too():
    with pytest.raises(RecipeError, match=r"data.source holds NUL"):
        build_recipe({"data": {"source": "a\0"}})


@pytest.mark.parametrize("path", ["a\0b", "a" * 5000])
def test_a_path_that_no_system_takes(path):
    with pytest.raises(RecipeError, match="cannot be read"):
        load_recipe(path)
