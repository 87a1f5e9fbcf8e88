"""One operator set, one flat graph, constants as initializers."""

from __future__ import annotations

import time
from collections.abc import Callable

import numpy as np
import onnx
import onnx_ir as ir
import pytest

from quaint.canonicalize import FINISH, PASSES, PREPARE, SIMPLIFY, canonicalize
from quaint.errors import QuaintError
from quaint.graph import constant, dims

Canonical = Callable[..., ir.Model]
Ops = Callable[[ir.Model], list[str]]

#: What the version converter touches on the way to opset 21, and what it is known to get wrong.
OLD_FORMS = [
    (7, "float[1,2,4,4] x", "y = Upsample <scales = [1.0,1.0,2.0,2.0]> (x)", [1, 2, 8, 8]),
    (9, "float[1,2,4,4] x", 'y = Upsample <mode = "linear"> (x, scales)', [1, 2, 8, 8]),
    (9, "float[1,2,4,4] x", "y = Upsample (x, scales)", [1, 2, 8, 8]),
    (10, "float[1,2,4,4] x", 'y = Resize <mode = "linear"> (x, scales)', [1, 2, 8, 8]),
    (10, "float[1,2,4,4] x", "y = Resize (x, halves)", [1, 2, 2, 2]),
    (9, "float[1,2,4,4] x", "y = Upsample (x, by_17)", [1, 2, 6, 6]),
    (10, "float[1,2,4,4] x", "y = Resize (x, by_07)", [1, 2, 2, 2]),
    (10, "float[1,2,4,4] x", "y = Resize (x, by_17)", [1, 2, 6, 6]),
    (11, "float[1,2,4,4] x", 'y = Resize <mode = "cubic"> (x, none, scales)', [1, 2, 8, 8]),
    (8, "float[N,6] x", "y = Softmax (x)", ["N", 6]),
    (11, "float[N,2,3] x", "y = Softmax (x)", ["N", 2, 3]),
    (11, "float[N,2,3] x", "y = Softmax <axis = 2> (x)", ["N", 2, 3]),
    (11, "float[N,2,3] x", "y = LogSoftmax (x)", ["N", 2, 3]),
    (11, "float[N,2,3] x", "y = Hardmax (x)", ["N", 2, 3]),
    (11, "float[N,2,3] x", "y = Hardmax <axis = 2> (x)", ["N", 2, 3]),
    (18, "float[N,4,3,3] x", "y = GroupNormalization <num_groups = 2> (x, p, p)", ["N", 4, 3, 3]),
    (8, "float[N,2,3,3] x", "y = BatchNormalization (x, p, p, p, p)", ["N", 2, 3, 3]),
    (8, "float[N,4] x", "y = Dropout <ratio = 0.3> (x)", ["N", 4]),
    (10, "float[N,4] x", "d, m = Dropout (x) y = Relu (d)", ["N", 4]),
    (10, "float[N,4] x", "y = Pad <pads = [0,1,0,2], value = 0.5> (x)", ["N", 7]),
    (9, "float[N,8] x", "y = Slice <axes = [1], starts = [2], ends = [-1]> (x)", ["N", 5]),
    (9, "float[N,8] x", "y, i = TopK <k = 3> (x)", ["N", 3]),
    (11, "float[N,4] x", "a, b = Split <axis = 1> (x) y = Sub (a, b)", ["N", 2]),
    (13, "float[N,4] x", "a, b = Split <axis = 1> (x) y = Sub (a, b)", ["N", 2]),
    (13, "float[N,4] x", "a, b = Split <axis = 1> (x, uneven) c = Concat <axis = 1> (b, a) y = Relu (c)", ["N", 4]),
    (11, "float[N,4] x", "y = Unsqueeze <axes = [1]> (x)", ["N", 1, 4]),
    (11, "float[N,4] x", "y = ReduceSum <axes = [1], keepdims = 0> (x)", ["N"]),
    (17, "float[N,4] x", "y = ReduceMax <axes = [1]> (x)", ["N", 1]),
    (17, "float[N,4] x", "y = ReduceL2 <axes = [-1], keepdims = 0> (x)", ["N"]),
    (8, "float[N,4] x, float[N,4] z", "y = Max (x, z)", ["N", 4]),
    (8, "float[N,4] x, float[N,4] z", "s = Sum (x, z, x) y = Mean (s, z)", ["N", 4]),
    (8, "float[N,4] x", "y = Cast <to = 6> (x)", ["N", 4]),
    (8, "float[N,3,4,4] x", "y = MaxPool <kernel_shape = [2,2]> (x)", ["N", 3, 3, 3]),
    (8, "float[N,3,4,4] x", "y = AveragePool <kernel_shape = [2,2], strides = [2,2]> (x)", ["N", 3, 2, 2]),
    (8, "float[N,3] x", "y = Gemm (x, square, square_bias)", ["N", 3]),
    (8, "float[N,3] x", "y = PRelu (x, slope)", ["N", 3]),
    (13, "float[N,4] x", "y = Elu <alpha = 0.5> (x)", ["N", 4]),
    (12, "float[N,4] x", "y = Celu <alpha = 0.5> (x)", ["N", 4]),
    (11, "float[N,4,4,4] x", 'y = DepthToSpace <blocksize = 2, mode = "CRD"> (x)', ["N", 1, 8, 8]),
    (16, "float[N,4,4,4] x", "y = LpPool <kernel_shape = [2,2], p = 2> (x)", ["N", 4, 3, 3]),
    (17, "float[N,4] x", "y = LayerNormalization (x, four, four)", ["N", 4]),
]
CONSTANTS = {
    "scales": np.array([1, 1, 2, 2], np.float32),
    "by_07": np.array([1, 1, 0.7, 0.7], np.float32),
    "by_17": np.array([1, 1, 1.7, 1.7], np.float32),
    "halves": np.array([1, 1, 0.5, 0.5], np.float32),
    "none": np.zeros(0, np.float32),
    "p": np.array([0.5, 2], np.float32),
    "uneven": np.array([1, 3]),
    "square": np.arange(9, dtype=np.float32).reshape(3, 3),
    "square_bias": np.arange(3, dtype=np.float32),
    "slope": np.array([0.1, 0.2, -0.3], np.float32),
    "four": np.array([1, 2, 3, 4], np.float32),
}


