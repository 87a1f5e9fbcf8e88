"""Layers that rearrange channels and pixels: DepthToSpace, SpaceToDepth, and what exporters write out for such."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from quaint import graph
from quaint.integer import Layer
from quaint.layers.movement import Moving

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    import onnx_ir as ir

    from quaint.lower import Lowering
    from quaint.patterns import Block, Builder, CheckContext


@dataclass(frozen=True)
class Arrangement:
    """Axes split to the sizes ``split``, put in the order ``perm``, joined to ``shape``; a size of 0 is the batch."""

    split: list[int]
    perm: list[int]
    shape: list[int]

    def without_ones(self) -> Arrangement:
        """The same without axes of one entry in between."""
        long = [axis for axis, size in enumerate(self.split) if size != 1]
        perm = [long.index(axis) for axis in self.perm if axis in long]
        return Arrangement([self.split[axis] for axis in long], perm, self.shape)


def depth_to_space(dims: Sequence[int], block: int, *, channels_inside: bool) -> Arrangement:
    """ONNX DepthToSpace of [channels, height, width]; ``channels_inside``: mode DCR, else CRD."""
    channels, height, width = dims[0] // block**2, *dims[1:]
    shape = [0, channels, height * block, width * block]
    if channels_inside:
        return Arrangement([0, block, block, channels, height, width], [0, 3, 4, 1, 5, 2], shape)
    return Arrangement([0, channels, block, block, height, width], [0, 1, 4, 2, 5, 3], shape)


def space_to_depth(dims: Sequence[int], block: int, *, channels_inside: bool) -> Arrangement:
    """Its inverse; ONNX SpaceToDepth has the channels inside."""
    channels, height, width = dims[0], dims[1] // block, dims[2] // block
    perm = [0, 3, 5, 1, 2, 4] if channels_inside else [0, 1, 3, 5, 2, 4]
    shape = [0, channels * block**2, height, width]
    return Arrangement([0, channels, height, block, width, block], perm, shape)


class Rearranging(Moving):
    """What these layers share."""

    def arrangement(self, block: Block) -> Arrangement | None:
        """What the layer is; None if it is nothing of the kind."""
        raise NotImplementedError(f"{type(self).__name__} rearranges nothing")

    def lower(self, block: Block, context: Lowering) -> Layer | Sequence[Layer]:
        arrangement = self.arrangement(block)
        assert arrangement is not None
        return Layer("rearrange", block.inputs, block.outputs, {}, asdict(arrangement))


class Pixels(Rearranging):
    """DepthToSpace and SpaceToDepth."""

    def pattern(self, op: Builder, x: Any) -> Any:
        return op.one_of("DepthToSpace", "SpaceToDepth")(x)

    def arrangement(self, block: Block) -> Arrangement | None:
        node = block.nodes[0]
        dims, size = _known(node.inputs[0]), graph.attribute(node, "blocksize")
        if node.op_type == "SpaceToDepth":
            return space_to_depth(dims, size, channels_inside=True)
        return depth_to_space(dims, size, channels_inside=graph.attribute(node, "mode", "DCR") == "DCR")


class WrittenOut(Rearranging):
    """Reshape, Transpose, Reshape: pixels to channels or back, or channels shuffled, whatever the axes in between."""

    def pattern(self, op: Builder, x: Any, split: Any, shape: Any) -> Any:
        return op.Reshape(op.Transpose(op.Reshape(x, split)), shape)

    def check(self, context: CheckContext, block: Block, **_: Any) -> bool:
        known = self.arrangement(block) or shuffled(block)
        return known is not None or context.fail("no rearrangement that is known")

    def arrangement(self, block: Block) -> Arrangement | None:
        first, transpose, last = block.nodes
        dims = _known(first.inputs[0])
        found = Arrangement(
            [0, *_known(first.outputs[0])], list(graph.attribute(transpose, "perm")), [0, *_known(last.outputs[0])]
        )
        forms = _pixel_forms(dims, found.split) if len(dims) == 3 else ()
        return next((form for form in forms if form.without_ones() == found.without_ones()), None)

    def lower(self, block: Block, context: Lowering) -> Layer | Sequence[Layer]:
        if self.arrangement(block) is not None:
            return super().lower(block, context)
        found = shuffled(block)
        assert found is not None
        attributes = {"axes": [found[0]], "indices": [found[1]]}
        return Layer("take", block.inputs, block.outputs, {}, attributes)


def _known(value: ir.Value | None) -> list[int]:
    """Sizes without the batch."""
    return [size for size in (graph.dims(value) or ())[1:] if isinstance(size, int)]


def _pixel_forms(dims: Sequence[int], split: Sequence[int]) -> Iterator[Arrangement]:
    for inside in (False, True):
        for block in sorted({*split[1:]} - {0, 1}):
            yield depth_to_space(dims, block, channels_inside=inside)
            yield space_to_depth(dims, block, channels_inside=inside)


def shuffled(block: Block) -> tuple[int, list[int]] | None:
    """The axis whose entries change places and their order, if one axis is split in two that are swapped and joined again."""
    first, transpose, last = block.nodes
    before, split, after = (_known(value) for value in (first.inputs[0], first.outputs[0], last.outputs[0]))
    if before != after or len(split) != len(before) + 1:
        return None
    for axis, size in enumerate(before, 1):
        outer, inner = split[axis - 1 : axis + 1]
        perm = list(range(len(split) + 1))
        perm[axis], perm[axis + 1] = axis + 1, axis
        whole = [*before[: axis - 1], outer, inner, *before[axis:]]
        if split == whole and outer * inner == size and list(graph.attribute(transpose, "perm")) == perm:
            return axis, np.arange(size).reshape(outer, inner).T.reshape(-1).tolist()
    return None
