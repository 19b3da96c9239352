"""The measured process of the virtual shift: the daemon's own loop, as fast as it goes, over hours of pictures that were coded before.

    python shift.py CAMERA FOOTAGE HOURS EACH_S [PROFILE]

One recording an hour, ``EACH_S`` seconds from press to stop; else the pre-event buffer turns over. Prints what it did, as JSON.
"""

from __future__ import annotations

import cProfile
import itertools
import json
import sys
import time
from pathlib import Path

from firmware.boot import boot
from firmware.config import load_config
from tests.bench.device import open_device
from tests.bench.footage import FPS, Span

FIRST_S = 600
"""The first press; the others follow an hour after each other."""


def shift(camera: Path, annexb: Path, hours: int, each_s: int) -> dict[str, float]:
    """Boot, buffer, record once an hour, close."""
    config = load_config(camera / "oathcamd.toml")
    whole = annexb.read_bytes()
    spans = [Span(*fields) for fields in json.loads(annexb.with_suffix(".json").read_text())]
    coded = [(whole[span.offset : span.offset + span.size], span.keyframe) for span in spans]
    pictures = itertools.islice(itertools.cycle(coded), hours * 3600 * FPS)
    presses = [(FIRST_S + hour * 3600.0, FIRST_S + hour * 3600.0 + each_s) for hour in range(hours)]
    hal, source = open_device(config.state_directory, config.key_directory, pictures, presses)
    before = time.process_time()
    daemon = boot(hal, config)
    source.at_end = lambda: daemon.ask_shutdown("end of the shift")
    daemon.run()
    daemon.close()
    cpu_s = time.process_time() - before
    hal.close()
    return {"cpu_s": cpu_s, "pictures": source.delivered, "recordings": len(daemon.closed_recordings)}


def main(camera: str, annexb: str, hours: str, each_s: str, profile: str = "") -> None:
    arguments = (Path(camera), Path(annexb), int(hours), int(each_s))
    if profile:
        profiler = cProfile.Profile()
        done = profiler.runcall(shift, *arguments)
        profiler.dump_stats(profile)
    else:
        done = shift(*arguments)
    json.dump(done, sys.stdout)


if __name__ == "__main__":
    main(*sys.argv[1:])
