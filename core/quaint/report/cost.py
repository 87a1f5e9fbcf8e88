"""What a model costs on its chip: bytes of flash and of memory, multiply-accumulates, layers that had to be inserted."""

from __future__ import annotations

import dataclasses
import math
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, cast

from quaint import graph
from quaint.macs import PRODUCTS, macs_of
from quaint.numerics import IntType
from quaint.plugins import registry
from quaint.report.memory import Step, plan_memory
from quaint.specs import resolve_specs, weight_spec

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from quaint.integer import IntegerModel, Layer
    from quaint.partition import Plan
    from quaint.patterns import Block
    from quaint.quantized import Quantized
    from quaint.report.memory import MemoryPlan

#: Bytes of a float, and of a tensor whose integers only its layer's arithmetic decides (an accumulator).
WORD = 4


@dataclass(frozen=True)
class LayerCost:
    """One layer.

    Args:
        name: of the layer.
        op: its kernel; before quantization its float operators; in a vendor's file the operator there.
        weight_bytes: of its weights.
        bias_bytes: of its biases.
        table_bytes: of its tables.
        other_bytes: of its other constants: shifts, bounds, shapes.
        output_bytes: of what it makes.
        live_bytes: of all tensors that are alive while it runs.
        macs: multiply-accumulates for one sample; None where the float model is not at hand.
    """

    name: str
    op: str
    weight_bytes: int = 0
    bias_bytes: int = 0
    table_bytes: int = 0
    other_bytes: int = 0
    output_bytes: int = 0
    live_bytes: int = 0
    macs: int | None = None

    @property
    def parameter_bytes(self) -> int:
        """Bytes of all its constants."""
        return self.weight_bytes + self.bias_bytes + self.table_bytes + self.other_bytes


@dataclass(frozen=True)
class Cost:
    """All layers of the chip.

    Args:
        layers: in the order of execution.
        peak_memory_bytes: memory for all tensors between layers, inputs and outputs included, as ``plan_memory`` places them.
        requantizations: layers that were inserted because a tensor is wanted with other integers than it has.
        transposes: transpositions that the vendor's file has and the model has not; None before it is written.
        file: name of the vendor's file; None before it is written.
        file_bytes: its size: the flash that it takes.
    """

    layers: tuple[LayerCost, ...]
    peak_memory_bytes: int
    requantizations: int = 0
    transposes: int | None = None
    file: str | None = None
    file_bytes: int | None = None

    @property
    def totals(self) -> dict[str, int]:
        """Sums over the layers: bytes of constants by kind and in all, multiply-accumulates."""
        keys = ("weight_bytes", "bias_bytes", "table_bytes", "other_bytes", "parameter_bytes")
        sums = {key: sum(getattr(layer, key) for layer in self.layers) for key in keys}
        return sums | {"macs": sum(layer.macs or 0 for layer in self.layers)}

    @property
    def peak_layer(self) -> str | None:
        """The first layer during which most bytes are alive."""
        most = max((layer.live_bytes for layer in self.layers), default=0)
        return next((layer.name for layer in self.layers if layer.live_bytes == most), None)

    def to_dict(self) -> dict[str, Any]:
        """As plain data."""
        layers = [dataclasses.asdict(layer) | {"parameter_bytes": layer.parameter_bytes} for layer in self.layers]
        more = {"layers": layers, "totals": self.totals, "peak_layer": self.peak_layer}
        return dataclasses.asdict(self) | more


def cost(quantized: Quantized, files: Mapping[str, bytes] | None = None) -> Cost:
    """The cost of a quantized model.

    Args:
        quantized: the model.
        files: what was exported, by name. An exporter that has ``cost(quantized, files) -> Cost | None`` answers for its own
            files; for any other, and without files, the numbers are those of the integer model.
    """
    name = quantized.target.exporter
    if files and name is not None:
        exporter = registry().get("quaint_exporters", name, code="QP524")
        told = exporter.cost(quantized, files) if hasattr(exporter, "cost") else None
        if told is not None:
            return cast("Cost", told)
    counted = _of_integers(quantized)
    if not files or (
        name is not None and len(files) == 1
    ):  # the saved model alone: the exporter made nothing for the chip
        return counted
    file = deployed_file(files, has_exporter=name is not None)
    return replace(counted, file=file, file_bytes=len(files[file]))


def deployed_file(files: Mapping[str, bytes], *, has_exporter: bool) -> str:
    """The file that is deployed: the exporter's first, else the saved model, which comes before all others."""
    saved, *exported = files
    return exported[0] if has_exporter and exported else saved


