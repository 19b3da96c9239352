"""What every clock, inbox, worker, entropy source and watchdog owes."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path

import pytest
from helpers_hal import CLOCKS, ENTROPIES, INBOXES, WATCHDOGS, WORKERS, notify_socket
from rigs import ClockRig

from hal.interfaces import Entropy

MS = 1_000_000


@pytest.fixture(params=CLOCKS)
def rig(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[ClockRig]:
    with CLOCKS[request.param](tmp_path) as opened:
        yield opened


def test_boot_time_never_goes_back(rig: ClockRig) -> None:
    """BWC-POL-26."""
    readings = [rig.clock.now() for _ in range(200)]
    assert all(later.boottime_ns >= earlier.boottime_ns for earlier, later in pairwise(readings))
    assert readings[0].boottime_ns > 0


def test_wall_and_boot_time_move_together(rig: ClockRig) -> None:
    """Read together, so that their difference is constant while nobody steps the clock (BWC-POL-26)."""
    differences = [reading.wall_ns - reading.boottime_ns for reading in (rig.clock.now() for _ in range(100))]
    assert max(differences) - min(differences) < 5 * MS


def test_calls_come_in_order_and_not_early(rig: ClockRig) -> None:
    calls: list[tuple[str, int]] = []
    done = threading.Event()
    begin = rig.clock.now().boottime_ns

    def note(name: str) -> None:
        calls.append((name, rig.clock.now().boottime_ns - begin))
        if len(calls) == 4:
            done.set()

    rig.clock.call_at(begin + 30 * MS, lambda: note("third"))
    rig.clock.call_at(begin + 10 * MS, lambda: note("first"))
    rig.clock.call_at(begin + 20 * MS, lambda: note("second"))
    rig.clock.call_at(begin + 30 * MS, lambda: note("fourth"))
    rig.wait(done)
    assert [name for name, _ in calls] == ["first", "second", "third", "fourth"]
    assert all(at >= due * MS for (_, at), due in zip(calls, (10, 20, 30, 30), strict=True))


def test_an_instant_that_has_passed_is_called_at_once(rig: ClockRig) -> None:
    done = threading.Event()
    rig.clock.call_at(0, done.set)
    rig.wait(done)


def test_a_cancelled_call_is_not_made(rig: ClockRig) -> None:
    calls: list[str] = []
    done = threading.Event()
    begin = rig.clock.now().boottime_ns
    timer = rig.clock.call_at(begin + 5 * MS, lambda: calls.append("cancelled"))
    timer.cancel()
    timer.cancel()
    last = rig.clock.call_at(begin + 10 * MS, done.set)
    rig.wait(done)
    last.cancel()
    assert calls == []


@pytest.mark.parametrize("name", INBOXES)
def test_inbox_is_first_in_first_out_bounded_and_ends(name: str, tmp_path: Path) -> None:
    """A full inbox says so; nothing is dropped in silence."""
    with INBOXES[name](tmp_path, 3) as inbox:
        assert [inbox.put(item) for item in ("a", "b", "c", "d")] == [True, True, True, False]
        assert inbox.get() == "a"
        assert inbox.put("e")
        inbox.close()
        inbox.close()
        assert not inbox.put("late")
        assert [inbox.get() for _ in range(5)] == ["b", "c", "e", None, None]


@pytest.mark.parametrize("name", INBOXES)
def test_inbox_takes_items_from_many_threads_in_each_ones_order(name: str, tmp_path: Path) -> None:
    with INBOXES[name](tmp_path, 1000) as inbox:
        threads = [threading.Thread(target=lambda who=who: [inbox.put((who, index)) for index in range(50)]) for who in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        items = [inbox.get() for _ in range(200)]
        assert all([index for who, index in items if who == each] == list(range(50)) for each in range(4))


@pytest.mark.parametrize("name", WORKERS)
def test_worker_runs_jobs_in_order_and_all_before_close_returns(name: str, tmp_path: Path) -> None:
    done: list[int] = []
    with WORKERS[name](tmp_path, 100) as worker:
        assert all(worker.submit(lambda index=index: done.append(index)) for index in range(50))
        worker.close()
        worker.close()
        assert done == list(range(50))
        assert not worker.submit(lambda: done.append(-1))
    assert done[-1] == 49


@pytest.mark.parametrize("name", ENTROPIES)
def test_entropy_gives_the_count_and_does_not_repeat(name: str, tmp_path: Path) -> None:
    with ENTROPIES[name](tmp_path) as entropy:
        assert isinstance(entropy, Entropy)
        assert [len(entropy.random_bytes(count)) for count in (0, 1, 32, 1000)] == [0, 1, 32, 1000]
        assert len({entropy.random_bytes(16) for _ in range(100)}) == 100


@pytest.mark.parametrize("name", WATCHDOGS)
@pytest.mark.parametrize("abstract", [False, True])
def test_watchdog_speaks_sd_notify(name: str, abstract: bool, tmp_path: Path) -> None:
    """sd_notify(3), over a real datagram socket; a status text cannot smuggle in a second assignment."""
    address = f"@oathcam-{tmp_path.name}-{name}" if abstract else str(tmp_path / "notify")
    with notify_socket(address) as manager, WATCHDOGS[name](tmp_path, address) as watchdog:
        watchdog.ready()
        watchdog.feed()
        watchdog.status("recording 3\nWATCHDOG=trigger")
        watchdog.stopping()
        heard = [manager.recv(4096) for _ in range(4)]
    assert heard == [b"READY=1", b"WATCHDOG=1", b"STATUS=recording 3 WATCHDOG=trigger", b"STOPPING=1"]


@pytest.mark.parametrize("name", WATCHDOGS)
@pytest.mark.parametrize("address", ["", "/nowhere/at/all"])
def test_watchdog_is_silent_without_a_manager(name: str, address: str, tmp_path: Path) -> None:
    with WATCHDOGS[name](tmp_path, address) as watchdog:
        watchdog.ready()
        watchdog.feed()


@pytest.mark.parametrize("name", INBOXES)
def test_an_inbox_full_of_pictures_still_takes_a_press(name: str, tmp_path: Path) -> None:
    """BWC-POL-01: urgent items find room behind a full queue, in order of arrival, and are bounded too."""
    with INBOXES[name](tmp_path, 3) as inbox:
        assert [inbox.put(number) for number in range(4)] == [True, True, True, False]
        assert [inbox.put(f"press {number}", urgent=True) for number in range(4)] == [True, True, True, False]
        assert [inbox.get() for _ in range(6)] == [0, 1, 2, "press 0", "press 1", "press 2"]
