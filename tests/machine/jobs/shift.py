"""A short shift: press, record, hold, dock; the cable pulled in mid-offload, twice; receipt, release."""

from __future__ import annotations

import time
from dataclasses import asdict

import guest

from hal.hint import HINT_FILE, decode

SHORT_PULL_S = 1.5
PATIENCE_S = 60
"""For a process to start, or to connect again, in a machine whose host is slow: how long that takes is not what is tested."""


def run() -> None:
    cable = guest.Cable()
    station = guest.Station()
    bench = guest.Bench()
    time.sleep(3)
    dark = bench.lamp()
    lit_ms = bench.begin(6)
    bench.end()
    recorded = guest.recordings()
    guest.keep_card()
    station.wait()
    cable.plug()
    cable.slow(1)
    bench.contact.down()
    sync = guest.Sync(bench.config)
    before = cable.sent_bytes()
    guest.wait("the first third of the offload", lambda: cable.sent_bytes() - before > 60_000, PATIENCE_S)
    cable.pull()
    time.sleep(SHORT_PULL_S)
    cable.plug()
    guest.wait("the second third of the offload", lambda: cable.sent_bytes() - before > 150_000, PATIENCE_S)
    cable.pull()
    station.lose_power()
    station.start()
    station.wait()
    cable.plug()
    said = sync.finish()
    kept = guest.CAMERA / "run" / HINT_FILE
    guest.wait("the bay's address", kept.exists)
    hint = asdict(decode(kept.read_bytes()))
    bench.recorder.wait("the receipt's leaf", lambda: guest.leaves("receipt"))
    bench.recorder.wait("the release", lambda: guest.leaves("release"))
    left = guest.recordings()
    lamp = bench.lamp()
    code = bench.recorder.stop()
    station.stop()
    guest.report(dark=dark, lit_ms=lit_ms, kept=recorded, left=left, lamp=lamp, code=code, sync=said, hint=hint, leaves=guest.leaves())
