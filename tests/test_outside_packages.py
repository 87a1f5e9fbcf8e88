"""Packages that are not ours: installed by pip into an environment of their own, and found through their entry points."""

from __future__ import annotations

import json
import os
import shutil
import site
import subprocess
import venv
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest

from quaint.testing import zoo
from quaint.testing.builder import Builder

PACKAGES = Path(__file__).parent / "outside_packages"
HOW_TO = Path(__file__).parents[1] / "docs" / "how-to"


@dataclass(frozen=True)
class Environment:
    """A virtual environment that sees everything which this one has."""

    folder: Path

    @property
    def python(self) -> Path:
        return self.folder / ("Scripts/python.exe" if os.name == "nt" else "bin/python")

    def create(self) -> None:
        """Without pip of its own: the parent's installs into the environment that it is run in."""
        venv.EnvBuilder(with_pip=False).create(self.folder)
        lines = [f"import site; site.addsitedir({path!r})" for path in site.getsitepackages()]
        packages = self.run("-c", "import sysconfig; print(sysconfig.get_path('purelib'))").stdout.strip()
        (Path(packages) / "parent.pth").write_text("\n".join(lines))

    def run(self, *args: str | Path, cwd: Path | None = None) -> subprocess.CompletedProcess[str]:
        """Run its Python."""
        kept = {name: value for name, value in os.environ.items() if not name.startswith(("PIP_", "PYTEST_", "PYTHON"))}
        command = [str(self.python), *map(str, args)]
        return subprocess.run(command, check=False, capture_output=True, text=True, cwd=cwd or self.folder, env=kept)

    def install(self, package: Path) -> None:
        """Install with pip, offline: hatchling, the build back end, is there already."""
        flags = ("--no-deps", "--no-build-isolation", "--no-index", "--no-cache-dir", "--disable-pip-version-check")
        done = self.run("-m", "pip", "install", *flags, package)
        assert done.returncode == 0, done.stderr

    def quaint(self, *args: str | Path) -> subprocess.CompletedProcess[str]:
        """The command line."""
        return self.run("-m", "quaint", *args)

    def result(self, *args: str | Path) -> dict:
        """The JSON that a command gives."""
        done = self.quaint(*args, "--json")
        assert done.returncode == 0, done.stderr
        return json.loads(done.stdout)

    def passes(self, tests: Path) -> None:
        """Run a package's own tests, away from this repository's configuration."""
        copy = shutil.copytree(tests, self.folder / f"{tests.parent.name}-tests")
        done = self.run("-m", "pytest", "-q", "-W", "error", "-p", "no:cacheprovider", copy, cwd=copy)
        assert done.returncode == 0, done.stdout[-4000:]
        assert " passed" in done.stdout


def environment(folder: Path, *packages: str) -> Environment:
    made = Environment(folder)
    made.create()
    for package in packages:
        made.install(PACKAGES / package)
    return made


@pytest.fixture(scope="module")
def wren(tmp_path_factory: pytest.TempPathFactory) -> Environment:
    return environment(tmp_path_factory.mktemp("wren"), "quaint-wren")


@pytest.fixture(scope="module")
def wren_with_extras(tmp_path_factory: pytest.TempPathFactory) -> Environment:
    return environment(tmp_path_factory.mktemp("extras"), "quaint-wren", "quaint-wren-extras")


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """A model with hard swish of a map and of a vector, and samples."""
    b = Builder("swishes")
    x = b.op("HardSwish", b.conv(b.input(3, 8, 8), (3, 6), pads=[1, 1, 1, 1]))
    x = b.op("HardSwish", b.gemm(b.op("Flatten", b.op("GlobalAveragePool", x)), 6, 8))
    model = b.build(b.gemm(x, 8, 5))
    folder = tmp_path_factory.mktemp("files")
    (folder / "model.onnx").write_bytes(model.SerializeToString())
    np.savez(folder / "samples.npz", **b.samples(64))
    return folder / "model.onnx", folder / "samples.npz"


def test_target_is_listed(wren: Environment) -> None:
    listed = {target["name"]: target for target in wren.result("targets")["targets"]}
    assert "hard swish" in listed["wren"]["summary"]
    assert "Wren: int8" in wren.quaint("targets").stdout


