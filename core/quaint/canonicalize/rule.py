"""What a pass is: a function that edits a graph and says whether it changed anything."""

from __future__ import annotations

import functools
from collections.abc import Callable

import onnx_ir as ir

from quaint.graph import GraphEditor

Pass = Callable[[GraphEditor], bool]
Rule = Callable[[GraphEditor, ir.Node], bool]


def each(*op_types: str) -> Callable[[Rule], Pass]:
    """Make a pass of a rule for one node: it visits every node of these types once, in order."""

    def make_pass(rule: Rule) -> Pass:
        @functools.wraps(rule)
        def run(editor: GraphEditor) -> bool:
            changed = False
            for node in editor.nodes(*op_types):
                changed |= rule(editor, node)
            return changed

        return run

    return make_pass
