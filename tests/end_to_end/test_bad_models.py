"""Models that cannot be read, or not run: one line that says what, where and what to try; no file is made or changed."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import onnx
import pytest
from onnx import ModelProto, TensorProto, helper, numpy_helper

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

MODEL, TARGET = 3, 5
COMMANDS = ("quantize", "compare", "check")


@pytest.fixture(params=COMMANDS)
def quantize(request: pytest.FixtureRequest, refused: Callable[..., str], tmp_path: Path) -> Callable[..., str]:
    """A command that reads a float model, with an output where it takes one, must refuse the model."""

    def call(model: Path, *more: object, exit_code: int = MODEL, code: str) -> str:
        output = () if request.param == "check" else ("--output", tmp_path / "out")
        return refused(request.param, model, "--target", "onnx-qdq", *output, *more, exit_code=exit_code, code=code)

    return call


def changed(model: ModelProto, name: str, values: np.ndarray[Any, Any]) -> ModelProto:
    """The model with other values in an initializer."""
    stored = next(tensor for tensor in model.graph.initializer if tensor.name == name)
    stored.CopyFrom(numpy_helper.from_array(values.astype(np.float32), name))
    return model


def weights(model: ModelProto, name: str) -> np.ndarray[Any, Any]:
    return np.array(numpy_helper.to_array(next(t for t in model.graph.initializer if t.name == name)))


def test_missing(quantize: Callable[..., str], write: Callable[..., Path], small: ModelProto) -> None:
    path = write("mobilenet.onnx", small)
    said = quantize(path.with_name("mobilnet.onnx"), code="QM101")
    assert str(path.parent) in said
    assert "mobilenet.onnx" in said


@pytest.mark.parametrize(
    ("content", "code", "words"),
    [
        (b"", "QM102", "empty"),
        (b"version https://git-lfs.github.com/spec/v1\noid sha256:1\nsize 2\n", "QM103", "git lfs pull"),
        (b"<!DOCTYPE html><html><body>Not found</body></html>", "QM103", "web page"),
        (b"PK\x03\x04" + bytes(60), "QM103", "zip"),
        (b"just some words\n", "QM103", "text"),
        (bytes(range(256)) * 4, "QM103", "format"),
    ],
    ids=["empty", "lfs", "html", "zip", "text", "bytes"],
)
def test_not_a_model(
    quantize: Callable[..., str], write: Callable[..., Path], content: bytes, code: str, words: str
) -> None:
    path = write("model.onnx", content)
    said = quantize(path, code=code)
    assert words in said
    assert "model.onnx" in said


def test_truncated(quantize: Callable[..., str], write: Callable[..., Path], small: ModelProto) -> None:
    whole = small.SerializeToString()
    said = quantize(write("model.onnx", whole[: len(whole) // 2]), code="QM104")
    assert "truncated" in said


@pytest.mark.parametrize("location", ["../secret.bin", "/etc/passwd", "link.bin"])
def test_external_data_outside_the_folder(
    quantize: Callable[..., str], write: Callable[..., Path], small: ModelProto, location: str, tmp_path: Path
) -> None:
    write("secret.bin", weights(small, "w1").tobytes())
    stored = small.graph.initializer[0]
    onnx.external_data_helper.set_external_data(stored, location, 0, 16 * 27 * 4)
    stored.ClearField("raw_data")
    path = write("models/model.onnx", small)
    if location == "link.bin":
        (path.parent / location).symlink_to(tmp_path / "secret.bin")
    said = quantize(path, code="QM141" if location == "link.bin" else "QM140")
    assert "w1" in said


@pytest.mark.parametrize(("value", "code"), [(np.nan, "QM180"), (np.inf, "QM181"), (-np.inf, "QM181")])
def test_weights_that_are_no_numbers(
    quantize: Callable[..., str], write: Callable[..., Path], small: ModelProto, value: float, code: str
) -> None:
    broken = weights(small, "w1")
    broken[3, 1, 2, 0] = value
    said = quantize(write("model.onnx", changed(small, "w1", broken)), code=code)
    assert "w1" in said
    assert "[3, 1, 2, 0]" in said


def test_weights_that_overflow(quantize: Callable[..., str], write: Callable[..., Path], small: ModelProto) -> None:
    broken = weights(small, "w1")
    broken[0, 0, 0, 0] = 1e38
    said = quantize(write("model.onnx", changed(small, "w1", broken)), code="QM182")
    assert "w1" in said


def test_declared_size_is_not_believed(
    quantize: Callable[..., str], write: Callable[..., Path], small: ModelProto
) -> None:
    small.graph.initializer[0].dims[0] = 1 << 40
    said = quantize(write("model.onnx", small), code="QM131")
    assert "w1" in said


def test_unknown_operator(quantize: Callable[..., str], write: Callable[..., Path], small: ModelProto) -> None:
    small.graph.node[1].op_type, small.graph.node[1].domain = "Foo", "my.custom"
    small.opset_import.append(helper.make_opsetid("my.custom", 1))
    said = quantize(write("model.onnx", small), code="QM150")
    assert "Foo" in said
    assert "relu1" in said
    assert "my.custom" in said


def test_cycle(quantize: Callable[..., str], write: Callable[..., Path], small: ModelProto) -> None:
    small.graph.node[0].input[0] = "t2"
    said = quantize(write("model.onnx", small), code="QM120")
    assert "conv1" in said
    assert "relu1" in said


def test_already_quantized(
    quantize: Callable[..., str], run_cli: Callable[..., Any], digits: Path, tmp_path: Path
) -> None:
    samples = ("--samples", digits / "calibration.npz", "--num-samples", 8)
    run_cli("quantize", digits / "digits.onnx", "--target", "onnx-qdq", *samples, "--output", tmp_path / "first")
    for file in sorted((tmp_path / "first").glob("*.onnx")):
        assert "quantized" in quantize(file, code="QM170")


def test_pickled_checkpoint_is_not_loaded(refused: Callable[..., str], tmp_path: Path) -> None:
    import pickle

    class Bomb:
        def __reduce__(self) -> tuple[Any, ...]:
            return (open, (str(tmp_path / "exploded"), "w"))

    path = tmp_path / "model.pt"
    path.write_bytes(pickle.dumps(Bomb()))
    refused("quantize", path, "--target", "onnx-qdq", exit_code=MODEL, code="QM190")
    assert not (tmp_path / "exploded").exists()


def test_inputs_of_different_batches(refused: Callable[..., str], write: Callable[..., Path]) -> None:
    """What only shows when the float model is run is refused, too."""
    inputs = [helper.make_tensor_value_info(n, TensorProto.FLOAT, [size, 4]) for n, size in (("a", 1), ("b", 16))]
    outputs = [helper.make_tensor_value_info("y", TensorProto.FLOAT, [16, 4])]
    graph = helper.make_graph([helper.make_node("Add", ["a", "b"], ["y"], "add")], "batches", inputs, outputs)
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    said = refused(
        "quantize",
        write("model.onnx", model),
        "--target",
        "onnx-qdq",
        "--num-samples",
        4,
        exit_code=MODEL,
        code="QM161",
    )
    assert "input: b" in said


@pytest.fixture
def gappy(small: ModelProto) -> ModelProto:
    """``small`` with two layers that no chip here has."""
    nodes = small.graph.node
    nodes[1].input[0] = "t1c"
    nodes.insert(1, helper.make_node("Hardmax", ["t1a"], ["t1b"], "wave"))
    nodes.insert(1, helper.make_node("Relu", ["t1"], ["t1a"], "relu0"))
    nodes.insert(3, helper.make_node("Det", ["t1b"], ["d"], "volume"))
    nodes.insert(4, helper.make_node("Unsqueeze", ["d", "axes"], ["d4"], "unsqueeze"))
    nodes.insert(5, helper.make_node("Add", ["t1b", "d4"], ["t1c"], "sum"))
    small.graph.initializer.append(numpy_helper.from_array(np.array([2, 3], np.int64), "axes"))
    return small


@pytest.mark.parametrize("command", COMMANDS)
def test_layers_that_the_chip_lacks(
    command: str, run_cli: Callable[..., Any], write: Callable[..., Path], gappy: ModelProto, tmp_path: Path
) -> None:
    """All of them are listed with their reasons, by every command, and nothing is quantized."""
    path = write("model.onnx", gappy)
    output = ("--output", tmp_path / "out") if command == "quantize" else ()
    said = run_cli(command, path, "--target", "esp32p4", *output, code=TARGET)
    for name, op in (("wave", "Hardmax"), ("volume", "Det")):
        assert f"{name} ({op}): " in said.out + said.err
    assert "Traceback" not in said.err
    assert list(tmp_path.iterdir()) == [path]


def test_unsupported_layers_as_data(run_cli: Callable[..., Any], write: Callable[..., Path], gappy: ModelProto) -> None:
    error = run_cli("quantize", write("model.onnx", gappy), "--target", "esp32p4", "--json", code=TARGET).json["error"]
    assert error["code"] == "QT310"
    assert {"wave", "volume"} <= {line.partition(" ")[0] for line in error["details"]}


def test_nothing_to_quantize(refused: Callable[..., str], write: Callable[..., Path]) -> None:
    graph = helper.make_graph(
        [helper.make_node("Softmax", ["x"], ["y"], "softmax")],
        "empty",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, ["N", 4])],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, ["N", 4])],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    said = refused("quantize", write("model.onnx", model), "--target", "akida2", exit_code=TARGET, code="QT301")
    assert "akida2" in said
