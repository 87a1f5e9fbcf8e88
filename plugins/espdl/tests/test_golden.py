"""Both simulators give what the runtime's kernels gave: every golden file of one operator, and whole published models."""

from __future__ import annotations

from itertools import groupby
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from espdl_proof import DATA

from quaint_espdl.reading.reader import load

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from numpy.typing import NDArray

SIMULATORS = ("reference", "onnxruntime")
#: What the runtime gives as floats may differ by so much, absolute and relative.
TOLERANCE = 1e-6


def operator(path: Path) -> tuple[str, str]:
    return path.parent.name, path.name.partition("__")[0]


FILES = sorted(DATA.glob("espdl_golden/*/*.espdl"), key=operator)
GROUPS = {key: list(paths) for key, paths in groupby(FILES, operator)}
PUBLISHED = sorted(DATA.glob("espdl_published/*.espdl"))


def prove(path: Path) -> None:
    """Run a file in both simulators: the same integers, all of them."""
    with np.load(path.with_suffix(".npz")) as golden:
        feeds, expected = (
            {k[len(side) :]: golden[k] for k in golden if k.startswith(side)} for side in ("in/", "out/")
        )
    model = load(path)
    for simulator in SIMULATORS:
        check(model.run(feeds, integers=True, simulator=simulator), expected, f"{path.name}, {simulator}")


def check(made: Mapping[str, NDArray[Any]], expected: Mapping[str, NDArray[Any]], what: str) -> None:
    assert made.keys() == expected.keys(), what
    for name, wanted in expected.items():
        if wanted.dtype.kind == "f":
            np.testing.assert_allclose(made[name], wanted, TOLERANCE, TOLERANCE, err_msg=what)
        else:
            np.testing.assert_array_equal(made[name], wanted, err_msg=what, strict=wanted.dtype.kind != "b")


@pytest.mark.skipif(not GROUPS, reason="no golden vectors: set QUAINT_TEST_DATA")
@pytest.mark.parametrize("group", GROUPS or [("", "")], ids="/".join)
def test_golden_integers(group: tuple[str, str]) -> None:
    for path in GROUPS[group]:
        prove(path)


@pytest.mark.skipif(not PUBLISHED, reason="no published models: set QUAINT_TEST_DATA")
@pytest.mark.parametrize("path", PUBLISHED, ids=lambda path: path.stem)
def test_published_models(path: Path) -> None:
    prove(path)
