"""One minute of footage as a camera's encoder would deliver it: H.264, 30 pictures and a closed GOP a second, no B-pictures.

Made once with ffmpeg and libx264 and kept below ``.cache/``; the same bytes go through both sides of the comparison.
"""

from __future__ import annotations

import hashlib
import subprocess
from dataclasses import dataclass
from pathlib import Path

FPS = 30
SECONDS = 60


@dataclass(frozen=True, slots=True)
class Shape:
    """Size of the pictures, and bits a second."""

    width: int
    height: int
    bitrate_bps: int

    def encode(self) -> tuple[str, ...]:
        rate, size = str(self.bitrate_bps), f"{self.width}x{self.height}"
        return (
            *("-f", "lavfi", "-i", f"testsrc2=size={size}:rate={FPS},noise=alls=12:allf=t", "-t", str(SECONDS)),
            *("-c:v", "libx264", "-preset", "superfast", "-pix_fmt", "yuv420p"),
            *("-b:v", rate, "-minrate", rate, "-maxrate", rate, "-bufsize", rate),
            *(
                "-x264-params",
                f"nal-hrd=cbr:keyint={FPS}:min-keyint={FPS}:scenecut=0:bframes=0:repeat-headers=1:sliced-threads=0:open-gop=0",
            ),
        )


FULL_HD = Shape(1920, 1080, 8_000_000)
"""Twice what the default policy asks for: the harder case."""
DEFAULT = Shape(1280, 720, 4_000_000)
"""What the default policy asks for."""


@dataclass(frozen=True, slots=True)
class Footage:
    """``annexb`` as the encoder made it; ``mp4`` holds the same pictures with an index."""

    annexb: Path
    mp4: Path


@dataclass(frozen=True, slots=True)
class Span:
    """Where one access unit lies in the Annex B file."""

    offset: int
    size: int
    keyframe: bool


def footage(cache: Path, shape: Shape = FULL_HD) -> Footage:
    """The footage; encoded when the cache has none made with these settings."""
    encode = shape.encode()
    key = hashlib.sha256(" ".join(encode).encode()).hexdigest()[:12]
    made = Footage(cache / f"{key}.h264", cache / f"{key}.mp4")
    cache.mkdir(parents=True, exist_ok=True)
    if not made.annexb.exists():
        temporary = made.annexb.with_suffix(".new")
        _ffmpeg(*encode, "-f", "h264", str(temporary))
        temporary.rename(made.annexb)
    if not made.mp4.exists():
        temporary = made.mp4.with_suffix(".new")
        _ffmpeg("-r", str(FPS), "-i", str(made.annexb), "-c", "copy", "-f", "mp4", str(temporary))
        temporary.rename(made.mp4)
    return made


def access_units(annexb: Path) -> list[Span]:
    """Every picture's place, as ffprobe finds them."""
    command = ["ffprobe", "-v", "error", "-show_entries", "packet=pos,size,flags", "-of", "csv=p=0", str(annexb)]
    rows = subprocess.run(command, capture_output=True, text=True, check=True).stdout.split()
    fields = [row.split(",") for row in rows]
    return [Span(int(position), int(size), "K" in flags) for size, position, flags, *_ in fields]


def _ffmpeg(*arguments: str) -> None:
    subprocess.run(["ffmpeg", "-y", "-v", "error", "-nostdin", *arguments], check=True)
