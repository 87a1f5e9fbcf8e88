from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from quaint.config import Config, parse_assignments, read_config
from quaint.errors import QuaintError

if TYPE_CHECKING:
    from pathlib import Path


def test_dispatch_is_short_for_the_bits_of_layers() -> None:
    config = Config.from_dict({"dispatch": {"conv*": "int16", "head": "int8"}, "layers": {"head": {"observer": "mse"}}})
    assert config == Config(layers={"conv*": {"bits": 16}, "head": {"bits": 8, "observer": "mse"}})
    assert config.for_layer(["conv1"]) == {"bits": 16}


def test_layers_go_before_dispatch() -> None:
    config = Config.from_dict({"dispatch": {"head": "int16"}, "layers": {"head": {"bits": 8}}})
    assert config.for_layer(["head"]) == {"bits": 8}


def test_dispatch_in_a_file_and_in_assignments(tmp_path: Path) -> None:
    file = tmp_path / "config.toml"
    file.write_text('[dispatch]\n"/features.0/Conv" = "int16"\n[options]\nruntime = "3.2.0"\n')
    expected = Config(layers={"/features.0/Conv": {"bits": 16}}, options={"runtime": "3.2.0"})
    assert read_config(file) == expected
    assert parse_assignments(["dispatch./features.0/Conv=int16", "options.runtime=3.2.0"]) == expected


@pytest.mark.parametrize("word", ["float", "float32", "uint8", "int0", "16", 16, None])
def test_what_no_layer_can_be_dispatched_to(word: Any) -> None:
    with pytest.raises(QuaintError, match=r"QP510.*dispatch of 'head'.*--until"):
        Config.from_dict({"dispatch": {"head": word}})


@pytest.mark.parametrize("key", ["dispatch", "layers", "options"])
def test_a_table_must_be_one(key: str) -> None:
    with pytest.raises(QuaintError, match=rf"QP510.*'{key}' takes table, not 8"):
        Config.from_dict({key: 8})


def test_wishes_for_a_layer_must_be_a_table() -> None:
    with pytest.raises(QuaintError, match=r"QP510.*'layers.conv' takes table, not 8"):
        Config(layers={"conv": 8})  # type: ignore[dict-item]


def test_options_are_merged_key_by_key() -> None:
    config = Config(options={"a": 1}).over(Config(options={"a": 2, "b": 3}))
    assert config.options == {"a": 1, "b": 3}
    assert Config.from_dict(config.to_dict()) == config
