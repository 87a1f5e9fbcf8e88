"""QDQ export: the canonical float model with QuantizeLinear and DequantizeLinear at every quantized tensor.

Weights and biases are stored as integers with a DequantizeLinear each. What runs on the host stays float.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import onnx_ir as ir

from quaint import graph
from quaint.errors import QuaintError

if TYPE_CHECKING:
    from collections.abc import Iterable

    from numpy.typing import NDArray

    from quaint.integer import Layer
    from quaint.numerics import QuantParams
    from quaint.quantized import Quantized

#: Kernels with weights.
WEIGHTED = frozenset({"conv", "conv_transpose", "gemm"})
#: Their float operators.
PRODUCTS = frozenset({"Conv", "ConvTranspose", "Gemm", "MatMul"})
#: Constant operands of other kernels.
CONSTANTS = frozenset({"constant", "slope"})


def export(quantized: Quantized, name: str) -> dict[str, bytes]:
    """The model as one ONNX file of standard operators.

    Raises:
        QuaintError: QT351 for a model that was loaded from a file and so has no float graph.
    """
    if quantized.source is None:
        raise QuaintError("QT351", "a QDQ file is made from the float model, which a saved one does not hold")
    model = _Writer(quantized, quantized.source.clone()).write()
    model.producer_name = "quaint"
    data = ir.serde.serialize_model(model).SerializeToString(deterministic=True)
    return {f"{name}.qdq.onnx": data}


class _Writer:
    """Inserts the pairs into a copy of the float graph.

    Args:
        quantized: the integer model.
        model: the copy; changed.
    """

    def __init__(self, quantized: Quantized, model: ir.Model) -> None:
        self.integer, self.model, self.graph = quantized.integer, model, model.graph
        self.nodes = {node.name: node for node in self.graph}
        made = [value for node in self.graph for value in node.outputs]
        self.values = {value.name: value for value in (*self.graph.inputs, *made)}
        self.floats = quantized.twins
        self.taken = {*self.values, *self.graph.initializers}

    def write(self) -> ir.Model:
        """The model with its pairs; conversions for one reader first, so that the others' pairs find the rest."""
        for layer in self.integer.layers:
            if layer.op in WEIGHTED:
                self._weights(layer)
            for role in CONSTANTS & layer.constants.keys():
                self._operand(layer, role)
            if layer.op == "dequantize_quantize":
                self._conversion(layer)
        for name, params in self.integer.tensors.items():
            value = self.values.get(self.floats.get(name, name))
            if value is not None and value.is_graph_input() and name not in self.floats:
                self._typed(value, params)
            elif value is not None:
                self._pair(value, params, value.uses())
        for node in self.graph:
            if node.op_type == "AveragePool":  # onnxruntime 1.31 joins it with its pairs, but not with this attribute
                node.attributes.pop("dilations", None)
        for name, value in tuple(self.graph.initializers.items()):
            if not value.uses():  # the float weights
                del self.graph.initializers[name]
        return self.model

    def _weights(self, layer: Layer) -> None:
        """Weights and bias as integers; the bias has the scale of the accumulator."""
        node = next(self.nodes[name] for name in layer.nodes if self.nodes[name].op_type in PRODUCTS)
        scale = self.integer.tensors[f"{layer.name}/weight"].scale.astype(np.float32)
        weight, axis = np.asarray(layer.constants["weight"]), 0
        if node.op_type in {"MatMul", "ConvTranspose"}:
            axis = 1
        elif node.op_type == "Gemm":
            weight = np.ascontiguousarray(weight.T)
        node.replace_input_with(1, self._dequantized(node, "weight", weight, scale, axis))
        added = next((self.nodes[name] for name in layer.nodes if self.nodes[name].op_type == "Add"), None)
        if node.op_type == "MatMul" and added is None:
            return
        source = self.integer.tensors[layer.inputs[0]].scale.astype(np.float32)
        bias = np.asarray(layer.constants["bias"], np.int32)
        reader = added or node
        index = 2 if added is None else next(i for i in (0, 1) if graph.constant(reader.inputs[i]) is not None)
        reader.replace_input_with(index, self._dequantized(reader, "bias", bias, source * scale, 0))

    def _operand(self, layer: Layer, role: str) -> None:
        """The constant operand of a sum or product, or the slopes of a PRelu, as integers."""
        reader = self.nodes[layer.nodes[0]]
        index = next(i for i, value in enumerate(reader.inputs) if graph.constant(value) is not None)
        shape = graph.static_shape(reader.inputs[index]) or ()
        params, array = self.integer.tensors[f"{layer.name}/{role}"], np.asarray(layer.constants[role]).reshape(shape)
        scale, zero_point = params.scale.astype(np.float32), int(params.zero_point)
        reader.replace_input_with(index, self._dequantized(reader, role, array, scale, 0, zero_point))

    def _dequantized(
        self,
        reader: ir.Node,
        role: str,
        array: NDArray[Any],
        scale: NDArray[np.float32],
        axis: int,
        zero_point: int = 0,
    ) -> ir.Value:
        """A DequantizeLinear on stored integers, for one reader."""
        name = f"{reader.name}_{role}"
        inputs = [self._constant(f"{name}_quantized", array), self._constant(f"{name}_scale", scale)]
        inputs.append(self._constant(f"{name}_zero_point", np.full(np.shape(scale), zero_point, array.dtype)))
        made = ir.node("DequantizeLinear", inputs, {"axis": axis} if scale.ndim else {}, name=f"{name}_dequantize")
        made.outputs[0].name = self._free(f"{name}_dequantized")
        self.graph.insert_before(reader, made)
        return made.outputs[0]

    def _conversion(self, layer: Layer) -> None:
        """A tensor on another scale for one reader: a pair of its own between the two."""
        value = self.values[self.floats.get(layer.inputs[0], layer.inputs[0])]
        reader = self.nodes[layer.nodes[0]]
        inputs = [source for source in reader.inputs if source is not None and graph.constant(source) is None]
        index = reader.inputs.index(inputs[int(layer.outputs[0].rpartition("_input")[2])])
        self._pair(value, self.integer.tensors[layer.outputs[0]], [(reader, index)], layer.outputs[0])

    def _typed(self, value: ir.Value, params: QuantParams) -> None:
        """An integer input: DequantizeLinear takes the place of its casts."""
        for cast, _ in list(value.uses()):
            cast_to = cast.outputs[0]
            pair = self._scale(value.name or "", params)
            made = ir.node("DequantizeLinear", [value, *pair], name=f"{cast.name}_dequantize")
            self.graph.insert_before(cast, made)
            name, cast_to.name = cast_to.name, self._free(f"{cast_to.name}_cast")
            made.outputs[0].name, made.outputs[0].shape, made.outputs[0].type = name, cast_to.shape, cast_to.type
            cast_to.replace_all_uses_with(made.outputs[0])
            self.graph.remove(cast, safe=True)

    def _pair(self, value: ir.Value, params: QuantParams, uses: Iterable[Any], name: str | None = None) -> None:
        """QuantizeLinear and DequantizeLinear between a value and those of its readers."""
        own = name is None
        name = name or value.name or ""
        readers, pair = list(uses), self._scale(name, params)
        quantize = ir.node("QuantizeLinear", [value, *pair], name=f"{name}_quantize")
        dequantize = ir.node("DequantizeLinear", [quantize.outputs[0], *pair], name=f"{name}_dequantize")
        quantize.outputs[0].name = self._free(f"{name}_quantized")
        dequantize.outputs[0].name = self._free(f"{name}_dequantized")
        producer = value.producer()
        if producer is None:
            self.graph.insert_before(self.graph[0], [quantize, dequantize])
        else:
            self.graph.insert_after(producer, [quantize, dequantize])
        for user, index in readers:
            user.replace_input_with(index, dequantize.outputs[0])
        if own and value.is_graph_output():
            self._leave(value, dequantize.outputs[0])

    def _leave(self, value: ir.Value, new: ir.Value) -> None:
        """The dequantized value leaves in the place and under the name of the float one."""
        outputs = self.graph.outputs
        index = next(i for i, output in enumerate(outputs) if output is value)
        new.shape, new.type = value.shape, value.type
        name, value.name = value.name, self._free(f"{value.name}_float")
        new.name = name
        outputs[index] = new

    def _scale(self, name: str, params: QuantParams) -> tuple[ir.Value, ir.Value]:
        """Scale and zero point as constants."""
        scale = self._constant(f"{name}_scale", params.scale.astype(np.float32))
        return scale, self._constant(f"{name}_zero_point", params.zero_point.astype(params.dtype.storage))

    def _constant(self, name: str, array: NDArray[Any]) -> ir.Value:
        """A new initializer."""
        tensor = ir.tensor(array, name=self._free(name))
        shape, dtype = ir.Shape(array.shape), ir.TensorType(tensor.dtype)
        value = ir.Value(name=tensor.name, const_value=tensor, shape=shape, type=dtype)
        self.graph.initializers.add(value)
        return value

    def _free(self, name: str) -> str:
        """A name that no value has."""
        while name in self.taken:
            name += "_"
        self.taken.add(name)
        return name
