"""Bring a float model into the canonical form that all later stages rely on (``docs/canonical-form.md``).

Every pass states what it requires and what it ensures. ``PREPARE`` runs once; ``SIMPLIFY`` runs until none of its
passes finds anything to do, so that the form does not depend on luck with the order; ``FINISH`` runs once.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from quaint.canonicalize.activations import clip_before_pool, merge_clips, name_activations, unify_clips
from quaint.canonicalize.affine import fold_affine, replace_normalization
from quaint.canonicalize.batch import BATCH_KEY, drop_zero_states, resolve_batch
from quaint.canonicalize.cleanup import remove_noops
from quaint.canonicalize.dense import matmul_to_conv, matmul_to_gemm, unify_gemm
from quaint.canonicalize.elementwise import order_operands, split_variadic, unify_axes, unify_inverse, unify_reduce
from quaint.canonicalize.floats import unify_floats
from quaint.canonicalize.fold import fold_constants
from quaint.canonicalize.matmul import replace_einsum, unify_matmul
from quaint.canonicalize.naming import complete_shapes, name_everything
from quaint.canonicalize.normalization import fold_into_layer_norm, name_layer_norm
from quaint.canonicalize.pooling import normalize_before_pool, unify_global_pool
from quaint.canonicalize.prepare import (
    convert_opset,
    drop_default_inputs,
    drop_unused,
    inline_functions,
    lift_constants,
    sort_nodes,
)
from quaint.canonicalize.reshapes import merge_reshapes, transpose_to_reshape, unify_expand, unify_reshapes, unify_split
from quaint.canonicalize.rule import Pass
from quaint.canonicalize.shapes import check_inputs, set_input_shapes
from quaint.canonicalize.slices import drop_single_axes, gather_to_slice, hoist_slices
from quaint.canonicalize.transposes import absorb_transposes, merge_transposes, sink_transposes
from quaint.canonicalize.windows import add_bias, fold_pad, unify_resize, write_out_windows
from quaint.graph import GraphEditor

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    import onnx_ir as ir

PREPARE: tuple[Pass, ...] = (
    drop_default_inputs,
    inline_functions,
    check_inputs,
    convert_opset,
    lift_constants,
    fold_constants,  # shape arithmetic in double is folded before the type changes
    unify_floats,
    unify_resize,
    fold_constants,
    unify_reshapes,  # so that shapes computed from the batch are not needed any more
    unify_expand,
    replace_einsum,
    drop_unused,
    drop_zero_states,
    resolve_batch,
)
SIMPLIFY: tuple[Pass, ...] = (
    order_operands,
    remove_noops,
    split_variadic,
    unify_inverse,
    unify_axes,
    unify_reduce,
    unify_split,
    unify_expand,
    unify_resize,
    unify_clips,
    merge_clips,
    name_activations,
    name_layer_norm,
    fold_into_layer_norm,
    write_out_windows,
    fold_pad,
    add_bias,
    clip_before_pool,
    unify_global_pool,
    unify_matmul,
    matmul_to_gemm,
    matmul_to_conv,
    unify_gemm,
    normalize_before_pool,
    fold_affine,
    replace_normalization,
    gather_to_slice,
    hoist_slices,
    drop_single_axes,
    merge_transposes,
    sink_transposes,
    transpose_to_reshape,
    merge_reshapes,
    unify_reshapes,
    absorb_transposes,
    drop_unused,
)
FINISH: tuple[Pass, ...] = (sort_nodes, order_operands, name_everything, complete_shapes)
PASSES: tuple[Pass, ...] = PREPARE + SIMPLIFY + FINISH

#: A safeguard only: real models settle within about five.
_MAX_ROUNDS = 1000

__all__ = ["BATCH_KEY", "FINISH", "PASSES", "PREPARE", "SIMPLIFY", "Pass", "canonicalize"]


def canonicalize(model: ir.Model, shapes: Mapping[str, Sequence[int]] | None = None) -> ir.Model:
    """The same function in canonical form.

    Args:
        model: a valid model; it is not changed.
        shapes: shapes of inputs by name, for inputs that are dynamic or to be changed; a first dimension of -1 asks for
            a symbolic batch.

    Returns:
        A new model; ``metadata_props["quaint.batch"]`` says whether the batch is ``symbolic`` or ``fixed``.

    Raises:
        QuaintError: QM110, if the operator set cannot be converted; QT320, if an input stays dynamic or a shape of
            ``shapes`` is not possible.
    """
    editor = GraphEditor(model.clone())
    for node in editor.graph.all_nodes():
        for value in node.outputs:
            value.const_value = None  # an exporter's note, which edits would make stale
    set_input_shapes(editor, shapes or {})
    for step in PREPARE:
        step(editor)
    _settle(editor)
    for step in FINISH:
        step(editor)
    return editor.model


def _settle(editor: GraphEditor) -> None:
    """Run ``SIMPLIFY`` until nothing changes."""
    for _ in range(_MAX_ROUNDS):
        changes = [step(editor) for step in SIMPLIFY]
        if not any(changes):
            return
    raise RuntimeError("the passes do not come to rest")
