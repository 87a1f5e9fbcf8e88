"""Akida 2's scales: 8-bit mantissas and shifts for biases, bounds and outputs, and weights that make them exact.

Weights take the scales of their input channels in, so every channel of every tensor may have a scale of its own. Scaling
out is ``round(v * M * 2**-S)`` with a mantissa M of up to 8 bits. The weights' scale is chosen a little coarser than it need
be so that ``M * 2**-S`` is exact: the next layer's input has exactly the scale that it counts on. Of the mantissas near the
finest one that is taken at which the weights lose least.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np

from quaint import graph
from quaint.layers.output import clamp_of
from quaint.numerics import IntType, QuantParams, QuantSpec
from quaint.patterns import Pattern
from quaint_akida import akida2_kernels, common, lut2, widths
from quaint_akida.akida2_kernels import INDEX, POST, SHIFT_HIGH, SHIFT_LOW
from quaint_akida.entrance import takes_image
from quaint_akida.rescaling import border, zero_point

if TYPE_CHECKING:
    from collections.abc import Mapping

    from numpy.typing import NDArray

    from quaint.lower import Lowering
    from quaint.patterns import Block, CheckContext

    Floats = NDArray[np.float64]
    Ints = NDArray[np.int64]

INT8 = IntType(8, signed=True)
#: How many mantissas are tried: the weights' scale becomes less than 1/32 coarser.
CANDIDATES = 4
#: Fields that are signed; the others are unsigned bytes.
STORED = {"bias": np.int8, "output_shift": np.int8, "activation_shift": np.int8, "lut_values": np.int32}


def encode(value: Floats, bits: int, *, signed: bool) -> tuple[Ints, Ints]:
    """Whole numbers as mantissas of ``bits`` bits and left shifts: ``value ~ mantissa << shift``, the mantissa to the nearest."""
    room = bits - signed
    magnitude = np.maximum(np.abs(value), 1.0)
    shift = np.maximum(np.ceil(np.log2(magnitude + 2.0**-8)).astype(np.int64) - room, 0)
    mantissa = np.rint(np.ldexp(value, -shift))
    over = np.abs(mantissa) > (1 << room) - 1
    shift, mantissa = shift + over, np.where(over, np.rint(np.ldexp(value, -shift - 1)), mantissa)
    return mantissa.astype(np.int64), shift


@dataclass(frozen=True)
class ScaleOut:
    """``accumulator * mantissa * 2**-shift`` gives the output's integers exactly where weights have the scale ``weight``."""

    weight: Floats
    mantissa: Ints
    shift: Ints

    @classmethod
    def finest(cls, limit: Floats, out: Floats, high: int, coarser: int = 0, post_bits: int = POST.bits) -> ScaleOut:
        """The finest scale of weights that is not below ``limit``, or one some steps of the mantissa coarser.

        Args:
            limit: the least scale of each filter at which its weights fit.
            out: the output's scale of each filter, times the pixels of a sum over the map.
            high: the output's largest integer. The mantissa has so few bits that the product of the accumulator and the
                mantissa stays below 2**31 up to 1.25 times that output.
            coarser: steps of the mantissa above the finest.
            post_bits: bits at which that product saturates.
        """
        ratio = limit / out
        peak = np.ceil(np.log2(1.25 * (high + 1) / ratio))
        bits = np.clip(post_bits - 1 - peak, 1, 8)
        shift = np.clip(bits - np.frexp(ratio)[1], SHIFT_LOW, SHIFT_HIGH).astype(np.int64)
        mantissa = np.maximum(np.ceil(np.ldexp(ratio, shift) * (1 - 1e-12)), 1) + coarser * (bits > 3)
        full = (mantissa >= 2**bits) & (shift > SHIFT_LOW)
        mantissa = np.minimum(np.where(full, np.ceil(mantissa / 2), mantissa), 2**bits - 1)
        shift = shift - full
        return cls(np.ldexp(mantissa, -shift) * out, mantissa.astype(np.int64), shift)


