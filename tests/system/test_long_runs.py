"""Thirty days of one camera, in virtual time: memory stays flat, media time stays with boot time, and the card verifies at the end.

`make test` goes through thirty short shifts; with ``OATHCAM_TORTURE=1`` (`make torture`) they last twelve hours each.
"""

from __future__ import annotations

import gc
import itertools
import json
import os
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from firmware.boot import boot
from firmware.config import DeviceConfig, load_config
from firmware.evidence.cms import open_sealed
from firmware.evidence.findings import Verdict
from firmware.evidence.manifest import Manifest
from firmware.evidence.verify import OpeningKey, verify_device
from firmware.media.fmp4_read import parse_fragment, parse_init
from hal.interfaces import ClockReading, ClockTrust
from tests.bench import device
from tests.bench.footage import FPS, Span
from tests.disk.campaign import make_rig
from tools.sources import DirectorySource, load_key, load_roots

TORTURE = bool(os.environ.get("OATHCAM_TORTURE"))
DAYS = 30
SHIFT_S = (12 * 3600, 12 * 3600) if TORTURE else (420, 160)
LONG_S = (5 * 3600, 2400) if TORTURE else (320, 60)
"""Of a shift and of its second recording, on every tenth day (in the whole test longer than the policy's longest) and on the others."""
DRIFT_PPM = 120
"""By so much the sensor's second is too long: more than crystals differ. Pictures carry the board's boot time, as a driver's stamp
does; after five minutes a count of them is off by more than one."""
FLAT_BYTES = 8_000_000
DAY_NS = 86_400 * 10**9


class _Day(device.Time):
    def __init__(self, day: int) -> None:
        super().__init__()
        self._day = day

    def now(self) -> ClockReading:
        return ClockReading(self.ns, device.EPOCH_NS + self._day * DAY_NS + self.ns, ClockTrust.SYNCED)


def live_a_day(config: DeviceConfig, footage: Path, spans: list[Span], day: int) -> tuple[str, ...]:
    """The recordings that were closed."""
    count = SHIFT_S[day % 10 > 0] * FPS
    pictures: Iterator[tuple[bytes, bool]] = itertools.islice(device.read_again(footage, spans, count // len(spans) + 1), count)
    clock = _Day(day)
    hal, _ = device.open_device(config.state_directory, config.key_directory, iter(()), [])
    camera = device.FileCamera(clock, pictures, 10**9 + DRIFT_PPM * 1000)
    hands = device.Hands(clock, [(20.0, 40.0), (80.0, 80.0 + LONG_S[day % 10 > 0])])
    daemon = boot(replace(hal, clock=clock, inbox=camera, camera=camera, buttons=hands), config)
    camera.at_end = lambda: daemon.ask_shutdown("end of the shift")
    daemon.run()
    daemon.close()
    hal.close()
    return daemon.closed_recordings


def resident_bytes() -> int:
    gc.collect()
    return int(Path("/proc/self/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")


def media_drift_ns(vault: Path, recording: str, key: OpeningKey) -> int:
    """By how much the last picture's time in the film is off from its boot time, both counted from the first."""
    folder = vault / recording
    manifest = Manifest.from_bytes((folder / "manifest.json").read_bytes())
    assert manifest.gaps == ()
    init = parse_init(open_sealed((folder / "init.mp4.p7m").read_bytes(), key.private_key, key.certificate))
    first, last = manifest.fragments[0], manifest.fragments[-1]
    sealed = (folder / f"{last.seq:06d}.m4s.p7m").read_bytes()
    begins = parse_fragment(open_sealed(sealed, key.private_key, key.certificate), init).video[0].time_ns
    return begins - (last.boottime_us - first.boottime_us) * 1000


@pytest.fixture(scope="module")
def rig(tmp_path_factory: pytest.TempPathFactory, agency: Any) -> Path:
    return make_rig(tmp_path_factory.mktemp("rig"), agency)


@pytest.mark.timeout(20_000 if TORTURE else 600)
def test_thirty_days(rig: Path) -> None:
    """BWC-POL-05, -26: nothing grows from day to day but the card, and no second gets lost."""
    config = load_config(rig / "camera/oathcamd.toml")
    spans = [Span(*fields) for fields in json.loads((rig / "footage.json").read_text())]
    key = load_key(rig / "agency.key", None)
    assert key is not None
    sizes, drifts = [], []
    for day in range(DAYS):
        closed = live_a_day(config, rig / "footage.h264", spans, day)
        assert len(closed) >= 2
        drifts.append(media_drift_ns(config.state_directory / "vault", closed[1], key))
        sizes.append(resident_bytes())
    report = verify_device(DirectorySource(config.state_directory), load_roots(rig / "root.crt"))
    print(f"memory after day 5 and day {DAYS}: {sizes[4]} and {sizes[-1]} bytes; drift at most {max(map(abs, drifts))} ns")  # noqa: T201
    assert sizes[-1] - sizes[4] < FLAT_BYTES
    assert max(map(abs, drifts)) <= 10**9 // FPS
    assert report.verdict is Verdict.AUTHENTIC, [one.sentence() for one in report.findings]
    assert len(report.recordings) >= DAYS * 2
