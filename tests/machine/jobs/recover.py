"""The boot after: whatever was open is closed; a new recording on the same card; an orderly end."""

from __future__ import annotations

import time

import guest


def run() -> None:
    bench = guest.Bench()
    time.sleep(1)
    bench.begin(2)
    bench.end()
    code = bench.recorder.stop()
    guest.keep_card()
    guest.report(code=code, leaves=guest.leaves(), recordings=guest.recordings())
