"""Convolutions and pooling, traced."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from quaint.layers.kernels import window_steps
from quaint.simulators.tracing_core import Emitter
from quaint.simulators.tracing_graph import Kind, Untraceable
from quaint.simulators.tracing_products import Convolution
from quaint.simulators.tracing_values import Traced

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from quaint.arithmetic import Constant
    from quaint.simulators.tracing_values import Shape


def spatial(shape: Shape) -> list[int]:
    """The sizes after batch and channels.

    Raises:
        Untraceable: if one is not known.
    """
    sizes = [size for size in shape[2:] if size is not None]
    if len(sizes) != len(shape) - 2:
        raise Untraceable("a map of unknown size")
    return sizes


def _extents(kernel_shape: Sequence[int], dilations: Sequence[int]) -> list[int]:
    """How far a dilated kernel reaches."""
    return [(k - 1) * d + 1 for k, d in zip(kernel_shape, dilations, strict=True)]


def _steps(
    shape: Shape, extents: Sequence[int], strides: Sequence[int], pads: Sequence[int], *, ceil_mode: bool
) -> list[int]:
    """How many windows fit along each spatial axis."""
    rank = len(extents)
    axes = zip(spatial(shape), extents, strides, pads[:rank], pads[rank:], strict=True)
    return [window_steps(*axis, ceil_mode=ceil_mode) for axis in axes]


def _borders(
    shape: Shape, extents: Sequence[int], strides: Sequence[int], pads: Sequence[int], steps: Sequence[int]
) -> list[int]:
    """Pads for just so many windows, whichever way they were counted."""
    axes = zip(spatial(shape), extents, strides, pads[: len(extents)], steps, strict=True)
    return [*pads[: len(extents)], *(max((count - 1) * s + e - n - begin, 0) for n, e, s, begin, count in axes)]


def _conv_rows(weight: NDArray[Any]) -> NDArray[Any]:
    return weight.reshape(len(weight), -1)


class Windows(Emitter):
    """Operations on windows that slide over maps."""

    def conv(
        self,
        x: Traced,
        weight: Constant,
        *,
        strides: Sequence[int],
        pads: Sequence[int],
        dilations: Sequence[int],
        group: int,
    ) -> Traced:
        """ONNX Conv without bias."""
        given = np.asarray(weight)
        steps = _steps(x.shape, _extents(given.shape[2:], dilations), strides, pads, ceil_mode=False)
        attributes = {"strides": [*strides], "pads": [*pads], "dilations": [*dilations], "group": group}
        ints = given.astype(np.int64)
        source = Convolution("Conv", self.tensor(x), x.interval.hull(), ints, given, _conv_rows, 1, attributes)
        return Traced((x.shape[0], len(given), *steps), source.checked())

    def conv_transpose(
        self,
        x: Traced,
        weight: Constant,
        *,
        strides: Sequence[int],
        pads: Sequence[int],
        output_padding: Sequence[int],
        dilations: Sequence[int],
        group: int,
    ) -> Traced:
        """ONNX ConvTranspose without bias."""
        given = np.asarray(weight)
        rank, maps = len(strides), given.shape[1]
        extents = _extents(given.shape[2:], dilations)
        axes = zip(spatial(x.shape), strides, extents, output_padding, pads[:rank], pads[rank:], strict=True)
        size = [(n - 1) * s + e + more - begin - end for n, s, e, more, begin, end in axes]

        def rows(array: NDArray[Any]) -> NDArray[Any]:
            grouped = array.reshape(group, len(array) // group, maps, -1)
            return grouped.swapaxes(1, 2).reshape(group * maps, -1)

        attributes = {
            "strides": [*strides],
            "pads": [*pads],
            "output_padding": [*output_padding],
            "dilations": [*dilations],
            "group": group,
        }
        ints = given.astype(np.int64)
        source = Convolution("ConvTranspose", self.tensor(x), x.interval.hull(), ints, given, rows, 0, attributes)
        return Traced((x.shape[0], group * maps, *size), source.checked())

    def max_pool(
        self,
        x: Traced,
        *,
        kernel_shape: Sequence[int],
        strides: Sequence[int],
        pads: Sequence[int],
        dilations: Sequence[int],
        ceil_mode: bool,
    ) -> Traced:
        """Largest value of each window."""
        if self.tensor(x).kind is Kind.INT64:
            raise Untraceable("a pooling of numbers beyond 2**53")
        extents = _extents(kernel_shape, dilations)
        steps = _steps(x.shape, extents, strides, pads, ceil_mode=ceil_mode)
        return self._moved(
            x,
            (*x.shape[:2], *steps),
            "MaxPool",
            kernel_shape=[*kernel_shape],
            strides=[*strides],
            pads=_borders(x.shape, extents, strides, pads, steps),
            dilations=[*dilations],
        )

    def sum_pool(
        self, x: Traced, *, kernel_shape: Sequence[int], strides: Sequence[int], pads: Sequence[int], ceil_mode: bool
    ) -> Traced:
        """Sum of each window: a depthwise convolution with ones."""
        rank, channels = len(kernel_shape), x.shape[1]
        if channels is None:
            raise Untraceable("an unknown number of channels")
        steps = _steps(x.shape, kernel_shape, strides, pads, ceil_mode=ceil_mode)
        ones = np.ones((channels, 1, *kernel_shape), np.int64)
        borders = _borders(x.shape, kernel_shape, strides, pads, steps)
        return self.conv(x, ones, strides=strides, pads=borders, dilations=[1] * rank, group=channels)
