"""Observers: how the range of a tensor is measured from samples."""
