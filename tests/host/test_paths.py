"""Paths as users write them."""

import pytest

from whylabel.host.paths import nearest


def test_the_nearest_place_that_is_there(tmp_path):
    (tmp_path / "file").touch()
    assert nearest(tmp_path) == nearest(tmp_path / "new" / "newer") == tmp_path
    assert nearest(tmp_path / "file" / "new") == tmp_path / "file"


def test_a_name_that_is_too_long_can_be_nowhere(tmp_path, monkeypatch):
    # As exists() answers from Python 3.14 on.
    monkeypatch.setattr(type(tmp_path), "exists", lambda path: False)
    with pytest.raises(OSError, match="File name too long"):
        nearest(tmp_path / ("x" * 300))
