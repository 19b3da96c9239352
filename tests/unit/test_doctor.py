"""``oathcam doctor``: every port has a light, every fault the right one and a remedy, and evidence is left as it was."""

from __future__ import annotations

import dataclasses
import hashlib
import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import av
import numpy as np
import pytest

from firmware.errors import RefusedError
from hal.hint import HINT_FILE, Bay, encode
from hal.interfaces import (
    AudioFormat,
    AudioFrame,
    ButtonName,
    ClockTrust,
    Entropy,
    KeyProtection,
    LampName,
    Microphone,
    Power,
    PowerState,
)
from hal.none import NoAccelerometer
from hal.sim.boot import boot as boot_world
from hal.sim.card import CardFault
from hal.sim.timeline import SECOND
from tools.checkup import Light, Row, examine, worst
from tools.checkup_memory import check_memory
from tools.doctor import check_up, list_checks, print_rows, refuse_beside_recorder
from tools.provision import CameraOrder, make_agency, make_camera

PORTS = {
    *("policy", "recipients", "key store", "certificates", "counter", "entropy", "clock", "ledger", "card", "room"),
    *("camera", "microphone", "buttons", "lamps", "power", "positioning", "orientation", "dock link", "memory", "watchdog"),
}


def open_bench(bench, **options):
    places = {"volume": bench.config.state_directory, "keys": bench.config.key_directory}
    return boot_world(bench.world, {**bench.options, **places, **options})


def examined(bench, *only: str, change: Callable = lambda hal: hal, **options) -> dict[str, Row]:
    """All rows, or those of the ports named."""
    hal = open_bench(bench, **options)
    try:
        if not only:
            return {row.port: row for row in check_up(change(hal), bench.config)}
        return {row.port: row for row in examine([check for check in list_checks(change(hal), bench.config) if check.port in only])}
    finally:
        hal.close()


def files(*directories: Path) -> dict[str, str]:
    paths = [path for directory in directories for path in sorted(directory.rglob("*"))]
    return {str(path): hashlib.sha256(path.read_bytes()).hexdigest() if path.is_file() else "" for path in paths}


def record(bench) -> None:
    bench.world.double_press(bench.at(2))
    bench.world.press(ButtonName.RECORD, bench.at(3), hold_ms=3300)
    bench.run(8)


def test_a_healthy_camera(make_bench: Callable) -> None:
    """BWC-POL-46: sensor, microphone, write and verify, key, clock and battery, each with a go or no-go."""
    rows = examined(make_bench())
    assert set(rows) == PORTS
    rows.pop("memory")  # this machine's swap: see test_memory
    lights = {port: row.light for port, row in rows.items() if row.light is not Light.GREEN}
    assert lights == {"dock link": Light.AMBER, "watchdog": Light.AMBER}  # not configured and not installed, on this bench


def test_evidence_is_left_as_it_was(make_bench: Callable) -> None:
    """BWC-POL-29: no leaf, no boot counted, no file of card or key store changed, and nothing of ours stays."""
    bench = make_bench(pre_event=1)
    record(bench)
    before = files(bench.card, bench.config.key_directory)
    rows = examined(bench)
    assert files(bench.card, bench.config.key_directory) == before
    assert rows["ledger"].light is Light.GREEN
    assert "shutdown" in rows["ledger"].found
    assert rows["counter"].found.startswith("1 boots")


def later(bench, seconds: float, act: Callable[[], None]) -> None:
    """Once the camera runs: the checks before it take no time of this world."""
    bench.world.at(bench.world.now_ns + round(seconds * SECOND), act)


