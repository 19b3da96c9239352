"""What the bench's sensor painted, read back out of a file by a decoder that nobody here wrote.

Without a film the sensor paints a bright block whose place is its picture's number, so a missing or doubled picture shows in what is
seen, whatever times and counts a file claims. The numbers repeat after :func:`period` pictures.
"""

from __future__ import annotations

from itertools import pairwise
from pathlib import Path

import av
import numpy as np

from tools.opening import open_recording
from tools.sources import DirectorySource, load_key

_STEP, _BRIGHT = 8, 140


def places(width: int, height: int) -> list[int]:
    """The block's left edge by the picture's number, up to where it repeats (``libcamera._camera._paint``)."""
    found: list[int] = []
    for number in range(width):
        left = number * _STEP % (width - height // 6)
        if number and left == 0:
            break
        found.append(left)
    return found


def period(width: int, height: int) -> int:
    return len(places(width, height))


def numbers_shown(movie: Path) -> list[int]:
    """The number that each picture shows, modulo :func:`period`."""
    with av.open(str(movie)) as container:
        stream = container.streams.video[0]
        known = np.array(places(stream.width, stream.height))
        return [_number(frame.to_ndarray(format="gray"), known) for frame in container.decode(stream)]


def _number(luma: np.ndarray, known: np.ndarray) -> int:
    side, top = luma.shape[0] // 6, luma.shape[0] // 2
    row = luma[top + side // 4 : top + side * 3 // 4].mean(axis=0)
    bright = np.flatnonzero(row > _BRIGHT)
    assert abs(len(bright) - side) <= 4, "no picture of the bench"
    return int(np.abs(known - bright[0]).argmin())


def steps_shown(movie: Path) -> set[int]:
    """Distances of neighbouring pictures by what they show; ``{1}`` when none is missing or doubled."""
    with av.open(str(movie)) as container:
        stream = container.streams.video[0]
        again = period(stream.width, stream.height)
    return {(after - before) % again for before, after in pairwise(numbers_shown(movie))}


def step_times(movie: Path) -> list[float]:
    """Distances of neighbouring pictures by their times, in seconds."""
    with av.open(str(movie)) as container:
        stream = container.streams.video[0]
        assert stream.time_base is not None
        stamps = [packet.pts * stream.time_base for packet in container.demux(stream) if packet.pts is not None]
    return [float(after - before) for before, after in pairwise(stamps)]


def opened(card: Path, recording: str, agency: Path, movie: Path) -> Path:
    """The recording as ``oathcam open`` writes it."""
    key = load_key(agency / "agency.key", None)
    assert key is not None
    open_recording(DirectorySource(card), recording, key, movie, agency / "root.crt")
    return movie
