from __future__ import annotations

import json
import re
from time import perf_counter

import numpy as np

from quaint_espdl.file.describe import describe, info_text
from quaint_espdl.file.elements import DataType, EspdlGraph, EspdlModel, EspdlNode, EspdlTensor, ValueInfo
from quaint_espdl.file.layout import WeightKind, weights_tensor

X = ValueInfo("x", (1, 4, 4, 2), DataType.INT8, (-5,))
Y = ValueInfo("y", (1, 4, 4, 20), DataType.INT8, (-3,))
WEIGHTS = weights_tensor("w", np.arange(40, dtype=np.int8).reshape(20, 2, 1, 1), WeightKind.CONV, 16, (-7,) * 20)
BIAS = EspdlTensor.from_array("b", np.arange(20, dtype=np.int32) - 10, (-12,) * 20, "layout ==> UNK")
CONV = EspdlNode("conv", "Conv", ("x", "w", "b"), ("y",), {"pads": (0, 0, 0, 0), "quant_type": "S8", "lut": BIAS})
VECTORS = (EspdlTensor.from_array("y", np.array([0.1, -2.5], np.float32), (0,)),)
GRAPH = EspdlGraph("net", (CONV,), (WEIGHTS, BIAS), (X,), (Y,), (X, Y), (), VECTORS)
MODEL = EspdlModel(GRAPH, {"target": "esp32p4"}, 8, "quaint", "0.1")


def test_description() -> None:
    description = describe(MODEL)
    assert json.loads(json.dumps(description)) == description
    assert description["producer"] == "quaint 0.1"
    assert description["metadata"] == {"target": "esp32p4"}
    assert description["inputs"] == [{"name": "x", "shape": [1, 4, 4, 2], "dtype": "int8", "exponents": [-5]}]
    assert description["ops"] == {"Conv": 1}
    assert description["parameters"] == {
        "count": 2, "elements": 60, "bytes": 120, "bytes_by_type": {"int32": 80, "int8": 40}
    }  # fmt: skip
    assert description["test_vectors"] == {"inputs": [], "outputs": ["y"]}
    (node,) = description["nodes"]
    assert node["attributes"]["pads"] == [0, 0, 0, 0]
    assert node["inputs"][1]["layout"] == "(N/16)HWC16_UNALIGNED"
    assert node["outputs"][0]["shape"] == [1, 4, 4, 20]


def test_inputs_that_are_left_out_have_a_name_only() -> None:
    node = EspdlNode("resize", "Resize", ("x", ""), ("y",))
    described = describe(EspdlModel(EspdlGraph("g", (node,), (), (X,), (Y,))))
    assert described["nodes"][0]["inputs"][1] == {"name": ""}


def test_text_shows_the_graph() -> None:
    text = info_text(MODEL)
    assert "  conv: y = Conv(x, w, b) {pads=(0, 0, 0, 0), quant_type='S8', lut=b: INT32 [20] exponents [-12]}\n" in text
    assert "  w: INT8 [1, 1, 2, 20] exponents [-7] (N/16)HWC16_UNALIGNED\n" in text
    assert "  target: esp32p4\n" in text
    assert text.endswith(
        "test outputs (values in the order of the file):\n  y: FLOAT [2] exponents [0]\n    0.1 -2.5\n"
    )


def test_text_shows_every_value_in_the_order_of_the_file() -> None:
    for tensor in (WEIGHTS, BIAS):
        after = info_text(MODEL).split(f"\n  {tensor.name}: {tensor.dtype.name}")[1].split("\n", 1)[1]
        values = re.match(r"(?:    .*\n)+", after)
        assert values
        assert [int(value) for value in values[0].split()] == tensor.values.tolist()


def test_names_stay_on_their_line() -> None:
    hostile = EspdlModel(EspdlGraph("a\nb\x1b", (), (), (), ()))
    assert "graph 'a\\nb\\x1b'\n" in info_text(hostile)


def test_text_is_fast() -> None:
    weights = EspdlTensor.from_array("w", np.zeros(2_000_000, np.int8), (0,))
    start = perf_counter()
    assert len(info_text(EspdlModel(EspdlGraph("g", (), (weights,), (), ())))) > 4_000_000
    assert perf_counter() - start < 2
