"""The documentation holds: generated pages are current, links resolve, shipped recipes load, the site is whole."""

from __future__ import annotations

import os
import re
import shlex
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest
import yaml
from python_reference import PUBLIC

import whylabel
from whylabel.cli.main import main
from whylabel.recipe import load_recipe

ROOT = Path(__file__).parents[1]
PAGES = [
    ROOT / "README.md",
    ROOT / "CONTRIBUTING.md",
    ROOT / "CHANGELOG.md",
    *sorted((ROOT / "docs").rglob("*.md")),
]
GENERATING = [
    "cli_reference.py",
    "recipe_reference.py",
    "python_reference.py",
    "http_reference.py",
    "models_page.py",
]
"""The scripts that write pages from the code; with `--check` each says whether its page is current."""
RECIPES = sorted((ROOT / "recipes").glob("*.yaml"))

_FENCE = re.compile(r"^```.*?^```", re.MULTILINE | re.DOTALL)
_LINK = re.compile(r"\[[^\]]*\]\(([^)\s]+)\)")


@pytest.mark.parametrize("script", GENERATING)
def test_generated_pages_are_current(script: str) -> None:
    command = [sys.executable, ROOT / "scripts" / script, "--check"]
    outcome = subprocess.run(command, capture_output=True, text=True, check=False)
    assert outcome.returncode == 0, outcome.stderr


