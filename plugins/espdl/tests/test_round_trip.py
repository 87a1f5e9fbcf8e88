"""What is written keeps to the format's rules, and reads back to the same tensors: parameters and integers."""

from __future__ import annotations

import warnings
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from espdl_proof import DATA, TARGETS
from espdl_rules import broken_rules

from quaint import pipeline
from quaint.config import Config
from quaint.errors import QuaintError
from quaint.testing import checks, zoo
from quaint.testing.builder import Builder
from quaint.vectors import SIMULATORS, equal
from quaint_espdl.reading.reader import load
from quaint_espdl.writing.exporter import export

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from numpy.typing import NDArray

    from quaint.quantized import Quantized

CHIPS = tuple(TARGETS)
WIDTHS: dict[str, dict[str, Any]] = {
    "8": {},
    "16": {"activation_bits": 16, "weight_bits": 16, "input_weight_bits": 16},
    "mixed": {},
}
CORPUS = (
    "two_input_two_output",
    "unet_convtranspose",
    "ghost_se_misc_acts",
    "light_shufflenet",
    "yolo_like_pan_silu",
    "mlp_mixer_matmul",
    "conformer_conv_block",
)
needs_data = pytest.mark.skipif(not (DATA / "corpus").exists(), reason="no models: set QUAINT_TEST_DATA")


def quantized(source: Any, chip: str, width: str, samples: dict[str, NDArray[Any]]) -> Quantized:
    """A model at a width; ``mixed`` gives every other node 16 bits."""
    wishes = dict(WIDTHS[width])
    if width == "mixed":
        nodes = [node.name or "" for node in pipeline.canonical(pipeline.load_model(source), Config()).graph]
        wishes["layers"] = {name: {"bits": 16} for name in nodes[::2]}
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "QC202")  # few samples are enough here
        return pipeline.quantize(source, chip, samples, Config(**wishes))


def round_trip(made: Quantized, folder: Path) -> None:
    """The file, read again, has every layer's tensors with the same parameters and integers, in every simulator."""
    data = export(made, "net")[f"net.{made.target.name}.espdl"]
    assert not broken_rules(data)
    path = folder / "net.espdl"
    path.write_bytes(data)
    drawn = checks.random_integers(made.integer)
    feeds = {made.twins.get(name, name): values[-1:] for name, values in drawn.items()}
    assert "integers of" in equal(made, load(path), feeds, str(path))
    inner = [name for layer in made.integer.integer_layers for name in layer.outputs]
    truth, other = (made.run(feeds, integers=True, simulator=name, outputs=inner) for name in SIMULATORS)
    for name in inner:
        checks.check_same(name, other[name], truth[name])


#: What the runtime cannot do.
REFUSED = frozenset({"pad_wrap", "stream", "stream_depthwise"})  # what frames look back on is a third axis


