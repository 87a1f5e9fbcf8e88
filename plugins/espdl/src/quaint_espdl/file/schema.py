"""Numbers of the FlatBuffers schema inside an ``.espdl`` file: the fields of its tables (namespace ``espdl``).

Only fields that carry something are listed; the others (functions, sparse and external data, ...) are never written.
"""

from __future__ import annotations

from enum import IntEnum

#: Raw data is a vector of structs of this many bytes, so that it starts at a multiple of it.
BLOCK = 16


class ModelField(IntEnum):
    """Table Model. ``IR_VERSION`` is an int32 enumeration, ``VERSION`` an int64."""

    IR_VERSION = 0
    OPSET_IMPORT = 1
    PRODUCER_NAME = 2
    PRODUCER_VERSION = 3
    DOMAIN = 4
    VERSION = 5
    DOC = 6
    GRAPH = 7
    METADATA = 8


class EntryField(IntEnum):
    """Table StringStringEntry."""

    KEY = 0
    VALUE = 1


class GraphField(IntEnum):
    """Table Graph."""

    NODES = 0
    NAME = 1
    INITIALIZERS = 2
    DOC = 3
    INPUTS = 4
    OUTPUTS = 5
    VALUE_INFO = 6
    TEST_INPUTS = 8
    TEST_OUTPUTS = 9


class NodeField(IntEnum):
    """Table Node."""

    INPUTS = 0
    OUTPUTS = 1
    NAME = 2
    OP_TYPE = 3
    DOMAIN = 4
    ATTRIBUTES = 5
    DOC = 6


class AttributeField(IntEnum):
    """Table Attribute. ``F`` and ``I`` are structs, stored inline; ``S`` is a vector of bytes."""

    NAME = 0
    TYPE = 3
    F = 4
    I = 5  # noqa: E741 - the schema's own name
    S = 6
    T = 7
    FLOATS = 10
    INTS = 11
    STRINGS = 12


class AttributeType(IntEnum):
    """What an attribute holds (the types that a layer of the runtime reads)."""

    FLOAT = 1
    INT = 2
    STRING = 3
    TENSOR = 4
    FLOATS = 6
    INTS = 7
    STRINGS = 8


class TensorField(IntEnum):
    """Table Tensor."""

    DIMS = 0
    DATA_TYPE = 1
    NAME = 6
    DOC = 7
    RAW_DATA = 8
    EXPONENTS = 13


class ValueInfoField(IntEnum):
    """Table ValueInfo."""

    NAME = 0
    TYPE = 1
    DOC = 2
    EXPONENTS = 3


class TypeField(IntEnum):
    """Table TypeInfo: a union, that is a tag and a table."""

    TAG = 0
    VALUE = 1


class TensorTypeField(IntEnum):
    """Table TensorTypeAndShape."""

    ELEMENT = 0
    SHAPE = 1


class ShapeField(IntEnum):
    """Table TensorShape."""

    DIMS = 0


class DimensionField(IntEnum):
    """Table Dimension."""

    VALUE = 0


class DimensionValueField(IntEnum):
    """Table DimensionValue."""

    TYPE = 0
    VALUE = 1
    PARAMETER = 2


TENSOR_TAG = 1
DIM_UNKNOWN, DIM_VALUE, DIM_PARAMETER = 0, 1, 2
