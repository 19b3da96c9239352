"""The bench under the Pi's back-end: real picamera2, real gpiozero, and fakes of what only a Pi has (``pibench/fakes``).

The fakes come first on the path: in this process through :func:`loaded`, in the capture process through PYTHONPATH.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from absent import absent

FAKES = Path(__file__).resolve().parent / "pibench" / "fakes"
LIBRARIES = ("picamera2", "videodev2", "gpiozero", "serial")


def missing() -> list[str]:
    """Libraries that the bench needs and this environment lacks."""
    return [name for name in LIBRARIES if find_spec(name) is None]


def require() -> None:
    """Go on only where picamera2 could be built."""
    if lacking := ", ".join(missing()):
        absent(f"not installed: {lacking}; see what .ci/bootstrap said about requirements-source.lock")


def losses(socket: Path) -> list[tuple[int, str]]:
    """(boot time of the exposure in ns, whose) of every picture that the fake sensor lost; as ``bench.Hand.lose`` writes it."""
    log = socket.with_name(socket.name + ".losses")
    rows = [line.split() for line in log.read_text().splitlines()] if log.exists() else []
    return [(int(row[0]), row[1]) for row in rows]


@contextmanager
def loaded() -> Iterator[Any]:
    """The fakes on the path of this process and of those that it starts; yields the hand on the bench, at rest."""
    require()
    before = os.environ.get("PYTHONPATH")
    os.environ["PYTHONPATH"] = str(FAKES)
    if str(FAKES) not in sys.path:
        sys.path.insert(0, str(FAKES))
    import bench

    bench.hand.reset()
    try:
        yield bench.hand
    finally:
        bench.hand.reset()
        if before is None:
            del os.environ["PYTHONPATH"]
        else:
            os.environ["PYTHONPATH"] = before