@pytest.mark.parametrize(("place", "name"), [*enumerate(zoo.names())])
def test_zoo(place: int, name: str, tmp_path: Path) -> None:
    """Every model once: chips and widths take turns."""
    given = zoo.load(name)
    chip, width = CHIPS[place % 3], [*WIDTHS][place // 3 % 3]
    if name in REFUSED:
        with pytest.raises(QuaintError, match="QT310"):
            quantized(given.model, chip, width, dict(given.samples))
        return
    round_trip(quantized(given.model, chip, width, dict(given.samples)), tmp_path)


def residual_at_the_input(net: Builder) -> list[str]:
    """The input enters the sum on another exponent than the convolution."""
    x = net.input(3, 8, 8)
    return [net.op("Add", net.op("Mul", net.conv(x, (3, 3), pads=[1, 1, 1, 1]), net.constant(20.0)), x)]


def input_on_three_exponents(net: Builder) -> list[str]:
    x = net.input(4, 6, 6)
    large = net.op("Mul", x, net.constant(30.0))
    return [net.op("Sub", x, large), net.op("Concat", x, large, x, axis=1), net.op("Sigmoid", x)]


def tensors_with_themselves(net: Builder) -> list[str]:
    x = net.conv(net.input(3, 5, 5), (3, 4))
    twice = [net.op(operator, x, x) for operator in ("Add", "Mul", "Sub")]
    return [*twice, net.op("Concat", x, x, axis=1)]


def nothing_at_all(net: Builder) -> list[str]:
    return [net.op("Identity", net.input(3, 5, 5))]


def leaves_twice(net: Builder) -> list[str]:
    x = net.conv(net.input(3, 5, 5), (3, 4))
    return [x, net.op("Identity", x)]


def only_movement(net: Builder) -> list[str]:
    x = net.op("Reshape", net.input(4, 6, 6), net.constant([0, 6, 24], np.int64))
    return [net.op("Transpose", x, perm=[0, 2, 1])]


def dead_channels(net: Builder) -> list[str]:
    weight = np.random.default_rng(0).normal(size=(20, 3, 3, 3))
    weight[3], weight[7], weight[18] = 0, weight[7] * 1e-9, weight[18] * 1e-30
    return [net.op("Relu", net.op("Conv", net.input(3, 8, 8), net.constant(weight), net.weights(20, fan_in=1)))]


def bias_that_does_not_fit(net: Builder) -> list[str]:
    weight, bias = net.constant(1e-6 * np.ones((4, 8))), net.constant([1e6, -2e6, 5, 100])
    return [net.op("Gemm", net.input(8), weight, bias, transB=1)]


def clip_of_a_shared_tensor(net: Builder) -> list[str]:
    x = net.op("Mul", net.conv(net.input(3, 6, 6), (3, 4)), net.constant(200.0))
    return [net.op("Clip", x, net.constant(0.0), net.constant(1.0)), net.op("GlobalMaxPool", x)]


def attention(net: Builder) -> list[str]:
    x = net.input(10, 17)
    queries, keys, values = (net.op("MatMul", x, net.weights(17, 17, fan_in=17)) for _ in range(3))
    product = net.op("MatMul", queries, net.op("Transpose", keys, perm=[0, 2, 1]))
    return [net.op("MatMul", net.op("Softmax", product, axis=-1), values)]


TRAPS = (
    residual_at_the_input,
    input_on_three_exponents,
    tensors_with_themselves,
    nothing_at_all,
    leaves_twice,
    only_movement,
    dead_channels,
    bias_that_does_not_fit,
    clip_of_a_shared_tensor,
    attention,
)


@pytest.mark.parametrize("width", WIDTHS)
@pytest.mark.parametrize("chip", CHIPS)
@pytest.mark.parametrize("trap", TRAPS)
def test_traps(trap: Callable[[Builder], list[str]], chip: str, width: str, tmp_path: Path) -> None:
    """None is refused, none is written wrongly, and the numbers are those of the float model."""
    net = Builder(trap.__name__)
    model = net.build(*trap(net))
    samples = net.samples(32)
    made = quantized(model, chip, width, samples)
    round_trip(made, tmp_path)
    wanted = checks.run_onnx(model.SerializeToString(), samples)
    for name, values in made.run(samples).items():
        if wanted[name].any():
            assert checks.noise(values, wanted[name]) <= (1e-4 if width == "16" else 0.02), name


@needs_data
@pytest.mark.parametrize(("place", "name"), [*enumerate(CORPUS)])
def test_corpus(place: int, name: str, tmp_path: Path) -> None:
    """Whole models, chips and widths in turn."""
    path = DATA / "corpus" / f"{name}.onnx"
    model = pipeline.canonical(pipeline.load_model(path), Config())
    random = np.random.default_rng(0)
    samples = {
        value.name or "": random.normal(size=[4, *(int(n) for n in list(value.shape or ())[1:])]).astype(np.float32)
        for value in model.graph.inputs
    }
    round_trip(quantized(path, CHIPS[place % 3], [*WIDTHS][place // 2 % 3], samples), tmp_path)


@pytest.mark.parametrize("counted", [0, 1])
@pytest.mark.parametrize("chip", CHIPS)
def test_averages_of_incomplete_windows(chip: str, counted: int, tmp_path: Path) -> None:
    """What ``ceil_mode`` adds behind the border is not averaged, whether or not the border is."""
    net = Builder("incomplete")
    window = {"kernel_shape": [3, 3], "strides": [2, 1], "pads": [0, 2, 0, 2]}
    x = net.op("AveragePool", net.input(4, 6, 5), ceil_mode=1, count_include_pad=counted, **window)
    model, samples = net.build(net.op("Relu", x)), net.samples(32)
    made = quantized(model, chip, "16", samples)
    round_trip(made, tmp_path)
    ((name, values),) = made.run(samples).items()
    assert checks.noise(values, checks.run_onnx(model.SerializeToString(), samples)[name]) < 1e-4


def test_windows_larger_than_the_map() -> None:
    net = Builder("larger")
    model = net.build(net.op("MaxPool", net.input(3, 4, 2), kernel_shape=[3, 3], strides=[3, 3]))
    with pytest.raises(QuaintError, match="QT310") as caught:
        quantized(model, "esp32p4", "8", net.samples(32))
    assert "window is larger than the map" in caught.value.details[0]
