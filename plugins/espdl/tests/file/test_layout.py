from __future__ import annotations

import os
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from quaint.errors import QuaintError
from quaint_espdl.file.container import read
from quaint_espdl.file.elements import EspdlModel, EspdlNode
from quaint_espdl.file.layout import WeightKind, alignment_of, pack, unpack, weights_tensor

if TYPE_CHECKING:
    from numpy.typing import NDArray

DATA = Path(os.environ.get("QUAINT_TEST_DATA", Path(__file__).parents[4] / "shared/data"))
FILES = sorted(DATA.glob("espdl_golden/*/*.espdl")) + sorted(DATA.glob("espdl_published/*.espdl"))
needs_files = pytest.mark.skipif(not FILES, reason="no .espdl files: set QUAINT_TEST_DATA")

CONV, DEPTHWISE, GEMM, MATMUL = WeightKind

sizes = st.integers(1, 5)
filters = st.integers(1, 40)


@st.composite
def weights(draw: st.DrawFn) -> tuple[NDArray[np.integer], WeightKind]:
    kind = draw(st.sampled_from(WeightKind))
    spatial = draw(st.lists(sizes, min_size=1, max_size=2))
    shape = {
        CONV: (draw(filters), draw(sizes), *spatial),
        DEPTHWISE: (draw(filters), 1, *spatial),
        GEMM: (draw(filters), draw(sizes)),
        MATMUL: (draw(sizes), draw(filters)),
    }[kind]
    dtype = draw(st.sampled_from([np.int8, np.int16]))
    return np.random.default_rng(draw(st.integers(0, 9))).integers(-128, 128, shape).astype(dtype), kind


@given(weights(), st.sampled_from([None, 8, 16]))
@settings(max_examples=300, deadline=None)
def test_unpack_inverts_pack(case: tuple[NDArray[np.integer], WeightKind], alignment: int | None) -> None:
    array, kind = case
    tensor = weights_tensor("w", array, kind, alignment, (-7,))
    restored = unpack(tensor, kind)
    assert restored.dtype == array.dtype
    np.testing.assert_array_equal(restored, array)
    assert alignment_of(tensor) == alignment


def position_of(shape: tuple[int, ...], *index: int) -> int:
    """Where a convolution's weight at an index of the ONNX order lies: it alone is not zero."""
    array = np.zeros(shape, np.int8)
    array[index] = 1
    return pack(array, CONV, 16).raw.index(1)


