"""``quaint targets``, ``quaint plugins`` and ``quaint doctor``."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable

    from click.testing import Result

BROKEN = "raise ImportError('no such chip')"
CLASHING = """
from quaint.component import Lazy
from quaint.hookspecs import impl


@impl
def quaint_targets():
    yield Lazy("demo8", "quaint_nowhere:DEMO8", "the same name")
    yield Lazy("lost", "quaint_nowhere:LOST", "a module that is not there")
"""


def test_targets(run: Callable[..., Result], run_json: Callable[..., dict[str, Any]]) -> None:
    lines = run("targets").stdout.splitlines()
    assert any(line.split(maxsplit=2) == ["demo-strict", "demo", "demo chip without pooling"] for line in lines)
    names = [target["name"] for target in run_json("targets")["targets"]]
    assert names == sorted(names)
    assert {"demo8", "demo-strict"} <= set(names)


def test_plugins(run: Callable[..., Result], run_json: Callable[..., dict[str, Any]]) -> None:
    assert "demo (quaint-demo 1.0)\n  exporters: demo\n  targets: demo8, demo-strict" in run("plugins").stdout
    found = {plugin["name"]: plugin for plugin in run_json("plugins")["plugins"]}
    assert found["core"]["distribution"] == "quaint"
    assert found["demo"]["offers"]["quaint_targets"] == ["demo8", "demo-strict"]


def test_a_broken_plugin_is_warned_of(run: Callable[..., Result], add_plugin: Callable[[str, str], None]) -> None:
    add_plugin("broken", BROKEN)
    for command in ("targets", "plugins"):
        result = run(command)
        assert "warning: plugin broken 1.0 does not work: ImportError: no such chip" in result.stderr
        assert "demo8" in result.stdout


def test_doctor_is_content(run: Callable[..., Result], run_json: Callable[..., dict[str, Any]]) -> None:
    document = run_json("doctor")
    assert document["broken"] == document["clashes"] == []
    assert run("doctor").stdout.endswith("all is well\n")


def test_doctor_finds_what_is_wrong(
    run: Callable[..., Result], run_json: Callable[..., dict[str, Any]], add_plugin: Callable[[str, str], None]
) -> None:
    add_plugin("broken", BROKEN)
    add_plugin("clash", CLASHING)
    result = run("doctor", code=7)
    assert "error[QP540]: 3 things wrong with this installation" in result.stderr
    assert "all is well" not in result.stdout
    document = run_json("doctor", code=7)
    assert document["clashes"] == ["quaint_targets: 'demo8' is offered by clash and demo"]
    assert document["broken"][0] == "plugin broken 1.0 does not work: ImportError: no such chip"
    assert "'lost'" in document["broken"][1]
