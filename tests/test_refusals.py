"""One error for all layers that a chip lacks: each is named once, with its reason."""

from __future__ import annotations

from quaint.refusals import Excess, Missing, Refusal, refused

FIRST, SECOND = Refusal("pool", "MaxPool", "pools three rows: pool two"), Missing("top", "Hardmax", "no layer for it")


def test_of_one_layer() -> None:
    error = refused("narrow", [FIRST, FIRST])
    assert (error.code, error.where) == ("QT310", "layer 'pool'")
    assert error.what == "narrow cannot run 1 layer of this model"
    assert error.details == ("pool (MaxPool): pools three rows: pool two",)


def test_of_several_with_what_follows() -> None:
    error = refused("narrow", iter([SECOND, FIRST, SECOND]), ", and that is too much")
    assert error.what == "narrow cannot run 2 layers of this model, and that is too much"
    assert error.where is None
    assert error.details == (str(SECOND), str(FIRST))


def test_kinds_of_refusals_are_not_the_same() -> None:
    """A limit of the hardware may be a warning, a missing layer never is."""
    words = "pool", "MaxPool", "pools three rows: pool two"
    assert len({Refusal(*words), Excess(*words), Missing(*words)}) == 3
