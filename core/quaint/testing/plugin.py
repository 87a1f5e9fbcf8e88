"""The pytest plugin: fixtures for the tests of plugins. Imports nothing heavy until a fixture is used."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from collections.abc import Callable

    from quaint.testing.zoo import ZooModel


@pytest.fixture(scope="session")
def quaint_zoo() -> Callable[[str], ZooModel]:
    """A small float model with samples by its name: ``quaint_zoo("small_cnn")``."""
    from quaint.testing import zoo

    return zoo.load


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """A test that takes ``quaint_model`` runs for every model of the zoo."""
    if "quaint_model" in metafunc.fixturenames:
        from quaint.testing import zoo

        metafunc.parametrize("quaint_model", [zoo.load(name) for name in zoo.names()], ids=zoo.names())
