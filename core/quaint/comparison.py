"""Compare targets on one model: the float model is read, brought into canonical form and run once for all of them."""

from __future__ import annotations

import dataclasses
import time
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

import numpy as np

from quaint.config import Config
from quaint.errors import QuaintError
from quaint.floatmodel import FloatModel
from quaint.pipeline import Stages, canonical, divide, find_target, finish, gather, load_model, wishes
from quaint.report.build import safe_name
from quaint.report.cost import cost
from quaint.report.metrics import Noise, Share, top1
from quaint.samples import Samples, input_specs, open_samples

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    import onnx_ir as ir
    from numpy.typing import NDArray

    from quaint.quantized import Quantized
    from quaint.target import Target

    Arrays = Mapping[str, NDArray[Any]]

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
        peak_memory_bytes: of the tensors between layers, see ``quaint.report.cost``.
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
    peak_memory_bytes: int | None = None
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
    given = measured if same else _open(source, config, calibration, layout, calibration=True)
    ranges = gather(source, config or Config(), given)
    rows = []
    for chip in chips:
        begin(chip.name)
        rows.append(_quantized(source, chip, config, ranges))
    begin("measure")
    rows, accuracy = _measured(source, rows, measured, known)
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


def _quantized(source: ir.Model, chip: Target, config: Config | None, samples: Samples) -> Row:
    """What a target makes of the model, not measured yet; what it refuses is its error."""
    start = time.perf_counter()
    try:
        plan = divide(source.clone(), chip, wishes(chip, config))  # a quantizer may change the weights
        quantized = finish(plan, samples, Stages())
        seconds = time.perf_counter() - start
        files = quantized.files(safe_name(quantized.integer.name))
    except QuaintError as error:
        if not error.code.startswith("QT"):
            raise
        return Row(chip.name, error=error)
    spent = cost(quantized, files)
    return Row(
        target=chip.name,
        file=spent.file,
        file_bytes=spent.file_bytes,
        parameter_bytes=spent.totals["parameter_bytes"],
        peak_memory_bytes=spent.peak_memory_bytes,
        layers=len(quantized.integer.integer_layers),
        host=tuple(map(str, quantized.refusals)),
        seconds=seconds,
        warnings=quantized.warnings,
        quantized=quantized,
    )


@dataclass
class _Tally:
    """Sums over the samples so far."""

    noise: Noise = field(default_factory=Noise)
    same: Share = field(default_factory=Share)
    right: Share = field(default_factory=Share)

    def add(self, mine: Arrays, real: Arrays, labels: NDArray[np.int64] | None) -> None:
        """Count a batch of a model's outputs against the float model's and the labels."""
        for name, values in real.items():
            self.noise.add(mine[name], values)
        first = next(iter(real))
        found, wanted = top1(mine[first]), top1(real[first])
        if found is not None and wanted is not None:
            self.same.add(found == wanted)
        if labels is None:
            return
        if found is None or found.size != labels.size:
            what = "labels need an output that gives one class for each sample"
            raise QuaintError("QC215", what, where=f"output {first!r}")
        self.right.add(found.reshape(-1) == labels)


def _measured(
    source: ir.Model, rows: Sequence[Row], samples: Samples, labels: NDArray[np.int64] | None
) -> tuple[list[Row], float | None]:
    """The rows with their measures, and the float model's accuracy; every sample goes through all models at once."""
    real, own = FloatModel(source), _Tally()
    tallies = {row.target: _Tally() for row in rows}
    done = 0
    for batch in samples.batches(BATCH):
        size = len(next(iter(batch.values())))
        classes = None if labels is None else labels[done : done + size]
        outputs = real.run(batch)
        own.add(outputs, outputs, classes)
        for row in rows:
            if row.quantized is not None:
                tallies[row.target].add(row.quantized.run(batch), outputs, classes)
        done += size
    return [_with_measures(row, tallies[row.target]) for row in rows], own.right.ratio


def _with_measures(row: Row, tally: _Tally) -> Row:
    if row.quantized is None:
        return row
    return replace(row, accuracy=tally.right.ratio, agreement=tally.same.ratio, noise=tally.noise.ratio)
