"""What the end-to-end tests share: the command line, in this process and in one of its own, models, samples, data."""

from __future__ import annotations

import hashlib
import json
import os
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from click.testing import CliRunner
from onnx import ModelProto, TensorProto, helper, numpy_helper

from quaint.cli.group import quaint

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    import click

ROOT = Path(__file__).parents[2]
TARGETS = ("esp32p4", "esp32s3", "akida1", "akida2", "onnx-qdq")
DATA = Path(os.environ.get("QUAINT_TEST_DATA", ROOT.parent / "shared" / "data"))
#: Seconds that a refusal may take: it comes before the work.
PROMPT = 5.0


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """A test that takes ``target`` runs for every one; a test that takes ``data_model`` for every model of the data."""
    if "data_model" in metafunc.fixturenames:
        found = sorted([*DATA.glob("models/*.onnx"), *DATA.glob("corpus/*.onnx")])
        skip = pytest.mark.skip(reason=f"no models in {DATA} (QUAINT_TEST_DATA)")
        metafunc.parametrize(
            "data_model", found or [pytest.param(None, marks=skip)], ids=lambda path: getattr(path, "stem", "")
        )
    if "target" in metafunc.fixturenames:
        metafunc.parametrize("target", TARGETS)


@dataclass(frozen=True)
class Said:
    """How a call of the command line ended, and what it said."""

    code: int
    out: str
    err: str
    seconds: float

    @property
    def json(self) -> dict[str, Any]:
        """The document that ``--json`` gives."""
        document = json.loads(self.out)
        assert isinstance(document, dict)
        return document


@pytest.fixture(scope="session")
def run_cli() -> Callable[..., Said]:
    """Call the command line in this process; it must end with ``code``."""
    command: click.Command = quaint

    def call(*args: object, code: int = 0) -> Said:
        start = time.perf_counter()
        result = CliRunner(env={"COLUMNS": "160"}).invoke(command, [str(arg) for arg in args], prog_name="quaint")
        said = Said(result.exit_code, result.stdout, result.stderr, time.perf_counter() - start)
        assert said.code == code, f"exit code {said.code}\n{said.out}\n{said.err}"
        return said

    return call


@pytest.fixture(scope="session")
def start_cli() -> Callable[..., subprocess.Popen[str]]:
    """Start the command line in a process of its own.

    The callable takes the arguments and, by keyword, ``before``, a line of Python that goes before it, and what
    ``subprocess.Popen`` takes.
    """

    def start(*args: object, before: str = "", **keywords: Any) -> subprocess.Popen[str]:
        code = f"{before}\nfrom quaint.cli import main\nmain()"
        command = [sys.executable, "-c", code, *map(str, args)]
        return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, **keywords)

    return start


def contents_of(folder: Path) -> dict[str, str]:
    """Every file and folder below ``folder``, hidden ones too, with a hash of what is in it."""
    return {
        str(path.relative_to(folder)): hashlib.sha256(path.read_bytes()).hexdigest() if path.is_file() else "folder"
        for path in folder.rglob("*")
    }


@pytest.fixture(scope="session")
def contents() -> Callable[[Path], dict[str, str]]:
    """``contents_of``."""
    return contents_of


@pytest.fixture
def refused(run_cli: Callable[..., Said], tmp_path: Path) -> Callable[..., str]:
    """Call the command line: it must refuse at once, in one line with a code, and leave every file of ``tmp_path`` as it was.

    The callable takes the arguments of the command line, and by keyword ``exit_code`` and ``code``; it gives the line
    and the details below it.
    """

    def check(*args: object, exit_code: int, code: str) -> str:
        before = contents_of(tmp_path)
        said = run_cli(*args, code=exit_code)
        errors = [line for line in said.err.splitlines() if line.startswith("error")]
        assert len(errors) == 1, said.err
        assert errors[0].startswith(f"error[{code}]: "), said.err
        assert "Traceback" not in said.err + said.out
        assert not said.out
        assert all(line.startswith(("error[", "  ", "warning: ")) for line in said.err.splitlines()), said.err
        assert said.seconds < PROMPT
        assert contents_of(tmp_path) == before
        return said.err

    return check


def tensor(name: str, *shape: int, seed: int = 0) -> TensorProto:
    values = np.random.default_rng([seed, *shape]).normal(0, 0.5, shape).astype(np.float32)
    return numpy_helper.from_array(values, name)


@pytest.fixture
def small() -> ModelProto:
    """Two convolutions with ReLU, GlobalAveragePool, Flatten, Gemm on images of three channels: sound, to be broken."""
    nodes = [
        helper.make_node("Conv", ["x", "w1", "b1"], ["t1"], "conv1", kernel_shape=[3, 3], pads=[1, 1, 1, 1]),
        helper.make_node("Relu", ["t1"], ["t2"], "relu1"),
        helper.make_node("Conv", ["t2", "w2", "b2"], ["t3"], "conv2", kernel_shape=[3, 3], pads=[1, 1, 1, 1]),
        helper.make_node("Relu", ["t3"], ["t4"], "relu2"),
        helper.make_node("GlobalAveragePool", ["t4"], ["t5"], "pool"),
        helper.make_node("Flatten", ["t5"], ["t6"], "flat"),
        helper.make_node("Gemm", ["t6", "w3", "b3"], ["y"], "fc"),
    ]
    graph = helper.make_graph(
        nodes,
        "small",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, ["N", 3, 8, 8])],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, ["N", 2])],
        [
            *(tensor("w1", 16, 3, 3, 3), tensor("b1", 16)),
            *(tensor("w2", 16, 16, 3, 3), tensor("b2", 16)),
            *(tensor("w3", 16, 2), tensor("b3", 2)),
        ],
    )
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)


@pytest.fixture
def write(tmp_path: Path) -> Callable[..., Path]:
    """Write a model or arrays into ``tmp_path``; the path."""

    def file(name: str, content: ModelProto | bytes | Mapping[str, Any]) -> Path:
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        if isinstance(content, bytes):
            path.write_bytes(content)
        elif isinstance(content, ModelProto):
            path.write_bytes(content.SerializeToString(deterministic=True))
        else:
            np.savez(path, **content)
        return path

    return file


@pytest.fixture
def images() -> np.ndarray[Any, np.dtype[np.float32]]:
    """Samples for ``small``."""
    return np.random.default_rng(7).uniform(0, 1, (40, 3, 8, 8)).astype(np.float32)


@pytest.fixture(scope="session")
def data() -> Path:
    """The folder of real models and samples."""
    if not (DATA / "models.json").exists():
        pytest.skip(f"no data in {DATA} (QUAINT_TEST_DATA)")
    return DATA


@pytest.fixture(scope="session")
def digits_arrays(digits: Path) -> dict[str, np.ndarray[Any, Any]]:
    """The digits' samples: ``calibration``, ``test`` and ``labels``."""
    keys = {"calibration": "input", "test": "input", "labels": "labels"}
    return {name: np.load(digits / f"{name}.npz")[key] for name, key in keys.items()}