DEVICE_FAULTS = [
    ("camera", Light.RED, "no picture within 3 s", lambda b: b.world.camera.stall_until(30 * SECOND)),
    ("camera", Light.RED, "does not start", lambda b: setattr(b.world.camera, "failing_starts", 1)),
    ("camera", Light.RED, "ribbon", lambda b: later(b, 1, lambda: b.world.camera.fail("ribbon is loose"))),
    ("camera", Light.RED, "lost", lambda b: later(b, 1, lambda: b.world.camera.stall_until(60 * SECOND))),
    ("camera", Light.AMBER, "2 lost", lambda b: later(b, 1, lambda: b.world.camera.drop(2))),
    ("microphone", Light.RED, "does not start", lambda b: setattr(b.world.microphone, "failing_starts", 1)),
    ("microphone", Light.RED, "unplugged", lambda b: b.world.microphone.fail("unplugged")),
    ("microphone", Light.RED, "0 of about", lambda b: b.world.microphone.stall_until(60 * SECOND)),
    ("buttons", Light.RED, "record read as pressed", lambda b: b.world.contacts.update({ButtonName.RECORD: True})),
    ("lamps", Light.RED, "subject should be red and is off", lambda b: b.world.break_lamp(LampName.SUBJECT)),
    ("lamps", Light.RED, "status should be green", lambda b: b.world.break_lamp(LampName.STATUS)),
    ("power", Light.RED, "3 %", lambda b: b.world.set_power(3)),
    ("power", Light.AMBER, "12 %", lambda b: b.world.set_power(12)),
    ("power", Light.AMBER, "charging", lambda b: (b.world.set_power(3), b.world.dock())),
    ("power", Light.AMBER, "72 °C", lambda b: b.world.set_power(celsius=72)),
    ("power", Light.RED, "84 °C", lambda b: b.world.set_power(celsius=84)),
    ("card", Light.RED, "no room", lambda b: b.world.card.fail_always(CardFault.FULL)),
    ("card", Light.RED, "input/output error", lambda b: b.world.card.fail_always(CardFault.IO_ERROR)),
    ("card", Light.RED, "input/output error", lambda b: b.world.card.fail_at(4, CardFault.SHORT_WRITE)),
    ("clock", Light.AMBER, "never set", lambda b: setattr(b.world.wall, "has_rtc", False)),
    ("clock", Light.RED, "start of this camera's certificate", lambda b: b.world.step_wall(-400_000_000 * SECOND)),
    ("dock link", Light.AMBER, "in a dock", lambda b: b.world.dock()),
]


@pytest.mark.parametrize(("port", "light", "said", "harm"), DEVICE_FAULTS, ids=[f"{each[0]}-{each[2]}" for each in DEVICE_FAULTS])
def test_a_fault_of_a_device(make_bench: Callable, port: str, light: Light, said: str, harm: Callable) -> None:
    """BWC-POL-47: each fault is seen at its port, with the right light and one sentence of remedy."""
    bench = make_bench()
    harm(bench)
    rows = examined(bench, port)
    assert (rows[port].light, said in rows[port].found) == (light, True), rows[port]
    assert rows[port].remedy.count(". ") == 0
    assert rows[port].remedy.endswith(".") is (light is not Light.GREEN)


class Flagged(Power):
    """A gauge whose board says that it suffers."""

    def __init__(self, **flags: bool) -> None:
        self._state = PowerState(80, 3900, False, 40, **flags)

    def state(self) -> PowerState:
        return self._state

    def subscribe(self, callback: Callable[[PowerState], None]) -> None:
        raise AssertionError("the check-up asks")


@pytest.mark.parametrize(("flag", "said"), [("low_voltage", "supply too low"), ("throttled", "clock lowered")])
def test_a_board_that_suffers(make_bench: Callable, flag: str, said: str) -> None:
    row = examined(make_bench(), "power", change=lambda hal: dataclasses.replace(hal, power=Flagged(**{flag: True})))["power"]
    assert (row.light, said in row.found) == (Light.AMBER, True)


def test_a_bay_that_has_hinted(make_bench: Callable) -> None:
    """An address over the serial channel is as good as a configured one; a clock chip is named."""
    bench = make_bench()
    bench.config.run_directory.mkdir(exist_ok=True)
    (bench.config.run_directory / HINT_FILE).write_bytes(encode(Bay("dock-1", 3, "fe80::1%usb0", 8443)))
    rows = examined(bench, "dock link", "clock", change=lambda hal: dataclasses.replace(hal, describe={"rtc": "rtc0 agrees"}))
    assert rows["dock link"].light is Light.GREEN
    assert "the bay says fe80::1%usb0 port 8443" in rows["dock link"].found
    assert rows["clock"].found.endswith("rtc0 agrees")


def test_one_fault_does_not_hide_another(make_bench: Callable) -> None:
    bench = make_bench()
    bench.world.camera.failing_starts = bench.world.microphone.failing_starts = 1
    bench.world.card.fail_always(CardFault.IO_ERROR)
    rows = examined(bench)
    assert set(rows) == PORTS
    assert {port for port, row in rows.items() if row.light is Light.RED} == {"camera", "microphone", "card"}


def test_room(make_bench: Callable) -> None:
    """BWC-POL-23: below the reserve is red, at the warnings amber."""
    bench = make_bench()
    reserve = 67_108_864
    assert examined(bench, "room", capacity_bytes=reserve)["room"].light is Light.RED
    assert examined(bench, "room", capacity_bytes=reserve + 40 * 60 * 40_000)["room"].light is Light.AMBER
    assert examined(bench, "room", capacity_bytes=reserve + 90 * 60 * 40_000)["room"].light is Light.GREEN


