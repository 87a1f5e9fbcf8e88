"""BrainChip Akida 1 and 2 as targets of Quaint."""

from __future__ import annotations

from typing import TYPE_CHECKING

from quaint.component import Lazy
from quaint.hookspecs import impl

if TYPE_CHECKING:
    from collections.abc import Iterable


@impl
def quaint_targets() -> Iterable[Lazy]:
    """The two generations."""
    yield Lazy(
        "akida1", "quaint_akida.akida1:AKIDA1", "Akida 1: 4-bit weights and activations, thresholds, sequential nets"
    )
    yield Lazy(
        "akida2", "quaint_akida.akida2:AKIDA2", "Akida 2: 8-bit weights and activations, scales for each channel"
    )


@impl
def quaint_exporters() -> Iterable[Lazy]:
    """The file that the akida package loads."""
    yield Lazy("akida", "quaint_akida.exporter:exporter", ".fbz, where the akida package is installed")


@impl
def quaint_simulators() -> Iterable[Lazy]:
    """The vendor's software."""
    yield Lazy("akida-runtime", "quaint_akida.simulator:AkidaRuntime", "BrainChip's akida package, if it is installed")


@impl
def quaint_commands() -> Iterable[Lazy]:
    """The command lines of the vendor's tool."""
    yield Lazy("akida", "quaint_akida.commands:akida", "Quantize with the command lines of QuantizeML.")


@impl
def quaint_keras_layers() -> Iterable[Lazy]:
    """Layers that QuantizeML adds to Keras."""
    yield Lazy("Custom>Shiftmax", "quaint_akida.keras_layers:SHIFTMAX", "Softmax in powers of two")
    yield Lazy("Custom>Attention", "quaint_akida.keras_layers:ATTENTION", "attention of several heads")
    path = "quaint_akida.keras_layers:LAYER_MAD_NORMALIZATION"
    yield Lazy("Custom>LayerMadNormalization", path, "normalization by the mean of magnitudes")
    yield Lazy("Custom>ClassToken", "quaint_akida.keras_layers:CLASS_TOKEN", "a learned token before the others")
    yield Lazy("Custom>AddPositionEmbs", "quaint_akida.keras_layers:ADD_POSITION_EMBS", "learned positions")
    yield Lazy("Custom>ExtractToken", "quaint_akida.keras_layers:EXTRACT_TOKEN", "one of the tokens")
    path = "quaint_akida.keras_layers:DEPTHWISE_CONV2D_TRANSPOSE"
    yield Lazy("Custom>DepthwiseConv2DTranspose", path, "a transposed convolution of each channel")
    for name in ("BufferTempConv", "DepthwiseBufferTempConv"):
        yield Lazy(f"Custom>{name}", "quaint_akida.keras_layers:BUFFER_TEMP_CONV", "refused: it has a memory")
