"""Config: the one place for wishes. The same keys stand in Python, in JSON and TOML files and in ``--set``."""

from __future__ import annotations

import dataclasses
import fnmatch
import json
import re
import tomllib
import typing
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from quaint.errors import QuaintError
from quaint.suggest import did_you_mean

if TYPE_CHECKING:
    from quaint.target import ConfigFormat

MAX_FILE_BYTES = 16 << 20

#: What may be wished for one layer.
LAYER_KEYS: dict[str, type] = {
    "bits": int,
    "weight_bits": int,
    "activation_bits": int,
    "observer": str,
    "per_tensor_activations": bool,
    "buffer_bits": int,
    "signed": bool,
}


@dataclass(frozen=True)
class Config:
    """What the user wishes; None leaves it to the target.

    Args:
        input_weight_bits: bits of the weights of the layers that read the model's input.
        weight_bits: bits of all other weights.
        activation_bits: bits of the tensors between layers.
        per_tensor_activations: one scale for a whole tensor, also where the chip could have one for each channel.
        output_bits: bits of the tensors between layers that no activation function ends in.
        last_output_bits: bits of what leaves the chip, where that would be the last layer's accumulator.
        buffer_bits: bits of accumulators: sums saturate there, or at the chip's own width where that is less.
        beyond_hardware: quantize also what only the simulators run: limits of the hardware become warnings.
        input_dtype: integers that a float input is turned into: ``uint8``, ``int8``; ``float32`` as the model says.
        observer: how ranges of activations are measured.
        quantizer: how parameters are chosen from them.
        num_samples: how many samples to use (and to draw, where none are given).
        batch_size: samples in a batch; observers with momentum count batches.
        epochs: how often the samples are gone through.
        seed: of the samples that are drawn.
        until: name of the last node to quantize.
        from_node: name of the first node to quantize.
        shapes: input name -> shape, to fix dynamic axes.
        layers: node name or pattern of names (``*``) -> wishes for it: ``bits`` (weights and output), ``weight_bits``,
            ``activation_bits`` (of its output), ``observer``, ``per_tensor_activations``, ``buffer_bits``, ``signed`` (whether
            its output's integers are).
        options: settings that only this target has, by name; see ``Target.options``.
    """

    input_weight_bits: int | None = None
    weight_bits: int | None = None
    activation_bits: int | None = None
    per_tensor_activations: bool | None = None
    output_bits: int | None = None
    last_output_bits: int | None = None
    buffer_bits: int | None = None
    beyond_hardware: bool | None = None
    input_dtype: str | None = None
    observer: str | None = None
    quantizer: str | None = None
    num_samples: int | None = None
    batch_size: int | None = None
    epochs: int | None = None
    seed: int | None = None
    until: str | None = None
    from_node: str | None = None
    shapes: Mapping[str, list[int]] = field(default_factory=dict)
    layers: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    options: Mapping[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        for key, kind in _kinds().items():
            value = getattr(self, key)
            if value is not None:
                _check_type(key, value, kind)
        for name, wishes in self.layers.items():
            _check_type(f"layers.{name}", wishes, dict)
            for key, value in wishes.items():
                if key not in LAYER_KEYS:
                    raise QuaintError(
                        "QP510", f"unknown key {key!r} of layer {name!r}", hint=did_you_mean(key, LAYER_KEYS)
                    )
                _check_type(f"layers.{name}.{key}", value, LAYER_KEYS[key])
        for key in ("num_samples", "batch_size", "epochs"):
            value = getattr(self, key)
            if value is not None and value < 1:
                raise QuaintError("QU101", f"{key} must be 1 or more, not {value}")

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> Config:
        """From plain data; ``dispatch``, node name or pattern -> integers (``int8``), is short for the ``bits`` of layers.

        Raises:
            QuaintError: QP510 for an unknown key or a value of the wrong type.
        """
        known = [*(item.name for item in dataclasses.fields(cls)), "dispatch"]
        for key in data:
            if key not in known:
                raise QuaintError("QP510", f"unknown configuration key {key!r}", hint=did_you_mean(key, known))
        table = data.get("dispatch", {})
        _check_type("dispatch", table, dict)
        config = cls(**{key: value for key, value in data.items() if key != "dispatch"})
        widths = {name: {"bits": _dispatched_bits(name, word)} for name, word in table.items()}
        return config.over(cls(layers=widths)) if widths else config

    def to_dict(self) -> dict[str, Any]:
        """As plain data, unset keys left out."""
        data = dataclasses.asdict(self)
        return {key: value for key, value in data.items() if value is not None and value != {}}

    def over(self, base: Config) -> Config:
        """This configuration where it says something, ``base`` elsewhere; layers are merged key by key."""
        layers = {
            name: {**base.layers.get(name, {}), **self.layers.get(name, {})} for name in {**base.layers, **self.layers}
        }
        options = {**base.options, **self.options}
        return Config.from_dict({**base.to_dict(), **self.to_dict(), "layers": layers, "options": options})

    def for_layer(self, names: Iterable[str]) -> dict[str, Any]:
        """The wishes for a layer that computes the nodes ``names``; later entries go before earlier ones."""
        wishes: dict[str, Any] = {}
        for selector, given in self.layers.items():
            if any(name == selector or fnmatch.fnmatchcase(name, selector) for name in names):
                wishes |= given
        return wishes

    def check_selectors(self, names: Iterable[str]) -> None:
        """Refuse a layer selector that fits none of ``names``.

        Raises:
            QuaintError: QP511 with the nearest names.
        """
        known = list(names)
        for selector in self.layers:
            if not any(name == selector or fnmatch.fnmatchcase(name, selector) for name in known):
                raise QuaintError("QP511", f"no layer is called {selector!r}", hint=did_you_mean(selector, known))


def _dispatched_bits(name: str, word: Any) -> int:
    match = re.fullmatch(r"int([1-9]\d?)", word) if isinstance(word, str) else None
    if match is None:
        hint = "int8, int16; to end the chip's part before a layer, give --until: what follows runs on the host"
        raise QuaintError("QP510", f"dispatch of {name!r} takes the integers of a layer, not {word!r}", hint=hint)
    return int(match[1])


def _kinds() -> dict[str, type]:
    """Type of each key, without its None."""
    hints = typing.get_type_hints(Config)
    return {
        key: next(kind for kind in (typing.get_args(hint) or (hint,)) if kind is not type(None))
        if typing.get_origin(hint) is not Mapping
        else dict
        for key, hint in hints.items()
    }


def _check_type(key: str, value: Any, kind: type) -> None:
    wanted: Any = Mapping if kind is dict else kind
    if not isinstance(value, wanted) or (kind is int and isinstance(value, bool)):
        name = "table" if kind is dict else kind.__name__
        raise QuaintError("QP510", f"configuration key {key!r} takes {name}, not {value!r}")


def read_config(path: str | Path, formats: Iterable[ConfigFormat] = ()) -> Config:
    """A configuration file: TOML if its name ends so, else JSON.

    Args:
        path: of the file.
        formats: forms that it may have besides the one of ``Config.to_dict``.

    Raises:
        QuaintError: QI604 if it cannot be read, QP512 if it is not what it should be, QP510 for unknown keys.
    """
    path = Path(path)
    try:
        if path.stat().st_size > MAX_FILE_BYTES:
            raise QuaintError("QP512", f"configuration is larger than {MAX_FILE_BYTES >> 20} MiB", where=str(path))
        text = path.read_text(encoding="utf-8")
    except OSError as error:
        raise QuaintError("QI604", f"cannot read the configuration: {error.strerror}", where=str(path)) from error
    except UnicodeDecodeError as error:
        raise QuaintError("QP512", "configuration is not text", where=str(path)) from error
    try:
        data = tomllib.loads(text) if path.suffix == ".toml" else json.loads(text)
    except (ValueError, RecursionError) as error:
        raise QuaintError("QP512", f"configuration is not valid: {error}", where=str(path)) from error
    if not isinstance(data, dict):
        raise QuaintError("QP512", "configuration must be a table of keys", where=str(path))
    for form in formats:
        if form.recognizes(data):
            return form.read(data)
    return Config.from_dict(data.get("config", data))


def parse_assignments(assignments: Iterable[str]) -> Config:
    """``key=value`` pairs of ``--set``; ``layers.NAME.KEY=value`` for one layer, ``options.NAME=value`` for one option.

    Values are JSON, else text.

    Raises:
        QuaintError: QU102 for a pair without ``=``, QP510 for unknown keys.
    """
    data: dict[str, Any] = {}
    for assignment in assignments:
        key, equals, text = assignment.partition("=")
        if not equals:
            raise QuaintError("QU102", f"--set takes key=value, not {assignment!r}")
        try:
            value = json.loads(text)
        except ValueError:
            value = text
        if key.startswith(("layers.", "shapes.", "options.", "dispatch.")):
            table, _, rest = key.partition(".")
            name, _, wish = rest.rpartition(".") if table == "layers" else (rest, "", "")
            entry = data.setdefault(table, {})
            if wish:
                entry.setdefault(name, {})[wish] = value
            else:
                entry[name] = value
        else:
            data[key] = value
    return Config.from_dict(data)
