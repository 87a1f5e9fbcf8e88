"""Random graphs: whatever the mixture of operators, canonical, a fixed point, and the same floats."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pytest

if TYPE_CHECKING:
    from collections.abc import Callable

    import onnx_ir as ir

Shape = tuple[int, ...]


class Writer:
    """Writes a random graph in onnx's text form, one operator after the other."""

    def __init__(self, seed: int) -> None:
        self.rng = np.random.default_rng(seed)
        self.lines: list[str] = []
        self.arrays: dict[str, np.ndarray] = {}
        self.values: list[tuple[str, Shape]] = [("x", (2, 4, 6, 6))]

    def constant(self, array: np.ndarray) -> str:
        name = f"c{len(self.arrays)}"
        self.arrays[name] = array
        return name

    def floats(self, *shape: int) -> str:
        return self.constant((self.rng.uniform(0.3, 1.5, shape) * self.rng.choice([-1, 1], shape)).astype(np.float32))

    def ints(self, *numbers: int) -> str:
        return self.constant(np.array(numbers))

    def grow(self) -> None:
        """Add one operator behind a recent value."""
        source, shape = self.values[-1 - int(self.rng.integers(min(3, len(self.values))))]
        kind = self.rng.choice(["elementwise", "arithmetic", "axes", "layer", "pool"])
        written = getattr(self, f"_{kind}")(source, shape)
        if written is not None and np.prod(written[1]) < 5000:
            name = f"v{len(self.values)}"
            self.lines.append(f"{name} = {written[0]}")
            self.values.append((name, written[1]))

    def _elementwise(self, source: str, shape: Shape) -> tuple[str, Shape]:
        op = self.rng.choice(["Relu", "Sigmoid", "HardSwish", "Identity", "Dropout", "Neg", "Clip", "Mul", "Sum"])
        same = [name for name, other in self.values if other == shape]
        bounds = f", {self.constant(np.float32(-1))}, {self.constant(np.float32(1))}" if op == "Clip" else ""
        others = f", {self.rng.choice(same)}" if op in {"Mul", "Sum"} else ""
        return f"{op} ({source}{bounds}{others})", shape

    def _arithmetic(self, source: str, shape: Shape) -> tuple[str, Shape]:
        per_axis = int(self.rng.integers(1, len(shape)))
        operand = self.floats(*(extent if axis == per_axis else 1 for axis, extent in enumerate(shape)))
        op = self.rng.choice(["Add", "Mul", "Sub", "Div"])
        first, second = (source, operand) if op == "Div" or self.rng.random() < 0.7 else (operand, source)
        return f"{op} ({first}, {second})", shape

    def _axes(self, source: str, shape: Shape) -> tuple[str, Shape]:
        op, axis = (
            self.rng.choice(["Transpose", "Transpose", "Softmax", "Concat", "Reshape", "ReduceMean"]),
            len(shape) - 1,
        )
        if op == "Transpose":
            perm = [0, *(int(i) for i in 1 + self.rng.permutation(len(shape) - 1))]
            return f"Transpose <perm = {perm}> ({source})", tuple(shape[i] for i in perm)
        if op == "Reshape":
            return f"Reshape ({source}, {self.ints(shape[0], 1, -1)})", (shape[0], 1, int(np.prod(shape[1:])))
        if op == "ReduceMean":
            return f"ReduceMean ({source}, {self.ints(axis)})", (*shape[:-1], 1)
        if op == "Concat":
            return f"Concat <axis = -1> ({source}, {source})", (*shape[:-1], 2 * shape[-1])
        return f"Softmax <axis = {axis}> ({source})", shape

    def _layer(self, source: str, shape: Shape) -> tuple[str, Shape] | None:
        if len(shape) == 4 and min(shape[2:]) > 2 and self.rng.random() < 0.6:
            weights = self.floats(3, shape[1], 3, 3)
            return f"Conv <pads = [1,0,1,0]> ({source}, {weights})", (shape[0], 3, shape[2], shape[3] - 2)
        if len(shape) == 2:
            return f"Gemm <alpha = 0.5> ({source}, {self.floats(shape[1], 5)})", (shape[0], 5)
        if len(shape) == 3:
            return f"MatMul ({source}, {self.floats(shape[2], 4)})", (*shape[:2], 4)
        parameters = [self.floats(shape[1]) for _ in range(3)]
        variance = self.constant(self.rng.uniform(0.5, 2, shape[1]).astype(np.float32))
        return f"BatchNormalization ({source}, {', '.join(parameters)}, {variance})", shape

    def _pool(self, source: str, shape: Shape) -> tuple[str, Shape] | None:
        op = self.rng.choice(["MaxPool", "AveragePool", "GlobalAveragePool", "Flatten"])
        if op == "Flatten":
            return f"Flatten ({source})", (shape[0], int(np.prod(shape[1:])))
        if len(shape) != 4 or min(shape[2:]) < 2:
            return None
        if op == "GlobalAveragePool":
            return f"{op} ({source})", (*shape[:2], 1, 1)
        halves = tuple(extent // 2 for extent in shape[2:])
        return f"{op} <kernel_shape = [2,2], strides = [2,2]> ({source})", (*shape[:2], *halves)

    def text(self) -> str:
        """The graph; every value that nobody reads is an output."""
        read = {word.strip("(),") for line in self.lines for word in line.split("=", 1)[1].split()}
        outputs = [f"float[{','.join(map(str, shape))}] {name}" for name, shape in self.values[1:] if name not in read]
        return f"(float[2,4,6,6] x) => ({', '.join(outputs)}) {{ {' '.join(self.lines)} }}"


@pytest.mark.parametrize("seed", range(60))
def test_random_graph(seed: int, canonical: Callable[..., ir.Model]) -> None:
    writer = Writer(seed)
    while len(writer.values) < 10:
        writer.grow()
    canonical(writer.text(), 18, tolerance=3e-4, **writer.arrays)
