"""What an ``.espdl`` file holds, as frozen dataclasses: the file's own terms, nothing of Quaint's pipeline."""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from enum import IntEnum
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Mapping

    from numpy.typing import NDArray

LAYOUT_PREFIX = "layout ==> "

#: What the files that this package writes say of their maker.
PRODUCER = "quaint"


class DataType(IntEnum):
    """Element types that have a fixed size; the numbers are those of the file (and of ONNX)."""

    FLOAT = 1
    UINT8 = 2
    INT8 = 3
    UINT16 = 4
    INT16 = 5
    INT32 = 6
    INT64 = 7
    BOOL = 9
    FLOAT16 = 10
    DOUBLE = 11
    UINT32 = 12
    UINT64 = 13

    @property
    def numpy(self) -> np.dtype[np.generic]:
        """The little-endian NumPy type of one element."""
        return _NUMPY[self]

    @classmethod
    def of(cls, dtype: np.dtype[np.generic]) -> DataType:
        """The data type that stores elements of a NumPy type.

        Raises:
            KeyError: no data type does.
        """
        return _FROM_NUMPY[dtype.newbyteorder("<")]


_NUMPY: dict[DataType, np.dtype[np.generic]] = {
    kind: np.dtype({"FLOAT": "float32", "DOUBLE": "float64"}.get(kind.name, kind.name.lower())).newbyteorder("<")
    for kind in DataType
}
_FROM_NUMPY = {dtype: kind for kind, dtype in _NUMPY.items()}


@dataclass(frozen=True)
class EspdlTensor:
    """A constant: weights, a table, a shape, or a test vector.

    Args:
        name: unique among the constants of a graph.
        dims: logical shape, channel-last: ``[H, W, C, N]`` for the weights of a convolution.
        dtype: type of the elements.
        raw: the elements in the file's physical order, little endian, without the padding to 16 bytes.
        exponents: ``real = integer * 2**exponent``; one, or one per output channel.
        doc: for a parameter, ``layout ==> NAME`` (see :mod:`quaint_espdl.file.layout`); empty where none is stored.

    Raises:
        ValueError: ``raw`` is not as long as ``dims`` and ``dtype`` say.
    """

    name: str
    dims: tuple[int, ...]
    dtype: DataType
    raw: bytes = field(repr=False)
    exponents: tuple[int, ...] = ()
    doc: str = ""

    def __post_init__(self) -> None:
        expected = math.prod(self.dims) * self.dtype.numpy.itemsize
        if len(self.raw) != expected:
            raise ValueError(f"{self.name}: {self.dims} of {self.dtype.name} is {expected} bytes, not {len(self.raw)}")

    @classmethod
    def from_array(
        cls, name: str, array: NDArray[np.generic], exponents: tuple[int, ...] = (), doc: str = ""
    ) -> EspdlTensor:
        """A tensor whose elements lie row by row (biases, tables, shapes, test vectors)."""
        dtype = DataType.of(array.dtype)
        return cls(name, array.shape, dtype, array.astype(dtype.numpy).tobytes(), exponents, doc)

    @property
    def values(self) -> NDArray[Any]:
        """The elements in physical order, 1-D, read-only."""
        return np.frombuffer(self.raw, self.dtype.numpy)

    @property
    def array(self) -> NDArray[Any]:
        """The elements shaped as ``dims``; meaningful unless the tensor's layout is a packed one."""
        return self.values.reshape(self.dims)

    @property
    def layout(self) -> str:
        """Name of the physical order, as stored in ``doc``; empty where none is stored."""
        return self.doc.removeprefix(LAYOUT_PREFIX) if self.doc.startswith(LAYOUT_PREFIX) else ""


@dataclass(frozen=True)
class ValueInfo:
    """Shape, type and exponents of a variable; ``dims`` are those of the runtime (channel-last)."""

    name: str
    dims: tuple[int | str, ...]
    dtype: DataType
    exponents: tuple[int, ...] = ()
    doc: str = ""


#: What an attribute may hold. Sequences are tuples of one type.
Attribute = int | float | str | EspdlTensor | tuple[int, ...] | tuple[float, ...] | tuple[str, ...]


@dataclass(frozen=True)
class EspdlNode:
    """One operation; an input that is left out has an empty name, an attribute is an :data:`Attribute`."""

    name: str
    op_type: str
    inputs: tuple[str, ...]
    outputs: tuple[str, ...]
    attributes: Mapping[str, Any] = field(default_factory=dict)
    domain: str = ""
    doc: str = ""


@dataclass(frozen=True)
class EspdlGraph:
    """Nodes in the order of execution, with the constants and variables that they name."""

    name: str
    nodes: tuple[EspdlNode, ...]
    initializers: tuple[EspdlTensor, ...]
    inputs: tuple[ValueInfo, ...]
    outputs: tuple[ValueInfo, ...]
    value_info: tuple[ValueInfo, ...] = ()
    test_inputs: tuple[EspdlTensor, ...] = ()
    test_outputs: tuple[EspdlTensor, ...] = ()
    doc: str = ""


@dataclass(frozen=True)
class EspdlModel:
    """A whole file."""

    graph: EspdlGraph
    metadata: Mapping[str, str] = field(default_factory=dict)
    ir_version: int = 10
    producer_name: str = ""
    producer_version: str = ""
    domain: str = ""
    model_version: int = 0
    doc: str = ""
