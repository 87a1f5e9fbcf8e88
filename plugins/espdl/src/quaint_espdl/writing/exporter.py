"""What ESP-DL loads: ``NAME.TARGET.espdl``, and beside it ``.info`` to read and ``.json`` for tools."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import numpy as np

from quaint.errors import QuaintError
from quaint.integer import DEQUANTIZER, HOST
from quaint.plugins import registry
from quaint_espdl.file.container import write
from quaint_espdl.file.describe import info_text
from quaint_espdl.file.elements import PRODUCER, DataType, EspdlGraph, EspdlModel, EspdlTensor, ValueInfo
from quaint_espdl.file.encryption import read_key
from quaint_espdl.writing.graph import GraphWriter, channel_last, original, wanted_channel_last
from quaint_espdl.writing.nodes import WRITERS
from quaint_espdl.writing.sidecar import summary

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence

    import onnx
    from numpy.typing import NDArray

    from quaint.integer import IntegerModel, Layer
    from quaint.quantized import Quantized

    Arrays = Mapping[str, NDArray[Any]]

#: Float operators that the runtime computes from a table of integers.
LAST = frozenset({"Softmax", "LogSoftmax"})


def export(quantized: Quantized, name: str) -> dict[str, bytes]:
    """The files for the chip by name; the same model gives the same bytes.

    Args:
        quantized: a model for one of this plugin's targets.
        name: stem of the files' names.

    Raises:
        QuaintError: QT351 for a model that was read from such a file; QI604, QP512 or QP530 where it cannot be encrypted.
    """
    key_file = quantized.option("encrypt")
    key = read_key(key_file) if key_file else None
    model = to_espdl(quantized)
    stem = f"{name}.{quantized.target.name}"
    files = {f"{stem}.espdl": write(model, key)}
    if quantized.option("info") and key is None:
        files[f"{stem}.info"] = info_text(model).encode()
    described = json.dumps(summary(quantized, model), indent=1, sort_keys=True) + "\n"
    return files | {f"{stem}.json": described.encode()}


def to_espdl(quantized: Quantized) -> EspdlModel:
    """A quantized model in the file's terms.

    The graph begins with the integers that the host's input quantizers give and ends with those that its dequantizers read,
    under the names of the float model. A last Softmax or LogSoftmax goes into the file, with a float output. The embedded
    test vectors are uniform random integers of the inputs' whole range (seed 0) and what the reference simulator makes of them.
    """
    integer = quantized.integer
    writer = GraphWriter(integer, quantized.twins, _operators(quantized), quantized.target.limits["alignment"])
    wanted = wanted_channel_last(integer.integer_layers)
    inputs = []
    for tensor in integer.integer_inputs:
        rank = len(integer.shapes[tensor])
        inputs.append(writer.declare(tensor, channel_last(rank) if tensor in wanted else original(rank)))
    for layer in integer.integer_layers:
        _writer(layer)(writer, layer)
    outputs = [*_write_last(writer, integer)]
    tested = quantized.option("test_vectors")
    feeds = _random_feeds(writer, integer) if tested else {}
    results = quantized.simulator("reference").run(feeds, outputs) if tested else {}
    graph = EspdlGraph(
        name=integer.name,
        nodes=tuple(writer.nodes),
        initializers=tuple(writer.constants),
        inputs=tuple(writer.variables[name] for name in inputs),
        outputs=tuple(writer.variables[writer.declared(tensor)] for tensor in outputs),
        value_info=tuple(writer.variables.values()),
        test_inputs=tuple(_vectors(writer, feeds)),
        test_outputs=tuple(_vectors(writer, results)),
    )
    version = next(plugin.version for plugin in registry().plugins if plugin.name == "core")
    metadata = {"target": quantized.target.name, "runtime": quantized.option("runtime")}
    metadata |= {"test_vectors": "random integers, seed 0"} if tested else {}
    return EspdlModel(graph, metadata, producer_name=PRODUCER, producer_version=version)


def _writer(layer: Layer) -> Callable[[GraphWriter, Layer], None]:
    """How a layer is written; those that only the reader makes are not."""
    if layer.op not in WRITERS:
        what = f"layer {layer.name!r} ({layer.op}) was read from an .espdl file and is not written to one again"
        raise QuaintError("QT351", what, hint="copy the file that it came from, or quantize the float model")
    return WRITERS[layer.op]


def _operators(quantized: Quantized) -> dict[str, str]:
    """Float node -> its operator; nothing for a model that was loaded from a file."""
    nodes = quantized.source.graph if quantized.source is not None else ()
    return {node.name or "": node.op_type for node in nodes}


def _write_last(writer: GraphWriter, model: IntegerModel) -> Iterator[str]:
    """Write the float layers that the runtime has; gives the tensors that leave the file."""
    leaving = {layer.outputs[0]: layer.inputs[0] for layer in model.layers if layer.op == DEQUANTIZER}
    kept = [name for name in model.outputs if name in leaving or name in model.tensors]
    for layer in (layer for layer in model.layers if layer.op == HOST):
        for node in _host_nodes(layer.constants["model"]):
            tensor = leaving.get(node.input[0])
            if node.op_type not in LAST or tensor is None:
                kept += [name for name in node.input if name in leaving]
                continue
            axis = next((a.i for a in node.attribute if a.name == "axis"), -1)
            layout = writer.layout(tensor)
            output = writer.declare(node.output[0], layout, DataType.FLOAT)
            source = writer.take(tensor, layout)
            position = layout.index(axis % len(layout))
            writer.node(node.op_type, node.name, (source,), (output,), writer.params(tensor), axis=position)
            kept.append(node.output[0])
    places = {name: place for place, name in enumerate(model.outputs)}
    kept.sort(key=lambda name: places.get(name, len(places)))  # outputs of the model as it has them, then the others
    return iter(dict.fromkeys(leaving.get(name, name) for name in kept))


def _host_nodes(model: NDArray[np.uint8]) -> Sequence[onnx.NodeProto]:
    import onnx

    return tuple(onnx.load_from_string(model.tobytes()).graph.node)


def _random_feeds(writer: GraphWriter, model: IntegerModel) -> dict[str, NDArray[Any]]:
    """One sample of random integers for each input, channel first."""
    random = np.random.default_rng(0)
    return {
        tensor: random.integers(dtype.low, dtype.high, writer.shape(tensor), dtype.storage, endpoint=True)
        for tensor in model.integer_inputs
        for dtype in (writer.params(tensor).dtype,)
    }


def _vectors(writer: GraphWriter, values: Arrays) -> Iterator[EspdlTensor]:
    """Test vectors in the file's layout."""
    for tensor, array in values.items():
        info: ValueInfo = writer.variables[writer.declared(tensor)]
        moved = np.ascontiguousarray(array.transpose(writer.layout(tensor)), info.dtype.numpy)
        yield EspdlTensor.from_array(info.name, moved, info.exponents)