@pytest.mark.parametrize(("opset", "inputs", "body", "shape"), OLD_FORMS)
def test_old_operator_sets(canonical: Canonical, opset: int, inputs: str, body: str, shape: list[int | str]) -> None:
    words = body.replace("(", " ").replace(")", " ").replace(",", " ").split()
    declared = ",".join("NABCD"[i] for i in range(len(shape)))
    kind = "int32" if "to = 6" in body else "float"
    arrays = {name: array for name, array in CONSTANTS.items() if name in words}
    model = canonical(f"({inputs}) => ({kind}[{declared}] y) {{ {body} }}", opset, **arrays)
    assert list(dims(model.graph.outputs[0]))[1:] == shape[1:]


@pytest.mark.parametrize("opset", [22, 23])
def test_newer_operator_sets(canonical: Canonical, ops: Ops, opset: int) -> None:
    model = canonical(
        "(float[N,3,8,8] x) => (float[N,2,1,1] y) { c = Conv (x, w) r = Relu (c) y = GlobalAveragePool (r) }",
        opset,
        w=np.ones((2, 3, 3, 3), np.float32),
    )
    assert ops(model) == ["Conv", "Relu", "GlobalAveragePool"]


def test_initializers_are_not_inputs(canonical: Canonical) -> None:
    model = canonical(
        "(float[N,2] x, float[2,2] w) => (float[N,2] y) { y = MatMul (x, w) }", 8, 3, w=np.eye(2, dtype=np.float32) * 3
    )
    assert [value.name for value in model.graph.inputs] == ["x"]


def test_constant_nodes(canonical: Canonical, ops: Ops) -> None:
    model = canonical(
        "(float[N,2] x) => (float[N,2] y, float[2] c) { c = Constant <value_floats = [1.0, 2.0]> ()  y = Mul (c, x) }",
        13,
    )
    assert sorted(ops(model)) == ["Identity", "Mul"]