def test_no_reception(make_bench: Callable) -> None:
    assert examined(make_bench(), "positioning", start=None)["positioning"].light is Light.AMBER


@pytest.mark.parametrize(("upside_down", "light"), [(False, Light.GREEN), (True, Light.AMBER)])
def test_a_camera_that_stands_on_its_head(make_bench: Callable, upside_down: bool, light: Light) -> None:
    bench = make_bench()
    bench.world.upside_down = upside_down
    assert examined(bench, "orientation")["orientation"].light is light


def test_a_camera_without_an_accelerometer_lacks_nothing(make_bench: Callable) -> None:
    row = examined(make_bench(), "orientation", change=lambda hal: dataclasses.replace(hal, orientation=NoAccelerometer()))["orientation"]
    assert row.light is Light.GREEN
    assert "no accelerometer" in row.found


def test_an_unset_clock_does_not_condemn_the_certificates(make_bench: Callable) -> None:
    """BWC-POL-27: it records anyway; validity is judged at the certificate's start and the row says so."""
    bench = make_bench()
    bench.world.wall.has_rtc = False
    rows = examined(bench)
    assert rows["certificates"].light is rows["recipients"].light is Light.GREEN
    assert "clock is not set" in rows["certificates"].found


def test_another_agencys_root(make_bench: Callable, tmp_path: Path) -> None:
    """An impostor with the same name: the chain leads to a key that did not sign it."""
    bench = make_bench()
    impostor = make_agency(tmp_path / "impostor", "Test Agency")
    (bench.config.trust_directory / "root.crt").write_bytes((impostor.directory / "root.crt").read_bytes())
    rows = examined(bench)
    assert rows["certificates"].light is rows["recipients"].light is Light.RED
    assert "not signed" in rows["certificates"].found
    assert rows["key store"].light is Light.GREEN


def test_certificates_that_end(make_bench: Callable) -> None:
    """BWC-POL-36: 60 days before the end it is amber, after it red."""
    bench = make_bench()
    years_30 = 30 * 365 * 86_400
    real = bench.world.start_wall_ns
    from cryptography import x509

    pem = (bench.config.key_directory / "device.pem").read_bytes()
    end_ns = round(x509.load_pem_x509_certificates(pem)[0].not_valid_after_utc.timestamp()) * SECOND
    assert end_ns - real < years_30 * SECOND
    bench.world.step_wall(end_ns - real - 60 * 86_400 * SECOND)
    assert examined(bench, "certificates")["certificates"].light is Light.AMBER
    bench.world.step_wall(61 * 86_400 * SECOND)
    assert examined(bench, "certificates")["certificates"].light is Light.RED


def test_papers_that_do_not_fit(make_bench: Callable, agency, tmp_path: Path) -> None:
    """BWC-POL-30, -36: another camera's key store, a policy that somebody changed, nobody who could open."""
    bench = make_bench()
    make_camera(tmp_path / "second", agency, CameraOrder("SIM-0002", "x", "", "default", "sim", KeyProtection.SIMULATED))
    second = dataclasses.replace(bench.config, key_directory=tmp_path / "second" / "keys")
    bench.config.policy.write_text(bench.config.policy.read_text() + "\n")
    for path in (bench.config.trust_directory / "recipients").iterdir():
        path.unlink()
    bench.config = second
    rows = examined(bench)
    assert rows["certificates"].light is rows["policy"].light is rows["recipients"].light is Light.RED
    assert "SIM-0002" in rows["certificates"].found
    assert "signature" in rows["policy"].found
    assert rows["camera"].light is Light.GREEN  # with the format of the built-in defaults


def test_one_recipient_is_too_few(make_bench: Callable) -> None:
    bench = make_bench()
    (bench.config.trust_directory / "recipients" / "oversight.crt").unlink()
    assert examined(bench, "recipients")["recipients"].light is Light.AMBER


def test_a_key_store_before_provisioning(make_bench: Callable) -> None:
    bench = make_bench()
    for path in [one for one in bench.config.key_directory.rglob("*") if one.is_file()]:
        path.unlink()
    rows = examined(bench)
    assert rows["key store"].light is rows["certificates"].light is Light.RED
    assert "provision" in rows["key store"].remedy.lower()


def test_a_key_store_that_is_behind_the_ledger(make_bench: Callable) -> None:
    """BWC-POL-29: a restored copy of the key store shows by its counter."""
    bench = make_bench(pre_event=1)
    record(bench)
    (bench.config.key_directory / "counter").unlink()
    rows = examined(bench)
    assert rows["counter"].light is Light.RED
    assert "ledger knows boot 1" in rows["counter"].found


