"""What a model's input takes, and how an array of samples is fitted to it: shape, layout, dtype."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from quaint.errors import QuaintError

if TYPE_CHECKING:
    from collections.abc import Sequence

    import onnx_ir as ir
    from numpy.typing import NDArray

IMAGE_CHANNELS = (1, 3)
LAYOUTS = ("nchw", "nhwc")
TO_CHANNELS_FIRST, TO_CHANNELS_LAST = (0, 3, 1, 2), (0, 2, 3, 1)


@dataclass(frozen=True)
class TensorSpec:
    """One input of a model.

    Args:
        name: its name in the model.
        shape: axis 0 is the batch and is not looked at; None stands for a size that the model leaves open.
        dtype: what the model takes.
    """

    name: str
    shape: tuple[int | None, ...]
    dtype: np.dtype[np.generic]

    @property
    def image_axis(self) -> int | None:
        """The channel axis, 1 or 3, of an input of rank 4 with one or three channels; else None."""
        if len(self.shape) != 4:
            return None
        return next((axis for axis in (1, 3) if self.shape[axis] in IMAGE_CHANNELS), None)

    @property
    def layout(self) -> str:
        """``nhwc`` where only the last axis can be the channels of an image, else ONNX's own ``nchw``."""
        return "nhwc" if self.image_axis == 3 else "nchw"

    def permutation(self, layout: str | None) -> tuple[int, ...] | None:
        """Axes that bring samples of ``layout`` into this input's; None where nothing is to be done."""
        if layout in {None, self.layout} or len(self.shape) != 4:
            return None
        return TO_CHANNELS_FIRST if self.layout == "nchw" else TO_CHANNELS_LAST


def input_specs(model: ir.Model) -> list[TensorSpec]:
    """What a model takes: its inputs, but for those that an initializer gives a value; symbolic sizes are open.

    The model is canonical: dtypes and shapes of its inputs are known.
    """
    specs = []
    for value in model.graph.inputs:
        if value.name in model.graph.initializers:
            continue
        assert value.name is not None
        assert value.shape is not None
        assert value.dtype is not None
        shape = tuple(size if isinstance(size, int) else None for size in value.shape)
        specs.append(TensorSpec(value.name, shape, value.dtype.numpy()))
    return specs


def batch_shape(shape: Sequence[int], spec: TensorSpec, layout: str | None, where: str) -> tuple[int, ...]:
    """``shape`` with a batch axis in front: an array with the shape of one sample is a batch of one.

    Raises:
        QuaintError: QC210, QC211 where the shape does not fit; QC201 where it holds nothing.
    """
    shape, wanted = tuple(shape), _sample_shape(spec, layout)
    if shape and len(shape) == len(wanted):
        shape = (1, *shape)
    if _fits(shape[1:], wanted) and len(shape) == len(spec.shape):
        if 0 in shape:
            raise QuaintError("QC201", f"no samples: the shape is {_text(shape)}", where=where)
        return shape
    got, expected = _text(shape), _text(("N", *wanted))
    other = LAYOUTS[1 - LAYOUTS.index(spec.layout)]
    axes = spec.permutation(other)
    if layout is None and axes is not None and len(shape) == 4 and _fits([shape[axis] for axis in axes[1:]], wanted):
        what = f"the samples look like {other.upper()}: got {got}, expected {expected}"
        raise QuaintError("QC211", what, where=where, hint=f"use --layout {other}")
    raise QuaintError("QC210", f"wrong shape: got {got}, expected {expected}", where=where)


def check_dtype(dtype: np.dtype[np.generic], spec: TensorSpec, where: str) -> None:
    """Refuse what no cast preserves: floats for an integer input, objects, text, records, complex numbers.

    Raises:
        QuaintError: QC220 for Python objects, QC213 otherwise.
    """
    if dtype.hasobject:
        raise QuaintError("QC220", "holds Python objects (pickle), which are never loaded", where=where)
    if dtype == spec.dtype:
        return
    allowed = {"f": "fiub", "i": "iub", "u": "iub", "b": "b"}.get(spec.dtype.kind, "")
    if dtype.kind not in allowed:
        what = f"wrong dtype: got {dtype}, and the model takes {spec.dtype}"
        raise QuaintError("QC213", what, where=where, hint="convert the samples as was done in training")


def to_model(values: NDArray[np.generic], spec: TensorSpec, layout: str | None, where: str) -> NDArray[np.generic]:
    """A batch in the layout and dtype that the model takes, C-contiguous; the source is not changed.

    A float beyond the range of the model's dtype becomes infinite here, and is found as such by the caller.

    Raises:
        QuaintError: QC213 for an integer that the model's dtype cannot hold.
    """
    axes = spec.permutation(layout)
    values = values if axes is None else values.transpose(axes)
    if spec.dtype.kind in "iu" and values.dtype != spec.dtype:
        limits, low, high = np.iinfo(spec.dtype.str), int(values.min()), int(values.max())
        if low < limits.min or high > limits.max:
            what = f"values {low} to {high} do not fit the model's {spec.dtype}"
            raise QuaintError("QC213", what, where=where)
    with np.errstate(over="ignore"):
        return np.ascontiguousarray(values, dtype=spec.dtype)


def _sample_shape(spec: TensorSpec, layout: str | None) -> tuple[int | None, ...]:
    """Shape of one sample as the samples are laid out."""
    axes = spec.permutation(layout)
    if axes is None:
        return spec.shape[1:]
    return tuple(spec.shape[axes.index(axis)] for axis in range(1, 4))


def _fits(shape: Sequence[int], wanted: Sequence[int | None]) -> bool:
    return len(shape) == len(wanted) and all(w in {None, s} for s, w in zip(shape, wanted, strict=True))


def _text(shape: Sequence[object]) -> str:
    return "[" + ", ".join("?" if size is None else str(size) for size in shape) + "]"
