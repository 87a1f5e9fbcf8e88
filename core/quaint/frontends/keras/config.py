"""A Keras model as its configuration tells it: layers, how they are joined, and which model is nested in which.

Keras 3 (``keras``) and Keras 2 (``tf_keras``, legacy ``.h5``) write the same tree of dictionaries and differ in how they
write a call: Keras 3 as ``{"args": [...], "kwargs": {...}}`` with serialised tensors, Keras 2 as
``[[layer, node, tensor, kwargs], ...]``. Nothing here imports Keras or makes one of its objects.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from graphlib import CycleError, TopologicalSorter
from typing import Any, TypeVar

from quaint.errors import QuaintError

#: One layer as Keras serialises it: ``class_name``, ``config`` and, in a functional model, ``inbound_nodes``.
Entry = Mapping[str, Any]
#: Layer, number of the call of it, number of the tensor that the call gives.
Reference = tuple[str, int, int]
#: What a call takes: the output of another call, or the number in ``x + 3.0``.
Operand = Reference | float

MODELS = frozenset({"Functional", "Sequential", "Model"})
MAX_DEPTH = 64
_NUMBER = "_CONSTANT_VALUE"  # stands for the layer in Keras 2's reference to a number
#: Layers that are operators too, ``x + y``: Keras 3 gives those the same class names, and numbers as operands.
OPERATORS = frozenset({"Add", "Subtract", "Multiply", "Maximum", "Minimum", "Divide", "TrueDivide"})
#: Keras 2 writes an operator as a layer ``TFOpLambda`` with the name of a TensorFlow function.
TF_OPERATORS = {
    "__operators__.add": "Add",
    "math.add": "Add",
    "math.subtract": "Subtract",
    "math.multiply": "Multiply",
    "math.truediv": "TrueDivide",
}

T = TypeVar("T")


def kind(entry: Entry) -> str:
    """The layer's class: bare for Keras' own layers and operators, qualified for anybody else's."""
    name, registered = str(entry["class_name"]), str(entry.get("registered_name") or "")
    module = str(entry["module"]) if "module" in entry else "keras.layers"
    if name == "TFOpLambda":
        function = str(entry["config"]["function"])
        return TF_OPERATORS.get(function, f"TFOpLambda {function}")
    if module.split(".")[0] not in {"keras", "tf_keras"} or ">" in registered:
        return registered if ">" in registered else f"{module}.{name}"
    return f"{module}.{name}" if ".ops." in module and name not in OPERATORS else name


def is_model(entry: Entry) -> bool:
    """Whether ``entry`` is a model that holds layers of its own."""
    return kind(entry) in MODELS


def layers(model: Entry) -> list[Entry]:
    """The direct layers of ``model``, in Keras' order."""
    config = model["config"]
    return list(config if isinstance(config, list) else config["layers"])  # a bare list: Sequential before Keras 2.3


def name_of(entry: Entry) -> str:
    """The layer's name."""
    return str(entry.get("name") or entry["config"]["name"])


def leaves(model: Entry, scope: tuple[str, ...] = ()) -> Iterator[tuple[tuple[str, ...], Entry]]:
    """Every layer that is not itself a model, with its path through the nested models.

    Raises:
        QuaintError: QM153, models nested deeper than ``MAX_DEPTH``.
    """
    if len(scope) > MAX_DEPTH:
        raise QuaintError("QM153", f"models are nested deeper than {MAX_DEPTH} levels", where=scope[0])
    for entry in layers(model):
        path = (*scope, name_of(entry))
        if is_model(entry):
            yield from leaves(entry, path)
        else:
            yield path, entry


def input_layers(model: Entry) -> list[tuple[str, Sequence[int | None], str]]:
    """Name, shape (the batch first, ``None`` where unknown) and dtype of every input of ``model``, in order.

    Raises:
        QuaintError: QM122, a Sequential model that was never told the shape of its input.
    """
    if kind(model) != "Sequential":
        by_name = {name_of(entry): entry for entry in layers(model)}
        return [_input(by_name[name]) for name, _, _ in references(model["config"]["input_layers"])]
    first = layers(model)[0]
    while is_model(first):
        if kind(first) != "Sequential":
            return input_layers(first)
        first = layers(first)[0]
    if "batch_shape" not in first["config"] and "batch_input_shape" not in first["config"]:
        hint = "give the first layer an input shape, or call model.build(input_shape), and save the model again"
        raise QuaintError("QM122", "the Sequential model has no input shape", where=name_of(first), hint=hint)
    return [_input(first)]


def _input(entry: Entry) -> tuple[str, Sequence[int | None], str]:
    config = entry["config"]
    shape = config["batch_shape"] if "batch_shape" in config else config["batch_input_shape"]
    dtype = config.get("dtype") or "float32"
    if isinstance(dtype, Mapping):
        dtype = dtype["config"]["name"]
    name = name_of(entry)
    return name if kind(entry) == "InputLayer" else f"{name}_input", shape, str(dtype)


def references(structure: Any) -> list[Reference]:
    """All references to tensors in a nested structure of either format, in order."""
    if isinstance(structure, Mapping):
        if structure.get("class_name") == "__keras_tensor__":
            return references(structure["config"]["keras_history"])
        return [item for value in structure.values() for item in references(value)]
    if not isinstance(structure, list):
        return []
    if len(structure) in {3, 4} and isinstance(structure[0], str) and isinstance(structure[1], int):
        own = [(structure[0], structure[1], int(structure[2]))] if structure[0] != _NUMBER else []
        return own + references(structure[3:])
    return [item for value in structure for item in references(value)]