@dataclass(frozen=True)
class Filters:
    """What a layer's integers are made from.

    Args:
        weight: weights times the scales of their input channels, filters first.
        bias: real bias of each filter.
        zeros: the input's zero points, which go into the bias.
        high: the largest integer of a weight.
    """

    weight: Floats
    bias: Floats
    zeros: Floats
    high: int

    def integers(self, scale: Floats) -> Ints:
        """Weights in steps of their filter's scale."""
        whole = np.rint(self.weight / scale.reshape(-1, *[1] * (self.weight.ndim - 1)))
        return np.clip(whole, -self.high, self.high).astype(np.int64)

    def whole_bias(self, scale: Floats) -> Floats:
        """The bias in steps of the sum, which is ``scale`` times the input's step."""
        zeros = self.zeros.reshape(1, -1, *[1] * (self.weight.ndim - 2))
        return np.asarray(
            self.bias / scale - (self.integers(scale) * zeros).sum(axis=tuple(range(1, self.weight.ndim)))
        )

    def lost(self, scale: Floats) -> Floats:
        """What the weights of each filter lose, squared.

        Not what the bias loses: a bias that is corrected for the rounded weights must not change how they are rounded.
        """
        axes = tuple(range(1, self.weight.ndim))
        real = self.integers(scale) * scale.reshape(-1, *[1] * len(axes))
        return np.asarray(((real - self.weight) ** 2).sum(axis=axes))


class Scaled(Pattern):
    """A layer with weights that ends in scale-out, or in its accumulator where it is the last."""

    #: Bits of the accumulator where it leaves the chip.
    accumulator_bits = 28

    def is_last(self, block: Block, context: CheckContext) -> bool:
        """Whether no layer of the chip follows and nothing happens to the sum: then the accumulator itself leaves."""
        plain = block.node("Relu", "Clip", "MaxPool", "GlobalAveragePool") is None
        last = context.config.until in block.node_names or common.leaves(block.nodes[-1].outputs[0])
        return plain and last and lut2.activation(block) is None

    def output_spec(self, spec: QuantSpec, block: Block, context: CheckContext) -> QuantSpec | None:
        """Integers of the wished width, see ``widths.output_type``."""
        last = self.is_last(block, context)
        if last and context.config.last_output_bits is None:
            return None
        rectified = block.node("Relu", "Clip") is not None and lut2.activation(block) is None
        dtype = widths.output_type(block, context.config, spec.dtype.bits, rectified=rectified, last=last)
        axis = None if graph.rank(block.nodes[-1].outputs[0]) == 2 else spec.axis
        return replace(spec, dtype=dtype, axis=axis)

    def inner_specs(self, spec: QuantSpec, block: Block) -> dict[str, QuantSpec]:
        """What an activation's table is indexed with."""
        return lut2.inner_specs(spec, block)

    def image_input(self, block: Block, context: Lowering, channels: int) -> tuple[dict[str, Any], dict[str, Any]]:
        """Constants and attributes that a layer for images has besides; warns of borders that are not zero."""
        zeros = zero_point(context, block.inputs[0], channels)
        if takes_image(block.bindings["x"], context.config):
            more = {"buffer_bits": 32} | widths.buffers(block, context.config, 32)
            return {"padding_value": border(context, block, zeros)}, more
        border(context, block, zeros, 0)  # there is no other: what that makes of the edges is warned of
        return {}, {}

    def products(
        self, block: Block, context: Lowering, weight: Floats, source: QuantParams, *, pixels: int = 1, axis: int = 0
    ) -> tuple[dict[str, Any], dict[str, Any]]:
        """Constants and attributes from folded weights (filters first) to the output.

        Args:
            block: the layer.
            context: of the lowering.
            weight: weights times the scales of their input channels.
            source: the input; its zero point goes into the bias.
            pixels: pixels that a global average sums.
            axis: where the layer's weights will have their filters.
        """
        dtype = context.weight_spec(block).dtype
        bias = block.constant("bias") if "bias" in block.bindings else np.zeros(len(weight))
        zeros = zero_point(context, block.inputs[0], weight.shape[1])
        filters = Filters(weight, bias, zeros, dtype.high)
        limit, constants = common.largest(weight) / dtype.high, dict[str, Any]()
        narrow = widths.buffers(block, context.config)
        if block.outputs[0] not in context.params:
            limit = np.maximum(limit, _largest(context, block) / 2.0 ** (narrow.get("buffer_bits", 28) - 1))
            context.refine(block.outputs[0], QuantParams(limit, IntType(self.accumulator_bits, signed=True), axis=1))
            scale, bits = limit, self.accumulator_bits
        else:
            limit = _within(limit, context.params[block.outputs[0]], pixels, narrow)
            scale, constants = _scale_out(block, context, filters, limit, pixels)
            self._report(
                block, context, scale < limit * (1 - 1e-9), "weights were clipped, its output's range is too small"
            )
            bits = context.params[block.outputs[0]].dtype.bits
            narrow |= widths.signs(context.params[block.outputs[0]].dtype)
        mantissas, shifts = encode(filters.whole_bias(scale), 8, signed=True)
        self._report(block, context, shifts > akida2_kernels.LARGEST_SHIFT, "biases do not fit")
        if "weight" in block.bindings:
            common.declare_weight(context, block, scale, source, dtype, axis, depthwise=weight.shape[1] == 1)
        constants |= {"bias": mantissas, "bias_shift": shifts}
        stored = {name: array.astype(STORED.get(name, np.uint8)) for name, array in constants.items()}
        whole = filters.integers(scale).astype(dtype.storage)
        if "weight" in block.bindings:
            context.rounded[block.name] = unfolded(block, weight, filters.integers(scale), scale)
        return stored | {"weight": whole}, {"output_bits": bits, **narrow}

    def _report(self, block: Block, context: Lowering, hit: NDArray[np.bool_], what: str) -> None:
        if hit.any():
            context.warnings.append(f"layer {block.name!r}: {what} ({int(hit.sum())} filters)")


