"""Where errors come from: of every layer alone, of all layers together, and what one layer alone does to the outputs.

The float model runs once over the samples. A layer is then run on the integers that float tensors before it round to; what that
does to the outputs is found by running the float nodes behind it and no others, half the model on average.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from quaint.errors import QuaintError
from quaint.floatmodel import FloatModel, extract
from quaint.report.metrics import Noise, Share, Smape, dequantized, rounded, saturated, top1
from quaint.report.pairing import Piece, first_samples, pieces, reals_of
from quaint.suggest import did_you_mean

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence

    import onnx_ir as ir
    from numpy.typing import NDArray

    from quaint.quantized import Quantized

    Arrays = Mapping[str, NDArray[Any]]

#: Samples, at least, of all float tensors that are held at once, and how many numbers these may be.
SAMPLES, LEAST, VALUES = 16, 8, 1 << 27


@dataclass(frozen=True)
class LayerError:
    """How far a layer's output is from the float model's.

    Args:
        layer: its name.
        op: its kernel.
        channel: index along axis 1; None for the whole tensor.
        noise: noise-to-signal power; None where it is infinite.
        smape: symmetric mean absolute error, a share.
        saturated: share of integers at an end of their type.
    """

    layer: str
    op: str
    channel: int | None
    noise: float | None
    smape: float | None
    saturated: float | None


@dataclass(frozen=True)
class Sensitivity:
    """What quantizing one layer alone does to the model's outputs.

    Args:
        layer: its name.
        op: its kernel.
        noise: noise-to-signal power over all outputs.
        agreement: share of samples that keep their class by the first output; None where that has no classes.
    """

    layer: str
    op: str
    noise: float | None
    agreement: float | None


class Bench:
    """A quantized model with its float source, and the float tensors of some samples.

    Args:
        quantized: with its source and its samples.
        count: how many samples; 16, fewer (8 at least) for a large model, if None.
    """

    def __init__(self, quantized: Quantized, count: int | None = None) -> None:
        if quantized.source is None or quantized.samples is None:
            raise ValueError("needs the float source and samples")
        self.quantized, self.source = quantized, quantized.source
        self.reals = reals_of(quantized)
        self.pieces = tuple(pieces(quantized))
        samples = quantized.samples
        self.feeds = first_samples(samples, min(len(samples), count or _sample_count(quantized)))
        self.order = {node: index for index, node in enumerate(self.source.graph)}
        self.values = {value.name: value for node in self.source.graph for value in node.outputs}
        self.suffixes = {piece.output: self._suffix(piece.real) for piece in self.pieces}
        read = {name for _, names in self.suffixes.values() for name in names}
        outputs = tuple(dict.fromkeys([*quantized.integer.outputs, *self.reals.values(), *sorted(read)]))
        self.count = len(next(iter(self.feeds.values())))
        self.floats = self._joined(self.feeds, FloatModel(self.source, outputs).run)

    def _suffix(self, name: str) -> tuple[list[ir.Node], list[str]]:
        """The float nodes behind a tensor, in order, and what else they read."""
        behind: dict[ir.Node, None] = {}
        waiting = [self.values[name]] if name in self.values else []
        while waiting:
            for user, _ in waiting.pop().uses():
                if user not in behind:
                    behind[user] = None
                    waiting += user.outputs
        nodes = sorted(behind, key=self.order.__getitem__)
        made = {value.name for node in nodes for value in node.outputs}
        constants = self.source.graph.initializers
        read = {value.name or "" for node in nodes for value in node.inputs if value is not None}
        return nodes, sorted(read - made - constants.keys() - {name})

    def alone(self, piece: Piece) -> NDArray[Any]:
        """The integers that a piece gives for the float tensors before it."""
        model = self.quantized.integer
        params = {name: model.tensors[name] for name in piece.inputs}
        entering = [name for name in piece.inputs if name in model.integer_inputs]
        feeds = dict(self.quantized.run(self.feeds, outputs=entering)) if entering else {}
        for name in piece.inputs:
            if name not in feeds:
                feeds[name] = rounded(self.floats[self.reals[name]], params[name])
        return self._joined(feeds, lambda part: self.quantized.simulator().run(part, (piece.output,)))[piece.output]

    def rows(self) -> Iterator[slice]:
        """All samples, a few at a time."""
        step = self.quantized.integer.shapes[self.quantized.integer.inputs[0]][0] or self.quantized.chunk
        return (slice(start, start + step) for start in range(0, self.count, step))

    def _joined(self, feeds: Arrays, run: Callable[[Arrays], Arrays]) -> dict[str, NDArray[Any]]:
        """What ``run`` makes of feeds, a few samples at a time: what it needs inside is never there for all of them."""
        joined: dict[str, NDArray[Any]] = {}
        for rows in self.rows():
            for name, values in run({name: values[rows] for name, values in feeds.items()}).items():
                whole = joined.setdefault(name, np.empty((self.count, *values.shape[1:]), values.dtype))
                whole[rows] = values
        return joined

    def outputs_with(self, piece: Piece, values: NDArray[Any]) -> dict[str, NDArray[Any]]:
        """The float model's outputs where ``values`` take the place of the tensor that a piece makes."""
        nodes, read = self.suffixes[piece.output]
        made = {value.name for node in nodes for value in node.outputs}
        given = {**{name: self.floats[name] for name in read}, piece.real: values}
        wanted = self.quantized.integer.outputs
        leaving = [name for name in wanted if name in made]
        got: dict[str, NDArray[Any]] = {}
        if leaving:
            entering, part = extract(self.source, nodes, leaving)
            got = FloatModel(part).run({name: given[name] for name in entering})
        return {name: got[name] if name in got else given.get(name, self.floats[name]) for name in wanted}


