"""The layers in order of execution, on a few samples: in float, and as the integers have it so far."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import onnx
import onnx_ir as ir

from quaint import graph
from quaint.floatmodel import FloatModel, extract
from quaint.lower import Lowering
from quaint.quantizers.weights import WEIGHTED, output_axis, private

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence

    from numpy.typing import NDArray

    from quaint.numerics import QuantParams
    from quaint.partition import Plan
    from quaint.patterns import Block
    from quaint.scales import Range

    Arrays = dict[str, NDArray[Any]]


#: Samples at a time where the model takes any number.
CHUNK = 4


@dataclass(frozen=True)
class Product:
    """A layer with weights that the walk has come to.

    Args:
        block: the layer.
        nodes: those of its nodes that come to the sums: the last has the weights.
        weight: how the layer's integers stand for the weights; None where only ``rounded`` says it.
        rounded: the real weights that its integers stand for, in ONNX's order; None where ``weight`` says it.
        mean: of the sums that the float model gives, before any activation, for each channel; float64.
    """

    block: Block
    nodes: tuple[ir.Node, ...]
    weight: QuantParams | None
    rounded: NDArray[np.float64] | None
    mean: NDArray[np.float64]

    @property
    def node(self) -> ir.Node:
        """Its node with the weights."""
        return self.nodes[-1]

    @property
    def sums(self) -> str:
        """Name of its sums."""
        return self.node.outputs[0].name or ""


class Walk:
    """Tensors of the layer that is next: in float, and as integers with the errors of all layers before.

    Args:
        plan: the divided model, whose weights and biases may change between two layers.
        params: how each tensor is quantized.
        ranges: what calibration saw of each tensor.
        samples: by input.

    Attributes:
        count: how many samples there are.
        chunk: how many of them are held as floats of every kind at once.
    """

    def __init__(
        self,
        plan: Plan,
        params: Mapping[str, QuantParams],
        ranges: Mapping[str, Range],
        samples: Mapping[str, NDArray[Any]],
    ) -> None:
        self.plan, self.chunk = plan, fixed_batch(plan) or CHUNK
        self.lowering = Lowering(plan.target, plan.config, plan=plan, params=dict(params), ranges=ranges)
        self._real: Arrays = FloatModel(plan.model, plan.inputs).run(samples)
        self._whole = {name: self._quantized(name, values) for name, values in self._real.items()}
        self.count = len(next(iter(samples.values())))

    def go(self, correct: Callable[[Product], NDArray[Any]]) -> None:
        """Walk through all layers.

        Args:
            correct: called for every layer with weights; may change weights and bias of its node, and gives its sums on
                the integers (see ``sums``) from then on.
        """
        for index, block in enumerate(self.plan.blocks):
            block.pattern.lower(block, self.lowering)
            read = {name for later in self.plan.blocks[index + 1 :] for name in later.inputs}
            nodes, weight = _to_sums(block), self.lowering.params.get(f"{block.name}/weight")
            rounded = self.lowering.rounded.get(block.name)
            if nodes and (weight is not None or rounded is not None):
                mean = self._advance_real(block, nodes[-1], read)
                rounded = None if rounded is None else np.moveaxis(rounded, 0, output_axis(nodes[-1]))
                product = Product(block, nodes, weight, rounded, mean)
                self._advance_whole(block, block.nodes[len(nodes) :], {product.sums: correct(product)})
            else:
                self._advance_real(block, block.nodes[0], read)
                self._advance_whole(block, block.nodes, {})
            self._whole = {name: values for name, values in self._whole.items() if name in read}

    def sums(self, product: Product) -> NDArray[Any]:
        """Sums of a product on the integers, with its weights and bias as they are now; float32."""
        part = _Part(self.plan.model, product.nodes, (product.sums,))
        found: Arrays = {}
        for rows in self._chunks():
            self._put(found, rows, part.run(self._reals(part, rows)))
        return found[product.sums]

    def entering(self, product: Product) -> Iterator[NDArray[Any]]:
        """What a product reads, as the integers stand for it; float32, some samples at a time."""
        name = product.block.inputs[0]
        for rows in self._chunks():
            yield dequantized(self._whole[name][self._at(name, rows)], self.lowering.params[name])

    def _advance_real(self, block: Block, node: ir.Node, read: set[str]) -> NDArray[np.float64]:
        """Run a block in float, keep what is ``read`` later, and give the mean of each channel of what ``node`` makes."""
        sums = node.outputs[0].name or ""
        part = _Part(self.plan.model, block.nodes, tuple(dict.fromkeys((sums, *block.outputs))))
        kept: Arrays = {}
        means = []
        for rows in self._chunks():
            made = part.run({name: self._real[name][self._at(name, rows)] for name in part.entering})
            means.append(channel_means(made[sums]) * len(made[sums]))
            self._put(kept, rows, {name: values for name, values in made.items() if name in read})
        self._real = {name: values for name, values in self._real.items() if name in read} | kept
        return np.asarray(np.sum(means, axis=0) / self.count)

    def _advance_whole(self, block: Block, nodes: Sequence[ir.Node], known: Arrays) -> None:
        """Run the last ``nodes`` of a block on what the integers stand for; ``known`` is what those before make."""
        part = _Part(self.plan.model, nodes, block.outputs) if nodes else None
        for rows in self._chunks():
            results = {name: values[self._at(name, rows)] for name, values in known.items()}
            if part is not None:
                results |= part.run(self._reals(part, rows, results))
            self._put(self._whole, rows, {name: self._quantized(name, results[name]) for name in block.outputs})

    def _reals(self, part: _Part, rows: slice, known: Mapping[str, NDArray[Any]] | None = None) -> Arrays:
        """What a part reads of some samples."""
        found = dict(known or {})
        for name in part.entering:
            if name not in found:
                found[name] = dequantized(self._whole[name][self._at(name, rows)], self.lowering.params[name])
        return {name: found[name] for name in part.entering}

    def _quantized(self, name: str, values: NDArray[Any]) -> NDArray[Any]:
        return quantized(values, self.lowering.params[name])

    def _put(self, table: Arrays, rows: slice, values: Arrays) -> None:
        """Write the values of some samples into arrays for all of them."""
        for name, part in values.items():
            place = self._at(name, rows)
            if name not in table:
                axis = len(place) - 1
                table[name] = np.empty((*part.shape[:axis], self.count, *part.shape[axis + 1 :]), part.dtype)
            table[name][place] = part

    def _at(self, name: str, rows: slice) -> tuple[slice, ...]:
        """Where some samples of a tensor are: along its open axis, which recurrent layers have second or third."""
        sizes = graph.dims(self.plan.values[name]) or ()
        batch = next((axis for axis, size in enumerate(sizes) if not isinstance(size, int)), 0)
        return (*(slice(None),) * batch, rows)

    def _chunks(self) -> Iterator[slice]:
        for start in range(0, self.count, self.chunk):
            yield slice(start, start + self.chunk)


def _to_sums(block: Block) -> tuple[ir.Node, ...]:
    """The nodes of a block up to the first one with weights of its own; none if it has no such node."""
    for index, node in enumerate(block.nodes):
        if node.op_type in WEIGHTED and private(node):
            return block.nodes[: index + 1]
    return ()


class _Part:
    """Some nodes of the float model.

    Attributes:
        entering: what they read.
    """

    def __init__(self, model: ir.Model, nodes: Sequence[ir.Node], outputs: Sequence[str]) -> None:
        self.entering, data = extract(model, nodes, outputs)
        self._model = FloatModel(ir.from_proto(onnx.ModelProto.FromString(data)))

    def run(self, values: Arrays) -> Arrays:
        return self._model.run(values)


def fixed_batch(plan: Plan) -> int | None:
    """The only size of batches that the model takes; None where it takes any."""
    sizes = [graph.dims(value) for value in plan.model.graph.inputs]
    return next((shape[0] for shape in sizes if shape and isinstance(shape[0], int)), None)


def channel_means(values: NDArray[Any]) -> NDArray[np.float64]:
    """Mean of each index of axis 1, float64."""
    others = tuple(axis for axis in range(values.ndim) if axis != 1)
    return np.asarray(values.mean(axis=others, dtype=np.float64))


def quantized(values: NDArray[Any], params: QuantParams) -> NDArray[Any]:
    """The integers of reals, by way of float32: an estimate, since that may round a tie another way."""
    scale, zero = (params.broadcast(v, values.ndim).astype(np.float32) for v in (params.scale, params.zero_point))
    made = np.asarray(values * (1 / scale), np.float32)
    np.rint(made, out=made)
    made += zero
    np.nan_to_num(made, copy=False)  # a divisor that was rounded to zero
    return np.clip(made, params.dtype.low, params.dtype.high, out=made).astype(params.dtype.storage)


def dequantized(whole: NDArray[Any], params: QuantParams) -> NDArray[Any]:
    """The reals that integers stand for, float32."""
    scale, zero = (params.broadcast(v, whole.ndim).astype(np.float32) for v in (params.scale, params.zero_point))
    return np.asarray((whole.astype(np.float32) - zero) * scale)
