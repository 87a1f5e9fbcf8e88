"""Lowering: blocks and chosen parameters to an integer model."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

import numpy as np
import onnx_ir as ir

from quaint import graph
from quaint.floatmodel import extract
from quaint.integer import DEQUANTIZER, HOST, INPUT_QUANTIZER, IntegerModel, Layer
from quaint.numerics import QuantParams
from quaint.patterns import CheckContext
from quaint.scales import Range, from_range
from quaint.specs import weight_spec

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from numpy.typing import ArrayLike, NDArray

    from quaint.numerics import QuantSpec
    from quaint.partition import Plan
    from quaint.patterns import Block


@dataclass
class Lowering(CheckContext):
    """What a pattern's ``lower`` may ask and tell.

    Args:
        plan: the divided model.
        params: parameters of each integer tensor so far; ``refine`` adds to them.
        ranges: what calibration saw of each tensor.
        warnings: lines for the user.
        rounded: real weights that a layer's integers stand for, filters first, by block: for chips that fold the scales of its
            input into them, so that one scale for each filter cannot say it.
    """

    plan: Plan = field(kw_only=True)
    params: dict[str, QuantParams] = field(kw_only=True)
    ranges: Mapping[str, Range] = field(kw_only=True)
    warnings: list[str] = field(default_factory=list)
    shapes: dict[str, tuple[int | None, ...]] = field(default_factory=dict)
    rounded: dict[str, NDArray[np.float64]] = field(default_factory=dict)

    def edges(self, block: Block) -> tuple[QuantParams, ...]:
        """Parameters of the block's inputs, then of its outputs.

        Raises:
            KeyError: for an output that ``lower`` is to derive and has not yet.
        """
        return tuple(self.params[name] for name in (*block.inputs, *block.outputs))

    def refine(self, name: str, params: QuantParams) -> None:
        """State how a tensor really is quantized, where only the layer's arithmetic decides it."""
        self.params[name] = params

    def define(self, name: str, like: str, params: QuantParams) -> None:
        """Introduce a tensor between two layers of one block, shaped like an existing one."""
        self.params[name] = params
        self.shapes[name] = self.shape(like)

    def shape(self, name: str) -> tuple[int | None, ...]:
        """Shape of a tensor; None for the batch."""
        return self.shapes[name] if name in self.shapes else _shape(self.plan.values[name])

    def reads_input(self, block: Block) -> bool:
        """Whether the block is at the chip's entrance: it reads what enters, rearranged at the most."""
        return self.plan.reads_input(block)

    def weight_spec(self, block: Block) -> QuantSpec:
        """How the block's weights shall be quantized; its axis, if any, counts output channels."""
        return weight_spec(self.target, self.config, block, reads_input=self.reads_input(block))

    def finest_weight_scale(self, block: Block, bias: ArrayLike) -> NDArray[np.float64]:
        """The smallest scale that the block's weights may have, for each output channel or in all.

        The shift of the accumulator stays within ``limits["max_shift"]`` (by bits of the weights). Where every channel has
        its own scale, its bias fits its integers, if the chip has any for it; a scale for all is not made coarser for a single
        bias.
        """
        source, out = self.edges(block)
        spec = self.weight_spec(block)
        bits = spec.dtype.bits
        least = np.zeros(())
        if "max_shift" in self.target.limits:
            least = np.asarray(out.scale / (source.scale * 2.0 ** self.target.limits["max_shift"][bits]))
        if spec.axis is None or bits not in self.target.bias:
            return least
        return np.maximum(least, np.abs(bias) / (source.scale * self.target.bias[bits].high))

    def quantize_weight(
        self, block: Block, weight: ArrayLike, axis: int, least: ArrayLike = 0.0
    ) -> tuple[NDArray[np.int64], QuantParams]:
        """Weights as the target has them: per index of ``axis`` if its spec has an axis, else one scale.

        A channel without weights gets the scale of the others, so that no scale is out of the ordinary; none is smaller
        than ``least``, see ``finest_weight_scale``. A quantizer may have settled the scales.

        Returns:
            The integers and how they stand for the weights.
        """
        weight = np.asarray(weight, np.float64)
        spec = self.weight_spec(block)
        spec = replace(spec, axis=None if spec.axis is None else axis)
        others = tuple(i for i in range(weight.ndim) if i != axis) if spec.axis is not None else None
        limit = np.abs(weight).max(axis=others)
        whole = np.abs(weight).max()
        dead = limit < whole * 2.0**-16
        if dead.any():
            self.warnings.append(f"layer {block.name!r}: {int(dead.sum())} output channels have (almost) no weights")
        steps = (spec.dtype.high - spec.dtype.low) / 2
        limit = np.maximum(np.where(dead, whole, limit), np.asarray(least) * steps)
        params = from_range(spec, Range(-limit, limit))
        settled = self.params.get(f"{block.name}/weight")
        if settled is not None:
            params = replace(params, scale=np.where(settled.scale < np.asarray(least), params.scale, settled.scale))
        self.params[f"{block.name}/weight"] = params
        low = -params.dtype.high if spec.narrow else params.dtype.low
        return np.maximum(params.quantize(weight, self.target.rounding), low), params

    def quantize_bias(self, block: Block, bias: ArrayLike, scale: NDArray[np.float64]) -> NDArray[np.int64]:
        """Bias in the accumulator's scale, in the target's integers; clipping is reported."""
        dtype = self.target.bias[self.weight_spec(block).dtype.bits]
        params = self.params[f"{block.name}/bias"] = QuantParams(scale, dtype, axis=0 if scale.ndim else None)
        kept = params.quantize(bias, self.target.rounding)
        count = int((kept != self.target.rounding.round(np.asarray(bias, np.float64) / scale)).sum())
        if count:
            what = f"layer {block.name!r}: {count} biases do not fit {dtype} and were clipped"
            self.warnings.append(f"{what}: try --equalize, or more bits for this layer")
        return kept


