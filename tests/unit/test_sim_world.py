"""The simulated world: one time line, one life at a time, and what a power cut means."""

from __future__ import annotations

import threading
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hal.backends import open_hal
from hal.errors import HalError, HalUnavailable, PowerCut
from hal.interfaces import ButtonEdge, ButtonName, ClockTrust, Colour, Hal, KeyProtection, Lamp, LampName, PowerState, VideoFormat
from hal.sim.boot import boot
from hal.sim.script import play
from hal.sim.timeline import MS, SECOND, TimeLine
from hal.sim.world import START_UP_NS, World

WALL_NS = 1_795_421_687_000_000_000


def started(world: World, tmp_path: Path, **more: object) -> Hal:
    return boot(world, {"volume": tmp_path / "card", "keys": tmp_path / "keys", **more})


def drain(hal: Hal) -> list[object]:
    items: list[object] = []
    while (item := hal.inbox.get()) is not None:
        items.append(item)
    return items


# --- the time line --------------------------------------------------------------------------------------------------


@settings(max_examples=50, deadline=None)
@given(st.lists(st.integers(0, 20), max_size=30))
def test_events_run_in_order_and_first_come_first_among_equals(instants: list[int]) -> None:
    line, ran = TimeLine(), []
    for number, at_ns in enumerate(instants):
        line.at(at_ns, lambda at_ns=at_ns, number=number: ran.append((at_ns, number, line.now_ns)))
    while line.step():
        pass
    assert [(at_ns, number) for at_ns, number, _ in ran] == sorted((at_ns, number) for number, at_ns in enumerate(instants))
    assert all(now_ns == at_ns for at_ns, _, now_ns in ran)


def test_an_event_at_the_horizon_runs_and_one_beyond_does_not() -> None:
    line, ran = TimeLine(), []
    line.at(10, lambda: ran.append(10))
    line.at(11, lambda: ran.append(11))
    line.horizon_ns = 10
    assert line.step()
    assert not line.step()
    assert (ran, line.now_ns) == ([10], 10)
    line.horizon_ns = 20
    assert line.step()
    assert not line.step()
    assert (ran, line.now_ns) == ([10, 11], 20)


def test_an_event_may_schedule_and_cancel_others() -> None:
    line, ran = TimeLine(), []
    victim = line.at(30, lambda: ran.append("victim"))
    line.at(10, lambda: (line.after(10, lambda: ran.append("child")), victim.cancel()))
    line.at(5, lambda: line.at(1, lambda: ran.append(f"late at {line.now_ns}")))
    while line.step():
        pass
    assert ran == ["late at 5", "child"]


def test_real_time_waits_and_is_woken() -> None:
    line, ran = TimeLine(realtime=True), []
    line.after(20 * MS, lambda: ran.append(line.now_ns))
    while not ran:
        assert line.step()
    assert ran[0] >= 20 * MS
    waker = threading.Thread(target=line.wake)
    waker.start()
    assert line.step()
    waker.join()


def test_inbox_in_real_time_wakes_for_another_threads_item_and_for_close(tmp_path: Path) -> None:
    world = World(WALL_NS, realtime=True)
    hal = started(world, tmp_path)
    other = threading.Thread(target=lambda: hal.inbox.put("from another thread"))
    other.start()
    assert hal.inbox.get() == "from another thread"
    other.join()
    closer = threading.Thread(target=hal.inbox.close)
    closer.start()
    assert hal.inbox.get() is None
    closer.join()
    hal.close()


# --- lives ----------------------------------------------------------------------------------------------------------


def test_the_first_boot_is_at_world_time_zero_some_seconds_after_power_on(tmp_path: Path) -> None:
    hal = started(World(WALL_NS), tmp_path)
    reading = hal.clock.now()
    assert (reading.boottime_ns, reading.wall_ns, reading.trust) == (START_UP_NS, WALL_NS, ClockTrust.RTC)


def test_two_lives_at_once_are_refused(tmp_path: Path) -> None:
    world = World(WALL_NS)
    hal = started(world, tmp_path)
    with pytest.raises(HalError):
        started(world, tmp_path)
    hal.close()
    started(world, tmp_path).close()


