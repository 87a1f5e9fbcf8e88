"""Transformers: float models with their layers written out, quantized, and compared with the float model."""

from __future__ import annotations

import numpy as np
import pytest
from akida_nets import noise, ops, quantize, reasons

from quaint import pipeline
from quaint.config import Config
from quaint.errors import QuaintError
from quaint.testing.builder import Builder

BEYOND = {"beyond_hardware": True, "input_dtype": "int8"}
TOKENS, CHANNELS = 9, 16
REASON = "the akida runtime has no such layer"


def shiftmax(net: Builder, x: str, base: float = 2.0) -> str:
    last, two = net.constant([-1], np.int64), net.constant(base)
    whole = net.op("Floor", x)
    logits = net.op("Sub", whole, net.op("ReduceMax", whole, last, keepdims=1))
    total = net.op("ReduceSum", net.op("Pow", two, logits), last, keepdims=1)
    log2 = net.op("Round", net.op("Div", net.op("Log", total), net.constant(np.log(2.0))))
    return net.op("Pow", two, net.op("Sub", logits, log2))


def split(net: Builder, x: str, heads: int, perm: list[int], channels: int = CHANNELS) -> str:
    shape = net.constant([0, TOKENS, heads, channels // heads], np.int64)
    return net.op("Transpose", net.op("Reshape", x, shape), perm=perm)


def attention(net: Builder, qkv: list[str], heads: int, scale: float, *, soft: bool = False) -> str:
    query, key, value = (
        split(net, x, heads, perm) for x, perm in zip(qkv, ([0, 2, 1, 3], [0, 2, 3, 1], [0, 2, 1, 3]), strict=True)
    )
    scores = net.op("Mul", net.op("MatMul", query, key), net.constant(scale))
    mask = net.op("Softmax", scores, axis=-1) if soft else shiftmax(net, scores)
    mixed = net.op("Transpose", net.op("MatMul", mask, value), perm=[0, 2, 1, 3])
    return net.op("Reshape", mixed, net.constant([0, TOKENS, CHANNELS], np.int64))


def mad(net: Builder, x: str) -> str:
    deviation = net.op("ReduceMean", net.op("Abs", x), net.constant([-1], np.int64), keepdims=1)
    gamma, beta = net.weights(CHANNELS, fan_in=1), net.weights(CHANNELS, fan_in=16)
    return net.op("Add", net.op("Mul", net.op("Div", x, deviation), gamma), beta)


def linear(net: Builder, x: str, units: tuple[int, int] = (CHANNELS, CHANNELS)) -> str:
    return net.op("Add", net.op("MatMul", x, net.weights(*units, fan_in=units[0])), net.weights(units[1], fan_in=16))


def class_token(net: Builder, x: str, rows: int = 1) -> str:
    learned = np.zeros((1, TOKENS, CHANNELS))
    learned[:, :rows] = np.random.default_rng(0).normal(size=(rows, CHANNELS)) / 2
    return net.op("Add", net.op("Pad", x, net.constant([0, 1, 0, 0, 0, 0], np.int64)), net.constant(learned))


def encoder(heads: int = 4) -> tuple[Builder, str]:
    """One block of a vision transformer on 8 tokens."""
    net = Builder("encoder")
    x = class_token(net, net.input(TOKENS - 1, CHANNELS))
    x = net.op("Add", x, net.weights(1, TOKENS, CHANNELS, fan_in=9))
    y = mad(net, x)
    mixed = attention(net, [linear(net, y) for _ in range(3)], heads, (CHANNELS / heads) ** -0.5)
    x = net.op("Add", x, linear(net, mixed))
    y = net.op("Relu", linear(net, mad(net, x), (CHANNELS, 32)))
    x = mad(net, net.op("Add", x, linear(net, y, (32, CHANNELS))))
    return net, net.gemm(net.op("Gather", x, net.constant(0, np.int64), axis=1), CHANNELS, 10)


def test_an_encoder_is_integer_from_end_to_end() -> None:
    made, samples, truth = quantize(*reversed_arguments(encoder()), **BEYOND)
    head = ["input_quantizer", "class_token", "add_position_embs", "layer_mad_normalization", *["token_dense"] * 3]
    block = ["attention", "token_dense", "token_add", "layer_mad_normalization", *["token_dense"] * 2, "token_add"]
    assert ops(made) == [*head, *block, "layer_mad_normalization", "extract_token", "dense1d", "dequantizer"]
    assert noise(made, samples, truth) < 0.02
    assert any(line.startswith("not deployable") and REASON in line for line in made.warnings)


def reversed_arguments(made: tuple[Builder, str]) -> tuple[Builder, str, str]:
    """A net and its output as ``quantize`` takes them."""
    return made[0], "akida2", made[1]


def test_the_runtime_has_none_of_them() -> None:
    net, output = encoder()
    with pytest.raises(QuaintError, match="QT310") as caught:
        quantize(net, "akida2", output, input_dtype="int8")
    assert sum(REASON in line for line in caught.value.details) == 15


def test_a_shift_that_is_not_the_scale_is_reported() -> None:
    net = Builder("shift")
    tokens = net.input(TOKENS, CHANNELS)
    output = attention(net, [linear(net, tokens) for _ in range(3)], 2, 8**-0.5)
    made, samples, truth = quantize(net, "akida2", output, **BEYOND)
    assert ops(made)[-2] == "attention"
    assert noise(made, samples, truth) < 0.5
    assert any("shifted by 2 bits" in line for line in made.warnings)


@pytest.mark.parametrize("shape", [(6, 8), (2, 4, 8)])
def test_shiftmax_alone(shape: tuple[int, ...]) -> None:
    net = Builder("shiftmax")
    output = shiftmax(net, net.op("Add", net.input(*shape), net.weights(1, *shape, fan_in=1)))
    if len(shape) == 3:
        assert "no such layer" in reasons(net, "akida2", output, input_dtype="int8")
        return
    made, samples, truth = quantize(net, "akida2", output, **BEYOND)
    assert ops(made)[1:3] == ["add_position_embs", "shiftmax"]
    assert noise(made, samples, truth) < 0.1


def test_shiftmax_to_another_base_is_refused() -> None:
    net = Builder("base")
    assert "not to base 2" in reasons(net, "akida2", shiftmax(net, net.input(6, 8), base=3.0), **BEYOND)


def test_softmax_has_no_integer_form() -> None:
    net = Builder("soft")
    x = net.input(TOKENS, CHANNELS)
    output = attention(net, [linear(net, x) for _ in range(3)], 4, 0.5, soft=True)
    made, _, _ = quantize(net, "akida2", output, **BEYOND)
    assert "attention" not in ops(made)
    assert ops(made)[-1] == "host"


def test_a_token_that_is_added_to_others_is_refused() -> None:
    net = Builder("rows")
    found = reasons(net, "akida2", class_token(net, net.input(TOKENS - 1, CHANNELS), rows=2), **BEYOND)
    assert "other tokens" in found


def patches(net: Builder) -> str:
    """A map of 4 by 4 as tokens."""
    x = net.op("Relu", net.conv(net.input(3, 8, 8), (3, CHANNELS), pads=[1, 1, 1, 1], strides=[2, 2]))
    return net.op("Transpose", net.op("Reshape", x, net.constant([0, CHANNELS, 16], np.int64)), perm=[0, 2, 1])


def test_tokens_of_a_map() -> None:
    """Patches, dense layers with activations, one token that keeps its axis."""
    net = Builder("patches")
    x = net.op("HardSwish", linear(net, net.op("Relu", linear(net, patches(net)))))
    output = net.op("Gather", linear(net, x), net.constant([3], np.int64), axis=1)
    made, samples, truth = quantize(net, "akida2", output, beyond_hardware=True)
    moves = ["conv2d", "reshape", "transpose"]
    assert ops(made)[1:-1] == [*moves, *["token_dense"] * 3, "extract_token"]
    assert made.integer.shapes[output] == (None, 1, CHANNELS)
    assert noise(made, samples, truth) < 0.005


def test_a_mask_that_is_an_output_is_refused() -> None:
    net = Builder("mask")
    x = net.input(TOKENS, CHANNELS)
    keys = split(net, linear(net, x), 4, [0, 2, 3, 1])
    queries, values = (split(net, linear(net, x), 4, [0, 2, 1, 3]) for _ in range(2))
    mask = shiftmax(net, net.op("Mul", net.op("MatMul", queries, keys), net.constant(0.5)))
    model = net.build(linear(net, net.op("MatMul", mask, values), (CHANNELS // 4, 3)), mask)
    made = pipeline.quantize(model, "akida2", net.samples(32), Config(**BEYOND))
    assert "attention keeps its mask to itself: read the mask nowhere else" in "\n".join(map(str, made.refusals))
