"""Physical order of weights in an ``.espdl`` file.

The chips multiply one input by 16 (int8) or 8 (int16) filters at a time, so the weights of that many filters lie side
by side: ``[N/16][H][W][C][16]``. Filters that do not fill a group follow one by one, ``[H][W][C]`` each, and those of
a depthwise convolution together, ``[H][W][n]``. The plain-C targets have no groups: all filters are such a remainder.
"""

from __future__ import annotations

import math
import re
from dataclasses import replace
from enum import Enum
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from quaint.errors import QuaintError
from quaint_espdl.file.elements import LAYOUT_PREFIX, DataType, EspdlTensor

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from quaint_espdl.file.elements import EspdlNode

#: Layouts by groups of ``a`` filters: ``(N/a)HWCa``, 1-D ``(N/a)WCa``; ``N16HWC16`` is how older exporters spell it.
_GROUPED = re.compile(r"(?:\(N/(?P<size>8|16)\)H?WC(?P=size)|N(?P<old>8|16)H?WC(?P=old))(?:_UNALIGNED)?")
PLAIN = ("NHWC", "NWC", "HWCN", "WCN")
MATRIX = 2  # axes


class WeightKind(Enum):
    """How the dimensions of a weight read: as stored (``dims``), and in ONNX."""

    CONV = "conv"  # dims [H, W, C, N] or [W, C, N]; ONNX [N, C, H, W] or [N, C, W]
    DEPTHWISE = "depthwise"  # dims [H, W, N, 1] or [W, N, 1]; ONNX [N, 1, H, W] or [N, 1, W]
    GEMM = "gemm"  # dims [1, 1, K, N]; ONNX [N, K] (transB = 1)
    MATMUL = "matmul"  # dims [..., K, N]; ONNX [..., K, N], each matrix packed by itself

    @classmethod
    def of(cls, node: EspdlNode) -> WeightKind:
        """The kind of the second input of a node.

        Raises:
            QuaintError: ``QM104``, the node has no packed weights.
        """
        if node.op_type == "Conv":
            return cls.CONV if node.attributes.get("group", 1) == 1 else cls.DEPTHWISE
        if node.op_type in ("Gemm", "MatMul"):
            return cls(node.op_type.lower())
        raise QuaintError("QM104", f"{node.op_type} has no weights of a known layout", where=node.name)


class PackedWeights(NamedTuple):
    """The fields of a tensor that holds weights."""

    raw: bytes
    dims: tuple[int, ...]
    doc: str


