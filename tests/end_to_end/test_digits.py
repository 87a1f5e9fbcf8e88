"""The bundled example, as ``make demo`` runs it: integers are as good as floats on every chip."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

#: How much accuracy each chip may lose; akida1 has 4 bits between its layers and in its weights.
LOSS = {"esp32p4": 0.01, "esp32s3": 0.01, "akida1": 0.04, "akida2": 0.01, "onnx-qdq": 0.01}
FLOAT = 448 / 450  # examples/digits/README.md


@pytest.fixture(scope="module")
def compare(run_cli: Callable[..., Any], digits: Path) -> Callable[[str], dict[str, dict[str, Any]]]:
    """Compare all targets on a model of the example, through the command line; a row for each."""

    def rows(model: str) -> dict[str, dict[str, Any]]:
        targets = [argument for target in LOSS for argument in ("--target", target)]
        samples = ("--samples", digits / "test.npz", "--labels", digits / "labels.npz")
        calibration = ("--calibration", digits / "calibration.npz")
        document = run_cli("compare", digits / model, *targets, *samples, *calibration, "--json").json
        assert document["samples"] == 450
        assert document["float_accuracy"] == pytest.approx(FLOAT)
        return {row["target"]: row for row in document["rows"]}

    return rows


def test_every_chip_keeps_the_accuracy_of_the_digits(compare: Callable[[str], dict[str, dict[str, Any]]]) -> None:
    rows = compare("digits.onnx")
    assert list(rows) == list(LOSS)
    for target, loss in LOSS.items():
        row = rows[target]
        assert row["error"] is None, row["error"]
        assert not row["host"], f"{target} leaves {row['host']} to the host"
        assert row["accuracy"] >= FLOAT - loss, f"{target}: {row['accuracy']:.4f}"
        assert row["agreement"] >= 1 - 2 * loss


def test_residual_network_keeps_its_accuracy_or_is_refused_by_name(
    compare: Callable[[str], dict[str, dict[str, Any]]],
) -> None:
    rows = compare("digits-residual.onnx")
    for target, loss in LOSS.items():
        row = rows[target]
        if target == "akida1":  # has no layer that adds
            error = row["error"]
            reasons = " ".join(row["host"] if error is None else error["details"])
            assert "block2/add (Add)" in reasons
            assert error is None or error["code"] == "QT310"
            assert error is not None or any("block2/" in warning for warning in row["warnings"])
        else:
            assert row["error"] is None, row["error"]
            assert row["accuracy"] >= FLOAT - loss, f"{target}: {row['accuracy']:.4f}"