def test_a_power_cut_comes_out_of_get_and_the_dead_do_nothing(tmp_path: Path) -> None:
    """BWC-POL-28: after the cut no ``finally`` clause of the firmware can write, light a lamp or sign a time."""
    world = World(WALL_NS)
    hal = started(world, tmp_path)
    file = hal.volume.create("a")
    hal.indicators.set_lamp(LampName.SUBJECT, Lamp(Colour.RED))
    ran: list[str] = []
    hal.clock.call_at(START_UP_NS + 2 * SECOND, lambda: ran.append("timer of the dead"))
    world.at(3 * SECOND, lambda: ran.append("the world goes on"))
    world.cut_power(SECOND)
    with pytest.raises(PowerCut):
        hal.inbox.get()
    for call in (
        lambda: file.write(b"x"),
        lambda: hal.volume.create("b"),
        lambda: hal.volume.read("a"),
        lambda: hal.indicators.set_lamp(LampName.SUBJECT, Lamp(Colour.GREEN)),
        hal.clock.now,
        hal.watchdog.feed,
        hal.inbox.get,
        lambda: hal.entropy.random_bytes(1),
        lambda: hal.camera.start(VideoFormat(), None),  # type: ignore[arg-type]
        lambda: hal.make_worker("w", 1).submit(lambda: None),
    ):
        with pytest.raises(PowerCut):
            call()
    assert world.seen.colour(LampName.SUBJECT) is Colour.OFF
    assert not hal.inbox.put("x")
    world.run_until(5 * SECOND)
    assert ran == ["the world goes on"]


def test_boot_time_starts_again_and_world_time_does_not(tmp_path: Path) -> None:
    world = World(WALL_NS)
    hal = started(world, tmp_path)
    first = hal.entropy.random_bytes(16)
    world.cut_power(10 * SECOND)
    with pytest.raises(PowerCut):
        drain(hal)
    again = started(world, tmp_path)
    assert world.now_ns == 10 * SECOND + START_UP_NS
    assert again.clock.now().boottime_ns == START_UP_NS
    assert again.clock.now().wall_ns == WALL_NS + 14 * SECOND
    assert again.entropy.random_bytes(16) != first
    again.close()
    world.run_until(60 * SECOND)
    assert started(world, tmp_path).clock.now().boottime_ns == START_UP_NS


def test_without_a_clock_battery_wall_time_is_unset_after_every_boot(tmp_path: Path) -> None:
    """BWC-POL-27."""
    world = World(WALL_NS)
    world.wall.has_rtc = False
    hal = started(world, tmp_path)
    assert hal.clock.now().trust is ClockTrust.UNSET
    assert hal.clock.now().wall_ns == START_UP_NS
    hal.clock.set_wall(WALL_NS, ClockTrust.SYNCED, 5 * MS)
    assert hal.clock.now().wall_ns == WALL_NS
    assert (hal.clock.now().trust, hal.clock.now().uncertainty_ns) == (ClockTrust.SYNCED, 5 * MS)
    hal.close()
    assert started(world, tmp_path).clock.now().trust is ClockTrust.UNSET


def test_a_wall_step_leaves_boot_time_alone(tmp_path: Path) -> None:
    """BWC-POL-26."""
    world = World(WALL_NS)
    hal = started(world, tmp_path)
    before = hal.clock.now()
    world.step_wall(-120 * SECOND)
    after = hal.clock.now()
    assert (after.boottime_ns, after.wall_ns) == (before.boottime_ns, before.wall_ns - 120 * SECOND)


# --- hands, cell, dock ----------------------------------------------------------------------------------------------


def test_a_glitch_shorter_than_the_quiet_time_is_no_press(tmp_path: Path) -> None:
    """BWC-POL-01."""
    world = World(WALL_NS)
    hal = started(world, tmp_path)
    edges: list[ButtonEdge] = []
    hal.buttons.subscribe(edges.append)
    world.press(ButtonName.RECORD, SECOND, hold_ms=5)
    world.run_until(2 * SECOND)
    assert edges == []


def test_a_double_press_is_two_short_presses(tmp_path: Path) -> None:
    world = World(WALL_NS)
    hal = started(world, tmp_path)
    edges: list[ButtonEdge] = []
    hal.buttons.subscribe(edges.append)
    world.double_press(SECOND, bounce=True)
    world.run_until(2 * SECOND)
    assert [edge.pressed for edge in edges] == [True, False, True, False]
    assert edges[0].at.boottime_ns == START_UP_NS + SECOND
    assert edges[2].at.boottime_ns - edges[1].at.boottime_ns == 150 * MS


def test_the_cell_falls_with_time_and_an_empty_one_ends_the_life(tmp_path: Path) -> None:
    """BWC-POL-48."""
    world = World(WALL_NS)
    hal = started(world, tmp_path)
    states: list[PowerState] = []
    hal.power.subscribe(states.append)
    world.horizon_ns = 7 * 3600 * SECOND
    assert drain(hal) == []
    assert states[-1].percent == 50
    assert [state.percent for state in states] == list(range(99, 49, -1))
    world.horizon_ns = 15 * 3600 * SECOND
    with pytest.raises(PowerCut):
        drain(hal)
    with pytest.raises(HalError):
        started(world, tmp_path)


def test_the_cell_charges_in_the_dock(tmp_path: Path) -> None:
    world = World(WALL_NS)
    hal = started(world, tmp_path)
    states: list[PowerState] = []
    hal.power.subscribe(states.append)
    world.set_power(40)
    world.dock()
    world.run_until(world.now_ns + 3600 * SECOND)
    assert states[-1].charging
    assert states[-1].percent in (65, 66)
    world.undock()
    assert not hal.power.state().charging