def test_functions_are_inlined(canonical_of: Canonical, ops: Ops) -> None:
    model = onnx.parser.parse_model("""<ir_version: 8, opset_import: ["" : 17, "local" : 1]>
        main (float[N,4] x) => (float[N,4] y) { a = local.twice (x)  y = local.twice (a) }
        <domain: "local", opset_import: ["" : 17]> twice (v) => (w) { t = Relu (v)  w = Add (t, t) }""")
    found = canonical_of(ir.from_proto(model))
    assert ops(found) == ["Relu", "Add", "Relu", "Add"]
    assert found.opset_imports == {"": 21}


@pytest.mark.parametrize("condition", [True, False])
def test_constant_branches(canonical_of: Canonical, ops: Ops, condition: bool) -> None:
    model = onnx.parser.parse_model(
        """<ir_version: 8, opset_import: ["" : 17]>
        main (float[N,4,1] x) => (float[N,4] y) {
            s = Shape <start = 1> (x)  i = Constant <value = int64[1] {LAST}> ()  d = Gather (s, i)
            one = Constant <value = int64 {1}> ()  c = Equal (d, one)
            z = If (c) <
                then_branch = squeeze () => (float[N,4] q) {
                    a = Constant <value = int64[1] {2}> ()  q = Squeeze (x, a) },
                else_branch = keep () => (float[N,4] q) {
                    a = Relu (x)  b = Constant <value = int64[2] {0,-1}> ()  q = Reshape (a, b) }
            >
            y = Relu (z) }""".replace("LAST", "1" if condition else "0")
    )
    found = canonical_of(ir.from_proto(model))
    assert ops(found) == (["Flatten", "Relu"] if condition else ["Relu", "Flatten", "Relu"])


def test_a_branch_that_depends_on_the_input_stays(ops: Ops) -> None:
    model = onnx.parser.parse_model("""<ir_version: 8, opset_import: ["" : 17]>
        main (bool c, float[3] x) => (float[3] y) {
            y = If (c) <
                then_branch = a () => (float[3] q) { q = Relu (x) },
                else_branch = b () => (float[3] p) { p = Neg (x) }
            > }""")
    found = canonicalize(ir.from_proto(model))
    assert ops(found) == ["If"]
    assert found.metadata_props["quaint.batch"] == "fixed"


@pytest.mark.parametrize("kind", ["float16", "double"])
def test_other_floats(canonical: Canonical, kind: str) -> None:
    dtype = np.float16 if kind == "float16" else np.float64
    model = canonical(
        f"""({kind}[N,4] x) => ({kind}[N,3] y) {{
            m = MatMul (x, w)  c = Cast <to = 1> (m)  r = Relu (c)  y = Cast <to = {10 if kind == "float16" else 11}> (r) }}""",
        17,
        tolerance=2e-2,
        w=np.arange(12, dtype=dtype).reshape(4, 3),
    )
    assert [node.op_type for node in model.graph] == ["Gemm", "Relu"]
    assert model.graph.outputs[0].dtype == ir.DataType.FLOAT


def test_doubles_that_do_not_fit_and_bfloat16(build: Canonical) -> None:
    model = build("(double[N,2] x) => (double[N,2] y) { y = Add (x, c) }", c=np.array([1e300, -np.inf]))
    found = canonicalize(model)
    (value,) = [constant(value) for value in found.graph.initializers.values()]
    assert value.tolist() == [float(np.finfo(np.float32).max), -np.inf]
    half = build("(float[N,2] x) => (float[N,2] y) { h = Cast <to = 16> (x)  y = Cast <to = 1> (h) }")
    assert [node.op_type for node in canonicalize(half).graph] == ["Identity"]


def test_unused_things_are_gone(canonical: Canonical, ops: Ops) -> None:
    model = canonical(
        "(float[N,4] x, float[N,2] unused) => (float[N,4] y) { a = Sigmoid (x)  b = Tanh (a)  y = Relu (x) }",
        dead=np.ones(3, np.float32),
    )
    assert ops(model) == ["Relu"]
    assert not model.graph.initializers
    assert [value.name for value in model.graph.inputs] == ["x", "unused"]


