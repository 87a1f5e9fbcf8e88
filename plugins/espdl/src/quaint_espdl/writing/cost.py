"""What an exported file costs: its own constants, and the memory that the runtime's planner gives its tensors.

The runtime (dl_memory_manager_greedy.cpp) places tensors in the order of execution, best fit first, at multiples of 16 bytes;
modules say whether their output takes the place of an input.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from quaint.report.cost import Cost, LayerCost, deployed_file, macs_by_layer
from quaint.report.memory import Reuse, Step, plan_memory
from quaint_espdl.file.container import is_encrypted, read
from quaint_espdl.writing.exporter import export

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping

    from quaint.quantized import Quantized
    from quaint_espdl.file.elements import EspdlGraph, EspdlNode

#: Modules that leave the bytes as they are.
VIEWS = frozenset({"Flatten", "Identity", "Reshape", "Squeeze", "Unsqueeze"})
#: Modules that write over their input.
OVERWRITING = frozenset(
    {
        *("Add", "Clip", "Elu", "Exp", "Gelu", "HardSigmoid", "HardSwish", "LUT", "LeakyRelu", "Log", "PRelu", "Relu"),
        *("RequantizeLinear", "Sigmoid", "Softmax", "Sqrt", "Swish", "Tanh"),
    }
)


class Exporter:
    """Writes the files, and says what they cost."""

    def __call__(self, quantized: Quantized, name: str) -> dict[str, bytes]:
        """The files for the chip by name."""
        return export(quantized, name)

    def cost(self, quantized: Quantized, files: Mapping[str, bytes]) -> Cost | None:
        """The cost of what was exported; None where it is encrypted.

        Args:
            quantized: the model.
            files: what was made of it, by name.
        """
        name = deployed_file(files, has_exporter=True)
        content = files[name]
        if is_encrypted(content):
            return None
        own = {layer.name for layer in quantized.integer.integer_layers}
        return graph_cost(read(content, where=name).graph, own, macs_by_layer(quantized), name, len(content))


exporter = Exporter()


def graph_cost(graph: EspdlGraph, own: Collection[str], macs: Mapping[str, int], file: str, file_bytes: int) -> Cost:
    """The cost of a file's graph.

    Args:
        graph: the graph.
        own: names of the model's layers; any other node was inserted.
        macs: multiply-accumulates by layer.
        file: the file's name.
        file_bytes: its size.
    """
    shapes = {info.name: info for info in (*graph.value_info, *graph.inputs, *graph.outputs)}
    sizes = {name: math.prod(map(int, info.dims)) * info.dtype.numpy.itemsize for name, info in shapes.items()}
    steps = [_step(node, sizes) for node in graph.nodes]
    plan = plan_memory(steps, sizes, (i.name for i in graph.inputs), (o.name for o in graph.outputs))
    constants = {tensor.name: len(tensor.raw) for tensor in graph.initializers}
    rows = []
    for node, step, live in zip(graph.nodes, steps, plan.live, strict=True):
        made = sum(sizes[name] for name in step.outputs)
        rows.append(LayerCost(node.name, node.op_type, *_constants(node, constants), made, live, macs.get(node.name)))
    requantized = sum(node.op_type == "RequantizeLinear" for node in graph.nodes)
    transposed = sum(node.op_type == "Transpose" and node.name not in own for node in graph.nodes)
    return Cost(tuple(rows), plan.peak, requantized, transposed, file, file_bytes)


def _step(node: EspdlNode, sizes: Mapping[str, int]) -> Step:
    reuse = Reuse.VIEW if node.op_type in VIEWS else Reuse.OVERWRITE if node.op_type in OVERWRITING else Reuse.NONE
    return Step(tuple(name for name in node.inputs if name in sizes), node.outputs, reuse)


def _constants(node: EspdlNode, sizes: Mapping[str, int]) -> tuple[int, int, int, int]:
    """Bytes of weights, biases, tables and other constants; a weight is what comes second, a bias what comes third."""
    found = [0, 0, 0, 0]
    weighted = node.op_type in {"Conv", "Gemm", "MatMul"}
    for index, name in enumerate(node.inputs):
        if name in sizes:
            found[index - 1 if weighted and index in {1, 2} else 3] += sizes[name]
    found[2] += sizes.get(str(node.attributes.get("lut", "")), 0)
    return found[0], found[1], found[2], found[3]
