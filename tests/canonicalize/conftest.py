"""Build small graphs from text, canonicalize them and compare both with onnxruntime."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import onnx
import onnx_ir as ir
import onnxruntime as ort
import pytest

from quaint.canonicalize import BATCH_KEY, canonicalize
from quaint.graph import attribute, constant, dims, input_at, is_op, producer

if TYPE_CHECKING:
    from collections.abc import Callable

Arrays = dict[str, np.ndarray]

_NEVER = {"Constant", "Dropout", "Sum", "Squeeze", "Unsqueeze"}
_WINDOWED = {"Conv", "ConvTranspose", "MaxPool", "AveragePool"}
_RESHAPES = {"Reshape", "Flatten"}


def build(text: str, opset: int = 21, ir_version: int = 8, **arrays: np.ndarray) -> ir.Model:
    """A model from onnx's text form ``(float[N,3] x) => (float[N,3] y) { y = Relu(x) }`` and its initializers."""
    proto = onnx.parser.parse_model(f'<ir_version: {ir_version}, opset_import: ["" : {opset}]>\nmain {text}')
    proto.graph.initializer.extend(onnx.numpy_helper.from_array(array, name) for name, array in arrays.items())
    return ir.from_proto(proto)


def run(model: ir.Model, inputs: Arrays) -> list[np.ndarray]:
    options = ort.SessionOptions()
    options.intra_op_num_threads, options.log_severity_level = 1, 3
    options.graph_optimization_level = ort.GraphOptimizationLevel.ORT_DISABLE_ALL
    session = ort.InferenceSession(ir.to_proto(model).SerializeToString(), options, providers=["CPUExecutionProvider"])
    return session.run(None, inputs)


def random_inputs(model: ir.Model, batch: int, seed: int = 0) -> Arrays:
    rng = np.random.default_rng(seed)
    arrays = {}
    for value in model.graph.inputs:
        shape = [dim if isinstance(dim, int) else batch for dim in dims(value)]
        dtype = value.dtype.numpy()
        arrays[value.name] = (
            rng.integers(0, 8, shape).astype(dtype) if dtype.kind in "iub" else rng.normal(size=shape).astype(dtype) * 2
        )
    return arrays


def run_samples(model: ir.Model, inputs: Arrays) -> list[np.ndarray]:
    """Run a model whose batch may be static on any number of samples."""
    static = dims(model.graph.inputs[0])[0]
    batch = len(next(iter(inputs.values())))
    if not isinstance(static, int) or static == batch:
        return run(model, inputs)
    missing = -batch % static
    padded = {name: np.concatenate([array, array[:1].repeat(missing, 0)]) for name, array in inputs.items()}
    parts = [
        run(model, {name: array[start : start + static] for name, array in padded.items()})
        for start in range(0, batch + missing, static)
    ]
    return [np.concatenate(outputs)[:batch] for outputs in zip(*parts, strict=True)]


def assert_equal_floats(source: ir.Model, canonical: ir.Model, tolerance: float = 1e-4) -> None:
    """Same outputs for batch 1 and, where it is symbolic, 3; ``tolerance`` is relative to the largest output."""
    source = ir.from_proto(onnx.ModelProto.FromString(ir.to_proto(source).SerializeToString()))
    given = [value for value in source.graph.inputs if value.name not in source.graph.initializers]
    source.graph.inputs[:] = given
    for batch in (1, 3) if canonical.metadata_props[BATCH_KEY] == "symbolic" else (1,):
        inputs = random_inputs(canonical, batch)
        typed = {value.name: inputs[value.name].astype(value.dtype.numpy()) for value in given}
        expected, found = run_samples(source, typed), run(canonical, inputs)
        for a, b in zip(expected, found, strict=True):
            assert a.shape == b.shape
            scale = max(float(np.abs(a.astype(np.float64)).max(initial=0)), 1e-30)
            np.testing.assert_allclose(b / scale, a.astype(b.dtype) / scale, rtol=0, atol=tolerance)


def assert_canonical(model: ir.Model) -> None:
    """Every line of docs/canonical-form.md that can be seen in the graph."""
    graph = model.graph
    onnx.checker.check_model(ir.to_proto(model), full_check=True)
    assert model.ir_version == 10
    assert model.opset_imports[""] == 21
    assert not model.functions
    assert model.metadata_props[BATCH_KEY] in {"symbolic", "fixed"}
    _assert_names(graph)
    _assert_shapes(model)
    assert all(value.uses() or value.is_graph_output() for value in graph.initializers.values())
    for node in graph:
        assert any(value.uses() or value.is_graph_output() for value in node.outputs)
        if not node.domain:
            _assert_node(node)


def _assert_names(graph: ir.Graph) -> None:
    names = [node.name for node in graph]
    values = [*graph.inputs, *graph.initializers.values(), *(value for node in graph for value in node.outputs)]
    assert all(names)
    assert len(set(names)) == len(names)
    assert all(value.name for value in values)
    assert len({value.name for value in values}) == len(values)
    seen = {*graph.inputs, *graph.initializers.values()}
    for node in graph:
        assert all(value is None or value in seen for value in node.inputs), f"{node.name} stands too early"
        seen.update(node.outputs)


