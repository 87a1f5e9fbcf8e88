"""What a layer of the chip is called and given in BrainChip's ``akida`` package, as plain data: nothing here needs the package.

Names of constructors, their arguments and the variables of each layer are those of the package's public documentation. Its maps
are [rows, columns, channels]; inner convolutions of both generations flip their kernels, all others do not.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from quaint.errors import QuaintError
from quaint_akida.common import Window

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from numpy.typing import NDArray

    from quaint.integer import IntegerModel, Layer

    Array = NDArray[Any]


@dataclass(frozen=True)
class VendorLayer:
    """A layer in the package's terms.

    Args:
        kind: name of its constructor.
        arguments: what the constructor is given; members of enumerations by name.
        variables: arrays that are set once the layer is in a model.
    """

    kind: str
    arguments: Mapping[str, Any]
    variables: Mapping[str, Array]


def refuse(layer: Layer, reason: str) -> QuaintError:
    """The error for a layer that the package cannot hold."""
    return QuaintError("QT352", f"the akida package cannot hold layer {layer.name!r} ({layer.op}): {reason}")


def map_shape(shape: Sequence[int | None]) -> tuple[int, int, int]:
    """A tensor [N, C], [N, C, H, W] or, of a stream, [N, C, T] or [N, C, T, H, W] as rows, columns and channels."""
    rows, columns = (int(n or 0) for n in shape[-2:]) if len(shape) > 3 else (1, 1)
    return rows, columns, int(shape[1] or 0)


def kernel(weight: Array, *, flipped: bool) -> Array:
    """Filters [F, C, k, k] as [k, k, C, F]."""
    turned = weight[:, :, ::-1, ::-1] if flipped else weight
    return np.ascontiguousarray(turned.transpose(2, 3, 1, 0), np.int8)


def channel_kernel(weight: Array, *, flipped: bool = True) -> Array:
    """Filters of single channels, [C, 1, k, k], as [k, k, C, 1]."""
    return kernel(weight.swapaxes(0, 1), flipped=flipped)


def weight_bits(layer: Layer, widths: Sequence[int], *names: str) -> int:
    """The least of the chip's widths that holds a layer's weights, whose range is symmetric but at 8 bits.

    Raises:
        QuaintError: QT352 where none does.
    """
    arrays = [layer.constants[name] for name in names or ("weight",)]
    low, high = (min(int(a.min()) for a in arrays), max(int(a.max()) for a in arrays))
    for bits in widths:
        most = (1 << (bits - 1)) - 1
        if max(-low - (bits == 8), high) <= most:
            return bits
    raise refuse(layer, f"weights of more than {widths[-1]} bits")


def filters(layer: Layer) -> Array:
    """Filters [F, C, k, k] of a convolution; those of frames in a stream are [F, C, 1, k, k] or [F, C, 1]."""
    weight = layer.constants["weight"]
    return weight if weight.ndim == 4 else weight.reshape(*weight.shape[:2], *(*weight.shape[3:], 1, 1)[:2])


def window(layer: Layer, model: IntegerModel) -> tuple[str, int]:
    """Padding by its name, and stride, of a convolution.

    Raises:
        QuaintError: QT352 for a padding that has no name.
    """
    names = {"same": "Same", "same-upper": "SameUpper", "valid": "Valid"}
    rows, columns, _ = map_shape(model.shapes[layer.inputs[0]])
    stride, pads, rank = layer.attributes["strides"][-1], layer.attributes["pads"], len(layer.attributes["strides"])
    around = (0, 0, 0, 0) if rank == 1 else (*pads[rank - 2 : rank], *pads[2 * rank - 2 :])
    padding = Window(filters(layer).shape[-1], stride, around, (rows, columns), 1).padding
    if padding is None:
        raise refuse(layer, f"padding {pads}")
    if padding == "valid" and any(layer.attributes.get("pool_pads", ())):
        padding = "same"  # windows that need no border: what follows tells which of the two it is
    return names[padding], stride


def pooling(layer: Layer) -> tuple[str, int, int]:
    """Kind of pooling by its name, edge of its window and stride; -1 where there is no window."""
    if layer.attributes.get("gap"):
        return "Average", -1, -1
    if "pool" in layer.attributes:
        return "Max", layer.attributes["pool"][0], layer.attributes["pool_strides"][0]
    return "NoPooling", -1, -1
