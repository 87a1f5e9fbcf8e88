"""What observers see of the float model: tensors as they are, or reduced inside the model to what is needed of them.

Most observers need the extremes of a tensor and a part of its values. Where those leave the model instead of the tensor,
onnxruntime reuses its memory for the next ones, and nobody else has to read it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import onnx_ir as ir

from quaint import graph
from quaint.floatmodel import FloatModel
from quaint.graph import GraphEditor
from quaint.needs import Needs, stride

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from numpy.typing import NDArray

TO_THE_END = np.iinfo(np.int64).max


class Probes:
    """The float model, giving what observers need.

    Args:
        model: canonical; not changed.
        needs: what of each tensor; all values also where one cannot be reduced.

    Raises:
        QuaintError: QM161 where onnxruntime cannot run the model; also from ``run``.
    """

    def __init__(self, model: ir.Model, needs: Mapping[str, Needs]) -> None:
        probed = model.clone()
        editor = GraphEditor(probed)
        values = {value.name: value for value in editor.all_values()}
        self._outputs: dict[str, list[str]] = {}
        for name, need in needs.items():
            made = [values[name]] if need is Needs.VALUES else _Reducer(editor, values[name], need).reduce()
            self._outputs[name] = [value.name or "" for value in made]
        self._model = FloatModel(probed, [name for made in self._outputs.values() for name in made])

    def run(self, feeds: Mapping[str, NDArray[Any]]) -> dict[str, list[NDArray[Any]]]:
        """For each tensor the arguments of its observer's ``observe``."""
        made = self._model.run(feeds)
        return {name: [made[output] for output in outputs] for name, outputs in self._outputs.items()}


def is_reducible(value: ir.Value) -> bool:
    """Whether a tensor is of float32 and each sample of a known size."""
    shape = graph.dims(value)
    return value.dtype is ir.DataType.FLOAT and bool(shape) and all(isinstance(n, int) for n in (shape or ())[1:])


class _Reducer:
    """Appends nodes that read a tensor as [samples, values], or as [samples, channels, values]."""

    def __init__(self, editor: GraphEditor, value: ir.Value, need: Needs) -> None:
        self._editor, self._value, self._need = editor, value, need
        kept = [0, 0] if need is Needs.CHANNEL_EXTREMES else [0]
        self._last = len(kept)
        self._axis = self._constant([self._last])
        self._flat = self._add("Reshape", value, self._constant([*kept, -1]))

    def reduce(self) -> Sequence[ir.Value]:
        """The extremes, and the part of the values that may be needed besides."""
        return [self._extremes(), self._part()] if self._need is Needs.PART else [self._extremes()]

    def _extremes(self) -> ir.Value:
        """[..., 2], NaN where a value is not finite; ``ReduceMin`` and ``ReduceMax`` alone pass over NaN."""
        zeros = self._add("Mul", self._flat, self._editor.constant(np.zeros((), np.float32), "zero"))
        check = self._add("ReduceSum", zeros, self._axis)
        low = self._add("Add", self._add("ReduceMin", self._flat, self._axis), check)
        return self._add("Concat", low, self._add("ReduceMax", self._flat, self._axis), axis=self._last)

    def _part(self) -> ir.Value:
        """Every k-th value."""
        size = int(np.prod([int(n) for n in (graph.dims(self._value) or ())[1:] if isinstance(n, int)]))
        ends = (self._constant([0]), self._constant([TO_THE_END]))
        return self._add("Slice", self._flat, *ends, self._axis, self._constant([stride(size)]))

    def _constant(self, numbers: Sequence[int]) -> ir.Value:
        return self._editor.constant(np.array(numbers, np.int64), "index")

    def _add(self, op: str, *inputs: ir.Value, **attributes: int) -> ir.Value:
        output = ir.Value(
            name=self._editor.value_name(f"{self._value.name}/{op}"), type=ir.TensorType(ir.DataType.FLOAT)
        )
        self._editor.graph.append(
            ir.node(op, inputs, attributes, outputs=[output], name=self._editor.node_name(output.name))
        )
        return output
