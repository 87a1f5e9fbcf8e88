"""Attacks and accidents in NumPy's files. Every damaged file is made here."""

from __future__ import annotations

import io
import struct
import tracemalloc
import warnings
import zipfile
from typing import TYPE_CHECKING

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from quaint.errors import QuaintError
from quaint.samples import Samples, TensorSpec, npy, open_samples

if TYPE_CHECKING:
    from pathlib import Path

X = TensorSpec("x", (None, 3), np.dtype(np.float32))
VALUES = np.arange(12, dtype=np.float32).reshape(4, 3)


def npy_bytes(values: object = VALUES) -> bytes:
    stream = io.BytesIO()
    np.save(stream, values)  # type: ignore[arg-type]
    return stream.getvalue()


def with_header(text: str, data: bytes = bytes(48)) -> bytes:
    header = text.encode("latin1") + b"\n"
    return b"\x93NUMPY\x01\x00" + struct.pack("<H", len(header)) + header + data


def archive(path: Path, members: dict[str, bytes], compression: int = zipfile.ZIP_DEFLATED) -> Path:
    with zipfile.ZipFile(path, "w", compression) as stream:
        for name, data in members.items():
            stream.writestr(name, data)
    return path


def whole(samples: Samples, rows: int = 2) -> np.ndarray:
    return np.concatenate([batch["x"] for batch in samples.batches(rows)])


def refused(path: Path) -> QuaintError:
    with pytest.raises(QuaintError) as caught:
        whole(open_samples(path, [X]))
    assert path.name in str(caught.value)
    return caught.value


@pytest.mark.parametrize("rows", [1, 2, 3, 4, 100])
@pytest.mark.parametrize("dtype", ["<f4", ">f4", ">f8", "<i2", "|u1", "?", "<f2"])
@pytest.mark.parametrize("order", ["C", "F"])
def test_every_plain_file_is_read(tmp_path: Path, rows: int, dtype: str, order: str) -> None:
    values = np.asarray(VALUES, dtype, order)  # type: ignore[call-overload]
    np.save(tmp_path / "x.npy", values)
    np.savez(tmp_path / "stored.npz", x=values)
    np.savez_compressed(tmp_path / "deflated.npz", x=values)
    for name in ("x.npy", "stored.npz", "deflated.npz"):
        samples = open_samples(tmp_path / name, [X])
        assert len(samples) == 4
        np.testing.assert_array_equal(whole(samples, rows), values.astype(np.float32))
        np.testing.assert_array_equal(whole(samples, rows), values.astype(np.float32))


def test_archives_are_streamed(tmp_path: Path) -> None:
    values = np.random.default_rng(0).integers(0, 9, (4000, 1000), np.int8)
    np.savez_compressed(tmp_path / "x.npz", x=values)
    samples = open_samples(tmp_path / "x.npz", [TensorSpec("x", (None, 1000), np.dtype(np.float32))])
    tracemalloc.start()
    total = sum(float(batch["x"].sum()) for batch in samples.batches(16))
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert total == values.sum(dtype=np.int64)
    assert peak < 2**20


@pytest.mark.parametrize("name", ["x.npy", "x.npz"])
def test_pickles_are_refused(tmp_path: Path, name: str) -> None:
    values = np.array([[1, None, "x"]], dtype=object)
    if name == "x.npy":
        np.save(tmp_path / name, values)
    else:
        np.savez(tmp_path / name, x=values)
    error = refused(tmp_path / name)
    assert error.code == "QC220"
    assert "allow_pickle" not in str(error)


@pytest.mark.parametrize(
    "values",
    [np.zeros(2, [("a", "<f4"), ("b", "<i4")]), np.zeros(2, "c8"), np.zeros(2, "U4"), np.zeros(2, "M8[s]"), np.zeros(2, "V4")],
)  # fmt: skip
def test_other_than_numbers_are_refused(tmp_path: Path, values: np.ndarray) -> None:
    np.save(tmp_path / "x.npy", values)
    assert refused(tmp_path / "x.npy").code == "QC224"


@pytest.mark.parametrize(
    "data",
    [
        with_header("{'descr': '<f4', 'fortran_order': False, 'shape': (1000000000000, 3), }"),
        with_header("{'descr': '<f4', 'fortran_order': False, 'shape': (4, 4), }"),
        with_header("{'descr': '<f4', 'fortran_order': False, 'shape': (3, 3), }"),
        with_header("{'descr': '<f4', 'fortran_order': False, 'shape': (-4, -3), }"),
        with_header("{'descr': '<f4', 'fortran_order': False, 'shape': 12, }"),
        with_header("{'descr': '<f4', 'fortran_order': 'no', 'shape': (4, 3), }"),
        with_header("{'descr': '<f4', 'shape': (4, 3), }"),
        with_header("{'descr': 'nonsense', 'fortran_order': False, 'shape': (4, 3), }"),
        with_header("__import__('os').system('false')"),
        with_header("(" * 9000),
        with_header("[" * 60 + "]" * 60),
        with_header("{'descr': '<f4', 'fortran_order': False, 'shape': (4, 3), }" + " " * 20_000),
        b"\x93NUMPY",
        b"\x93NUMPY\x03\x00\x00\x00\x00\x00",
        b"\x93NUMPY\x09\x00\x00\x00",
        npy_bytes()[:100],
        npy_bytes()[:-1],
        npy_bytes() + b"x",
    ],
)
def test_damaged_headers(tmp_path: Path, data: bytes) -> None:
    (tmp_path / "x.npy").write_bytes(data)
    assert refused(tmp_path / "x.npy").code == "QC224"
    assert refused(archive(tmp_path / "x.npz", {"x.npy": data})).code == "QC224"


