from __future__ import annotations

import os
import struct
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from quaint.errors import QuaintError
from quaint_espdl.file.container import read, write
from quaint_espdl.file.describe import describe, info_text
from quaint_espdl.file.elements import DataType, EspdlGraph, EspdlModel, EspdlNode, EspdlTensor, ValueInfo

DATA = Path(os.environ.get("QUAINT_TEST_DATA", Path(__file__).parents[4] / "shared/data"))
FILES = sorted(DATA.glob("espdl_golden/*/*.espdl")) + sorted(DATA.glob("espdl_published/*.espdl"))
needs_files = pytest.mark.skipif(not FILES, reason="no .espdl files: set QUAINT_TEST_DATA")

TABLE = EspdlTensor.from_array("table", np.arange(-128, 128, dtype=np.int8), (-5,))
SHAPE = EspdlTensor.from_array("shape", np.array([1, -1]), (0,), "layout ==> UNK")
SCALAR = EspdlTensor.from_array("scalar", np.array(0.1, np.float32), (0,))
NODE = EspdlNode(
    "node \N{GREEK SMALL LETTER ALPHA}",
    "Mixed",
    ("x", "", "shape"),
    ("y",),
    {
        "int": -(2**63),
        "zero": 0,
        "float": 0.5,
        "text": "S8",
        "tensor": SCALAR,
        "ints": (1, -2, 3),
        "floats": (0.25, -1.0),
        "texts": ("a", ""),
    },
    domain="custom",
    doc="a note",
)
MODEL = EspdlModel(
    EspdlGraph(
        "graph",
        (NODE,),
        (TABLE, SHAPE, SCALAR),
        (ValueInfo("x", ("batch", 0, 3), DataType.INT8, (-5,)),),
        (ValueInfo("y", (), DataType.FLOAT, (0,), "an output"),),
        (ValueInfo("x", ("batch", 0, 3), DataType.INT8, (-5,)), ValueInfo("", (), DataType.BOOL)),
        (replace(TABLE, name="x"),),
        (replace(SCALAR, name="y"),),
        "a graph",
    ),
    {"target": "esp32p4", "empty": ""},
    8,
    "quaint",
    "0.1",
    "domain",
    3,
    "a model",
)
EMPTY = EspdlModel(EspdlGraph("", (), (), (), ()))
BYTES = write(MODEL)


@pytest.mark.parametrize("model", [MODEL, EMPTY])
def test_what_is_written_is_read(model: EspdlModel) -> None:
    data = write(model)
    assert read(data) == model
    assert len(data) % 16 == 0
    assert struct.unpack_from("<4sIII", data) == (b"EDL2", 0, len(data) - 16, 0)


def test_same_model_same_bytes() -> None:
    assert write(read(BYTES)) == BYTES


def test_older_envelope() -> None:
    payload = BYTES[16:]
    assert read(b"EDL1" + struct.pack("<II", 0, len(payload)) + payload) == MODEL


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (b"", "does not start with EDL2"),
        (b"\x08\x07\x12\x04onnx", "does not start with EDL2"),
        (b"EDL2", "truncated .espdl file: 4 bytes"),
        (b"PDL2" + bytes(60), "package of several models"),
        (b"EDL2" + struct.pack("<III", 1, 16, 0) + bytes(16), "encrypted"),
        (BYTES[:-16], f"{len(BYTES) - 16} bytes where its header announces {len(BYTES)}"),
        (BYTES + bytes(16), "announces"),
        (b"EDL2" + bytes(12), "truncated or corrupt"),
        (b"EDL2" + struct.pack("<III", 0, 16, 0) + b"\xff" * 16, "truncated or corrupt"),
    ],
)
def test_what_is_no_model_is_refused(data: bytes, message: str) -> None:
    with pytest.raises(QuaintError) as caught:
        read(data, where="net.espdl")
    assert caught.value.code == "QM104"
    assert caught.value.where == "net.espdl"
    assert message in caught.value.what


def use(data: bytes) -> None:
    """Whatever is read without an error can be shown and written again."""
    try:
        model = read(data)
    except QuaintError:
        return
    assert describe(model)["format"] == "espdl"
    assert info_text(model)
    assert read(write(model)).graph.name == model.graph.name


payload_index = st.integers(16, len(BYTES) - 1)


@given(st.lists(st.tuples(payload_index, st.integers(0, 255)), min_size=1, max_size=8))
@settings(max_examples=600, deadline=None)
def test_damaged_bytes_never_crash(damage: list[tuple[int, int]]) -> None:
    data = bytearray(BYTES)
    for index, value in damage:
        data[index] = value
    use(bytes(data))


@given(st.integers(4, len(BYTES) // 4 - 1), st.sampled_from([0, 1, 4, 2**16, 2**31 - 1, 2**31, 2**32 - 4, 2**32 - 1]))
@example(4, 2**32 - 1)
@settings(max_examples=400, deadline=None)
def test_damaged_offsets_never_crash(word: int, value: int) -> None:
    data = bytearray(BYTES)
    struct.pack_into("<I", data, 4 * word, value)
    use(bytes(data))


@given(st.integers(0, len(BYTES) - 17))
@settings(max_examples=200, deadline=None)
def test_truncated_payload_never_crashes(size: int) -> None:
    use(b"EDL2" + struct.pack("<III", 0, size, 0) + BYTES[16 : 16 + size])


@needs_files
def test_real_files_survive_a_round_trip() -> None:
    for path in FILES:
        data = path.read_bytes()
        model = read(data, where=path.name)
        rewritten = write(model)
        assert read(rewritten) == model, path
        assert len(rewritten) <= len(data), path
    assert len(FILES) > 800


@needs_files
def test_damaged_real_files_never_crash() -> None:
    rng = np.random.default_rng(0)
    for path in FILES[::40]:
        data = bytearray(path.read_bytes())
        if len(data) > 100_000:
            continue
        for _ in range(8):
            damaged = data.copy()
            for index in rng.integers(16, len(data), 20):
                damaged[index] = rng.integers(256)
            use(bytes(damaged))
