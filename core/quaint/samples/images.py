"""A folder of images as samples: one image at a time, pixels 0 to 255 as they are, never resized or recoloured by guess."""

from __future__ import annotations

import warnings
from typing import TYPE_CHECKING

import numpy as np

from quaint.errors import QuaintError

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path

    from PIL import Image

    from quaint.samples.columns import Array
    from quaint.samples.spec import TensorSpec

SUFFIXES = frozenset({".png", ".jpg", ".jpeg", ".bmp", ".webp", ".pgm", ".ppm"})
FORMATS = ("PNG", "JPEG", "BMP", "WEBP", "PPM")  # every decoder is attack surface: no more of them than these
GREY_MODES, COLOUR_MODES, ALPHA_MODES = frozenset({"1", "L"}), frozenset({"RGB", "P"}), frozenset({"LA", "RGBA"})
ORIENTATION, FIRST_TURNED = 0x0112, 5  # EXIF 2.32, table 4: values from 5 on swap width and height


class ImageColumn:
    """Image files as samples of ``layout``, by default that of the model's input.

    An image is turned as its EXIF orientation says; grey becomes colour by repetition where the model takes colour; an
    alpha channel is dropped where it is opaque. Every other conversion would be a guess and is refused.

    Raises:
        QuaintError: QC230 for an unreadable image or one that would need a guess; QC210 where an image's size is wrong.
    """

    dtype: np.dtype[np.generic] = np.dtype(np.uint8)

    def __init__(self, paths: Sequence[Path], spec: TensorSpec, layout: str | None, where: str) -> None:
        self._paths, self.where, axis = paths, where, spec.image_axis
        if axis is None:
            what = f"images need an input of rank 4 with 1 or 3 channels, not {list(spec.shape)}"
            raise QuaintError("QC230", what, where=f"{where}, input '{spec.name}'", hint="give an .npz instead")
        self._channels = spec.shape[axis] or 0
        self._channels_first = (layout or spec.layout) == "nchw"
        height, width = spec.shape[2:] if axis == 1 else spec.shape[1:3]
        first = _size(paths[0])
        expected = (height or first[0], width or first[1])
        for path in paths:
            size = _size(path)
            if size != expected:
                what = (
                    f"wrong image size: got {size[0]}x{size[1]}, expected {expected[0]}x{expected[1]} (height x width)"
                )
                raise QuaintError("QC210", what, where=str(path), hint="resize the images as was done in training")
        shape = (self._channels, *expected) if self._channels_first else (*expected, self._channels)
        self.shape: tuple[int, ...] = (len(paths), *shape)

    def read(self, rows: int) -> Iterator[Array]:  # noqa: ARG002 - one is as many as memory is sure to hold
        """Images one by one, uint8."""
        for path in self._paths:
            pixels = self._pixels(path)
            yield (pixels.transpose(2, 0, 1) if self._channels_first else pixels)[np.newaxis]

    def _pixels(self, path: Path) -> Array:
        """[height, width, channels], uint8."""
        from PIL import ImageOps

        try:
            with _opened(path) as image:
                plain = _plain(ImageOps.exif_transpose(image), path)
        except QuaintError:
            raise
        except Exception as error:  # decoders raise whatever they like on corrupt data
            raise _unreadable(path, error) from error
        if plain.mode == "RGB" and self._channels == 1:
            hint = "convert it to grey as was done in training"
            raise QuaintError("QC230", "a colour image, and the model takes grey ones", where=str(path), hint=hint)
        return np.atleast_3d(np.asarray(plain if self._channels == 1 else plain.convert("RGB"), np.uint8))


def _plain(image: Image.Image, path: Path) -> Image.Image:
    """``image`` in mode L or RGB."""
    if "transparency" in image.info:
        image = image.convert("RGBA")
    if image.mode in ALPHA_MODES:
        if image.getchannel("A").getextrema() != (255, 255):
            hint = "flatten it onto the background that the model was trained with"
            raise QuaintError("QC230", "the image is partly transparent", where=str(path), hint=hint)
        return image.convert(image.mode.removesuffix("A"))
    if image.mode in GREY_MODES:
        return image.convert("L")
    if image.mode in COLOUR_MODES:
        return image.convert("RGB")
    hint = "convert it to 8-bit grey or RGB"
    raise QuaintError("QC230", f"pixels of mode {image.mode} are not 8-bit grey or RGB", where=str(path), hint=hint)


def _size(path: Path) -> tuple[int, int]:
    """(height, width) as a viewer shows it, from the header alone."""
    try:
        with _opened(path) as image:
            width, height = image.size
            turned = image.getexif().get(ORIENTATION, 1) >= FIRST_TURNED
            animated = getattr(image, "is_animated", False) and image.format != "MPO"  # MPO: a photo with previews
    except Exception as error:  # see above
        raise _unreadable(path, error) from error
    if animated:
        raise QuaintError("QC230", "the image is animated", where=str(path), hint="save the frames as images")
    return (width, height) if turned else (height, width)


def _opened(path: Path) -> Image.Image:
    from PIL import Image

    with warnings.catch_warnings():
        warnings.simplefilter("error", Image.DecompressionBombWarning)
        return Image.open(path, formats=FORMATS)


def _unreadable(path: Path, error: Exception) -> QuaintError:
    return QuaintError("QC230", f"not a readable image: {error or type(error).__name__}", where=str(path))
