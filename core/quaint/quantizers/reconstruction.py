"""Reconstruction: weights are rounded so that the outputs of their layer, not the weights themselves, change least.

The weights of a filter are rounded one after the other, and what each one's rounding adds to the output is made up for by the
weights still to come, as far as the inputs correlate. With the inputs' second moments ``H = E[x x^T]`` the best compensation has
a closed form. Source: E. Frantar et al., "GPTQ: Accurate Post-Training Quantization for Generative Pre-trained Transformers",
ICLR 2023, section 3; it goes back to B. Hassibi and D. Stork, "Optimal Brain Surgeon", 1993. Here ``H`` is of deviations from
the mean, since the bias takes up any error of the mean, and the inputs are those that the rounded layers before give.

Before that the scale is searched: a finer one clips the largest weights, which may be the smaller error.
"""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING, Any

import numpy as np

from quaint import graph
from quaint.numerics import ScaleKind
from quaint.quantizers.bias_correction import BiasCorrection, correct_bias
from quaint.quantizers.patches import operands
from quaint.quantizers.weights import array, replace

if TYPE_CHECKING:
    from collections.abc import Mapping

    from numpy.typing import NDArray

    from quaint.numerics import QuantParams
    from quaint.partition import Plan
    from quaint.quantizers.walk import Product, Walk
    from quaint.scales import Range

    Floats = NDArray[np.float64]

#: Places of a layer's output whose inputs are looked at: this many, and for each weight of a filter in a group.
PLACES, PLACES_EACH = 2048, 64
#: Least damping of the moments, as a share of their mean; more where there are few places for many weights.
DAMPING = 0.01
#: Weights of a filter that are rounded before the others hear of it: one product of matrices in place of many.
BLOCK = 64
#: Scales that are tried, relative to the one that covers all weights.
FACTORS = {
    ScaleKind.POWER_OF_TWO: (1.0, 0.5, 0.25),
    ScaleKind.FLOAT: (1.0, 0.95, 0.9, 0.85, 0.8, 0.7, 0.6),
    ScaleKind.FIXED_POINT: (1.0,),
}


class Reconstruction(BiasCorrection):
    """Rounds the weights for the least error of the outputs, and corrects the biases."""

    samples = 128

    def refine(
        self, plan: Plan, params: Mapping[str, QuantParams], ranges: Mapping[str, Range]
    ) -> dict[str, QuantParams]:
        """Parameters with the scales of weights; puts the rounded weights and corrected biases into ``plan.model``."""
        self._settled: dict[str, QuantParams] = {}
        return super().refine(plan, params, ranges) | self._settled

    def _correct(self, walk: Walk, product: Product) -> NDArray[Any]:
        """Round a product's weights, then take what shift is left off its bias; gives the weights as they are then."""
        key, exact = f"{product.block.name}/weight", array(product.node, 1)
        given = product.weight
        if product.rounded is not None or given is None or given.zero_point.any():
            return super()._correct(walk, product)
        if product.node.op_type == "ConvTranspose" or len(product.nodes) > 1:
            return super()._correct(walk, product)
        fit, wanted = _Fit(walk, product), given
        # once more where the chip moves the scale a little
        for factors in (FACTORS[walk.plan.target.weight.scale], (1.0,)):
            weight, params = fit.at_best(wanted, factors)
            replace(product.node, 1, weight)
            walk.lowering.params[key] = params
            product.block.pattern.lower(product.block, walk.lowering)
            wanted = walk.lowering.params[key]
            if _alike(wanted, params):
                self._settled[key] = params
                correct_bias(walk, product, weight)
                return weight
        replace(product.node, 1, exact)  # the chip settles this scale itself
        walk.lowering.params[key] = given
        return super()._correct(walk, product)


def _alike(a: QuantParams, b: QuantParams) -> bool:
    """Whether integers stand for the same weights, but for how float64 rounds their scale."""
    return a.dtype == b.dtype and a.axis == b.axis and np.allclose(a.scale, b.scale, rtol=1e-12, atol=0)


