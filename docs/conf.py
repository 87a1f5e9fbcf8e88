"""Configuration of Sphinx."""

from __future__ import annotations

import importlib.metadata

project = "Quaint"
author = "the Quaint authors"
version = release = importlib.metadata.version("quaint")
extensions = ["myst_parser"]
myst_heading_anchors = 3
html_theme = "alabaster"
html_theme_options = {
    "description": "One float model in, the exact integer program of a chip out",
    "page_width": "1320px",
    "body_max_width": "1080px",
}
html_title = "Quaint"
html_copy_source = False