def test_refusal_gives_the_reason_of_the_package(wren: Environment, files: tuple[Path, Path]) -> None:
    done = wren.quaint("quantize", files[0], "--target", "wren", "--samples", files[1])
    assert done.returncode == 5
    assert "error[QT310]" in done.stderr
    assert "hardswish1 (HardSwish): the unit takes feature maps only" in done.stderr


def test_conformance_of_a_chip_with_a_kernel_of_its_own(wren: Environment) -> None:
    wren.passes(PACKAGES / "quaint-wren" / "tests")


def test_pattern_for_somebody_elses_chip(
    wren_with_extras: Environment, files: tuple[Path, Path], tmp_path: Path
) -> None:
    model, samples = files
    build = tmp_path / "build"
    result = wren_with_extras.result("quantize", model, "--target", "wren", "--samples", samples, "--output", build)
    ops = [layer["op"] for layer in result["layers"]]
    assert ops.count("hard_swish") == 1
    assert ops.count("lookup") == 1
    outputs = {}
    for simulator in ("reference", "onnxruntime"):
        file = tmp_path / f"{simulator}.npz"
        flags = ("--samples", samples, "--simulator", simulator, "--output", file)
        wren_with_extras.result("run", build / "model.wren.onnx", *flags)
        with np.load(file) as archive:
            outputs[simulator] = archive["gemm1"]
    assert outputs["reference"].shape == (64, 5)
    assert np.array_equal(outputs["reference"], outputs["onnxruntime"])


def test_generated_package_passes_as_written(wren: Environment, tmp_path: Path) -> None:
    made = wren.result("new-target", "house-finch", "--output", tmp_path / "package")
    wren.install(tmp_path / "package")
    assert made["target"] in [target["name"] for target in wren.result("targets")["targets"]]
    wren.passes(tmp_path / "package" / "tests")
    (tmp_path / "model.onnx").write_bytes(zoo.load("conv_kernel").model.SerializeToString())
    refused = wren.quaint("quantize", tmp_path / "model.onnx", "--target", "house-finch")
    assert refused.returncode == 5
    assert "conv0 (Conv): its kernel is larger than 3x3" in refused.stderr
    taken = wren.quaint("new-target", "house-finch", "--output", tmp_path / "again")
    assert taken.returncode == 2
    assert "QU121" in taken.stderr


def damage(installed: Environment, file: str) -> None:
    """Let a module of the installed package fail on import."""
    (found,) = installed.folder.rglob(f"quaint_wren/{file}")
    found.write_text("import no_such_module_of_wren\n")


def test_damaged_package_is_reported_and_harms_nobody(files: tuple[Path, Path], tmp_path: Path) -> None:
    broken = environment(tmp_path, "quaint-wren")
    damage(broken, "target.py")
    assert "wren" in broken.quaint("targets").stdout, "what is not imported cannot fail"
    done = broken.quaint("quantize", files[0], "--target", "wren", "--samples", files[1])
    assert done.returncode == 7
    assert "error[QP520]" in done.stderr
    assert "no_such_module_of_wren" in done.stderr
    damage(broken, "__init__.py")
    assert broken.quaint("targets").returncode == 0
    done = broken.quaint("quantize", files[0], "--target", "wren", "--samples", files[1])
    assert done.returncode == 2
    assert "error[QT300]" in done.stderr
    assert "plugin wren 1.2.3 does not work: ModuleNotFoundError" in done.stderr


@pytest.mark.parametrize(
    ("page", "file"),
    [
        ("add-a-chip", "quaint-wren/src/quaint_wren/hard_swish.py"),
        ("add-a-chip", "quaint-wren/tests/test_wren.py"),
        ("custom-pattern", "quaint-wren-extras/src/quaint_wren_extras/table.py"),
        ("custom-pattern", "quaint-wren-extras/src/quaint_wren_extras/__init__.py"),
        ("custom-pattern", "quaint-wren-extras/pyproject.toml"),
    ],
)
def test_documentation_shows_these_packages(page: str, file: str) -> None:
    text = (PACKAGES / file).read_text("utf-8")
    assert f"\n{text}```" in (HOW_TO / f"{page}.md").read_text("utf-8"), f"{page}.md shows another {file}"
