"""Sessions of onnxruntime that compute exactly, and fast for many samples.

Past a few samples, feature maps no longer fit the cache, and every layer waits for memory. So a large batch runs in slices, each
in a thread of its own, which also need not wait for each other after every layer.
"""

from __future__ import annotations

import os
from concurrent.futures import ThreadPoolExecutor
from functools import cache
from typing import TYPE_CHECKING, Any

import numpy as np
import onnxruntime as ort

if TYPE_CHECKING:
    from collections.abc import Mapping

    from numpy.typing import NDArray

    Array = NDArray[Any]

#: Optimizers that would fold a multiplication into the sum of products before it, and so change roundings; the last one
#: crashes on products of float64 after a Transpose (onnxruntime 1.31).
UNSAFE_OPTIMIZERS = ("ConvMulFusion", "MatMulScaleFusion", "MatmulTransposeFusion")
#: Elements of the largest tensor of a slice.
_MOST_ELEMENTS = 3 << 20


class Session:
    """A graph in onnxruntime.

    Args:
        model: the serialized model.
        threads: how many to use; 0 for as many as there are cores.
        largest: elements of the largest tensor of one sample; None where inputs and outputs do not all begin with the batch.
        inside: whether most tensors stay inside; then their memory is kept for the next run.
    """

    def __init__(self, model: bytes, threads: int, largest: int | None, *, inside: bool) -> None:
        self._model, self._inside = model, inside
        self._threads, self._slices = threads, threads or os.cpu_count() or 1
        self._most = None if largest is None else max(_MOST_ELEMENTS // max(largest, 1), 1)
        self._session = cache(self._make)

    def run(self, feeds: Mapping[str, Array]) -> list[Array]:
        """All outputs, in order."""
        counts = {len(array) for array in feeds.values()} if self._most else set()
        count = counts.pop() if len(counts) == 1 else 0
        if self._most is None or count <= self._most:
            return list(self._session(self._threads).run(None, feeds))
        size = min(self._most, -(-count // self._slices))
        session, starts = self._session(1), range(0, count, size)

        def part(start: int) -> list[Array]:
            return list(session.run(None, {name: array[start : start + size] for name, array in feeds.items()}))

        with ThreadPoolExecutor(min(self._slices, len(starts))) as pool:
            outputs = [*zip(*pool.map(part, starts), strict=True)]
        return [np.concatenate(outputs.pop(0)) for _ in range(len(outputs))]  # no output is held twice but for one

    def _make(self, threads: int) -> ort.InferenceSession:
        options = ort.SessionOptions()
        options.intra_op_num_threads, options.inter_op_num_threads = threads, 1
        options.log_severity_level = 3
        options.enable_mem_pattern = False  # saves memory: no block for all tensors of a first run
        options.enable_cpu_mem_arena = self._inside
        return ort.InferenceSession(
            self._model, options, providers=["CPUExecutionProvider"], disabled_optimizers=[*UNSAFE_OPTIMIZERS]
        )
