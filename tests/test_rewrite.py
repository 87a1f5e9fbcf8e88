from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np

from quaint import pipeline
from quaint.config import Config
from quaint.testing.builder import Builder

if TYPE_CHECKING:
    from collections.abc import Iterator

    from quaint.graph import GraphEditor


def relu_as_clip(editor: GraphEditor, config: Config) -> Iterator[str]:
    del config
    for node in editor.nodes("Relu"):
        name = node.name
        bounds = [editor.constant(np.array(bound, np.float32), "bound") for bound in (0, 1e30)]
        editor.retype(node, "Clip", [node.inputs[0], *bounds])
        yield f"rewrote {name}"


def test_rewrites_run_for_their_target_alone_and_say_what_they_did() -> None:
    net = Builder("rewritten")
    model = net.build(net.op("Relu", net.conv(net.input(3, 8, 8), (3, 4))))
    samples = net.samples(32)
    plain = pipeline.find_target("onnx-qdq")
    given = pipeline.quantize(model, plain, samples, Config())
    made = pipeline.quantize(model, replace(plain, rewrites=(relu_as_clip,)), samples, Config())
    assert "rewrote relu0" in made.warnings
    assert given.warnings == ()
    assert made.source is not None
    assert [node.op_type for node in made.source.graph] == ["Conv", "Clip"]
    (output,) = given.integer.outputs
    np.testing.assert_allclose(made.run(samples)[output], given.run(samples)[output], atol=0.05)
