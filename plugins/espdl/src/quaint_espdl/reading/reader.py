"""Files of the runtime as integer models that give the same integers, in the file's own layout: channel last."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from quaint.errors import QuaintError
from quaint.frontends.limits import Limits
from quaint.integer import DEQUANTIZER, INPUT_QUANTIZER, IntegerModel, Layer
from quaint.quantized import Quantized
from quaint.suggest import did_you_mean
from quaint.vectors import Vectors
from quaint_espdl.accumulators import limited_model
from quaint_espdl.file.container import is_encrypted, read
from quaint_espdl.file.describe import describe
from quaint_espdl.file.elements import PRODUCER, DataType
from quaint_espdl.file.encryption import key_from_environment, read_key
from quaint_espdl.file.package import is_package, models
from quaint_espdl.reading.chips import by_name, guess
from quaint_espdl.reading.doubts import doubts
from quaint_espdl.reading.elementwise import ELEMENTWISE
from quaint_espdl.reading.movement import MOVEMENT
from quaint_espdl.reading.products import PRODUCTS
from quaint_espdl.reading.recurrent import RECURRENT
from quaint_espdl.reading.reductions import REDUCED
from quaint_espdl.reading.view import Edge, Node, Unsupported, edges_of

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

    from numpy.typing import NDArray

    from quaint_espdl.file.elements import EspdlGraph, EspdlModel
    from quaint_espdl.reading.chips import Chip

OPERATORS: dict[str, Callable[[Node], Layer]] = {**PRODUCTS, **ELEMENTWISE, **MOVEMENT, **REDUCED, **RECURRENT}


class Reader:
    """The front end of ``.espdl`` files."""

    #: What is read needs no quantization any more.
    quantized = True

    def __call__(
        self, source: str | Path, *, chip: str | None = None, model: str | None = None, key: str | Path | None = None
    ) -> Quantized:
        """A file as an integer model; tensors have the names and the layout that they have in the file.

        Args:
            source: the file.
            chip: the chip that it is for; what the file says, or else suggests, if None (see ``chips.guess``).
            model: which model of a package; needed where the file holds several.
            key: file with the key of an encrypted model, as 32 hexadecimal digits; the one that the environment variable
                ``QUAINT_ESPDL_KEY`` names if None.

        Raises:
            QuaintError: QM101 or QM104 for a file that cannot be read, QT300 for an unknown chip or model, QT310 for nodes
                that cannot be run exactly, each listed with the reason.
        """
        path = Path(source)
        data = _bytes(path)
        if model is not None:
            data = _member(data, model, path)
        found_model = _decode(data, path, key)
        stem = Path(model).stem if model else path.stem
        found, doubt = (by_name(chip), None) if chip else guess(found_model, stem)
        integer = integer_model(found_model, found, stem)
        noted = [*([doubt] if doubt else []), *_warnings(integer, found_model, found)]
        return Quantized(integer, found.target, warnings=tuple(noted))

    def describe(self, path: str | Path) -> dict[str, Any]:
        """What is in a file, as plain data; of a package, what is in each of its models."""
        path = Path(path)
        data = _bytes(path)
        if not is_package(data):
            return {**describe(_decode(data, path)), "encrypted": is_encrypted(data)}
        return {"format": "espdl package", "models": [_entry(*item, path) for item in models(data, str(path)).items()]}

    def vectors(self, path: str | Path) -> Vectors | None:
        """The embedded test inputs and outputs by name; None where there are none.

        Those of other producers are as the runtime's own ``Model::test`` compares them: 16 bits within one, floats within 2e-5.
        """
        path = Path(path)
        model = _decode(_bytes(path), path)
        inputs, outputs = (
            {tensor.name: tensor.array for tensor in tensors}
            for tensors in (model.graph.test_inputs, model.graph.test_outputs)
        )
        if not inputs or not outputs:
            return None
        allowed = {} if model.producer_name == PRODUCER else {DataType.INT16: 1.0, DataType.FLOAT: 2e-5}
        tolerances = {t.name: allowed[t.dtype] for t in model.graph.test_outputs if t.dtype in allowed}
        return Vectors(inputs, outputs, tolerances)


load = Reader()


def _bytes(path: Path) -> bytes:
    try:
        Limits().check_model(path.stat().st_size, str(path))
        return path.read_bytes()
    except OSError as error:
        raise QuaintError("QM101", f"cannot be read: {error.strerror}", where=str(path.resolve())) from error


def _decode(data: bytes, path: Path, key: str | Path | None = None) -> EspdlModel:
    secret = None
    if is_encrypted(data):
        secret = read_key(key) if key is not None else key_from_environment()
    return read(data, where=str(path), key=secret)


def _member(data: bytes, name: str, path: Path) -> bytes:
    known = models(data, str(path))
    if name not in known:
        raise QuaintError("QT300", f"no model {name!r} in the package", where=str(path), hint=did_you_mean(name, known))
    return known[name]


def _entry(name: str, data: bytes, path: Path) -> dict[str, Any]:
    """A line on one model of a package; an encrypted one is not opened."""
    entry = {"name": name, "bytes": len(data), "encrypted": is_encrypted(data)}
    if entry["encrypted"]:
        return entry
    found = describe(_decode(data, path))
    shapes = {edges: [edge["shape"] for edge in found[edges]] for edges in ("inputs", "outputs")}
    return entry | {"nodes": len(found["nodes"]), "input_shapes": shapes["inputs"], "output_shapes": shapes["outputs"]}


def integer_model(model: EspdlModel, chip: Chip, name: str) -> IntegerModel:
    """A model as layers on a chip.

    Args:
        model: from a file.
        chip: whose arithmetic it has.
        name: what to call it where the file does not say.

    Raises:
        QuaintError: QT310 for nodes that cannot be run exactly, QM104 for a damaged graph.
    """
    graph = model.graph
    edges = edges_of(graph)
    layers = _layers(graph, edges, chip)
    inputs, outputs = ([info.name for info in infos] for infos in (graph.inputs, graph.outputs))
    fixed = [key for key in outputs if edges[key].tensor is not None]
    if fixed:
        raise QuaintError("QT310", f"output '{fixed[0]}' is a constant: nothing computes it", where=graph.name)
    twins = {key: _twin(key, edges) for key in (*inputs, *outputs) if not edges[key].is_real}
    renamed = [_renamed(layer, twins) for layer in layers]
    entering = [_quantizer(edges[key], twins[key], chip) for key in inputs if key in twins]
    leaving = [_dequantizer(edges[key], twins[key]) for key in outputs if key in twins]
    known = [*inputs, *(key for layer in layers for key in layer.outputs)]
    tensors = {twins.get(key, key): params for key in known if (params := edges[key].params) is not None}
    shapes = {called: edges[key].dims for key in known for called in (key, twins.get(key, key))}
    every = (*entering, *renamed, *leaving)
    wide = IntegerModel(graph.name or name, tuple(inputs), tuple(outputs), every, tensors, shapes, chip.target.domain)
    return limited_model(wide, chip.target)[0]


def _layers(graph: EspdlGraph, edges: dict[str, Edge], chip: Chip) -> list[Layer]:
    """The nodes, each as a layer; corrects ``edges`` on the way."""
    layers, refused = [], []
    made = {info.name for info in graph.inputs} | {tensor.name for tensor in graph.initializers}
    for proto in graph.nodes:
        for name in filter(None, (*proto.inputs, *proto.outputs)):
            if name not in edges or (name not in made and name not in proto.outputs):
                raise QuaintError("QM104", f"nothing is known of tensor '{name}'", where=f"node '{proto.name}'")
        made.update(proto.outputs)
        node = Node(proto, edges, chip)
        try:
            layer = OPERATORS.get(proto.op_type, _unknown)(node)
            node.check()
            edges.update(node.corrected(layer))
            layers.append(layer)
        except Unsupported as reason:
            refused.append(f"{node.name} ({node.op_type}): {reason}")
        except (LookupError, ValueError, TypeError, ArithmeticError) as error:
            what = f"a damaged {node.op_type} ({type(error).__name__}: {error})"
            raise QuaintError("QM104", what, where=f"node '{node.name}'") from error
    if refused:
        what = f"{len(refused)} of {len(graph.nodes)} nodes cannot be run exactly"
        raise QuaintError("QT310", what, hint=refused[0], details=refused)
    return layers


def _unknown(node: Node) -> Layer:
    raise Unsupported(f"{node.op_type} is not among the operators that can be run")


def _twin(name: str, edges: Mapping[str, Edge]) -> str:
    """The name of the integers behind an input or output, which people may also give and get as reals."""
    twin = f"{name}_int"
    while twin in edges:
        twin += "_"
    return twin


def _renamed(layer: Layer, twins: Mapping[str, str]) -> Layer:
    inputs, outputs = (tuple(twins.get(name, name) for name in names) for names in (layer.inputs, layer.outputs))
    return replace(layer, inputs=inputs, outputs=outputs)


def _quantizer(edge: Edge, twin: str, chip: Chip) -> Layer:
    kind = edge.integers
    constants: dict[str, NDArray[Any]] = {
        "factor": np.asarray(1 / edge.scale, np.float32),
        "zero_point": np.zeros((), np.int64),
    }
    attributes = {"low": kind.low, "high": kind.high, "rounding": str(chip.rounding)}
    return Layer(INPUT_QUANTIZER, (edge.name,), (twin,), constants, attributes, f"{edge.name}_quantizer")


def _dequantizer(edge: Edge, twin: str) -> Layer:
    constants: dict[str, NDArray[Any]] = {
        "scale": np.asarray(edge.scale, np.float32),
        "zero_point": np.zeros((), np.int64),
    }
    return Layer(DEQUANTIZER, (twin,), (edge.name,), constants, {}, f"{edge.name}_dequantizer")


def _warnings(integer: IntegerModel, model: EspdlModel, chip: Chip) -> Iterator[str]:
    """Accumulators that may saturate or overflow, scales mixed, and what the simulators do not show: state between calls."""
    yield from limited_model(integer, chip.target)[1]
    yield from doubts(model.graph)
    if any(node.op_type == "StreamingCache" for node in model.graph.nodes):
        yield "the model keeps frames from one call to the next; here every call is the first, with zeros before it"
