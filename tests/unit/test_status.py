"""What the recorder tells of itself, held against what the world around it knows; and ``oathcam status`` on it."""

from __future__ import annotations

import json
import logging
import os
import stat
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from firmware.custody.entries import Entry
from firmware.evidence import jcs
from firmware.evidence.findings import Verdict
from firmware.status import FILE
from hal.interfaces import ButtonName, Hal, Inbox, Picture
from tools.cli import app, exit_code_of
from tools.status import show_again
from tools.status_file import read_status
from tools.status_rows import rows_of

S = 1_000_000_000
START_UP_S = 4
FPS = 30
LITTLE = {"max_bytes = 33554432": "max_bytes = 1048576"}
"""The least that a policy may give the buffer; twice as much may wait for the card."""


def path_of(bench) -> Path:
    return bench.config.run_directory / FILE


def told(bench) -> dict[str, Any]:
    return jcs.parse(path_of(bench).read_bytes(), "status")


class Counted(Inbox):
    """The simulator's inbox, which is watched by somebody else."""

    def __init__(self, real: Inbox) -> None:
        self._real = real
        self.pictures = self.waiting = self.peak = 0

    def put(self, item: object, *, urgent: bool = False) -> bool:
        self.pictures += isinstance(item, Picture)
        taken = self._real.put(item, urgent=urgent)
        self.waiting += taken
        self.peak = max(self.peak, self.waiting)
        return taken

    def get(self) -> object | None:
        item = self._real.get()
        self.waiting -= item is not None
        return item

    def depth(self) -> tuple[int, int]:
        return self._real.depth()

    def close(self) -> None:
        self._real.close()


def leaves(bench, kind: str) -> list[Entry]:
    return [entry for entry in bench.entries() if entry.kind == kind]


