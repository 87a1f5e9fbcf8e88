"""Measure a quantized model against its float source."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np

from quaint.floatmodel import FloatModel
from quaint.macs import macs_of
from quaint.report.cost import cost
from quaint.report.metrics import Noise, Share, dequantized, saturated, top1
from quaint.report.report import LayerReport, Report
from quaint.samples import Samples
from quaint.specs import weight_bits

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from quaint.integer import Layer
    from quaint.quantized import Quantized

    Arrays = Mapping[str, NDArray[Any]]

#: Samples that are looked at.
LIMIT = 64
#: Values in all tensors of all samples; large models are measured on fewer samples, which have values enough.
VALUES, LEAST = 1 << 27, 16


def analyze(quantized: Quantized, samples: Any) -> Report:
    """Error, saturation and cost of every layer, on up to 64 samples, fewer (16 at least) for a large model.

    Args:
        quantized: the model; without its float source (one that was loaded from a file) there are no errors in the report.
        samples: ``Samples``, an array for a model of one input, or input name -> array; real values. None: no errors either.

    Raises:
        QuaintError: QC212 for wrong input names.
    """
    measured = _Measured(quantized)
    for batch in () if samples is None else _batches(quantized, samples):
        measured.add(batch)
    calibration = quantized.calibration
    return Report(
        model=quantized.integer.name,
        target=quantized.target.name,
        samples=measured.samples,
        random=calibration.random if calibration else False,
        layers=tuple(measured.layer(layer) for layer in quantized.integer.integer_layers),
        outputs={name: noise.ratio for name, noise in measured.outputs.items()},
        agreement=measured.agreement.ratio,
        host=tuple({"node": r.node, "op": r.op, "reason": r.reason} for r in quantized.refusals),
        warnings=quantized.warnings,
        config=quantized.kept_config(),
        cost=cost(quantized),
    )


def _batches(quantized: Quantized, samples: Any) -> Iterator[Arrays]:
    """The first samples, a few at a time; as many as the model takes where its batch is fixed."""
    model = quantized.integer
    size = next((model.shapes[name][0] for name in model.inputs), None) or quantized.chunk
    limit = min(LIMIT, max(LEAST, VALUES // quantized.sample_values))
    if isinstance(samples, Samples):
        yield from samples.first(limit, measuring=True).batches(size)
        return
    feeds = samples if isinstance(samples, Mapping) else {model.inputs[0]: np.asarray(samples)}
    for start in range(0, min(limit, len(next(iter(feeds.values())))), size):
        yield {name: np.asarray(values)[start : min(start + size, limit)] for name, values in feeds.items()}


@dataclass
class _Measured:
    """Sums over the samples so far, by tensor of the integer model, and by output."""

    quantized: Quantized
    samples: int = 0
    noise: dict[str, Noise] = field(default_factory=dict)
    saturation: dict[str, Share] = field(default_factory=dict)
    outputs: dict[str, Noise] = field(default_factory=dict)
    agreement: Share = field(default_factory=Share)

    def __post_init__(self) -> None:
        model, source = self.quantized.integer, self.quantized.source
        self.tensors = tuple(name for layer in model.integer_layers for name in layer.outputs)
        self.floats: dict[str, str] = {}
        self.real = None
        if source is None:
            return
        known = {value.name for node in source.graph for value in node.outputs}
        twins = {name: self.quantized.twins.get(name, name) for name in self.tensors}
        self.floats = {name: twin for name, twin in twins.items() if twin in known}
        wanted = tuple(dict.fromkeys([*self.floats.values(), *model.outputs]))
        self.real = FloatModel(source, wanted, whole=True)

    def add(self, batch: Arrays) -> None:
        """Count a batch."""
        model = self.quantized.integer
        made = self.quantized.run(batch, outputs=self.quantized.all_tensors)
        real = self.real.run(batch) if self.real else {}
        self.samples += len(next(iter(batch.values())))
        for name in self.tensors:
            params = model.tensors[name]
            self.saturation.setdefault(name, Share()).add(saturated(made[name], params))
            if name in self.floats:
                self.noise.setdefault(name, Noise()).add(dequantized(made[name], params), real[self.floats[name]])
        for index, name in enumerate(model.outputs if self.real else ()):
            self.outputs.setdefault(name, Noise()).add(self._reals(name, made[name]), real[name])
            mine, theirs = top1(made[name]), top1(real[name])
            if index == 0 and mine is not None and theirs is not None:
                self.agreement.add(mine == theirs)

    def _reals(self, name: str, values: NDArray[Any]) -> NDArray[Any]:
        params = self.quantized.integer.tensors.get(name)
        return values if params is None else dequantized(values, params)

    def layer(self, layer: Layer) -> LayerReport:
        """What is known of a layer."""
        model, source, name = self.quantized.integer, self.quantized.source, layer.outputs[0]
        params = model.tensors[name]
        reads_input, config = model.reads_input(layer), self.quantized.config
        wished = weight_bits(self.quantized.target, config, layer.nodes, reads_input=reads_input)
        noise = self.noise.get(name)
        return LayerReport(
            name=layer.name,
            op=layer.op,
            output=self.quantized.twins.get(name, name),
            shape=tuple(model.shapes[name]),
            dtype=str(params.dtype),
            scale=params.scale.tolist(),
            zero_point=params.zero_point.tolist(),
            weight_bits=wished if "weight" in layer.constants else None,
            activation_bits=params.dtype.bits,
            noise=noise.ratio if noise else None,
            saturated=self.saturation[name].ratio if name in self.saturation else None,
            parameter_bytes=layer.parameter_bytes,
            macs=None if source is None else macs_of(source, layer.nodes),
        )
