"""Linear interpolation: where the runtime looks for each entry of the output, and the kernel on channel-first maps."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, TypeVar

import numpy as np

from quaint_espdl.kernels.floats import resize

if TYPE_CHECKING:
    from collections.abc import Sequence

    from quaint.arithmetic import Arithmetic, Kernel

V = TypeVar("V")

#: ``coordinate_transformation_mode`` as ONNX calls those that the runtime has.
HALF_PIXEL = frozenset({"half_pixel", "pytorch_half_pixel"})
ALIGN_CORNERS = "align_corners"


def neighbours(before: int, after: int, scale: np.float32, *, align_corners: bool) -> tuple[list[int], list[float]]:
    """For each of ``after`` entries along an axis of ``before``, the neighbour below and the distance to it.

    Coordinates are float32 in the runtime's order of operations (ESP-DL 3.3.9, ``linear_coeffs``).

    Args:
        before: entries of the input.
        after: entries of the output.
        scale: entries of the output to one of the input, where corners are not aligned.
        align_corners: the first and last entries lie on each other.
    """
    if before == 1:
        return [0] * after, [1.0] * after
    one, half, index = np.float32(1), np.float32(0.5), np.arange(after, dtype=np.float32)
    if align_corners:
        exact = index * (one / (np.float32(max(after - 1, 1)) / np.float32(before - 1)))
    else:
        exact = (index + half) * (one / scale) - half
    low = np.clip(np.floor(exact), 0, before - 2)
    return low.astype(int).tolist(), np.clip(exact - low, 0, 1).tolist()


def resize_linear(
    k: Arithmetic[V], x: V, *, sizes: Sequence[int], scales: Sequence[float], align_corners: bool, **options: Any
) -> V:
    """Linear interpolation of the axes behind the channels to ``sizes``, the last axis first.

    ``scales`` are entries of the output to one of the input, float32, as the runtime reads or finds them.
    """
    before = k.shape(x)[2:]
    found = [
        neighbours(old or 0, new, np.float32(scale), align_corners=align_corners)
        for old, new, scale in zip(before, sizes, scales, strict=True)
    ][::-1]
    axes = range(len(before) + 1, 1, -1)
    return resize(k, x, axes=axes, low_index=[low for low, _ in found], fraction=[part for _, part in found], **options)


INTERPOLATION: dict[str, Kernel] = {"ResizeLinear": resize_linear}
