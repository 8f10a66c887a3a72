import pickle

import pytest

from whylabel import errors
from whylabel.errors import (
    AuditError,
    DataError,
    EngineError,
    LabelError,
    ModelError,
    ParityError,
    RecipeError,
    RunFolderError,
    UsageError,
    WhylabelError,
    unknown_name,
)

EVERY = [
    error for error in vars(errors).values() if isinstance(error, type) and issubclass(error, WhylabelError)
]


def test_message_is_one_line_each_for_what_where_and_fix():
    error = WhylabelError("The file is empty.", where="data.csv", fix="add rows")
    assert str(error).splitlines() == ["The file is empty.", "  where: data.csv", "  fix: add rows"]
    assert str(WhylabelError("The file is empty.")) == "The file is empty."


@pytest.mark.parametrize("kind", EVERY)
def test_every_error_is_the_users_to_mend(kind):
    assert kind("what").exit_code == (1 if kind is ParityError else 2)


@pytest.mark.parametrize("kind", EVERY)
def test_every_error_survives_a_process_border(kind):
    error = pickle.loads(pickle.dumps(kind("what", where="here", fix="so")))
    assert type(error) is kind
    assert (error.what, error.where, error.fix) == ("what", "here", "so")


def test_tree():
    assert issubclass(LabelError, DataError)
    assert issubclass(AuditError, ModelError) and issubclass(EngineError, ModelError)
    for kind in (UsageError, RecipeError, DataError, ModelError, RunFolderError):
        assert kind.__bases__ == (WhylabelError,)


def test_the_drawn_tree_names_every_error():
    assert errors.__doc__ is not None
    assert all(kind.__name__ in errors.__doc__ for kind in EVERY)


def test_unknown_name_suggests_and_lists():
    known = ["vllm", "openai", "transformers"]
    assert unknown_name("engine", "vlm", known) == (
        "Unknown engine 'vlm'. Did you mean 'vllm'? Known: openai, transformers, vllm."
    )
    assert "Did you mean" not in unknown_name("engine", "zzz", known)


def test_of_many_known_names_only_the_first_are_shown():
    message = unknown_name("label", "x", [f"name {number:04}" for number in range(5000)])
    assert message.endswith("name 0099 and 4,900 more.") and len(message) < 2000
