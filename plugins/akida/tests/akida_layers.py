"""One layer as an integer model, run by every simulator."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from quaint.integer import IntegerModel, Layer
from quaint.layers.kernels import KERNELS
from quaint.numerics import IntType, QuantParams
from quaint.simulators.onnxruntime import OnnxRuntime
from quaint.simulators.reference import Reference
from quaint_akida import akida1_kernels, akida2_kernels, transformer_kernels

if TYPE_CHECKING:
    from collections.abc import Sequence

Array = np.ndarray[Any, np.dtype[Any]]

ALL = {**KERNELS, **akida1_kernels.KERNELS, **akida2_kernels.KERNELS, **transformer_kernels.KERNELS}
WIDE = IntType(40, signed=True)


def run(
    op: str, inputs: Sequence[Array], dtype: IntType, constants: dict[str, Any], attributes: dict[str, Any]
) -> Array:
    """The layer's output [N, C, ...]; asserts that the simulators agree on it."""
    names = tuple(f"x{i}" for i in range(len(inputs)))
    layer = Layer(op, names, ("y",), {name: np.asarray(value) for name, value in constants.items()}, attributes)
    tensors = {name: QuantParams(1, dtype) for name in names} | {"y": QuantParams(1, WIDE)}
    shapes = {name: (None, *x.shape[1:]) for name, x in zip(names, inputs, strict=True)}
    model = IntegerModel("one", names, ("y",), (layer,), tensors, shapes, "quaint.akida")
    feeds = {name: x.astype(dtype.storage) for name, x in zip(names, inputs, strict=True)}
    truth = Reference(model, ALL).run(feeds)["y"]
    np.testing.assert_array_equal(OnnxRuntime(model, ALL, threads=1).run(feeds)["y"], truth)
    return truth


def channels_first(maps: Sequence[Array]) -> Array:
    """Maps [rows, columns, channels] as a batch [N, C, rows, columns]."""
    return np.stack([np.moveaxis(one, -1, 0) for one in maps])


def pads(sizes: Sequence[int], kernel: int, stride: int, padding: str) -> list[int]:
    """ONNX's pads of the chip's padding."""
    if padding == "valid":
        return [0, 0, 0, 0]
    totals = [max((-(-n // stride) - 1) * stride + kernel - n, 0) for n in sizes]
    smaller, larger = [t // 2 for t in totals], [t - t // 2 for t in totals]
    return [*smaller, *larger] if padding == "same" else [*larger, *smaller]
