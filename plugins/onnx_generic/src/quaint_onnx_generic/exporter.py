"""QDQ export: the canonical float model with QuantizeLinear and DequantizeLinear at every quantized tensor."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import onnx_ir as ir

from quaint.errors import QuaintError
from quaint.integer import EDGE_LAYERS

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from quaint.integer import Layer
    from quaint.numerics import QuantParams
    from quaint.quantized import Quantized

#: Layers with weights: ONNX's weights from the kernel's order.
WEIGHTED = {"conv": lambda w: w, "conv_transpose": lambda w: w, "gemm": lambda w: w.T}


def export(quantized: Quantized, name: str) -> dict[str, bytes]:
    """The model as one ONNX file of standard operators.

    Raises:
        QuaintError: QT351 for a model that was loaded from a file and so has no float graph.
    """
    if quantized.source is None:
        raise QuaintError("QT351", "a QDQ file is made from the float model, which a saved one does not hold")
    model = _Writer(quantized).write()
    model.producer_name = "quaint"
    data = ir.serde.serialize_model(model).SerializeToString(deterministic=True)
    return {f"{name}.qdq.onnx": data}


class _Writer:
    """Inserts the pairs into a copy of the float graph."""

    def __init__(self, quantized: Quantized) -> None:
        assert quantized.source is not None
        self.integer = quantized.integer
        self.model = quantized.source.clone()
        self.graph = self.model.graph
        self.nodes = {node.name: node for node in self.graph}
        self.values = {value.name: value for value in self.graph.inputs}
        self.values |= {value.name: value for node in self.graph for value in node.outputs}
        self.floats = {twin: name for twin, name in quantized.twins.items()}

    def write(self) -> ir.Model:
        for layer in self.integer.layers:
            if layer.op in WEIGHTED:
                self._weights(layer)
        for layer in self.integer.layers:
            if layer.op == "dequantize_quantize":
                self._conversion(layer)
        for name, params in self.integer.tensors.items():
            value = self.values.get(self.floats.get(name, name))
            if value is not None:
                self._pair(value, params, list(value.uses()))
        return self.model

    def _weights(self, layer: Layer) -> None:
        """Weights and bias as integers; the accumulator's scale follows from the output's factor being exact in the layer."""
        node = next(
            self.nodes[name]
            for name in layer.nodes
            if self.nodes[name].op_type in {"Conv", "ConvTranspose", "Gemm", "MatMul"}
        )
        weight = np.asarray(layer.constants["weight"])
        matmul = node.op_type == "MatMul"
        array = weight if layer.op != "gemm" or matmul else weight.T
        scale = self.integer.tensors[f"{layer.name}/weight"].scale.astype(np.float32)
        axis = None if scale.ndim == 0 else (1 if matmul or node.op_type == "ConvTranspose" else 0)
        node.replace_input_with(
            1, self._constant(node, "weight", np.ascontiguousarray(array), scale, axis, before=node)
        )
        bias = np.asarray(layer.constants["bias"], np.int32)
        source = np.float32(self.integer.tensors[layer.inputs[0]].scale)
        axis = None if scale.ndim == 0 else 0
        reader = node
        index = 2
        if matmul:
            reader = next((self.nodes[name] for name in layer.nodes if self.nodes[name].op_type == "Add"), node)
            index = 1
            if reader is node:
                return
        reader.replace_input_with(index, self._constant(node, "bias", bias, source * scale, axis, before=reader))

    def _constant(
        self,
        node: ir.Node,
        role: str,
        array: NDArray[Any],
        scale: NDArray[np.float32],
        axis: int | None,
        *,
        before: ir.Node,
    ) -> ir.Value:
        """A DequantizeLinear on stored integers."""
        name = f"{node.name}_{role}"
        inputs = [
            self._initializer(f"{name}_quantized", array),
            self._initializer(f"{name}_scale", np.asarray(scale, np.float32)),
        ]
        inputs.append(self._initializer(f"{name}_zero_point", np.zeros(np.shape(scale), array.dtype)))
        attributes = {} if axis is None else {"axis": axis}
        made = ir.node("DequantizeLinear", inputs, attributes, name=f"{name}_dequantize")
        made.outputs[0].name = f"{name}_dequantized"
        self.graph.insert_before(before, made)
        return made.outputs[0]

    def _conversion(self, layer: Layer) -> None:
        """A tensor on another scale for one reader: a pair of its own between the two."""
        value = self.values[self.floats.get(layer.inputs[0], layer.inputs[0])]
        target = self.integer.tensors[layer.outputs[0]]
        reader = self.nodes[layer.nodes[0]]
        uses = [use for use in value.uses() if use[0] is reader]
        wanted = int(layer.outputs[0].rpartition("_input")[2])
        uses = [use for use in uses if use[1] == wanted] or uses[:1]
        self._pair(value, target, uses, layer.outputs[0])

    def _pair(self, value: ir.Value, params: QuantParams, uses: list[Any], name: str | None = None) -> None:
        """QuantizeLinear and DequantizeLinear between a value and those of its readers."""
        name = name or value.name or ""
        scale = self._initializer(f"{name}_scale", np.asarray(params.scale, np.float32))
        zero = self._initializer(f"{name}_zero_point", np.asarray(params.zero_point).astype(params.dtype.storage))
        quantize = ir.node("QuantizeLinear", [value, scale, zero], name=f"{name}_quantize")
        dequantize = ir.node("DequantizeLinear", [quantize.outputs[0], scale, zero], name=f"{name}_dequantize")
        quantize.outputs[0].name, dequantize.outputs[0].name = f"{name}_quantized", f"{name}_dequantized"
        producer = value.producer()
        if producer is None:
            first = self.graph[0]
            self.graph.insert_before(first, [quantize, dequantize])
        else:
            self.graph.insert_after(producer, [quantize, dequantize])
        for user, index in uses:
            user.replace_input_with(index, dequantize.outputs[0])
        if value.is_graph_output() and name == value.name:
            self._replace_output(value, dequantize.outputs[0])

    def _replace_output(self, value: ir.Value, new: ir.Value) -> None:
        """The dequantized value leaves in the place and under the name of the float one."""
        outputs = self.graph.outputs
        index = next(i for i, output in enumerate(outputs) if output is value)
        new.shape, new.type = value.shape, value.type
        name, value.name = value.name, f"{value.name}_float"
        new.name = name
        outputs[index] = new

    def _initializer(self, name: str, array: NDArray[Any]) -> ir.Value:
        if name not in self.graph.initializers:
            tensor = ir.tensor(array, name=name)
            value = ir.Value(
                name=name, const_value=tensor, shape=ir.Shape(array.shape), type=ir.TensorType(tensor.dtype)
            )
            self.graph.initializers.add(value)
        return self.graph.initializers[name]
