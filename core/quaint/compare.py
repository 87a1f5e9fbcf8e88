"""Compare targets on one model: the float model is read, brought into canonical form and run once for all of them."""

from __future__ import annotations

import dataclasses
import time
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np

from quaint.config import Config
from quaint.errors import QuaintError
from quaint.floatmodel import FloatModel
from quaint.pipeline import Stages, canonical, divide, find_target, finish, gather, load_model, wishes
from quaint.report.build import safe_name
from quaint.report.metrics import Noise, Share, top1
from quaint.samples import Samples, input_specs, open_samples

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    import onnx_ir as ir
    from numpy.typing import NDArray

    from quaint.quantized import Quantized
    from quaint.target import Target

BATCH = 64


@dataclass(frozen=True)
class Row:
    """One target's line.

    Args:
        target: its name.
        accuracy: share of samples whose label the integer model finds; None without labels.
        agreement: share of samples (of pixels, for maps) to which it gives the same class as the float model, by the
            first output; None where that has no classes.
        noise: noise-to-signal power over all outputs.
        file: the file that is deployed: the exporter's first, else the saved model.
        file_bytes: its size.
        parameter_bytes: of the constants of the chip's layers.
        layers: layers on the chip.
        host: float layers that run on the host, each with the reason.
        seconds: to quantize.
        warnings: of quantizing.
        error: why the target cannot run the model; all numbers are None then.
    """

    target: str
    accuracy: float | None = None
    agreement: float | None = None
    noise: float | None = None
    file: str | None = None
    file_bytes: int | None = None
    parameter_bytes: int | None = None
    layers: int | None = None
    host: tuple[str, ...] = ()
    seconds: float | None = None
    warnings: tuple[str, ...] = ()
    error: QuaintError | None = None
    quantized: Quantized | None = field(default=None, repr=False, compare=False)

    def to_dict(self) -> dict[str, Any]:
        """As plain data."""
        data = {item.name: getattr(self, item.name) for item in dataclasses.fields(self) if item.name != "quantized"}
        error = self.error
        what = {"code": error.code, "message": error.what, "details": list(error.details)} if error else None
        return data | {"error": what}


@dataclass(frozen=True)
class Comparison:
    """Targets side by side.

    Args:
        model: the model's name.
        samples: how many samples it was measured on.
        float_accuracy: of the float model; None without labels.
        same_samples: whether ranges come from the very samples that the numbers were measured on: they are optimistic then.
        rows: one for each target, in the order asked for.
    """

    model: str
    samples: int
    float_accuracy: float | None
    same_samples: bool
    rows: tuple[Row, ...]

    def to_dict(self) -> dict[str, Any]:
        """As plain data."""
        shallow = {item.name: getattr(self, item.name) for item in dataclasses.fields(self)}
        return shallow | {"rows": [row.to_dict() for row in self.rows]}


def compare(
    model: Any,
    targets: Sequence[str | Target],
    samples: Any = None,
    labels: Any = None,
    calibration: Any = None,
    config: Config | None = None,
    *,
    layout: str | None = None,
    begin: Callable[[str], None] = lambda _: None,
) -> Comparison:
    """Quantize one model for several targets and measure them on the same samples.

    Args:
        model: path of a float model, or a model of one of the frameworks.
        targets: names of chips, or ``Target`` objects.
        samples: to measure on (whatever ``quaint.samples.open_samples`` takes); random ones if None.
        labels: class of each sample, int64 [samples]; for accuracies.
        calibration: samples that ranges come from; those to measure on if None, which flatters every target a little.
        config: wishes, for every target; they go before a target's defaults.
        layout: ``nchw`` or ``nhwc``, how samples are laid out where not as the model takes them.
        begin: told what is being done.

    Raises:
        QuaintError: QT300 for an unknown target, QC214 or QC215 for labels that do not fit, and whatever is wrong with model
            or samples. What one target alone refuses becomes its row's ``error``.
    """
    chips = {chip.name: chip for chip in map(find_target, targets)}.values()
    begin("load")
    source = canonical(load_model(model), config or Config())
    same = calibration is None
    measured = _open(source, config, samples, layout, calibration=same)
    known = _labels(labels, len(measured))
    begin("float model")
    real = _Scores(FloatModel(source).run, measured)
    ranges = measured if same else _open(source, config, calibration, layout, calibration=True)
    rows = []
    for chip in chips:
        begin(chip.name)
        rows.append(_row(source, chip, config, ranges, measured, real, known))
    accuracy = real.accuracy(known)
    return Comparison(source.graph.name or "model", len(measured), accuracy, same, tuple(rows))


