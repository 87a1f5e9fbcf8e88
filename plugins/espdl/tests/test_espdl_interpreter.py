"""The interpreter that proves the exporter is itself held to the golden vectors of the runtime's kernels."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pytest
from espdl_interpreter import OPERATIONS, Interpreter
from espdl_proof import DATA

from quaint_espdl.file.container import read

if TYPE_CHECKING:
    from pathlib import Path

    from quaint_espdl.file.elements import EspdlModel

FILES = sorted(DATA.glob("espdl_golden/esp32[ps]*/*.espdl"))


def is_written_by_us(model: EspdlModel) -> bool:
    """Whether the model has only what the exporter writes: no 16-bit tables."""
    tables = [node.attributes["lut"] for node in model.graph.nodes if "lut" in node.attributes]
    short = all(tensor.dims == (256,) for tensor in model.graph.initializers if tensor.name in tables)
    return short and {node.op_type for node in model.graph.nodes} <= set(OPERATIONS)


@pytest.mark.skipif(not FILES, reason="no golden vectors: set QUAINT_TEST_DATA")
@pytest.mark.parametrize("folder", sorted({path.parent for path in FILES}), ids=lambda path: path.name)
def test_interpreter_gives_the_golden_integers(folder: Path) -> None:
    proven = 0
    for path in sorted(folder.glob("*.espdl")):
        model = read(path.read_bytes())
        if not is_written_by_us(model):
            continue
        golden = np.load(path.with_suffix(".npz"))
        feeds = {name[3:]: golden[name] for name in golden.files if name.startswith("in/")}
        for name, value in Interpreter(model).run(feeds).items():
            tolerance = 2e-5 if value.dtype.kind == "f" else 0
            np.testing.assert_allclose(value, golden[f"out/{name}"], rtol=0, atol=tolerance, err_msg=path.name)
        proven += 1
    assert proven >= 25
