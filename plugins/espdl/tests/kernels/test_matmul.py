"""Right operands in the order of packed weights."""

from __future__ import annotations

import numpy as np
import pytest

from quaint.simulators.exact import Exact
from quaint_espdl.file.layout import WeightKind, pack
from quaint_espdl.kernels.matmul import packed_matmul

STAGE = {"low": -(2**31), "high": 2**31, "shift": 0}


@pytest.mark.parametrize("group", [0, 8, 16])
@pytest.mark.parametrize("columns", [1, 5, 8, 16, 20, 48])
def test_the_order_is_that_of_constant_weights(group: int, columns: int) -> None:
    random = np.random.default_rng(0)
    x, y = (random.integers(-128, 128, shape) for shape in ((2, 3, 7), (2, 7, columns)))
    packed = [pack(matrix.astype(np.int8), WeightKind.MATMUL, group or None).raw for matrix in y]
    memory = np.frombuffer(b"".join(packed), np.int8).reshape(y.shape).astype(np.int64)
    made = packed_matmul(Exact(), x, memory, group=group, shape=[2, 3, columns], **STAGE)
    np.testing.assert_array_equal(made, x @ y)
