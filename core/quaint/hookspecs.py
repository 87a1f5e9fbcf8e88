"""The nine hooks. Each takes nothing and offers named components as ``Lazy``; core looks one up by name and calls it."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pluggy

if TYPE_CHECKING:
    from collections.abc import Iterable

    from quaint.component import Lazy

spec = pluggy.HookspecMarker("quaint")
impl = pluggy.HookimplMarker("quaint")

#: Version of this page; a plugin may state the one it was written for as ``QUAINT_API``.
API = 1


@spec
def quaint_frontends() -> Iterable[Lazy]:
    """Readers of models. Name: a file suffix (``.onnx``) or a framework's module; object: ``(source) -> ir.Model``.

    An object whose attribute ``quantized`` is true reads the files of a chip and gives a ``Quantized`` instead; one with
    ``describe(path) -> dict`` answers ``quaint inspect``; one with ``vectors(path) -> Vectors | None`` gives the test vectors
    in a file to ``quaint verify``.
    """


@spec
def quaint_keras_layers() -> Iterable[Lazy]:
    """Layers that a package adds to Keras. Name: what Keras registers it as (``Package>Class``); object: a ``KerasLayer``."""


@spec
def quaint_targets() -> Iterable[Lazy]:
    """Chips. Name: what ``--target`` takes; object: ``Target``."""


@spec
def quaint_patterns() -> Iterable[Lazy]:
    """Layers for somebody else's chip. Name: ``target/name``; object: a ``Pattern`` class, tried before the target's."""


@spec
def quaint_observers() -> Iterable[Lazy]:
    """How a tensor's range is measured. Name: what ``--observer`` takes; object: an ``Observer`` class."""


@spec
def quaint_quantizers() -> Iterable[Lazy]:
    """How a model is prepared and parameters chosen. Name: what ``--quantizer`` takes; object: a ``Quantizer`` class."""


@spec
def quaint_simulators() -> Iterable[Lazy]:
    """What runs an integer model. Name: what ``--simulator`` takes; object: ``(IntegerModel, kernels) -> Simulator``."""


@spec
def quaint_exporters() -> Iterable[Lazy]:
    """Writers of deployable files. Name: what ``Target.exporter`` says; object: ``(Quantized, name) -> {file: bytes}``.

    One with ``cost(quantized, files) -> Cost | None`` says what its files take of flash and memory; one with
    ``remarks(quantized, files) -> Iterable[str]`` what users shall be warned of when the files are written.
    """


@spec
def quaint_commands() -> Iterable[Lazy]:
    """Subcommands of ``quaint``. Name: the subcommand; object: a ``click.Command``."""
