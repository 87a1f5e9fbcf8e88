"""Shared options: how they become a ``Config``."""

from __future__ import annotations

from typing import Any

import pytest

from quaint.cli.options import make_config
from quaint.errors import QuaintError

NOTHING: dict[str, Any] = {"config_file": None, "assignments": (), "shapes": (), "equalize": False, "quantizer": None}


def test_nothing() -> None:
    assert make_config(**NOTHING).to_dict() == {}


def test_equalize_is_a_quantizer() -> None:
    assert make_config(**NOTHING | {"equalize": True}).quantizer == "equalize"
    assert make_config(**NOTHING | {"equalize": True, "quantizer": "equalize"}).quantizer == "equalize"


@pytest.mark.parametrize(
    ("text", "shape"),
    [("x=1,3,8,8", {"x": [1, 3, 8, 8]}), ("a=b=N,3", {"a=b": [-1, 3]}), ("x=1x3x8", {"x": [1, 3, 8]})],
)
def test_shapes(text: str, shape: dict[str, list[int]]) -> None:
    assert make_config(**NOTHING | {"shapes": (text,)}).shapes == shape


@pytest.mark.parametrize("text", ["x", "x=", "=1,2", "x=1,a", "x=1,-2", "x=1,,2"])
def test_shapes_that_are_none(text: str) -> None:
    with pytest.raises(QuaintError, match="QU107"):
        make_config(**NOTHING | {"shapes": (text,)})
