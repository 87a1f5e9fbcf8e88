"""Writing ONNX for Keras layers: nodes, constants, and tensors that know both of their layouts.

Keras keeps channels last, ONNX first. A tensor remembers its value in each layout, so a transposition is written
where a layer needs the other layout for the first time and never twice: a chain of convolutions has one at its head.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import onnx_ir as ir

from quaint.errors import QuaintError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

OPSET = 21


@dataclass(frozen=True)
class Layer:
    """One call of one layer.

    Attributes:
        name: of its ONNX node: ``path``, numbered from the second call on.
        path: its path through nested models, the prefix of its constants' names.
        kind: Keras class.
        config: Keras configuration.
        weights: float32 arrays by role (``kernel``, ``bias``, ``gamma``, ...).
        keras: major version of Keras that the configuration is written for: some defaults differ.
    """

    name: str
    path: str
    kind: str
    config: dict[str, Any]
    weights: dict[str, NDArray[np.float32]]
    keras: int

    @property
    def channels_last(self) -> bool:
        """Whether the layer takes channels in the last axis."""
        return self.config.get("data_format") != "channels_first"

    def unsupported(self, what: str) -> QuaintError:
        """QM150 for a setting of this layer that has no translation."""
        return QuaintError("QM150", f"{what} of {self.kind} is not supported", where=self.name)


@dataclass
class Tensor:
    """A Keras tensor of ``rank`` axes; ``last`` has Keras' own axis order, ``first`` has the last axis moved to axis 1."""

    rank: int
    last: ir.Value | None = None
    first: ir.Value | None = None

    def __post_init__(self) -> None:
        if self.rank <= 2:  # both orders are one
            self.last = self.first = self.last or self.first

    def any(self) -> ir.Value:
        """The value in a layout that exists already."""
        value = self.first or self.last
        assert value is not None
        return value


class Emitter:
    """Collects the nodes and initializers of the graph and keeps their names unique."""

    def __init__(self) -> None:
        self.nodes: list[ir.Node] = []
        self.initializers: dict[str, ir.Value] = {}
        self._names: set[str] = set()

    def unique(self, name: str) -> str:
        """``name``, or the first free of ``name_1``, ``name_2``, ...; taken from now on."""
        free, count = name, 0
        while free in self._names:
            count += 1
            free = f"{name}_{count}"
        self._names.add(free)
        return free

    def node(self, op: str, name: str, inputs: Sequence[ir.Value | None], **attributes: Any) -> ir.Value:
        """Append a node and return its only output, which bears the node's name."""
        node = ir.node(op, inputs, attributes, name=self.unique(name))
        self.nodes.append(node)
        value = node.outputs[0]
        value.name = node.name
        return value

    def constant(self, name: str, array: Any, dtype: type[np.generic] = np.float32) -> ir.Value:
        """An initializer; the same name with the same content (a layer that is called twice) gives the same one."""
        data = np.ascontiguousarray(array, dtype=dtype).reshape(np.shape(array))
        known = self.initializers.get(name)
        if known is not None and known.const_value is not None and np.array_equal(known.const_value.numpy(), data):
            return known
        name = self.unique(name)
        value = ir.Value(
            name=name,
            type=ir.TensorType(ir.DataType.from_numpy(data.dtype)),
            shape=ir.Shape(data.shape),
            const_value=ir.tensor(data, name=name),
        )
        self.initializers[name] = value
        return value

    def last(self, tensor: Tensor) -> ir.Value:
        """``tensor`` in Keras' own axis order."""
        if tensor.last is None:
            assert tensor.first is not None
            order = [0, *range(2, tensor.rank), 1]
            tensor.last = self.node("Transpose", f"{tensor.first.name}/channels_last", [tensor.first], perm=order)
        return tensor.last

    def first(self, tensor: Tensor) -> ir.Value:
        """``tensor`` with its last axis moved to axis 1."""
        if tensor.first is None:
            assert tensor.last is not None
            order = [0, tensor.rank - 1, *range(1, tensor.rank - 1)]
            tensor.first = self.node("Transpose", f"{tensor.last.name}/channels_first", [tensor.last], perm=order)
        return tensor.first

    def take(self, tensor: Tensor, *, channels_last: bool) -> ir.Value:
        """``tensor`` as a channels-first value, whatever the layer's ``data_format``."""
        return self.first(tensor) if channels_last else self.last(tensor)

    @staticmethod
    def give(value: ir.Value, rank: int, *, channels_last: bool) -> Tensor:
        """The reverse of `take`: a channels-first value as the tensor that a layer gives."""
        return Tensor(rank, first=value) if channels_last else Tensor(rank, last=value)

    def broadcast(self, name: str, array: Any, like: Tensor) -> ir.Value:
        """A constant of Keras' axis order, shaped for an elementwise operation with ``like.any()``."""
        data = np.asarray(array, np.float32)
        if data.ndim == 0 or like.first is None or like.rank <= 2:
            return self.constant(name, data)
        full = data.reshape((1,) * (like.rank - data.ndim) + data.shape)
        return self.constant(name, np.moveaxis(full, -1, 1))

    def elementwise(
        self, op: str, name: str, tensors: Sequence[Tensor], *constants: ir.Value, **attributes: Any
    ) -> Tensor:
        """An operation that does not care for the layout: it keeps that of the first tensor of full rank."""
        leader = max(tensors, key=lambda tensor: tensor.rank)
        if leader.first is not None:
            value = self.node(op, name, [*map(self.first, tensors), *constants], **attributes)
            return Tensor(leader.rank, first=value)
        value = self.node(op, name, [*map(self.last, tensors), *constants], **attributes)
        return Tensor(leader.rank, last=value)

    def number(self, name: str, value: float) -> Tensor:
        """A number as an operand: it broadcasts in either layout."""
        return Tensor(0, last=self.constant(name, value))

    @staticmethod
    def axis(axis: int, tensor: Tensor) -> int:
        """Where Keras' ``axis`` stands in ``tensor.any()``."""
        axis %= tensor.rank
        if tensor.first is None or tensor.rank <= 2 or axis == 0:
            return axis
        return 1 if axis == tensor.rank - 1 else axis + 1