def lags(bench) -> list[float]:
    """Seconds from each fragment's last picture, or from the press, to its leaf's durable time, as the ledger has them at the earliest."""
    (begin,) = leaves(bench, "begin")
    found = []
    for leaf in leaves(bench, "fragment"):
        last_us = leaf.fields["start_us"] + leaf.fields["duration_us"] - 1_000_000 // FPS
        found.append((leaf.time.boottime_ns // 1000 - max(last_us, begin.time.boottime_ns // 1000)) / 1e6)
    return found


def test_the_figures_of_a_card_that_stalls(make_bench: Callable, caplog: pytest.LogCaptureFixture) -> None:
    """House law 4: what waits, how long, and what is dropped, against the evidence and against who stood beside."""
    bench = make_bench(pre_event=1, changes={**LITTLE, "bitrate_bps = 4000000": "bitrate_bps = 2500000"})
    bench.world.card.delay.each_ns = 5_000_000
    bench.world.card.delay.hang(bench.at(12), bench.at(40))
    inboxes: list[Counted] = []

    def watched(hal: Hal) -> Hal:
        inboxes.append(Counted(hal.inbox))
        return replace(hal, inbox=inboxes[-1])

    bench.change = watched
    bench.world.double_press(bench.at(6))
    during: list[dict[str, Any]] = []
    bench.world.at(bench.at(30.5), lambda: during.append(told(bench)))
    bench.world.press(ButtonName.RECORD, bench.at(46), hold_ms=3300)
    with caplog.at_level(logging.INFO, "oathcamd"):
        bench.run(55)
    after, (manifest,) = told(bench), [bench.manifest(one) for one in bench.recordings()]
    gaps = [(gap.cause, gap.pictures_lost) for gap in manifest.gaps]
    assert {cause for cause, _ in gaps} == {"writer-behind"}
    assert after["dropped"] == {
        "gops": {"writer-behind": len(gaps)},
        "pictures": {"writer-behind": sum(pictures for _, pictures in gaps)},
    }
    assert after["promises"]["gops"] == len(manifest.fragments)
    assert after["pictures"] == inboxes[0].pictures
    # The last item that the loop took came before anything was put behind the end: no more than that one may be missed.
    assert after["inbox"] == {"now": 0, "peak": inboxes[0].peak, "limit": 256}
    sizes = [fragment.plain_bytes for fragment in manifest.fragments]
    limit = 2 * 1_048_576
    assert after["waiting_bytes"]["limit"] == limit
    assert limit - 2 * max(sizes) < after["waiting_bytes"]["peak"] <= limit
    assert after["waiting_bytes"]["now"] == 0
    (now,) = during
    assert now["state"] == "recording"
    assert now["faults"] == ["card"]
    assert 17_000_000 < now["card"]["age_us"] <= 18_500_000
    assert now["recording"]["id"] == manifest.recording
    assert abs(now["recording"]["length_us"] - (now["boottime_us"] - manifest.begin.boottime_us)) < 2
    # Who waits for the card is the promise: as long as the card hung, within a GOP and what the card itself takes.
    assert 27_000_000 < after["card"]["slowest_us"] <= 28_100_000
    assert abs(after["promises"]["max_us"] / 1e6 - max(lags(bench))) < 1.2
    assert after["promises"]["p50_us"] <= after["promises"]["p99_us"] <= after["promises"]["max_us"]
    assert after["signer"]["calls"] > len(manifest.fragments)
    assert after["ledger_leaves"] == len(bench.entries())
    assert bench.verify().verdict is Verdict.AUTHENTIC
    first = next(record for record in caplog.records if record.getMessage().startswith("dropped:"))
    assert first.levelno == logging.WARNING
    assert "(writer-behind)" in first.getMessage()


def test_a_quiet_minute_is_one_line_and_one_small_file(make_bench: Callable, caplog: pytest.LogCaptureFixture) -> None:
    """Nothing of a person in it (BWC-POL-30), and readable for the group alone."""
    bench = make_bench(pre_event=2)
    with caplog.at_level(logging.INFO, "oathcamd"):
        bench.run(62)
    lines = [record.getMessage() for record in caplog.records if record.getMessage().startswith("ready;")]
    assert len(lines) == 1
    assert "inbox 0 of 256" in lines[0]
    data = path_of(bench).read_bytes()
    assert len(data) < 2000
    assert b"officer" not in data
    assert stat.S_IMODE(path_of(bench).stat().st_mode) & 0o137 == 0
    assert sorted(one.name for one in path_of(bench).parent.iterdir()) == ["boot-id", FILE]
    facts = told(bench)
    assert (facts["state"], facts["boot"], facts["unreceipted"], facts["dropped"]) == ("halted", 1, 0, {"gops": {}, "pictures": {}})
    assert facts["pre_event"]["limit_us"] == 2_000_000
    assert 60_000_000 < facts["uptime_us"] <= 62_500_000


def test_a_place_that_cannot_be_written_costs_one_line(make_bench: Callable, caplog: pytest.LogCaptureFixture) -> None:
    bench = make_bench(pre_event=1)
    bench.config.run_directory.rmdir()
    bench.run(8)
    assert [record.getMessage()[:17] for record in caplog.records if "status" in record.getMessage()] == ["no status is told"]


def test_recordings_without_a_receipt_are_counted_over_boots(make_bench: Callable) -> None:
    bench = make_bench(pre_event=1)
    bench.world.double_press(bench.at(3))
    bench.world.press(ButtonName.RECORD, bench.at(5), hold_ms=3300)
    bench.run(12)
    assert told(bench)["unreceipted"] == 1
    bench.run(16)
    assert (told(bench)["unreceipted"], told(bench)["boot"]) == (1, 2)


# The command.


@pytest.fixture
def bench(make_bench: Callable) -> Any:
    """A simulated camera that runs: its world stands still, its file is of now."""
    bench = make_bench(pre_event=1)
    bench.world.double_press(bench.at(3))
    bench.world.horizon_ns = bench.at(6.5)
    with bench.life() as daemon:
        daemon.run()
        yield bench
        bench.world.horizon_ns = None


def run(*arguments: str) -> tuple[int, str]:
    result = CliRunner().invoke(app, ["status", *arguments])
    code = exit_code_of(result.exception) if isinstance(result.exception, Exception) else result.exit_code
    return code, result.output + (str(result.exception) if result.exception else "")


def test_a_camera_that_is_well(bench) -> None:
    code, said = run(str(bench.config.path))
    assert code == 0
    assert "SIM-0001-000001-0001 for" in said
    assert "green" in said
    code, said = run("--file", str(path_of(bench)), "--json")
    found = json.loads(said)
    assert (code, found["verdict"], found["status"]["state"]) == (0, "green", "recording")
    assert found["status"]["pre_event"]["span_us"] == 0, "it is in the recording"
    assert all(row["light"] == "green" for row in found["rows"])


def test_an_old_file_and_none_cannot_tell(bench) -> None:
    path = path_of(bench)
    os.utime(path, (time.time() - 60, time.time() - 60))
    code, said = run(str(bench.config.path))
    assert (code, "written 60 s ago" in said) == (3, True)
    path.unlink()
    assert run(str(bench.config.path))[0] == 3


@pytest.mark.parametrize(("boottime_s", "code", "word"), [(1, 0, "well"), (60, 3, "ago"), (-1000, 3, "before the board started")])
def test_age_is_boot_time_on_a_camera(bench, boottime_s: float, code: int, word: str) -> None:
    """The wall clock may step, and the file's own time with it."""
    facts = {**told(bench), "backend": "pi"}
    facts["boottime_us"] = round((time.clock_gettime(time.CLOCK_BOOTTIME) - boottime_s) * 1e6)
    path_of(bench).write_bytes(jcs.canonical(facts))
    os.utime(path_of(bench), (1, 1))
    found, said = run(str(bench.config.path))
    assert (found, word in said) == (code, True)


@pytest.mark.parametrize("data", [b"", b"{}", b'{"format":"recorder-status/2"}', b'{"format":"recorder-status/1"}', b"[1]", b"\xff"])
def test_a_file_of_another_kind_cannot_tell(tmp_path: Path, data: bytes) -> None:
    (tmp_path / FILE).write_bytes(data)
    assert run("--file", str(tmp_path / FILE))[0] == 3


CHANGES = {
    "fault": ({"state": "fault", "faults": ["camera"]}, 1, "camera's cable"),
    "full": ({"state": "full"}, 1, "Dock the camera"),
    "signer": ({"faults": ["signer"]}, 1, "TPM or token"),
    "dropped": ({"dropped": {"gops": {"writer-behind": 2}, "pictures": {"writer-behind": 60}}}, 0, "60 (writer-behind); whole GOPs: 2"),
    "inbox": ({"inbox": {"now": 1, "peak": 200, "limit": 256}}, 0, "the loop was held up"),
    "unlocked": ({"memory": "only 65536 bytes may be locked"}, 0, "LimitMEMLOCK=infinity"),
    "clock": ({"clock_trust": "unset"}, 0, "given the time"),
    "power": ({"battery": "low"}, 0, "Charge the camera"),
    "time left": ({"battery_short": True}, 0, "the cell ends before long"),
    "room": ({"room_warning": 1}, 0, "Dock the camera soon"),
}


@pytest.mark.parametrize("name", CHANGES)
def test_each_trouble_has_its_light_and_remedy(bench, name: str) -> None:
    change, code, word = CHANGES[name]
    path_of(bench).write_bytes(jcs.canonical({**told(bench), **change}))
    found, said = run(str(bench.config.path))
    assert found == code
    assert word in " ".join(said.split())


def test_watching_goes_on_when_the_recorder_is_away(bench, capsys: pytest.CaptureFixture[str]) -> None:
    pauses = iter([lambda: path_of(bench).unlink(), None])

    def pause(seconds: float) -> None:
        if (act := next(pauses, "end")) == "end" or act is None:
            raise KeyboardInterrupt
        act()

    with pytest.raises(KeyboardInterrupt):
        show_again(path_of(bench), False, pause)
    said = capsys.readouterr().out
    assert "1 green" not in said
    assert said.index("well") < said.index("No recorder is running here")


def test_every_field_is_explained(bench) -> None:
    document = (Path(__file__).resolve().parents[2] / "docs/metrics.md").read_text(encoding="utf-8")
    names = [*told(bench), *told(bench)["forecast"]]
    assert [name for name in names if f"`{name}`" not in document] == []


def test_every_row_of_a_real_file_is_made(bench) -> None:
    ports = [row.port for row in rows_of(read_status(path_of(bench)).facts)]
    assert {
        "inbox",
        "waiting",
        "promises",
        "dropped",
        "card calls",
        "signer calls",
        "pre-event",
        "room",
        "clock",
        "power",
        "time left",
        "memory",
    } <= set(ports)
