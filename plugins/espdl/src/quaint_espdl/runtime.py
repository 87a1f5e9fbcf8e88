"""Which version of the runtime has an operator, and the chip.

Sources: the runtime's own table of operators, its list of registered modules and the chips that its component names. Each is
known for few versions, so what stands here is the first version *known* to have something; older ones may have it too.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from quaint.layers.shuffles import shuffled

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from quaint.patterns import Block

#: Operators of the runtime's table of June 2025, and modules that were registered before it: all of 3.2 has them.
_SINCE_3_2_0 = frozenset((
    "Add", "AveragePool", "Clip", "Concat", "Conv", "DequantizeLinear", "Div", "Elu", "Equal", "Exp", "Flatten", "Gather",
    "Gelu", "Gemm", "GlobalAveragePool", "Greater", "GreaterOrEqual", "HardSigmoid", "HardSwish", "Identity", "LUT",
    "LeakyRelu", "Less", "LessOrEqual", "Log", "MatMul", "MaxPool", "Mul", "PRelu", "Pad", "QuantizeLinear", "Relu",
    "RequantizeLinear", "Reshape", "Resize", "ReverseSequence", "Sigmoid", "Slice", "Softmax", "Split", "Sqrt", "Squeeze",
    "Sub", "Tanh", "Transpose", "Unsqueeze",
))  # fmt: skip
_FIRST, _LATEST = "3.2.0", "3.3.9"

#: The first version whose component names a chip.
_CHIPS = {"esp32p4": _FIRST, "esp32s3": _FIRST, "esp32": _FIRST}
_OTHER_CHIPS = "3.3.6"

#: Operators of the file that a float operator becomes, where they are not called the same.
_BECOMES = {
    "ConvTranspose": ("InsertZeros", "Conv"),
    "GlobalMaxPool": ("MaxPool",),
    "Cast": (),  # of truth values that leave the model: to nothing else
    **dict.fromkeys(("Expand", "ReverseSequence", "Tile"), ("Gather",)),
}


def lacking(version: str, operators: Iterable[str]) -> Iterator[str]:
    """Why a version of the runtime may not do: a reason for each operator that it is not known to have."""
    for operator in operators:
        since = _FIRST if operator in _SINCE_3_2_0 else _LATEST
        if _number(version) < _number(since):
            yield f"ESP-DL has {operator} for certain from {since} on, not in {version}: update it (options.runtime)"


def chip_lacking(version: str, chip: str) -> str | None:
    """Why a version may not do for a chip; None if it does."""
    since = _CHIPS.get(chip, _OTHER_CHIPS)
    if _number(version) < _number(since):
        return f"ESP-DL runs on the {chip} for certain from {since} on, not in {version}: update it (options.runtime)"
    return None


def operators(block: Block) -> list[str]:
    """The operators of the file that a block becomes."""
    types = [node.op_type for node in block.nodes]
    if types == ["Reshape", "Transpose", "Reshape"]:
        return ["Gather" if shuffled(block) else "DepthToSpace"]
    if {"Sigmoid", "Mul"} <= set(types):
        types = [*(name for name in types if name not in {"Sigmoid", "Mul"}), "Swish"]
    return [operator for name in types for operator in _BECOMES.get(name, (name,))]


def _number(version: str) -> tuple[int, ...]:
    return tuple(map(int, version.split(".")))
