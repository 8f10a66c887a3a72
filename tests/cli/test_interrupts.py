import click
import pytest

from whylabel.cli.interrupts import if_interrupted, interruption
from whylabel.cli.main import main


def interrupted(*_values, **_named):
    raise KeyboardInterrupt


# A module that is first imported while a name is patched keeps the patch, so nothing is patched that others import.
@pytest.mark.parametrize("verb", ["run", "train-reasoner", "augment", "train", "evaluate"])
def test_a_verb_over_a_recipe_goes_on_and_says_so(verb, tmp_path, monkeypatch, capsys):
    monkeypatch.setattr("whylabel.recipe.load.build_recipe", interrupted)
    (tmp_path / "recipe.yaml").touch()
    assert main([verb, str(tmp_path / "recipe.yaml")]) == 130
    said = capsys.readouterr().err.strip()
    assert said == "Interrupted. The same command continues where this one stopped."


@pytest.mark.parametrize(
    ("arguments", "working"),
    [
        (["init", "d.csv"], "whylabel.data.inspect_dataset"),
        (["inspect", "d.csv"], "whylabel.data.inspect_dataset"),
        (["reasonings", "run"], "whylabel.reasonings.review.review_rows"),
        (["doctor"], "whylabel.cli.diagnosis.diagnose"),
    ],
)
def test_a_verb_that_keeps_nothing_promises_nothing(arguments, working, monkeypatch, capsys):
    monkeypatch.setattr(working, interrupted)
    code = main(arguments)
    said = capsys.readouterr().err.strip()
    assert (code, said) == (130, "Interrupted.")


def test_what_is_said_is_found_out_at_the_interruption():
    rows = []
    with (
        pytest.raises(KeyboardInterrupt, match="2 rows are kept"),
        if_interrupted(lambda: f"{len(rows)} rows are kept"),
    ):
        rows += [1, 2]
        raise KeyboardInterrupt
    with pytest.raises(ValueError), if_interrupted(lambda: pytest.fail("it was not interrupted")):
        raise ValueError


def test_what_an_interruption_says_is_found_behind_what_click_makes_of_it():
    assert interruption(KeyboardInterrupt("2 rows are kept")) == "Interrupted. 2 rows are kept"
    assert interruption(KeyboardInterrupt()) == interruption(click.Abort()) == "Interrupted."
    wrapped = click.Abort()
    wrapped.__cause__ = KeyboardInterrupt("3 rows are kept")
    assert interruption(wrapped) == "Interrupted. 3 rows are kept"
