"""The unit files as text: they say what systemd understands, they are closed, and every line says why."""

from __future__ import annotations

import configparser
import re
import shutil
import subprocess
from pathlib import Path

import pytest

from hal.key_store import CREDENTIAL

UNITS = Path(__file__).resolve().parents[2] / "systemd"
SERVICES = ("oathcamd.service", "oathcam-sync.service")
EXPOSURE = {"oathcamd.service": 14, "oathcam-sync.service": 15}
"""Highest exposure in tenths that ``systemd-analyze security`` may report: 0 is closed, 100 is open."""
NEEDS_NO_REASON = {"Description", "Documentation", "Type", "ExecStart", "User", "Group", "WorkingDirectory", "WantedBy", "NotifyAccess"}

pytestmark = pytest.mark.system


def need_analyze() -> None:
    if shutil.which("systemd-analyze") is None:
        pytest.skip("systemd-analyze is not installed")


def settings(name: str) -> dict[str, list[str]]:
    return settings_of(UNITS / name)


def settings_of(unit: Path) -> dict[str, list[str]]:
    """Every assignment of a unit file: name → values in order, of all sections."""
    found: dict[str, list[str]] = {}
    for line in unit.read_text().splitlines():
        if match := re.match(r"([A-Z][A-Za-z]+)=(.*)", line):
            found.setdefault(match[1], []).append(match[2])
    return found


@pytest.mark.parametrize("name", [*SERVICES, "oathcam-sync.path"])
def test_systemd_understands_every_line(name: str) -> None:
    """``verify`` succeeds even for a misspelt key, and only mutters: any word on stderr fails."""
    need_analyze()
    done = subprocess.run(["systemd-analyze", "verify", "--man=no", UNITS / name], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, "")


def test_a_misspelt_key_is_muttered_about(tmp_path: Path) -> None:
    """What the test above relies on."""
    need_analyze()
    unit = tmp_path / "oathcamd.service"
    unit.write_text((UNITS / "oathcamd.service").read_text().replace("WatchdogSec=", "WatchdgSec="))
    done = subprocess.run(["systemd-analyze", "verify", "--man=no", unit], capture_output=True, text=True, check=False)
    assert "WatchdgSec" in done.stderr


@pytest.mark.parametrize("name", SERVICES)
def test_exposure(name: str) -> None:
    """BWC-POL-38: what a service does not need is taken away."""
    need_analyze()
    threshold = f"--threshold={EXPOSURE[name]}"
    command = ["systemd-analyze", "security", "--offline=yes", "--no-pager", threshold, UNITS / name]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout


@pytest.mark.parametrize("line", ["PrivateNetwork=yes", "NoNewPrivileges=yes", "ProtectSystem=strict"])
def test_exposure_notices_a_missing_line(tmp_path: Path, line: str) -> None:
    """The threshold is tight: without one of the strong lines, and its double for the network, it is exceeded."""
    need_analyze()
    text = (UNITS / "oathcamd.service").read_text()
    for gone in (line, "IPAddressDeny=any", "RestrictAddressFamilies=AF_UNIX", "CapabilityBoundingSet=CAP_SYS_TIME\n"):
        text = text.replace(gone, "")
    unit = tmp_path / "oathcamd.service"
    unit.write_text(text)
    command = ["systemd-analyze", "security", "--offline=yes", "--no-pager", f"--threshold={EXPOSURE[unit.name]}", unit]
    assert subprocess.run(command, capture_output=True, check=False).returncode == 1


def test_recorder_has_no_network_and_sync_no_camera() -> None:
    """BWC-POL-07, BWC-POL-38: nothing on a network reaches the process with the camera, and the one with the network has none."""
    recorder, sync = settings("oathcamd.service"), settings("oathcam-sync.service")
    assert recorder["PrivateNetwork"] == ["yes"]
    assert recorder["RestrictAddressFamilies"] == ["AF_UNIX"]
    assert sync["PrivateDevices"] == ["yes"]
    assert "DeviceAllow" not in sync
    assert recorder["User"] != sync["User"]
    assert sync["ReadWritePaths"] == ["/var/lib/oathcam/sync"]


def test_one_process_may_set_the_clock() -> None:
    """BWC-POL-26: the recorder, which signs the offset before; by one right, one system call and the chip's node. Not dock sync."""
    recorder, sync = settings("oathcamd.service"), settings("oathcam-sync.service")
    assert recorder["CapabilityBoundingSet"] == recorder["AmbientCapabilities"] == ["CAP_SYS_TIME"]
    assert "ProtectClock" not in recorder
    assert [line for line in recorder["SystemCallFilter"] if "clock" in line] == ["clock_settime clock_settime64"]
    assert [one for one in recorder["DeviceAllow"] if "rtc" in one] == ["char-rtc r"]
    assert (sync["CapabilityBoundingSet"], sync["AmbientCapabilities"], sync["ProtectClock"]) == ([""], [""], ["yes"])
    rule = [line for line in (UNITS / "oathcam.rules").read_text().splitlines() if not line.startswith("#")]
    assert rule == ['SUBSYSTEM=="rtc", GROUP="oathcam", MODE="0640"']


def test_the_mark_of_this_boot_outlives_the_recorder() -> None:
    """A crash is told from a power loss by a file that a restart keeps and a power loss does not."""
    recorder = settings("oathcamd.service")
    assert (recorder["RuntimeDirectory"], recorder["RuntimeDirectoryPreserve"]) == (["oathcam"], ["restart"])