def _sample_count(quantized: Quantized) -> int:
    shapes = [value.shape for node in quantized.source.graph for value in node.outputs] if quantized.source else []
    values = sum(
        math.prod(size for size in shape[1:] if isinstance(size, int)) for shape in shapes if shape is not None
    )
    return min(SAMPLES, max(LEAST, VALUES // max(values, 1)))


def layer_errors(bench: Bench, *, cumulative: bool = False, layer: str | None = None) -> Iterator[LayerError]:
    """The error of each layer's output, or of each channel of one layer's.

    Args:
        bench: the models and samples.
        cumulative: all layers before it are quantized too; else it alone.
        layer: which one; all, each as a whole, if None.

    Raises:
        QuaintError: QP511 for a layer that is not there.
    """
    chosen = _chosen(bench, layer)
    together: Arrays = {}
    if cumulative:
        together = bench.quantized.run(bench.feeds, outputs=[piece.output for piece in chosen])
    for piece in chosen:
        integers = together[piece.output] if cumulative else bench.alone(piece)
        yield from _errors(bench, piece, integers, by_channel=layer is not None)


def _chosen(bench: Bench, layer: str | None) -> Sequence[Piece]:
    if layer is None:
        return bench.pieces
    chosen = [piece for piece in bench.pieces if piece.layer == layer]
    if not chosen:
        hint = did_you_mean(layer, [piece.layer for piece in bench.pieces])
        raise QuaintError("QP511", f"no layer with a tensor of the float model is called {layer!r}", hint=hint)
    return chosen


def _errors(bench: Bench, piece: Piece, integers: NDArray[Any], *, by_channel: bool) -> Iterator[LayerError]:
    params = bench.quantized.integer.tensors[piece.output]
    channels: Sequence[int | None] = range(integers.shape[1]) if by_channel and integers.ndim > 1 else [None]
    sums = {channel: (Noise(), Smape(), Share()) for channel in channels}
    for rows in bench.rows():
        mine, real = dequantized(integers[rows], params), bench.floats[piece.real][rows]
        ends = saturated(integers[rows], params)
        for channel, (noise, smape, share) in sums.items():
            part = (slice(None), channel) if channel is not None else ...
            noise.add(mine[part], real[part])
            smape.add(mine[part], real[part])
            share.add(ends[part])
    for channel, (noise, smape, share) in sums.items():
        yield LayerError(piece.layer, piece.op, channel, noise.ratio, smape.ratio, share.ratio)


def sensitivities(bench: Bench, done: Callable[[int, int], None] = lambda _done, _total: None) -> Iterator[Sensitivity]:
    """What each layer alone does to the outputs, in order of execution; ``done`` is told of progress."""
    params = bench.quantized.integer.tensors
    for index, piece in enumerate(bench.pieces):
        made = bench.outputs_with(piece, dequantized(bench.alone(piece), params[piece.output]))
        noise, same = Noise(), Share()
        for name, values in made.items():
            noise.add(values, bench.floats[name])
        first = next(iter(made))
        mine, theirs = top1(made[first]), top1(bench.floats[first])
        if mine is not None and theirs is not None:
            same.add(mine == theirs)
        done(index + 1, len(bench.pieces))
        yield Sensitivity(piece.layer, piece.op, noise.ratio, same.ratio)