def pack(weights: NDArray[np.integer], kind: WeightKind, alignment: int | None) -> PackedWeights:
    """Order weights as a chip reads them.

    Args:
        weights: integers in the order of ONNX, see :class:`WeightKind`.
        kind: what the weights are for.
        alignment: filters side by side (16 for int8, 8 for int16); None for the plain-C targets.

    Raises:
        ValueError: the weights do not have the shape that their kind says.
    """
    filters = _to_filters(weights, kind)
    count, positions, channels = filters.shape
    group = alignment or count + 1  # no group is ever full
    grouped = count - count % group
    groups = filters[:grouped].reshape(grouped // group, group, positions, channels).transpose(0, 2, 3, 1)
    remainder = filters[grouped:].T if kind is WeightKind.DEPTHWISE else filters[grouped:]
    raw = groups.tobytes() + remainder.tobytes()
    return PackedWeights(raw, _dims(weights.shape, kind), _doc(weights, kind, alignment))


def unpack(tensor: EspdlTensor, kind: WeightKind) -> NDArray[np.integer]:
    """Weights of a file in the order of ONNX; the inverse of :func:`pack`.

    Raises:
        QuaintError: ``QM104``, unknown layout, or dims that are not those of the kind.
    """
    if kind is WeightKind.MATMUL and len(tensor.dims) > MATRIX:
        return _unpack_matrices(tensor)
    count, positions, channels = _sizes(tensor, kind)
    group = alignment_of(tensor) or count + 1  # no group is ever full
    grouped = count - count % group
    split = grouped * positions * channels
    filters = np.empty((count, positions, channels), tensor.dtype.numpy)
    groups = tensor.values[:split].reshape(grouped // group, positions, channels, group)
    filters[:grouped] = groups.transpose(0, 3, 1, 2).reshape(grouped, positions, channels)
    remainder = tensor.values[split:]
    if kind is WeightKind.DEPTHWISE:
        remainder = remainder.reshape(positions, count - grouped).T
    filters[grouped:] = remainder.reshape(count - grouped, positions, channels)
    return _from_filters(filters, tensor.dims, kind)


def _unpack_matrices(tensor: EspdlTensor) -> NDArray[np.integer]:
    """A stack of matrices, which lie one after another."""
    size = math.prod(tensor.dims[-2:])
    parts = [tensor.values[at : at + size].tobytes() for at in range(0, math.prod(tensor.dims), size)]
    matrices = [unpack(replace(tensor, raw=part, dims=tensor.dims[-2:]), WeightKind.MATMUL) for part in parts]
    return np.stack(matrices).reshape(tensor.dims)


def alignment_of(tensor: EspdlTensor) -> int | None:
    """Filters that lie side by side according to a tensor's layout, None if it is plain.

    Raises:
        QuaintError: ``QM104``, unknown layout.
    """
    grouped = _GROUPED.fullmatch(tensor.layout)
    if grouped:
        return int(grouped["size"] or grouped["old"])
    if tensor.layout not in PLAIN:
        raise QuaintError("QM104", f"weights of unknown layout {tensor.layout!r}", where=tensor.name)
    return None


def weights_tensor(
    name: str,
    weights: NDArray[np.integer],
    kind: WeightKind,
    alignment: int | None,
    exponents: tuple[int, ...],
) -> EspdlTensor:
    """The constant that holds :func:`pack`-ed weights; int8 or int16, one exponent or one per filter."""
    packed = pack(weights, kind, alignment)
    return EspdlTensor(name, packed.dims, DataType.of(weights.dtype), packed.raw, exponents, packed.doc)


def _to_filters(weights: NDArray[np.integer], kind: WeightKind) -> NDArray[np.integer]:
    """Weights as [filter, position, input channel]."""
    rank = weights.ndim
    if rank not in ((2,) if kind in (WeightKind.GEMM, WeightKind.MATMUL) else (3, 4)):
        raise ValueError(f"{kind.value} weights of {rank} dimensions")
    if kind is WeightKind.DEPTHWISE and weights.shape[1] != 1:
        raise ValueError(f"depthwise weights of shape {weights.shape}")
    if kind is WeightKind.MATMUL:
        return weights.T[:, None, :]
    channels = weights.shape[1]
    return np.moveaxis(weights, 1, -1).reshape(len(weights), math.prod(weights.shape[2:]), channels)


def _from_filters(filters: NDArray[np.integer], dims: tuple[int, ...], kind: WeightKind) -> NDArray[np.integer]:
    count, _, channels = filters.shape
    if kind is WeightKind.MATMUL:
        return np.ascontiguousarray(filters[:, 0].T)
    if kind is WeightKind.GEMM:
        return filters[:, 0]
    return np.ascontiguousarray(np.moveaxis(filters.reshape(count, *dims[:-2], channels), -1, 1))


def _dims(shape: tuple[int, ...], kind: WeightKind) -> tuple[int, ...]:
    match kind:
        case WeightKind.CONV:
            return (*shape[2:], shape[1], shape[0])
        case WeightKind.DEPTHWISE:
            return (*shape[2:], shape[0], 1)
        case WeightKind.GEMM:
            return (1, 1, shape[1], shape[0])
        case WeightKind.MATMUL:
            return shape


def _sizes(tensor: EspdlTensor, kind: WeightKind) -> tuple[int, int, int]:
    """Filters, positions and input channels of a stored tensor."""
    match kind, tensor.dims:
        case WeightKind.MATMUL, (inner, outer):
            return outer, 1, inner
        case WeightKind.GEMM, (1, 1, inner, outer):
            return outer, 1, inner
        case WeightKind.CONV, (*spatial, inner, outer) if len(spatial) in (1, 2):
            return outer, math.prod(spatial), inner
        case WeightKind.DEPTHWISE, (*spatial, outer, 1) if len(spatial) in (1, 2):
            return outer, math.prod(spatial), 1
    raise QuaintError("QM104", f"{kind.value} weights have dims {list(tensor.dims)}", where=tensor.name)


def _doc(weights: NDArray[np.integer], kind: WeightKind, alignment: int | None) -> str:
    one_dimensional = weights.ndim == 3
    count = weights.shape[1] if kind is WeightKind.MATMUL else weights.shape[0]
    if alignment is None:
        name = "HWCN" if kind is WeightKind.DEPTHWISE else "NHWC"
        return LAYOUT_PREFIX + (name.replace("H", "") if one_dimensional else name)
    order = "WC" if one_dimensional else "HWC"
    return f"{LAYOUT_PREFIX}(N/{alignment}){order}{alignment}" + ("_UNALIGNED" if count % alignment else "")
