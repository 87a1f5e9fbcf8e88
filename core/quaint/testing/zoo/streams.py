"""Convolutions in frames and over time alone, which look back and never ahead: what a chip can compute frame after frame."""

from __future__ import annotations

from typing import TYPE_CHECKING

from quaint.testing.zoo.registry import model

if TYPE_CHECKING:
    from quaint.testing.builder import Builder


def _frames(b: Builder, x: str, channels: tuple[int, int], kernel: int = 3) -> str:
    """A convolution in every frame of [N, channels, frames, rows, columns]."""
    border = [0, kernel // 2, kernel // 2]
    return b.conv(x, channels, (1, kernel, kernel), pads=border * 2)


def _back(b: Builder, x: str, channels: tuple[int, int], frames: int, group: int = 1) -> str:
    """A convolution over the last ``frames`` frames of each pixel, zeros before the first."""
    return b.conv(x, channels, (frames, 1, 1), pads=[frames - 1, 0, 0, 0, 0, 0], group=group)


@model
def stream(b: Builder) -> str:
    """In frames, over time, in frames, over time."""
    x = b.op("Relu", _frames(b, b.input(3, 6, 8, 8), (3, 8)))
    x = b.op("Relu", _back(b, x, (8, 8), 4))
    return _back(b, b.op("Relu", _frames(b, x, (8, 8))), (8, 4), 2)


@model
def stream_depthwise(b: Builder) -> str:
    """Over time with a kernel of its own for each channel, then in frames."""
    x = b.op("Relu", _frames(b, b.input(3, 6, 8, 8), (3, 8)))
    x = b.op("Relu", _back(b, x, (8, 8), 3, group=8))
    return _frames(b, x, (8, 4), 1)


@model
def series_causal(b: Builder) -> str:
    """A temporal network of one sensor: steps alone, then steps back in time."""
    x = b.op("Relu", b.conv(b.input(6, 16), (6, 8), (1,)))
    x = b.op("Relu", b.conv(x, (8, 8), (5,), pads=[4, 0]))
    x = b.op("Relu", b.conv(x, (8, 8), (3,), pads=[2, 0], group=8))
    return b.conv(x, (8, 4), (1,))
