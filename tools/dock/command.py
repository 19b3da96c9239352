"""``oathcam dock DIR``: run a dock station in the foreground. ``oathcam dock assign``: say who wears a camera from its next visit on."""

from __future__ import annotations

import ipaddress
import os
import signal
import time
import tomllib
from contextlib import ExitStack
from pathlib import Path
from types import FrameType
from typing import Annotated, Any

import typer
from typer.core import TyperGroup

from firmware.dock.fields import is_serial
from firmware.errors import UnavailableError, UsageError
from hal.errors import HalUnavailable
from hal.hint import BAUD, BadHint, Bay, encode
from hal.serial_line import SerialLine
from tools.assigning import make_order, recipients_beside
from tools.console import errors, output
from tools.dock.config import Identity, StationConfig
from tools.dock.hint import HintResponder
from tools.dock.layout import RESERVED, Layout
from tools.dock.orders import Orders, check_policy_file
from tools.dock.station import run_station

_SETTINGS = {"host": str, "port": int, "site": str, "policy": str}
_IDENTITY = "The dock's identity: the directory that provisioning made."
_STORE = "Directory of the evidence store"


class _RunUnlessNamed(TyperGroup):
    """``oathcam dock DIR`` runs the station; what it can do besides has a name of its own."""

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        if args and args[0] not in {*self.commands, "--help"}:
            args = ["run", *args]
        return super().parse_args(ctx, args)


app = typer.Typer(
    cls=_RunUnlessNamed, help="Run a dock station (`oathcam dock DIR --store DIR`), or assign a camera.", no_args_is_help=True
)


@app.command("run")
def dock(
    identity: Annotated[Path, typer.Argument(help=_IDENTITY)],
    store: Annotated[Path, typer.Option(help=f"{_STORE}; made when it is not there.")],
    host: Annotated[
        str, typer.Option(help="Address to listen on; nothing else is listened on. Default: as in dock.toml, else 127.0.0.1.")
    ] = "",
    port: Annotated[
        int | None, typer.Option(min=0, max=65535, help="Port; 0 takes any free one. Default: as in dock.toml, else 8443.")
    ] = None,
    port_file: Annotated[Path | None, typer.Option(help="Write HOST:PORT here once it listens.")] = None,
    hint_device: Annotated[
        Path | None, typer.Option(help="Serial port of a bay's hint channel; wants --bay and an address as --host.")
    ] = None,
    bay: Annotated[int | None, typer.Option(min=0, max=9999, help="Number of the bay that --hint-device belongs to.")] = None,
    policy: Annotated[
        Path | None,
        typer.Option(help="Signed policy to offer to every camera, its .minisig beside it. Default: as in dock.toml, else none."),
    ] = None,
) -> None:
    """Run a dock station: receive, check, store and receipt what cameras bring."""
    if not identity.is_dir():
        raise UsageError(f"{str(identity)!r} is no directory", remedy="give the dock directory that `oathcam provision` made")
    settings = _settings(identity / "dock.toml")
    config = StationConfig(
        store=store,
        identity=Identity.in_directory(identity),
        host=host or settings.get("host", "127.0.0.1"),
        port=port if port is not None else settings.get("port", 8443),
        site=settings.get("site", "dock"),
        policy=_policy(identity, policy, settings),
    )
    signal.signal(signal.SIGTERM, _interrupt)
    opened = ExitStack()

    def listening(bound_host: str, bound_port: int) -> None:
        output.print(f"listening on {bound_host}:{bound_port}", highlight=False)
        if port_file is not None:
            temporary = port_file.with_name(port_file.name + ".tmp")
            temporary.write_text(f"{bound_host}:{bound_port}\n", encoding="ascii")
            os.replace(temporary, port_file)
        if hint_device is not None:
            opened.callback(_open_hint(hint_device, bay, config.site, bound_host, bound_port).close)

    with opened:
        try:
            run_station(config, listening=listening, report=_report)
        except KeyboardInterrupt:
            return


