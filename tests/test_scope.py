"""Patterns of a script: tried first while the ``with`` lasts."""

from __future__ import annotations

import asyncio
import threading
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np
import pytest

import quaint
from quaint import pipeline, scope
from quaint.errors import QuaintError
from quaint.integer import Layer
from quaint.numerics import IntType, QuantSpec
from quaint.patterns import Pattern
from quaint.target import Target
from quaint.testing.builder import Builder

if TYPE_CHECKING:
    from collections.abc import Mapping

    from quaint.arithmetic import Kernel
    from quaint.lower import Lowering
    from quaint.patterns import Block

SPEC = QuantSpec(IntType(8, signed=True))
TOY = Target("toy", "a toy", "quaint.toy", (), SPEC, SPEC)


def doubled(k: Any, x: Any, *, bits: int) -> Any:
    """Twice a number."""
    return k.clip(k.shift_left(x, bits), -128, 127)


class Plain(Pattern):
    """A ReLU that is but a copy."""

    def pattern(self, op: Any, x: Any) -> Any:
        return op.Relu(x)

    def lower(self, block: Block, context: Lowering) -> Layer:  # noqa: ARG002
        return Layer("reshape", block.inputs, block.outputs, {}, {"shape": [0, -1]})


class Doubled(Plain):
    """The same with a kernel of its own."""

    kernels: ClassVar[Mapping[str, Kernel]] = {"doubled": doubled}

    def lower(self, block: Block, context: Lowering) -> Layer:  # noqa: ARG002
        return Layer("doubled", block.inputs, block.outputs, {}, {"bits": 1})


class Foreign(Plain):
    """Of another target."""


@pytest.fixture(autouse=True)
def _found(monkeypatch: pytest.MonkeyPatch) -> None:
    """Names of the targets of these tests."""
    other = Target("other", "another", "quaint.other", (), SPEC, SPEC)
    monkeypatch.setattr(scope, "find_target", lambda name: {"toy": TOY, "other": other}[name])


def made() -> list[str]:
    net = Builder("net")
    model = net.build(net.op("Relu", net.input(4)))
    return [layer.op for layer in pipeline.quantize(model, TOY, net.samples(32)["input"]).integer.integer_layers]


def test_a_pattern_is_there_while_the_context_lasts() -> None:
    with quaint.patterns("toy", Plain):
        assert made() == ["reshape"]
    with pytest.raises(QuaintError, match="QT310"):
        made()


def test_the_inner_context_goes_first_and_leaving_it_keeps_the_outer_one() -> None:
    with quaint.patterns("toy", Plain):
        with quaint.patterns("toy", Doubled):
            assert scope.offered(TOY) == [Doubled, Plain]
            assert made() == ["doubled"]
        assert scope.offered(TOY) == [Plain]
        assert made() == ["reshape"]
    assert scope.offered(TOY) == []


def test_an_error_inside_ends_the_context() -> None:
    with pytest.raises(ZeroDivisionError), quaint.patterns("toy", Plain):
        _ = 1 / 0
    assert scope.offered(TOY) == []


def test_other_targets_are_left_alone() -> None:
    with quaint.patterns("other", Foreign):
        assert scope.offered(TOY) == []


def test_threads_and_tasks_have_contexts_of_their_own() -> None:
    seen: list[list[type[Pattern]]] = []
    with quaint.patterns("toy", Plain):
        thread = threading.Thread(target=lambda: seen.append(scope.offered(TOY)))
        thread.start()
        thread.join()
    assert seen == [[]]

    async def inside(cls: type[Pattern]) -> list[type[Pattern]]:
        with quaint.patterns("toy", cls):
            await asyncio.sleep(0)
            return scope.offered(TOY)

    async def both() -> list[list[type[Pattern]]]:
        return list(await asyncio.gather(inside(Plain), inside(Doubled)))

    assert asyncio.run(both()) == [[Plain], [Doubled]]


def test_a_pattern_brings_its_kernel() -> None:
    net = Builder("net")
    model = net.build(net.op("Relu", net.input(4)))
    with quaint.patterns("toy", Doubled):
        quantized = pipeline.quantize(model, TOY, net.samples(32)["input"])
    x = np.array([[-3, 0, 5, 100]])
    for simulator in ("reference", "onnxruntime"):
        (result,) = quantized.run(x, integers=True, simulator=simulator).values()
        assert result.tolist() == [[-6, 0, 10, 127]]
    assert "doubled" not in TOY.all_kernels()