def test_full_groups_put_filters_side_by_side() -> None:
    for n, c, h, w in [(0, 0, 0, 0), (17, 2, 1, 0), (31, 1, 0, 1)]:
        assert position_of((32, 3, 2, 2), n, c, h, w) == (((n // 16 * 2 + h) * 2 + w) * 3 + c) * 16 + n % 16


def test_remaining_filters_follow_one_by_one() -> None:
    assert position_of((20, 3, 2, 2), 18, 2, 1, 0) == (16 + 2) * 12 + (1 * 2 + 0) * 3 + 2


def test_remaining_depthwise_filters_stay_side_by_side() -> None:
    array = np.arange(20 * 4, dtype=np.int8).reshape(20, 1, 2, 2)
    packed = pack(array, DEPTHWISE, 16)
    assert packed.dims == (2, 2, 20, 1)
    tail = np.frombuffer(packed.raw, np.int8)[64:].reshape(4, 4)
    np.testing.assert_array_equal(tail, array[16:].reshape(4, 4).T)


@pytest.mark.parametrize(
    ("shape", "kind", "alignment", "dims", "layout"),
    [
        ((32, 3, 2, 2), CONV, 16, (2, 2, 3, 32), "(N/16)HWC16"),
        ((33, 22, 3), CONV, 16, (3, 22, 33), "(N/16)WC16_UNALIGNED"),
        ((16, 1, 3), DEPTHWISE, 8, (3, 16, 1), "(N/8)WC8"),
        ((10, 40), GEMM, 16, (1, 1, 40, 10), "(N/16)HWC16_UNALIGNED"),
        ((40, 16), MATMUL, 16, (40, 16), "(N/16)HWC16"),
        ((4, 3, 2, 2), CONV, None, (2, 2, 3, 4), "NHWC"),
        ((4, 3, 2), CONV, None, (2, 3, 4), "NWC"),
        ((4, 1, 2, 2), DEPTHWISE, None, (2, 2, 4, 1), "HWCN"),
        ((4, 1, 2), DEPTHWISE, None, (2, 4, 1), "WCN"),
        ((4, 3), GEMM, None, (1, 1, 3, 4), "NHWC"),
    ],
)
def test_dims_and_name_of_layout(
    shape: tuple[int, ...], kind: WeightKind, alignment: int | None, dims: tuple[int, ...], layout: str
) -> None:
    tensor = weights_tensor("w", np.zeros(shape, np.int8), kind, alignment, (-7,))
    assert (tensor.dims, tensor.layout) == (dims, layout)


def test_plain_orders() -> None:
    array = np.arange(24, dtype=np.int8).reshape(4, 3, 2, 1)
    assert pack(array, CONV, None).raw == array.transpose(0, 2, 3, 1).tobytes()
    depthwise = array.reshape(12, 1, 2, 1)
    assert pack(depthwise, DEPTHWISE, None).raw == depthwise[:, 0].transpose(1, 2, 0).tobytes()


@pytest.mark.parametrize(("shape", "kind"), [((4, 3), CONV), ((4, 3, 2), GEMM), ((4, 2, 3, 3), DEPTHWISE)])
def test_wrong_shapes_are_bugs(shape: tuple[int, ...], kind: WeightKind) -> None:
    with pytest.raises(ValueError, match=kind.value):
        pack(np.zeros(shape, np.int8), kind, 16)


def test_older_spelling_of_the_layout_is_known() -> None:
    array = np.arange(20 * 6, dtype=np.int8).reshape(20, 6, 1, 1)
    tensor = weights_tensor("w", array, CONV, 16, (-7,))
    old = replace(tensor, doc="layout ==> N16HWC16_UNALIGNED")
    np.testing.assert_array_equal(unpack(old, CONV), array)


def test_unknown_layout_and_wrong_dims_are_refused() -> None:
    tensor = weights_tensor("w", np.zeros((16, 3, 2, 2), np.int8), CONV, 16, (-7,))
    with pytest.raises(QuaintError, match=r"QM104.*unknown layout '\(N/4\)HWC4'"):
        unpack(replace(tensor, doc="layout ==> (N/4)HWC4"), CONV)
    with pytest.raises(QuaintError, match=r"QM104.*gemm weights have dims \[2, 2, 3, 16\]"):
        unpack(tensor, GEMM)


def test_weights_without_elements_are_harmless() -> None:
    tensor = weights_tensor("w", np.zeros((16, 0, 2, 2), np.int8), CONV, 16, (-7,))
    assert unpack(tensor, CONV).shape == (16, 0, 2, 2)


def test_kind_of_a_node() -> None:
    node = EspdlNode("n", "Conv", ("x", "w"), ("y",), {"group": 1})
    assert WeightKind.of(node) is CONV
    assert WeightKind.of(replace(node, attributes={"group": 8})) is DEPTHWISE
    assert WeightKind.of(replace(node, op_type="MatMul")) is MATMUL
    with pytest.raises(QuaintError, match="QM104"):
        WeightKind.of(replace(node, op_type="GRU"))


@needs_files
def test_weights_of_real_files_come_back_byte_for_byte() -> None:
    checked = 0
    for path in FILES:
        graph = read(path.read_bytes(), where=path.name).graph
        tensors = {tensor.name: tensor for tensor in graph.initializers}
        for node in graph.nodes:
            if node.op_type in ("Conv", "Gemm"):
                tensor, kind = tensors[node.inputs[1]], WeightKind.of(node)
                packed = pack(unpack(tensor, kind), kind, alignment_of(tensor))
                assert (packed.raw, packed.dims) == (tensor.raw, tensor.dims), path
                assert packed.doc.replace("(N/16)", "N16") == tensor.doc.replace("(N/16)", "N16"), path
                checked += 1
    assert checked > 600


def convolve(x: NDArray[np.int64], w: NDArray[np.int64], node: EspdlNode) -> NDArray[np.int64]:
    """2-D convolution of [B, H, W, C] by [N, C, h, w], exact; 1-D and fully connected ones as special cases."""
    strides, pads, dilations = ([1, 1], [0] * 4, [1, 1])
    if node.op_type == "Conv":
        strides, pads, dilations = (list(node.attributes[key]) for key in ("strides", "pads", "dilations"))
    if w.ndim == 2:
        w, x = w[:, :, None, None], x.reshape(len(x), 1, 1, -1)
    if w.ndim == 3:
        w, x = w[:, :, None], x[:, None]
        strides, pads, dilations = [1, *strides], [0, pads[0], 0, pads[1]], [1, *dilations]
    x = np.pad(x, ((0, 0), (pads[0], pads[2]), (pads[1], pads[3]), (0, 0)))
    extent = tuple((size - 1) * dilation + 1 for size, dilation in zip(w.shape[2:], dilations, strict=True))
    windows = np.lib.stride_tricks.sliding_window_view(x, extent, (1, 2))[
        :, :: strides[0], :: strides[1], :, :: dilations[0], :: dilations[1]
    ]
    if WeightKind.of(node) is DEPTHWISE:
        return np.asarray(np.einsum("bhwnij,nij->bhwn", windows, w[:, 0]))
    return np.asarray(np.einsum("bhwcij,ncij->bhwn", windows, w))


def computed(model: EspdlModel, x: NDArray[np.integer], rounding_half_even: bool) -> NDArray[np.int64]:
    (node,) = model.graph.nodes
    tensors = {tensor.name: tensor for tensor in model.graph.initializers}
    weight = tensors[node.inputs[1]]
    accumulator = convolve(x.astype(np.int64), unpack(weight, WeightKind.of(node)).astype(np.int64), node)
    if len(node.inputs) > 2:
        accumulator = accumulator + tensors[node.inputs[2]].values
    shift = model.graph.outputs[0].exponents[0] - model.graph.inputs[0].exponents[0] - np.array(weight.exponents)
    assert (shift > 0).all()
    half = np.left_shift(1, shift - 1)
    tie = (accumulator & (2 * half - 1)) == half
    result: NDArray[np.int64] = (accumulator + half) >> shift
    result -= tie & ((result & 1) == 1) & rounding_half_even
    return result.clip(0) if node.attributes["activation"] == "Relu" else result


@needs_files
def test_unpacked_weights_compute_the_golden_outputs() -> None:
    checked = set()
    for path in (path for path in FILES if path.name.startswith(("Conv__", "Gemm__"))):
        model = read(path.read_bytes(), where=path.name)
        if len(model.graph.nodes) > 1:
            continue
        (node,) = model.graph.nodes
        with np.load(path.with_suffix(".npz")) as arrays:
            expected = arrays[f"out/{node.outputs[0]}"]
            result = computed(model, arrays[f"in/{node.inputs[0]}"], "esp32p4" in path.parent.name)
        limits = np.iinfo(expected.dtype)
        np.testing.assert_array_equal(np.clip(result, limits.min, limits.max).reshape(expected.shape), expected)
        checked |= {tensor.layout for tensor in model.graph.initializers}
    assert len(checked) > 8
