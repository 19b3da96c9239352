"""``oathcam doctor``: is this camera fit to go out? A traffic light per port, and one sentence for whatever is not green.

A composition root: it opens the back-end that the configuration names, or the one that ``--hal`` names. Responsible for the order
of the checks and for showing them. Refuses to run beside the recorder, which owns the devices and the ledger, and changes nothing
that is evidence: the ledger is read, the boot counter is read, the card gets one directory that is removed again.
"""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import suppress
from functools import partial
from pathlib import Path
from typing import Annotated

import typer
from rich.table import Table

from firmware.config import DeviceConfig, load_config, with_backend
from firmware.errors import OathcamError, RefusedError, UnavailableError
from firmware.policy.model import Policy
from firmware.status import FILE
from hal.hint import HINT_FILE
from hal.interfaces import Hal
from tools.checkup import Check, Light, Row, examine, worst
from tools.console import output, progress
from tools.status_file import read_status

DEFAULT_CONFIG = Path("/etc/oathcam/oathcamd.toml")
_STOP_IT = "Stop it (`systemctl stop oathcamd.service`), run this again, and start it afterwards."
_COLOURS = {Light.GREEN: "green", Light.AMBER: "yellow", Light.RED: "bold red"}
_WORDS = {Light.GREEN: "green", Light.AMBER: "AMBER", Light.RED: "RED"}
"""Words as well as colours: some see no colours, and some read a log."""


def doctor(
    config: Annotated[Path, typer.Argument(help="The camera's oathcamd.toml.")] = DEFAULT_CONFIG,
    hal: Annotated[str, typer.Option(help="Back-end to check instead of the configured one: pi, pc or sim.")] = "",
    as_json: Annotated[bool, typer.Option("--json", help="Print the rows as JSON.")] = False,
) -> None:
    """Check each port of a camera. Exit code 0 green or amber, 1 something is red, 2 usage, 3 back-end not available."""
    settings = load_config(config)
    backend = hal or settings.backend
    refuse_beside_recorder(settings)
    opened = _open(settings, backend)
    try:
        rows = check_up(opened, settings)
    finally:
        opened.close()
    if as_json:
        found = {"verdict": worst(rows).value, "backend": backend, "device": dict(opened.describe), "rows": [row.as_dict() for row in rows]}
        output.print_json(json.dumps(found))
    else:
        print_rows(rows, f"camera {settings.serial}, back-end {backend}")
    raise typer.Exit(1 if worst(rows) is Light.RED else 0)


def _open(config: DeviceConfig, backend: str) -> Hal:
    from hal.backends import open_hal

    for directory in (config.state_directory, config.key_directory):
        if not directory.is_dir():  # a back-end might make it, and an empty card would look like a new one
            raise UnavailableError(f"no directory {str(directory)!r}", remedy="Mount the card, or provision the camera first.")
    places = {"volume": config.state_directory, "keys": config.key_directory, "sync_request": config.run_directory / "sync-request"}
    return open_hal(backend, {**with_backend(config, backend).hal_options, **{name: str(path) for name, path in places.items()}})


def check_up(hal: Hal, config: DeviceConfig) -> list[Row]:
    """Every check on an opened HAL, with a progress bar."""
    checks = list_checks(hal, config)
    with progress() as bar:
        task = bar.add_task("checking", total=len(checks), note="")
        done = iter(range(len(checks)))

        def begun(port: str) -> None:
            bar.update(task, completed=next(done), note=port)

        return examine(checks, begun)


