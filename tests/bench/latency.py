"""How long a press and a picture wait until they are durable, against the file system's own fsync in the same run (``live.py``).

Several cameras press at once, each a process with an evidence volume of its own: a press takes the button's holding time, and a benchmark
has minutes. They share processor and disk, with each other and with the fsyncs that they are compared to, so that times are rather too long
than too short.
"""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

from tests.bench.footage import DEFAULT
from tests.bench.workshop import HERE, Figures, Workshop, partition, percentile, reaped, result

CAMERAS = 4
GOP_MS = 1000.0
LIVE_PICTURES = 90
"""A recording holds at least so many pictures that came after its press."""
SLOW_SYNC_MS = 10
"""Of a card that is slow to flush; a plain SD card takes as long, by its makers' classes (estimate)."""


@dataclass(frozen=True, slots=True)
class Times:
    """Milliseconds; ``syncs``: the fsyncs of one press."""

    press: list[float]
    picture: list[float]
    fsync: list[float]
    syncs: list[int]


def measure(shop: Workshop, presses: int, sync_ms: int = 0) -> Times:
    """``presses`` of each camera."""
    stream = shop.stream(DEFAULT)
    cameras = [shop.camera(f"live-{number}", hold_to_stop_ms=2000) for number in range(CAMERAS)]
    script = HERE / "live.py"
    commands = [[sys.executable, str(script), str(camera), str(stream.annexb), str(presses), str(sync_ms)] for camera in cameras]
    times = Times([], [], [], [])
    with ExitStack() as volumes:
        for camera in cameras:
            volumes.enter_context(partition(camera / "card"))
        processes = [subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE) for command in commands]
        for process, camera in zip(processes, cameras, strict=True):
            assert process.stdout is not None
            output = process.stdout.read()
            process.stdout.close()
            reaped(process)
            _add(times, output, camera, presses)
    for camera in cameras:
        shutil.rmtree(camera)
    return times


def _add(times: Times, output: bytes, camera: Path, presses: int) -> None:
    """A press without a recording, or a recording that lost a picture, was not measured."""
    facts = json.loads(output)
    manifests = [json.loads(path.read_text()) for path in (camera / "card/vault").glob("*/manifest.json")]
    pictures = sum(fragment["pictures"] for manifest in manifests for fragment in manifest["fragments"])
    counts = {len(manifests), facts["recordings"], len(facts["press_ms"]), len(facts["press_syncs"])}
    live = len(facts["picture_ms"])
    if counts != {presses} or facts["drops"] or facts["faults"] or not presses * LIVE_PICTURES <= live <= pictures:
        sys.exit(f"bench: {presses} presses made {counts} recordings with {live} of {pictures} pictures; {facts['drops']} drops")
    times.press.extend(facts["press_ms"])
    times.picture.extend(facts["picture_ms"])
    times.fsync.extend(facts["fsync_ms"])
    times.syncs.extend(facts["press_syncs"])


def latency(shop: Workshop, presses: int) -> Figures:
    plain = measure(shop, presses)
    slow = measure(shop, max(2, presses // 4), SLOW_SYNC_MS)
    # Of the slow card the fsync's median: its length is given, and what is above it is this machine's.
    return {
        "press_to_durable_p99": _press(plain, 99, 99),
        "press_to_durable_p50": _press(plain, 50, 50),
        "press_to_durable_p99_slow_card": _press(slow, 99, 50),
        "press_to_durable_fsyncs": result(max(plain.syncs), "fsyncs", "", None, 3.0),
        "promise_lag_p99": _promise(plain, 99),
        "promise_lag_p99_slow_card": _promise(slow, 50),
    }


def _press(times: Times, percent: int, own_percent: int) -> dict[str, object]:
    own = percentile(times.fsync, own_percent)
    return result(percentile(times.press, percent), "ms", f"the file system's fsync, {own_percent} %", own, 3.0)


def _promise(times: Times, own_percent: int) -> dict[str, object]:
    """Pictures wait for the end of their GOP; the first one as long as it lasts."""
    bound = GOP_MS + 3 * percentile(times.fsync, own_percent)
    return result(percentile(times.picture, 99), "ms", f"one GOP and three fsyncs, {own_percent} %", bound, 1.0)
