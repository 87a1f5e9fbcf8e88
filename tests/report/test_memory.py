"""The greedy planner: offsets by hand, and no two live tensors at one place."""

from __future__ import annotations

from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from quaint.report.memory import ALIGNMENT, Reuse, Step, plan_memory


def test_a_chain_needs_two_tensors_at_a_time() -> None:
    steps = [Step(("x",), ("a",)), Step(("a",), ("b",)), Step(("b",), ("y",))]
    plan = plan_memory(steps, {"x": 16, "a": 32, "b": 16, "y": 16}, ["x"], ["y"])
    assert plan.offsets == {"x": 0, "a": 16, "b": 0, "y": 16}
    assert plan.live == (48, 48, 32)
    assert plan.peak == 48


def test_the_smallest_gap_that_holds_a_tensor_is_taken() -> None:
    steps = [
        Step(("x",), ("a", "b", "c")),
        Step(("x", "b"), ("d",)),
        Step(("c", "d"), ("e",)),
        Step(("e", "a"), ("y",)),
    ]
    sizes = {"x": 64, "a": 16, "b": 32, "c": 16, "d": 16, "e": 32, "y": 16}
    plan = plan_memory(steps, sizes, ["x"], ["y"])
    assert plan.offsets["b"] == 80
    assert plan.offsets["d"] == 128  # nothing is free yet
    assert plan.offsets["e"] == plan.offsets["b"]  # 32 bytes, not the 64 of x
    assert plan.peak == 144


def test_the_last_gap_grows() -> None:
    steps = [Step(("x",), ("a",)), Step(("x",), ("b",)), Step(("b",), ("c",))]
    plan = plan_memory(steps, {"x": 16, "a": 16, "b": 16, "c": 16}, ["x"], ["a", "c"])
    assert plan.offsets == {"x": 0, "a": 16, "b": 32, "c": 0}
    grown = plan_memory(
        [Step(("x",), ("a",)), Step(("a",), ("b",)), Step(("b",), ("y",))],
        {"x": 16, "a": 16, "b": 16, "y": 48},
        "x",
        "y",
    )
    assert grown.offsets["y"] == 16  # where a was, and beyond
    assert grown.peak == 64


def test_sizes_are_rounded_up() -> None:
    plan = plan_memory([Step(("x",), ("y",))], {"x": 1, "y": 17}, ["x"], ["y"])
    assert plan.offsets == {"x": 0, "y": ALIGNMENT}
    assert plan.peak == 3 * ALIGNMENT


def test_in_place() -> None:
    sizes = dict.fromkeys("xaby", 16)
    steps = [Step(("x",), ("a",)), Step(("a",), ("b",), Reuse.OVERWRITE), Step(("b",), ("y",), Reuse.VIEW)]
    plan = plan_memory(steps, sizes, ["x"], ["y"])
    assert plan.offsets["a"] == plan.offsets["b"] == plan.offsets["y"]
    assert plan.peak == 32


def test_nobody_writes_over_what_is_read_later_or_leaves_or_is_too_small() -> None:
    later = [Step(("x",), ("a",), Reuse.OVERWRITE), Step(("a", "x"), ("y",))]
    plan = plan_memory(later, dict.fromkeys("xay", 16), ["x"], ["y"])
    assert plan.offsets["a"] != plan.offsets["x"]
    leaves = [Step(("x",), ("a",)), Step(("a",), ("y",), Reuse.VIEW)]
    plan = plan_memory(leaves, dict.fromkeys("xay", 16), ["x"], ["a", "y"])
    assert plan.offsets["a"] != plan.offsets["y"]
    small = [Step(("x",), ("y",), Reuse.OVERWRITE)]
    assert plan_memory(small, {"x": 16, "y": 32}, ["x"], ["y"]).peak == 48


def test_a_tensor_that_nobody_reads_stays() -> None:
    steps = [Step(("x",), ("a", "unread")), Step(("a",), ("b",)), Step(("b",), ("y",))]
    plan = plan_memory(steps, dict.fromkeys(("x", "a", "unread", "b", "y"), 16), ["x"], ["y"])
    assert plan.live == (48, 48, 48)


@st.composite
def programs(draw: st.DrawFn) -> tuple[list[Step], dict[str, int]]:
    known, steps = ["x"], []
    for index in range(draw(st.integers(1, 8))):
        inputs = draw(st.lists(st.sampled_from(known), min_size=1, max_size=3, unique=True))
        steps.append(Step(tuple(inputs), (f"t{index}",), draw(st.sampled_from(Reuse))))
        known.append(f"t{index}")
    return steps, {name: draw(st.integers(1, 100)) for name in known}


@given(programs())
def test_live_tensors_do_not_overlap(program: tuple[list[Step], dict[str, int]]) -> None:
    steps, sizes = program
    last = steps[-1].outputs[0]
    plan = plan_memory(steps, sizes, ["x"], [last])
    content: dict[str, Any] = {"x": {"x"}}  # by tensor: which tensors' bytes it may be
    memory = dict.fromkeys(range(sizes["x"]), "x")
    for step in steps:
        for name in step.inputs:  # whoever reads a tensor finds its bytes, or those of one that it is a view of
            start = plan.offsets[name]
            assert {memory[start + i] for i in range(sizes[name])} <= content[name]
        (made,) = step.outputs
        offset = plan.offsets[made]
        assert offset % ALIGNMENT == 0
        assert offset + sizes[made] <= plan.peak
        if step.reuse is Reuse.VIEW and any(plan.offsets[name] == offset for name in step.inputs):
            shared = next(name for name in step.inputs if plan.offsets[name] == offset)
            content[made] = content[shared]
            continue
        content[made] = {made}
        memory |= dict.fromkeys(range(offset, offset + sizes[made]), made)
    assert max(plan.live) <= plan.peak
