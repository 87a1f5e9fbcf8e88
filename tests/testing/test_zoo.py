"""The zoo: valid models that say something, the same every time."""

from __future__ import annotations

import hashlib
import subprocess
import sys

import numpy as np
import pytest

from quaint.testing import zoo
from quaint.testing.checks import run_onnx


@pytest.mark.parametrize("name", zoo.names())
def test_model_runs_on_its_samples(name: str) -> None:
    given = zoo.load(name)
    assert [value.name for value in given.model.graph.input] == list(given.samples)
    outputs = run_onnx(given.model.SerializeToString(), given.samples)
    assert outputs
    for values in outputs.values():
        assert values.shape[0] == zoo.SAMPLES
        assert np.isfinite(values).all()
        assert np.ptp(values.astype(np.float32), axis=0).max() > 0.01, "the output does not depend on the input"


def test_names_of_nodes_and_values_are_unique() -> None:
    for name in zoo.names():
        nodes = [node.name for node in zoo.load(name).model.graph.node]
        assert all(nodes)
        assert len(set(nodes)) == len(nodes)


def test_operators_that_edge_chips_have_are_there() -> None:
    found = {node.op_type for name in zoo.names() for node in zoo.load(name).model.graph.node}
    assert found >= {
        *(
            "Conv",
            "ConvTranspose",
            "Gemm",
            "MatMul",
            "Add",
            "Concat",
            "Relu",
            "Clip",
            "Sigmoid",
            "HardSwish",
            "Softmax",
        ),
        *("MaxPool", "AveragePool", "GlobalAveragePool", "Flatten", "Reshape", "Transpose"),
    }


def test_another_process_makes_the_same_bytes() -> None:
    code = (
        "import hashlib; from quaint.testing import zoo; given = zoo.load('residual_cnn');"
        "print(hashlib.sha256(given.model.SerializeToString() + given.samples['input'].tobytes()).hexdigest())"
    )
    done = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True)
    given = zoo.load("residual_cnn")
    data = given.model.SerializeToString() + given.samples["input"].tobytes()
    assert done.stdout.strip() == hashlib.sha256(data).hexdigest()


def test_unknown_name_suggests() -> None:
    with pytest.raises(KeyError, match="did you mean 'small_cnn'"):
        zoo.load("smal_cnn")