def test_the_python_page_has_every_public_name() -> None:
    _, names = PUBLIC["whylabel"]
    assert names.keys() == set(whylabel.__all__) - {"__version__"}


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_internal_links_resolve(page: Path) -> None:
    for link in _links(page):
        path, _, anchor = link.partition("#")
        target = page if not path else page.parent / path
        assert target.exists(), f"{page.name} links to {link}"
        if anchor:
            assert anchor in _anchors(target), f"{page.name} links to {link}"


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The documentation as a site. A link that leads nowhere, or a page that is in no menu, is an error."""
    pytest.importorskip("material")
    folder = tmp_path_factory.mktemp("site")
    command = [sys.executable, "-m", "mkdocs", "build", "--strict", "--site-dir", str(folder)]
    environment = {**os.environ, "NO_MKDOCS_2_WARNING": "1"}
    outcome = subprocess.run(
        command, cwd=ROOT, env=environment, capture_output=True, text=True, check=False, timeout=300
    )
    assert outcome.returncode == 0, outcome.stderr
    return folder


def test_the_site_has_every_page(site: Path) -> None:
    pages = {path.relative_to(ROOT / "docs").with_suffix(".html") for path in PAGES if path.parent != ROOT}
    pages |= {Path("changelog.html"), Path("contributing.html")}
    assert pages <= {path.relative_to(site) for path in site.rglob("*.html")}


def test_the_site_loads_nothing_from_elsewhere(site: Path) -> None:
    loads = {
        "*.html": r"<(?:script|img|iframe|source|link)\b[^>]*\b(?:src|href)=[\"']?(?:https?:)?//[^>]*>",
        "*.css": r"(?:url\(|@import)\s*[\"']?(?:https?:)?//[^)]*",
    }
    for files, pattern in loads.items():
        for path in site.rglob(files):
            assert re.findall(pattern, path.read_text(encoding="utf-8")) == [], path


def test_the_site_shows_what_github_shows(site: Path) -> None:
    method = (site / "method.html").read_text(encoding="utf-8")
    assert "<math" in method and "arithmatex" not in method
    # Markdown within <details>.
    results = (ROOT / "docs" / "results.md").read_text(encoding="utf-8")
    assert (site / "results.html").read_text(encoding="utf-8").count("<table>") == _tables(results)


@pytest.mark.parametrize("recipe", RECIPES, ids=lambda recipe: recipe.name)
def test_shipped_recipes_load(recipe: Path) -> None:
    assert load_recipe(recipe).name == recipe.stem


@pytest.mark.parametrize("page", [ROOT / "README.md", *RECIPES], ids=lambda page: page.name)
def test_commands_with_overrides_load(page: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    rows = "".join(f"text {at},label {at % 2}\n" for at in range(40))
    (tmp_path / "tickets.csv").write_text(f"text,label\n{rows}")
    assert main(["init", "tickets.csv"]) == 0
    for recipe, overrides in _commands(page):
        # A shipped recipe goes by its name, too.
        place = ROOT if recipe.startswith("recipes/") else tmp_path
        load_recipe(place / recipe if recipe.endswith(".yaml") else Path(recipe), overrides)


def test_commands_are_found() -> None:
    readme = dict(_commands(ROOT / "README.md"))
    assert readme["best"] == [] and "augment.candidates=4" in readme["tickets.yaml"]
    assert any(
        "task.labels" in one for _, given in _commands(ROOT / "recipes" / "best.yaml") for one in given
    )


def test_the_citation_names_this_version_and_the_paper() -> None:
    citation = yaml.safe_load((ROOT / "CITATION.cff").read_text(encoding="utf-8"))
    assert citation["version"] == whylabel.__version__
    assert citation["references"][0]["url"] in (ROOT / "docs" / "method.md").read_text(encoding="utf-8")


@pytest.mark.parametrize("name", ["scaling", "upgrading"])
def test_recipes_of_a_page_load(name: str, tmp_path: Path) -> None:
    page = (ROOT / "docs" / f"{name}.md").read_text(encoding="utf-8")
    recipes = re.findall(r"```yaml\n(.*?)```", page, re.DOTALL)
    assert recipes
    for number, recipe in enumerate(recipes):
        path = tmp_path / f"{number}.yaml"
        path.write_text(recipe, encoding="utf-8")
        load_recipe(path)


def test_the_tree_names_every_module() -> None:
    package = ROOT / "src" / "whylabel"
    files = {str(path.relative_to(package)) for path in package.rglob("*.py")}
    # A verb is named by its command, a wing by its folder.
    verbs = {f"cli/{path.name}" for path in (package / "cli").glob("*.py")}
    wings = {name for name in files if name.endswith("/__init__.py")}
    named = _files_of_the_tree()
    assert named <= files
    assert files - named <= verbs | wings


def test_the_layers_are_those_of_the_import_contract() -> None:
    page = (ROOT / "docs" / "architecture.md").read_text(encoding="utf-8")
    rows = re.findall(r"^\| \d[^|]*\| (.+) \|$", page, re.MULTILINE)
    contract = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["tool"]["importlinter"]
    layers = [re.findall(r"whylabel\.(\w+)", layer) for layer in contract["contracts"][0]["layers"]]
    assert [re.findall(r"`(\w+)`", row) for row in rows[: len(layers)]] == layers


def test_the_shipped_recipes_are_there() -> None:
    assert {"quickstart", "emotion", "paper"} <= {recipe.stem for recipe in RECIPES}


def _files_of_the_tree() -> set[str]:
    """Return the modules that the tree in docs/architecture.md shows, as paths below the package."""
    page = (ROOT / "docs" / "architecture.md").read_text(encoding="utf-8")
    lines = page.partition("src/whylabel/\n")[2].partition("\nrecipes/")[0].splitlines()
    parents: list[str] = []
    found = set()
    for line in lines:
        depth = (len(line) - len(line.lstrip())) // 2 - 1
        name = line.split()[0]
        parents[depth:] = [name]
        if name.endswith(".py"):
            found.add("".join(parents))
    return found


def _tables(text: str) -> int:
    return len(re.findall(r"^\|[ :|-]+\|$", _FENCE.sub("", text), re.MULTILINE))


def _links(page: Path) -> list[str]:
    found = _LINK.findall(_FENCE.sub("", page.read_text(encoding="utf-8")))
    return [link for link in found if not re.match(r"[a-z]+:", link)]


def _commands(page: Path) -> list[tuple[str, list[str]]]:
    """Return the recipe and the overrides of each `whylabel run` or `augment` that a page shows."""
    text = re.sub(r"\\\n[ #]*", "", page.read_text(encoding="utf-8"))
    found = re.findall(r"whylabel (?:run|augment) ([\w/-]+(?:\.yaml)?)(.*)", text)
    # What a shell loop fills in is nobody's to load.
    given = ((recipe, shlex.split(rest, comments=True)) for recipe, rest in found)
    return [(recipe, [word for word in words if "=" in word and "$" not in word]) for recipe, words in given]


def _anchors(page: Path) -> set[str]:
    """Return the anchors that GitHub gives a page's headings."""
    headings = re.findall(r"^#+ (.+)$", _FENCE.sub("", page.read_text(encoding="utf-8")), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).strip().replace(" ", "-") for heading in headings}
