"""Products of two computed tensors as nodes of the runtime.

The runtime (ESP-DL 3.3.9) takes the right operand for the weights of a 1x1 convolution, in their order of memory: groups of
``a`` columns side by side, then what columns are left, one by one. So nodes before it put the numbers in that order under the
operand's own dims.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

import numpy as np

from quaint_espdl.writing.graph import original

if TYPE_CHECKING:
    from collections.abc import Sequence

    from quaint.integer import Layer
    from quaint_espdl.writing.graph import GraphWriter


def matmul(writer: GraphWriter, layer: Layer) -> None:
    """Matrix product whose right operand is rearranged first."""
    left, right = layer.inputs
    rank = len(writer.shape(right))
    source = writer.take(left, original(rank))
    packed = _Packing(writer, layer, right).whole(writer.take(right, original(rank)))
    output = writer.declare(layer.outputs[0], original(rank))
    attributes = {"activation": "Linear", "input1_layout": "packed"}
    writer.node("MatMul", layer.name, (source, packed), (output,), writer.params(layer.outputs[0]), **attributes)


class _Packing:
    """The nodes that rearrange a tensor [..., K, N].

    Args:
        writer: of the file.
        layer: that reads the tensor.
        tensor: the model's name of it.
    """

    def __init__(self, writer: GraphWriter, layer: Layer, tensor: str) -> None:
        self._writer, self._layer, self._tensor = writer, layer, tensor
        self._shape = writer.shape(tensor)
        self._count = math.prod(self._shape[:-2])
        self._group = writer.alignment[writer.params(tensor).dtype.bits]

    def whole(self, source: str) -> str:
        """The tensor in packed order, with the dims that it had."""
        columns = self._shape[-1]
        grouped = columns - columns % self._group if self._group else 0
        if grouped == columns:
            parts = [self._groups(source, columns)]
        elif grouped == 0:
            parts = [self._rest(source, columns)]
        else:
            parts = [
                self._groups(self._part(source, 0, grouped), grouped),
                self._rest(self._part(source, grouped, columns), columns - grouped),
            ]
        if len(parts) > 1:
            size = [self._count, self._shape[-2] * columns]
            parts = [self._node("Concat", parts, size, axis=1)]
        return self._reshaped(parts[0], self._shape)

    def _groups(self, source: str, columns: int) -> str:
        """[..., K, columns] as groups of columns side by side, each sample flat."""
        group = self._group or 1
        rows = self._shape[-2]
        split = self._reshaped(source, (self._count, rows, columns // group, group))
        turned = self._node("Transpose", [split], (self._count, columns // group, rows, group), perm=(0, 2, 1, 3))
        return self._reshaped(turned, (self._count, rows * columns))

    def _rest(self, source: str, columns: int) -> str:
        """[..., K, columns] as columns one by one, each sample flat."""
        rows, last = self._shape[-2], len(self._shape) - 1
        turned = (*self._shape[:-2], columns, rows)
        perm = (*range(last - 1), last, last - 1)
        return self._reshaped(self._node("Transpose", [source], turned, perm=perm), (self._count, rows * columns))

    def _part(self, source: str, start: int, end: int) -> str:
        """Some of the columns."""
        axis = len(self._shape) - 1
        bounds = [self._constant(name, [value]) for name, value in (("starts", start), ("ends", end), ("axes", axis))]
        steps = self._constant("steps", [1])
        return self._node("Slice", [source, *bounds, steps], (*self._shape[:-1], end - start))

    def _reshaped(self, source: str, shape: Sequence[int]) -> str:
        return self._node("Reshape", [source, self._constant("shape", shape)], shape, allowzero=0)

    def _node(self, op_type: str, inputs: Sequence[str], dims: Sequence[int], **attributes: Any) -> str:
        output = self._writer.scratch(f"{self._layer.name}.{op_type.lower()}", dims, self._tensor)
        name, params = f"{self._layer.name}_{op_type}", self._writer.params(self._tensor)
        self._writer.node(op_type, name, inputs, (output,), params, **attributes)
        return output

    def _constant(self, name: str, values: Sequence[int]) -> str:
        return self._writer.constant(f"{self._layer.name}.{name}", np.asarray(values, np.int64))