def lower(plan: Plan, params: Mapping[str, QuantParams], ranges: Mapping[str, Range]) -> tuple[IntegerModel, list[str]]:
    """The integer model of a plan, and warnings.

    Float tensors keep their names; where a tensor exists as integers too (at the edges), those are ``<name>_int``.
    """
    context = Lowering(plan.target, plan.config, plan=plan, params=dict(params), ranges=ranges)
    layers: list[Layer] = []
    for block in plan.blocks:
        lowered = block.pattern.lower(block, context)
        layers += [
            replace(layer, name=layer.name or block.name, nodes=layer.nodes or block.node_names)
            for layer in ((lowered,) if isinstance(lowered, Layer) else lowered)
        ]
    names = _integer_names(plan, context)
    layers = [
        replace(layer, inputs=_renamed(layer.inputs, names), outputs=_renamed(layer.outputs, names)) for layer in layers
    ]
    edge = _Edges(plan, context, names)
    every = [*edge.head(), *edge.quantizers(), *layers, *edge.dequantizers(), *edge.tail()]
    tensors = {names.get(name, name): param for name, param in context.params.items()}
    used = {name for layer in every for name in (*layer.inputs, *layer.outputs)}
    constants = {f"{layer.name}/{constant}" for layer in every for constant in layer.constants}
    shapes = {name: _shape(value) for name, value in plan.values.items()} | context.shapes
    shapes |= {names[name]: shapes[name] for name in names}
    graph_in, graph_out = plan.model.graph.inputs, plan.model.graph.outputs
    model = IntegerModel(
        plan.model.graph.name or "model",
        tuple(value.name or "" for value in graph_in),
        tuple(value.name or "" for value in graph_out),
        tuple(every),
        {name: tensors[name] for name in sorted(tensors) if name in used | constants},
        {name: shapes[name] for name in sorted(used | {v.name or "" for v in (*graph_in, *graph_out)})},
        plan.target.domain,
    )
    return model, context.warnings


def _shape(value: ir.Value) -> tuple[int | None, ...]:
    """Shape of a value; None for a symbolic dimension (in a canonical model: the batch)."""
    return tuple(dim if isinstance(dim, int) else None for dim in graph.dims(value) or ())


def _renamed(names: Sequence[str], new: Mapping[str, str]) -> tuple[str, ...]:
    return tuple(new.get(name, name) for name in names)


def _integer_names(plan: Plan, context: Lowering) -> dict[str, str]:
    """Names of the integer twins of float tensors at the chip's edges."""
    taken = {*plan.values, *context.shapes}
    names: dict[str, str] = {}
    for name in (*plan.inputs, *plan.outputs):
        twin = plan.typed_inputs.get(name) or f"{name}_int"
        while twin in taken and name not in plan.typed_inputs:
            twin += "_"
        names[name] = twin
        taken.add(twin)
    return names


@dataclass(frozen=True)
class _Edges:
    """The layers around the chip's own."""

    plan: Plan
    context: Lowering
    names: Mapping[str, str]

    def head(self) -> list[Layer]:
        if not self.plan.head:
            return []
        made = {value.name or "" for node in self.plan.head for value in node.outputs}
        return [self._host(self.plan.head, [name for name in self.plan.inputs if name in made])]

    def tail(self) -> list[Layer]:
        if not self.plan.tail:
            return []
        wanted = [value.name or "" for value in self.plan.model.graph.outputs]
        made = {value.name for node in self.plan.tail for value in node.outputs}
        return [self._host(self.plan.tail, [name for name in wanted if name in made])]

    def _host(self, nodes: Sequence[Any], outputs: Sequence[str]) -> Layer:
        inputs, part = extract(self.plan.model, nodes, outputs)
        data = ir.serde.serialize_model(part).SerializeToString(deterministic=True)
        constants = {"model": np.frombuffer(data, np.uint8)}
        called = tuple(node.name or "" for node in nodes)
        return Layer(HOST, tuple(inputs), tuple(outputs), constants, name=called[0], nodes=called)

    def quantizers(self) -> list[Layer]:
        target = self.plan.target
        layers = []
        for name in self.plan.inputs:
            if name in self.plan.typed_inputs:
                continue
            params = self.context.params[name]
            factor = params.scale if target.input_divides else 1 / params.scale
            constants: dict[str, NDArray[Any]] = {"factor": factor.astype(np.float32), "zero_point": params.zero_point}
            attributes = {
                "low": params.dtype.low,
                "high": params.dtype.high,
                "rounding": str(target.input_rounding or target.rounding),
                "divide": target.input_divides,
                "axis": params.axis if params.axis is not None else 1,
            }
            layers.append(
                Layer(INPUT_QUANTIZER, (name,), (self.names[name],), constants, attributes, name=f"{name}_quantizer")
            )
        return layers

    def dequantizers(self) -> list[Layer]:
        layers = []
        for name in self.plan.outputs:
            params = self.context.params[name]
            constants: dict[str, NDArray[Any]] = {
                "scale": params.scale.astype(np.float32),
                "zero_point": params.zero_point,
            }
            attributes = {"axis": params.axis if params.axis is not None else 1}
            layers.append(
                Layer(DEQUANTIZER, (self.names[name],), (name,), constants, attributes, name=f"{name}_dequantizer")
            )
        return layers
