from __future__ import annotations

import struct
from dataclasses import replace
from time import perf_counter

import flatbuffers
import numpy as np
import pytest

from quaint.errors import QuaintError
from quaint_espdl.file.elements import DataType, EspdlGraph, EspdlModel, EspdlNode, EspdlTensor, ValueInfo
from quaint_espdl.file.flatbuffer_read import read_payload
from quaint_espdl.file.flatbuffer_write import write_payload
from quaint_espdl.file.schema import GraphField, ModelField

TENSOR = EspdlTensor.from_array("weights", np.arange(7, dtype=np.int16), (-3,), "layout ==> UNK")


def payload_of(**parts: object) -> bytes:
    return write_payload(EspdlModel(replace(EspdlGraph("g", (), (), (), ()), **parts)))  # type: ignore[arg-type]


def patched(payload: bytes, old: bytes, new: bytes) -> bytes:
    assert payload.count(old) == 1
    return payload.replace(old, new)


def refused(payload: bytes, message: str) -> None:
    with pytest.raises(QuaintError, match=message) as caught:
        read_payload(payload, "f.espdl")
    assert caught.value.code == "QM104"


def dims_of(*dims: int) -> bytes:
    return struct.pack(f"<I{len(dims)}q", len(dims), *dims)


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        (dims_of(7), dims_of(9), "declares 18 bytes and has 16"),
        (dims_of(7), dims_of(-7), r"has dims \[-7\]"),
        (dims_of(7), dims_of(2**40), "has dims"),
        (dims_of(-3), dims_of(-300), "exponent that no float32 has"),
        (b"weights", b"\xff\xffights", "not UTF-8"),
    ],
)
def test_inconsistent_tensors_are_refused(old: bytes, new: bytes, message: str) -> None:
    refused(patched(payload_of(initializers=(TENSOR,)), old, new), message)


def test_data_in_excess_of_the_dims_is_padding() -> None:
    payload = patched(payload_of(initializers=(TENSOR,)), dims_of(7), dims_of(4))
    assert read_payload(payload).graph.initializers[0].raw == TENSOR.raw[:8]


def test_repeated_attributes_are_refused() -> None:
    node = EspdlNode("n", "Op", (), (), {"aaaa": 1, "bbbb": 2})
    refused(patched(payload_of(nodes=(node,)), b"bbbb", b"aaaa"), "'aaaa' occurs twice")


def test_too_many_dimensions_are_refused() -> None:
    refused(payload_of(inputs=(ValueInfo("x", (1,) * 33, DataType.INT8),)), "33 dimensions")


def test_a_model_needs_a_graph() -> None:
    builder = flatbuffers.Builder()
    builder.StartObject(1)
    builder.Finish(builder.EndObject())
    refused(bytes(builder.Output()), "no graph")


def bomb(width: int) -> bytes:
    """``width`` times the same node, which has ``width`` times the same attribute."""
    builder = flatbuffers.Builder()

    def repeated(target: int) -> int:
        builder.StartVector(4, width, 4)
        for _ in range(width):
            builder.PrependUOffsetTRelative(target)
        return int(builder.EndVector())

    def table(fields: int, field: int, target: int) -> int:
        builder.StartObject(fields)
        builder.PrependUOffsetTRelativeSlot(field, target, 0)
        return int(builder.EndObject())

    name = builder.CreateString("n" * width)
    nodes = repeated(table(1, 0, repeated(name)))
    builder.Finish(table(8, ModelField.GRAPH, table(1, GraphField.NODES, nodes)))
    return bytes(builder.Output())


def test_a_small_file_cannot_unfold_into_a_huge_model() -> None:
    start = perf_counter()
    refused(bomb(20_000), "objects overlap")
    assert perf_counter() - start < 2
