"""Where a chip's part of a model ends, and when that is no part worth having."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

import pytest

from quaint import pipeline
from quaint.config import Config
from quaint.errors import QuaintError
from quaint.layers.patterns import STANDARD
from quaint.numerics import IntType, QuantSpec
from quaint.patterns import Pattern
from quaint.refusals import Missing, Refusal
from quaint.target import ANY, Target
from quaint.testing.builder import Builder

if TYPE_CHECKING:
    from quaint.partition import Plan
    from quaint.patterns import Block, CheckContext

SPEC = QuantSpec(IntType(8, signed=True))


class Pooling(Pattern):
    """A layer of which the chip has narrow limits."""

    def pattern(self, op: Any, x: Any) -> Any:
        return op.MaxPool(x)

    def check(self, context: CheckContext, block: Block, **_: Any) -> bool:  # noqa: ARG002
        return context.fail("pools two rows, not three: pool less")


KEPT = tuple(cls for cls in STANDARD if cls.__name__ != "MaxPool")
CHIP = Target("narrow", "a chip with limits", "quaint.test", (*KEPT, Pooling), SPEC, SPEC, host=frozenset({ANY}))
#: Operators, with attributes: one whose limit is broken, one that the chip has not.
BROKEN: dict[str, Any] = {"op_type": "MaxPool", "kernel_shape": [3, 3], "pads": [1] * 4, "strides": [1, 1]}
ABSENT: dict[str, Any] = {"op_type": "Hardmax", "axis": 1}


def append(net: Builder, x: str, op_type: str, **attributes: Any) -> str:
    return net.op(op_type, x, **attributes)


def divided(
    between: tuple[dict[str, Any], ...],
    channels: tuple[int, int],
    target: Target = CHIP,
    behind: tuple[dict[str, Any], ...] = (),
    **wishes: Any,
) -> Plan:
    """A convolution to each number of channels, 3x3 and 1x1, and operators between them and behind."""
    net, (first, second) = Builder("net"), channels
    x = net.op("Relu", net.conv(net.input(4, 8, 8), (4, first), pads=[1] * 4))
    for given in between:
        x = append(net, x, **given)
    x = net.conv(x, (first, second), (1, 1))
    for given in behind:
        x = append(net, x, **given)
    model, config = net.build(x), Config(**wishes)
    return pipeline.divide(pipeline.canonical(pipeline.load_model(model), config), target, config)


#: 4 * 9 * 8 multiply-accumulates a pixel on the chip, and a tenth of that or four times as many after it.
LITTLE, MUCH = (8, 4), (8, 144)


def test_a_broken_limit_ends_the_chips_part_where_little_is_left() -> None:
    plan = divided((BROKEN,), LITTLE)
    assert [block.name for block in plan.blocks] == ["conv0"]
    assert [node.name for node in plan.tail] == ["maxpool0", "conv1"]
    first, second = pipeline.host_warnings(plan)
    assert first == "narrow stops before the end: 2 nodes from 'maxpool0' on run in float on the host"
    assert second == "not on the chip: maxpool0 (MaxPool): pools two rows, not three: pool less"


def test_a_broken_limit_that_would_cost_most_of_the_work_is_refused() -> None:
    with pytest.raises(QuaintError, match="QT310") as caught:
        divided((BROKEN,), MUCH)
    assert "cannot run 1 layer of this model, which would leave 80% of its multiply-accumulates to the host" in str(
        caught.value
    )
    assert caught.value.details == ("maxpool0 (MaxPool): pools two rows, not three: pool less",)


def test_what_comes_after_a_missing_layer_is_no_fault_of_a_limit() -> None:
    plan = divided((BROKEN, ABSENT), MUCH)
    assert [(refusal.node, type(refusal)) for refusal in plan.refusals] == [
        ("maxpool0", Refusal),
        ("hardmax0", Missing),
    ]
    with pytest.raises(QuaintError, match="cannot run 2 layers of this model, which would leave 80%"):
        divided((BROKEN,), MUCH, behind=(ABSENT,))


def test_half_of_the_work_is_not_most_of_it() -> None:
    plan = divided((BROKEN,), (8, 36))
    assert [refusal.node for refusal in plan.refusals] == ["maxpool0"]


@pytest.mark.parametrize("channels", [LITTLE, MUCH])
def test_a_layer_that_the_chip_has_not_ends_its_part_anyway(channels: tuple[int, int]) -> None:
    """There is nothing about it that a user could change."""
    plan = divided((ABSENT,), channels)
    assert [block.name for block in plan.blocks] == ["conv0"]
    assert plan.refusals == (Missing("hardmax0", "Hardmax", "the chip has no layer for Hardmax here"),)


def test_what_is_wished_for_on_the_host_is_no_loss() -> None:
    plan = divided((BROKEN,), MUCH, until="relu0")
    assert [node.name for node in plan.tail] == ["maxpool0", "conv1"]
    assert not plan.refusals


def test_a_chip_without_a_part_refuses_for_its_reasons_alone() -> None:
    with pytest.raises(QuaintError, match="narrow cannot run 3 layers of this model, change them"):
        divided((BROKEN,), MUCH, replace(CHIP, patterns=(Pooling,)), until="maxpool0")


@pytest.mark.parametrize("between", [BROKEN, ABSENT])
def test_without_a_host_any_missing_layer_is_refused(between: dict[str, Any]) -> None:
    with pytest.raises(QuaintError, match="narrow cannot run 1 layer of this model, in layer"):
        divided((between,), LITTLE, replace(CHIP, host=frozenset()))
