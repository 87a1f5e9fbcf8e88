"""The ``.json`` beside an ``.espdl`` file: numbers of every tensor and operator of every layer, for tools."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from quaint.quantized import Quantized
    from quaint_espdl.file.elements import EspdlModel, EspdlTensor, ValueInfo


def summary(quantized: Quantized, model: EspdlModel) -> dict[str, Any]:
    """Plain data.

    Returns:
        ``target``; ``tensors``: name -> ``shape`` in the file's layout, ``dtype``, ``exponents``, for constants ``layout``
        too; ``layers``: node -> ``op``, ``inputs``, ``outputs``, ``bits``; ``dispatch``: float node -> the integers it runs
        in, or ``host``.
    """
    graph = model.graph
    named: tuple[ValueInfo | EspdlTensor, ...] = (*graph.value_info, *graph.initializers)
    tensors: dict[str, dict[str, Any]] = {
        info.name: {"shape": list(info.dims), "dtype": info.dtype.name.lower(), "exponents": list(info.exponents)}
        for info in named
    }
    for tensor in graph.initializers:
        tensors[tensor.name]["layout"] = tensor.layout
    layers = {
        node.name: {
            "op": node.op_type,
            "inputs": list(node.inputs),
            "outputs": list(node.outputs),
            "bits": int(node.attributes["quant_type"][1:]),
        }
        for node in graph.nodes
    }
    return {"target": quantized.target.name, "tensors": tensors, "layers": layers, "dispatch": _dispatch(quantized)}


def _dispatch(quantized: Quantized) -> dict[str, str]:
    integer = quantized.integer
    table = {
        node: str(integer.tensors[layer.outputs[0]].dtype) for layer in integer.integer_layers for node in layer.nodes
    }
    return table | {refusal.node: "host" for refusal in quantized.refusals}
