"""What the tests of this plugin share: small models, quantization, and the proof that a file computes what was simulated."""

from __future__ import annotations

import os
import warnings
from pathlib import Path
from typing import TYPE_CHECKING, Any

import espdl_interpreter_movement  # noqa: F401 - registers its operations
import espdl_interpreter_recurrent  # noqa: F401 - registers its operations
import espdl_interpreter_reductions  # noqa: F401 - registers its operations
import numpy as np
import onnx_ir as ir
from espdl_interpreter import Interpreter
from espdl_rules import broken_rules

from quaint.config import Config
from quaint.pipeline import quantize
from quaint.quantized import Quantized
from quaint_espdl import targets
from quaint_espdl.file.container import read
from quaint_espdl.reading.chips import by_name
from quaint_espdl.reading.reader import integer_model
from quaint_espdl.writing.exporter import export

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from quaint.target import Target
    from quaint_espdl.file.elements import EspdlModel

    Array = NDArray[Any]

ROOT = Path(__file__).parents[3]
DATA = Path(os.environ.get("QUAINT_TEST_DATA", ROOT.parent / "shared/data"))
DIGITS = ROOT / "examples/digits"
#: Each computes in its own way; the others compute as one of these.
TARGETS: dict[str, Target] = {name: targets.TARGETS[name] for name in ("esp32p4", "esp32s3", "esp32")}


class Net:
    """A float model under construction: ``net.add("Relu", x)`` appends a node and gives its output."""

    def __init__(self, **inputs: Sequence[int | str]) -> None:
        self.inputs = {name: ir.val(name, ir.DataType.FLOAT, shape) for name, shape in inputs.items()}
        self.nodes: list[ir.Node] = []
        self.constants: list[ir.Value] = []

    def __getitem__(self, name: str) -> ir.Value:
        return self.inputs[name]

    def constant(self, array: Array) -> ir.Value:
        value = ir.val(f"c{len(self.constants)}", const_value=ir.tensor(array, name=f"c{len(self.constants)}"))
        self.constants.append(value)
        return value

    def add(self, op_type: str, *inputs: ir.Value | Array, **attributes: Any) -> ir.Value:
        values = [value if isinstance(value, ir.Value) else self.constant(value) for value in inputs]
        node = ir.node(op_type, values, attributes, name=f"{op_type.lower()}{len(self.nodes)}")
        node.outputs[0].name = f"t{len(self.nodes)}"
        node.outputs[0].type = ir.TensorType(ir.DataType.FLOAT)
        self.nodes.append(node)
        return node.outputs[0]

    def model(self, *outputs: ir.Value) -> ir.Model:
        graph = ir.Graph(
            list(self.inputs.values()),
            outputs,
            nodes=self.nodes,
            initializers=self.constants,
            opset_imports={"": 21},
            name="net",
        )
        return ir.Model(graph, ir_version=10)


def quantized(model: ir.Model, target: str, samples: Any = None, **config: Any) -> Quantized:
    """The model for a target; without samples, normal random ones of its inputs."""
    if samples is None:
        random = np.random.default_rng(1)
        samples = {
            value.name: random.normal(size=[8 if isinstance(n, ir.SymbolicDim) else n for n in value.shape or ()])
            for value in model.graph.inputs
        }
    samples = {name: v.astype(np.float32) if v.dtype.kind == "f" else v for name, v in samples.items()}
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "QC202")  # few samples are enough here
        return quantize(model, targets.TARGETS[target], samples, Config(**config))


def arrangements(array: Array) -> list[Array]:
    """An array as the model has it, and channel last."""
    return [array, np.moveaxis(array, 1, -1)] if array.ndim > 2 else [array]


def assert_same(actual: Array, expected: Array, what: str) -> None:
    """Equal in one of the arrangements; floats within what the runtime's own test allows."""

    def equal(array: Array) -> bool:
        if array.shape != actual.shape:
            return False
        return np.allclose(actual, array, atol=2e-5) if array.dtype.kind == "f" else np.array_equal(actual, array)

    stored = np.dtype(np.uint8) if actual.dtype == bool else actual.dtype  # of truth values
    assert expected.dtype in {actual.dtype, stored}, what
    assert any(equal(array) for array in arrangements(expected)), what


def prove(result: Quantized) -> EspdlModel:
    """Export, read back, interpret: the file must give what the reference simulator gives, and hold it as a test vector."""
    files = export(result, "net")
    assert files == export(result, "net"), "not the same bytes again"
    data = files[f"net.{result.target.name}.espdl"]
    assert not broken_rules(data)
    model = read(data)
    integer, random = result.integer, np.random.default_rng(0)
    feeds = {}
    for name in integer.integer_inputs:
        dtype, shape = integer.tensors[name].dtype, [n or 1 for n in integer.shapes[name]]
        feeds[name] = random.integers(dtype.low, dtype.high, shape, dtype.storage, endpoint=True)
    for name, tensor in zip(feeds, model.graph.test_inputs, strict=True):
        assert_same(tensor.array, feeds[name], name)
    twins = {outer: inner for inner, outer in result.twins.items()}
    wanted = [twins.get(tensor.name, tensor.name) for tensor in model.graph.test_outputs]
    simulated = result.simulator("reference").run(feeds, wanted)
    interpreter = Interpreter(model)
    outputs = interpreter.run({tensor.name: tensor.array for tensor in model.graph.test_inputs})
    for info in interpreter.graph.value_info:
        assert interpreter.values[info.name].shape == info.dims, info.name
    for name, tensor in zip(wanted, model.graph.test_outputs, strict=True):
        assert_same(tensor.array, simulated[name], name)
        assert_same(outputs[tensor.name], tensor.array, name)
    prove_reread(model)
    return model


def prove_reread(model: EspdlModel) -> None:
    """The file, read as a quantized model, must give its own test vectors."""
    chip = by_name(model.metadata["target"])
    reread = Quantized(integer_model(model, chip, "net"), chip.target)
    feeds = {tensor.name: tensor.array for tensor in model.graph.test_inputs}
    made = reread.run(feeds, integers=True)
    for tensor in model.graph.test_outputs:
        tolerance = 2e-5 if tensor.array.dtype.kind == "f" else 0
        np.testing.assert_allclose(made[tensor.name], tensor.array, 0, tolerance, err_msg=tensor.name)
