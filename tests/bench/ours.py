"""The measured process: the daemon's own code from the encoder's output to the closed recording. Prints what it did, as JSON.

    python ours.py CAMERA FOOTAGE ROUNDS PRESS_S [PROFILE]

``CAMERA`` is a provisioned directory, ``FOOTAGE`` the Annex B file with its index beside it (``.json``).
"""

from __future__ import annotations

import cProfile
import json
import sys
from pathlib import Path

from firmware.boot import boot
from firmware.config import load_config
from tests.bench.device import open_device, read_again
from tests.bench.footage import Span


def record(camera: Path, annexb: Path, rounds: int, press_s: int) -> None:
    """Boot, buffer, record, close."""
    config = load_config(camera / "oathcamd.toml")
    spans = [Span(*fields) for fields in json.loads(annexb.with_suffix(".json").read_text())]
    pictures = read_again(annexb, spans, rounds)
    hal, source = open_device(config.state_directory, config.key_directory, pictures, [(press_s, None)])
    daemon = boot(hal, config)
    source.at_end = lambda: daemon.ask_shutdown("end of the footage")
    daemon.run()
    daemon.close()
    hal.close()


def peak_rss_bytes() -> int:
    """High-water mark of resident memory of this program alone (``ru_maxrss`` may show the parent's, from before exec)."""
    status = Path("/proc/self/status").read_text()
    return next(int(line.split()[1]) * 1024 for line in status.splitlines() if line.startswith("VmHWM:"))


def main(camera: str, annexb: str, rounds: str, press_s: str, profile: str = "") -> None:
    arguments = (Path(camera), Path(annexb), int(rounds), int(press_s))
    if profile:
        profiler = cProfile.Profile()
        profiler.runcall(record, *arguments)
        profiler.dump_stats(profile)
    else:
        record(*arguments)
    json.dump({"peak_rss_bytes": peak_rss_bytes()}, sys.stdout)


if __name__ == "__main__":
    main(*sys.argv[1:])
