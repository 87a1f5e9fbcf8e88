"""Core's own components, offered through the same hooks as everybody's."""

from __future__ import annotations

from typing import TYPE_CHECKING

from quaint.component import Lazy
from quaint.hookspecs import impl

if TYPE_CHECKING:
    from collections.abc import Iterable


@impl
def quaint_frontends() -> Iterable[Lazy]:
    """Readers of models: by file suffix, or by the module that the object's class comes from."""
    yield Lazy(".onnx", "quaint.frontends.onnx:load", "ONNX")
    yield Lazy("onnx", "quaint.frontends.onnx:load", "onnx.ModelProto")
    yield Lazy("onnx_ir", "quaint.frontends.onnx:load", "onnx_ir.Model")
    yield Lazy(".pt2", "quaint.frontends.torch:load", "PyTorch, exported program")
    yield Lazy("torch", "quaint.frontends.torch:load", "torch.nn.Module, with example inputs")
    yield Lazy(".keras", "quaint.frontends.keras:load", "Keras 3")
    yield Lazy(".h5", "quaint.frontends.keras:load", "legacy Keras")
    yield Lazy("keras", "quaint.frontends.keras:load", "keras.Model")
    yield Lazy("tf_keras", "quaint.frontends.keras:load", "tf_keras.Model")


@impl
def quaint_observers() -> Iterable[Lazy]:
    """How ranges are measured."""
    yield Lazy("minmax", "quaint.observers.minmax:MinMax", "smallest and largest value seen")
    yield Lazy(
        "moving-max", "quaint.observers.minmax:MovingMax", "moving average of the batches' extremes, momentum 0.9"
    )
    yield Lazy("percentile", "quaint.observers.percentile:Percentile", "leaves out a share of outliers")
    yield Lazy("kl", "quaint.observers.kl:KL", "threshold of least Kullback-Leibler divergence")
    yield Lazy("mse", "quaint.observers.mse:MSE", "threshold of least mean squared error")


@impl
def quaint_quantizers() -> Iterable[Lazy]:
    """How parameters are chosen."""
    yield Lazy("ranges", "quaint.quantizers.ranges:Ranges", "scales straight from the observed ranges")
    yield Lazy("equalize", "quaint.quantizers.equalize:Equalize", "cross-layer equalization of weights first")
    yield Lazy(
        "bias-correction", "quaint.quantizers.bias_correction:BiasCorrection", "errors of the mean taken off the biases"
    )
    yield Lazy(
        "reconstruction",
        "quaint.quantizers.reconstruction:Reconstruction",
        "weights rounded for the least error of their layer's output, means corrected",
    )


@impl
def quaint_simulators() -> Iterable[Lazy]:
    """What runs an integer model."""
    yield Lazy("reference", "quaint.simulators.reference:Reference", "the definition: NumPy, 64-bit integers")
    yield Lazy("onnxruntime", "quaint.simulators.onnxruntime:OnnxRuntime", "the same integers, fast")


@impl
def quaint_commands() -> Iterable[Lazy]:
    """Subcommands."""
    yield Lazy("quantize", "quaint.cli.quantize:quantize", "Quantize a model for a target.")
    yield Lazy("run", "quaint.cli.run:run", "Run a quantized model.")
    yield Lazy("compare", "quaint.cli.compare:compare", "Compare targets on one model.")
    yield Lazy("check", "quaint.cli.check:check", "Say whether a model can be deployed.")
    yield Lazy("analyze", "quaint.cli.analyze:analyze", "Say where errors come from.")
    yield Lazy("search", "quaint.cli.search:search", "Find the layers that need more bits.")
    yield Lazy("verify", "quaint.cli.verify:verify", "Re-read what was exported and run its vectors.")
    yield Lazy("config", "quaint.cli.config:config", "Dump the configuration of a quantized model.")
    yield Lazy("inspect", "quaint.cli.inspect:inspect", "Show what is in a file.")
    yield Lazy("targets", "quaint.cli.environment:targets", "List the targets.")
    yield Lazy("plugins", "quaint.cli.environment:plugins", "List the plugins and what they offer.")
    yield Lazy("doctor", "quaint.cli.environment:doctor", "Check the installation.")
    yield Lazy(
        "insert-rescaling", "quaint.cli.insert_rescaling:insert_rescaling", "Put x * scale + offset before a model."
    )
    yield Lazy("new-target", "quaint.cli.new_target:new_target", "Write a package for a chip of your own.")
