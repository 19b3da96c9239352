"""A camera that is lost and comes back, and one whose stream breaks, while recording."""

from __future__ import annotations

import time

import guest


def run() -> None:
    video = guest.Video(guest.vivid())
    bench = guest.Bench()
    time.sleep(2)
    bench.begin(4)
    times = {}
    for name in ("Disconnect", "Inject Fatal Streaming Error"):
        faults, begins = len(guest.leaves("fault")), len(guest.leaves("begin"))
        began = time.monotonic()
        video.set(name)
        bench.recorder.wait(f"the fault's leaf after {name!r}", lambda count=faults: len(guest.leaves("fault")) > count, 15)
        fault_s = time.monotonic() - began
        bench.recorder.wait(f"a recording again after {name!r}", lambda count=begins: len(guest.leaves("begin")) > count, 30)
        times[name] = {"fault_s": fault_s, "again_s": time.monotonic() - began}
        count = len(guest.leaves("fragment"))
        bench.recorder.wait("three more fragments", lambda count=count: len(guest.leaves("fragment")) >= count + 3, 30)
    bench.end()
    code = bench.recorder.stop()
    guest.keep_card()
    guest.report(times=times, code=code, leaves=guest.leaves(), recordings=guest.recordings())
