"""Samples: reading and checking what a model is calibrated and measured with. All of it is untrusted input."""

from __future__ import annotations

from quaint.samples.dataset import Samples
from quaint.samples.opening import open_samples, random_samples, read_labels
from quaint.samples.spec import TensorSpec, input_specs

__all__ = ["Samples", "TensorSpec", "input_specs", "open_samples", "random_samples", "read_labels"]
