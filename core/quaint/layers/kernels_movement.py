"""Kernels that move integers; see ``quaint.layers.kernels``."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, TypeVar

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from quaint.arithmetic import Arithmetic, Kernel

V = TypeVar("V")


def concat(k: Arithmetic[V], *xs: V, axis: int, **constants: NDArray[Any]) -> V:
    """Integers joined, all on one scale; ``operand<i>`` is a constant in place ``i``."""
    parts = list(xs)
    for place, values in sorted((int(name.removeprefix("operand")), array) for name, array in constants.items()):
        empty = k.multiply(k.gather(xs[0], [0] * values.shape[axis], axis), 0)
        parts.insert(place, k.add(empty, values))
    return k.concat(parts, axis)


def reshape(k: Arithmetic[V], x: V, *, shape: Sequence[int]) -> V:
    """ONNX Reshape: 0 copies, -1 is inferred."""
    return k.reshape(x, shape)


def transpose(k: Arithmetic[V], x: V, *, perm: Sequence[int]) -> V:
    """Axes in the order ``perm``."""
    return k.transpose(x, perm)


def take(
    k: Arithmetic[V],
    x: V,
    *,
    axes: Sequence[int],
    indices: Sequence[Sequence[int]],
    shape: Sequence[int] | None = None,
) -> V:
    """Entries along some axes, each a list of indices from 0 on; then another shape, if one is given."""
    for axis, chosen in zip(axes, indices, strict=True):
        x = k.gather(x, chosen, axis)
    return x if shape is None else k.reshape(x, shape)


def pad(k: Arithmetic[V], x: V, *, pads: Sequence[int], value: int = 0, mode: str = "constant") -> V:
    """Borders of ``value``, or in the other modes of ONNX Pad of ``x`` itself; all begins, then all ends."""
    if mode == "constant":
        return k.pad(x, pads, value)
    for axis, indices in border_indices(k.shape(x), pads, mode).items():
        x = k.gather(x, indices, axis)
    return x


def border_indices(shape: Sequence[int | None], pads: Sequence[int], mode: str) -> dict[int, list[int]]:
    """For each axis with a border, which entries a tensor with borders of its own entries has."""
    borders = enumerate(zip(pads[: len(shape)], pads[len(shape) :], strict=True))
    return {axis: np.pad(np.arange(shape[axis] or 0), ends, mode).tolist() for axis, ends in borders if any(ends)}  # type: ignore[call-overload]


def rearrange(k: Arithmetic[V], x: V, *, split: Sequence[int], perm: Sequence[int], shape: Sequence[int]) -> V:
    """Axes split to the sizes ``split``, put in the order ``perm``, joined to ``shape``."""
    return k.reshape(k.transpose(k.reshape(x, split), perm), shape)


MOVEMENT: dict[str, Kernel] = {kernel.__name__: kernel for kernel in (concat, reshape, transpose, take, pad, rearrange)}
