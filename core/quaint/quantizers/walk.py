"""The layers in order of execution, on a few samples: in float, and as the integers have it so far."""

from __future__ import annotations

import contextlib
import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from quaint import graph
from quaint.floatmodel import FloatModel, extract
from quaint.lower import Lowering
from quaint.quantizers.weights import WEIGHTED, output_axis, private, replace

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence

    import onnx_ir as ir
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
        chunk: how many of them are run at once.
    """

    def __init__(
        self,
        plan: Plan,
        params: Mapping[str, QuantParams],
        ranges: Mapping[str, Range],
        samples: Mapping[str, NDArray[Any]],
    ) -> None:
        self.plan, self.chunk = plan, fixed_batch(plan) or CHUNK
        self.count = len(next(iter(samples.values())))
        self.lowering = Lowering(plan.target, plan.config, plan=plan, params=dict(params), ranges=ranges)
        entering = FloatModel(plan.model, plan.inputs).run(samples)
        # what later layers read, for each chunk
        self._real: list[Arrays] = [
            {name: values[self._at(name, start)] for name, values in entering.items()}
            for start in range(0, self.count, self.chunk)
        ]
        self._whole = [self._quantized(chunk) for chunk in self._real]

    def go(self, correct: Callable[[Product], NDArray[Any]]) -> None:
        """Walk through all layers.

        Args:
            correct: called for every layer with weights; may change weights and bias of its node, and gives the weights that
                the integers stand for, with which the walk goes on.
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
                with _weights(product.node, correct(product)):
                    self._advance_whole(block, read)
            else:
                self._advance_real(block, block.nodes[0], read)
                self._advance_whole(block, read)

    def mean(self, product: Product, weights: NDArray[Any]) -> NDArray[np.float64]:
        """As ``Product.mean`` on the integers, with these weights and the bias as it is now."""
        with _weights(product.node, weights):
            part = _Part(self.plan.model, product.nodes, (product.sums,))
        return _mean(part.run(self._reals(part, chunk))[product.sums] for chunk in self._whole)

    def entering(self, product: Product) -> Iterator[NDArray[Any]]:
        """What a product reads, as the integers stand for it; float32, a chunk at a time."""
        name = product.block.inputs[0]
        for chunk in self._whole:
            yield dequantized(chunk[name], self.lowering.params[name])

    def _advance_real(self, block: Block, node: ir.Node, read: set[str]) -> NDArray[np.float64]:
        """Run a block in float, keep what is ``read`` later, and give the mean of each channel of what ``node`` makes."""
        sums = node.outputs[0].name or ""
        part = _Part(self.plan.model, block.nodes, tuple(dict.fromkeys((sums, *block.outputs))))

        def run(index: int) -> NDArray[Any]:
            known = self._real[index]
            made = part.run({name: known[name] for name in part.entering})
            self._real[index] = {name: values for name, values in (known | made).items() if name in read}
            return made[sums]

        return _mean(run(index) for index in range(len(self._real)))

    def _advance_whole(self, block: Block, read: set[str]) -> None:
        """Run a block on what the integers stand for, and keep what is ``read`` later."""
        part = _Part(self.plan.model, block.nodes, block.outputs)
        for index, known in enumerate(self._whole):
            made = self._quantized(part.run(self._reals(part, known)))
            self._whole[index] = {name: values for name, values in (known | made).items() if name in read}

    def _reals(self, part: _Part, known: Arrays) -> Arrays:
        """What a part reads."""
        return {name: dequantized(known[name], self.lowering.params[name]) for name in part.entering}

    def _quantized(self, made: Arrays) -> Arrays:
        return {name: quantized(values, self.lowering.params[name]) for name, values in made.items()}

    def _at(self, name: str, start: int) -> tuple[slice, ...]:
        """Where a chunk of a tensor is: along its open axis, which recurrent layers have second or third."""
        sizes = graph.dims(self.plan.values[name]) or ()
        batch = next((axis for axis, size in enumerate(sizes) if not isinstance(size, int)), 0)
        return (*(slice(None),) * batch, slice(start, start + self.chunk))


@contextlib.contextmanager
def _weights(node: ir.Node, weights: NDArray[Any]) -> Iterator[None]:
    """Other weights for a while."""
    value = node.inputs[1]
    assert value is not None
    kept = value.const_value
    replace(node, 1, weights)
    try:
        yield
    finally:
        value.const_value = kept


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
        self.entering, part = extract(model, nodes, outputs)
        self._model = FloatModel(part)

    def run(self, values: Arrays) -> Arrays:
        return self._model.run(values)


def fixed_batch(plan: Plan) -> int | None:
    """The only size of batches that the model takes; None where it takes any."""
    sizes = [graph.dims(value) for value in plan.model.graph.inputs]
    return next((shape[0] for shape in sizes if shape and isinstance(shape[0], int)), None)


def _mean(chunks: Iterable[NDArray[Any]]) -> NDArray[np.float64]:
    """Mean of each index of axis 1 over all chunks."""
    total, count = np.zeros(()), 0
    for values in chunks:
        rows = values.reshape(*values.shape[:2], math.prod(values.shape[2:])).mean(axis=2)
        total, count = total + rows.sum(axis=0, dtype=np.float64), count + len(rows)
    return np.asarray(total / count)


def quantized(values: NDArray[Any], params: QuantParams) -> NDArray[Any]:
    """The integers of reals, by way of float32: an estimate, since that may round a tie another way."""
    factor = params.broadcast(np.minimum(1 / params.scale, np.finfo(np.float32).max), values.ndim)
    made = np.asarray(values * factor.astype(np.float32), np.float32)
    np.rint(made, out=made)
    made += params.broadcast(params.zero_point, values.ndim).astype(np.float32)
    if np.isnan(made).any():  # a divisor that was rounded to zero
        np.nan_to_num(made, copy=False)
    return np.clip(made, params.dtype.low, params.dtype.high, out=made).astype(params.dtype.storage)


def dequantized(whole: NDArray[Any], params: QuantParams) -> NDArray[Any]:
    """The reals that integers stand for, float32."""
    scale, zero = (params.broadcast(v, whole.ndim).astype(np.float32) for v in (params.scale, params.zero_point))
    return np.asarray((whole.astype(np.float32) - zero) * scale)
