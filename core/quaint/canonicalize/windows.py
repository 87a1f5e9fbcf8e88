"""Convolutions and pooling: every attribute written out, every convolution with a bias, zero padding inside."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import onnx_ir as ir

from quaint.canonicalize.rule import each
from quaint.graph import GraphEditor, attribute, constant, dims, input_at, producer, rank, sole_consumer

if TYPE_CHECKING:
    from collections.abc import Sequence

_WINDOWED = ("Conv", "ConvTranspose", "MaxPool", "AveragePool")


@each(*_WINDOWED)
def write_out_windows(_editor: GraphEditor, node: ir.Node) -> bool:
    """Write out the attributes of convolutions and pooling.

    Requires: static extents of the spatial axes. Ensures: kernel_shape, strides, dilations, pads are present, auto_pad
    is not; group (convolutions), output_padding and no output_shape (ConvTranspose), ceil_mode (pooling),
    count_include_pad (AveragePool). ceil_mode is 0 where it changes nothing, and so is count_include_pad.
    """
    spatial = dims(node.inputs[0])
    window = _Window.of(node)
    if window is None or spatial is None:
        return False
    pads = window.pads([dim if isinstance(dim, int) else None for dim in spatial[2:]])
    if pads is None:
        return False
    wanted: dict[str, int | list[int]] = {
        "kernel_shape": window.kernel,
        "strides": window.strides,
        "dilations": window.dilations,
        "pads": pads,
    }
    if node.op_type in ("Conv", "ConvTranspose"):
        wanted["group"] = attribute(node, "group", 1)
        if node.op_type == "ConvTranspose":
            wanted["output_padding"] = window.output_padding
    else:
        wanted["ceil_mode"] = int(bool(attribute(node, "ceil_mode", 0)) and not window.fits(spatial[2:], pads))
        if node.op_type == "AveragePool":
            relevant = any(pads) or wanted["ceil_mode"]
            wanted["count_include_pad"] = int(bool(attribute(node, "count_include_pad", 0) and relevant))
    return _set_attributes(node, wanted, drop=("auto_pad", "output_shape"))


def _set_attributes(node: ir.Node, wanted: dict[str, int | list[int]], drop: Sequence[str] = ()) -> bool:
    changed = False
    for name in drop:
        changed |= node.attributes.pop(name, None) is not None
    for name, value in wanted.items():
        if attribute(node, name) != (value if isinstance(value, int) else tuple(value)):
            node.attributes[name] = ir.AttrInt64(name, value) if isinstance(value, int) else ir.AttrInt64s(name, value)
            changed = True
    return changed


class _Window:
    """The sliding window of a node, as its attributes or their defaults give it."""

    def __init__(self, node: ir.Node, kernel: Sequence[int]) -> None:
        ones = [1] * len(kernel)
        self.node, self.kernel = node, list(kernel)
        self.strides = list(attribute(node, "strides", ones))
        self.dilations = list(attribute(node, "dilations", ones))
        self.output_padding = list(attribute(node, "output_padding", [0] * len(kernel)))
        self.reach = [(size - 1) * dilation + 1 for size, dilation in zip(self.kernel, self.dilations, strict=True)]

    @classmethod
    def of(cls, node: ir.Node) -> _Window | None:
        weight = dims(input_at(node, 1))
        kernel = attribute(node, "kernel_shape", None if weight is None else weight[2:])
        return cls(node, kernel) if kernel and all(isinstance(size, int) for size in kernel) else None

    def pads(self, spatial: Sequence[int | None]) -> list[int] | None:
        """All begins, then all ends; None if they depend on unknown extents."""
        mode = attribute(self.node, "auto_pad", "NOTSET")
        given = list(attribute(self.node, "pads", [0] * (2 * len(self.kernel))))
        if mode == "VALID":
            return [0] * len(given)
        if attribute(self.node, "output_shape") is None and mode == "NOTSET":
            return given
        totals = self._totals(spatial)
        if totals is None:
            return None
        small, large = [total // 2 for total in totals], [total - total // 2 for total in totals]
        # ConvTranspose without SAME_UPPER puts the odd one first (operator specification of ConvTranspose-11)
        upper = mode == "SAME_UPPER"
        return small + large if upper else large + small

    def _totals(self, spatial: Sequence[int | None]) -> list[int] | None:
        """Padding of both sides together, by the formulas of the operators' specification."""
        totals = []
        shape = attribute(self.node, "output_shape")
        for i, extent in enumerate(spatial):
            if extent is None:
                return None
            stride, reach = self.strides[i], self.reach[i]
            if self.node.op_type == "ConvTranspose":
                result = extent * stride if shape is None else shape[i - len(spatial)]
                total = stride * (extent - 1) + self.output_padding[i] + reach - result
            else:
                total = (-(-extent // stride) - 1) * stride + reach - extent
            totals.append(max(total, 0))
        return totals

    def fits(self, spatial: Sequence[int | str | None], pads: Sequence[int]) -> bool:
        """Whether the windows end exactly at the padded edge, so that rounding up and down agree."""
        half = len(pads) // 2
        return all(
            isinstance(extent, int) and (extent + pads[i] + pads[i + half] - self.reach[i]) % self.strides[i] == 0
            for i, extent in enumerate(spatial)
        )


@each("Conv", "ConvTranspose")
def add_bias(editor: GraphEditor, node: ir.Node) -> bool:
    """Give every convolution with constant weights a bias.

    Ensures: input 2 is present; zeros if the source had none.
    """
    weight = constant(node.inputs[1])
    if weight is None or weight.dtype != np.float32 or input_at(node, 2) is not None:
        return False
    channels = weight.shape[1] * attribute(node, "group", 1) if node.op_type == "ConvTranspose" else weight.shape[0]
    node.resize_inputs(3)
    node.replace_input_with(2, editor.constant(np.zeros(channels, np.float32), f"{node.name}.bias"))
    return True


@each("Conv", "AveragePool")
def fold_pad(editor: GraphEditor, node: ir.Node) -> bool:
    """Move a Pad with zeros of the spatial axes into the Conv or AveragePool that alone reads it.

    Requires: ``write_out_windows``. Ensures: no such Pad, unless an AveragePool would then count other elements.
    """
    changed = False
    while _fold_one_pad(editor, node):
        changed = True
    return changed


def _fold_one_pad(editor: GraphEditor, node: ir.Node) -> bool:
    """Fold the Pad right in front of ``node``, if that is exact."""
    pad = producer(node.inputs[0], "Pad")
    if pad is None or pad.inputs[0] is None or sole_consumer(pad.outputs[0]) is not node:
        return False
    outer, inner = _spatial_zeros(pad), attribute(node, "pads")
    if outer is None or inner is None:
        return False
    pads = [a + b for a, b in zip(outer, inner, strict=True)]
    if node.op_type == "AveragePool":
        counts = bool(attribute(node, "count_include_pad", 0)) or not any(inner)
        kernel = attribute(node, "kernel_shape")
        if not counts or attribute(node, "ceil_mode", 0) or any(p >= k for p, k in zip(pads, kernel * 2, strict=True)):
            return False
        _set_attributes(node, {"count_include_pad": 1})
    _set_attributes(node, {"pads": pads})
    node.replace_input_with(0, pad.inputs[0])
    editor.erase(pad)
    return True


def _spatial_zeros(pad: ir.Node) -> list[int] | None:
    """The pads of the spatial axes of a Pad that only adds zeros, and only there; else None."""
    amounts, fill, length = constant(pad.inputs[1]), constant(input_at(pad, 2)), rank(pad.inputs[0])
    filled = input_at(pad, 2) is not None and (fill is None or bool(np.any(fill)))
    if attribute(pad, "mode", "constant") != "constant" or amounts is None or filled or length is None:
        return None
    given = constant(input_at(pad, 3))
    axes = list(range(length)) if given is None else [int(axis) % length for axis in given]
    full = [0] * (2 * length)
    for i, axis in enumerate(axes):
        full[axis], full[axis + length] = int(amounts[i]), int(amounts[i + len(axes)])
    outside = [*full[:2], *full[length : length + 2]]
    return None if any(outside) or min(full) < 0 else full[2:length] + full[length + 2 :]


@each("Resize")
def unify_resize(editor: GraphEditor, node: ir.Node) -> bool:
    """Write Resize with scales for all axes, where its sizes are exact multiples or power-of-two parts.

    Requires: static extents of the resized axes. Ensures: no region of interest that is not used; constant scales, or
    constant sizes of the resized axes only.
    """
    before, after = dims(node.inputs[0]), dims(node.outputs[0])
    changed = False
    if attribute(node, "coordinate_transformation_mode", "half_pixel") != "tf_crop_and_resize" and input_at(node, 1):
        node.replace_input_with(1, None)
        changed = True
    sizes = constant(input_at(node, 3))
    stretch = attribute(node, "keep_aspect_ratio_policy", "stretch") == "stretch"
    if sizes is None or before is None or after is None or not stretch:
        return changed
    moved = [i for i, (a, b) in enumerate(zip(before, after, strict=True)) if a != b]
    extents = [(before[i], after[i]) for i in moved]
    if any(not isinstance(extent, int) for pair in extents for extent in pair):
        return changed
    scales = np.ones(len(before), np.float32)
    for i, (a, b) in zip(moved, extents, strict=True):
        scales[i] = int(b or 0) / int(a or 1)
    if all(float(scales[i]) * int(a or 0) == b and _exact(a, b) for i, (a, b) in zip(moved, extents, strict=True)):
        node.attributes.pop("axes", None)
        node.replace_input_with(3, None)
        node.replace_input_with(2, editor.constant(scales, f"{node.name}.scales"))
        node.resize_inputs(3)
        return True
    if list(attribute(node, "axes", range(len(before)))) == moved:
        return changed
    node.attributes["axes"] = ir.AttrInt64s("axes", moved)
    node.replace_input_with(3, editor.constant(np.array([b for _, b in extents], np.int64), f"{node.name}.sizes"))
    return True


def _exact(before: int | str | None, after: int | str | None) -> bool:
    """Whether ``after / before`` is an integer or a power of two."""
    a, b = int(before or 1), int(after or 1)
    return b % a == 0 or (a % b == 0 and (a // b).bit_count() == 1)
