"""Calibration: the range of every tensor at a block's edge, measured on samples."""

from __future__ import annotations

import os
from collections import deque
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Any, cast

import numpy as np

from quaint import graph
from quaint.errors import QuaintError
from quaint.needs import SAMPLES, Needs
from quaint.numerics import ScaleKind
from quaint.plugins import registry
from quaint.probes import Probes, is_reducible
from quaint.scales import Range
from quaint.specs import activation_spec

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
    from concurrent.futures import Future

    import onnx_ir as ir
    from numpy.typing import NDArray

    from quaint.numerics import QuantSpec
    from quaint.observers.base import Observer
    from quaint.partition import Plan

    #: For each tensor what its observer is still to see, in parts.
    Held = Mapping[str, list[Sequence[NDArray[Any]]]]


#: What the float tensors of one run may take: bounds memory however large the batch.
CHUNK_BYTES = 64 << 20
#: Parts of a batch that run at once: what a run does on one thread alone then holds up no other core.
RUNS = 2
#: Bytes of what is left of a reduced tensor that are observed at once.
TOGETHER = 1 << 20
#: What observers that look at each channel need.
BY_CHANNEL = {Needs.EXTREMES: Needs.CHANNEL_EXTREMES, Needs.PART: Needs.CHANNEL_PART}


def calibrate(
    plan: Plan,
    specs: Mapping[str, QuantSpec | None],
    batches: Callable[[], Iterable[Mapping[str, NDArray[Any]]]],
    epochs: int = 1,
    samples: int = SAMPLES,
) -> dict[str, Range]:
    """Run the float model over the samples, observing every edge, and what patterns ask for besides, as its spec says.

    Args:
        plan: the divided model.
        specs: spec of each edge; a tensor whose spec is None is observed too, by its largest values.
        batches: gives a new iteration over batches: input name -> array.
        epochs: how often to go through them.
        samples: how many there are: of many, a smaller part of each is looked at.

    Raises:
        QuaintError: QC205 where the float model gives NaN or Inf, naming the first such tensor; QU103 for an unknown observer.
    """
    observers = {name: _observer(specs[name]) for name in plan.edges if not plan.is_cut_off(name)}
    observers |= {name: _observer(spec) for name, spec in _inner_specs(plan)}
    needs = {name: _needs(observer, plan.values[name]) for name, observer in observers.items()}
    size = max(1, CHUNK_BYTES // sum(graph.sample_bytes(plan.values[name]) for name in observers))
    probes = Probes(plan.model, needs, samples, step=size, threads=max(1, (os.cpu_count() or 1) // RUNS))
    held: Held = {name: [] for name in observers}
    with ThreadPoolExecutor(RUNS) as pool:
        for _ in range(epochs):
            for batch in batches():
                _observe_batch(pool, probes, batch, size, observers, held)
    for name, observer in observers.items():
        _observe(name, observer, held[name])
    return {name: Range(*observer.range()) for name, observer in observers.items()}


def _inner_specs(plan: Plan) -> Iterator[tuple[str, QuantSpec]]:
    """Specs of the tensors inside blocks that are to be observed too."""
    for block in plan.blocks:
        spec = activation_spec(plan.target, plan.config, block)
        yield from block.pattern.inner_specs(spec, block).items()


def _needs(observer: Observer, value: ir.Value) -> Needs:
    if not is_reducible(value):
        return Needs.VALUES
    if observer.axis is None:
        return observer.needs
    return BY_CHANNEL.get(observer.needs, Needs.VALUES) if observer.axis == 1 else Needs.VALUES


def _observe_batch(
    pool: ThreadPoolExecutor,
    probes: Probes,
    batch: Mapping[str, NDArray[Any]],
    size: int,
    observers: Mapping[str, Observer],
    held: Held,
) -> None:
    """Run a batch in parts of ``size`` samples, each part observed while the next ones run.

    Observers that tell batches apart see the extremes of the whole batch, once. What was reduced is small: others see it for
    many samples together, of which those left are ``held`` for the next batch.
    """
    for results in _ahead(pool, probes.run, _parts(batch, size)):
        for name, seen in results.items():
            observer, whole, waiting = observers[name], probes.is_whole(name), held[name]
            waiting.append([_extremes(seen[0], observer.axis)] if observer.by_batch and whole else seen)
            if not observer.by_batch and (whole or len(waiting) * sum(array.nbytes for array in seen) >= TOGETHER):
                _observe(name, observer, waiting)
    for name, observer in observers.items():
        if observer.by_batch:
            _observe(name, observer, held[name])


def _observe(name: str, observer: Observer, parts: list[Sequence[NDArray[Any]]]) -> None:
    """Show parts as one, and let go of them.

    Raises:
        QuaintError: QC205 for a value that is not finite.
    """
    try:
        if parts:
            observer.observe(*(np.concatenate(column) for column in zip(*parts, strict=True)))
            parts.clear()
    except QuaintError as error:
        raise QuaintError(
            error.code, "the float model gives NaN or Inf on the samples", where=f"tensor {name!r}"
        ) from error


def _parts(batch: Mapping[str, NDArray[Any]], size: int) -> Iterator[Mapping[str, NDArray[Any]]]:
    count = len(next(iter(batch.values())))
    for start in range(0, count, size):
        yield {name: values[start : start + size] for name, values in batch.items()}


def _ahead(
    pool: ThreadPoolExecutor, run: Callable[[Any], dict[str, list[NDArray[Any]]]], items: Iterable[Any]
) -> Iterator[dict[str, list[NDArray[Any]]]]:
    """Results of ``run`` in order, the next ones computed while one is in use."""
    waiting: deque[Future[dict[str, list[NDArray[Any]]]]] = deque()
    for item in items:
        waiting.append(pool.submit(run, item))
        if len(waiting) > RUNS:
            yield waiting.popleft().result()
    while waiting:
        yield waiting.popleft().result()


def _extremes(values: NDArray[Any], axis: int | None) -> NDArray[Any]:
    """The lowest and the highest values, two samples of size 1 but for ``axis``."""
    others = tuple(i for i in range(values.ndim) if i != axis)
    return np.concatenate([values.min(axis=others, keepdims=True), values.max(axis=others, keepdims=True)])


def _observer(spec: QuantSpec | None) -> Observer:
    hook = "quaint_observers"
    if spec is None:
        return cast("Observer", registry().get(hook, "minmax")())
    make = registry().get(hook, spec.observer, code="QU103")
    return cast("Observer", make(axis=spec.axis, dtype=spec.dtype, power_of_two=spec.scale is not ScaleKind.FLOAT))
