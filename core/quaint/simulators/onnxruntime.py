"""Integer models as stock ONNX graphs in onnxruntime: the same integers as the reference, and far faster.

Tensors between layers stay in float32 (whole numbers), which onnxruntime convolves fastest; see ``tracing_products``,
``tracing_rounding`` and ``tracing_steps`` for why that is exact. Layers that have no exact form in ONNX run on the reference,
one by one.

Reals inside a kernel are computed by the operators that IEEE 754 defines to the last bit (see ``tracing_reals``); sessions do
not flush denormals to zero, which is onnxruntime's default.
"""

from __future__ import annotations

import math
import platform
from functools import lru_cache
from typing import TYPE_CHECKING, Any

import numpy as np
from onnx import helper, numpy_helper

from quaint.integer import HOST
from quaint.simulators.base import accepted, part
from quaint.simulators.reference import Reference
from quaint.simulators.sessions import Session
from quaint.simulators.tracing import Tracer
from quaint.simulators.tracing_edges import check, incoming, outgoing, stored_type
from quaint.simulators.tracing_graph import IR_VERSION, OPSET, Graph, Untraceable

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from numpy.typing import NDArray

    from quaint.arithmetic import Kernel
    from quaint.integer import IntegerModel, Layer
    from quaint.simulators.tracing_values import Real, Shape, Traced

    Array = NDArray[Any]

#: Nodes of one layer: with more, such as a recurrent one over many steps, a session takes longer to make than to run.
MOST_NODES = 400


class Segment:
    """Consecutive layers that become one graph.

    Args:
        model: the model that they belong to.
        kernels: their definitions.
    """

    def __init__(self, model: IntegerModel, kernels: Mapping[str, Kernel]) -> None:
        self._model, self._kernels = model, kernels
        fast = platform.machine().lower() in {"x86_64", "amd64"}  # where onnxruntime has the blocked layout
        self._tracer = Tracer(Graph(), fast=fast)
        self._values: dict[str, Traced | Real] = {}
        self.inputs: dict[str, str] = {}
        self.made: set[str] = set()

    def add(self, layer: Layer) -> None:
        """Trace a layer.

        Raises:
            Untraceable: if it has no exact form, or a very long one; nothing of the segment changes.
        """
        if layer.op == HOST:
            raise Untraceable("a float model: optimizers would join it with what is exact around it")
        given, before = [self._value(name) for name in layer.inputs], len(self._tracer.graph.nodes)
        made = self._kernels[layer.op](self._tracer, *given, **layer.constants, **layer.attributes)
        if len(self._tracer.graph.nodes) - before > MOST_NODES:
            raise Untraceable("more nodes than are worth a session")
        outputs = dict(zip(layer.outputs, made if isinstance(made, tuple) else (made,), strict=True))
        for name, value in outputs.items():
            check(self._model, name, value)
        self._values.update(outputs)
        self.made.update(outputs)

    def _value(self, name: str) -> Traced | Real:
        """A tensor made by the segment, or a new input of it."""
        if name not in self._values:
            place = f"i{len(self.inputs)}"
            self._values[name] = incoming(self._tracer, self._model, name, place)
            self.inputs[name] = place
        return self._values[name]

    @property
    def largest(self) -> int | None:
        """Elements of the largest tensor of one sample; None where not every tensor begins with the batch."""
        shapes = [value.shape for value in self._values.values()]
        if any(shape[:1] != (None,) or None in shape[1:] for shape in shapes):
            return None
        return max(math.prod(size for size in shape[1:] if size is not None) for shape in shapes)

    def session(self, outputs: Iterable[str], threads: int) -> Session:
        """A session that makes the tensors ``outputs``, in that order."""
        graph, model = self._tracer.graph, self._model
        results = [
            (outgoing(self._tracer, model, name, self._values[name]), stored_type(model, name)) for name in outputs
        ]
        proto = helper.make_graph(
            graph.needed(name for name, _ in results),
            "segment",
            [
                helper.make_tensor_value_info(place, stored_type(model, name), _axes(model.shapes[name]))
                for name, place in self.inputs.items()
            ],
            [helper.make_tensor_value_info(name, kind, None) for name, kind in results],
            [numpy_helper.from_array(array, name) for name, array in graph.constants.items()],
        )
        opsets = [helper.make_opsetid("", OPSET)]
        made = helper.make_model(proto, opset_imports=opsets, ir_version=IR_VERSION)
        return Session(made.SerializeToString(), threads, self.largest, inside=2 * len(results) < len(self.made))


def _axes(shape: Shape) -> list[int | str]:
    return ["N" if size is None else size for size in shape]


def divide(model: IntegerModel, kernels: Mapping[str, Kernel]) -> list[Segment | Layer]:
    """The layers of ``model`` as few segments, and the layers between them that cannot be traced."""
    steps: list[Segment | Layer] = []
    segment = Segment(model, kernels)
    for layer in model.layers:
        try:
            segment.add(layer)
        except Untraceable:
            steps += [segment, layer] if segment.made else [layer]
            segment = Segment(model, kernels)
    return [*steps, segment] if segment.made else steps


class Program:
    """Makes some tensors from others: sessions, and layers on the reference between them.

    Args:
        model: the part of a model between them.
        kernels: definitions of its layers.
        threads: for each session; 0 for as many as there are cores.
    """

    def __init__(self, model: IntegerModel, kernels: Mapping[str, Kernel], threads: int) -> None:
        self._model, self._reference = model, Reference(model, kernels)
        self._steps: list[tuple[Session | None, dict[str, str], tuple[str, ...]]] = []
        steps, needed = divide(model, kernels), set(model.outputs)
        for step in reversed(steps):
            if isinstance(step, Segment):
                outputs = tuple(sorted(step.made & needed))
                self._steps.insert(0, (step.session(outputs, threads), step.inputs, outputs))
            else:
                self._steps.insert(0, (None, dict(zip(step.inputs, step.inputs, strict=True)), step.outputs))
            needed.update(step.inputs)

    def run(self, values: dict[str, Array]) -> dict[str, Array]:
        """The model's outputs; integers are in the storage type of their tensors, in ``values`` and in the result."""
        values = dict(values)
        for session, inputs, outputs in self._steps:
            if session is None:
                values |= self._reference.run({name: values[name] for name in inputs}, outputs)
            else:
                made = session.run({place: values[name] for name, place in inputs.items()})
                values |= dict(zip(outputs, made, strict=True))
        return {name: values[name] for name in self._model.outputs}


class OnnxRuntime:
    """Runs an integer model in onnxruntime; see ``Simulator``.

    Args:
        model: what to run.
        kernels: the definition of every ``op`` in it.
        threads: how many to use; None for as many as there are cores.
    """

    def __init__(self, model: IntegerModel, kernels: Mapping[str, Kernel], *, threads: int | None = None) -> None:
        self.model = model
        self._kernels, self._threads = kernels, threads or 0
        self._program = lru_cache(maxsize=8)(self._make)

    def run(self, feeds: Mapping[str, Array], outputs: Sequence[str] | None = None) -> dict[str, Array]:
        """The tensors ``outputs`` for ``feeds``; see ``Simulator.run``."""
        wanted = tuple(self.model.outputs if outputs is None else outputs)
        values = {name: accepted(self.model, name, np.asarray(value)) for name, value in feeds.items()}
        return self._program(tuple(feeds), wanted).run(values)

    def _make(self, feeds: tuple[str, ...], wanted: tuple[str, ...]) -> Program:
        return Program(part(self.model, feeds, wanted), self._kernels, self._threads)