def test_folding_is_bounded(build: Canonical, ops: Ops) -> None:
    text = "(float[1] x) => (float[A,B] y) { c = ConstantOfShape (shape)  y = Add (x, c) }"
    assert "ConstantOfShape" in ops(canonicalize(build(text, shape=np.array([2**20, 2**14]))))
    assert "ConstantOfShape" not in ops(canonicalize(build(text, shape=np.array([4, 4]))))


def test_random_values_are_not_folded(build: Canonical, ops: Ops) -> None:
    model = build(
        "(float[N,4] x) => (float[N,4] y) { r = RandomNormalLike (c)  y = Add (x, r) }", c=np.ones((1, 4), np.float32)
    )
    assert "RandomNormalLike" in ops(canonicalize(model))


def test_what_onnxruntime_cannot_compute_does_not_stop_the_rest(build: Canonical, ops: Ops) -> None:
    model = build(
        """(float[N,4] x) => (float[N,4] y) {
            b = BitShift <direction = "LEFT"> (i, i)  f = Cast <to = 1> (b)
            s = Sqrt (c)  t = Add (x, s)  y = Add (t, f) }""",
        i=np.ones(4, np.int8).view(np.uint8).astype(np.uint16),
        c=np.full((1, 4), 4, np.float32),
    )
    found = canonicalize(model)
    assert "Sqrt" not in ops(found)


def test_long_chains_need_no_recursion(build: Canonical, ops: Ops) -> None:
    body = " ".join(f"v{i + 1} = {('Tanh', 'Identity', 'Sigmoid')[i % 3]} (v{i})" for i in range(3000))
    start = time.perf_counter()
    found = canonicalize(build(f"(float[N,2] v0) => (float[N,2] v3000) {{ {body} }}"))
    assert len(ops(found)) == 2000
    assert time.perf_counter() - start < 10


@pytest.mark.parametrize(("op", "opset"), [("GroupNormalization <num_groups = 2> (x, s, s)", 18), ("Swish (x)", 24)])
def test_what_cannot_be_converted_is_refused(build: Canonical, op: str, opset: int) -> None:
    inputs = "float[N,4,3] x, float[2] s" if "s, s" in op else "float[N,4,3] x"
    with pytest.raises(QuaintError, match="QM110"):
        canonicalize(build(f"({inputs}) => (float[N,4,3] y) {{ y = {op} }}", opset))


def test_custom_operators_are_left_alone() -> None:
    proto = onnx.parser.parse_model("""<ir_version: 8, opset_import: ["" : 17, "acme" : 2]>
        main (float[1,4] x) => (float[1,4] y) <float[1,4] a> { a = acme.Magic <level = 3> (x)  y = Relu (a) }""")
    found = canonicalize(ir.from_proto(proto))
    assert [(node.domain, node.op_type) for node in found.graph] == [("acme", "Magic"), ("", "Relu")]
    assert found.opset_imports == {"": 21, "acme": 2}
    assert found.metadata_props["quaint.batch"] == "fixed"


def test_names(build: Canonical) -> None:
    model = build(
        "(float[N,4] x) => (float[N,4] y) { [same] a = Tanh (x)  [same] b = Sigmoid (a)  [act] y = Relu (b) }"
    )
    model.graph[2].name = ""
    model.graph[1].outputs[0].name = "a"
    found = canonicalize(model)
    assert [node.name for node in found.graph] == ["same", "same_1", "y"]
    assert [node.outputs[0].name for node in found.graph] == ["a", "a_1", "y"]


@pytest.mark.parametrize("step", PASSES, ids=lambda step: step.__name__)
def test_every_pass_says_what_it_does(step: Callable[..., bool]) -> None:
    assert step.__doc__ is not None
    assert "Ensures:" in step.__doc__


def test_passes_are_the_three_groups_in_order() -> None:
    assert (*PREPARE, *SIMPLIFY, *FINISH) == PASSES