def test_a_ledger_that_was_touched(make_bench: Callable) -> None:
    """BWC-POL-29: an unsigned tail is amber (a power cut leaves one), a changed leaf red."""
    bench = make_bench(pre_event=1)
    record(bench)
    log = bench.card / "ledger" / "log"
    data = log.read_bytes()
    log.write_bytes(data + b'{"torn')
    assert examined(bench, "ledger")["ledger"].light is Light.AMBER
    log.write_bytes(data.replace(b'"boot":1', b'"boot":2', 1))
    assert examined(bench, "ledger")["ledger"].light is Light.RED
    log.write_bytes(data)
    bench.world.step_wall(-3600 * SECOND)
    assert "last leaf of the ledger" in examined(bench, "clock")["clock"].found


class Zeros(Entropy):
    def random_bytes(self, count: int) -> bytes:
        return bytes(count)


class Played(Microphone):
    """Delivers at the first start what it was given, at the pace of the port's clock."""

    def __init__(self, hal, frames: list[bytes], codec_config: bytes) -> None:
        self._hal, self._frames, self._config = hal, frames, codec_config

    def format(self) -> AudioFormat:
        return AudioFormat(48_000, 1, self._config)

    def start(self, sink) -> None:
        for data in self._frames:
            sink.audio(AudioFrame(data, self._hal.clock.now()))

    def stop(self) -> None:
        self._frames = []


def silence() -> tuple[list[bytes], bytes]:
    encoder = av.CodecContext.create("aac", "w")
    encoder.sample_rate, encoder.layout, encoder.format = 48_000, "mono", "fltp"
    encoder.open()
    packets = []
    for index in range(95):
        frame = av.AudioFrame.from_ndarray(np.zeros((1, 1024), dtype=np.float32), format="fltp", layout="mono")
        frame.sample_rate, frame.pts = 48_000, index * 1024
        packets += [bytes(packet) for packet in encoder.encode(frame)]
    return packets, bytes(encoder.extradata)


def test_silence_and_noise(make_bench: Callable) -> None:
    """A microphone whose data line is dead delivers valid frames of zeros; what does not decode is red."""
    frames, config = silence()
    quiet = examined(make_bench(), "microphone", change=lambda hal: dataclasses.replace(hal, microphone=Played(hal, frames, config)))
    assert quiet["microphone"].light is Light.AMBER
    assert "silence" in quiet["microphone"].found
    garbage = [b"\xff" * 64] * 95
    broken = examined(make_bench(), "microphone", change=lambda hal: dataclasses.replace(hal, microphone=Played(hal, garbage, config)))
    assert broken["microphone"].light is Light.RED


def test_no_entropy(make_bench: Callable) -> None:
    assert examined(make_bench(), "entropy", change=lambda hal: dataclasses.replace(hal, entropy=Zeros()))["entropy"].light is Light.RED


def test_a_policy_without_sound_needs_no_microphone(make_bench: Callable) -> None:
    bench = make_bench(changes={"enabled = true": "enabled = false"})
    bench.world.microphone.failing_starts = 1
    assert examined(bench, "microphone")["microphone"].light is Light.GREEN


def test_what_an_interrupted_check_left_is_cleared(make_bench: Callable) -> None:
    bench = make_bench()
    (bench.card / "doctor-probe").mkdir()
    (bench.card / "doctor-probe" / "moved").write_bytes(b"old")
    assert examined(bench, "card")["card"].light is Light.GREEN
    assert list(bench.card.iterdir()) == []


def test_watchdog(make_bench: Callable, tmp_path: Path) -> None:
    """The shipped unit is recognised; one without a watchdog is not enough."""
    bench = make_bench()
    hal = open_bench(bench)
    shipped = Path(__file__).resolve().parents[2] / "systemd"

    def light(directory: Path) -> Light:
        check = next(each for each in list_checks(hal, bench.config, [directory]) if each.port == "watchdog")
        return check.run().light

    assert light(shipped) is Light.GREEN
    assert light(tmp_path) is Light.AMBER
    (tmp_path / "oathcamd.service").write_text("[Service]\nExecStart=/bin/true\n")
    assert light(tmp_path) is Light.AMBER
    hal.close()


SWAPS = "Filename\t\t\t\tType\t\tSize\t\tUsed\t\tPriority\n"


