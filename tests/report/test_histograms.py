"""Event files of TensorBoard, read back by the package's own protocol buffers."""

from __future__ import annotations

import struct
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

from quaint.report.histograms import FILE, write_histograms

if TYPE_CHECKING:
    from pathlib import Path

pytest.importorskip("tensorboardX", reason="needs the extra tensorboard")


def read(path: Path) -> list[Any]:
    from tensorboardX.proto.event_pb2 import Event

    content, events = path.read_bytes(), []
    while content:
        (length,) = struct.unpack_from("<Q", content)
        events.append(Event.FromString(content[12 : 12 + length]))
        content = content[16 + length :]
    return events


def test_histograms(tmp_path: Path) -> None:
    values = np.random.default_rng(0).normal(size=(8, 3, 3, 3)).astype(np.float32)
    write_histograms(tmp_path / FILE, [("conv/1", values), ("dense", values[0])])
    start, conv, dense = read(tmp_path / FILE)
    assert start.file_version == "brain.Event:2"
    assert (conv.wall_time, dense.wall_time) == (0, 0)
    (value,) = conv.summary.value
    assert value.tag == "conv/1"
    assert value.histo.num == values.size
    assert value.histo.min == pytest.approx(values.min())
    assert sum(value.histo.bucket) == values.size
    before = (tmp_path / FILE).read_bytes()
    write_histograms(tmp_path / FILE, [("conv/1", values), ("dense", values[0])])
    assert (tmp_path / FILE).read_bytes() == before