@pytest.mark.parametrize("data", [b"text", b"\x80\x04K\x01.", b"\x93NUMP", b"\0" * 100])
def test_other_files(tmp_path: Path, data: bytes) -> None:
    (tmp_path / "x.npz").write_bytes(data)
    assert refused(tmp_path / "x.npz").code == "QC221"


def test_damaged_archives(tmp_path: Path) -> None:
    good = archive(tmp_path / "x.npz", {"x.npy": npy_bytes()}, zipfile.ZIP_STORED).read_bytes()
    place = good.index(VALUES[2].tobytes())
    for damaged in (good[: len(good) // 2], good[:place] + b"\xff\xff\0\x01" + good[place + 4 :], good[:4]):
        (tmp_path / "bad.npz").write_bytes(damaged)
        assert refused(tmp_path / "bad.npz").code == "QC221"


def test_encrypted_members(tmp_path: Path) -> None:
    data = bytearray(archive(tmp_path / "x.npz", {"x.npy": npy_bytes()}).read_bytes())
    data[6] |= 1
    data[data.index(b"PK\x01\x02") + 8] |= 1
    (tmp_path / "x.npz").write_bytes(data)
    assert refused(tmp_path / "x.npz").code == "QC221"


def test_zip_bombs_are_not_inflated(tmp_path: Path) -> None:
    np.savez_compressed(tmp_path / "x.npz", x=np.zeros((20_000_000 // 12, 3), np.float32))
    tracemalloc.start()
    error = refused(tmp_path / "x.npz")
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert error.code == "QC222"
    assert "200:1" in str(error)
    assert peak < 2**20


def test_small_constant_archives_are_no_bombs(tmp_path: Path) -> None:
    np.savez_compressed(tmp_path / "x.npz", x=np.zeros((300_000, 3), np.float32))
    assert len(open_samples(tmp_path / "x.npz", [X])) == 300_000


def test_a_lie_about_the_size_of_a_member_is_found(tmp_path: Path) -> None:
    """The directory says less than the member inflates to: what is beyond is not read, and the checksum fails."""
    data = npy_bytes(np.zeros((1000, 3), np.float32))
    path = archive(tmp_path / "x.npz", {"x.npy": data})
    content = bytearray(path.read_bytes())
    entry = content.index(b"PK\x01\x02")
    content[entry + 24 : entry + 28] = struct.pack("<I", len(data) - 1200)
    path.write_bytes(content)
    assert refused(path).code == "QC224"


def test_members_of_one_name(tmp_path: Path) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        with zipfile.ZipFile(tmp_path / "x.npz", "w") as stream:
            stream.writestr("x.npy", npy_bytes())
            stream.writestr("x.npy", npy_bytes())
    assert refused(tmp_path / "x.npz").code == "QC223"


def test_member_names_are_not_paths(tmp_path: Path) -> None:
    path = archive(tmp_path / "x.npz", {"../../evil.npy": npy_bytes()})
    np.testing.assert_array_equal(whole(open_samples(path, [X])), VALUES)
    assert [entry.name for entry in tmp_path.iterdir()] == ["x.npz"]


def test_archives_of_something_else(tmp_path: Path) -> None:
    assert refused(archive(tmp_path / "x.npz", {"readme.txt": b"hello"})).code == "QC221"
    assert refused(archive(tmp_path / "empty.npz", {})).code == "QC201"


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=300, deadline=None)
@given(data=st.data())
def test_damage_of_any_kind_is_refused_or_harmless(tmp_path: Path, data: st.DataObject) -> None:
    compression = data.draw(st.sampled_from([zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED, None]))
    path = tmp_path / "x"
    if compression is None:
        path.write_bytes(npy_bytes())
    else:
        archive(path, {"x.npy": npy_bytes()}, compression)
    content = bytearray(path.read_bytes())
    for _ in range(data.draw(st.integers(1, 4))):
        content[data.draw(st.integers(0, len(content) - 1))] = data.draw(st.integers(0, 255))
    path.write_bytes(content[: data.draw(st.integers(0, len(content)) | st.just(len(content)))])
    try:
        values = whole(open_samples(path, [X]))
    except QuaintError as error:
        code = error.code
    else:
        code = "QC2" if np.isfinite(values).all() else "not finite"
    assert code.startswith("QC2")


def test_limits_are_those_of_the_documentation() -> None:
    assert (npy.MAX_INFLATION, npy.MAX_BYTES) == (200, 16 * 2**30)
