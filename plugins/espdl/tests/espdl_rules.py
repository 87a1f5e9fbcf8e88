"""What a written ``.espdl`` file must keep to so that the runtime loads it and computes what was meant.

Read from the documentation of the format and of the runtime's operators, apart from the writer; ``broken_rules`` lists
what a file does not keep to.
"""

from __future__ import annotations

import math
import struct
from collections import Counter
from typing import TYPE_CHECKING

import numpy as np

from quaint_espdl.file.container import read
from quaint_espdl.file.elements import DataType

if TYPE_CHECKING:
    from collections.abc import Iterator

    from quaint_espdl.file.elements import EspdlModel, EspdlNode, EspdlTensor, ValueInfo

#: The operators that the runtime registers (ESP-DL 3.3.9, its module creator).
REGISTERED = frozenset((
    "Conv", "Add", "Sub", "Mul", "Div", "Pow", "Mod", "Resize", "GlobalAveragePool", "AveragePool", "Concat",
    "Sigmoid", "Tanh", "Relu", "LeakyRelu", "HardSigmoid", "HardSwish", "Gelu", "LUT", "Gemm", "QuantizeLinear",
    "DequantizeLinear", "RequantizeLinear", "PRelu", "Clip", "Flatten", "Reshape", "Transpose", "Exp", "Log", "Sqrt",
    "Squeeze", "Unsqueeze", "Softmax", "LogSoftmax", "MaxPool", "Slice", "Pad", "MatMul", "Neg", "SpaceToDepth",
    "DepthToSpace", "Split", "Gather", "Elu", "Greater", "GreaterOrEqual", "Equal", "Less", "LessOrEqual",
    "ReverseSequence", "ScatterND", "Identity", "Swish", "ReduceL1", "ReduceL2", "ReduceLogSum", "ReduceLogSumExp",
    "ReduceMax", "ReduceMean", "ReduceMin", "ReduceProd", "ReduceSum", "ReduceSumSquare", "GRU", "LSTM",
    "StreamingCache", "InsertZeros", "LayerNormalization", "LpNormalization", "RMSNormalization",
))  # fmt: skip
_POOL = ("kernel_shape", "pads", "strides", "ceil_mode")
#: Attributes without which the runtime refuses a node, crashes, or takes a default that is not ONNX's.
REQUIRED = {
    "Conv": ("activation", "dilations", "group", "kernel_shape", "pads", "strides"),
    "Gemm": ("activation", "alpha", "beta", "transB"),
    "AveragePool": (*_POOL, "count_include_pad"),
    "MaxPool": _POOL,
    "Concat": ("axis",),
    "Transpose": ("perm",),
    "Gather": ("axis",),
    "Softmax": ("axis",),
    "LogSoftmax": ("axis",),
    "LUT": ("lut",),
    "DepthToSpace": ("blocksize", "mode"),
    "SpaceToDepth": ("blocksize",),
    "Resize": ("mode", "coordinate_transformation_mode"),
    "InsertZeros": ("stride",),
    "Pad": ("mode",),
    "Mod": ("fmod",),
    "MatMul": ("activation",),
}
OVER_MAP = frozenset(
    ("Conv", "AveragePool", "MaxPool", "GlobalAveragePool", "Resize", "InsertZeros", "DepthToSpace", "SpaceToDepth")
)
#: What copies integers, or adds them raw: one exponent at all of its variables.
ONE_EXPONENT = frozenset((
    "Add", "Sub", "Concat", "Split", "Slice", "Transpose", "Reshape", "Flatten", "Squeeze", "Unsqueeze", "Gather",
    "DepthToSpace", "SpaceToDepth", "InsertZeros", "ReverseSequence", "Identity", "MaxPool", "ReduceMax",
    "ReduceMin", "Pad", "Relu",
))  # fmt: skip
COMPARISONS = frozenset({"Greater", "GreaterOrEqual", "Equal", "Less", "LessOrEqual"})
TABLES = frozenset({"Sigmoid", "Tanh", "HardSigmoid", "HardSwish", "LeakyRelu", "Elu", "Gelu", "Exp", "Neg", "Swish"})
WEIGHTED = frozenset({"Conv", "Gemm"})
BIAS_BITS = {"esp32p4": {8: 32, 16: 40}, "esp32s3": {8: 20, 16: 40}}
PLAIN_BIAS_BITS = {8: 32, 16: 64}
BITS = {DataType.INT8: 8, DataType.INT16: 16}


def broken_rules(data: bytes) -> list[str]:
    """What is wrong with a plain file that Quaint wrote; nothing if it is right."""
    return [*_envelope(data), *_Rules(read(data)).all()]


