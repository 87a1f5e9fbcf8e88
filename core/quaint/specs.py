"""How every tensor at a block's edge shall be quantized: the target's rule, the wishes, and what the layers ask."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

from quaint.errors import QuaintError
from quaint.numerics import IntType, QuantSpec
from quaint.patterns import Block, CheckContext

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from quaint.config import Config
    from quaint.partition import Plan
    from quaint.target import Target


def resolve_specs(plan: Plan) -> dict[str, QuantSpec | None]:
    """Spec of each tensor of ``plan.edges``; None where the layer that makes it derives its parameters.

    A tensor's spec starts from the target's rule under the configuration, goes through the layer that makes it and then
    through every layer that reads it.

    Raises:
        QuaintError: QT340 for a width or an input type that the target lacks.
    """
    context = CheckContext(plan.target, plan.config)
    specs: dict[str, QuantSpec | None] = {}
    for name in plan.edges:
        block = plan.producers.get(name)
        spec: QuantSpec | None
        if block is None:
            spec = _input_spec(plan, name)
        elif block.pattern.derives(block, name):
            spec = None
        else:
            spec = block.pattern.output_spec(activation_spec(plan.target, plan.config, block), block, context)
            source = specs[block.inputs[0]] if block.inputs else None
            if spec is not None and source is not None and block.only_moves:  # the same values, seen the same way
                spec = replace(spec, observer=source.observer, round_exponent=source.round_exponent)
        for reader, index in plan.consumers.get(name, []):
            if spec is not None:
                spec = reader.pattern.input_spec(spec, reader, index, context)
        specs[name] = spec
    return specs


def check_widths(target: Target, config: Config) -> None:
    """Refuse widths and input types that the target lacks, before there is a model.

    Raises:
        QuaintError: QT340.
    """
    for wishes in (vars(config), *config.layers.values()):
        for key in ("input_weight_bits", "weight_bits", "bits"):
            _check_bits(target, config, "weight_bits", wishes.get(key))
        for key in ("activation_bits", "bits"):
            _check_bits(target, config, "activation_bits", wishes.get(key))
        for key in ("output_bits", "last_output_bits", "buffer_bits"):
            _check_bits(target, config, key, wishes.get(key))
        if wishes.get("signed") is not None and not target.signs:
            raise QuaintError("QT340", f"{target.name} decides itself which integers are signed", hint="leave it out")
    _check_input_dtype(target, config.input_dtype)


def activation_spec(target: Target, config: Config, block: Block) -> QuantSpec:
    """The target's rule for activations under the wishes for ``block``."""
    wishes: dict[str, Any] = {
        "activation_bits": config.activation_bits,
        "per_tensor_activations": config.per_tensor_activations,
    }
    given = config.for_layer(block.node_names)
    wishes |= {"activation_bits": given["bits"]} if "bits" in given else {}
    wishes |= {"observer": config.observer, **given}
    return _apply(target.activation, wishes, "activation_bits", target, config)


def weight_spec(target: Target, config: Config, block: Block, *, reads_input: bool) -> QuantSpec:
    """The target's rule for weights under the wishes for ``block``."""
    bits = weight_bits(target, config, block.node_names, reads_input=reads_input)
    return _apply(target.weight, {"weight_bits": bits}, "weight_bits", target, config)


def weight_bits(target: Target, config: Config, nodes: Iterable[str], *, reads_input: bool) -> int:
    """Bits of the weights of a layer that computes ``nodes``, under the wishes."""
    bits = config.input_weight_bits if reads_input and config.input_weight_bits else config.weight_bits
    given = config.for_layer(nodes)
    return int(given.get("weight_bits", given.get("bits", bits or target.weight.dtype.bits)))


def _apply(spec: QuantSpec, wishes: Mapping[str, Any], key: str, target: Target, config: Config) -> QuantSpec:
    bits = wishes.get(key)
    if bits is not None:
        _check_bits(target, config, key, bits)
        spec = replace(spec, dtype=IntType(bits, spec.dtype.signed))
    if wishes.get("per_tensor_activations"):
        spec = replace(spec, axis=None)
    if wishes.get("observer"):
        spec = replace(spec, observer=wishes["observer"])
    return spec


def _check_bits(target: Target, config: Config, key: str, bits: int | None) -> None:
    allowed = target.widths(key, config)
    if bits is None or bits in allowed:
        return
    hint = f"it has {', '.join(map(str, allowed)) or 'none'}"
    if bits in target.simulated.get(key, ()):
        hint += "; --beyond-hardware simulates more"
    raise QuaintError("QT340", f"{target.name} has no {key.replace('_', ' ')} of {bits}", hint=hint)


def _check_input_dtype(target: Target, wish: str | None) -> None:
    if wish not in {None, "float32", *target.input_dtypes}:
        listed = ", ".join(target.input_dtypes)
        raise QuaintError("QT340", f"{target.name} takes no {wish} input", hint=f"it takes {listed}")


def _input_spec(plan: Plan, name: str) -> QuantSpec:
    target, wish = plan.target, plan.config.input_dtype
    spec = target.input or target.activation
    if name in plan.typed_inputs:
        _check_input_dtype(target, str(plan.values[plan.typed_inputs[name]].dtype).lower())
    if wish is None or wish == "float32":
        return spec
    _check_input_dtype(target, wish)
    return replace(spec, dtype=IntType.parse(wish))
