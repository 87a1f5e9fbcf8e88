"""Names come from untrusted files: they reach terminal, report and folders as harmless text."""

from __future__ import annotations

import html
import html.parser
import json
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

import quaint

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from numpy.typing import NDArray
    from onnx import ModelProto

NAMES = {
    "script": "<script>alert(1)</script>",
    "attribute": "\" onload='alert(1)' x=\"",
    "ansi": "\x1b[2J\x1b[31mred\x1b]0;title\x07",
    "newline": "conv\nerror[QT310]: forged\r\nwarning: forged",
    "path": "../../../../tmp/../etc/passwd",
    "markup": "[bold red]loud[/] {{ 7 * 7 }} %s %(name)s {0}",
    "spaces": " two  words ",
    "unicode": "café/слой/层\u202egnp.exe",
    "long": "x" * 5000,
    "null": "con\x00v",
}


def renamed(model: ModelProto, text: str) -> ModelProto:
    """The model with ``text`` in the name of every node and every inner tensor, and as the graph's name."""
    graph = model.graph
    edges = {value.name for value in (*graph.input, *graph.output)}
    new: dict[str, str] = {}
    for node in graph.node:
        node.name = f"{text}{node.name}"
        new |= {name: f"{text}{name}" for name in node.output if name not in edges}
    for node in graph.node:
        for names in (node.input, node.output):
            names[:] = [new.get(name, name) for name in names]
    graph.name = text or "plain"
    return model


class Elements(html.parser.HTMLParser):
    """Which elements and attributes a page has."""

    def __init__(self) -> None:
        super().__init__()
        self.tags: set[str] = set()
        self.attributes: set[str] = set()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.add(tag)
        self.attributes.update(name for name, _ in attrs)


def elements(page: str) -> Elements:
    found = Elements()
    found.feed(page)
    return found


def harmless(text: str) -> bool:
    return all(c.isprintable() or c == "\n" for c in text)


@pytest.mark.parametrize("kind", NAMES)
def test_names_of_nodes(
    kind: str,
    run_cli: Callable[..., Any],
    contents: Callable[[Path], dict[str, str]],
    write: Callable[..., Path],
    small: ModelProto,
    images: NDArray[np.float32],
    tmp_path: Path,
) -> None:
    samples = write("samples.npz", {"x": images})
    pages, results = [], []
    for name, text in (("plain", ""), ("hostile", NAMES[kind])):
        model = write(f"{name}/model.onnx", renamed(small, text))
        out = tmp_path / name / "out"
        said = run_cli("quantize", model, "--target", "esp32p4", "--samples", samples, "--output", out)
        assert harmless(said.out + said.err), ascii(said.out + said.err)
        assert not any(line.startswith("error") for line in said.err.splitlines())
        assert not any("forged" in line for line in said.err.splitlines() if line.startswith("warning: forged"))
        pages.append((out / "report.html").read_text("utf-8"))
        results.append(quaint.load(out / "model.esp32p4.onnx").run(images)["y"])
        json.loads((out / "report.json").read_text("utf-8"))
        json.loads((out / "manifest.json").read_text("utf-8"))
    np.testing.assert_array_equal(results[0], results[1])
    plain, hostile = map(elements, pages)
    assert hostile.tags == plain.tags
    assert hostile.attributes == plain.attributes
    assert "script" not in hostile.tags
    assert contents(tmp_path / "plain").keys() == contents(tmp_path / "hostile").keys()


@pytest.mark.parametrize("kind", NAMES)
def test_names_in_refusals(
    kind: str, run_cli: Callable[..., Any], write: Callable[..., Path], small: ModelProto
) -> None:
    """A refusal that names a layer is still one line, and its details a line each."""
    small.graph.node[3].op_type = "Hardmax"
    model = write("model.onnx", renamed(small, NAMES[kind]))
    said = run_cli("quantize", model, "--target", "esp32p4", code=5)
    assert harmless(said.err), ascii(said.err)
    lines = said.err.splitlines()
    assert lines[0].startswith("error[QT310]: ")
    assert all(line.startswith("  ") for line in lines[1:])
    assert "(Hardmax): " in said.err
    checked = run_cli("check", model, "--target", "akida2")
    assert harmless(checked.out + checked.err)


@pytest.mark.parametrize("stem", ["two words", "слой-层", "a" * 200, "-rf", "$(reboot)", "model.v1.2"])
def test_names_of_files(
    stem: str,
    run_cli: Callable[..., Any],
    write: Callable[..., Path],
    small: ModelProto,
    images: NDArray[np.float32],
    tmp_path: Path,
) -> None:
    samples, model = write("samples.npz", {"x": images}), write(f"{stem}.onnx", small)
    out = tmp_path / "put here, please"
    document = run_cli(
        "quantize", "--target", "esp32p4", "--samples", samples, "--output", out, "--json", "--", model
    ).json
    saved = next(file for file in document["files"] if file.endswith(".esp32p4.onnx"))
    assert {str(path) for path in out.iterdir()} == set(document["files"])
    run_cli("run", saved, "--samples", samples, "--output", tmp_path / "y.npz")
    run_cli("inspect", saved)
