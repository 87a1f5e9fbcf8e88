"""Discovery of plugins through the entry point group ``quaint``; one broken plugin stops nobody else."""

from __future__ import annotations

import functools
from dataclasses import dataclass, field
from importlib.metadata import entry_points
from typing import TYPE_CHECKING, Any

import pluggy

from quaint import builtin, hookspecs
from quaint.component import Lazy
from quaint.errors import QuaintError
from quaint.suggest import did_you_mean

if TYPE_CHECKING:
    from collections.abc import Iterable
    from importlib.metadata import EntryPoint

HOOKS = tuple(sorted(name for name in vars(hookspecs) if name.startswith("quaint_")))


@dataclass(frozen=True)
class PluginInfo:
    """What is known of a plugin: its entry point's name, distribution and version, what it offers or why it does not work."""

    name: str
    distribution: str
    version: str
    error: str | None = None
    offers: dict[str, list[str]] = field(default_factory=dict)


@dataclass(frozen=True)
class _Offer:
    component: Lazy
    plugin: str


class Registry:
    """Every component of core and of the plugins, by hook and name."""

    def __init__(self, points: Iterable[EntryPoint]) -> None:
        self.plugins: list[PluginInfo] = []
        self._offers: dict[str, dict[str, list[_Offer]]] = {hook: {} for hook in HOOKS}
        self._manager = pluggy.PluginManager("quaint")
        self._manager.add_hookspecs(hookspecs)
        self._add("core", "quaint", _version("quaint"), lambda: builtin)
        for point in sorted(points, key=lambda point: point.name):
            distribution = point.dist.name if point.dist else "unknown"
            version = point.dist.version if point.dist else "unknown"
            self._add(point.name, distribution, version, point.load)

    def _add(self, name: str, distribution: str, version: str, load: Any) -> None:
        """Register one plugin and ask each of its hooks; whatever goes wrong is kept as its error."""
        try:
            plugin = load()
            self._register(plugin, name)
            offers = {hook: self._ask(plugin, hook) for hook in HOOKS if self._implements(plugin, hook)}
        except (Exception, SystemExit) as error:  # noqa: BLE001 - a plugin may raise anything
            if self._manager.has_plugin(name):
                self._manager.unregister(name=name)
            self.plugins.append(PluginInfo(name, distribution, version, f"{type(error).__name__}: {error}"))
            return
        for hook, components in offers.items():
            for component in components:
                self._offers[hook].setdefault(component.name, []).append(_Offer(component, name))
        listed = {hook: [component.name for component in components] for hook, components in offers.items()}
        self.plugins.append(PluginInfo(name, distribution, version, None, listed))

    def _register(self, plugin: Any, name: str) -> None:
        wanted = getattr(plugin, "QUAINT_API", hookspecs.API)
        if wanted != hookspecs.API:
            raise TypeError(f"made for version {wanted} of the hooks, this is version {hookspecs.API}")
        self._manager.register(plugin, name)
        self._manager.check_pending()
        unmarked = [hook for hook in HOOKS if hasattr(plugin, hook) and not self._implements(plugin, hook)]
        if unmarked:
            raise TypeError(f"{unmarked[0]} is not a function marked with quaint.hookspecs.impl")

    def _implements(self, plugin: Any, hook: str) -> bool:
        return any(found.plugin is plugin for found in getattr(self._manager.hook, hook).get_hookimpls())

    def _ask(self, plugin: Any, hook: str) -> list[Lazy]:
        components = list(getattr(plugin, hook)())
        for component in components:
            if not isinstance(component, Lazy):
                raise TypeError(f"{hook} must offer Lazy components, not {type(component).__name__}")
        return components

    def names(self, hook: str) -> list[str]:
        """Names on offer at a hook, sorted."""
        return sorted(self._offers[hook])

    def components(self, hook: str) -> list[tuple[Lazy, str]]:
        """Components on offer at a hook with the plugin of each, by name."""
        return [(offer.component, offer.plugin) for name in self.names(hook) for offer in self._offers[hook][name]]

    def get(self, hook: str, name: str, *, code: str = "QT300", what: str | None = None) -> Any:
        """The object behind a name.

        Raises:
            QuaintError: QT300 (or ``code``) for an unknown name, listing the known ones; QP522 where two plugins offer it;
                QP520 where its module cannot be imported.
        """
        kind = what or hook.removeprefix("quaint_").removesuffix("s")
        offers = self._offers[hook].get(name, [])
        if not offers:
            raise QuaintError(
                code, f"unknown {kind} {name!r}", hint=did_you_mean(name, self.names(hook)), details=self.broken
            )
        if len(offers) > 1:
            makers = " and ".join(offer.plugin for offer in offers)
            raise QuaintError(
                "QP522", f"{kind} {name!r} is offered by two plugins, {makers}", hint="uninstall one of them"
            )
        try:
            return offers[0].component.load()
        except QuaintError:
            raise
        except Exception as error:
            cause = f"{type(error).__name__}: {error}"
            raise QuaintError(
                "QP520",
                f"{kind} {name!r} of plugin {offers[0].plugin!r} cannot be loaded ({cause})",
                hint="see quaint doctor",
            ) from error

    @property
    def clashes(self) -> list[str]:
        """A line for each name that two plugins offer."""
        return [
            f"{hook}: {name!r} is offered by {' and '.join(offer.plugin for offer in offers)}"
            for hook, names in self._offers.items()
            for name, offers in names.items()
            if len(offers) > 1
        ]

    @property
    def broken(self) -> list[str]:
        """A line for each plugin that does not work."""
        return [f"plugin {p.name} {p.version} does not work: {p.error}" for p in self.plugins if p.error]


def _version(distribution: str) -> str:
    from importlib.metadata import PackageNotFoundError, version

    try:
        return version(distribution)
    except PackageNotFoundError:
        return "unknown"


@functools.cache
def registry() -> Registry:
    """The registry of this process."""
    return Registry(entry_points(group="quaint"))
