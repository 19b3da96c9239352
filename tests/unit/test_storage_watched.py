"""For how long the card has not answered, asked from another thread while it does not."""

from __future__ import annotations

import threading
from pathlib import Path

from firmware.storage.watched import WatchedVolume
from hal.directory_volume import DirectoryVolume
from hal.interfaces import VolumeFile
from hal.posix import PosixClock

PATIENCE_S = 10


class _Stuck(DirectoryVolume):
    """Its next directory sync, or its files' next sync, returns when told to."""

    def __init__(self, directory: Path) -> None:
        super().__init__(directory)
        self.entered, self.release = threading.Event(), threading.Event()

    def sync_directory(self, name: str) -> None:
        self.entered.set()
        assert self.release.wait(PATIENCE_S)
        super().sync_directory(name)

    def create(self, name: str) -> VolumeFile:
        file, outer = super().create(name), self
        sync = file.sync

        def stuck() -> None:
            outer.entered.set()
            assert outer.release.wait(PATIENCE_S)
            sync()

        file.sync = stuck  # type: ignore[method-assign]
        return file


def waited(volume: WatchedVolume, clock: PosixClock, stuck: _Stuck, call) -> int:
    """Nanoseconds of waiting that are seen from here while ``call`` hangs over there."""
    thread = threading.Thread(target=call)
    thread.start()
    assert stuck.entered.wait(PATIENCE_S)
    threading.Event().wait(0.05)
    seen = volume.waiting_ns(clock.now().boottime_ns)
    stuck.release.set()
    thread.join(PATIENCE_S)
    return seen


def test_a_call_that_hangs_is_seen_to_age_and_forgotten_when_it_returns(tmp_path: Path) -> None:
    """BWC-POL-47: directories and files alike; what passes through is unchanged."""
    clock = PosixClock()
    for name in ("directory", "file"):
        (tmp_path / name).mkdir()
        stuck = _Stuck(tmp_path / name)
        volume = WatchedVolume(stuck, clock)
        file = volume.create("evidence")
        file.write(b"bytes")
        call = (lambda: volume.sync_directory("")) if name == "directory" else file.sync  # noqa: B023 - called in this turn
        assert waited(volume, clock, stuck, call) >= 50_000_000
        assert volume.waiting_ns(clock.now().boottime_ns) == 0
        file.close()
        assert volume.read("evidence") == b"bytes"
        assert volume.list("") == (("evidence", 5),)
