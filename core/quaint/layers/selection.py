"""Layers that take some entries of each sample, in any order, lowered to core's ``take``."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np

from quaint import graph
from quaint.integer import Layer
from quaint.layers.movement import Moving, parameters_are_constant

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from quaint.lower import Lowering
    from quaint.patterns import Block, Builder, CheckContext

#: Stands for the size of a batch that is left open: no slice of a model ends beyond it.
OPEN = 2**31 - 1


class Selecting(Moving):
    """What these layers share: along some axes, a list of indices each."""

    def indices(self, block: Block) -> dict[int, Sequence[int]]:
        """For each axis that changes, the entries that are taken, from 0 on."""
        raise NotImplementedError(f"{type(self).__name__} takes nothing")

    def check(self, context: CheckContext, block: Block, **_: Any) -> bool:
        if not parameters_are_constant(context, block):
            return False
        size = sizes(block)
        batch = size.index(OPEN) if OPEN in size else 0
        return batch not in self.indices(block) or context.fail("picks among the samples of a batch")

    def lower(self, block: Block, context: Lowering) -> Layer | Sequence[Layer]:
        chosen = self.indices(block)
        attributes = {"axes": list(chosen), "indices": [list(map(int, places)) for places in chosen.values()]}
        return Layer("take", block.inputs, block.outputs, {}, attributes)


def sizes(block: Block) -> list[int]:
    """The input's dimensions; ``OPEN`` for the batch."""
    return [size if isinstance(size, int) else OPEN for size in graph.dims(block.nodes[0].inputs[0]) or ()]


def parameter(block: Block, index: int) -> NDArray[Any] | None:
    """A constant input of the block's node; None where it is left out."""
    return graph.constant(graph.input_at(block.nodes[0], index))


class Slice(Selecting):
    """Every so many entries between two, forwards or backwards."""

    def pattern(self, op: Builder, x: Any, *parameters: Any) -> Any:
        return op.Slice(x, *parameters)

    def indices(self, block: Block) -> dict[int, Sequence[int]]:
        starts, ends, axes, steps = (parameter(block, index) for index in range(1, 5))
        assert starts is not None
        assert ends is not None
        size = sizes(block)
        places = range(len(starts)) if axes is None else [int(axis) % len(size) for axis in axes]
        jumps = [1] * len(starts) if steps is None else steps.tolist()
        chosen = {
            axis: range(size[axis])[start:end:step]
            for axis, start, end, step in zip(places, starts.tolist(), ends.tolist(), jumps, strict=True)
        }
        return {axis: indices for axis, indices in chosen.items() if indices != range(size[axis])}


class Gather(Selecting):
    """Entries by constant indices; a single one drops the axis, several axes of them take its place."""

    def pattern(self, op: Builder, x: Any, indices: Any) -> Any:
        return op.Gather(x, indices)

    def indices(self, block: Block) -> dict[int, Sequence[int]]:
        size = sizes(block)
        axis = graph.attribute(block.nodes[0], "axis", 0) % len(size)
        places = parameter(block, 1)
        assert places is not None
        return {axis: np.mod(places, size[axis]).reshape(-1).tolist()}

    def lower(self, block: Block, context: Lowering) -> Layer | Sequence[Layer]:
        layer = super().lower(block, context)
        if graph.rank(block.nodes[0].inputs[1]) == 1:
            return layer
        assert isinstance(layer, Layer)
        shape = [-1 if size is None else size for size in context.shape(block.outputs[0])]
        return replace(layer, attributes={**layer.attributes, "shape": shape})


class Repeat(Selecting):
    """Tile and Expand: entries over and over."""

    def pattern(self, op: Builder, x: Any, times: Any) -> Any:
        return op.one_of("Tile", "Expand")(x, times)

    def check(self, context: CheckContext, block: Block, **bindings: Any) -> bool:
        node = block.nodes[0]
        if graph.rank(node.inputs[0]) != graph.rank(node.outputs[0]):
            return context.fail("adds axes in front of the batch")
        return super().check(context, block, **bindings)

    def indices(self, block: Block) -> dict[int, Sequence[int]]:
        after = [size if isinstance(size, int) else OPEN for size in graph.dims(block.nodes[0].outputs[0]) or ()]
        return {
            axis: list(range(size)) * (wanted // size)
            for axis, (size, wanted) in enumerate(zip(sizes(block), after, strict=True))
            if wanted != size
        }


class ReverseSequence(Selecting):
    """The first entries along an axis backwards, as many in every sequence."""

    def pattern(self, op: Builder, x: Any, lengths: Any) -> Any:
        return op.ReverseSequence(x, lengths)

    def check(self, context: CheckContext, block: Block, **bindings: Any) -> bool:
        lengths = parameter(block, 1)
        if lengths is not None and len(np.unique(lengths)) != 1:
            return context.fail(f"sequences of different lengths: {lengths.tolist()}")
        return super().check(context, block, **bindings)

    def indices(self, block: Block) -> dict[int, Sequence[int]]:
        lengths = parameter(block, 1)
        assert lengths is not None
        axis, length = graph.attribute(block.nodes[0], "time_axis", 0), int(lengths[0])
        return {axis: [*range(length - 1, -1, -1), *range(length, sizes(block)[axis])]}
