"""What the runtime computes, operation by operation."""

from __future__ import annotations

from typing import TYPE_CHECKING

from quaint_espdl.kernels.floats import FLOAT_KERNELS
from quaint_espdl.kernels.integers import INTEGER_KERNELS
from quaint_espdl.kernels.interpolation import INTERPOLATION
from quaint_espdl.kernels.matmul import PACKED
from quaint_espdl.kernels.norms import NORM_KERNELS
from quaint_espdl.kernels.recurrent import RECURRENT_KERNELS
from quaint_espdl.kernels.reductions import REDUCING_KERNELS

if TYPE_CHECKING:
    from quaint.arithmetic import Kernel

#: Name of a layer's operation -> kernel.
KERNELS: dict[str, Kernel] = {
    **INTEGER_KERNELS,
    **FLOAT_KERNELS,
    **REDUCING_KERNELS,
    **NORM_KERNELS,
    **PACKED,
    **INTERPOLATION,
    **RECURRENT_KERNELS,
}