def list_checks(hal: Hal, config: DeviceConfig, unit_directories: Sequence[Path] | None = None) -> list[Check]:
    """The ports in the order in which a technician would mend them: papers, clock, card, then hands."""
    # Here: the media library that decodes the sound takes its time to load, and no other command needs these.
    from firmware.devices import video_format
    from firmware.dock.command import read_hint
    from firmware.installed import choose_policy
    from tools import checkup_devices as devices
    from tools import checkup_trust as trust
    from tools.checkup_memory import check_memory

    loaded, trouble = _attempt(lambda: choose_policy(config)[0].policy)
    policy = loaded if loaded is not None else Policy()
    paper = trust.check_policy
    message, remedy = (str(trouble), trouble.remedy) if trouble is not None else ("", "")
    hint_file = config.run_directory / HINT_FILE
    watchdog = partial(trust.check_watchdog, "NOTIFY_SOCKET" in os.environ)
    memory = partial(check_memory)
    if unit_directories is not None:
        watchdog, memory = partial(watchdog, unit_directories), partial(memory, unit_directories)
    return [
        Check("policy", partial(paper, loaded, message, remedy), trust.PROVISION),
        Check("recipients", partial(trust.check_recipients, hal, config), trust.PROVISION),
        Check("key store", partial(trust.check_key_store, hal), trust.KEY_REMEDY),
        Check("certificates", partial(trust.check_certificates, hal, config), trust.PROVISION),
        Check("counter", partial(trust.check_counter, hal, config), "Check the wiring of the secure element."),
        Check("entropy", partial(devices.check_entropy, hal), "Enable the board's hardware generator (dtparam=random=on)."),
        Check("clock", partial(trust.check_clock, hal, config), "Check the wiring of the real-time clock."),
        Check("ledger", partial(trust.check_ledger, hal, config), "Keep the card, and have `oathcam verify` look at a copy of it."),
        Check("card", partial(devices.check_volume, hal), devices.CARD_REMEDY),
        Check("room", partial(devices.check_room, hal, policy), devices.CARD_REMEDY),
        Check("camera", partial(devices.check_camera, hal, video_format(policy)), devices.CAMERA_REMEDY),
        Check("microphone", partial(devices.check_microphone, hal, policy.audio.enabled), devices.SOUND_REMEDY),
        Check("buttons", partial(devices.check_buttons, hal), "Check the wiring of the buttons and the name of the GPIO chip."),
        Check("lamps", partial(devices.check_indicators, hal), "Check the wiring of the lamps and the name of the GPIO chip."),
        Check("power", partial(devices.check_power, hal, policy), "Check the fuel gauge's wiring and its I2C address."),
        Check("positioning", partial(devices.check_positioning, hal), "Check the receiver's wiring and its serial device."),
        Check("orientation", partial(devices.check_orientation, hal), "Check the accelerometer's wiring and its overlay."),
        Check(
            "dock link", lambda: devices.check_dock_link(hal, config.dock_host, read_hint(hint_file)), "Check the dock contact's wiring."
        ),
        Check("memory", memory, "Install the unit files of systemd/."),
        Check("watchdog", watchdog, "Install the unit files of systemd/."),
    ]


def _attempt(load: Callable[[], Policy]) -> tuple[Policy | None, OathcamError | None]:
    try:
        return load(), None
    except OathcamError as error:
        return None, error


def refuse_beside_recorder(config: DeviceConfig, proc: Path = Path("/proc")) -> None:
    """``RefusedError`` while a process holds a file of the evidence volume open.

    The recorder keeps its ledger open from its first leaf on. Only processes of one's own user can be looked into without
    being root; the recorder's user owns the volume, so run as that user or as root.
    """
    owner = config.state_directory.stat().st_uid if config.state_directory.exists() else os.geteuid()
    if os.geteuid() not in (0, owner):
        raise RefusedError(
            f"cannot see whether the recorder is running: {str(config.state_directory)!r} belongs to user {owner}",
            remedy="Run as that user or as root.",
        )
    root = str(config.state_directory.resolve())
    for process, target in _open_files(proc):
        if target.startswith(root + "/"):
            raise RefusedError(
                f"process {process} has {target!r} open: the recorder is running",
                remedy=_STOP_IT,
            )
    _refuse_beside_status(config)


def _refuse_beside_status(config: DeviceConfig) -> None:
    """A recorder under its unit does not show its open files, not even to its own user; what it says of itself does as well."""
    try:
        told = read_status(config.run_directory / FILE)
    except UnavailableError:
        return
    if told.is_fresh and told.facts["state"] != "halted":
        raise RefusedError(f"the recorder is running: its status was {told.age}", remedy=_STOP_IT)


def _open_files(proc: Path) -> Iterator[tuple[int, str]]:
    """(process, path) of every open file that may be seen; processes that end meanwhile are passed over."""
    for directory in proc.iterdir():
        if directory.name.isdigit():
            with suppress(OSError):
                for link in (directory / "fd").iterdir():
                    with suppress(OSError):
                        yield int(directory.name), os.readlink(link)


_ENDINGS = {
    Light.GREEN: "fit to go out",
    Light.AMBER: "records; look at what is amber",
    Light.RED: "must not go out like this",
}


def print_rows(rows: Sequence[Row], title: str, endings: Mapping[Light, str] = _ENDINGS) -> None:
    """The table, then the remedies in the order of the rows, red before amber; ``endings`` sums up."""
    table = Table(title=title, title_justify="left")
    for column in ("port", "light", "found"):
        table.add_column(column, overflow="fold")
    for row in rows:
        table.add_row(row.port, f"[{_COLOURS[row.light]}]{_WORDS[row.light]}[/]", _plain(row.found))
    output.print(table)
    for light in (Light.RED, Light.AMBER):
        for row in (row for row in rows if row.light is light):
            output.print(f"[{_COLOURS[light]}]{_WORDS[light]}[/] {row.port}: {_plain(row.remedy)}", soft_wrap=True, highlight=False)
    counts = {light: sum(row.light is light for row in rows) for light in Light}
    summary = ", ".join(f"{counts[light]} {light.value}" for light in Light)
    output.print(f"{summary}: {endings[worst(rows)]}", highlight=False)


def _plain(text: str) -> str:
    """Text from devices must not be taken for markup."""
    return text.replace("[", "\\[")