def _assert_shapes(model: ir.Model) -> None:
    inferred = onnx.shape_inference.infer_shapes(ir.to_proto(model), strict_mode=True, data_prop=True).graph
    inferred_dims = {info.name: info.type.tensor_type for info in (*inferred.value_info, *inferred.output)}
    symbolic = model.metadata_props[BATCH_KEY] == "symbolic"
    for value in (*model.graph.inputs, *(out for node in model.graph for out in node.outputs)):
        shape = dims(value)
        assert value.dtype is not None, value.name
        assert value.dtype not in {ir.DataType.FLOAT16, ir.DataType.BFLOAT16, ir.DataType.DOUBLE}
        assert shape is not None, value.name
        assert None not in shape, value.name
        assert all(isinstance(dim, int) or (symbolic and dim == "N") for dim in shape), value.name
        if value.name in inferred_dims:
            for dim, other in zip(shape, inferred_dims[value.name].shape.dim, strict=True):
                assert not other.HasField("dim_value") or other.dim_value == dim
    if symbolic:
        assert all(dims(value)[0] == "N" for value in (*model.graph.inputs, *model.graph.outputs))


def _assert_node(node: ir.Node) -> None:
    assert node.op_type not in _NEVER
    if node.op_type == "Identity":
        assert node.outputs[0].is_graph_output()
        assert node.inputs[0].producer() is None or node.inputs[0].is_graph_output()
    if node.op_type in _WINDOWED:
        _assert_window(node)
    if node.op_type == "Gemm" and constant(node.inputs[1]) is not None:
        assert [attribute(node, name) for name in ("alpha", "beta", "transA", "transB")] == [1, 1, 0, 1]
        assert constant(node.inputs[2]).shape == constant(node.inputs[1]).shape[:1]
    if node.op_type in _RESHAPES:
        _assert_reshape(node)
    if is_op(node, "Transpose"):
        assert producer(node.inputs[0], "Transpose") is None
    if is_op(node, "Clip") and constant(node.inputs[1]) is not None:
        bounds = [constant(value) for value in node.inputs[1:]]
        assert [(bound.dtype, bound.shape) for bound in bounds] == [(np.float32, ())] * 2
        assert (bounds[0], bounds[1]) != (0, np.finfo(np.float32).max)
    if node.op_type in {"Add", "Mul", "Max", "Min"}:
        assert len(node.inputs) == 2
        assert constant(node.inputs[0]) is None or constant(node.inputs[1]) is not None
    if is_op(node, "Sub"):
        assert constant(node.inputs[1]) is None or constant(node.inputs[1]).dtype != np.float32
    if node.op_type in {"Softmax", "Concat", "Split", "Gather", "LayerNormalization"}:
        assert attribute(node, "axis") >= 0
    constants_only = all(value is None or constant(value) is not None for value in node.inputs)
    assert not constants_only or node.outputs[0].is_graph_output()


def _assert_window(node: ir.Node) -> None:
    names = {"kernel_shape", "strides", "dilations", "pads"} | {
        "Conv": {"group"},
        "ConvTranspose": {"group", "output_padding"},
        "MaxPool": {"ceil_mode"},
        "AveragePool": {"ceil_mode", "count_include_pad"},
    }[node.op_type]
    assert names <= set(node.attributes)
    assert not {"auto_pad", "output_shape"} & set(node.attributes)
    if node.op_type in {"Conv", "ConvTranspose"}:
        assert input_at(node, 2) is not None


def _assert_reshape(node: ir.Node) -> None:
    before, after = dims(node.inputs[0]), dims(node.outputs[0])
    assert producer(node.inputs[0], *_RESHAPES) is None
    if node.op_type == "Flatten":
        assert attribute(node, "axis") == 1
        assert len(before) > 2
        return
    target = constant(node.inputs[1])
    assert target.dtype == np.int64
    assert not attribute(node, "allowzero", 0)
    assert (target[0] == 0) == (before[0] == after[0])
    assert not (len(before) > 2 and len(after) == 2 and before[0] == after[0])


def canonical_of(source: ir.Model, tolerance: float = 1e-4) -> ir.Model:
    """The canonical form, after proof that it is one, equals the source, and is a fixed point."""
    before = ir.to_proto(source).SerializeToString(deterministic=True)
    found = canonicalize(source)
    assert ir.to_proto(source).SerializeToString(deterministic=True) == before, "the argument was changed"
    assert_canonical(found)
    again = canonicalize(found)
    assert ir.to_proto(again).SerializeToString(deterministic=True) == ir.to_proto(found).SerializeToString(
        deterministic=True
    )
    assert_equal_floats(source, found, tolerance)
    return found


@pytest.fixture(name="canonical_of")
def canonical_of_fixture() -> Callable[..., ir.Model]:
    return canonical_of


@pytest.fixture(name="build")
def build_fixture() -> Callable[..., ir.Model]:
    return build


@pytest.fixture
def canonical() -> Callable[..., ir.Model]:
    """Build a model from text and initializers, and give its canonical form, proven."""

    def make(
        text: str, opset: int = 21, ir_version: int = 8, tolerance: float = 1e-4, **arrays: np.ndarray
    ) -> ir.Model:
        return canonical_of(build(text, opset, ir_version, **arrays), tolerance)

    return make


@pytest.fixture
def ops() -> Callable[[ir.Model], list[str]]:
    return lambda model: [node.op_type for node in model.graph]


@pytest.fixture
def rng() -> np.random.Generator:
    return np.random.default_rng(7)
