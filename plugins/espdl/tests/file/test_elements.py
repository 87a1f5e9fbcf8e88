from __future__ import annotations

import numpy as np
import pytest

from quaint_espdl.file.elements import DataType, EspdlTensor


@pytest.mark.parametrize("dtype", list(DataType))
def test_every_type_stores_arrays(dtype: DataType) -> None:
    array = np.array([[0, 1, 1], [1, 0, 1]], dtype.numpy)
    tensor = EspdlTensor.from_array("t", array, (-1,))
    assert tensor.dtype is dtype
    assert tensor.dims == (2, 3)
    np.testing.assert_array_equal(tensor.array, array)
    np.testing.assert_array_equal(tensor.values, array.ravel())


def test_bytes_are_little_endian_and_in_rows() -> None:
    array = np.array([[1, 2], [3, 4]], ">i2").T
    assert EspdlTensor.from_array("t", array).raw == bytes([1, 0, 3, 0, 2, 0, 4, 0])


def test_size_must_match() -> None:
    with pytest.raises(ValueError, match=r"t: .* of INT16 is 4 bytes, not 3"):
        EspdlTensor("t", (2,), DataType.INT16, bytes(3))


def test_layout_is_read_from_the_doc_string() -> None:
    assert EspdlTensor("t", (), DataType.INT8, b"\0", (), "layout ==> NHWC").layout == "NHWC"
    assert EspdlTensor("t", (), DataType.INT8, b"\0", (), "something else").layout == ""