class _Fit:
    """Weights of a product as whole multiples of a scale, fitted to what enters."""

    def __init__(self, walk: Walk, product: Product) -> None:
        self._walk, self._product, self._exact = walk, product, array(product.node, 1)
        group = int(graph.attribute(product.node, "group", 1)) if product.node.op_type == "Conv" else 1
        self._rows = self._exact.reshape(group, len(self._exact) // group, -1)
        x = _operands(walk, product, max(PLACES // group, PLACES_EACH * self._rows.shape[2]))
        x -= x.mean(axis=1, keepdims=True)
        moments = np.asarray(x.swapaxes(1, 2) @ x / x.shape[1], np.float64)
        self._moments = moments + _damping(moments, x.shape[1])

    def at_best(self, weight: QuantParams, factors: tuple[float, ...]) -> tuple[Floats, QuantParams]:
        """The fitted weights, and the best scale of those that are a factor times the given one."""
        lowering, block = self._walk.lowering, self._product.block
        low = -weight.dtype.high if lowering.weight_spec(block).narrow else weight.dtype.low
        grid = _Grid(low, weight.dtype.high)
        least = lowering.finest_weight_scale(block, array(self._product.node, 2))
        scale = _best_scale(self._rows, self._moments, weight.scale, least, factors, grid)
        steps = np.broadcast_to(scale, len(self._exact)).reshape(self._rows.shape[:2])
        fitted = reconstruct(self._rows, self._moments, steps, grid).reshape(self._exact.shape)
        return fitted, dataclasses.replace(weight, scale=scale)


def _operands(walk: Walk, product: Product, places: int) -> NDArray[Any]:
    """What the weights are multiplied with at some places of all samples, float32 [groups, places, n]."""
    each = -(-places * walk.chunk // walk.count)
    return np.concatenate([operands(product.node, x, each) for x in walk.entering(product)], axis=1)


def _damping(moments: Floats, places: int) -> Floats:
    """What keeps moments of few places invertible and modest, [groups, n, n]."""
    count = moments.shape[1]
    mean = np.maximum(np.trace(moments, axis1=1, axis2=2) / count, 1e-12)
    share = max(DAMPING, count / places)
    return np.asarray(share * mean[:, None, None] * np.eye(count))


@dataclasses.dataclass(frozen=True)
class _Grid:
    """Integers from ``low`` to ``high``."""

    low: int
    high: int

    def nearest(self, values: NDArray[Any], steps: NDArray[Any]) -> NDArray[Any]:
        """The nearest multiples of ``steps``."""
        return np.asarray(np.clip(np.rint(values / steps), self.low, self.high) * steps)


def _best_scale(
    rows: Floats, moments: Floats, scale: Floats, least: Floats, factors: tuple[float, ...], grid: _Grid
) -> Floats:
    """Of the factors the one with the least error, for each filter where they have scales of their own."""
    energy = np.diagonal(moments, axis1=1, axis2=2)[:, None, :]
    tried = [scale if factor == 1 else (scale * factor).astype(np.float32).astype(np.float64) for factor in factors]
    errors = []
    for candidate in tried:
        steps = np.broadcast_to(candidate, rows.shape[0] * rows.shape[1]).reshape(*rows.shape[:2], 1)
        error = ((grid.nearest(rows, steps) - rows) ** 2 * energy).sum(axis=2).reshape(-1)
        whole = error if scale.ndim else error.sum()
        errors.append(np.where((candidate < least) & (candidate < scale), np.inf, whole))
    return np.asarray(np.choose(np.argmin(errors, axis=0), tried))


def reconstruct(rows: Floats, moments: Floats, steps: Floats, grid: _Grid) -> Floats:
    """Multiples of ``steps`` that give nearly the same products.

    Args:
        rows: weights [groups, filters, n].
        moments: damped second moments of the inputs [groups, n, n].
        steps: scale of each filter [groups, filters].
        grid: the integers.

    Returns:
        As ``rows``, rounded.
    """
    inverse = np.linalg.inv(moments)
    upper = np.linalg.cholesky(inverse).swapaxes(1, 2).astype(np.float32)
    left, step, made = rows.astype(np.float32), steps.astype(np.float32), np.empty(rows.shape)
    count = rows.shape[2]
    for start in range(0, count, BLOCK):
        stop = min(start + BLOCK, count)
        errors = np.empty((*rows.shape[:2], stop - start), np.float32)
        for i in range(start, stop):
            made[:, :, i] = grid.nearest(left[:, :, i], step)
            error = (left[:, :, i] - made[:, :, i]) / upper[:, i, i, None]
            left[:, :, i:stop] -= error[:, :, None] * upper[:, i, None, i:stop]
            errors[:, :, i - start] = error
        left[:, :, stop:] -= errors @ upper[:, start:stop, stop:]
    return made
