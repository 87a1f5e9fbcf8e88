"""Options that several commands share, and how they become one ``Config``."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from quaint.config import Config, parse_assignments, read_config
from quaint.errors import QuaintError

if TYPE_CHECKING:
    from click.decorators import FC

    from quaint.target import Target

PATH = click.Path(path_type=Path)
LAYOUTS = click.Choice(["nchw", "nhwc"])

model_argument = click.argument("model", type=PATH)
target_option = click.option("--target", required=True, metavar="TARGET", help="The chip; see quaint targets.")
layout_option = click.option(
    "--layout", type=LAYOUTS, help="How the samples are laid out, where not as the model takes them."
)
force_option = click.option("--force", is_flag=True, help="Replace files that exist.")
samples_option = click.option(
    "--samples", type=PATH, metavar="FILE", help="Samples: an .npz, an .npy, a folder of .npy or a folder of images."
)

_CONFIG = (
    click.option("--config", "config_file", type=PATH, metavar="FILE", help="Configuration, JSON or TOML."),
    click.option("--set", "assignments", multiple=True, metavar="KEY=VALUE", help="One key of the configuration."),
    click.option("-i", "--input-weight-bits", type=int, metavar="N", help="Bits of the weights of the first layers."),
    click.option("-w", "--weight-bits", type=int, metavar="N", help="Bits of the weights."),
    click.option("-a", "--activation-bits", type=int, metavar="N", help="Bits of the tensors between layers."),
    click.option(
        "--per-tensor-activations", is_flag=True, default=None, help="One scale for a whole tensor between layers."
    ),
    click.option("--output-bits", type=int, metavar="N", help="Bits of tensors that no activation function ends in."),
    click.option("--last-output-bits", type=int, metavar="N", help="Bits of the last layer's output."),
    click.option("--buffer-bits", type=int, metavar="N", help="Bits at which accumulators saturate."),
    click.option(
        "--beyond-hardware",
        is_flag=True,
        default=None,
        help="Quantize also what only the simulators run, with warnings.",
    ),
    click.option("--num-samples", type=int, metavar="N", help="How many samples to calibrate on."),
    click.option("-b", "--batch-size", type=int, metavar="N", help="Samples in a batch."),
    click.option("-e", "--epochs", type=int, metavar="N", help="How often to go through the samples."),
    click.option(
        "--input-dtype", type=click.Choice(["uint8", "int8", "float32"]), help="Integers that enter the chip."
    ),
    click.option("--observer", metavar="NAME", help="How ranges are measured."),
    click.option("--quantizer", metavar="NAME", help="How scales are chosen from them."),
    click.option("--equalize", is_flag=True, help="Equalize weights across layers first: --quantizer equalize."),
    click.option("--seed", type=int, metavar="N", help="Of the random samples, where none are given."),
    click.option("--until", metavar="NODE", help="The last node to quantize."),
    click.option("--from", "from_node", metavar="NODE", help="The first node to quantize."),
    click.option(
        "--shape", "shapes", multiple=True, metavar="NAME=N,3,H,W", help="Shape of an input, to fix open sizes."
    ),
)


def config_options(command: FC) -> FC:
    """The options that make up a ``Config``; the command takes them as keywords for ``make_config``."""
    for option in reversed(_CONFIG):
        command = option(command)
    return command


def make_config(
    config_file: Path | None,
    assignments: tuple[str, ...],
    shapes: tuple[str, ...],
    *,
    equalize: bool,
    target: Target | None = None,
    **flags: Any,
) -> Config:
    """The configuration file, which may have a form of the target's, under ``--set``, under the flags.

    Raises:
        QuaintError: QP510 to QP512 for what is wrong in them, QU106 where flags contradict each other.
    """
    if equalize and flags["quantizer"] not in {None, "equalize"}:
        raise QuaintError("QU106", f"--equalize and --quantizer {flags['quantizer']} exclude each other")
    given = {key: value for key, value in flags.items() if value is not None}
    given |= {"quantizer": "equalize"} if equalize else {}
    given |= {"shapes": dict(map(_shape, shapes))} if shapes else {}
    formats = target.config_formats.values() if target else ()
    base = read_config(config_file, formats) if config_file else Config()
    return Config.from_dict(given).over(parse_assignments(assignments).over(base))


def _shape(text: str) -> tuple[str, list[int]]:
    """``input=N,3,224,224``; N leaves the batch open."""
    name, _, sizes = text.rpartition("=")
    parts = sizes.replace("x", ",").split(",")
    if not name or not all(part.isdecimal() or part == "N" for part in parts):
        raise QuaintError("QU107", f"--shape takes NAME=1,3,224,224, not {text!r}")
    return name, [-1 if part == "N" else int(part) for part in parts]
