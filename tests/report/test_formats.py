"""Numbers as people read them."""

from __future__ import annotations

import math

import pytest

from whylabel.report import formats


def plain(text: str) -> str:
    return text.replace("\u00a0", " ")


@pytest.mark.parametrize(
    ("value", "expected"),
    [(0.6111, "61.1 %"), (0, "0.0 %"), (None, "–"), ("x", "–"), (math.nan, "–"), (True, "–")],
)
def test_percent(value: object, expected: str) -> None:
    assert plain(formats.percent(value)) == expected


@pytest.mark.parametrize(
    ("value", "expected"), [(0.022, "+2.2"), (-0.1, "−10.0"), (-0.0001, "0.0"), (None, "–")]
)
def test_points(value: object, expected: str) -> None:
    assert formats.points(value) == expected


@pytest.mark.parametrize(
    ("value", "expected"), [(0.52, "p = 0.52"), (0.0215, "p = 0.021"), (1e-6, "p < 0.001"), (None, "p = –")]
)
def test_p_value(value: object, expected: str) -> None:
    assert formats.p_value(value) == expected


@pytest.mark.parametrize(
    ("value", "expected"),
    [(0.0, "< 0.1 ms"), (0.0312, "31 ms"), (0.4, "0.40 s"), (75, "1 min 15 s"), (None, "–")],
)
def test_duration(value: object, expected: str) -> None:
    assert plain(formats.duration(value)) == expected


def test_shortened_cuts_at_a_blank() -> None:
    assert formats.shortened("short") == "short"
    assert formats.shortened("ab " * 200, 100) == ("ab " * 33).strip()
    assert len(formats.shortened("x" * 500, 100)) == 100
