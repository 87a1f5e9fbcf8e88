"""The chips as data: number formats and rounding (ESP-DL 3.3.9, quantization rules of its documentation and kernels)."""

from __future__ import annotations

from dataclasses import replace

from quaint.numerics import IntType, QuantSpec, Rounding, ScaleKind
from quaint.target import Target
from quaint_espdl.kernels import KERNELS
from quaint_espdl.limits import refusals
from quaint_espdl.names import SUMMARIES
from quaint_espdl.options import OPTIONS
from quaint_espdl.patterns import PATTERNS
from quaint_espdl.rewrites import REWRITES

INT8 = IntType(8, signed=True)
INT8_BY_SHIFT = QuantSpec(INT8, ScaleKind.POWER_OF_TWO)

#: Filters side by side in memory, by bits.
ALIGNMENT = {8: 16, 16: 8}
#: The plain C code takes one filter after the other.
NO_ALIGNMENT = {8: None, 16: None}

#: The runtime gives the probabilities of a last Softmax in float32, from its own table of integers.
HOST = frozenset({"Softmax", "LogSoftmax"})


def _signed(bits: dict[int, int]) -> dict[int, IntType]:
    return {width: IntType(count, signed=True) for width, count in bits.items()}


ESP32P4 = Target(
    name="esp32p4",
    summary=SUMMARIES["esp32p4"],
    domain="quaint.espdl",
    patterns=PATTERNS,
    activation=replace(INT8_BY_SHIFT, observer="mse", round_exponent="nearest"),
    # features of several kinds enter as one tensor: squared errors would favour those of large values
    input=replace(INT8_BY_SHIFT, observer="kl", round_exponent="nearest"),
    weight=replace(INT8_BY_SHIFT, axis=0),
    bias=_signed({8: 32, 16: 40}),
    rounding=Rounding.HALF_EVEN,
    weight_bits=(8, 16),
    activation_bits=(8, 16),
    input_dtypes=("int8", "int16"),
    kernels=KERNELS,
    host=HOST,
    exporter="espdl",
    limits={
        "alignment": ALIGNMENT,
        "accumulator_bits": {8: 32, 16: 40},
        "max_shift": {8: 24, 16: 24},
        "rounding_prelu": (8,),  # widths at which PRelu runs in vector code, which rounds; the C code cuts off
    },
    options=OPTIONS,
    defaults={"quantizer": "bias-correction"},
    check=refusals,
    rewrites=REWRITES,
)

ESP32S3 = replace(
    ESP32P4,
    name="esp32s3",
    summary=SUMMARIES["esp32s3"],
    weight=INT8_BY_SHIFT,
    bias=_signed({8: 20, 16: 40}),
    rounding=Rounding.HALF_UP,
    limits={
        "alignment": ALIGNMENT,
        "accumulator_bits": {8: 20, 16: 40},
        "tail_accumulator_bits": 40,
        "overflow": "saturate",
        "max_shift": {8: 12, 16: 24},
        "rounding_prelu": (8, 16),
    },
    # a scale for a whole tensor has few steps for the filters of small weights
    defaults={"quantizer": "equalize+reconstruction"},
)

ESP32 = replace(
    ESP32S3,
    name="esp32",
    summary=SUMMARIES["esp32"],
    bias=_signed({8: 32, 16: 64}),
    limits={
        "alignment": NO_ALIGNMENT,
        "accumulator_bits": {8: 32, 16: 64},
        "overflow": "wrap",
        "max_shift": {8: 24, 16: 24},
        "rounding_prelu": (),
    },
)

TARGETS = {chip.name: chip for chip in (ESP32P4, ESP32S3, ESP32)}
#: The others compute as one of these does, to the bit.
TARGETS |= {
    name: replace(ESP32P4 if name == "esp32s31" else ESP32, name=name, summary=summary)
    for name, summary in SUMMARIES.items()
    if name not in TARGETS
}


def __getattr__(name: str) -> Target:
    """A target by its name, as the entry in ``quaint_targets`` says it."""
    if name in TARGETS:
        return TARGETS[name]
    raise AttributeError(name)
