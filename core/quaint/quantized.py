"""The result: an integer model with the chip that it is for."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np

from quaint.config import Config
from quaint.errors import QuaintError
from quaint.integer import DEQUANTIZER, INPUT_QUANTIZER
from quaint.plugins import registry

if TYPE_CHECKING:
    from pathlib import Path

    import onnx_ir as ir
    from numpy.typing import NDArray

    from quaint.integer import IntegerModel
    from quaint.refusals import Refusal
    from quaint.report import Report
    from quaint.samples import Samples
    from quaint.simulators.base import Simulator
    from quaint.target import Target

    Arrays = dict[str, NDArray[Any]]

#: Samples that run at once, and what all their tensors may take as float32.
CHUNK, CHUNK_BYTES = 32, 32 << 20


@dataclass(frozen=True)
class Calibration:
    """Which samples the ranges come from."""

    samples: int
    digest: str
    random: bool


@dataclass(frozen=True, eq=False)
class Quantized:
    """An integer model and all that is known of its making.

    Args:
        integer: what the chip computes.
        target: the chip.
        config: the wishes, the target's defaults included.
        source: the canonical float model; None where the model was loaded from a file.
        refusals: float nodes that the chip lacks and that therefore run on the host.
        warnings: lines for the user.
        seconds: of each stage.
        calibration: what is said of the samples; None where the model was loaded from a file.
        samples: the samples themselves, for reports; None where the model was loaded from a file.
    """

    integer: IntegerModel
    target: Target
    config: Config = field(default_factory=Config)
    source: ir.Model | None = None
    refusals: tuple[Refusal, ...] = ()
    warnings: tuple[str, ...] = ()
    seconds: Mapping[str, float] = field(default_factory=dict)
    calibration: Calibration | None = None
    samples: Samples | None = None

    def run(
        self, x: Any, *, integers: bool = False, simulator: str = "onnxruntime", outputs: Sequence[str] | None = None
    ) -> Arrays:
        """Run samples of any number.

        Args:
            x: an array for a model of one input, or input name -> array; real values, or the chip's integers.
            integers: take and give the chip's own integers, keyed by tensor name: what the input quantizers give and the
                dequantizers read.
            simulator: name of a simulator.
            outputs: names of any tensors of the integer model; the model's outputs if None.

        Returns:
            Output name -> array, the samples along the first axis.

        Raises:
            QuaintError: QC210 for wrong shapes, QC212 for wrong input names, QC213 for values that are no integers of the
                chip.
        """
        model = self.integer
        entering = model.integer_inputs if integers else model.inputs
        leaving = tuple(outputs) if outputs else model.integer_outputs if integers else model.outputs
        feeds = self._feeds(x, entering)
        if integers:
            whole = model.tensors
            feeds = {name: self._integers(name, v) if name in whole else v for name, v in feeds.items()}
        for name, values in feeds.items():
            self._check_shape(name, values)
        runner = self.simulator(simulator)
        parts = [runner.run(part, leaving) for part in self._chunks(feeds)]
        joined = parts[0] if len(parts) == 1 else {n: np.concatenate([part[n] for part in parts]) for n in leaving}
        return {self.twins.get(n, n) if integers and not outputs else n: joined[n] for n in leaving}

    def option(self, name: str) -> Any:
        """The value of one of the target's options."""
        return self.target.option(self.config, name)

    def kept_config(self) -> dict[str, Any]:
        """The configuration as files record it: plain data, without what leads to a secret."""
        from quaint.options import kept_options

        return kept_options(self.target, self.config).to_dict()

    def simulator(self, name: str = "onnxruntime") -> Simulator:
        """A simulator of the integer model, made once."""
        if name not in self._simulators:
            make = registry().get("quaint_simulators", name, code="QU105")
            self._simulators[name] = make(self.integer, self.target.all_kernels())
        return self._simulators[name]

    @cached_property
    def _simulators(self) -> dict[str, Simulator]:
        return {}

    @cached_property
    def twins(self) -> dict[str, str]:
        """Integer tensor at the edge -> the float tensor of the same values."""
        layers = self.integer.layers
        entering = {layer.outputs[0]: layer.inputs[0] for layer in layers if layer.op == INPUT_QUANTIZER}
        return entering | {layer.inputs[0]: layer.outputs[0] for layer in layers if layer.op == DEQUANTIZER}

    @cached_property
    def all_tensors(self) -> tuple[str, ...]:
        """What the chip's inputs, all layers and the model give, for ``run``: asking for the same twice costs least."""
        model = self.integer
        made = [name for layer in model.integer_layers for name in layer.outputs]
        entering = [name for name in model.integer_inputs if name not in model.inputs]
        return tuple(dict.fromkeys([*entering, *made, *model.integer_outputs, *model.outputs]))

    @cached_property
    def sample_values(self) -> int:
        """Values in all integer tensors of one sample."""
        shapes = [self.integer.shapes[name] for layer in self.integer.integer_layers for name in layer.outputs]
        return max(sum(math.prod(size or 1 for size in shape[1:]) for shape in shapes), 1)

    @property
    def chunk(self) -> int:
        """How many samples are best run at once, where the model leaves that open."""
        return max(1, min(CHUNK, CHUNK_BYTES // (4 * self.sample_values)))

    def _feeds(self, x: Any, names: Sequence[str]) -> Arrays:
        if not isinstance(x, Mapping):
            if len(names) != 1:
                raise QuaintError(
                    "QC212", f"the model has {len(names)} inputs", hint=f"pass a dict of {', '.join(names)}"
                )
            return {names[0]: np.asarray(x)}
        called = {self.twins.get(name, name): name for name in names} | {name: name for name in names}
        feeds: Arrays = {called.get(str(name), str(name)): np.asarray(values) for name, values in x.items()}
        if set(feeds) != set(names):
            raise QuaintError(
                "QC212", f"inputs are called {', '.join(sorted(map(str, x)))}", hint=f"the model's: {', '.join(names)}"
            )
        return feeds

    def _check_shape(self, name: str, values: NDArray[Any]) -> None:
        """Samples of any number, or as many as a fixed batch holds, of the input's sizes."""
        batch, *sizes = self.integer.shapes[name]
        fits = values.ndim == 1 + len(sizes) and len(values) % (batch or 1) == 0
        if not fits or any(size not in {None, given} for size, given in zip(sizes, values.shape[1:], strict=True)):
            expected = ["N" if size is None else size for size in (batch, *sizes)]
            what = f"wrong shape: got {list(values.shape)}, expected {expected}"
            raise QuaintError("QC210", what, where=f"input {name!r}")

    def _integers(self, name: str, values: NDArray[Any]) -> NDArray[Any]:
        dtype = self.integer.tensors[name].dtype
        if values.dtype.kind not in "iu" or (
            values.size and not dtype.low <= values.min() <= values.max() <= dtype.high
        ):
            raise QuaintError("QC213", f"samples must be integers of {dtype}", where=f"input {name!r}")
        return values.astype(dtype.storage)

    def _chunks(self, feeds: Arrays) -> Iterator[Arrays]:
        """Feeds in pieces of bounded size, or of the model's own batch where that is fixed."""
        sizes = {name: self.integer.shapes[name][0] or self.chunk for name in feeds}
        count = max((-(-len(values) // sizes[name]) for name, values in feeds.items()), default=1)
        for i in range(max(count, 1)):
            yield {name: values[i * sizes[name] : (i + 1) * sizes[name]] for name, values in feeds.items()}

    def to_bytes(self) -> bytes:
        """The saved form: an ONNX file that plain onnxruntime runs, with the same integers."""
        from quaint.saved import to_bytes

        return to_bytes(self)

    def save(self, path: str) -> None:
        """Write ``to_bytes`` to a file; an existing file is replaced at once or not at all."""
        from quaint.files import write_atomic

        write_atomic(path, self.to_bytes(), force=True)

    def files(self, name: str) -> dict[str, bytes]:
        """Every deployable file by name: the saved model and what the target's exporter makes.

        Args:
            name: stem of the files' names.
        """
        made = {f"{name}.{self.target.name}.onnx": self.to_bytes()}
        if self.target.exporter is not None:
            made |= registry().get("quaint_exporters", self.target.exporter, code="QP524")(self, name)
        return made

    def analyze(self, x: Any) -> Report:
        """Error, saturation and cost of every layer; see ``quaint.report.analyze``."""
        from quaint.report import analyze

        return analyze(self, x)

    def export(
        self, folder: str | Path, name: str | None = None, *, force: bool = False, analysis: bool = True
    ) -> list[str]:
        """Write what is deployed, the report and the manifest into a folder, all of it or nothing.

        Args:
            folder: made where it is missing.
            name: stem of the files' names; the model's name if None.
            force: replace files of the same names.
            analysis: compare with the float model for the report.

        Returns:
            Names of the files.

        Raises:
            QuaintError: QI600 to QI610, see ``quaint.files.OutputFolder``.
        """
        from quaint.files import OutputFolder
        from quaint.report.build import build, safe_name

        files = build(self, safe_name(name or self.integer.name), analysis=analysis).files
        with OutputFolder(folder, force=force) as out:
            out.declare(list(files), sum(map(len, files.values())))
            for file, content in files.items():
                out.write(file, content)
        return list(files)