def _open(source: ir.Model, config: Config | None, samples: Any, layout: str | None, *, calibration: bool) -> Samples:
    if samples is None or isinstance(samples, Samples):
        return gather(source, config or Config(), samples)
    return open_samples(samples, input_specs(source), layout=layout, calibration=calibration)


def _labels(labels: Any, count: int) -> NDArray[np.int64] | None:
    if labels is None:
        return None
    known = np.asarray(labels)
    if known.ndim != 1 or known.dtype.kind not in "iu":
        raise QuaintError("QC215", f"labels must be integers of shape [samples], got {known.dtype} {list(known.shape)}")
    if len(known) != count:
        raise QuaintError("QC214", f"{len(known)} labels for {count} samples", hint="give a label for each sample")
    return known.astype(np.int64)


class _Scores:
    """Outputs of a model for all samples, in batches."""

    def __init__(self, run: Callable[[Mapping[str, NDArray[Any]]], dict[str, NDArray[Any]]], samples: Samples) -> None:
        self.batches = [run(batch) for batch in samples.batches(BATCH)]

    def classes(self) -> list[NDArray[np.int64] | None]:
        """Class of each sample by the first output, batch by batch."""
        return [top1(next(iter(batch.values()))) for batch in self.batches]

    def accuracy(self, labels: NDArray[np.int64] | None) -> float | None:
        """Share of samples whose class is the label.

        Raises:
            QuaintError: QC215 where the first output does not give one class for each sample.
        """
        if labels is None:
            return None
        found = [batch for batch in self.classes() if batch is not None]
        given = np.concatenate(found) if found else np.zeros(())
        if given.size != labels.size:
            name = next(iter(self.batches[0]))
            raise QuaintError(
                "QC215", "labels need an output that gives one class for each sample", where=f"output {name!r}"
            )
        return float((given.reshape(-1) == labels).mean())


def _row(
    source: ir.Model,
    chip: Target,
    config: Config | None,
    calibration: Samples,
    samples: Samples,
    real: _Scores,
    labels: NDArray[np.int64] | None,
) -> Row:
    """A target's line; what it refuses is its error."""
    start = time.perf_counter()
    try:
        plan = divide(source.clone(), chip, wishes(chip, config))  # a quantizer may change the weights
        quantized = finish(plan, calibration, Stages())
        seconds = time.perf_counter() - start
        files = quantized.files(safe_name(quantized.integer.name))
    except QuaintError as error:
        if not error.code.startswith("QT"):
            raise
        return Row(chip.name, error=error)
    mine = _Scores(quantized.run, samples)
    noise, same = _distance(mine, real)
    file = next((name for name in files if chip.exporter is None or not name.endswith(".onnx")), next(iter(files)))
    return Row(
        target=chip.name,
        accuracy=mine.accuracy(labels),
        agreement=same,
        noise=noise,
        file=file,
        file_bytes=len(files[file]),
        parameter_bytes=sum(layer.parameter_bytes for layer in quantized.integer.integer_layers),
        layers=len(quantized.integer.integer_layers),
        host=tuple(map(str, quantized.refusals)),
        seconds=seconds,
        warnings=quantized.warnings,
        quantized=quantized,
    )


def _distance(mine: _Scores, real: _Scores) -> tuple[float | None, float | None]:
    """Noise-to-signal power over all outputs, and the share of equal classes by the first."""
    noise, same = Noise(), Share()
    for integer, floats in zip(mine.batches, real.batches, strict=True):
        for name, values in floats.items():
            noise.add(integer[name], values)
    for one, other in zip(mine.classes(), real.classes(), strict=True):
        if one is not None and other is not None:
            same.add(one == other)
    return noise.ratio, same.ratio
