"""The tables of gates."""

from __future__ import annotations

import numpy as np
import pytest

from quaint_espdl.kernels.recurrent import sigmoid_table, tanh_table


@pytest.mark.parametrize("exponent", [-9, -8, -6])
def test_tables(exponent: int) -> None:
    for table, limit, function in ((sigmoid_table, 6.3, lambda x: 1 / (1 + np.exp(-x))), (tanh_table, 3.5, np.tanh)):
        values = table(exponent)
        last = int(limit * 2.0**-exponent) + 1
        assert values.dtype == np.float32
        assert len(values) == 2 * last + 1
        np.testing.assert_allclose(values, function(np.arange(-last, last + 1) * 2.0**exponent), atol=3e-7)
        assert (np.diff(values) >= 0).all()
