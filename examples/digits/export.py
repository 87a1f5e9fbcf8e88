"""Write a PyTorch network down as ONNX, node by node.

Every node is a standard operator and carries its module's name, which the general exporter of PyTorch does not promise:
it spells a global average pooling as a ReduceMean and a Flatten as a computed Reshape.
"""

from __future__ import annotations

import operator
from typing import Any, NamedTuple

import onnx
import torch
from networks import CLASSES, INPUT_SHAPE
from onnx import TensorProto, helper, numpy_helper
from torch import fx, nn

OPSET = 18
IR_VERSION = 10


class Operator(NamedTuple):
    """What a module is in ONNX: the operator, its constant inputs in order (absent ones are None), its attributes."""

    op_type: str
    constants: dict[str, torch.Tensor | None]
    attributes: dict[str, Any]


def operator_of(module: nn.Module) -> Operator:
    """Return what a module is in ONNX.

    Raises:
        TypeError: A kind of module that the networks of this example do not contain.
    """
    match module:
        case nn.Conv2d():
            pads = (*module.padding, *module.padding)
            attributes = {"kernel_shape": module.kernel_size, "strides": module.stride, "pads": pads}
            constants = {"weight": module.weight, "bias": module.bias}
            return Operator("Conv", constants, {**attributes, "group": module.groups})
        case nn.BatchNorm2d():
            names = ("weight", "bias", "running_mean", "running_var")
            constants = {name: getattr(module, name) for name in names}
            return Operator("BatchNormalization", constants, {"epsilon": module.eps})
        case nn.MaxPool2d(kernel_size=int(size), stride=int(stride)):
            return Operator("MaxPool", {}, {"kernel_shape": (size, size), "strides": (stride, stride)})
        case nn.ReLU():
            return Operator("Relu", {}, {})
        case nn.ReLU6():
            return Operator("Clip", {"minimum": torch.tensor(0.0), "maximum": torch.tensor(6.0)}, {})
        case nn.AdaptiveAvgPool2d(output_size=1):
            return Operator("GlobalAveragePool", {}, {})
        case nn.Flatten():
            return Operator("Flatten", {}, {})
        case nn.Linear():
            return Operator("Gemm", {"weight": module.weight, "bias": module.bias}, {"transB": 1})
    raise TypeError(f"no ONNX operator for a module of type {type(module).__name__}")


def to_onnx(network: nn.Module, name: str) -> onnx.ModelProto:
    """Return the checked ONNX model of a network with one input, one output and a symbolic batch size "N"."""
    modules = dict(network.named_modules())
    values: dict[fx.Node, str] = {}
    nodes: list[onnx.NodeProto] = []
    initializers: list[onnx.TensorProto] = []
    for step in fx.symbolic_trace(network).graph.nodes:
        inputs = [values[source] for source in step.all_input_nodes]
        if step.op == "placeholder":
            values[step] = "input"
            continue
        if step.op == "output":
            nodes[-1].output[0] = "logits"
            continue
        if step.target is operator.add:
            path, found = f"{next(reversed(step.meta['nn_module_stack']))}.add", Operator("Add", {}, {})
        elif isinstance(modules[step.target], nn.Dropout):
            values[step] = inputs[0]
            continue
        else:
            path, found = step.target, operator_of(modules[step.target])
        for key, value in found.constants.items():
            if value is not None:
                initializers.append(numpy_helper.from_array(value.detach().numpy(), f"{path}.{key}"))
                inputs.append(initializers[-1].name)
        node = path.replace(".", "/")
        values[step] = f"{node}/output"
        nodes.append(helper.make_node(found.op_type, inputs, [values[step]], node, **found.attributes))
    return _checked_model(name, nodes, initializers)


def _checked_model(name: str, nodes: list[onnx.NodeProto], initializers: list[onnx.TensorProto]) -> onnx.ModelProto:
    source = helper.make_tensor_value_info("input", TensorProto.FLOAT, ["N", *INPUT_SHAPE])
    result = helper.make_tensor_value_info("logits", TensorProto.FLOAT, ["N", CLASSES])
    graph = helper.make_graph(nodes, name, [source], [result], initializers)
    opsets = [helper.make_opsetid("", OPSET)]
    model = helper.make_model(graph, producer_name="quaint-examples", opset_imports=opsets, ir_version=IR_VERSION)
    onnx.checker.check_model(model, full_check=True)
    return model
