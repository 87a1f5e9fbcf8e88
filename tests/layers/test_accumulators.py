"""Accumulators of finite width: exact arithmetic against loops in Python integers."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import rational
from quaint.layers import accumulators, kernels
from quaint.layers.kernels_matmul import matmul
from quaint.simulators.exact import Exact
from strategies import Array, integers
from traced_kernels import check, integer

k = Exact()
WINDOW: dict[str, Any] = {"strides": [1, 1], "pads": [0, 0, 0, 0], "dilations": [1, 1], "group": 1}
STAGE = {"low": -(1 << 30), "high": 1 << 30, "shift": 0}


@given(integers((1, 3, 3, 3), 8), integers((4, 3, 2, 2), 8), integers((4,), 14), st.integers(2, 20))
def test_each_channel_saturates_in_its_own_bits(x: Array, weight: Array, bias: Array, bits: int) -> None:
    widths = [bits, 20, bits, 40]
    layer = {"weight": weight, "bias": bias, **WINDOW, **STAGE}
    made = kernels.conv(k, x, **layer, accumulator_bits=widths)
    limit = 1 << (np.array(widths) - 1)
    np.testing.assert_array_equal(made, rational.saturating_conv(x, weight, bias, -limit, limit - 1, **WINDOW))
    if bits == 20:  # 12 products fit
        np.testing.assert_array_equal(made, kernels.conv(k, x, **layer))


@given(integers((2, 5), 8), integers((5, 3), 8), integers((3,), 12), st.integers(8, 20))
def test_what_wraps_around_is_right_modulo_its_width(x: Array, weight: Array, bias: Array, bits: int) -> None:
    wide = kernels.gemm(k, x, weight=weight, bias=bias, **STAGE)
    made = kernels.gemm(k, x, weight=weight, bias=bias, accumulator_bits=bits, accumulator_wraps=True, **STAGE)
    assert ((made - wide) % (1 << bits) == 0).all()
    assert made.min() >= -(1 << (bits - 1))
    assert made.max() < 1 << (bits - 1)


@given(integers((2, 3, 4), 8), integers((2, 4, 3), 8), st.integers(10, 17))
def test_products_of_two_tensors(x: Array, y: Array, bits: int) -> None:
    half = 1 << (bits - 1)
    made = matmul(k, x, y, accumulator_bits=bits, **STAGE)
    for b, i, j in np.ndindex(made.shape):
        assert made[b, i, j] == rational.saturated(0, x[b, i] * y[b, :, j], -half, half - 1)


@pytest.mark.parametrize("group", [1, 2])
@pytest.mark.parametrize("bits", [15, 40])
def test_a_transposed_convolution_is_one_of_the_map_spread_out(group: int, bits: int) -> None:
    random = np.random.default_rng(0)
    x, weight = random.integers(-128, 128, (2, 4, 5, 6)), random.integers(-128, 128, (4, 3, 3, 2))
    bias = random.integers(-999, 999, 3 * group)
    given_ = {"strides": [2, 3], "pads": [1, 0, 2, 1], "dilations": [1, 1], "output_padding": [1, 0], "group": group}

    def layer(k: Any, x: Any, bits: int | None = bits) -> Any:
        return accumulators.conv_transpose(k, x, weight, bias, **given_, accumulator_bits=bits, accumulator_wraps=False)

    check(layer, (integer(8), x))
    assert (layer(k, x) == layer(k, x, None)).all() == (bits == 40)
