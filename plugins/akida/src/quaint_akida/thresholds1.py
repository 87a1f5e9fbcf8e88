"""Akida 1's thresholds and steps, and weights that make them exact.

With ``scale`` the real value of one unit of potential in a filter and N the pixels of a global average, the nearest level
of ``y / s_y`` is ``ceil((potential - threshold) / step)`` with ``step = N * s_y / scale`` and
``threshold = step / 2 - N * bias / scale``. The weights' scale is chosen a little coarser than it need be so that the step
is a whole number of sixteenths, as the chip has it: then the next layer's input has exactly the scale that it counts on.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from quaint.layers.output import clamp_of
from quaint.numerics import IntType, QuantParams, QuantSpec
from quaint.patterns import Pattern
from quaint.specs import weight_spec
from quaint_akida import common
from quaint_akida.entrance import is_input

if TYPE_CHECKING:
    from collections.abc import Callable

    from numpy.typing import NDArray

    from quaint.lower import Lowering
    from quaint.patterns import Block, CheckContext

    Floats = NDArray[np.float64]
    Ints = NDArray[np.int64]

INT32 = IntType(32, signed=True)
#: Bits before the point of a step, and bits of a threshold: of a processor, and of the input layer (hardware pages of AKD1000).
STEP_BITS, INPUT_STEP_BITS = 16, 20
THRESHOLD_BITS, INPUT_THRESHOLD_BITS = 20, 24
#: Fractional bits of a step.
FRACTION_BITS = 4


class Spiking(Pattern):
    """A layer that ends in levels, or in potentials where it is the last."""

    def is_last(self, block: Block) -> bool:
        """Without an activation: only as the last layer."""
        return block.node("Relu", "Clip") is None

    def ends_well(self, context: CheckContext, block: Block) -> bool:
        """An inner layer has narrow weights and ends in an activation that starts at zero."""
        first = is_input(block.bindings["x"], context.config)
        bits = weight_spec(context.target, context.config, block, reads_input=first).dtype.bits
        if bits > 4 and not first:
            return context.fail(f"weights have 4 bits at the most after the input layer, not {bits}")
        last = context.config.until in block.node_names or common.leaves(block.nodes[-1].outputs[0])
        if clamp_of(block) is None and not last:
            return context.fail("has no ReLU, and is not the last layer: train with one")
        return common.clamps_at_zero(context, block)

    def output_spec(self, spec: QuantSpec, block: Block, context: CheckContext) -> QuantSpec | None:  # noqa: ARG002
        """Levels; potentials are derived."""
        return None if self.is_last(block) else spec

    def finish(
        self,
        block: Block,
        context: Lowering,
        limit: Floats,
        bias: Floats,
        *,
        pixels: int = 1,
        offset: Callable[[Floats], Ints] = lambda scale: np.zeros(len(scale), np.int64),
    ) -> tuple[Floats, dict[str, Any], dict[str, Any]]:
        """Scale of the weights, and the constants and attributes of thresholds and steps.

        Args:
            block: the layer.
            context: of the lowering.
            limit: the least scale of each filter at which its weights fit.
            bias: real bias of each filter.
            pixels: N above.
            offset: what the input's zero point adds to each potential, from the weights' scale.
        """
        if self.is_last(block):
            threshold = np.rint(-pixels * bias / limit).astype(np.int64) + pixels * offset(limit)
            self._report(block, context, threshold)
            context.refine(block.outputs[0], QuantParams(limit / pixels, INT32, threshold, axis=1))
            return limit, {"threshold": threshold}, {}
        out = context.params[block.outputs[0]]
        unit = 1 << (4 - out.dtype.bits)  # the chip shifts the step left for fewer than 4 bits
        whole_bits = INPUT_STEP_BITS if context.reads_input(block) else STEP_BITS
        most = (1 << (whole_bits + FRACTION_BITS)) - 1
        act_step = np.clip(np.floor(16 * pixels * out.scale / limit / unit * (1 + 1e-12)), 1, most)
        step = act_step * unit
        scale = 16 * pixels * out.scale / step
        threshold = np.rint(step / 32 - pixels * bias / scale).astype(np.int64) + pixels * offset(scale)
        self._report(block, context, threshold)
        if (scale < limit * (1 - 1e-9)).any():
            context.warnings.append(
                f"layer {block.name!r}: its output's range is too small for its weights, which were clipped"
            )
        return scale, {"threshold": threshold, "step": step.astype(np.int64)}, {"activation_bits": out.dtype.bits}

    def _report(self, block: Block, context: Lowering, threshold: Ints) -> None:
        dtype = IntType(INPUT_THRESHOLD_BITS if context.reads_input(block) else THRESHOLD_BITS, signed=True)
        beyond = int((dtype.saturate(threshold) != threshold).sum())
        if beyond:
            context.warnings.append(
                f"layer {block.name!r}: {beyond} thresholds do not fit {dtype}, as the chip has them"
            )


def quantize(context: Lowering, block: Block, weight: Floats, scale: Floats) -> Ints:
    """Weights over the scale of their filter (axis 0), rounded, symmetric: -7 ... 7 at 4 bits."""
    high = context.weight_spec(block).dtype.high
    whole = np.rint(weight / scale.reshape(-1, *[1] * (weight.ndim - 1)))
    return np.clip(whole, -high, high).astype(np.int64)


def finest(context: Lowering, block: Block, weight: Floats, source: QuantParams | None = None) -> Floats:
    """The least scale of each filter (axis 0) at which its weights fit, or the one that a quantizer settled.

    Args:
        context: of the lowering.
        block: the layer.
        weight: with the input's scales in them.
        source: how the input is quantized, where the layer's weights are declared.
    """
    settled = context.params.get(f"{block.name}/weight")
    if settled is not None and source is not None:
        return np.asarray(settled.scale * source.scale)
    return common.largest(weight) / context.weight_spec(block).dtype.high
