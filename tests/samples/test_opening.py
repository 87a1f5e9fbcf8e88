from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from PIL import Image

from quaint.errors import QuaintError
from quaint.samples import TensorSpec, open_samples, read_labels

if TYPE_CHECKING:
    from pathlib import Path

F32 = np.dtype(np.float32)
X, Y = TensorSpec("x", (None, 3), F32), TensorSpec("y", (None, 2), F32)
VALUES = np.arange(12, dtype=np.float32).reshape(4, 3)


def whole(source: Any, *inputs: TensorSpec, layout: str | None = None) -> dict[str, np.ndarray]:
    batches = list(open_samples(source, inputs or [X], layout=layout).batches(3))
    return {name: np.concatenate([batch[name] for batch in batches]) for name in batches[0]}


def refused(source: Any, *inputs: TensorSpec) -> QuaintError:
    with pytest.raises(QuaintError) as caught:
        whole(source, *inputs)
    return caught.value


def test_content_counts_and_not_the_suffix(tmp_path: Path) -> None:
    np.save(tmp_path / "x.npy", VALUES)
    np.savez(tmp_path / "x.npz", VALUES)
    (tmp_path / "x.npy").rename(tmp_path / "a.npz")
    (tmp_path / "x.npz").rename(tmp_path / "b.npy")
    for name in ("a.npz", "b.npy"):
        np.testing.assert_array_equal(whole(str(tmp_path / name))["x"], VALUES)


def test_arrays() -> None:
    np.testing.assert_array_equal(whole(VALUES)["x"], VALUES)
    np.testing.assert_array_equal(whole(VALUES[0])["x"], VALUES[:1])
    both = whole({"x": VALUES, "y": VALUES[:, :2], "labels": np.arange(4)}, X, Y)
    np.testing.assert_array_equal(both["y"], VALUES[:, :2])
    assert "several" not in str(refused(VALUES, X, Y))
    assert refused(VALUES, X, Y).code == "QC240"


def test_anything_that_says_it_is_an_array() -> None:
    class Tensor:
        def __array__(self, dtype: Any = None, *, copy: Any = None) -> np.ndarray:
            return VALUES

    np.testing.assert_array_equal(whole(Tensor())["x"], VALUES)


def test_archives_of_several_inputs(tmp_path: Path) -> None:
    np.savez(tmp_path / "f.npz", x=VALUES, y=VALUES[:, :2], labels=np.arange(4))
    np.testing.assert_array_equal(whole(tmp_path / "f.npz", X, Y)["y"], VALUES[:, :2])
    np.savez(tmp_path / "f.npz", x=VALUES, y=VALUES[:2, :2])
    assert refused(tmp_path / "f.npz", X, Y).code == "QC214"
    np.save(tmp_path / "x.npy", VALUES)
    assert refused(tmp_path / "x.npy", X, Y).code == "QC212"


def test_folders_of_arrays(tmp_path: Path) -> None:
    np.save(tmp_path / "b.npy", VALUES[1:])
    np.save(tmp_path / "a.npy", VALUES[0])
    np.save(tmp_path / "labels.npy", np.arange(4))
    np.testing.assert_array_equal(whole(tmp_path)["x"], VALUES)
    np.save(tmp_path / "c.npy", VALUES[:, :2])
    error = refused(tmp_path)
    assert error.code == "QC210"
    assert "c.npy" in str(error)


def test_folders_of_several_inputs(tmp_path: Path) -> None:
    np.save(tmp_path / "x.npy", VALUES)
    (tmp_path / "y").mkdir()
    for index in range(4):
        np.save(tmp_path / "y" / f"{index}.npy", VALUES[index, :2])
    values = whole(tmp_path, X, Y)
    np.testing.assert_array_equal(values["x"], VALUES)
    np.testing.assert_array_equal(values["y"], VALUES[:, :2])
    (tmp_path / "x.npy").unlink()
    assert refused(tmp_path, X, Y).code == "QC212"


def test_folders_of_both_kinds_or_none(tmp_path: Path) -> None:
    assert refused(tmp_path).code == "QC201"
    np.save(tmp_path / "x.npy", VALUES)
    Image.new("L", (2, 2)).save(tmp_path / "x.png")
    assert refused(tmp_path).code == "QC212"


def test_layout(tmp_path: Path) -> None:
    spec = TensorSpec("x", (None, 3, 4, 5), F32)
    values = np.arange(120, dtype=np.float32).reshape(2, 3, 4, 5)
    np.savez(tmp_path / "x.npz", values.transpose(0, 2, 3, 1))
    np.testing.assert_array_equal(whole(tmp_path / "x.npz", spec, layout="nhwc")["x"], values)
    (tmp_path / "folder").mkdir()
    np.save(tmp_path / "folder" / "a.npy", values[0].transpose(1, 2, 0))
    np.testing.assert_array_equal(whole(tmp_path / "folder", spec, layout="nhwc")["x"], values[:1])
    np.testing.assert_array_equal(whole([values.transpose(0, 2, 3, 1)], spec, layout="nhwc")["x"], values)
    assert refused(tmp_path / "x.npz", spec).code == "QC211"
    with pytest.raises(QuaintError, match="did you mean 'nhwc'"):
        open_samples(values, [spec], layout="nhcw")


def test_what_is_not_there(tmp_path: Path) -> None:
    (tmp_path / "calib.npz").write_bytes(b"")
    error = refused(tmp_path / "calb.npz")
    assert error.code == "QC200"
    assert "did you mean 'calib.npz'?" in str(error)
    assert refused(tmp_path / "missing" / "x.npz").code == "QC200"
    assert refused(tmp_path / "calib.npz").code == "QC201"
    assert refused("/dev/null").code == "QC200"
    os.mkfifo(tmp_path / "fifo")
    assert refused(tmp_path / "fifo").code == "QC200"
    assert refused(tmp_path / ("n" * 300)).code == "QC200"
    assert refused(3).code == "QC240"


def test_labels(tmp_path: Path) -> None:
    np.save(tmp_path / "l.npy", np.array([1, 2, 3], ">i2"))
    np.savez(tmp_path / "one.npz", anything=np.array([1, 2, 3], np.uint8))
    np.savez(tmp_path / "several.npz", x=VALUES, labels=np.array([1, 2, 3]))
    for name in ("l.npy", "one.npz", "several.npz"):
        labels = read_labels(tmp_path / name)
        assert labels.dtype == np.int64
        assert labels.tolist() == [1, 2, 3]


@pytest.mark.parametrize("values", [VALUES, np.arange(3.0), np.zeros(0, int), np.int64(3)])
def test_labels_of_another_kind(tmp_path: Path, values: np.ndarray) -> None:
    np.save(tmp_path / "l.npy", values)
    with pytest.raises(QuaintError, match="QC215"):
        read_labels(tmp_path / "l.npy")


def test_labels_of_no_clear_name(tmp_path: Path) -> None:
    np.savez(tmp_path / "l.npz", a=np.arange(3), b=np.arange(3))
    with pytest.raises(QuaintError, match="found: a, b"):
        read_labels(tmp_path / "l.npz")
    with pytest.raises(QuaintError, match="QC200"):
        read_labels(tmp_path / "missing.npz")
