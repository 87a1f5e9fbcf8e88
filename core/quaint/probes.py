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
from quaint.needs import ROWS, SAMPLES, Needs, Thinning

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from numpy.typing import NDArray

TO_THE_END = np.iinfo(np.int64).max
#: Operators that never give less than zero.
NOT_NEGATIVE = ("Abs", "Exp", "HardSigmoid", "Relu", "Sigmoid", "Softmax", "Softplus", "Sqrt")
#: Those that don't where what they read is not negative.
KEEPING_SIGN = ("AveragePool", "GlobalAveragePool", "GlobalMaxPool", "MaxPool")


class Probes:
    """The float model, giving what observers need.

    Args:
        model: canonical; not changed.
        needs: what of each tensor, in order of execution; all values also where one cannot be reduced.
        samples: how many there are, for how much of each is enough.
        step: how many run at a time, as for ``FloatModel``.
        threads: of onnxruntime for one call of ``run``; its own choice if None.

    Raises:
        QuaintError: QM161 where onnxruntime cannot run the model; also from ``run``.
    """

    def __init__(
        self,
        model: ir.Model,
        needs: Mapping[str, Needs],
        samples: int = SAMPLES,
        *,
        step: int | None = None,
        threads: int | None = None,
    ) -> None:
        probed = model.clone()
        editor = GraphEditor(probed)
        values = {value.name: value for value in editor.all_values()}
        self._plain, self._needs = model, needs
        self._outputs: dict[str, list[str]] = {}
        # onnxruntime goes back from the last node without readers: so it reduces a tensor before it computes later ones
        for name, need in reversed(tuple(needs.items())):
            made = [values[name]] if need is Needs.VALUES else _Reducer(editor, values[name], need, samples).reduce()
            self._outputs[name] = [value.name or "" for value in made]
        outputs = [name for made in self._outputs.values() for name in made]
        self._model = FloatModel(probed, outputs, threads, step=step)

    def run(self, feeds: Mapping[str, NDArray[Any]]) -> dict[str, list[NDArray[Any]]]:
        """For each tensor the arguments of its observer's ``observe``; safe to call from several threads."""
        made = self._model.run(feeds)
        found = {name: [made[output] for output in self._outputs[name]] for name in self._needs}
        for name, need in self._needs.items():
            if need is not Needs.VALUES and np.isnan(found[name][0]).any():
                found[name][0] = self._exact_extremes(name, need, feeds)
        return found

    def is_whole(self, name: str) -> bool:
        """Whether a tensor comes with all its values."""
        return self._needs[name] is Needs.VALUES

    def _exact_extremes(self, name: str, need: Needs, feeds: Mapping[str, NDArray[Any]]) -> NDArray[Any]:
        """As ``_Reducer`` gives them, NaN only where a value is: sums of huge values are not finite either."""
        whole = FloatModel(self._plain, [name]).run(feeds)[name]
        rows = whole.reshape(*whole.shape[: 1 + need.by_channel], -1)
        found = np.stack([rows.min(axis=-1), rows.max(axis=-1)], axis=-1)
        found[~np.isfinite(found).all(axis=-1)] = np.nan
        return found


def is_reducible(value: ir.Value) -> bool:
    """Whether a tensor is of float32 and each sample of a known size."""
    shape = graph.dims(value)
    return value.dtype is ir.DataType.FLOAT and bool(shape) and all(isinstance(n, int) for n in (shape or ())[1:])


def is_not_negative(value: ir.Value) -> bool:
    """Whether a tensor has no value below zero, whatever the samples."""
    node = graph.producer(value, *NOT_NEGATIVE, *KEEPING_SIGN, "Clip")
    if node is None or node.op_type in NOT_NEGATIVE:
        return node is not None
    if node.op_type == "Clip":
        low = graph.scalar(graph.input_at(node, 1))
        return low is not None and low >= 0
    return node.inputs[0] is not None and is_not_negative(node.inputs[0])


class _Reducer:
    """Appends nodes that reduce a tensor to extremes and a part.

    Extremes of images that are not negative, and the part of any image, come from pooling, which onnxruntime does in the
    layout that its convolutions have: nothing is reordered for it.
    """

    def __init__(self, editor: GraphEditor, value: ir.Value, need: Needs, samples: int) -> None:
        self._editor, self._value, self._need, self._samples = editor, value, need, samples
        self._sizes = tuple(int(n) for n in (graph.dims(value) or ())[1:] if isinstance(n, int))
        kept = [0, 0] if need.by_channel else [0]
        self._last = len(kept)
        self._axis, self._rows = self._constant([self._last]), self._constant([*kept, -1])

    def reduce(self) -> Sequence[ir.Value]:
        """The extremes, and the part of the values that may be needed besides."""
        part = [self._part()] if self._need.has_part else []
        return [self._extremes(), *part]

    def _extremes(self) -> ir.Value:
        """[..., 2], NaN where a value is not finite; ``ReduceMin`` and ``ReduceMax`` alone pass over NaN.

        The lowest of an image that is not negative is given as zero, which every range holds anyway.
        """
        if len(self._sizes) == 3 and min(self._sizes[1:]) > ROWS and is_not_negative(self._value):
            highest = self._flat(self._add("GlobalMaxPool", self._value))
            check = self._check(self._flat(self._add("GlobalAveragePool", self._value)))
            low = check
        else:
            highest = self._flat(self._value)
            check = self._check(highest)
            low = self._add("Add", self._add("ReduceMin", highest, self._axis), check)
        return self._add("Concat", low, self._add("ReduceMax", highest, self._axis), axis=self._last)

    def _check(self, values: ir.Value) -> ir.Value:
        """Zeros; NaN where a sum is not finite."""
        zero = self._editor.constant(np.zeros((), np.float32), "zero")
        return self._add("Mul", self._add("ReduceSum", values, self._axis), zero)

    def _part(self) -> ir.Value:
        thinning = Thinning.of(self._sizes, by_channel=self._need.by_channel, samples=self._samples)
        image = self._value
        if thinning.image > 1:
            image = self._add("MaxPool", image, kernel_shape=[1, 1], strides=[thinning.image] * 2)
        ends = (self._constant([0]), self._constant([TO_THE_END]))
        return self._add("Slice", self._flat(image), *ends, self._axis, self._constant([thinning.stride]))

    def _flat(self, value: ir.Value) -> ir.Value:
        """[samples, values], or [samples, channels, values]."""
        return self._add("Reshape", value, self._rows)

    def _constant(self, numbers: Sequence[int]) -> ir.Value:
        return self._editor.constant(np.array(numbers, np.int64), "index")

    def _add(self, op: str, *inputs: ir.Value, **attributes: int | Sequence[int]) -> ir.Value:
        output = ir.Value(
            name=self._editor.value_name(f"{self._value.name}/{op}"), type=ir.TensorType(ir.DataType.FLOAT)
        )
        self._editor.graph.append(
            ir.node(op, inputs, attributes, outputs=[output], name=self._editor.node_name(output.name))
        )
        return output
