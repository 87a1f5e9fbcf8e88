"""The two convolutional networks of the digits example, as PyTorch modules.

Names of modules become names of ONNX nodes (`block1.expand.conv` is the node `block1/expand/conv`), and names of
parameters stay as they are (`block1.expand.conv.weight`), so that `load_weights` finds them again in the ONNX file.
"""

from __future__ import annotations

from collections import OrderedDict
from typing import TYPE_CHECKING

import numpy as np
import onnx
import torch
from onnx import numpy_helper
from torch import nn

if TYPE_CHECKING:
    from pathlib import Path

CLASSES = 10
INPUT_SHAPE = (1, 8, 8)


def digits(*, batch_norm: bool = False) -> nn.Sequential:
    """Build the sequential network: two convolutions and a depthwise-separable block without inner activation.

    Args:
        batch_norm: Normalize before every ReLU, as in training. The ONNX file holds the folded network without.
    """
    layers: OrderedDict[str, nn.Module] = OrderedDict()
    layers["conv1"] = nn.Conv2d(1, 16, 3, padding=1)
    layers["norm1"] = nn.BatchNorm2d(16)
    layers["relu1"] = nn.ReLU()
    layers["pool1"] = nn.MaxPool2d(2)
    layers["conv2"] = nn.Conv2d(16, 32, 3, padding=1)
    layers["norm2"] = nn.BatchNorm2d(32)
    layers["relu2"] = nn.ReLU()
    layers["depthwise3"] = nn.Conv2d(32, 32, 3, padding=1, groups=32)
    layers["pointwise3"] = nn.Conv2d(32, 64, 1)
    layers["norm3"] = nn.BatchNorm2d(64)
    layers["relu3"] = nn.ReLU()
    layers["gap"] = nn.AdaptiveAvgPool2d(1)
    layers["flatten"] = nn.Flatten()
    layers["dropout"] = nn.Dropout(0.2)
    layers["dense"] = nn.Linear(64, CLASSES)
    if not batch_norm:
        layers = OrderedDict((name, layer) for name, layer in layers.items() if not isinstance(layer, nn.BatchNorm2d))
    return nn.Sequential(layers)


def digits_residual() -> nn.Sequential:
    """Build the small MobileNetV2: a stem, three inverted residual blocks, a head; batch norms and ReLU6 throughout."""
    layers: OrderedDict[str, nn.Module] = OrderedDict()
    layers["stem"] = normalized_conv(1, 16, 3)
    layers["block1"] = InvertedResidual(16, 24, stride=2)
    layers["block2"] = InvertedResidual(24, 24)
    layers["block3"] = InvertedResidual(24, 32)
    layers["head"] = normalized_conv(32, 64, 1)
    layers["gap"] = nn.AdaptiveAvgPool2d(1)
    layers["flatten"] = nn.Flatten()
    layers["dropout"] = nn.Dropout(0.2)
    layers["dense"] = nn.Linear(64, CLASSES)
    return nn.Sequential(layers)


class InvertedResidual(nn.Module):
    """Expand, filter depthwise, project; the input is added where its shape allows.

    Source: Sandler et al., "MobileNetV2: Inverted Residuals and Linear Bottlenecks", 2018, figure 4.
    """

    def __init__(self, inputs: int, outputs: int, *, stride: int = 1, expansion: int = 4) -> None:
        super().__init__()
        hidden = inputs * expansion
        self.expand = normalized_conv(inputs, hidden, 1)
        self.depthwise = normalized_conv(hidden, hidden, 3, stride=stride, groups=hidden)
        self.project = normalized_conv(hidden, outputs, 1, activation=False)
        self.residual = stride == 1 and inputs == outputs

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Map feature maps [N, inputs, H, W] to [N, outputs, H/stride, W/stride]."""
        y: torch.Tensor = self.project(self.depthwise(self.expand(x)))
        return x + y if self.residual else y


def normalized_conv(
    inputs: int, outputs: int, size: int, *, stride: int = 1, groups: int = 1, activation: bool = True
) -> nn.Sequential:
    """Build a convolution with symmetric padding, its batch norm and, if wanted, a ReLU6."""
    layers: OrderedDict[str, nn.Module] = OrderedDict()
    layers["conv"] = nn.Conv2d(inputs, outputs, size, stride, padding=size // 2, groups=groups, bias=False)
    layers["norm"] = norm = nn.BatchNorm2d(outputs)
    if activation:
        nn.init.constant_(norm.weight, 2)  # from the usual 1, so small a network hardly ever reaches the bound of 6
        layers["relu6"] = nn.ReLU6()
    return nn.Sequential(layers)


def load_weights(network: nn.Module, path: Path) -> nn.Module:
    """Give a network the trained weights of its ONNX file; returns it ready for inference.

    Raises:
        KeyError: The file lacks a parameter of the network.
    """
    stored = {tensor.name: numpy_helper.to_array(tensor) for tensor in onnx.load(path).graph.initializer}
    state = {
        name: value if name.endswith("num_batches_tracked") else torch.from_numpy(np.array(stored[name]))
        for name, value in network.state_dict().items()
    }
    network.load_state_dict(state)
    return network.eval()
