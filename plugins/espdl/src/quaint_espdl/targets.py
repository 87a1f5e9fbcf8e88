"""The chips as data: number formats and rounding (ESP-DL 3.3.9, quantization rules of its documentation and kernels)."""

from __future__ import annotations

from dataclasses import replace

from quaint.numerics import IntType, QuantSpec, Rounding, ScaleKind
from quaint.target import Target
from quaint_espdl.kernels import KERNELS
from quaint_espdl.limits import refusals
from quaint_espdl.patterns import PATTERNS

INT8 = IntType(8, signed=True)
INT8_BY_SHIFT = QuantSpec(INT8, ScaleKind.POWER_OF_TWO)

#: Filters side by side in memory, by bits.
ALIGNMENT = {8: 16, 16: 8}

#: The runtime gives the probabilities of a last Softmax in float32, from its own table of integers.
HOST = frozenset({"Softmax", "LogSoftmax"})

ESP32P4 = Target(
    name="esp32p4",
    summary="ESP32-P4: int8 or int16, power-of-two scales for each channel",
    domain="quaint.espdl",
    patterns=PATTERNS,
    activation=replace(INT8_BY_SHIFT, observer="kl", round_exponent="nearest"),
    weight=replace(INT8_BY_SHIFT, axis=0),
    bias={8: IntType(32, signed=True), 16: IntType(40, signed=True)},
    rounding=Rounding.HALF_EVEN,
    weight_bits=(8, 16),
    activation_bits=(8, 16),
    input_dtypes=("int8", "int16"),
    kernels=KERNELS,
    host=HOST,
    exporter="espdl",
    limits={"alignment": ALIGNMENT, "accumulator_bits": {8: 32, 16: 40}, "max_shift": {8: 24, 16: 24}},
    check=refusals,
)

ESP32S3 = replace(
    ESP32P4,
    name="esp32s3",
    summary="ESP32-S3: int8 or int16, power-of-two scales for a whole tensor",
    weight=INT8_BY_SHIFT,
    bias={8: IntType(20, signed=True), 16: IntType(40, signed=True)},
    rounding=Rounding.HALF_UP,
    limits={"alignment": ALIGNMENT, "accumulator_bits": {8: 20, 16: 40}, "max_shift": {8: 12, 16: 24}},
)
