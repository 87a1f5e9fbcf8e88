from __future__ import annotations

import struct
import zlib
from typing import TYPE_CHECKING

import numpy as np
import pytest
from PIL import Image

from quaint.errors import QuaintError
from quaint.samples import TensorSpec, open_samples

if TYPE_CHECKING:
    from pathlib import Path

F32 = np.dtype(np.float32)
COLOUR = TensorSpec("x", (None, 3, 4, 5), F32)
GREY = TensorSpec("x", (None, 1, 4, 5), F32)
PIXELS = np.random.default_rng(0).integers(0, 256, (4, 5, 3), np.uint8)


def save(path: Path, pixels: np.ndarray = PIXELS, **options: object) -> None:
    path.parent.mkdir(exist_ok=True)
    Image.fromarray(pixels).save(path, **options)  # type: ignore[arg-type]


def read(folder: Path, spec: TensorSpec = COLOUR, layout: str | None = None) -> np.ndarray:
    return np.concatenate([batch["x"] for batch in open_samples(folder, [spec], layout=layout).batches(2)])


def refused(folder: Path, spec: TensorSpec = COLOUR) -> QuaintError:
    with pytest.raises(QuaintError) as caught:
        read(folder, spec)
    return caught.value


@pytest.mark.parametrize("layout", [None, "nchw", "nhwc"])
def test_images_in_order_of_name(tmp_path: Path, layout: str | None) -> None:
    for index, name in enumerate(["b.png", "a.bmp", "c.PPM"]):
        save(tmp_path / name, PIXELS // (index + 1), format=None)
    (tmp_path / ".DS_Store").write_bytes(b"x")
    (tmp_path / "labels.txt").write_bytes(b"x")
    expected = np.stack([PIXELS // 2, PIXELS, PIXELS // 3]).astype(np.float32)
    np.testing.assert_array_equal(read(tmp_path, COLOUR, layout), expected.transpose(0, 3, 1, 2))
    last = TensorSpec("x", (None, 4, 5, 3), F32)
    np.testing.assert_array_equal(read(tmp_path, last, layout), expected)
    free = TensorSpec("x", (None, 3, None, None), F32)
    np.testing.assert_array_equal(read(tmp_path, free, layout), expected.transpose(0, 3, 1, 2))


def test_grey(tmp_path: Path) -> None:
    save(tmp_path / "a.png", PIXELS[..., 0])
    np.testing.assert_array_equal(read(tmp_path, GREY)[0, 0], PIXELS[..., 0])
    np.testing.assert_array_equal(read(tmp_path)[0], np.stack([PIXELS[..., 0]] * 3))
    save(tmp_path / "b.png")
    assert "colour" in str(refused(tmp_path, GREY))


def test_palettes_and_bits(tmp_path: Path) -> None:
    Image.fromarray(PIXELS).quantize(256).save(tmp_path / "a.png")
    Image.fromarray(PIXELS[..., 0] > 127).save(tmp_path / "b.png")
    values = read(tmp_path)
    np.testing.assert_array_equal(
        values[0], np.asarray(Image.open(tmp_path / "a.png").convert("RGB")).transpose(2, 0, 1)
    )
    np.testing.assert_array_equal(values[1, 0], (PIXELS[..., 0] > 127) * 255.0)


def test_alpha_is_dropped_where_opaque_and_refused_elsewhere(tmp_path: Path) -> None:
    alpha = np.full((4, 5, 1), 255, np.uint8)
    save(tmp_path / "a.png", np.concatenate([PIXELS, alpha], -1))
    np.testing.assert_array_equal(read(tmp_path)[0], PIXELS.transpose(2, 0, 1))
    alpha[3, 3] = 254
    save(tmp_path / "b.png", np.concatenate([PIXELS, alpha], -1))
    error = refused(tmp_path)
    assert error.code == "QC230"
    assert "transparent" in str(error)
    assert "b.png" in str(error)


def test_transparent_colour_of_a_palette(tmp_path: Path) -> None:
    Image.fromarray(PIXELS).quantize(4).save(tmp_path / "a.png", transparency=0)
    assert "transparent" in str(refused(tmp_path))


def test_exif_orientation_is_applied(tmp_path: Path) -> None:
    exif = Image.Exif()
    exif[0x0112] = 6
    save(tmp_path / "a.png", np.ascontiguousarray(np.rot90(PIXELS, 1)), exif=exif)
    np.testing.assert_array_equal(read(tmp_path)[0], PIXELS.transpose(2, 0, 1))


@pytest.mark.parametrize("mode", ["CMYK", "I;16"])
def test_other_modes_are_refused(tmp_path: Path, mode: str) -> None:
    if mode == "CMYK":
        Image.fromarray(PIXELS).convert("CMYK").save(tmp_path / "a.jpg")
    else:
        Image.fromarray(PIXELS[..., 0].astype(np.uint16)).save(tmp_path / "a.png")
    error = refused(tmp_path)
    assert error.code == "QC230"
    assert mode in str(error)


def test_sizes_must_match(tmp_path: Path) -> None:
    save(tmp_path / "a.png")
    save(tmp_path / "b.png", PIXELS[:3])
    for spec in (COLOUR, TensorSpec("x", (None, 3, None, None), F32)):
        error = refused(tmp_path, spec)
        assert error.code == "QC210"
        assert "got 3x5, expected 4x5" in str(error)
        assert "b.png" in str(error)


@pytest.mark.parametrize("spec", [TensorSpec("x", (None, 16, 4, 5), F32), TensorSpec("x", (None, 60), F32)])
def test_images_need_an_input_for_images(tmp_path: Path, spec: TensorSpec) -> None:
    save(tmp_path / "a.png")
    assert refused(tmp_path, spec).code == "QC230"


def test_corrupt_images(tmp_path: Path) -> None:
    save(tmp_path / "good.png")
    good = (tmp_path / "good.png").read_bytes()
    save(tmp_path / "good.jpg")
    for data in (b"", b"GIF89a", b"text", good[: len(good) - 60], (tmp_path / "good.jpg").read_bytes()[:-100]):
        (tmp_path / "a.png").write_bytes(data)
        error = refused(tmp_path)
        assert error.code == "QC230"
        assert "a.png" in str(error)


def test_image_bombs(tmp_path: Path) -> None:
    def chunk(kind: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    header = chunk(b"IHDR", struct.pack(">IIBBBBB", 50_000, 50_000, 8, 2, 0, 0, 0))
    for side in (50_000, 10_000):
        header = chunk(b"IHDR", struct.pack(">IIBBBBB", side, side, 8, 2, 0, 0, 0))
        data = b"\x89PNG\r\n\x1a\n" + header + chunk(b"IDAT", zlib.compress(b"\0" * 1000)) + chunk(b"IEND", b"")
        (tmp_path / "a.png").write_bytes(data)
        error = refused(tmp_path, TensorSpec("x", (None, 3, None, None), F32))
        assert error.code == "QC230"
        assert "bomb" in str(error)


def test_animations_are_refused(tmp_path: Path) -> None:
    frames = [Image.fromarray(PIXELS), Image.fromarray(255 - PIXELS)]
    frames[0].save(tmp_path / "a.png", save_all=True, append_images=frames[1:])
    assert "animated" in str(refused(tmp_path))
