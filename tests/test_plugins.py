"""Discovery: every plugin for itself, every name once, nothing imported before it is used."""

from __future__ import annotations

import subprocess
import sys
from importlib.metadata import EntryPoint
from types import ModuleType

import pytest

from quaint import hookspecs
from quaint.component import Lazy
from quaint.errors import QuaintError
from quaint.hookspecs import impl
from quaint.plugins import HOOKS, Registry, registry


class Point(EntryPoint):
    """An entry point that gives a plugin made here, or raises."""

    def load(self) -> object:
        plugin = PLUGINS[self.value]
        if isinstance(plugin, BaseException):
            raise plugin
        return plugin


#: What stands in the place of importable modules.
PLUGINS: dict[str, object] = {}


def point(name: str, plugin: object) -> Point:
    """An entry point for a plugin, or for an exception that its import raises."""
    value = f"made_up_{id(plugin)}"
    PLUGINS[value] = plugin
    return Point(name, value, "quaint")


def plugin(**offers: object) -> ModuleType:
    """A module that offers ``hook=[Lazy, ...]``, or whatever a hook returns or raises."""
    module = ModuleType("made_up")
    for hook, offer in offers.items():

        def give(offer: object = offer) -> object:
            if isinstance(offer, BaseException):
                raise offer
            return offer

        setattr(module, hook, offer if callable(offer) else impl(give))
    return module


def lazy(name: str, path: str = "fractions:Fraction") -> Lazy:
    return Lazy(name, path, "a summary")


GOOD = plugin(quaint_targets=[lazy("good")])


def wrong_api() -> ModuleType:
    module = plugin(quaint_targets=[lazy("late")])
    module.QUAINT_API = hookspecs.API + 1
    return module


BROKEN = {
    "import error": (ImportError("no module named torch"), "ImportError: no module named torch"),
    "syntax error": (SyntaxError("invalid syntax"), "SyntaxError: invalid syntax"),
    "exit": (SystemExit("goodbye"), "SystemExit: goodbye"),
    "assertion": (AssertionError("never"), "AssertionError: never"),
    "api": (wrong_api(), f"TypeError: made for version {hookspecs.API + 1} of the hooks"),
    "hook raises": (plugin(quaint_targets=ZeroDivisionError("division")), "ZeroDivisionError: division"),
    "hook exits": (plugin(quaint_targets=SystemExit(3)), "SystemExit: 3"),
    "hook gives none": (plugin(quaint_targets=None), "TypeError"),
    "hook gives strings": (
        plugin(quaint_targets=["chip"]),
        "TypeError: quaint_targets must offer Lazy components, not str",
    ),
    "hook without its mark": (plugin(quaint_targets=lazy), "TypeError: quaint_targets is not a function marked with"),
    "unknown hook": (plugin(quaint_chips=[lazy("chip")]), "PluginValidationError"),
}


@pytest.mark.parametrize(("broken", "message"), BROKEN.values(), ids=BROKEN)
def test_broken_plugin_stops_nobody(broken: object, message: str) -> None:
    """Neither one before it nor one after it in the order of names."""
    found = Registry(
        [point("zebra", GOOD), point("middle", broken), point("aardvark", plugin(quaint_targets=[lazy("other")]))]
    )
    assert found.names("quaint_targets") == ["good", "other"]
    (line,) = found.broken
    assert line.startswith("plugin middle unknown does not work: ")
    assert message in line


def test_broken_plugin_offers_nothing_of_the_hooks_that_worked() -> None:
    half = plugin(quaint_observers=[lazy("fine")], quaint_targets=ValueError("broken"))
    assert "fine" not in Registry([point("half", half)]).names("quaint_observers")


