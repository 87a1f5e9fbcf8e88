from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pytest
from espdl_files import file, variable

from quaint.errors import QuaintError
from quaint.numerics import Rounding
from quaint_espdl.file.layout import WeightKind, weights_tensor
from quaint_espdl.reading.chips import by_name, guess

if TYPE_CHECKING:
    from quaint_espdl.file.elements import EspdlModel


def model(alignment: int | None, exponents: tuple[int, ...] = (0,), target: str = "") -> EspdlModel:
    weight = weights_tensor("w", np.ones((16, 2), np.int8), WeightKind.GEMM, alignment, exponents)
    return file("Gemm", [variable("x", (1, 2)), weight], [variable("y", (1, 16))], target=target)


@pytest.mark.parametrize(
    ("given", "stem", "chip", "certain"),
    [
        (model(16, target="esp32p4"), "net_s3", "esp32p4", True),
        (model(16, target="esp32s31"), "net", "esp32s31", True),
        (model(None, target="c"), "net", "esp32", True),
        (model(None), "net_s3", "esp32", True),
        (model(16, tuple(range(16))), "net_s3", "esp32p4", True),
        (model(16), "net_p4", "esp32p4", False),
        (model(16), "NET_S3", "esp32s3", False),
        (model(16), "net", "esp32s3", False),
    ],
)
def test_whose_file_it_is(given: EspdlModel, stem: str, chip: str, certain: bool) -> None:
    found, doubt = guess(given, stem)
    assert found.target.name == chip
    assert (doubt is None) == certain


def test_what_a_doubt_says() -> None:
    assert "taken to be esp32p4, since its name ends in _p4" in str(guess(model(16), "net_p4")[1])
    assert "nothing says otherwise" in str(guess(model(16), "net")[1])


def test_names() -> None:
    assert by_name("esp32c3").rounding is Rounding.HALF_UP
    assert by_name("esp32p4").rounding is Rounding.HALF_EVEN
    with pytest.raises(QuaintError, match=r"QT300.*esp32p5.*esp32p4"):
        by_name("esp32p5")