def evaluate(
    model: Entry,
    inputs: Sequence[T],
    call: Callable[[tuple[str, ...], Entry, Sequence[T | float]], T],
    scope: tuple[str, ...] = (),
) -> list[T]:
    """Run ``call(path, layer, operands)`` for every call of a layer in ``model``, nested models included.

    Args:
        model: a functional or sequential model.
        inputs: the values of its inputs, in order.
        call: what a layer does to its operands.
        scope: path of ``model`` itself.

    Returns:
        The values of the model's outputs, in order.

    Raises:
        QuaintError: QM120, the layers form a cycle; QM121, a layer takes what no layer gives.
    """

    def apply(entry: Entry, values: Sequence[T | float]) -> list[T]:
        path = (*scope, name_of(entry))
        if is_model(entry):
            return evaluate(entry, [value for value in values if not isinstance(value, float)], call, path)
        return [call(path, entry, values)]

    if kind(model) == "Sequential":
        values = list(inputs)
        for entry in layers(model):
            if kind(entry) != "InputLayer":
                values = apply(entry, values)
        return values
    return _evaluate_functional(model, inputs, apply)


def _evaluate_functional(
    model: Entry, inputs: Sequence[T], apply: Callable[[Entry, Sequence[T | float]], list[T]]
) -> list[T]:
    config = model["config"]
    entries = {name_of(entry): entry for entry in layers(model)}
    calls = _calls(config, entries)
    values: dict[tuple[str, int], list[T]] = {
        (name, node): [value] for (name, node, _), value in zip(references(config["input_layers"]), inputs, strict=True)
    }
    needs = {key: [x[:2] for x in operands if not isinstance(x, float)] for key, operands in calls.items()}
    try:
        order = list(TopologicalSorter(needs).static_order())
    except CycleError as error:
        raise QuaintError("QM120", "the layers form a cycle", where=" -> ".join(k[0] for k in error.args[1])) from error
    for key in order:
        if key in values:
            continue
        if key not in calls:
            what = f"a layer takes the output of call {key[1]} of a layer that has none"
            raise QuaintError("QM121", what, where=key[0])
        operands = [x if isinstance(x, float) else _output(values, x) for x in calls[key]]
        values[key] = apply(entries[key[0]], operands)
    return [_output(values, reference) for reference in references(config["output_layers"])]


def _output(values: Mapping[tuple[str, int], list[T]], reference: Reference) -> T:
    """What a call gives: a layer one tensor, even where Keras' own gives more."""
    name, node, tensor = reference
    if tensor >= len(values[name, node]):
        raise QuaintError("QM150", f"output {tensor} of the layer, which gives only one here, is taken", where=name)
    return values[name, node][tensor]


def _calls(config: Mapping[str, Any], entries: Mapping[str, Entry]) -> dict[tuple[str, int], list[Operand]]:
    """What every call of a layer takes. A nested model may count its own construction as call 0; here none does."""
    nodes = {name: list(entry["inbound_nodes"]) for name, entry in entries.items()}
    taken = references([node for calls in nodes.values() for node in calls]) + references(config["output_layers"])
    first = {name: int(any(ref[:2] == (name, len(calls)) for ref in taken)) for name, calls in nodes.items()}
    calls: dict[tuple[str, int], list[Operand]] = {}
    for name, entry in entries.items():
        for index, node in enumerate(nodes[name]):
            key = name, index + first[name] * is_model(entry)
            calls[key] = _operands(entry, node) if _is_operator(entry, node) else _inputs(entry, node)
    return calls


def _is_operator(entry: Entry, node: Any) -> bool:
    return entry["class_name"] == "TFOpLambda" or (kind(entry) in OPERATORS and isinstance(node, Mapping))


def _operands(entry: Entry, node: Any) -> list[Operand]:
    """The operands of ``x + y`` or ``x + 3.0``: Keras 3 lists them, Keras 2 has the second among the keywords."""
    items = node["args"] if isinstance(node, Mapping) else [node[:3], node[3]["y"]]
    operands: list[Operand] = []
    for item in items:
        found = references(item)
        number = item[2] if isinstance(item, list) and item[0] == _NUMBER else item
        if not found and not isinstance(number, int | float):
            raise QuaintError("QM150", f"the operator {kind(entry)} takes {item!r}", where=name_of(entry))
        operands += found or [float(number)]
    return operands


def _inputs(entry: Entry, node: Any) -> list[Operand]:
    """The inputs of a layer; further arguments that change what the layer computes are refused (QM150)."""
    if isinstance(node, Mapping):
        positional = [argument for argument in node["args"] if argument is not None and not references(argument)]
        keywords = [node["kwargs"]]
    else:
        positional, keywords = [], [reference[3] for reference in node if len(reference) > 3]
    extra = [key for kwargs in keywords for key, value in kwargs.items() if value is not None and value is not False]
    if positional or extra:
        shown = ", ".join([*(repr(value) for value in positional), *extra])
        raise QuaintError("QM150", f"the {kind(entry)} layer is called with arguments: {shown}", where=name_of(entry))
    return list(references(node))
