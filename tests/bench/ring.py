"""The peer of ``evidence_path_cpu_vs_picamera2``: picamera2's own pre-event ring and file writer, on the same coded pictures.

    python ring.py FOOTAGE ROUNDS PRESS_S FILE

Real are picamera2's ``CircularOutput2`` and ``PyavOutput``; they are called as its V4L2 encoder's thread calls them, one coded picture at
a time, as fast as they take them. They neither sign nor hash nor seal nor sync. libcamera under picamera2 is the tests' fake, so
importing it is not counted: the CPU time printed runs from the first picture to the closed file.
"""

from __future__ import annotations

import json
import sys
import time
from pathlib import Path

from tests.bench.device import read_again
from tests.bench.footage import FPS, Span

TESTS = Path(__file__).resolve().parents[1]
BUFFER_MS = 30_000
WIDTH, HEIGHT = 1920, 1080


def main(annexb: str, rounds: str, press_s: str, target: str) -> None:
    sys.path.insert(0, str(TESTS / "pibench/fakes"))
    from picamera2.outputs import CircularOutput2, PyavOutput

    spans = [Span(*fields) for fields in json.loads(Path(annexb).with_suffix(".json").read_text())]
    before = time.process_time()
    ring = CircularOutput2(buffer_duration_ms=BUFFER_MS)
    ring._add_stream("video", "h264", rate=FPS, width=WIDTH, height=HEIGHT)
    ring.start()
    count = 0
    for data, keyframe in read_again(Path(annexb), spans, int(rounds)):
        if count == int(press_s) * FPS:
            ring.open_output(PyavOutput(target))
        ring.outputframe(data, keyframe, count * 1_000_000 // FPS)
        count += 1
    ring.stop()  # not close_output(), which would lose the last 30 s
    json.dump({"cpu_s": time.process_time() - before, "pictures": count}, sys.stdout)


if __name__ == "__main__":
    main(*sys.argv[1:])
