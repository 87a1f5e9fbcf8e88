"""The float model, run: one onnxruntime session for many batches."""

from __future__ import annotations

import contextlib
from typing import TYPE_CHECKING, Any

import numpy as np
import onnx_ir as ir

from quaint.errors import QuaintError
from quaint.graph import dims, sample_bytes

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from numpy.typing import NDArray


#: Optimizations of onnxruntime that change results: it makes a border of zeros one of minus infinity before MaxPool.
WRONG = ["Pad_Fusion"]


#: What all tensors of the samples that run at once may take: bounds memory however large the batch.
CHUNK_BYTES = 64 << 20


class FloatModel:
    """A float model as one onnxruntime session.

    Args:
        model: canonical or not; not changed.
        outputs: names of any of its values; the model's outputs if None.
        threads: threads of onnxruntime; its own choice if None.
        step: samples at a time where it takes any number; if None as many as keep all tensors within ``CHUNK_BYTES``.
        whole: most of its tensors are outputs: memory that goes out is none to keep for the next run.

    Raises:
        QuaintError: QM161 where onnxruntime cannot run it; also from ``run``.
    """

    def __init__(
        self,
        model: ir.Model,
        outputs: Sequence[str] | None = None,
        threads: int | None = None,
        *,
        step: int | None = None,
        whole: bool = False,
    ) -> None:
        import onnxruntime as ort

        graph = model.graph
        self.outputs = tuple(outputs) if outputs is not None else tuple(value.name or "" for value in graph.outputs)
        self.inputs = tuple(value.name or "" for value in graph.inputs)
        options = ort.SessionOptions()
        options.log_severity_level = 4  # what it would print is in the error that it raises
        options.add_session_config_entry("session.intra_op.allow_spinning", "0")  # others compute meanwhile
        options.enable_mem_pattern = False  # saves memory: no block for all tensors of a first run
        options.enable_cpu_mem_arena = not whole
        if threads:
            options.intra_op_num_threads = threads
        with _failure_is_qm161():
            self._session = ort.InferenceSession(
                self._serialize(model), options, providers=["CPUExecutionProvider"], disabled_optimizers=WRONG
            )
        self._step = _step(graph, step)

    def _serialize(self, model: ir.Model) -> bytes:
        """The model with ``self.outputs`` as its outputs; what is a graph input already is read from the feeds."""
        graph = model.graph
        kept = list(graph.outputs)
        made = {value.name: value for node in graph for value in node.outputs}
        graph.outputs[:] = [made[name] for name in self.outputs if name in made]
        try:
            return bytes(ir.serde.serialize_model(model).SerializeToString())
        finally:
            graph.outputs[:] = kept

    def run(self, feeds: Mapping[str, NDArray[Any]]) -> dict[str, NDArray[Any]]:
        """Outputs by name for feeds by name; the first axis is the batch, of any size."""
        from_session = [name for name in self.outputs if name not in feeds]
        count = len(next(iter(feeds.values())))
        parts: list[list[Any]] = []
        step = max(self._step or count, 1)
        for start in range(0, count, step):
            part = {name: feeds[name][start : start + step] for name in self.inputs}
            with _failure_is_qm161():
                parts.append(self._session.run(from_session, part) if from_session else [])
        columns = (column[0] if len(column) == 1 else np.concatenate(column) for column in zip(*parts, strict=True))
        results = dict(zip(from_session, columns, strict=True))
        return {name: results[name] if name in results else np.asarray(feeds[name]) for name in self.outputs}


def _step(graph: ir.Graph, wished: int | None) -> int | None:
    """How many samples run at once: a fixed batch; all (None) where not every input has the batch as its first axis."""
    first = [(dims(value) or (None,))[0] for value in graph.inputs]
    if first and isinstance(first[0], int):
        return first[0]
    if any(isinstance(size, int) for size in first):
        return None
    return wished or max(1, CHUNK_BYTES // max(1, sum(sample_bytes(value) for node in graph for value in node.outputs)))


@contextlib.contextmanager
def _failure_is_qm161() -> Iterator[None]:
    try:
        yield
    except Exception as error:  # onnxruntime's errors have no class of their own in common
        if not type(error).__module__.startswith("onnxruntime"):
            raise
        reason = str(error).rpartition(" : ")[2]
        hint = "see whether onnxruntime runs the file as it was given, and report it as a bug if so"
        raise QuaintError("QM161", f"onnxruntime cannot run the float model: {reason}", hint=hint) from error


def extract(model: ir.Model, nodes: Sequence[ir.Node], outputs: Sequence[str]) -> tuple[list[str], ir.Model]:
    """The subgraph of ``nodes`` as a model of its own.

    Returns:
        Names of the tensors that it reads from outside, and the model.
    """
    graph = model.graph
    made = {value.name: value for node in nodes for value in node.outputs}
    read = {value.name or "": value for node in nodes for value in node.inputs if value is not None}
    constants = [value for name, value in read.items() if name in graph.initializers]
    entering = [value for name, value in read.items() if name not in made and name not in graph.initializers]
    clones: dict[str | None, ir.Value] = {}
    for value in [*entering, *constants]:
        clones[value.name] = ir.Value(
            name=value.name, shape=value.shape, type=value.type, const_value=value.const_value
        )
    copies = []
    for node in nodes:
        outs = [ir.Value(name=value.name, shape=value.shape, type=value.type) for value in node.outputs]
        clones.update((value.name, value) for value in outs)
        inputs = [clones[value.name] if value is not None else None for value in node.inputs]
        copies.append(
            ir.Node(node.domain, node.op_type, inputs, list(node.attributes.values()), outputs=outs, name=node.name)
        )
    part = ir.Graph(
        [clones[value.name] for value in entering],
        [clones[name] for name in outputs],
        nodes=copies,
        initializers=[clones[value.name] for value in constants],
        opset_imports=dict(graph.opset_imports),
        name="host",
    )
    return [value.name or "" for value in entering], ir.Model(part, ir_version=model.ir_version)
