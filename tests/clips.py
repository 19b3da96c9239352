"""Short films for tests: made once a run, of noise that moves, so that an encoder has something to do."""

from __future__ import annotations

import atexit
from fractions import Fraction
from functools import cache
from pathlib import Path
from tempfile import TemporaryDirectory

import av
import numpy as np

from hal.canvas import Canvas
from hal.sim.scene import DrawnStreet

RATE = 48_000


def make_clip(path: Path, seconds: float = 4, size: tuple[int, int] = (640, 360), fps: int = 30, sound: bool = True) -> Path:
    """A film whose picture brightens over its length, with a tone of 440 Hz."""
    dice = np.random.default_rng(5)
    width, height = size
    coarse = dice.integers(60, 200, (height // 8, width // 8 + 64), dtype=np.uint8)
    texture = np.clip(np.kron(coarse, np.ones((8, 8), np.int16)) + dice.integers(-30, 30, (height // 8 * 8, width + 512)), 0, 255)
    with av.open(str(path), "w") as container:
        video = container.add_stream("libx264", rate=fps, options={"preset": "ultrafast", "g": str(fps)})
        video.width, video.height, video.pix_fmt = width, height // 8 * 8, "yuv420p"
        if sound:
            audio = container.add_stream("aac", rate=RATE, layout="mono")
            tone = (0.3 * np.sin(2 * np.pi * 440 * np.arange(round(seconds * RATE)) / RATE)).astype(np.float32)
            for at in range(0, len(tone) // 1024 * 1024, 1024):
                frame = av.AudioFrame.from_ndarray(tone[np.newaxis, at : at + 1024], format="fltp", layout="mono")
                frame.sample_rate, frame.pts, frame.time_base = RATE, at, Fraction(1, RATE)
                container.mux(audio.encode(frame))
            container.mux(audio.encode(None))
        for number in range(round(seconds * fps)):
            at = number * 4 % 512
            grey = np.ascontiguousarray(texture[:, at : at + width].astype(np.uint8))
            container.mux(video.encode(av.VideoFrame.from_ndarray(grey, format="gray").reformat(format="yuv420p")))
        container.mux(video.encode(None))
    return path


def make_street(path: Path, width: int, height: int, seconds: float = 5, fps: int = 30) -> Path:
    """The simulator's drawn street as a film, without the strip of figures that the simulator burns in."""
    spare = height // 9 // 2 * 2
    canvas, street = Canvas(width, height + spare), DrawnStreet(seed=7)
    street.aim(canvas, 0)
    shown = Canvas(width, height)
    with av.open(str(path), "w") as container:
        video = container.add_stream("libx264", rate=fps, options={"preset": "ultrafast", "crf": "12", "g": str(fps)})
        video.width, video.height, video.pix_fmt = width, height, "yuv420p"
        for number in range(round(seconds * fps)):
            street.look(number * 1_000_000_000 // fps, 0, number)
            shown.paste(canvas.y[:height], canvas.u[: height // 2], canvas.v[: height // 2], 0, 0)
            container.mux(video.encode(av.VideoFrame.from_ndarray(shown.planes, format="yuv420p")))
        container.mux(video.encode(None))
    return path


@cache
def a_clip() -> Path:
    """The usual one, 4 s; it goes when the process does."""
    directory = TemporaryDirectory(prefix="clip-")
    atexit.register(directory.cleanup)
    return make_clip(Path(directory.name) / "clip.mp4")
