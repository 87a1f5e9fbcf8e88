"""What Akida 1 lacks, in layers that it has; ``REWRITES`` run in this order."""

from __future__ import annotations

from typing import TYPE_CHECKING

from quaint import graph
from quaint_akida import common
from quaint_akida.entrance import is_input
from quaint_akida.entrances import rescale_at_entrance
from quaint_akida.limits1 import conv_limit, input_limit
from quaint_akida.rewriting import map_size
from quaint_akida.windows import growing, ungroup

if TYPE_CHECKING:
    import onnx_ir as ir

    from quaint.config import Config
    from quaint_akida.rewriting import Rewrite


def _limit(config: Config, node: ir.Node, found: common.Window) -> str | None:
    """What limit the convolution ``node`` would break with another window."""
    x, (filters, channels) = node.inputs[0], (graph.dims(node.inputs[1]) or (0, 0))[:2]
    if x is not None and is_input(x, config):
        return input_limit(found, int(filters or 0), int(channels or 0))
    return conv_limit(found, (map_size(x) or (0,))[0], depthwise=common.is_depthwise(node))


REWRITES: tuple[Rewrite, ...] = (rescale_at_entrance, ungroup, growing(_limit))
