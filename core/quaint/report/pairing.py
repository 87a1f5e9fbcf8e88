"""A quantized model beside its float source: which tensors they have in common, and what lies between those."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from quaint.errors import QuaintError
from quaint.pipeline import canonical, divide, gather, load_model, prepare, quantizer_of
from quaint.samples import Samples, input_specs, open_samples

if TYPE_CHECKING:
    from collections.abc import Iterator

    import numpy as np
    import onnx_ir as ir

    from quaint.integer import IntegerModel
    from quaint.quantized import Quantized


def with_source(quantized: Quantized, source: Any, samples: Any = None, layout: str | None = None) -> Quantized:
    """A quantized model that was loaded from a file, with its float source and samples.

    Where its quantizer prepares the weights (say, equalizes them) the source is prepared too, on the first of the samples.

    Args:
        quantized: the model.
        source: the float model that it was made of: a path, or a model of a framework.
        samples: to measure on; random ones if None.
        layout: of the samples.

    Raises:
        QuaintError: QM108 if the two do not belong together.
    """
    model = canonical(load_model(source), quantized.config)
    given = None if samples is None else open_samples(samples, input_specs(model), layout=layout)
    opened = gather(model, quantized.config, given) if given is None else given
    plan = divide(model, quantized.target, quantized.config)
    prepare(quantizer_of(quantized.config), plan, opened)
    _check_belongs(quantized.integer, model)
    return replace(quantized, source=model, samples=opened)


def _check_belongs(integer: IntegerModel, model: ir.Model) -> None:
    ends = {value.name: "input" for value in model.graph.inputs} | {
        value.name: "output" for value in model.graph.outputs
    }
    nodes = {node.name for node in model.graph}
    missing = [name for name in (*integer.inputs, *integer.outputs) if name not in ends]
    missing += [name for layer in integer.integer_layers for name in layer.nodes if name not in nodes]
    if missing:
        what = f"the quantized model was not made of this float model, which has no {missing[0]!r}"
        raise QuaintError("QM108", what, hint="give the model that it was quantized from")


@dataclass(frozen=True)
class Piece:
    """Layers between tensors that the float model has too.

    Args:
        layer: name of the one that makes the output.
        op: its kernel.
        inputs: integer tensors that are read.
        output: integer tensor that is made.
        real: the same tensor in the float model.
    """

    layer: str
    op: str
    inputs: tuple[str, ...]
    output: str
    real: str


def reals_of(quantized: Quantized) -> dict[str, str]:
    """Integer tensors that the float model has too, with their names there."""
    source, model = quantized.source, quantized.integer
    graph = None if source is None else source.graph
    known = set() if graph is None else {value.name for node in graph for value in node.outputs}
    known |= set() if graph is None else {value.name for value in graph.inputs}
    made = (name for layer in model.integer_layers for name in layer.outputs)
    twins = {name: quantized.twins.get(name, name) for name in (*model.integer_inputs, *made) if name in model.tensors}
    return {name: real for name, real in twins.items() if real in known}


def pieces(quantized: Quantized) -> Iterator[Piece]:
    """The integer model cut at every tensor that the float model has too, in order of execution."""
    model, reals = quantized.integer, reals_of(quantized)
    makers = {name: layer for layer in model.integer_layers for name in layer.outputs}
    for output, layer in makers.items():
        if output not in reals:
            continue
        inputs: dict[str, None] = {}
        wanted = [*layer.inputs]
        while wanted:
            name = wanted.pop(0)
            if name in reals or name not in makers:
                inputs[name] = None
            else:
                wanted += makers[name].inputs
        if all(name in reals for name in inputs):
            yield Piece(layer.name, layer.op, tuple(inputs), output, reals[output])


def first_samples(samples: Samples, count: int) -> dict[str, np.ndarray[Any, Any]]:
    """The first samples as one batch."""
    return dict(next(iter(samples.first(count, measuring=True).batches(count))))
