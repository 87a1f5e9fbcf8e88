"""Layers that every target may use: kernels, and patterns that find and lower them."""
