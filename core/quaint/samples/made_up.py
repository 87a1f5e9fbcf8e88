"""Random samples, for want of real ones."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import numpy as np

from quaint.errors import QuaintError

if TYPE_CHECKING:
    from collections.abc import Iterator

    from quaint.samples.columns import Array
    from quaint.samples.spec import TensorSpec


class RandomColumn:
    """Integers of 0 to 255 for what looks like an image (rank 4; 1 or 3 channels), else of -128 to 127, cast to the dtype.

    They are bytes of the raw stream of PCG64, which NumPy guarantees not to change, drawn sample by sample: the same
    for the same ``seed`` and ``stream`` with any batch size and any version.

    Raises:
        QuaintError: QC210 where the model leaves a size open.
    """

    where = "random samples"

    def __init__(self, spec: TensorSpec, count: int, seed: int, stream: int) -> None:
        sizes = [size for size in spec.shape[1:] if size is not None]
        if len(sizes) < len(spec.shape) - 1:
            what = f"no random samples for an input of open size {list(spec.shape)}"
            raise QuaintError("QC210", what, where=f"input '{spec.name}'", hint="fix the model's shape or give samples")
        self.shape, self.dtype, self._seed = (count, *sizes), spec.dtype, [seed, stream]
        self._drawn = np.dtype(np.int8 if spec.image_axis is None else np.uint8)

    def read(self, rows: int) -> Iterator[Array]:  # noqa: ARG002 - a sample each, see above
        """Samples one by one."""
        generator, size = np.random.PCG64(self._seed), math.prod(self.shape[1:])
        for _ in range(self.shape[0]):
            words = np.asarray(generator.random_raw(-(-size // 8)), dtype="<u8")
            yield words.view(self._drawn)[:size].reshape(1, *self.shape[1:]).astype(self.dtype)
