"""The ONNX that the PyTorch front end gives computes what PyTorch computes, and no file runs code."""

from __future__ import annotations

import importlib.util
from typing import TYPE_CHECKING, Any

import numpy as np
import onnx_ir as ir
import onnxruntime as ort
import pytest

from quaint.errors import QuaintError
from quaint.frontends.torch import load

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

torch = pytest.importorskip("torch", reason="PyTorch is not installed")
pytest.importorskip("onnxscript", reason="onnxscript is not installed")
nn = torch.nn


class Net(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.features = nn.Sequential(
            nn.Conv2d(1, 8, 3, padding=1), nn.ReLU(), nn.MaxPool2d(2),
            nn.Conv2d(8, 8, 3, padding=1, groups=8), nn.Conv2d(8, 12, 1), nn.ReLU(),
        )  # fmt: skip
        self.head = nn.Linear(12, 3)

    def forward(self, image: Any) -> Any:
        return self.head(self.features(image).mean((2, 3)))


class Residual(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.conv = nn.Conv2d(4, 4, 3, padding=1, bias=False)
        self.norm = nn.BatchNorm2d(4)
        self.gate = nn.Sequential(nn.AdaptiveAvgPool2d(1), nn.Conv2d(4, 4, 1), nn.Hardsigmoid())
        self.dropout = nn.Dropout(0.5)

    def forward(self, image: Any) -> Any:
        y = nn.functional.silu(self.norm(self.conv(image)) + image)
        y = y * self.gate(y)
        return self.dropout(torch.cat([y, torch.chunk(y, 2, 1)[0]], 1))


class TwoInputs(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.shared = nn.Conv2d(2, 3, 3)

    def forward(self, left: Any, right: Any) -> Any:
        return self.shared(left) - self.shared(right), torch.flatten(right, 1)


def image(*shape: int) -> Any:
    return torch.from_numpy(np.random.default_rng(0).normal(size=shape).astype(np.float32))


CASES: dict[str, tuple[Callable[[], Any], tuple[Any, ...]]] = {
    "net": (Net, (image(2, 1, 8, 8),)),
    "residual": (Residual, (image(2, 4, 6, 6),)),
    "two inputs": (TwoInputs, (image(2, 2, 6, 6), image(2, 2, 6, 6))),
    "flatten": (lambda: nn.Sequential(nn.Flatten(), nn.Linear(48, 4), nn.Softmax(1)), (image(2, 3, 4, 4),)),
    "norm": (lambda: nn.Sequential(nn.Conv2d(2, 6, 3, stride=2), nn.BatchNorm2d(6), nn.ReLU6()), (image(2, 2, 9, 9),)),
    "upsample": (
        lambda: nn.Sequential(nn.Conv2d(2, 4, 1), nn.Upsample(scale_factor=2), nn.ConvTranspose2d(4, 2, 2, 2)),
        (image(2, 2, 4, 4),),
    ),
    "activations": (
        lambda: nn.Sequential(nn.PReLU(3), nn.LeakyReLU(0.1), nn.Hardswish(), nn.GELU(), nn.ELU(), nn.Tanh()),
        (image(2, 3, 4, 4),),
    ),
    "pools": (
        lambda: nn.Sequential(nn.AvgPool2d(2), nn.MaxPool2d(3, 2, 1), nn.PixelShuffle(2), nn.ZeroPad2d((0, 1, 1, 2))),
        (image(2, 4, 12, 12),),
    ),
    "one dimension": (
        lambda: nn.Sequential(nn.Conv1d(2, 4, 3, dilation=2, padding="same"), nn.BatchNorm1d(4), nn.MaxPool1d(2)),
        (image(2, 2, 10),),
    ),
    "layer norm": (lambda: nn.Sequential(nn.Linear(6, 8), nn.LayerNorm(8), nn.Sigmoid()), (image(2, 5, 6),)),
}


def built(name: str) -> tuple[Any, tuple[Any, ...]]:
    torch.manual_seed(0)
    torch.set_num_threads(1)
    make, inputs = CASES[name]
    module = make()
    for child in module.modules():
        if isinstance(child, nn.modules.batchnorm._BatchNorm):
            child.running_mean.uniform_(-0.5, 0.5)
            child.running_var.uniform_(0.5, 2.0)
    return module, inputs


def saved(path: Path, module: Any, inputs: tuple[Any, ...], dynamic_shapes: Any = None) -> Path:
    program = torch.export.export(module.eval(), inputs, dynamic_shapes=dynamic_shapes)
    module.train()
    torch.export.save(program, path)
    return path


def run(model: ir.Model, inputs: tuple[Any, ...]) -> list[Any]:
    session = ort.InferenceSession(ir.to_proto(model).SerializeToString(), providers=["CPUExecutionProvider"])
    feeds = {i.name: x.numpy() for i, x in zip(session.get_inputs(), inputs, strict=True)}
    return list(session.run(None, feeds))


def assert_equal(model: ir.Model, module: Any, inputs: tuple[Any, ...]) -> None:
    training = [child.training for child in module.modules()]
    with torch.no_grad():
        expected = module.eval()(*inputs)
    for child, flag in zip(module.modules(), training, strict=True):
        child.training = flag
    expected = expected if isinstance(expected, tuple) else (expected,)
    for got, want in zip(run(model, inputs), expected, strict=True):
        np.testing.assert_allclose(got, want.numpy(), rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("name", CASES)
def test_equals_torch(name: str) -> None:
    module, inputs = built(name)
    state = {key: value.clone() for key, value in module.state_dict().items()}
    model = load(module, inputs)
    assert_equal(model, module, inputs)
    assert_equal(model, module, tuple(torch.cat([x, x[:1]]) for x in inputs))  # any batch
    assert all(child.training for child in module.modules())
    assert all(torch.equal(state[key], value) for key, value in module.state_dict().items())


@pytest.mark.parametrize("name", CASES)
def test_equals_torch_from_a_file(name: str, tmp_path: Path) -> None:
    module, inputs = built(name)
    path = saved(tmp_path / "model.pt2", module, inputs)
    before = path.read_bytes()
    first, second = load(path), load(str(path))
    assert_equal(first, module, inputs)
    assert ir.to_proto(first).SerializeToString() == ir.to_proto(second).SerializeToString()
    assert path.read_bytes() == before


def test_symbolic_batch_in_a_file(tmp_path: Path) -> None:
    module, inputs = built("two inputs")
    model = load(saved(tmp_path / "model.pt2", module, inputs, ({0: torch.export.Dim("n", min=2)},) * 2))
    assert [value.shape[0] for value in model.graph.inputs] == [ir.SymbolicDim("batch")] * 2
    assert_equal(model, module, tuple(torch.cat([x, x]) for x in inputs))


def test_names_and_reproducible_bytes() -> None:
    module, inputs = built("net")
    model = load(module, inputs)
    assert [node.name for node in model.graph] == [
        "/features.0/Conv", "/features.1/Relu", "/features.2/MaxPool", "/features.3/Conv", "/features.4/Conv",
        "/features.5/Relu", "/ReduceMean", "/head/Gemm",
    ]  # fmt: skip
    assert [value.name for value in model.graph.inputs] == ["image"]
    assert [value.name for value in model.graph.outputs] == ["output"]
    assert model.graph.inputs[0].shape == ir.Shape(["batch", 1, 8, 8])
    content = ir.to_proto(model).SerializeToString()
    assert content == ir.to_proto(load(module, inputs)).SerializeToString()
    assert b".py" not in content, "paths of the source code"


def test_arrays_and_single_tensors_as_examples() -> None:
    module, (x,) = built("net")
    by_tensor, by_array = load(module, x), load(module, x.numpy())
    assert ir.to_proto(by_tensor).SerializeToString() == ir.to_proto(by_array).SerializeToString()


def test_variadic_forward_and_fixed_batch() -> None:
    class Variadic(nn.Module):
        def forward(self, *parts: Any) -> Any:
            return torch.cat(parts, 1)

    class Fixed(nn.Module):
        def forward(self, x: Any) -> Any:
            return x.reshape(2, 12).tanh()

    parts = (image(2, 3), image(2, 4))
    assert_equal(load(Variadic(), parts), Variadic(), parts)
    fixed = load(Fixed(), image(2, 3, 4))
    assert fixed.graph.inputs[0].shape == ir.Shape([2, 3, 4])
    assert_equal(fixed, Fixed(), (image(2, 3, 4),))


def test_training_flags_are_given_back_one_by_one() -> None:
    module, inputs = built("residual")
    module.norm.eval()
    flags = [child.training for child in module.modules()]
    load(module, inputs)
    assert [child.training for child in module.modules()] == flags


def test_quiet(capfd: pytest.CaptureFixture[str]) -> None:
    load(*built("net"))
    assert capfd.readouterr() == ("", "")


def test_refusals(tmp_path: Path) -> None:
    class Broken(nn.Module):
        def forward(self, _: Any) -> Any:
            raise ValueError("no such thing")

    def code(source: Any, *inputs: Any) -> str:
        with pytest.raises(QuaintError) as caught:
            load(source, *inputs)
        assert "\n" not in str(caught.value)
        return caught.value.code

    torch.save(Net(), tmp_path / "pickled.pt")
    torch.save(Net().state_dict(), tmp_path / "old.pth", _use_new_zipfile_serialization=False)
    (tmp_path / "empty.pt2").touch()
    (tmp_path / "text.pt2").write_text("hello")
    whole = saved(tmp_path / "whole.pt2", *built("net"))
    (tmp_path / "cut.pt2").write_bytes(whole.read_bytes()[:5000])
    assert code(Net()) == "QM192"
    assert code(Broken(), image(1, 2)) == "QM150"
    assert code(tmp_path / "pickled.pt") == "QM190"
    assert code(tmp_path / "old.pth") == "QM190"
    assert code(tmp_path / "none.pt2") == "QM101"
    assert code(tmp_path / "empty.pt2") == "QM102"
    assert code(tmp_path / "text.pt2") == "QM103"
    assert code(tmp_path / "cut.pt2") in {"QM103", "QM104"}


@pytest.mark.parametrize("package", ["torch", "onnxscript"])
def test_missing_package(package: str, monkeypatch: pytest.MonkeyPatch) -> None:
    found = importlib.util.find_spec
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None if name == package else found(name))
    with pytest.raises(QuaintError, match=package) as caught:
        load(Net(), image(1, 1, 8, 8))
    assert caught.value.code == "QP530"
    assert "quaint[torch]" in str(caught.value)