@pytest.mark.parametrize(
    ("swap", "unit", "light"),
    [
        ("", "", Light.GREEN),
        ("/dev/zram0 partition 1 0 100\n", "", Light.GREEN),
        ("/var/swap file 1 0 -2\n", "", Light.AMBER),
        ("/var/swap file 1 0 -2\n", "[Service]\n#LimitMEMLOCK=infinity\n", Light.AMBER),
        ("/var/swap file 1 0 -2\n", "[Service]\nLimitMEMLOCK=infinity\n", Light.GREEN),
    ],
)
def test_memory(tmp_path: Path, swap: str, unit: str, light: Light) -> None:
    """BWC-POL-11: swap on a device is no danger only to a recorder that may lock its memory."""
    (tmp_path / "swaps").write_text(SWAPS + swap)
    if unit:
        (tmp_path / "oathcamd.service").write_text(unit)
    assert check_memory([tmp_path], tmp_path / "swaps").light is light


def test_a_recorder_that_shows_no_files_is_known_by_its_status(make_bench: Callable, tmp_path: Path) -> None:
    """Under its unit a recorder's open files are hidden even from its own user."""
    bench = make_bench(pre_event=1)
    bench.world.horizon_ns = bench.at(2)
    with bench.life() as daemon:
        daemon.run()
        with pytest.raises(RefusedError, match="its status was written"):
            refuse_beside_recorder(bench.config, tmp_path)
        bench.world.horizon_ns = None
        daemon.ask_shutdown("end of test")
        daemon.run()
    refuse_beside_recorder(bench.config, tmp_path)


def test_never_beside_the_recorder(make_bench: Callable, tmp_path: Path) -> None:
    """The recorder keeps its ledger open; so does anything else that has a file of the card open."""
    bench = make_bench(pre_event=1)
    refuse_beside_recorder(bench.config)
    bench.world.horizon_ns = bench.at(1)
    with bench.life() as daemon:
        daemon.run()
        with pytest.raises(RefusedError, match="recorder is running") as refused:
            refuse_beside_recorder(bench.config)
        assert "systemctl stop" in refused.value.remedy
    refuse_beside_recorder(bench.config)


def test_a_row_that_is_not_green_has_a_remedy() -> None:
    with pytest.raises(ValueError, match="remedy"):
        Row("camera", Light.RED, "dark")
    with pytest.raises(ValueError, match="remedy"):
        Row("camera", Light.GREEN, "fine", "Do something.")
    assert worst([]) is Light.RED  # nothing checked is nothing known


def test_the_table_says_in_words_what_it_says_in_colour(capsys: pytest.CaptureFixture[str]) -> None:
    rows = [
        Row("clock", Light.GREEN, "fine"),
        Row("card", Light.AMBER, "slow", "Use another."),
        Row("lamps", Light.RED, "[bold]dark", "Mend it."),
    ]
    print_rows(rows, "camera")
    text = " ".join(capsys.readouterr().out.split())
    assert "RED lamps: Mend it. AMBER card: Use another." in text
    assert "[bold]dark" in text  # a device's text is no markup
    assert "1 green, 1 amber, 1 red: must not go out like this" in text


def run(*arguments: str) -> subprocess.CompletedProcess[str]:
    done = subprocess.run([sys.executable, "-m", "tools.cli", "doctor", *arguments], capture_output=True, text=True, timeout=60)
    assert "Traceback" not in done.stderr + done.stdout
    return done


def test_the_command(agency, tmp_path: Path) -> None:
    """Exit codes 0, 1, 2 and 3, and JSON that a script can read."""
    order = CameraOrder("SIM-0001", "simulated", "", "default", "sim", KeyProtection.SIMULATED)
    config = make_camera(tmp_path / "camera", agency, order, lambda: "realtime = false\n")
    done = run(str(config), "--json")
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout)
    assert found["verdict"] == "amber"
    assert {row["port"] for row in found["rows"]} == PORTS
    assert all(bool(row["remedy"]) == (row["light"] != "green") for row in found["rows"])

    with (tmp_path / "camera" / "card" / "log").open("w"):
        done = run(str(config))
    assert done.returncode == 1
    assert "recorder is running" in done.stderr

    (tmp_path / "camera" / "policy.toml").write_text("changed")
    done = run(str(config))
    assert done.returncode == 1
    assert "must not go out" in done.stdout

    assert run(str(tmp_path / "absent.toml")).returncode == 2
    assert run(str(config), "--hal", "moon").returncode == 3
    (tmp_path / "camera" / "card").rename(tmp_path / "elsewhere")
    assert run(str(config)).returncode == 3
    assert not (tmp_path / "camera" / "card").exists()  # an absent card is not made up


def test_trust_levels_are_all_known() -> None:
    """The clock's row knows each level of the port; a new one must be thought about here."""
    assert {trust.value for trust in ClockTrust} == {"unset", "rtc", "synced"}