def _envelope(data: bytes) -> Iterator[str]:
    """The header, and raw data at multiples of 16 bytes; read byte by byte, without the package's own reader."""
    magic, encryption, length, zero = struct.unpack_from("<4sIII", data)
    if (magic, encryption, length, zero) != (b"EDL2", 0, len(data) - 16, 0) or length % 16:
        yield "header"
    payload = data[16:]

    def number(code: str, at: int) -> int:
        return int(struct.unpack_from(code, payload, at)[0])

    def field(table: int, index: int) -> int | None:
        vtable = table - number("<i", table)
        slot = 4 + 2 * index
        offset = number("<H", vtable + slot) if slot < number("<H", vtable) else 0
        return table + offset + number("<I", table + offset) if offset else None

    graph = field(number("<I", 0), 7)
    assert graph is not None
    for vector in filter(None, (field(graph, index) for index in (2, 8, 9))):
        for index in range(number("<I", vector)):
            place = vector + 4 + 4 * index
            raw = field(place + number("<I", place), 8)
            if raw is None or (raw + 4) % 16:
                yield f"raw data at byte {raw}"


class _Rules:
    """The rules of one model's graph."""

    def __init__(self, model: EspdlModel) -> None:
        self.graph, self.chip = model.graph, model.metadata["target"]
        self.info = {info.name: info for info in model.graph.value_info}
        self.constants = {tensor.name: tensor for tensor in model.graph.initializers}
        self.vector = self.chip in {"esp32p4", "esp32s31"}

    def all(self) -> Iterator[str]:
        """Everything that is broken."""
        yield from self._names()
        yield from self._variables()
        yield from self._vectors()
        for node in self.graph.nodes:
            for broken in self._node(node):
                yield f"{node.name} ({node.op_type}): {broken}"

    def _names(self) -> Iterator[str]:
        graph = self.graph
        for what in (
            [node.name for node in graph.nodes],
            [*(info.name for info in graph.value_info), *(tensor.name for tensor in graph.initializers)],
        ):
            yield from (f"{name!r} occurs {n} times" for name, n in Counter(what).items() if n > 1 or not name)
        made = [*self.constants, *(info.name for info in graph.inputs)]
        for node in graph.nodes:
            yield from (f"{node.name} reads {name!r} too early" for name in node.inputs if name and name not in made)
            yield from (f"{name!r} is made again" for name in node.outputs if name in made)
            made += node.outputs
        yield from (f"output {info.name!r} is never made" for info in graph.outputs if info.name not in made)
        yield from (f"{name!r} is in no node" for name in self.info if name not in made)
        used = {name for node in graph.nodes for name in (*node.inputs, str(node.attributes.get("lut", "")))}
        yield from (f"constant {name!r} is not used" for name in self.constants if name not in used)

    def _variables(self) -> Iterator[str]:
        for info in (*self.graph.inputs, *self.graph.outputs):
            if self.info.get(info.name) != info:
                yield f"{info.name!r} is not among the variables"
        for info in self.info.values():
            if not info.dims or len(info.dims) > 4 or not all(isinstance(n, int) and n > 0 for n in info.dims):
                yield f"{info.name!r} has dims {info.dims}"
            if len(info.exponents) != 1 or (info.dtype is DataType.FLOAT and info.exponents != (0,)):
                yield f"{info.name!r} has exponents {info.exponents}"
            if info.dtype is DataType.BOOL:
                yield from self._truth(info)
            elif info.dtype not in {*BITS, DataType.FLOAT}:
                yield f"{info.name!r} holds {info.dtype.name}"

    def _truth(self, info: ValueInfo) -> Iterator[str]:
        (maker,) = (node for node in self.graph.nodes if info.name in node.outputs)
        if maker.op_type not in COMPARISONS or info.exponents != (0,):
            yield f"{info.name!r} holds truth values of a {maker.op_type} with exponents {info.exponents}"
        if any(info.name in node.inputs for node in self.graph.nodes):
            yield f"{info.name!r} holds truth values and is read"

    def _vectors(self) -> Iterator[str]:
        for infos, tensors in (
            (self.graph.inputs, self.graph.test_inputs),
            (self.graph.outputs, self.graph.test_outputs),
        ):
            form = [(info.name, info.dims, info.dtype, info.exponents) for info in infos]
            if tensors and form != [(t.name, t.dims, t.dtype, t.exponents) for t in tensors]:
                yield "test vectors of another form than the graph's edges"

    def _node(self, node: EspdlNode) -> Iterator[str]:
        if node.op_type not in REGISTERED:
            yield "is not registered"
        missing = {*REQUIRED.get(node.op_type, ()), "quant_type"} - node.attributes.keys()
        if missing:
            yield f"lacks {sorted(missing)}"
        outputs = node.outputs[:2] if node.op_type == "LSTM" else node.outputs  # its cell has 16 bits in any width
        variables = [self.info[name] for name in (*node.inputs, *outputs) if name in self.info]
        output = self.info[node.outputs[0]]
        other = output.dtype not in BITS
        width = self.info[node.inputs[0]].dtype if other else output.dtype
        if node.attributes.get("quant_type") != f"S{BITS[width]}":
            yield f"quant_type {node.attributes.get('quant_type')} with {width.name}"
        if node.op_type != "RequantizeLinear":
            mixed = {info.dtype for info in variables} - {DataType.FLOAT, DataType.BOOL}
            if len(mixed) > 1:
                yield "works with integers of two widths"
        constants = [self.constants[name] for name in node.inputs if name in self.constants]
        scaled = [tensor for tensor in constants if tensor.dtype in BITS]
        if node.op_type in ONE_EXPONENT and len({e.exponents for e in (*variables, *scaled)}) > 1:
            yield f"exponents {[e.exponents for e in (*variables, *scaled)]}"
        if node.op_type in COMPARISONS:
            operands = [*scaled, *(self.info[name] for name in node.inputs if name in self.info)]
            if output.dtype is not DataType.BOOL or len({(each.dtype, each.exponents) for each in operands}) > 1:
                yield f"compares {[(each.dtype.name, each.exponents) for each in operands]} to {output.dtype.name}"
        if node.op_type in OVER_MAP and variables[0].dims[0] != 1:
            yield f"a batch of {variables[0].dims[0]}"
        if node.op_type not in WEIGHTED:
            yield from (f"{t.name!r} has exponents {t.exponents}" for t in constants if len(t.exponents) != 1)
        if node.op_type in {*WEIGHTED, "MatMul"}:
            yield from self._products(node)
        yield from self._tables(node, output)
        if node.op_type == "Resize" and width is not DataType.INT8:
            yield "is done at 8 bits only"

    def _products(self, node: EspdlNode) -> Iterator[str]:
        source, output = self.info[node.inputs[0]], self.info[node.outputs[0]]
        bits = BITS[output.dtype]
        right = self.constants.get(node.inputs[1], self.info.get(node.inputs[1]))
        assert right is not None
        if right.dtype is not output.dtype:
            yield f"weights of {right.dtype.name} with {output.dtype.name}"
        shifts = [output.exponents[0] - source.exponents[0] - exponent for exponent in right.exponents]
        if min(shifts) < 0 or max(shifts) > 31:
            yield f"shifts {shifts}"
        if node.op_type == "MatMul":
            return
        assert node.inputs[1] in self.constants
        weight, bias = self.constants[node.inputs[1]], self.constants[node.inputs[2]]
        yield from self._channels(weight, bias, source.exponents[0])
        if bias.dtype is not (DataType.INT32 if bits == 8 else DataType.INT64):
            yield f"bias of {bias.dtype.name}"
        chip = "esp32p4" if self.vector else self.chip
        held = BIAS_BITS.get(chip, PLAIN_BIAS_BITS)[bits]
        if not -(1 << (held - 1)) <= int(bias.values.min()) <= int(bias.values.max()) < 1 << (held - 1):
            yield f"bias beyond {held} bits"
        group, channels = node.attributes.get("group"), source.dims[-1]
        if node.op_type == "Conv" and group not in {1, channels}:
            yield f"{group} groups of {channels} channels"
        if node.attributes.get("transB", 0) != 0:
            yield "transB"

    def _channels(self, weight: EspdlTensor, bias: EspdlTensor, entering: int) -> Iterator[str]:
        count = math.prod(bias.dims)
        if len(weight.exponents) not in ({1, count} if self.vector else {1}):
            yield f"{len(weight.exponents)} exponents for {count} channels"
        if bias.exponents != tuple(exponent + entering for exponent in weight.exponents):
            yield "exponents of the bias are not those of the products"

    def _tables(self, node: EspdlNode, output: ValueInfo) -> Iterator[str]:
        name = node.attributes.get("lut")
        if name is None:
            if node.op_type in TABLES and BITS.get(output.dtype) == 16:
                yield "has no table"
            return
        table = self.constants[name]
        if (table.dtype, table.exponents, table.doc) != (output.dtype, output.exponents, ""):
            yield "table of another form than the output"
        step = 1 if output.dtype is DataType.INT8 else int(node.attributes["int16_lut_step"])
        entries = 256 if output.dtype is DataType.INT8 else 65536 // step + (step > 1)
        if table.dims != (entries,) or (output.dtype is DataType.INT16 and node.op_type != "LUT"):
            yield f"table of {table.dims} entries at steps of {step}"
        if not np.isin(step, 2 ** np.arange(17)):
            yield f"steps of {step}"
