"""The account of a camera's time: every moment out of the dock is ready, recording or a signed gap, or it is named (BWC-POL-05)."""

from __future__ import annotations

from camerabench import START_WALL_NS

from firmware.custody.accounting import account
from firmware.custody.entries import Entry
from firmware.timebase import Timestamp, Trust


def at(second: float) -> Timestamp:
    return Timestamp(round(second * 1e9), START_WALL_NS + round(second * 1e9), Trust.RTC)


def entries(*told: tuple) -> list[Entry]:
    boot_fields = {"counter": 1, "previous": "first", "down_us": None}
    made = []
    for n, (kind, second, *rest) in enumerate(told):
        boot = rest[1] if len(rest) > 1 else 1
        made.append(Entry(n, kind, at(second), boot, {**(boot_fields if kind == "boot" else {}), **(rest[0] if rest else {})}))
    return made


def test_time_that_nobody_explains_is_named() -> None:
    """A camera fault takes the camera out of ready; its gap was never signed."""
    found = account(
        entries(
            ("boot", 1), ("ready", 1), ("fault", 10, {"port": "camera", "reason": "gone"}), ("power", 25, {"event": "low", "percent": 9}),
            ("ready", 30), ("shutdown", 40, {"reason": "end"}),
        )
    )  # fmt: skip
    ((boot, hole),) = found.unaccounted()
    assert (boot, hole.start_us, hole.end_us) == (1, 10_000_000, 30_000_000)
    assert found.total_us("ready") == 19_000_000
    assert found.undocked_us == 39_000_000


def test_a_signed_gap_explains_it() -> None:
    found = account(
        entries(
            ("boot", 1), ("ready", 1), ("fault", 10, {"port": "camera", "reason": "gone"}),
            ("gap", 30, {"from_us": 0, "duration_us": 20_000_000, "cause": "fault"}), ("ready", 30), ("shutdown", 40, {"reason": "end"}),
        )
    )  # fmt: skip
    assert found.unaccounted() == ()
    assert found.gaps_us() == {"fault": 20_000_000}


def test_docked_time_is_not_asked_for_and_off_time_is() -> None:
    second = {"counter": 2, "previous": "power-loss", "down_us": 5_000_000}
    found = account(
        entries(
            ("boot", 1), ("ready", 1), ("dock", 10), ("undock", 20), ("ready", 20), ("boot", 2, second, 2),
            ("gap", 2, {"from_us": 0, "duration_us": 5_000_000, "cause": "off"}, 2), ("ready", 2, {}, 2), ("sleep", 8, {}, 2),
            ("gap", 12, {"from_us": 0, "duration_us": 4_000_000, "cause": "sleep"}, 2), ("wake", 12, {}, 2), ("ready", 12, {}, 2),
            ("shutdown", 15, {"reason": "end"}, 2),
        )
    )  # fmt: skip
    assert found.total_us("docked") == 10_000_000
    assert found.gaps_us() == {"sleep": 4_000_000, "off": 5_000_000}
    assert found.unaccounted() == ()
    assert found.total_us("ready") == 9_000_000 + 9_000_000


def test_what_was_recorded_and_lost_with_the_power_is_a_gap() -> None:
    """The open fragment is lost at a power cut; the end leaf of the next boot signs why. A mark shows that the camera was alive."""
    name = {"recording": "R"}
    second = {"counter": 2, "previous": "power-loss", "down_us": 5_000_000}
    found = account(
        entries(
            ("boot", 1), ("ready", 1), ("begin", 2, name), ("fragment", 3, {**name, "start_us": 2_000_000, "duration_us": 1_000_000}),
            ("mark", 3.6, name), ("boot", 1, second, 2), ("end", 1, {**name, "cause": "power-loss"}, 2),
            ("gap", 1, {"from_us": 0, "duration_us": 5_000_000, "cause": "off"}, 2), ("ready", 1, {}, 2), ("shutdown", 2, {}, 2),
        )
    )  # fmt: skip
    assert found.unaccounted() == ()
    assert found.gaps_us() == {"power-loss": 600_000, "off": 5_000_000}
    assert found.total_us("recording") == 1_000_000


def test_a_clock_that_could_not_tell_is_said() -> None:
    second = {"counter": 2, "previous": "power-loss", "down_us": None}
    found = account(entries(("boot", 1), ("ready", 1), ("boot", 1, second, 2), ("ready", 1, {}, 2)))
    assert found.unknown_lengths() == (2,)


def test_a_hold_explains_itself_also_when_the_power_goes_in_it() -> None:
    """BWC-POL-21: its gap is written at its end alone; the recording that was open when it was entered stays a recording."""
    again = {"counter": 2, "previous": "power-loss", "down_us": 5_000_000}
    recording = {"recording": "R-1"}
    found = account(
        entries(
            ("boot", 1), ("ready", 1), ("begin", 5, recording), ("hold", 8, {"entered": True, "cause": "critical"}), ("end", 10, recording),
            ("power", 20, {"event": "low", "percent": 9}), ("boot", 2, again, 2), ("hold", 2, {"entered": True, "cause": "boot"}, 2),
            ("dock", 12, {}, 2), ("hold", 12, {"entered": False, "cause": "docked"}, 2), ("shutdown", 15, {"reason": "end"}, 2),
        )
    )  # fmt: skip
    assert found.unaccounted() == ()
    assert found.gaps_us() == {"hold": 20_000_000}
    assert found.total_us("recording") == 5_000_000
    assert found.total_us("docked") == 3_000_000
