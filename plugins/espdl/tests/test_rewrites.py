"""Rewrites compute the same float function, say so, and lead to files that compute what was simulated."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from espdl_proof import Net, prove, quantized

from quaint import pipeline
from quaint.config import Config
from quaint.errors import QuaintError
from quaint.floatmodel import FloatModel
from quaint.rewrite import rewrite
from quaint_espdl.targets import ESP32P4

if TYPE_CHECKING:
    from collections.abc import Callable

    import onnx_ir as ir

RANDOM = np.random.default_rng(0)
WIDE = {"weight_bits": 16, "activation_bits": 16}


def weights(*shape: int) -> np.ndarray[Any, np.dtype[np.float32]]:
    return RANDOM.normal(size=shape).astype(np.float32)


def extreme(op_type: str, *shape: int) -> ir.Model:
    """Of two branches, or of one and a constant."""
    net = Net(x=("N", 3, 4, 6))
    x = net.add("Conv", net["x"], weights(5, 3, 1, 1))
    return net.model(net.add(op_type, x, weights(*shape) if shape else net.add("Conv", net["x"], weights(5, 3, 1, 1))))


def normalized(op_type: str, *parameters: Any, size: tuple[int, ...] = (5, 6), **attributes: Any) -> ir.Model:
    net = Net(x=("N", 3, *size))
    x = net.add("Conv", net["x"], weights(4, 3, *[1] * len(size)))
    return net.model(net.add(op_type, x, *parameters, epsilon=1e-3, **attributes))


PLAIN = np.ones(4, np.float32), np.zeros(4, np.float32)
MODELS: dict[str, Callable[[], ir.Model]] = {
    "max": lambda: extreme("Max"),
    "min": lambda: extreme("Min"),
    "max of channels": lambda: extreme("Max", 5, 1, 1),
    "min of channels": lambda: extreme("Min", 5, 1, 1),
    "instances": lambda: normalized("InstanceNormalization", weights(4), weights(4)),
    "plain instances": lambda: normalized("InstanceNormalization", *PLAIN),
    "instances of a sequence": lambda: normalized("InstanceNormalization", weights(4), PLAIN[1], size=(7,)),
    "groups": lambda: normalized("GroupNormalization", weights(4), weights(4), num_groups=2),
    "one group": lambda: normalized("GroupNormalization", PLAIN[0], weights(4), num_groups=1),
}


@pytest.mark.parametrize("make", MODELS.values(), ids=MODELS)
def test_the_float_function_is_the_same(make: Callable[[], ir.Model]) -> None:
    model = pipeline.canonical(make(), Config())
    changed = model.clone()
    (line,) = rewrite(changed, ESP32P4, Config())
    (last,) = (node for node in model.graph if node.outputs[0].is_graph_output())
    assert line.startswith(f"rewrote {last.name} ({last.op_type}): ESP-DL registers none")
    assert [node.name for node in changed.graph][-1] == last.name
    feeds = {"x": weights(3, *(int(n) for n in list(model.graph.inputs[0].shape or ())[1:]))}
    ((name, wanted),) = FloatModel(model).run(feeds).items()
    np.testing.assert_allclose(FloatModel(changed).run(feeds)[name], wanted, atol=2e-6)


@pytest.mark.parametrize("wishes", [{}, WIDE], ids=["8", "16"])
@pytest.mark.parametrize("make", MODELS.values(), ids=MODELS)
def test_the_file_computes_what_was_simulated(make: Callable[[], ir.Model], wishes: dict[str, int]) -> None:
    model = make()
    result = quantized(model, "esp32s3", **wishes)
    prove(result)
    feeds = {"x": weights(8, *(int(n) for n in list(model.graph.inputs[0].shape or ())[1:]))}
    assert result.source is not None
    ((name, wanted),) = FloatModel(result.source).run(feeds).items()
    error = result.run(feeds)[name] - wanted
    assert np.mean(error**2) <= (1e-6 if wishes else 0.01) * np.mean(wanted**2)


def test_probabilities_that_leave_are_floats_and_those_that_are_read_integers() -> None:
    net = Net(x=("N", 4))
    x = net.add("Softmax", net.add("Relu", net["x"]), axis=-1)
    result = quantized(net.model(x, net.add("Gemm", x, weights(4, 3))), "esp32p4", layers={"softmax1": {"bits": 16}})
    written = prove(result)
    operators = [node.op_type for node in written.graph.nodes]
    assert sorted(operators) == sorted(
        ["Relu", "Softmax", "Softmax", "QuantizeLinear", "Gemm", "RequantizeLinear", "RequantizeLinear"]
    )
    assert any("comes from a copy" in line for line in result.warnings)
    feeds = {"x": weights(8, 4)}
    assert result.source is not None
    wanted, made = FloatModel(result.source).run(feeds), result.run(feeds)
    for name, values in wanted.items():
        np.testing.assert_allclose(made[name], values, atol=0.05)


def boundless() -> ir.Model:
    net = Net(x=("N", 3, 4, 4))
    return net.model(net.add("Min", net["x"], np.array([[[1]], [[np.inf]], [[1]]], np.float32)))


def computed() -> ir.Model:
    """Parameters that are no constants."""
    net = Net(x=("N", 3, 4, 4), y=(3,))
    return net.model(net.add("InstanceNormalization", net["x"], net["y"], weights(3)))


@pytest.mark.parametrize(
    ("make", "line"), [(boundless, "min0 (Min): "), (computed, "instancenormalization0 (InstanceNormalization): ")]
)
def test_what_cannot_be_rewritten_is_refused_with_its_reason(make: Callable[[], ir.Model], line: str) -> None:
    with pytest.raises(QuaintError, match="QT310") as caught:
        quantized(make(), "esp32p4")
    (found,) = caught.value.details
    assert found.startswith(f"{line}ESP-DL registers no module for it")
