"""The contract of a target as tests: a plugin subclasses ``TargetConformance``, names its chip, and runs pytest.

The levels are the first word of each test's name, so ``pytest -k exact`` runs one of them: *offered*, *structure*,
*numeric*, *exact*, *export*. A model that the chip does not run is skipped past *structure*, which asks for the reason.
"""

from __future__ import annotations

import functools
import re
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np
import pytest

from quaint import pipeline
from quaint.config import Config
from quaint.errors import TARGET, QuaintError
from quaint.integer import IntegerModel
from quaint.plugins import registry
from quaint.quantized import Quantized
from quaint.saved import load, load_quantized
from quaint.testing import checks, zoo

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from numpy.typing import ArrayLike, NDArray

    from quaint.target import Target

    Golden = tuple[IntegerModel | str | Path, Mapping[str, ArrayLike], Mapping[str, ArrayLike]]

NAME = re.compile(r"[a-z][a-z0-9]*(-[a-z0-9]+)*")
SIMULATORS = ("reference", "onnxruntime")


def is_read(path: Path) -> bool:
    """Whether a front end accepts a file, or recognises it as a quantized model of the vendor's form."""
    try:
        return load(path) is not None
    except QuaintError as error:
        return error.code == "QM170"


class TargetConformance:
    """Subclass as ``class TestMyChip(TargetConformance): target = "mychip"``.

    Attributes:
        target: what ``--target`` takes; or a ``Target`` that is not offered by name.
        models: names of the models of ``quaint.testing.zoo`` to try.
        config: wishes under which they are quantized.
        max_noise: the largest power of the quantization error of any output, over the power of the float output.
    """

    target: ClassVar[str | Target]
    models: ClassVar[tuple[str, ...]] = zoo.names()
    config: ClassVar[Config] = Config()
    max_noise: ClassVar[float] = 0.02

    def golden(self) -> Iterable[Golden]:
        """Triples of a model, inputs and outputs that must be reproduced exactly; best made with the vendor's own tools.

        A model is an ``IntegerModel`` or the path of a saved one; inputs and outputs are integers by tensor name.
        """
        return ()

    # machinery -------------------------------------------------------------------------------------------------------
    def pytest_generate_tests(self, metafunc: pytest.Metafunc) -> None:
        """A test that takes ``model`` runs for each of ``models``."""
        if "model" in metafunc.fixturenames:
            metafunc.parametrize("model", self.models)

    @classmethod
    def chip(cls) -> Target:
        """The target."""
        return pipeline.find_target(cls.target)

    @classmethod
    def quantize(cls, model: str) -> Quantized:
        """A model of the zoo for the target, anew."""
        given = zoo.load(model)
        return pipeline.quantize(given.model, cls.target, given.samples, cls.config)

    @classmethod
    @functools.cache
    def attempt(cls, model: str) -> Quantized | QuaintError:
        """A model of the zoo for the target, made once, or the refusal."""
        try:
            return cls.quantize(model)
        except QuaintError as error:
            return error

    @classmethod
    def accepted(cls, model: str) -> Quantized:
        """A model of the zoo for the target; skips the test where the target refuses it."""
        made = cls.attempt(model)
        if isinstance(made, QuaintError):
            pytest.skip(f"refused: {made}")
        return made

    # offered ---------------------------------------------------------------------------------------------------------
    def test_offered_by_name(self) -> None:
        """The name is lower case, found through the entry point, and the target says the same of itself."""
        chip = self.chip()
        assert NAME.fullmatch(chip.name), f"{chip.name!r} is not lower case with single dashes"
        if not isinstance(self.target, str):
            pytest.skip("the target was given as an object, not by its name")
        offered = {component.name: component.summary for component, _ in registry().components("quaint_targets")}
        assert chip.name in offered, f"no plugin offers {chip.name!r}, only {', '.join(offered)}"
        assert registry().get("quaint_targets", chip.name) is chip
        assert offered[chip.name].strip(), "the entry in quaint_targets has no summary"

    def test_offered_with_words(self) -> None:
        """The summary is one line; each pattern and kernel of its own has a docstring; the domain is Quaint's."""
        chip = self.chip()
        assert chip.summary.strip()
        assert len(chip.summary.splitlines()) == 1
        parts: list[Any] = [*chip.patterns, *chip.kernels.values()]
        undocumented = [part.__name__ for part in parts if not part.__doc__]
        assert not undocumented, f"without a docstring: {', '.join(undocumented)}"
        assert re.fullmatch(r"quaint\.[a-z0-9_.]+", chip.domain), f"domain {chip.domain!r} is not quaint.<plugin>"

    def test_offered_whole(self) -> None:
        """What the target refers to exists: its exporter, the keys of its defaults, a first pattern."""
        chip = self.chip()
        assert chip.patterns, "no patterns"
        Config.from_dict(chip.defaults)
        if chip.exporter is not None:
            assert chip.exporter in registry().names("quaint_exporters")

    # structure -------------------------------------------------------------------------------------------------------
    def test_structure_runs_something(self) -> None:
        """At least one model of the zoo is quantized."""
        refusals = [made for made in map(self.attempt, self.models) if isinstance(made, QuaintError)]
        assert len(refusals) < len(self.models), f"the target refuses every model; the first: {refusals[0]}"

    def test_structure_or_reasons(self, model: str) -> None:
        """A model is quantized, or refused with a reason for each node that the chip lacks."""
        made = self.attempt(model)
        if isinstance(made, Quantized):
            assert made.source is not None
            checks.check_refusals(made.source, map(str, made.refusals))
            return
        assert made.exit_code == TARGET, f"not a refusal by the target: {made}"
        source = pipeline.canonical(pipeline.load_model(zoo.load(model).model), self.config)
        checks.check_refusals(source, made.details)
        assert made.details or made.code != "QT310", "no reasons"

    def test_structure_of_layers(self, model: str) -> None:
        """Every layer has a kernel, a name and its nodes; every integer tensor parameters; nothing inside is float."""
        made = self.accepted(model)
        assert made.source is not None
        checks.check_integer_model(made.integer, made.target.all_kernels())
        checks.check_names(made.integer, made.source)

    # numeric ---------------------------------------------------------------------------------------------------------
    def test_numeric(self, model: str) -> None:
        """The outputs are near those of the float model."""
        made, given = self.accepted(model), zoo.load(model)
        wanted = checks.run_onnx(given.model.SerializeToString(), given.samples)
        for name, values in made.run(given.samples).items():
            noise = checks.noise(values, wanted[name])
            assert noise <= self.max_noise, f"output {name!r}: noise is {noise:.2g} of the signal"

    # exact -----------------------------------------------------------------------------------------------------------
    def test_exact_on_samples(self, model: str) -> None:
        """Real samples, three times too large so that integers saturate: every tensor is the same everywhere."""
        made = self.accepted(model)
        samples = {name: 3 * values for name, values in zoo.load(model).samples.items()}
        tensors = [name for layer in made.integer.layers for name in layer.outputs]
        self._agree(made, samples, tensors, integers=False)

    def test_exact_on_integers(self, model: str) -> None:
        """Random integers of every width that may enter: every tensor is the same everywhere."""
        made = self.accepted(model)
        feeds = checks.random_integers(made.integer)
        tensors = [name for layer in made.integer.integer_layers for name in layer.outputs]
        self._agree(made, feeds, tensors, integers=True)

    def _agree(self, made: Quantized, feeds: Mapping[str, NDArray[Any]], tensors: list[str], *, integers: bool) -> None:
        truth, other = (made.run(feeds, integers=integers, simulator=name, outputs=tensors) for name in SIMULATORS)
        for name in tensors:
            checks.check_same(name, other[name], truth[name])

    def test_exact_in_plain_onnxruntime(self, model: str) -> None:
        """The saved file gives the same outputs in onnxruntime without Quaint."""
        made, given = self.accepted(model), zoo.load(model)
        got = checks.run_onnx(made.to_bytes(), given.samples, made.integer.shapes[made.integer.inputs[0]][0])
        for name, values in made.run(given.samples, simulator="reference").items():
            checks.check_same(name, got[name], values)

    def test_exact_when_restored(self, model: str, tmp_path: Path) -> None:
        """A saved model that is loaded again is the same integer model."""
        made = self.accepted(model)
        if not isinstance(self.target, str):
            pytest.skip("only a target with a name can be restored")
        made.save(str(tmp_path / "saved.onnx"))
        restored = load_quantized(tmp_path / "saved.onnx")
        assert restored.target is made.target
        assert restored.config == made.config
        checks.check_same_model(restored.integer, made.integer)

    def test_exact_golden(self) -> None:
        """Golden vectors are reproduced exactly by every simulator."""
        count = 0
        for given, inputs, outputs in self.golden():
            made = Quantized(given, self.chip()) if isinstance(given, IntegerModel) else load_quantized(given)
            feeds = {name: np.asarray(values) for name, values in inputs.items()}
            for simulator in SIMULATORS:
                got = made.run(feeds, integers=True, simulator=simulator, outputs=tuple(outputs))
                for name, values in outputs.items():
                    checks.check_same(name, got[name], np.asarray(values, got[name].dtype))
            count += 1
        if not count:
            pytest.skip("golden() gives no vectors")

    # export ----------------------------------------------------------------------------------------------------------
    def test_export_is_deterministic(self, model: str) -> None:
        """Files are written, under plain names; the same model and samples give the same bytes."""
        first = self.accepted(model).files(model)
        assert all(first.values()), "an empty file"
        assert all(Path(name).name == name for name in first), f"names with folders: {', '.join(first)}"
        second = self.quantize(model).files(model)
        differing = [name for name in {**first, **second} if first.get(name) != second.get(name)]
        assert not differing, f"not the same in two runs: {', '.join(differing)}"

    def test_export_is_read_again(self, model: str, tmp_path: Path) -> None:
        """Every file that a front end reads is accepted by it, or recognised as a quantized model of the vendor's form."""
        made = self.accepted(model)
        if not isinstance(self.target, str):
            pytest.skip("only a target with a name can be read again")
        for name, data in made.files(model).items():
            if Path(name).suffix in registry().names("quaint_frontends"):
                (tmp_path / name).write_bytes(data)
                assert is_read(tmp_path / name)