def test_a_sync_request_reaches_the_composition_root_after_it_returned(tmp_path: Path) -> None:
    world = World(WALL_NS)
    hal = started(world, tmp_path)
    called: list[int] = []
    world.on_sync_request = lambda: called.append(world.now_ns)
    hal.dock_link.request_sync()
    assert (called, world.sync_requests) == ([], [0])
    world.step()
    assert called == [0]


def test_a_script_says_what_the_world_does(tmp_path: Path) -> None:
    world = World(WALL_NS)
    hal = started(world, tmp_path)
    edges: list[ButtonEdge] = []
    hal.buttons.subscribe(edges.append)
    play(
        world,
        [
            "1 double_press",
            "2 press function",
            "3 press record 3500",
            "7 dock",
            "8 power 12",
            "9 step_wall -5",
            "10 cover_lens",
            "11 undock",
        ],
    )
    world.run_until(12 * SECOND)
    assert len(edges) == 8
    assert (world.docked, world.lens_covered, world.wall.error_ns) == (False, True, -5 * SECOND)
    assert hal.power.state().percent == 13
    for line in ("", "x dock", "1", "1 explode", "1 press", "1 press nose", "1 power much"):
        with pytest.raises(HalError, match="not understood"):
            play(world, [line])


# --- the opener -----------------------------------------------------------------------------------------------------


def test_open_hal_never_falls_back(tmp_path: Path) -> None:
    config = {"volume": tmp_path / "card", "keys": tmp_path / "keys"}
    with pytest.raises(HalUnavailable, match="choose one of pc, pi, sim"):
        open_hal("simulator", config)
    hal = open_hal("sim", {**config, "realtime": False, "epoch_wall_ns": WALL_NS})
    assert (hal.backend, hal.clock.now().wall_ns, hal.key_store.info().protection) == ("sim", WALL_NS, KeyProtection.SIMULATED)
    hal.close()


@pytest.mark.parametrize(
    ("change", "named"),
    [
        ({"colour": "red"}, "colour"),
        ({"volume": None}, "volume"),
        ({"seed": "1"}, "seed"),
        ({"seed": True}, "seed"),
        ({"realtime": 1}, "realtime"),
        ({"capacity_bytes": -1}, "capacity_bytes"),
        ({"start": [1]}, "start"),
        ({"script": "1 dock"}, "script"),
        ({"source": 7}, "source"),
    ],
)
def test_settings_are_checked_by_name(change: dict[str, object], named: str, tmp_path: Path) -> None:
    config = {"volume": tmp_path / "card", "keys": tmp_path / "keys", **change}
    with pytest.raises(HalError, match=named):
        open_hal("sim", config)
    with pytest.raises(HalError, match="keys"):
        open_hal("sim", {"volume": tmp_path / "card"})


@pytest.mark.parametrize("name", ["absent.mp4", "text.mp4", "sound.wav", "http://127.0.0.1/film.mp4", ""])
def test_a_source_that_is_no_video_is_named_with_its_remedy(name: str, tmp_path: Path) -> None:
    (tmp_path / "text.mp4").write_text("this is no film")
    (tmp_path / "sound.wav").write_bytes(b"RIFF\x24\0\0\0WAVEfmt \x10\0\0\0\1\0\1\0\x40\x1f\0\0\x80\x3e\0\0\2\0\x10\0data\0\0\0\0")
    world = World(WALL_NS)
    source = name if name.startswith("http") else str(tmp_path / name)
    with pytest.raises(HalUnavailable, match="give a video file") as caught:
        started(world, tmp_path, source=source)
    assert repr(source) in str(caught.value)
    started(world, tmp_path).close()


def test_time_that_something_outside_took_makes_late_what_was_due() -> None:
    world = World(0)
    ran: list[int] = []
    world.at(SECOND, lambda: world.pass_time(5 * SECOND))
    for second in (2, 9):
        world.at(second * SECOND, lambda: ran.append(world.now_ns))
    world.run_until(10 * SECOND)
    assert ran == [6 * SECOND, 9 * SECOND]
    with pytest.raises(ValueError, match="length of time"):
        world.pass_time(-1)


def test_presses_of_a_process_that_was_held_up_keep_their_instants(tmp_path: Path) -> None:
    """A real-time line that is late finds each press where it was, as a kernel's time stamps would have it; not a glitch of all of them."""
    world = World(WALL_NS, realtime=True)
    hal = started(world, tmp_path)
    edges: list[ButtonEdge] = []
    hal.buttons.subscribe(edges.append)
    world.double_press(10 * MS)
    world.at(600 * MS, hal.inbox.close)
    threading.Event().wait(0.5)
    drain(hal)
    hal.close()
    assert [edge.pressed for edge in edges] == [True, False, True, False]
    assert [(edge.at.boottime_ns - edges[0].at.boottime_ns) // MS for edge in edges] == [0, 80, 230, 310]
