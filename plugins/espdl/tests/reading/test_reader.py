from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from click.testing import CliRunner
from espdl_files import constant, file, run, variable

import quaint
from quaint.cli.group import quaint as command
from quaint.errors import QuaintError
from quaint.quantized import Quantized
from quaint_espdl.file.container import write
from quaint_espdl.file.elements import DataType, EspdlModel, EspdlNode
from quaint_espdl.file.layout import WeightKind, weights_tensor
from quaint_espdl.reading.reader import load

if TYPE_CHECKING:
    from pathlib import Path

X, Y = variable("x", (1, 2, 2, 3), -5), variable("y", (1, 2, 2, 3), -5)
IMAGE = np.arange(-6, 6, dtype=np.int8).reshape(1, 2, 2, 3) * 20


def saved(folder: Path, model: EspdlModel, name: str = "net") -> Path:
    path = folder / f"{name}.espdl"
    path.write_bytes(write(model))
    return path


def test_a_file_is_a_model_like_any_other(tmp_path: Path) -> None:
    path = saved(tmp_path, file("Relu", [X], [Y]))
    model = quaint.load(str(path))
    assert isinstance(model, Quantized)
    assert model.target.name == "esp32p4"
    assert model.integer.shapes["x"] == (1, 2, 2, 3)
    np.testing.assert_array_equal(model.run({"x": IMAGE}, integers=True)["y"], IMAGE.clip(0))


def test_reals_in_and_out(tmp_path: Path) -> None:
    model = load(saved(tmp_path, file("Relu", [X], [Y])))
    real = np.float32(IMAGE) / 32
    np.testing.assert_array_equal(model.run(real + 0.001)["y"], real.clip(0))


def test_batches_of_any_size_run_one_by_one(tmp_path: Path) -> None:
    model = load(saved(tmp_path, file("Relu", [X], [Y])))
    assert model.run(np.repeat(IMAGE, 5, 0), integers=True)["y"].shape == (5, 2, 2, 3)


def test_inputs_of_different_sizes() -> None:
    x, y, out = variable("x", (2, 3)), variable("y", (1,)), variable("out", (2, 3))
    made = run(file("Add", [x, y], [out]), np.full((2, 3), 100, np.int8), np.array([50], np.int8))
    np.testing.assert_array_equal(made, np.full((2, 3), 127))


def test_a_scalar_has_one_axis() -> None:
    x, out = variable("x", (4,)), variable("out", ())
    axes = constant("axes", np.array([0]))
    made = run(file("ReduceMax", [x, axes], [out], keepdims=0), np.array([3, 9, -1, 2], np.int8))
    np.testing.assert_array_equal(made, [9], strict=False)


def test_what_cannot_run_is_listed() -> None:
    model = file("TopK", [X], [Y])
    lstm = EspdlNode("second", "LSTM", ("y",), ("z",))
    info = (*model.graph.value_info, variable("z", (1,)))
    graph = replace(model.graph, nodes=(*model.graph.nodes, lstm), value_info=info)
    with pytest.raises(QuaintError, match=r"QT310.*2 of 2 nodes") as error:
        run(replace(model, graph=graph), IMAGE)
    assert [line.partition(":")[0] for line in error.value.details] == ["node (TopK)", "second (LSTM)"]


@pytest.mark.parametrize(
    ("model", "reason"),
    [
        (file("Gelu", [X], [Y]), "without a table"),
        (file("Add", [X, constant("a", np.ones(3, np.int8)), X], [Y]), "3 operands"),
        (file("Equal", [variable("x", (3,), 0, DataType.FLOAT)], [variable("y", (3,))]), "1 operands"),
        (
            file(
                "Resize",
                [variable("x", (1, 2, 2, 3), 0, DataType.INT16)],
                [variable("y", (1, 4, 4, 3), 0, DataType.INT16)],
            ),
            "leaves its output as it was",
        ),
        (file("Pad", [X, constant("pads", np.zeros(8, np.int64))], [Y], mode="wrap"), "pads by 'wrap'"),
        (file("Softmax", [variable("x", (1, 3), 0, DataType.INT32)], [Y]), "holds INT32"),
    ],
)
def test_reasons(model: EspdlModel, reason: str) -> None:
    with pytest.raises(QuaintError, match="QT310") as error:
        run(model, IMAGE)
    assert reason in error.value.details[0]


def test_weights_of_another_width_than_their_input() -> None:
    x, y = variable("x", (1, 2), -10, DataType.INT16), variable("y", (1, 1), -10, DataType.INT16)
    weight = weights_tensor("w", np.ones((1, 2), np.int8), WeightKind.GEMM, 16, (0,))
    with pytest.raises(QuaintError, match="weights of INT8 with inputs of INT16"):
        run(file("Gemm", [x, weight], [y]), IMAGE)


