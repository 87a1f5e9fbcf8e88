"""Observers: how the range of a tensor is measured from samples."""

from __future__ import annotations

from quaint.observers.base import Observer
from quaint.observers.histogram import Histogram, HistogramObserver
from quaint.observers.kl import KL
from quaint.observers.minmax import MinMax, MovingMax
from quaint.observers.mse import MSE
from quaint.observers.percentile import Percentile

__all__ = ["KL", "MSE", "Histogram", "HistogramObserver", "MinMax", "MovingMax", "Observer", "Percentile"]
