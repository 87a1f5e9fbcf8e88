"""Where results go."""

from __future__ import annotations

import json

import pytest

from quaint.cli.session import Session, to_json
from quaint.errors import QuaintError


def test_numbers_that_json_lacks() -> None:
    document = {"a": float("nan"), "b": [float("inf"), 1.5], 3: ("x", None, True)}
    assert json.loads(to_json(document)) == {"a": None, "b": [None, 1.5], "3": ["x", None, True]}


def test_control_characters_are_escaped() -> None:
    assert all(character.isprintable() or character == "\n" for character in to_json({"a": "\x1b[31m\x9b\x7f\u202e"}))


def test_a_result_that_is_not_as_it_should_be(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        Session(json=True).give({"met": False}, lambda: None, QuaintError("QV410", "saturates"))
    said = capsys.readouterr()
    assert ended.value.code == 6
    assert json.loads(said.out) == {
        "met": False,
        "error": {"code": "QV410", "message": "saturates", "details": []},
        "warnings": [],
    }
    assert said.err == "error[QV410]: saturates\n"
