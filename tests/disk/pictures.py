"""Ready-made pictures: H.264 as a camera's encoder delivers it, in the form that the bench's camera reads. No GOP is like another: the
verifier would call it repeated."""

from __future__ import annotations

import json
from pathlib import Path

import av
import numpy as np

FPS, SECONDS = 30, 18
WIDTH, HEIGHT = 320, 240
_CODEC = {"preset": "ultrafast", "g": str(FPS), "bf": "0", "x264-params": "repeat-headers=1:scenecut=0"}


def make_footage(path: Path) -> Path:
    """Annex B, with the places of its pictures beside it (``.json``)."""
    dice = np.random.default_rng(11)
    spans = []
    with path.open("wb") as file, av.open(str(path.with_suffix(".mkv")), "w") as container:
        stream = container.add_stream("libx264", rate=FPS, options=_CODEC)
        stream.width, stream.height, stream.pix_fmt = WIDTH, HEIGHT, "yuv420p"
        for number in range(FPS * SECONDS + 1):
            if number % FPS == 0:
                texture = np.kron(dice.integers(60, 200, (HEIGHT // 8, WIDTH // 8), dtype=np.uint8), np.ones((8, 8), np.uint8))
            grey = np.ascontiguousarray(np.roll(texture, number * 3, axis=1))
            picture = av.VideoFrame.from_ndarray(grey, format="gray").reformat(format="yuv420p")
            for packet in stream.encode(picture if number < FPS * SECONDS else None):
                spans.append((file.tell(), packet.size, packet.is_keyframe))
                file.write(bytes(packet))
    path.with_suffix(".json").write_text(json.dumps(spans))
    return path