def unfolded(block: Block, folded: Floats, whole: Ints, scale: Floats) -> Floats:
    """The real weights that integers stand for, without the scales of the input; filters first."""
    given, node = block.constant("weight"), block.nodes[0]
    if node.op_type == "MatMul" or (node.op_type == "ConvTranspose" and graph.attribute(node, "group", 1) == 1):
        given = given.swapaxes(0, 1)
    real = whole * scale.reshape(-1, *[1] * (whole.ndim - 1))
    return np.where(folded == 0, 0, real * given / np.where(folded == 0, 1, folded))


def _largest(context: Lowering, block: Block) -> float:
    """1.25 times the largest magnitude that was seen of a block's output."""
    seen = context.ranges[block.outputs[0]]
    return 1.25 * float(np.maximum(np.abs(seen.low), np.abs(seen.high)).max())


def _within(limit: Floats, out: QuantParams, pixels: int, narrow: Mapping[str, int]) -> Floats:
    """The least scale of weights at which 1.25 times the largest output fits the buffers."""
    peak = 1.25 * (out.dtype.high + 1) * out.scale
    buffer = peak / 2.0 ** (narrow.get("buffer_bits", 28) - 1)
    post = peak * pixels / 2.0 ** (narrow.get("post_bits", POST.bits) - 1)
    return np.maximum(limit, np.maximum(buffer, post))


def _scale_out(
    block: Block, context: Lowering, filters: Filters, limit: Floats, pixels: int
) -> tuple[Floats, dict[str, Ints]]:
    """Scale of the weights, and the constants of the activation and of scale-out."""
    out, table = context.params[block.outputs[0]], lut2.Table.of(block, context)
    if table is None:
        post_bits = widths.buffers(block, context.config).get("post_bits", POST.bits)
        scale, mantissa, shift = _exact(filters, limit, out.scale * pixels, out.dtype.high, post_bits)
        return scale, {"output_scale": mantissa, "output_shift": shift} | _rectifier(block, scale)
    scale, mantissa, shift = _exact(filters, limit, np.float64(table.step), INDEX.high)
    index = {"activation_scale": mantissa, "activation_shift": shift, "lut_values": table.entries}
    return scale, index | table.output(block, context, len(limit), pixels)


def _exact(
    filters: Filters, limit: Floats, out: Any, high: int, post_bits: int = POST.bits
) -> tuple[Floats, Ints, Ints]:
    """Scale of the weights, mantissa and shift: of the finest, those at which the weights lose least."""
    ends = [ScaleOut.finest(limit, out, high, n, post_bits) for n in range(CANDIDATES)]
    best = np.argmin([filters.lost(end.weight) for end in ends], axis=0)
    scale, mantissa, shift = (
        np.choose(best, [getattr(end, name) for end in ends]) for name in ("weight", "mantissa", "shift")
    )
    return scale, mantissa, shift


def _rectifier(block: Block, scale: Floats) -> dict[str, Ints]:
    """The bound of a ReLU in steps of ``scale``: 8 bits and a shift; the largest of both where there is none."""
    clamp = clamp_of(block)
    if clamp is None:
        return {}
    if np.isinf(clamp[1]):
        largest = np.full(len(scale), akida2_kernels.LARGEST_SHIFT)
        return {"max_value": np.full(len(scale), 127), "max_value_shift": largest}
    value, shift = encode(clamp[1] / scale, 8, signed=False)
    return {"max_value": value, "max_value_shift": shift}
