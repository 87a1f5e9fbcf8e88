"""Layers traced one by one to bodies of ONNX functions, from stored integers to stored integers."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import onnx
from onnx import helper, numpy_helper

from quaint.simulators.tracing import Tracer
from quaint.simulators.tracing_edges import check, incoming, outgoing
from quaint.simulators.tracing_graph import OPSET, Graph

if TYPE_CHECKING:
    from quaint.arithmetic import Kernel
    from quaint.integer import IntegerModel, Layer


@dataclass(frozen=True)
class Body:
    """What a function does.

    Args:
        inputs: formal names, tensors first, then constants.
        outputs: formal names.
        nodes: operators, constants included.
    """

    inputs: tuple[str, ...]
    outputs: tuple[str, ...]
    nodes: tuple[onnx.NodeProto, ...]

    def function(self, domain: str, name: str) -> onnx.FunctionProto:
        """The body as a function."""
        opsets = [helper.make_opsetid("", OPSET)]
        return helper.make_function(domain, name, self.inputs, self.outputs, self.nodes, opsets)


def _constant(tensor: onnx.TensorProto) -> onnx.NodeProto:
    return helper.make_node("Constant", [], [tensor.name], value=tensor)


def trace(model: IntegerModel, layer: Layer, kernel: Kernel) -> Body:
    """The body of ``layer``.

    Raises:
        Untraceable: if it has no exact form, or its results are not proven to be of their type.
    """
    formals = {id(array): key for key, array in layer.constants.items()}
    tracer = Tracer(Graph(formals), fast=False)
    places = [f"_x{i}" for i in range(len(layer.inputs))]
    given = [incoming(tracer, model, name, place) for name, place in zip(layer.inputs, places, strict=True)]
    made = kernel(tracer, *given, **layer.constants, **layer.attributes)
    values = dict(zip(layer.outputs, made if isinstance(made, tuple) else (made,), strict=True))
    for name, value in values.items():
        check(model, name, value)
    outputs = tuple(outgoing(tracer, model, name, value) for name, value in values.items())
    constants = (_constant(numpy_helper.from_array(a, name)) for name, a in tracer.graph.constants.items())
    nodes = (*constants, *tracer.graph.nodes)
    return Body((*places, *layer.constants), outputs, nodes)