def test_recorder_never_gives_up() -> None:
    """BWC-POL-47, BWC-POL-05: restarted for ever, watched, and the last to be sacrificed."""
    recorder = settings("oathcamd.service")
    assert (recorder["Restart"], recorder["StartLimitIntervalSec"], recorder["Type"]) == (["always"], ["0"], ["notify"])
    assert int(recorder["OOMScoreAdjust"][0]) < -500
    assert recorder["WatchdogSec"] == ["10s"]


def test_nothing_of_the_pre_event_buffer_reaches_a_disk() -> None:
    """BWC-POL-11: no swap and no core dump of the process that holds it, and all of its memory may be locked."""
    recorder = settings("oathcamd.service")
    assert (recorder["MemorySwapMax"], recorder["LimitCORE"], recorder["LimitMEMLOCK"]) == (["0"], ["0"], ["infinity"])


def test_last_words_outlive_a_restart() -> None:
    """What a run could not write while the key store hung is found by the next one (``firmware/last_words.py``)."""
    assert settings("oathcamd.service")["RuntimeDirectoryPreserve"] == ["restart"]


@pytest.mark.parametrize("name", SERVICES)
def test_every_line_says_why(name: str) -> None:
    """A block of settings is preceded, or for ExecStart followed, by a comment of its own."""
    unexplained, explained = [], False
    for line in (UNITS / name).read_text().splitlines():
        if line.startswith("#") and not line.startswith("# ---"):
            explained = True
        elif not line or line.startswith(("[", "# ---")):
            explained = False
        elif not explained and line.partition("=")[0] not in NEEDS_NO_REASON:
            unexplained.append(line)
    assert unexplained == []


def test_the_board_is_watched_within_the_timers_limit() -> None:
    """BWC-POL-47: bcm2835_wdt takes 1 to 15 s; a larger value leaves the board unwatched, or resets it too soon, by the kernel's age."""
    lines = (UNITS / "oathcam-watchdog.conf").read_text().splitlines()
    assert [line for line in lines if line.startswith("[")] == ["[Manager]"]
    values = dict(line.split("=") for line in lines if line and line[0] not in "#[")
    assert set(values) == {"RuntimeWatchdogSec", "RebootWatchdogSec"}
    assert all(1 <= int(value) < 15 for value in values.values())
    assert all(lines[number - 1].startswith("#") for number, line in enumerate(lines) if "Sec=" in line)


def test_recorder_reaches_what_its_ports_open_and_no_more() -> None:
    """Classes as /proc/devices names them; the board's mailbox, memory and disks are not among them."""
    classes = {value.removesuffix(" rw").removeprefix("char-") for value in settings("oathcamd.service")["DeviceAllow"]}
    assert {"gpiochip", "i2c", "ttyAMA", "ttyGS", "video4linux", "alsa"} <= classes
    assert not classes & {"vcio", "mem", "watchdog", "input"}
    lines = [line.split() for line in (UNITS / "oathcam.sysusers").read_text().splitlines() if line.startswith("m")]
    assert {"gpio", "i2c", "dialout"} <= {fields[2] for fields in lines if fields[1] == "oathcam"}


def test_users_are_made_before_they_are_named() -> None:
    """Every user and group in a unit or a directory line exists in the sysusers file."""
    lines = [line.split() for line in (UNITS / "oathcam.sysusers").read_text().splitlines() if line and line[0] != "#"]
    made = {fields[1] for fields in lines if fields[0] == "u"} | {"root"}
    named = {value for unit in SERVICES for key in ("User", "Group", "SupplementaryGroups") for value in settings(unit).get(key, [])}
    directories = [line.split() for line in (UNITS / "oathcam.tmpfiles").read_text().splitlines() if line and line[0] != "#"]
    named |= {name for fields in directories for name in fields[3:5]}
    assert named <= made
    assert len(directories) >= 6


def test_path_unit_starts_the_sync_of_the_recorders_request() -> None:
    """House law 8: the recorder asks by a file, and the request is taken before the work begins."""
    parser = configparser.ConfigParser()
    parser.read(UNITS / "oathcam-sync.path")
    request = parser["Path"]["PathExists"]
    assert settings("oathcam-sync.service")["ExecStartPre"] == [f"+/usr/bin/rm -f {request}"]
    runtime = settings("oathcamd.service")["RuntimeDirectory"][0]
    assert request.startswith(f"/run/{runtime}/")


def test_recorder_reaches_its_secure_element_and_no_usb() -> None:
    """TPM and I2C are open; the PIN's credential has the name that the key store looks for."""
    recorder = settings("oathcamd.service")
    assert {"char-tpm rw", "char-i2c rw"} <= set(recorder["DeviceAllow"])
    assert not any("usb" in device for device in recorder["DeviceAllow"])
    assert f"#LoadCredential={CREDENTIAL}:" in (UNITS / "oathcamd.service").read_text()


def test_the_credential_line_is_understood(tmp_path: Path) -> None:
    """What a technician takes the '#' off is a line that systemd knows."""
    need_analyze()
    unit = tmp_path / "oathcamd.service"
    text = (UNITS / "oathcamd.service").read_text()
    unit.write_text(re.sub(r"(?m)^#(LoadCredential|DeviceAllow)=", r"\1=", text))
    assert settings_of(unit)["LoadCredential"]
    done = subprocess.run(["systemd-analyze", "verify", "--man=no", unit], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, "")