def test_damaged_graphs() -> None:
    model = file("Relu", [X], [Y])
    lost = replace(model, graph=replace(model.graph, inputs=()))
    with pytest.raises(QuaintError, match=r"QM104.*nothing is known of tensor 'x'"):
        run(lost)
    open_size = replace(X, dims=("N", 2, 2, 3))
    with pytest.raises(QuaintError, match=r"QM104.*size is not known"):
        run(file("Relu", [open_size], [Y]), IMAGE)


def test_no_file(tmp_path: Path) -> None:
    with pytest.raises(QuaintError, match="QM101"):
        load(tmp_path / "none.espdl")


def test_accumulators_that_may_saturate(tmp_path: Path) -> None:
    weight = weights_tensor("w", np.full((20, 100), 127, np.int8), WeightKind.GEMM, 16, (-7,))
    x, y = variable("x", (1, 100), -7), variable("y", (1, 20), 0)
    path = saved(tmp_path, file("Gemm", [x, weight], [y], target="esp32s3"))
    (warning,) = load(path).warnings
    assert "16 of 20 channels can exceed the 20-bit accumulator" in warning  # the other four fill no vector
    assert not load(path, chip="esp32p4").warnings


def test_every_call_of_a_stream_is_its_first(tmp_path: Path) -> None:
    x, y = variable("x", (1, 1, 2)), variable("y", (1, 3, 2))
    model = file("StreamingCache", [x], [y], window_size=3, frame_axis=1)
    np.testing.assert_array_equal(run(model, np.ones((1, 1, 2), np.int8))[0], [[0, 0], [0, 0], [1, 1]])
    assert "every call is the first" in load(saved(tmp_path, model)).warnings[0]


def call(*args: object, code: int = 0) -> str:
    result: Any = CliRunner().invoke(command, [str(arg) for arg in args])
    assert result.exit_code == code, result.output
    return str(result.output)


def test_commands(tmp_path: Path) -> None:
    path = saved(tmp_path, file("Relu", [X], [Y]))
    np.savez(tmp_path / "in.npz", x=IMAGE)
    call("run", path, "--samples", tmp_path / "in.npz", "--integers", "--output", tmp_path / "out.npz")
    np.testing.assert_array_equal(np.load(tmp_path / "out.npz")["y"], IMAGE.clip(0))
    assert "agree bit for bit" in call(
        "run", path, "--samples", tmp_path / "in.npz", "--integers", "--against", "reference"
    )
    assert "format: espdl" in call("inspect", path)
    assert "lowest real" in call("check", path)
    assert "error[QM107]" in call("quantize", path, "--target", "esp32p4", code=3)


def test_a_command_on_inputs_of_different_sizes(tmp_path: Path) -> None:
    x, y, out = variable("x", (100, 3)), variable("y", (1,)), variable("out", (100, 3))
    path = saved(tmp_path, file("Sub", [x, y], [out]))
    np.savez(tmp_path / "in.npz", x=np.full((100, 3), 7, np.int8), y=np.array([2], np.int8))
    call("run", path, "--samples", tmp_path / "in.npz", "--integers", "--output", tmp_path / "out.npz")
    np.testing.assert_array_equal(np.load(tmp_path / "out.npz")["out"], np.full((100, 3), 5))


@pytest.mark.parametrize(
    ("model", "code"),
    [
        (file("Transpose", [X], [Y]), "QM104"),
        (file("Transpose", [X], [Y], perm=(0, 9)), "QM104"),
        (file("Reshape", [X], [variable("y", (5,))]), "QM104"),
        (file("Relu", [X], [variable("y", (1, 2, 2, 3), 5000)]), "QM104"),
        (file("MaxPool", [X], [variable("y", (1, 1, 1, 3))], kernel_shape=(2, 2), pads=(0, 0, 1 << 40, 0)), "QM104"),
        (file("MaxPool", [X], [variable("y", (1, 1, 1, 3))], kernel_shape=(2, 2), strides=(0, 1)), "QM104"),
        (file("GlobalAveragePool", [X], [variable("y", (1, 1, 1, 4))]), "QM104"),
        (file("Relu", [variable("x", (1 << 20, 1 << 20))], [Y]), "QM131"),
    ],
)
def test_damaged_nodes(model: EspdlModel, code: str) -> None:
    with pytest.raises(QuaintError, match=code):
        run(model, IMAGE)


def test_inputs_of_other_shapes_are_refused(tmp_path: Path) -> None:
    model = load(saved(tmp_path, file("Neg", [variable("x", (2, 3))], [variable("y", (2, 3))])))
    for simulator in ("reference", "onnxruntime"):
        for shape in ((2, 4), (3, 3), (6,)):
            with pytest.raises(QuaintError, match="QC210") as caught:
                model.run(np.zeros(shape, np.int8), integers=True, simulator=simulator)
            assert "expected [2, 3]" in str(caught.value)
    assert model.run(np.zeros((4, 3), np.int8), integers=True)["y"].shape == (4, 3)  # two batches
