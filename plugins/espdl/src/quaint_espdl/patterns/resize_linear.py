"""Linear interpolation of maps and sequences, which the runtime has at 8 bits only."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np

from quaint import graph
from quaint.integer import Layer
from quaint.numerics import IntType
from quaint.patterns import Pattern
from quaint.specs import activation_spec
from quaint_espdl.kernels.interpolation import ALIGN_CORNERS, HALF_PIXEL
from quaint_espdl.patterns.widths import OneWidth

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    import onnx_ir as ir

    from quaint.lower import Lowering
    from quaint.numerics import QuantSpec
    from quaint.patterns import Block, Builder, CheckContext

WIDTH = IntType(8, signed=True)


class Linear(Pattern):
    """Each entry between two neighbours of the input, the last axis first, in float32."""

    def pattern(self, op: Builder, x: Any, *parameters: Any) -> Any:
        return op.Resize(x, *parameters)

    def check(self, context: CheckContext, block: Block, **_: Any) -> bool:
        node = block.nodes[0]
        if graph.attribute(node, "mode", "nearest") != "linear":
            return False
        reasons = list(_reasons(node))
        context.reasons += reasons
        return not reasons

    def lower(self, block: Block, context: Lowering) -> Layer | Sequence[Layer]:
        source, out = context.edges(block)
        node = block.nodes[0]
        attributes = {
            "sizes": [int(size or 0) for size in context.shape(block.outputs[0])[2:]],
            "scales": [float(scale) for scale in _scales(node)],
            "align_corners": _place(node) == ALIGN_CORNERS,
            "scale": float(source.scale),
            "out_scale": float(out.scale),
            "low": out.dtype.low,
            "high": out.dtype.high,
            "rounding": str(context.target.rounding),
        }
        return Layer("ResizeLinear", block.inputs, block.outputs, {}, attributes)


class ResizeLinear(OneWidth, Linear):
    """Interpolation at 8 bits; neighbours of another width are converted."""

    def output_spec(self, spec: QuantSpec, block: Block, context: CheckContext) -> QuantSpec | None:
        wanted = context.target.activation
        return super().output_spec(replace(wanted, dtype=WIDTH) if spec.dtype != WIDTH else spec, block, context)

    def lower(self, block: Block, context: Lowering) -> list[Layer]:
        if activation_spec(context.target, context.config, block).dtype != WIDTH:
            context.warnings.append(f"layer {block.name!r}: the runtime interpolates at 8 bits only")
        return super().lower(block, context)


def _reasons(node: ir.Node) -> Iterator[str]:
    """What the runtime's interpolation cannot do."""
    before, after = (graph.dims(value) or () for value in (node.inputs[0], node.outputs[0]))
    place = _place(node)
    if place != ALIGN_CORNERS and place not in HALF_PIXEL:
        yield f"linear interpolation by {place}: the runtime has half_pixel and align_corners"
    if graph.attribute(node, "antialias", 0):
        yield "interpolation with antialiasing"
    if graph.attribute(node, "keep_aspect_ratio_policy", "stretch") != "stretch":
        yield "keeps the aspect ratio"
    if not 3 <= len(before) <= 4 or before[1] != after[1]:
        yield "linear interpolation of other axes than those of a map or sequence"
    if 1 in before[2:]:
        yield "linear interpolation between a single entry, where the runtime reads beside it: take mode nearest"
    if 1 in after[2:] and place != "half_pixel":
        yield f"linear interpolation to a single entry by {place}: the runtime does so by half_pixel only"


def _place(node: ir.Node) -> str:
    return str(graph.attribute(node, "coordinate_transformation_mode", "half_pixel"))


def _scales(node: ir.Node) -> list[np.float32]:
    """For each axis behind the channels, entries of the output to one of the input: as given, or of the sizes."""
    before, after = (graph.dims(value) or () for value in (node.inputs[0], node.outputs[0]))
    given = graph.constant(graph.input_at(node, 2))
    if given is not None and given.size:
        axes = list(graph.attribute(node, "axes", range(len(given))))
        scales = dict(zip(axes, given.astype(np.float32), strict=True))
        return [scales.get(axis, np.float32(1)) for axis in range(2, len(before))]
    return [np.float32(b or 0) / np.float32(a or 1) for a, b in zip(before[2:], after[2:], strict=True)]
