"""Histograms of weights as TensorBoard reads them: the same weights give the same file."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from quaint.errors import QuaintError

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path

    from numpy.typing import NDArray

BINS = 64
#: TensorBoard looks for files with this in their names; what usually follows are the time and the computer's name.
FILE = "events.out.tfevents.quaint"


def write_histograms(path: Path, arrays: Iterable[tuple[str, NDArray[Any]]]) -> None:
    """Write an event file with a histogram of each array; it carries no time.

    Raises:
        QuaintError: QP530 where the package that knows the format is missing.
    """
    try:
        from tensorboardX.proto.event_pb2 import Event
        from tensorboardX.record_writer import RecordWriter
        from tensorboardX.summary import histogram
    except ImportError as error:
        hint = "pip install 'quaint[tensorboard]'"
        raise QuaintError("QP530", "histograms for TensorBoard need tensorboardX", hint=hint) from error
    writer = RecordWriter(str(path))
    writer.write(Event(file_version="brain.Event:2").SerializeToString(deterministic=True))
    for name, array in arrays:
        event = Event(summary=histogram(name, array, BINS))
        writer.write(event.SerializeToString(deterministic=True))
    writer.close()
