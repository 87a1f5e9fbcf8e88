from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from espdl_proof import Net, quantized

from quaint.errors import QuaintError
from quaint_espdl.runtime import lacking


def net(op_type: str, **attributes: Any) -> Any:
    made = Net(x=("N", 4))
    x = made.add("Gemm", made["x"], np.eye(4, dtype=np.float32))
    return made.model(made.add(op_type, x, **attributes))


def swish() -> Any:
    made = Net(x=("N", 4))
    x = made.add("Gemm", made["x"], np.eye(4, dtype=np.float32))
    return made.model(made.add("Mul", x, made.add("Sigmoid", x)))


def transposed() -> Any:
    made = Net(x=("N", 2, 4, 4))
    return made.model(made.add("ConvTranspose", made["x"], np.ones((2, 3, 2, 2), np.float32), strides=[2, 2]))


@pytest.mark.parametrize(
    ("model", "operator"),
    [(swish(), "Swish"), (transposed(), "InsertZeros"), (net("LogSoftmax", axis=1), "LogSoftmax")],
)
def test_what_an_older_runtime_lacks_is_refused(model: Any, operator: str) -> None:
    with pytest.raises(QuaintError) as caught:
        quantized(model.clone(), "esp32p4", options={"runtime": "3.2.0"})
    assert caught.value.code == "QT310"
    assert f"ESP-DL has {operator} for certain from 3.3.9 on, not in 3.2.0: update it" in caught.value.details[0]
    assert quantized(model, "esp32p4", options={"runtime": "3.3.9"})


def test_what_it_has_is_not() -> None:
    assert quantized(net("Sigmoid"), "esp32p4", options={"runtime": "3.2.0"}).option("runtime") == "3.2.0"


def test_what_becomes_no_node_needs_no_version() -> None:
    made = Net(x=("N", 4))
    truth = made.add("Greater", made["x"], np.float32(0.5))
    assert quantized(made.model(made.add("Cast", truth, to=1)), "esp32p4", options={"runtime": "3.2.0"})


def test_versions_are_compared_as_numbers() -> None:
    assert not list(lacking("3.10.0", ["Swish"]))
    assert list(lacking("3.3.8", ["Swish"]))


@pytest.mark.parametrize(("target", "version"), [("esp32c3", "3.2.0"), ("esp32s31", "3.3.5"), ("esp32", "3.1.9")])
def test_a_runtime_that_does_not_run_on_the_chip(target: str, version: str) -> None:
    with pytest.raises(QuaintError, match=rf"QT341.*{target} for certain from 3\.\d\.\d on, not in {version}"):
        quantized(net("Relu"), target, options={"runtime": version})
