"""Small float models with seeded weights, written down in a line for each layer."""

from __future__ import annotations

import zlib
from typing import TYPE_CHECKING, Any

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import ArrayLike, NDArray

OPSET = 18
IR_VERSION = 9


class Builder:
    """Puts an ONNX model together; values are names.

    Args:
        name: the model's name, which is also the seed of its weights.
    """

    def __init__(self, name: str) -> None:
        self.name = name
        self._random = np.random.default_rng(zlib.crc32(name.encode()))
        self._nodes: list[onnx.NodeProto] = []
        self._constants: list[onnx.TensorProto] = []
        self._inputs: list[onnx.ValueInfoProto] = []

    def input(self, *shape: int, name: str = "input") -> str:
        """A float input; ``shape`` is without the batch."""
        self._inputs.append(helper.make_tensor_value_info(name, TensorProto.FLOAT, ["batch", *shape]))
        return name

    def constant(self, values: ArrayLike, dtype: type = np.float32) -> str:
        """A constant."""
        name = f"constant{len(self._constants)}"
        self._constants.append(numpy_helper.from_array(np.asarray(values, dtype), name))
        return name

    def weights(self, *shape: int, fan_in: int) -> str:
        """Normal weights of variance ``1 / fan_in``, so that signals keep their size."""
        return self.constant(self._random.standard_normal(shape) / np.sqrt(fan_in))

    def op(self, op_type: str, *inputs: str, **attributes: Any) -> str:
        """A node; gives its output, which is called as the node."""
        name = f"{op_type.lower()}{sum(node.op_type == op_type for node in self._nodes)}"
        self._nodes.append(helper.make_node(op_type, inputs, [name], name=name, **attributes))
        return name

    def ops(self, op_type: str, x: str, sizes: str, **attributes: Any) -> list[str]:
        """A node of several outputs, one for each of ``sizes``."""
        given = next(tensor for tensor in self._constants if tensor.name == sizes)
        first = self.op(op_type, x, sizes, **attributes)
        names = [first, *(f"{first}_{i}" for i in range(1, given.dims[0]))]
        self._nodes[-1].output[:] = names
        return names

    def conv(self, x: str, channels: tuple[int, int], kernel: Sequence[int] = (3, 3), **attributes: Any) -> str:
        """Convolution from ``channels[0]`` to ``channels[1]`` with a bias."""
        inner = channels[0] // attributes.get("group", 1)
        weight = self.weights(channels[1], inner, *kernel, fan_in=inner * int(np.prod(kernel)))
        return self.op("Conv", x, weight, self.weights(channels[1], fan_in=16), **attributes)

    def conv_transpose(self, x: str, channels: tuple[int, int], kernel: Sequence[int], **attributes: Any) -> str:
        """Transposed convolution from ``channels[0]`` to ``channels[1]`` with a bias."""
        weight = self.weights(*channels, *kernel, fan_in=channels[0] * 2)
        return self.op("ConvTranspose", x, weight, self.weights(channels[1], fan_in=16), **attributes)

    def gemm(self, x: str, inputs: int, outputs: int) -> str:
        """Dense layer, weight [outputs, inputs]."""
        weight = self.weights(outputs, inputs, fan_in=inputs)
        return self.op("Gemm", x, weight, self.weights(outputs, fan_in=16), transB=1)

    def build(self, *outputs: str) -> onnx.ModelProto:
        """The model, checked and with its shapes inferred."""
        leaving = [onnx.ValueInfoProto(name=name) for name in outputs]
        graph = helper.make_graph(self._nodes, self.name, self._inputs, leaving, self._constants)
        opsets = [helper.make_opsetid("", OPSET)]
        model = helper.make_model(graph, opset_imports=opsets, ir_version=IR_VERSION, producer_name="quaint")
        model = onnx.shape_inference.infer_shapes(model, strict_mode=True)
        onnx.checker.check_model(model, full_check=True)
        return model

    def samples(self, count: int) -> dict[str, NDArray[np.float32]]:
        """Samples for every input, uniform in [-1, 1)."""
        drawn = {}
        for value in self._inputs:
            shape = [dim.dim_value for dim in value.type.tensor_type.shape.dim[1:]]
            drawn[value.name] = self._random.uniform(-1, 1, (count, *shape)).astype(np.float32)
        return drawn
