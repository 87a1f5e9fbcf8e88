"""No ``.pt2`` file runs code: every way from its content to an evaluation is closed, and honest files pass."""

from __future__ import annotations

import io
import json
import pickle
import zipfile
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

from quaint.errors import QuaintError
from quaint.frontends.limits import Limits
from quaint.frontends.torch import load
from quaint.frontends.torch_archive import check

if TYPE_CHECKING:
    from collections.abc import Callable

torch = pytest.importorskip("torch", reason="PyTorch is not installed")
pytest.importorskip("onnxscript", reason="onnxscript is not installed")


class Sizes(torch.nn.Module):
    """A program with expressions over sizes, guards and a dictionary."""

    def forward(self, left: Any, right: Any) -> Any:
        return {"sum": left + right, "flat": left.reshape(left.shape[0] // 2, -1)[:, : left.shape[0] + 3]}


@pytest.fixture(scope="module")
def members() -> dict[str, bytes]:
    """Content of an honest file by member."""
    batch = 2 * torch.export.Dim("half", min=2, max=100)
    program = torch.export.export(Sizes(), (torch.zeros(6, 4),) * 2, dynamic_shapes=({0: batch},) * 2)
    buffer = io.BytesIO()
    torch.export.save(program, buffer)
    with zipfile.ZipFile(buffer) as archive:
        return {name: archive.read(name) for name in archive.namelist()}


def content(members: dict[str, bytes]) -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        for name, data in members.items():
            archive.writestr(name, data)
    return buffer.getvalue()


def changed(members: dict[str, bytes], suffix: str, change: Callable[[Any], None]) -> bytes:
    name = next(name for name in members if name.endswith(suffix))
    document = json.loads(members[name])
    change(document)
    return content(members | {name: json.dumps(document).encode()})


def code(data: bytes, limits: Limits | None = None) -> str:
    with pytest.raises(QuaintError) as caught:
        check(data, "m.pt2", limits or Limits())
    assert "\n" not in str(caught.value)
    return caught.value.code


def test_honest_files_pass(members: dict[str, bytes]) -> None:
    check(content(members), "m.pt2", Limits())
    program = json.loads(next(data for name, data in members.items() if name.endswith("models/model.json")))
    assert program["guards_code"], "the file has guards"
    assert "expr_str" in json.dumps(program), "the file has expressions"


class Evil:
    """Pickled so that loading it makes a file."""

    def __init__(self, marker: Path) -> None:
        self.marker = marker

    def __reduce__(self) -> Any:
        return Path.touch, (self.marker,)


def test_pickles_are_not_loaded(members: dict[str, bytes], tmp_path: Path) -> None:
    marker = tmp_path / "ran"
    samples = next(name for name in members if name.endswith("sample_inputs/model.pt"))
    buffer = io.BytesIO()
    torch.save((Evil(marker),), buffer)
    assert code(content(members | {samples: buffer.getvalue()})) == "QM190"
    assert code(content(members | {samples: pickle.dumps((Evil(marker),))})) == "QM190"
    path = tmp_path / "evil.pt2"
    path.write_bytes(content(members | {samples: buffer.getvalue()}))
    with pytest.raises(QuaintError, match="QM190"):
        load(path)
    assert not marker.exists()


@pytest.mark.parametrize(
    "member",
    ["data/constants/custom_obj_0", "data/constants/opaque_obj_0", "data/weights/model.pt", "data/aotinductor/m/m.so"],
)
def test_members_that_are_code(members: dict[str, bytes], member: str) -> None:
    root = next(iter(members)).split("/")[0]
    assert code(content(members | {f"{root}/{member}": b""})) == "QM190"


def set_target(program: Any) -> None:
    program["graph_module"]["graph"]["nodes"][0]["target"] = "torch.os.system"


def set_file_operator(program: Any) -> None:
    program["graph_module"]["graph"]["nodes"][0]["target"] = "torch.ops.aten.from_file.default"


def set_operator_argument(program: Any) -> None:
    program["graph_module"]["graph"]["nodes"][0]["inputs"][0]["arg"] = {"as_operator": "torch.os.system"}


def set_guard(program: Any) -> None:
    program["guards_code"] = ["__import__('os').system('true')"]


def set_input_name(program: Any) -> None:
    program["graph_module"]["graph"]["inputs"][0]["as_tensor"]["name"] = "x=print()"


def set_tree_type(program: Any) -> None:
    call = program["graph_module"]["module_call_graph"][0]["signature"]
    call["in_spec"] = json.dumps([1, {"type": "os.system", "context": "null", "children_spec": []}])


def set_tree_key(program: Any) -> None:
    call = program["graph_module"]["module_call_graph"][0]["signature"]
    call["in_spec"] = json.dumps([1, {"type": "builtins.dict", "context": '["x=print()"]', "children_spec": []}])


def set_named_tuple(program: Any) -> None:
    program["graph_module"]["treespec_namedtuple_fields"] = {"os.x": ["a"]}


@pytest.mark.parametrize(
    "change",
    [
        set_target, set_file_operator, set_operator_argument, set_guard, set_input_name, set_tree_type, set_tree_key,
        set_named_tuple,
    ],
)  # fmt: skip
def test_programs_that_reach_for_code(members: dict[str, bytes], change: Callable[[Any], None]) -> None:
    assert code(changed(members, "models/model.json", change)) == "QM190"


@pytest.mark.parametrize(
    "expression",
    [
        "__import__('os').system('true')", "s0.__class__", "s0 . real", "eval(s0)", "Symbol('__import__')", "[s0]",
        "Symbol('s0', positive=print())", "lambda: s0", "9**9**9", "Pow(Integer(9), Integer(999999999))", "1 << 10", "'x'",
        "L[print()].size()[0]", "s0\\", "\N{MATHEMATICAL SANS-SERIF SMALL E}val(s0)",
    ],
)  # fmt: skip
def test_expressions_that_are_more_than_arithmetic(members: dict[str, bytes], expression: str) -> None:
    def change(program: Any) -> None:
        program["guards_code"] = [expression]

    assert code(changed(members, "models/model.json", change)) == "QM190"


def test_sizes_are_bounded_before_memory_is_taken() -> None:
    class Weighted(torch.nn.Linear):
        pass

    buffer = io.BytesIO()
    torch.export.save(torch.export.export(Weighted(3, 4), (torch.zeros(1, 3),)), buffer)
    with zipfile.ZipFile(buffer) as archive:
        members = {name: archive.read(name) for name in archive.namelist()}

    def huge(config: Any) -> None:
        config["config"]["weight"]["tensor_meta"]["sizes"][0] = {"as_int": 2**40}

    def pickled(config: Any) -> None:
        config["config"]["weight"]["use_pickle"] = True

    check(content(members), "m.pt2", Limits())
    assert code(content(members), Limits(tensor_bytes=47)) == "QM131"
    assert code(changed(members, "model_weights_config.json", huge)) == "QM131"
    assert code(changed(members, "model_weights_config.json", pickled)) == "QM190"


def test_damaged(members: dict[str, bytes]) -> None:
    data = content(members)
    assert code(data[: len(data) // 2]) == "QM104"
    assert code(changed(members, "models/model.json", lambda program: program.pop("graph_module"))) == "QM104"

    def nest(program: Any) -> None:
        for _ in range(100):
            program["metadata"] = {"x": program.get("metadata", {})}

    assert code(changed(members, "models/model.json", nest)) == "QM153"
    rng = np.random.default_rng(0)
    name = next(name for name in members if name.endswith("models/model.json"))
    noise = bytes(rng.integers(0, 256, 200, dtype=np.uint8))
    assert code(content(members | {name: noise})) == "QM104"
