"""Akida 2's layers of two inputs."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np

from quaint import graph
from quaint.integer import Layer
from quaint.numerics import IntType, QuantParams, QuantSpec, ScaleKind
from quaint.patterns import Builder, Pattern
from quaint_akida import widths
from quaint_akida.entrance import INT8, is_input
from quaint_akida.limits2 import SHIFT_ABOVE, SHIFT_BELOW, SHIFT_DIFFERENCE, check_readers

if TYPE_CHECKING:
    from quaint.lower import Lowering
    from quaint.patterns import Block, CheckContext


class Add(Pattern):
    """Sum of two maps of 8 bits whose scales are powers of two."""

    def pattern(self, op: Builder, x: Any, y: Any) -> Any:
        return op.Add(x, y)

    def check(self, context: CheckContext, block: Block, x: Any, y: Any, **_: Any) -> bool:
        if any(graph.constant(value) is not None or is_input(value, context.config) for value in (x, y)):
            return context.fail("adds a constant or the model's input")
        if graph.dims(x) != graph.dims(y) or graph.rank(x) != 4:
            return context.fail("adds only feature maps of one shape")
        return check_readers(context, block)

    def input_spec(self, spec: QuantSpec, block: Block, index: int, context: CheckContext) -> QuantSpec:
        dtype = spec.dtype if context.config.beyond_hardware else INT8
        return replace(spec, dtype=dtype, scale=ScaleKind.FIXED_POINT)

    def output_spec(self, spec: QuantSpec, block: Block, context: CheckContext) -> QuantSpec | None:
        bits = widths.output_type(block, context.config, 8, rectified=False).bits
        return replace(spec, dtype=IntType(bits, signed=True), scale=ScaleKind.FIXED_POINT)

    def lower(self, block: Block, context: Lowering) -> Layer:
        """Both inputs shifted to the finer scale, the sum shifted back; the output is refined where shifts do not reach."""
        a, b, out = context.edges(block)
        channels = int(context.shape(block.outputs[0])[1] or 0)
        first, second, last = (np.broadcast_to(params.exponents, (channels,)) for params in (a, b, out))
        finer = np.maximum(np.minimum(first, second), np.maximum(first, second) - SHIFT_DIFFERENCE)
        shifts = {"a_shift": np.maximum(first - finer, 0), "b_shift": np.maximum(second - finer, 0)}
        largest = np.maximum(shifts["a_shift"], shifts["b_shift"])
        output_shift = np.clip(last - finer, largest + SHIFT_BELOW, largest + SHIFT_ABOVE)
        if (finer + output_shift != last).any():
            context.refine(block.outputs[0], QuantParams(np.exp2(finer + output_shift), out.dtype, axis=1))
        constants = {name: shift.astype(np.uint8) for name, shift in shifts.items()}
        constants["output_shift"] = output_shift.astype(np.int8)
        narrow = widths.buffers(block, context.config, 32)
        attributes = {"output_bits": out.dtype.bits} | {k: v for k, v in narrow.items() if k == "buffer_bits"}
        return Layer("shifted_add", block.inputs, block.outputs, constants, attributes)


class Concatenate(Pattern):
    """Two maps of 8 bits joined along their channels; every channel keeps its scale."""

    def pattern(self, op: Builder, *xs: Any) -> Any:
        return op.Concat(*xs)

    def check(self, context: CheckContext, block: Block, xs: Any, **_: Any) -> bool:
        if len(xs) != 2:
            return context.fail(f"joins {len(xs)} tensors, the chip only two at a time: split it")
        if any(graph.constant(value) is not None or is_input(value, context.config) for value in xs):
            return context.fail("joins a constant or the model's input")
        if graph.rank(xs[0]) != 4 or graph.attribute(block.nodes[0], "axis") not in {1, -3}:
            return context.fail("joins along another axis than the channels")
        return check_readers(context, block)

    def input_spec(self, spec: QuantSpec, block: Block, index: int, context: CheckContext) -> QuantSpec:
        return replace(spec, dtype=INT8)

    def output_spec(self, spec: QuantSpec, block: Block, context: CheckContext) -> QuantSpec | None:
        return None

    def lower(self, block: Block, context: Lowering) -> Layer:
        sources = [context.params[name] for name in block.inputs]
        channels = [int(context.shape(name)[1] or 0) for name in block.inputs]
        scales = [np.broadcast_to(params.scale, (count,)) for params, count in zip(sources, channels, strict=True)]
        context.refine(block.outputs[0], QuantParams(np.concatenate(scales), INT8, axis=1))
        return Layer("concatenate", block.inputs, block.outputs)