@app.command()
def assign(
    identity: Annotated[Path, typer.Argument(help=_IDENTITY)],
    serial: Annotated[str, typer.Argument(help="The camera's serial number.")],
    officer: Annotated[str, typer.Option(help="Who wears it: name, or number. Sealed to the agency's recipients.")],
    store: Annotated[Path, typer.Option(help=f"{_STORE} of that dock.")],
    tag: Annotated[str, typer.Option(help="What was shown at the dock: a badge's or a key's number. Sealed too.")] = "",
) -> None:
    """Say who wears a camera: it takes the order at its next visit, and binds it into every recording from then on."""
    if not officer.strip():
        raise UsageError("expected an officer, got an empty text", remedy="give --officer, or use `oathcam dock unassign`")
    _give_order(identity, serial, officer, tag, store)
    output.print(f"{serial} is assigned at its next visit", highlight=False)


@app.command()
def unassign(
    identity: Annotated[Path, typer.Argument(help=_IDENTITY)],
    serial: Annotated[str, typer.Argument(help="The camera's serial number.")],
    store: Annotated[Path, typer.Option(help=f"{_STORE} of that dock.")],
) -> None:
    """Take a camera from whoever wears it: from its next visit on it records unassigned, and says so."""
    _give_order(identity, serial, "", "", store)
    output.print(f"{serial} is nobody's from its next visit on", highlight=False)


def _give_order(identity: Path, serial: str, officer: str, tag: str, store: Path) -> None:
    if not is_serial(serial) or serial in RESERVED:
        raise UsageError(f"no camera has the serial {serial[:80]!r}", remedy="give the serial that stands in the camera's certificate")
    if not store.is_dir():
        raise UsageError(f"{str(store)!r} is no directory", remedy="give the store of the dock that the camera visits")
    keys = Identity.in_directory(identity)
    signed = make_order(serial, officer, tag, recipients_beside(identity), (keys.store_certificate, keys.store_key), time.time_ns())
    Orders(Layout(store), None).keep(serial, signed)


def _policy(identity: Path, given: Path | None, settings: dict[str, Any]) -> Path | None:
    """The file to offer, checked as the cameras will check it."""
    path = given or (identity / settings["policy"] if "policy" in settings else None)
    if path is None:
        return None
    public = identity / "policy.pub"
    policy, digest = check_policy_file(path, public if public.is_file() else identity.parent / "policy.pub")
    output.print(f"offering policy {policy.profile!r}, version {policy.version}, SHA-256 {digest[:16]}", highlight=False)
    return path


def _report(line: str) -> None:
    errors.print(line, markup=False, highlight=False)


def _open_hint(device: Path, bay: int | None, site: str, host: str, port: int) -> HintResponder:
    """What the bay's camera is told is where this station listens, as an address that the camera can reach."""
    if bay is None:
        raise UsageError("--hint-device needs the number of its bay", remedy="give --bay too")
    message = Bay(site, bay, host, port)
    try:
        encode(message)
        reachable = not ipaddress.ip_address(host).is_unspecified
    except (BadHint, ValueError):
        reachable = False
    if not reachable:
        raise UsageError(f"a bay cannot be told to come to {host!r}", remedy="give --host the address of the cable's end here")
    try:
        return HintResponder(SerialLine(device, BAUD), message, _report)
    except HalUnavailable as error:
        raise UnavailableError(str(error), remedy="Install pyserial.") from None


def _settings(path: Path) -> dict[str, Any]:
    """``dock.toml`` beside the keys: host, port and site; absent is empty."""
    if not path.is_file():
        return {}
    try:
        table = tomllib.loads(path.read_text(encoding="utf-8"))
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise UsageError(f"{str(path)!r} is not TOML: {error}", remedy="correct the file") from None
    for name, value in table.items():
        if name not in _SETTINGS or not isinstance(value, _SETTINGS[name]):
            raise UsageError(f"{path}: expected only {sorted(_SETTINGS)!r}, got {name} = {value!r}", remedy="correct the file")
    return table


def _interrupt(number: int, frame: FrameType | None) -> None:
    raise KeyboardInterrupt
