from __future__ import annotations

import struct

import numpy as np
import pytest

from quaint_espdl.file.elements import DataType, EspdlGraph, EspdlModel, EspdlNode, EspdlTensor, ValueInfo
from quaint_espdl.file.flatbuffer_write import write_payload


@pytest.mark.parametrize("size", [1, 15, 16, 17, 1000])
def test_raw_data_is_aligned_and_padded_with_zeros(size: int) -> None:
    tensors = tuple(EspdlTensor(str(i), (size,), DataType.INT8, bytes([200 + i]) * size) for i in range(3))
    payload = write_payload(EspdlModel(EspdlGraph("g", (), tensors, (), ())))
    blocks = -(-size // 16)
    assert len(payload) % 16 == 0
    for tensor in tensors:
        start = payload.index(tensor.raw)
        assert start % 16 == 0
        assert struct.unpack_from("<I", payload, start - 4) == (blocks,)
        assert payload[start : start + 16 * blocks] == tensor.raw.ljust(16 * blocks, b"\0")


def test_nothing_is_written_twice() -> None:
    info = ValueInfo("a long name of a variable", (1, 2), DataType.INT8, (-7,))
    node = EspdlNode("n", "Relu", (info.name,), (info.name,))
    payload = write_payload(EspdlModel(EspdlGraph("g", (node,), (), (info,), (info,), (info,))))
    alone = write_payload(EspdlModel(EspdlGraph("g", (node,), (), (), (), (info,))))
    assert payload.count(info.name.encode()) == 1
    assert len(payload) - len(alone) <= 16


@pytest.mark.parametrize("value", [None, np.int64(1), (1, 2.5), (1, "a"), [1]])
def test_what_no_attribute_holds_is_a_bug(value: object) -> None:
    node = EspdlNode("n", "Op", (), (), {"bad": value})
    with pytest.raises(TypeError, match="no attribute holds"):
        write_payload(EspdlModel(EspdlGraph("g", (node,), (), (), ())))
