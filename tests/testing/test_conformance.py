"""The suite passes a sound target and fails an unsound one, level by level."""

from __future__ import annotations

import itertools
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

from quaint.config import Config
from quaint.integer import IntegerModel, Layer
from quaint.layers import patterns
from quaint.numerics import IntType, QuantParams, QuantSpec, ScaleKind
from quaint.target import Target
from quaint.testing import TargetConformance

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable
    from pathlib import Path

    from quaint.patterns import CheckContext
    from quaint.testing.conformance import Golden

INT8 = IntType(8, signed=True)
CHIP = Target(
    name="made-up",
    summary="A chip for tests",
    domain="quaint.made_up",
    patterns=patterns.STANDARD,
    activation=QuantSpec(INT8, ScaleKind.POWER_OF_TWO),
    weight=QuantSpec(INT8, ScaleKind.POWER_OF_TWO, axis=0),
)


def golden_clip(result: int) -> Iterable[Golden]:
    step = QuantParams(np.float64(1), INT8)
    layer = Layer("clip", ("x",), ("y",), {}, {"low": 0, "high": 100}, name="clip")
    model = IntegerModel(
        "m", ("x",), ("y",), (layer,), {"x": step, "y": step}, dict.fromkeys("xy", (None, 2)), "quaint.m"
    )
    yield model, {"x": np.array([[-5, 120]], np.int8)}, {"y": [[0, result]]}


class TestSoundChip(TargetConformance):
    """All layers of core, power-of-two scales."""

    target = CHIP

    def golden(self) -> Iterable[Golden]:
        return golden_clip(100)


class TestFloatScales(TargetConformance):
    """All layers of core, float scales, zero points, other widths on a few models."""

    target = replace(
        CHIP,
        activation=QuantSpec(INT8, symmetric=False),
        weight=QuantSpec(INT8, axis=0, narrow=True),
        weight_bits=(4, 8),
        bias=dict.fromkeys((4, 8), IntType(32, signed=True)),
    )
    models = ("conv_relu", "add", "concat", "avgpool", "moves", "residual_cnn")
    config = Config(weight_bits=4)
    max_noise = 0.1


def unsound(chip: Target, **attributes: Any) -> TargetConformance:
    """The suite for a target, outside pytest."""
    return type("Unsound", (TargetConformance,), {"target": chip, **attributes})()


class Silent(patterns.Activation):
    """Refuses without saying why."""

    def check(self, context: CheckContext, **_: Any) -> bool:
        return context.fail("")


class Undocumented(patterns.Activation):
    pass


class Nameless(patterns.Activation):
    """Names nodes that the model does not have."""

    def lower(self, block: Any, context: Any) -> Layer:
        return replace(super().lower(block, context), nodes=("elsewhere",))


class Impure(patterns.Activation):
    """Clips differently at every lowering."""

    counter = itertools.count(1)

    def lower(self, block: Any, context: Any) -> Layer:
        return replace(super().lower(block, context), attributes={"low": 0, "high": 127 - next(self.counter)})


CALLS = itertools.count(1)


def drifting(k: Any, x: Any, *, low: int, high: int) -> Any:
    """A clip that is another function at every call."""
    return k.clip(x, low + next(CALLS), high)


def zero(k: Any, x: Any, **_: int) -> Any:
    """A clip that clips everything."""
    return k.clip(x, 0, 0)


UNSOUND: dict[str, tuple[Callable[[TargetConformance], None], dict[str, Any], str]] = {
    "upper case": (lambda t: t.test_offered_by_name(), {"name": "MadeUp"}, "is not lower case"),
    "no docstring": (lambda t: t.test_offered_with_words(), {"patterns": (Undocumented,)}, "docstring: Undocumented"),
    "domain": (lambda t: t.test_offered_with_words(), {"domain": "ai.onnx"}, "is not quaint.<plugin>"),
    "no patterns": (lambda t: t.test_offered_whole(), {"patterns": ()}, "no patterns"),
    "exporter": (lambda t: t.test_offered_whole(), {"exporter": "paper"}, "paper"),
    "nothing runs": (lambda t: t.test_structure_runs_something(), {"patterns": (Silent,)}, "refuses every model"),
    "no reason": (lambda t: t.test_structure_or_reasons("relu"), {"patterns": (Silent,)}, "gives no reason"),
    "nodes": (lambda t: t.test_structure_of_layers("relu"), {"patterns": (Nameless,)}, "does not have"),
    "wrong": (
        lambda t: t.test_numeric("relu"),
        {"kernels": {"clip": zero}},
        "noise",
    ),
    "impure": (lambda t: t.test_export_is_deterministic("relu"), {"patterns": (Impure,)}, "not the same in two runs"),
}


@pytest.mark.parametrize(("run", "change", "message"), UNSOUND.values(), ids=UNSOUND)
def test_unsound_target_is_found(
    run: Callable[[TargetConformance], None], change: dict[str, Any], message: str
) -> None:
    with pytest.raises(AssertionError, match=message):
        run(unsound(replace(CHIP, **change)))


def test_unknown_name_is_refused() -> None:
    with pytest.raises(Exception, match="QT300"):
        unsound("no-such-chip").test_offered_by_name()


def test_wrong_golden_vectors_are_found() -> None:
    with pytest.raises(AssertionError, match="'y' differs at 1 of 2 places"):
        unsound(CHIP, golden=lambda _: golden_clip(99)).test_exact_golden()


def test_golden_vectors_of_a_saved_model(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    suite = unsound(CHIP)
    made = suite.quantize("relu")
    made.save(str(tmp_path / "saved.onnx"))
    (name,) = made.integer.integer_inputs
    (out,) = made.integer.integer_outputs
    x = np.full((1, 3, 6, 6), 7, np.int8)
    monkeypatch.setattr("quaint.saved.find_target", lambda _: CHIP)
    vectors = [(tmp_path / "saved.onnx", {name: x}, {out: x})]
    unsound(CHIP, golden=lambda _: vectors).test_exact_golden()
    with pytest.raises(AssertionError, match="differs"):
        unsound(CHIP, golden=lambda _: [(*vectors[0][:2], {out: x + 1})]).test_exact_golden()


def test_simulators_that_disagree_are_found() -> None:
    suite = unsound(replace(CHIP, kernels={"clip": drifting}))
    for run in (suite.test_exact_on_samples, suite.test_exact_on_integers, suite.test_exact_in_plain_onnxruntime):
        with pytest.raises(AssertionError, match="differs"):
            run("relu")


def test_refused_models_are_skipped_with_the_reason() -> None:
    with pytest.raises(pytest.skip.Exception, match=r"refused: error\[QT310\]"):
        unsound(replace(CHIP, patterns=(patterns.Activation,))).test_numeric("conv")
    with pytest.raises(pytest.skip.Exception, match="no vectors"):
        unsound(CHIP).test_exact_golden()
