"""Products with weights: batches of matrices, and what no runtime has."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
from espdl_files import constant, file, run, variable

from quaint.errors import QuaintError
from quaint_espdl.file.elements import DataType, EspdlTensor
from quaint_espdl.file.layout import WeightKind, pack
from quaint_espdl.reading.chips import by_name
from quaint_espdl.reading.reader import integer_model

RANDOM = np.random.default_rng(0)


@pytest.mark.parametrize(("target", "alignment"), [("esp32p4", 16), ("esp32", None)])
@pytest.mark.parametrize("shape", [(5, 10, 35), (7, 1, 10, 32), (1, 10, 3)])
def test_batches_of_constant_matrices(target: str, alignment: int | None, shape: tuple[int, ...]) -> None:
    weight = RANDOM.integers(-8, 8, shape, np.int8)
    packed = [pack(matrix, WeightKind.MATMUL, alignment) for matrix in weight.reshape(-1, *shape[-2:])]
    raw = b"".join(part.raw for part in packed)
    tensor = EspdlTensor("w", shape, DataType.INT8, raw, (-3,), packed[0].doc)
    x = RANDOM.integers(-8, 8, (5, 6, 10) if math.prod(shape[:-2]) == 5 else (6, 10), np.int8)
    product = x.astype(int) @ weight
    model = file("MatMul", [variable("x", x.shape, -4), tensor], [variable("y", product.shape, -7)], target=target)
    np.testing.assert_array_equal(run(model, x), product.clip(-128, 127))


def refused(op_type: str, inputs: list[Any], output: Any, **attributes: Any) -> str:
    """Why an operator is not read."""
    with pytest.raises(QuaintError, match="QT310") as caught:
        integer_model(file(op_type, inputs, [output], **attributes), by_name("esp32p4"), "net")
    return caught.value.details[0]


def test_what_no_runtime_has_is_refused() -> None:
    maps = {kind: variable("x", (1, 4, 4, 8), 0, kind) for kind in (DataType.INT16, DataType.FLOAT)}
    made = {kind: variable("y", (1, 4, 4, 8), 0, kind) for kind in maps}
    narrow, real = constant("w", np.ones((1, 1, 8, 8), np.int8)), constant("w", np.ones((1, 1, 8, 8), np.float32))
    wide = maps[DataType.INT16]
    assert "no released runtime" in refused("Conv", [wide, narrow], made[DataType.INT16], quant_type="W8A16")
    assert "of floats" in refused("Conv", [maps[DataType.FLOAT], real], made[DataType.FLOAT])
    assert "holds FLOAT" in refused("MaxPool", [maps[DataType.FLOAT]], made[DataType.FLOAT], kernel_shape=(1, 1))


def test_slopes_lie_along_the_last_axis() -> None:
    slopes = constant("s", np.ones((4, 1, 1), np.int8))
    reason = refused("PRelu", [variable("x", (1, 4, 5, 6)), slopes], variable("y", (1, 4, 5, 6)))
    assert "[4, 1, 1] for 6 channels" in reason


def test_operands_that_do_not_broadcast_are_refused() -> None:
    bias = constant("c", np.ones((8, 1, 1), np.int8))  # an exporter forgot to move the channels last
    assert "do not broadcast" in refused("Sub", [variable("x", (1, 4, 5, 8)), bias], variable("y", (1, 4, 5, 8)))


def test_a_constant_output_is_refused() -> None:
    model = file(
        "Neg", [variable("x", (2,))], [variable("y", (2,)), variable("k", (2,))], constant("k", np.int8([1, 2]))
    )
    with pytest.raises(QuaintError, match="output 'k' is a constant"):
        integer_model(model, by_name("esp32p4"), "net")
