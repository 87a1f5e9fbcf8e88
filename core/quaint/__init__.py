"""Quaint turns a trained float model into the exact integer program of an edge chip."""