def macs_by_layer(quantized: Quantized) -> dict[str, int]:
    """Multiply-accumulates of each layer; nothing without the float model."""
    source = quantized.source
    layers = quantized.integer.integer_layers if source is not None else ()
    return {layer.name: macs_of(source, layer.nodes) for layer in layers if source is not None}


def is_inserted(layer: Layer) -> bool:
    """Whether a layer was put between two others: no node of the float model has its name."""
    return layer.name not in layer.nodes


def _of_integers(quantized: Quantized) -> Cost:
    model, macs = quantized.integer, macs_by_layer(quantized)
    layers = model.integer_layers
    sizes = {name: _tensor_bytes(model, name) for name in model.shapes}
    steps = [Step(layer.inputs, layer.outputs) for layer in layers]
    made = {name for step in steps for name in step.outputs}
    entering = dict.fromkeys(name for step in steps for name in step.inputs if name not in made)
    plan = plan_memory(steps, sizes, entering, [name for name in model.integer_outputs if name in made])
    rows = [
        replace(_constants(model, layer), output_bytes=sum(sizes[name] for name in layer.outputs), live_bytes=live)
        for layer, live in zip(layers, plan.live, strict=True)
    ]
    rows = [replace(row, macs=macs.get(row.name)) for row in rows]
    return Cost(tuple(rows), plan.peak, sum(map(is_inserted, layers)))


def _tensor_bytes(model: IntegerModel, name: str) -> int:
    params = model.tensors.get(name)
    return math.prod(size or 1 for size in model.shapes[name]) * (params.dtype.storage.itemsize if params else WORD)


def _constants(model: IntegerModel, layer: Layer) -> LayerCost:
    """A layer's constants: weights and biases in the integers that they are declared in, the rest as it is stored."""
    found = {"weight": 0, "bias": 0, "table": 0, "other": 0}
    for name, array in layer.constants.items():
        params = model.tensors.get(f"{layer.name}/{name}")
        kind = next((kind for kind in found if kind in name), "other")
        found[kind] += _bytes(array.size, params.dtype) if params else array.nbytes
    return LayerCost(layer.name, layer.op, *found.values())


def _bytes(count: int, dtype: IntType) -> int:
    """Bytes of ``count`` integers, packed."""
    return -(-count * dtype.bits // 8)


def cost_of_plan(plan: Plan) -> Cost:
    """The cost of a model that is not quantized yet: from shapes and the widths that its tensors will have.

    Tables and what will be inserted are not known yet. A tensor whose integers its layer decides counts four bytes a number.
    """
    specs = resolve_specs(plan)
    widths = {name: spec.dtype.storage.itemsize if spec else WORD for name, spec in specs.items()}
    sizes = {name: _numbers(plan, name) * width for name, width in widths.items()}
    steps = [Step(block.inputs, block.outputs) for block in plan.blocks]
    placed = plan_memory(steps, sizes, plan.inputs, plan.outputs)
    return Cost(_planned(plan, sizes, placed), placed.peak)


def _planned(plan: Plan, sizes: Mapping[str, int], placed: MemoryPlan) -> tuple[LayerCost, ...]:
    rows = []
    for block, live in zip(plan.blocks, placed.live, strict=True):
        weights, biases, others = _planned_constants(plan, block)
        rows.append(
            LayerCost(
                block.name,
                " ".join(node.op_type for node in block.nodes),
                weights,
                biases,
                other_bytes=others,
                output_bytes=sum(sizes[name] for name in block.outputs),
                live_bytes=live,
                macs=macs_of(plan.model, block.node_names),
            )
        )
    return tuple(rows)


def _planned_constants(plan: Plan, block: Block) -> tuple[int, int, int]:
    """Bytes of the weights, of the biases, and of other real constants of a block."""
    weight = weight_spec(plan.target, plan.config, block, reads_input=plan.reads_input(block)).dtype
    bias = plan.target.bias.get(weight.bits, IntType(8 * WORD, signed=True))
    found, sums = [0, 0, 0], block.node(*PRODUCTS) is not None
    for node in block.nodes:
        for index, value in enumerate(node.inputs):
            constant = None if value is None else graph.constant(value)
            if constant is None or constant.dtype.kind != "f":
                continue
            if node.op_type in PRODUCTS and index == 1:
                found[0] += _bytes(constant.size, weight)
            elif sums and node.op_type in {*PRODUCTS, "Add"}:
                found[1] += _bytes(constant.size, bias)
            else:
                found[2] += _bytes(constant.size, weight)
    return found[0], found[1], found[2]


def _numbers(plan: Plan, name: str) -> int:
    dims: Sequence[Any] = graph.dims(plan.values[name]) or ()
    return math.prod(size if isinstance(size, int) else 1 for size in dims)
