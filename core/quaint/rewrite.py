"""Rewrites: the same float function in layers that a chip has, where its own layers break one of the chip's limits.

They run for one target, on the canonical model, before it is divided; what all targets want is canonicalization.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from quaint.graph import GraphEditor

if TYPE_CHECKING:
    import onnx_ir as ir

    from quaint.config import Config
    from quaint.target import Target


def rewrite(model: ir.Model, target: Target, config: Config) -> tuple[str, ...]:
    """Run the target's rewrites on a canonical model, in place; it stays canonical in the names and shapes of its values.

    Returns:
        A line for each thing that was changed.
    """
    from quaint.canonicalize import FINISH

    editor = GraphEditor(model)
    lines = tuple(line for step in target.rewrites for line in step(editor, config))
    for step in FINISH if target.rewrites else ():
        step(editor)
    return lines
