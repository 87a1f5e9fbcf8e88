"""Weights of every layer of a Keras model, by role, from the three places where Keras keeps them."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from quaint.errors import QuaintError
from quaint.frontends.keras.config import Entry, is_model, kind, layers, leaves, name_of
from quaint.frontends.keras.offered import find

if TYPE_CHECKING:
    import h5py

Arrays = list[NDArray[Any]]
#: Weights by the layer's path through nested models, then by role.
Weights = Mapping[tuple[str, ...], Mapping[str, NDArray[np.float32]]]

#: Roles of trained weights and of statistics, in Keras' order, and the setting that each of them hangs on.
_KERNEL = (("kernel", "bias"), ())
ROLES: dict[str, tuple[tuple[str, ...], tuple[str, ...]]] = {
    **{f"Conv{n}D": _KERNEL for n in (1, 2, 3)},
    **{f"Conv{n}DTranspose": _KERNEL for n in (1, 2, 3)},
    **{f"DepthwiseConv{n}D": _KERNEL for n in (1, 2)},
    **{f"SeparableConv{n}D": (("depthwise_kernel", "pointwise_kernel", "bias"), ()) for n in (1, 2)},
    "Dense": _KERNEL,
    "BatchNormalization": (("gamma", "beta"), ("moving_mean", "moving_variance")),
    "LayerNormalization": (("gamma", "beta"), ()),
    "PReLU": (("alpha",), ()),
    "Normalization": ((), ("mean", "variance", "count")),
}
_SETTING = {"bias": "use_bias", "gamma": "scale", "beta": "center"}


def roles(entry: Entry) -> tuple[list[str], list[str]]:
    """Roles of the weights that the layer has under its configuration: trained, then statistics."""
    config = entry["config"]
    theirs = find(kind(entry))
    trained, statistics = ROLES.get(kind(entry), ((), ())) if theirs is None else (theirs.weights, ())
    if kind(entry) == "Normalization" and config.get("mean") is not None:
        statistics = ()
    return [role for role in trained if config.get(_SETTING.get(role, ""), True)], list(statistics)


def named(entry: Entry, path: Sequence[str], arrays: Arrays) -> dict[str, NDArray[np.float32]]:
    """The layer's arrays, in Keras' order, by role.

    Raises:
        QuaintError: QM104, not as many as the configuration asks for; QM160, not numbers.
    """
    wanted = [role for group in roles(entry) for role in group]
    where = "/".join(path)
    if len(arrays) != len(wanted):
        what = f"the {kind(entry)} layer has {len(arrays)} weights, its configuration asks for {len(wanted)}"
        raise QuaintError("QM104", what, where=where)
    for role, array in zip(wanted, arrays, strict=True):
        if array.dtype.kind not in "fiu":
            raise QuaintError("QM160", f"weights of type {array.dtype} are not supported", where=f"{where}/{role}")
    return {role: np.asarray(array, np.float32) for role, array in zip(wanted, arrays, strict=True)}


def from_archive(model: Entry, group: h5py.Group, read: Callable[[h5py.Dataset], NDArray[Any]]) -> Weights:
    """Weights of a ``.keras`` archive: groups named after the layers' classes, in order (``conv2d``, ``conv2d_1``).

    Args:
        model: the model's configuration.
        group: root of ``model.weights.h5``.
        read: reads a dataset within limits.
    """
    found: dict[tuple[str, ...], dict[str, NDArray[np.float32]]] = {}

    def visit(model: Entry, group: h5py.Group, scope: tuple[str, ...]) -> None:
        store = group["layers"] if "layers" in group else group["_layer_checkpoint_dependencies"]  # Keras 2.12
        seen: Counter[str] = Counter()
        for entry in layers(model):
            if ".ops." in str(entry.get("module")):  # an operator is no layer and takes no number
                continue
            key, path = _snake_case(str(entry["class_name"])), (*scope, name_of(entry))
            seen[key] += 1
            own = store.get(key if seen[key] == 1 else f"{key}_{seen[key] - 1}", {})
            if is_model(entry):
                visit(entry, own, path)
                continue
            variables = own.get("vars", {})
            if variables and variables.attrs.get("name", path[-1]) != path[-1]:
                raise QuaintError("QM104", f"weights of layer {variables.attrs['name']!r}", where="/".join(path))
            found[path] = named(entry, path, [read(variables[index]) for index in sorted(variables, key=int)])

    visit(model, group, ())
    return found


def _snake_case(name: str) -> str:
    """Keras' name of a class in paths: ``Conv2DTranspose`` is ``conv2d_transpose``, ``PReLU`` is ``p_re_lu``."""
    name = re.sub(r"(.)([A-Z][a-z]+)", r"\1_\2", re.sub(r"\W+", "", name))
    return re.sub(r"([a-z])([A-Z])", r"\1_\2", name).lower()


def from_legacy(model: Entry, group: h5py.Group, read: Callable[[h5py.Dataset], NDArray[Any]]) -> Weights:
    """Weights of a legacy ``.h5`` file: a group for every top-level layer, in the order that the group lists.

    A nested model lists first all that is trained, layer by layer, then all that is not: frozen layers and statistics.

    Raises:
        QuaintError: QM104, the list does not fit the model's configuration.
    """
    found: dict[tuple[str, ...], dict[str, NDArray[np.float32]]] = {}
    for top in layers(model):
        name = name_of(top)
        inner = list(leaves(top, (name,))) if is_model(top) else [((name,), top)]
        slots = [(path, role, entry) for path, entry in inner for role in _trained(entry)]
        slots += [(path, role, entry) for path, entry in inner for role in _not_trained(entry)]
        listed = _names(group[name]) if name in group else []
        if len(listed) != len(slots):
            what = f"the layer has {len(listed)} weights, its configuration asks for {len(slots)}"
            raise QuaintError("QM104", what, where=name)
        arrays: dict[tuple[str, ...], dict[str, NDArray[Any]]] = {path: {} for path, _ in inner}
        for weight, (path, role, _) in zip(listed, slots, strict=True):
            if not weight.split("/")[-1].split(":")[0].endswith(role):
                what = f"weight {weight!r} stands where {'/'.join(path)}/{role} is expected"
                raise QuaintError("QM104", what, where=name)
            arrays[path][role] = read(group[name][weight])
        for path, entry in inner:
            order = [role for part in roles(entry) for role in part]
            found[path] = named(entry, path, [arrays[path][role] for role in order])
    return found


def _trained(entry: Entry) -> list[str]:
    return roles(entry)[0] if entry["config"].get("trainable", True) else []


def _not_trained(entry: Entry) -> list[str]:
    trained, statistics = roles(entry)
    return statistics if entry["config"].get("trainable", True) else trained + statistics


def _names(group: h5py.Group) -> list[str]:
    """The attribute ``weight_names``, which Keras splits into ``weight_names0``, ... when it is long."""
    parts = sorted((key for key in group.attrs if key.startswith("weight_names")), key=lambda key: (len(key), key))
    names = [name for part in parts for name in group.attrs[part]]
    return [name.decode() if isinstance(name, bytes) else str(name) for name in names]


def from_memory(model: Entry, source: Any) -> Weights:
    """Weights of a model in memory (``keras.Model`` or ``tf_keras.Model``)."""
    found: dict[tuple[str, ...], dict[str, NDArray[np.float32]]] = {}
    for path, entry in leaves(model):
        if roles(entry) != ([], []):
            layer = source
            for name in path:
                layer = layer.get_layer(name)
            found[path] = named(entry, path, layer.get_weights())
    return found
