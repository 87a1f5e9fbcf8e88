"""Train the two networks of the digits example and write their models and samples.

    python examples/digits/train.py --output examples/digits

The data are the 1,797 handwritten digits that scikit-learn carries, 8x8 pixels with values 0 to 16, here divided by 16.
A quarter is held out. All of it is seeded and runs on one thread: the same versions of the libraries on the same kind
of machine give the same files.
"""

from __future__ import annotations

import argparse
from collections import OrderedDict
from pathlib import Path
from typing import NamedTuple

import numpy as np
import onnx
import torch
from export import to_onnx
from networks import digits, digits_residual
from sklearn.datasets import load_digits
from sklearn.model_selection import train_test_split
from torch import nn
from torch.nn import functional
from torch.nn.utils.fusion import fuse_conv_bn_eval

SEED = 0
EPOCHS = 200
BATCH = 64
LEARNING_RATE = 5e-3
WEIGHT_DECAY = 0.05
WEIGHT_NOISE = 1 / 14  # half a step of a symmetric 4-bit weight, relative to the filter's largest
CALIBRATION_SAMPLES = 256


class Samples(NamedTuple):
    """Images [N, 1, 8, 8], float32 in [0, 1], and their labels [N], int64."""

    images: torch.Tensor
    labels: torch.Tensor


def load_samples() -> tuple[Samples, Samples]:
    """Return the samples to train with and the ones held out, of equal class frequencies."""
    data = load_digits()
    images = (data.images[:, np.newaxis] / 16).astype(np.float32)
    labels = data.target.astype(np.int64)
    split = train_test_split(images, labels, test_size=0.25, stratify=labels, random_state=SEED)
    train_images, test_images, train_labels, test_labels = map(torch.from_numpy, split)
    return Samples(train_images, train_labels), Samples(test_images, test_labels)


def augment(images: torch.Tensor) -> torch.Tensor:
    """Rotate by up to 0.2 radians, scale by up to 10 %, shift by up to 0.8 pixels, and add noise."""

    def uniform(*shape: int) -> torch.Tensor:
        return torch.rand(len(images), *shape) * 2 - 1

    angle, scale, shift = 0.2 * uniform(), 1 + 0.1 * uniform(), 0.2 * uniform(2, 1)
    cosine, sine = scale * angle.cos(), scale * angle.sin()
    rotation = torch.stack([cosine, -sine, sine, cosine], dim=1).reshape(-1, 2, 2)
    grid = functional.affine_grid(torch.cat([rotation, shift], dim=2), list(images.shape), align_corners=False)
    moved = functional.grid_sample(images, grid, align_corners=False)
    return (moved + 0.05 * torch.randn_like(images)).clamp(0, 1)


def perturb(network: nn.Module) -> dict[str, torch.Tensor]:
    """Return the parameters with uniform noise on the weights, as rounding them to 4 bits per filter would add.

    Source: Defossez et al., "Differentiable Model Compression via Pseudo Quantization Noise", 2021, section 3.
    """
    parameters: dict[str, torch.Tensor] = dict(network.named_parameters())
    for name, value in parameters.items():
        if value.dim() > 1:
            largest = value.detach().abs().amax(dim=tuple(range(1, value.dim())), keepdim=True)
            noise = torch.rand_like(value) * 2 - 1
            parameters[name] = value + WEIGHT_NOISE * largest * noise
    return parameters


def train(network: nn.Module, samples: Samples) -> None:
    """Train a network in place and leave it ready for inference."""
    optimizer = torch.optim.AdamW(network.parameters(), weight_decay=WEIGHT_DECAY)
    steps = EPOCHS * -(-len(samples.labels) // BATCH)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, LEARNING_RATE, total_steps=steps)
    network.train()
    for _ in range(EPOCHS):
        for batch in torch.split(torch.randperm(len(samples.labels)), BATCH):
            images = augment(samples.images[batch])
            logits = torch.func.functional_call(network, perturb(network), (images,))
            optimizer.zero_grad()
            torch.autograd.backward(functional.cross_entropy(logits, samples.labels[batch], label_smoothing=0.05))
            optimizer.step()
            schedule.step()
    network.eval()


def accuracy(network: nn.Module, samples: Samples) -> float:
    """Return the share of samples that the network classifies correctly, in percent."""
    with torch.inference_mode():
        return 100 * float((network(samples.images).argmax(dim=1) == samples.labels).float().mean())


def fold_batch_norms(network: nn.Sequential) -> nn.Sequential:
    """Return the network with every batch norm folded into the convolution before it."""
    folded: OrderedDict[str, nn.Module] = OrderedDict()
    for name, module in network.named_children():
        if isinstance(module, nn.BatchNorm2d):
            previous, convolution = folded.popitem()
            assert isinstance(convolution, nn.Conv2d)
            folded[previous] = fuse_conv_bn_eval(convolution, module)
        else:
            folded[name] = module
    return nn.Sequential(folded).eval()


def main() -> None:
    """Train, export and write the samples."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--output", type=Path, required=True, help="folder to write the models and samples to")
    folder: Path = parser.parse_args().output
    torch.set_num_threads(1)
    torch.use_deterministic_algorithms(mode=True)
    torch.manual_seed(SEED)
    samples, held_out = load_samples()
    sequential, residual = digits(batch_norm=True), digits_residual()
    train(sequential, samples)
    train(residual, samples)
    for name, network in {"digits": fold_batch_norms(sequential), "digits-residual": residual}.items():
        onnx.save(to_onnx(network, name), folder / f"{name}.onnx")
        print(f"{name}: {accuracy(network, held_out):.2f} % of {len(held_out.labels)} held-out samples")
    np.savez(folder / "calibration.npz", input=samples.images[:CALIBRATION_SAMPLES].numpy())
    np.savez(folder / "test.npz", input=held_out.images.numpy())
    np.savez(folder / "labels.npz", labels=held_out.labels.numpy())


if __name__ == "__main__":
    main()
