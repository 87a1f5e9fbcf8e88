"""A chip, as data."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from quaint.numerics import IntType, QuantSpec, Rounding

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping, Sequence

    from quaint.arithmetic import Kernel
    from quaint.config import Config
    from quaint.graph import GraphEditor
    from quaint.options import Option
    from quaint.partition import Plan
    from quaint.patterns import Pattern
    from quaint.quantized import Quantized
    from quaint.refusals import Refusal

#: In a host policy: any float operator may follow the chip's last layer, with a warning.
ANY = "*"


@dataclass(frozen=True)
class ConfigFormat:
    """Another form of a configuration file: what the vendor's own tool reads and writes.

    Args:
        dump: a quantized model's configuration as plain data.
        recognizes: whether plain data has this form.
        read: the wishes that it says.
    """

    dump: Callable[[Quantized], Mapping[str, Any]]
    recognizes: Callable[[Mapping[str, Any]], bool]
    read: Callable[[Mapping[str, Any]], Config]


@dataclass(frozen=True)
class Target:
    """Everything that core asks about a chip.

    Args:
        name: what ``--target`` takes: lower case.
        summary: one line.
        domain: ONNX domain of its layers in a saved model, ``quaint.<plugin>``.
        patterns: the layers that it runs, in the order in which they are tried.
        activation: how a tensor between layers shall be quantized.
        weight: how weights shall be quantized.
        bias: integers of the bias, which has the scale of the accumulator, by the bits of the weights.
        rounding: of a requantization.
        input: how a float input of the model shall be quantized; as ``activation`` if None.
        input_rounding: of the input quantizer; as ``rounding`` if None.
        input_divides: the input quantizer divides by the scale, instead of multiplying by its reciprocal.
        kernels: kernels of its own, by name; they go before core's.
        weight_bits: widths that ``Config.weight_bits`` may ask for.
        activation_bits: widths that ``Config.activation_bits`` may ask for.
        output_bits: widths that ``Config.output_bits`` may ask for.
        last_output_bits: widths that ``Config.last_output_bits`` may ask for.
        buffer_bits: widths that ``Config.buffer_bits`` may ask for.
        signs: whether the wishes may say that a layer's output is signed or not.
        simulated: the widths of each of these (by name) where the wishes may go beyond the hardware.
        input_dtypes: integers that may enter, by name.
        host: ONNX operators that may run in float on the host after the chip's last layer without a word; with ``ANY`` among
            them every other one may too, with a warning, unless it is broken limits that leave most of the work to the host.
            Anything else that the chip lacks is refused.
        exporter: name of the exporter that writes its files; None if the saved ONNX model is all.
        limits: the chip's limits, for its patterns.
        defaults: configuration where it differs from core's.
        options: settings of its own that ``Config.options`` may give, by name.
        config_formats: other forms of configuration files, by name.
        check: further conditions on the whole plan (say, only one input); gives the refusals.
        rewrites: steps on the canonical model, in this order, before it is divided: the same function in layers that the chip
            has. Each gives a line, for users, for each thing that it changed.
    """

    name: str
    summary: str
    domain: str
    patterns: tuple[type[Pattern], ...]
    activation: QuantSpec
    weight: QuantSpec
    bias: Mapping[int, IntType] = field(default_factory=lambda: {8: IntType(32, signed=True)})
    rounding: Rounding = Rounding.HALF_EVEN
    input: QuantSpec | None = None
    input_rounding: Rounding | None = None
    input_divides: bool = False
    kernels: Mapping[str, Kernel] = field(default_factory=dict)
    weight_bits: tuple[int, ...] = (8,)
    activation_bits: tuple[int, ...] = (8,)
    output_bits: tuple[int, ...] = ()
    last_output_bits: tuple[int, ...] = ()
    buffer_bits: tuple[int, ...] = ()
    signs: bool = False
    simulated: Mapping[str, Sequence[int]] = field(default_factory=dict)
    input_dtypes: tuple[str, ...] = ("int8",)
    host: frozenset[str] = frozenset()
    exporter: str | None = None
    limits: Mapping[str, Any] = field(default_factory=dict)
    defaults: Mapping[str, Any] = field(default_factory=dict)
    options: Mapping[str, Option] = field(default_factory=dict)
    config_formats: Mapping[str, ConfigFormat] = field(default_factory=dict)
    check: Callable[[Plan], Iterable[Refusal]] | None = None
    rewrites: tuple[Callable[[GraphEditor, Config], Iterable[str]], ...] = ()

    def option(self, config: Config, name: str) -> Any:
        """The value of one of its options: the given one, else the default."""
        return config.options.get(name, self.options[name].default)

    def widths(self, key: str, config: Config) -> Sequence[int]:
        """Widths that a key of the configuration may ask for."""
        own: Sequence[int] = getattr(self, key)
        return self.simulated.get(key, own) if config.beyond_hardware else own

    def all_kernels(self) -> dict[str, Kernel]:
        """Core's kernels and, before them, the target's own."""
        from quaint.layers.kernels import KERNELS
        from quaint.layers.kernels_matmul import MATMUL
        from quaint.layers.kernels_reductions import REDUCTIONS

        return {**KERNELS, **MATMUL, **REDUCTIONS, **self.kernels}
