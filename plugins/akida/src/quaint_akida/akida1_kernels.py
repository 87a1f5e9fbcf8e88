"""Layers of Akida 1 in integers: potentials against thresholds.

A convolution gives exact potentials; max pooling and sums over the map work on potentials, and then
``level = clip(ceil(16 * (potential - threshold) / step), 0, 2**bits - 1)`` with a step in sixteenths. Source: public
documentation of the akida package, "Akida layers" and the hardware pages of AKD1000.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, TypeVar

from quaint.numerics import Rounding

if TYPE_CHECKING:
    from collections.abc import Sequence

    import numpy as np
    from numpy.typing import NDArray

    from quaint.arithmetic import Arithmetic

    Array = NDArray[np.int64]

V = TypeVar("V")

#: A sum over the map, and the sum of a dense layer, saturate here.
LOW, HIGH = -(1 << 19), (1 << 19) - 1


def levels(k: Arithmetic[V], potential: V, threshold: Array, step: Array | None, activation_bits: int) -> V:
    """Levels of activation, channels along axis 1; the potential itself where ``step`` is None (no activation)."""
    if step is None:
        return potential
    excess = k.subtract(potential, threshold, axis=1)
    steps = k.divide(k.multiply(excess, 16), step, Rounding.CEIL, axis=1)
    return k.clip(steps, 0, (1 << activation_bits) - 1)


def _pooled(
    k: Arithmetic[V],
    potential: V,
    *,
    pool: Sequence[int] | None = None,
    pool_strides: Sequence[int] = (),
    pool_pads: Sequence[int] = (),
    gap: bool = False,
) -> V:
    """Max pooling of potentials, or their sum over the map."""
    if pool is not None:
        potential = k.max_pool(
            potential, kernel_shape=pool, strides=pool_strides, pads=pool_pads, dilations=[1, 1], ceil_mode=False
        )
    return k.saturating_sum(potential, (2, 3), LOW, HIGH, keepdims=True) if gap else potential


def convolutional(
    k: Arithmetic[V],
    x: V,
    *,
    weight: Array,
    threshold: Array,
    strides: Sequence[int],
    pads: Sequence[int],
    step: Array | None = None,
    activation_bits: int = 4,
    padding_value: int = 0,
    flatten: bool = False,
    **pooling: Any,
) -> V:
    """InputConvolutional (with ``padding_value``) and Convolutional."""
    if padding_value and any(pads):
        x = k.pad(x, [0, 0, pads[0], pads[1], 0, 0, pads[2], pads[3]], padding_value)
        pads = [0, 0, 0, 0]
    potential = k.conv(x, weight, strides=strides, pads=pads, dilations=[1, 1], group=1)
    made = levels(k, _pooled(k, potential, **pooling), threshold, step, activation_bits)
    return k.reshape(made, [0, -1]) if flatten else made


def separable_convolutional(
    k: Arithmetic[V],
    x: V,
    *,
    weight: Array,
    pointwise: Array,
    threshold: Array,
    strides: Sequence[int],
    pads: Sequence[int],
    step: Array | None = None,
    activation_bits: int = 4,
    **pooling: Any,
) -> V:
    """SeparableConvolutional: nothing happens between its depthwise and its pointwise half."""
    depthwise = k.conv(x, weight, strides=strides, pads=pads, dilations=[1, 1], group=len(weight))
    potential = k.conv(depthwise, pointwise, strides=[1, 1], pads=[0] * 4, dilations=[1, 1], group=1)
    return levels(k, _pooled(k, potential, **pooling), threshold, step, activation_bits)


def fully_connected(
    k: Arithmetic[V], x: V, *, weight: Array, threshold: Array, step: Array | None = None, activation_bits: int = 4
) -> V:
    """FullyConnected: the flattened input times ``weight`` [inputs, units]; the sum saturates at 20 bits."""
    potential = k.clip(k.matmul(k.reshape(x, [0, -1]), weight), LOW, HIGH)
    return levels(k, potential, threshold, step, activation_bits)


KERNELS: dict[str, Any] = {
    kernel.__name__: kernel for kernel in (convolutional, separable_convolutional, fully_connected)
}