def test_unknown_name_tells_of_broken_plugins() -> None:
    found = Registry([point("broken", ImportError("no torch")), point("good", GOOD)])
    with pytest.raises(QuaintError) as caught:
        found.get("quaint_targets", "goood")
    assert caught.value.code == "QT300"
    assert caught.value.hint == "did you mean 'good'? known: good"
    assert caught.value.details == ("plugin broken unknown does not work: ImportError: no torch",)


def test_unknown_name_under_the_code_of_the_caller() -> None:
    with pytest.raises(QuaintError, match=r"error\[QU103\]: unknown observer 'minmix', did you mean 'minmax'"):
        registry().get("quaint_observers", "minmix", code="QU103")


def test_two_plugins_with_one_name() -> None:
    found = Registry([point("second", GOOD), point("first", GOOD_TOO)])
    with pytest.raises(QuaintError) as caught:
        found.get("quaint_targets", "good")
    assert caught.value.code == "QP522"
    assert "first and second" in caught.value.what
    assert found.clashes == ["quaint_targets: 'good' is offered by first and second"]
    assert found.get("quaint_targets", "own").__name__ == "Fraction", "other names of the same plugins work"


GOOD_TOO = plugin(quaint_targets=[lazy("good"), lazy("own")])


def test_plugin_and_core_with_one_name() -> None:
    found = Registry([point("mine", plugin(quaint_simulators=[lazy("reference")]))])
    with pytest.raises(QuaintError, match="core and mine"):
        found.get("quaint_simulators", "reference")


@pytest.mark.parametrize(
    ("path", "cause"), [("no_such_module:X", "ModuleNotFoundError"), ("fractions:no_such_name", "AttributeError")]
)
def test_component_that_cannot_be_imported(path: str, cause: str) -> None:
    found = Registry([point("mine", plugin(quaint_targets=[lazy("chip", path)]))])
    assert found.names("quaint_targets") == ["chip"], "listed without being imported"
    assert not found.broken
    with pytest.raises(QuaintError, match=cause) as caught:
        found.get("quaint_targets", "chip")
    assert caught.value.code == "QP520"
    assert "plugin 'mine'" in caught.value.what


def test_refusal_of_a_component_is_its_own(tmp_path: object, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "refusing_component.py").write_text(
        'from quaint.errors import QuaintError\nraise QuaintError("QP530", "the vendor\'s package is too old")\n'
    )
    monkeypatch.syspath_prepend(tmp_path)
    found = Registry([point("mine", plugin(quaint_simulators=[lazy("vendor", "refusing_component:X")]))])
    with pytest.raises(QuaintError, match="too old") as caught:
        found.get("quaint_simulators", "vendor")
    assert caught.value.code == "QP530"


def test_what_a_plugin_offers_is_listed() -> None:
    found = Registry([point("mine", plugin(quaint_targets=[lazy("b"), lazy("a")], quaint_commands=[]))])
    info = next(info for info in found.plugins if info.name == "mine")
    assert info.offers == {"quaint_targets": ["b", "a"], "quaint_commands": []}
    assert found.plugins[0].name == "core"


def test_plugins_without_hooks_and_without_distribution() -> None:
    (_, info) = Registry([point("empty", ModuleType("empty"))]).plugins
    assert (info.distribution, info.version, info.error, info.offers) == ("unknown", "unknown", None, {})


def test_every_component_of_core_can_be_imported() -> None:
    found = Registry([])
    missing = []
    for hook in HOOKS:
        for component, _ in found.components(hook):
            try:
                component.load()
            except (ImportError, AttributeError) as error:
                missing.append(f"{hook} {component.name}: {error}")
    assert not missing, "\n".join(missing)


def test_discovery_imports_nothing_heavy() -> None:
    heavy = ("numpy", "onnx", "onnx_ir", "onnxscript", "onnxruntime", "torch", "tensorflow", "keras", "PIL", "jinja2")
    code = f"import sys; from quaint.plugins import registry; registry(); print([m for m in {heavy!r} if m in sys.modules])"
    done = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True)
    assert done.stdout.strip() == "[]"
