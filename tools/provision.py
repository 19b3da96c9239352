"""``oathcam provision``: an agency's keys and certificates, and cameras that belong to it.

``provision agency`` makes a root, the two issuing authorities, the evidence recipients, a publisher for public releases, the
policy key and a dock's identity; ``provision camera`` makes one camera: its key in its key store, a request signed by it, its
certificate, its policy.

The private keys are files with mode 0600: right for trials, tests and training. An agency that means it keeps the root and
the recipients' keys in hardware; the formats do not change.
"""

from __future__ import annotations

import os
import secrets
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from ipaddress import ip_address
from pathlib import Path
from typing import Annotated

import typer
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import load_pem_private_key
from nacl.signing import SigningKey

from firmware.board import Board
from firmware.errors import UsageError
from firmware.evidence.pki import Role, to_der
from firmware.policy.minisign import public_key_text, sign_minisign
from firmware.storage.vault import is_serial
from hal.errors import HalError
from hal.interfaces import KeyProtection
from hal.key_store import KeyStoreSettings, open_key_store, parse_key_store, settings_table
from tools import pki
from tools.assigning import make_order, recipients_beside
from tools.console import output
from tools.policies import read_profile
from tools.toml import toml

app = typer.Typer(help="Make an agency, or a camera that belongs to it.", no_args_is_help=True)

YEARS_ROOT, YEARS_LEAF = 40, 30
"""Media Signing validators check against today's date, so a leaf outlives the evidence it signed."""
RECIPIENTS = ("agency", "oversight")
HOLD_SPARE_MS = 500
"""A laptop's hold key presses this much longer than the policy asks."""


@dataclass(frozen=True, slots=True)
class Agency:
    """An agency's directory."""

    directory: Path
    root: pki.Authority
    device_ca: pki.Authority
    dock_ca: pki.Authority


def _new_serial() -> int:
    return secrets.randbits(126) | 1


def _new_key() -> ec.EllipticCurvePrivateKey:
    return pki.new_key(secrets.token_bytes)


def _validity(years: int) -> pki.Validity:
    yesterday_ns = time.time_ns() - 86_400 * 1_000_000_000
    return pki.Validity(yesterday_ns, years * 365)


def write_secret(path: Path, data: bytes) -> None:
    """A new file with mode 0600; ``UsageError`` when it exists: a key is never overwritten."""
    try:
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
    except FileExistsError:
        raise UsageError(f"{str(path)!r} exists", remedy="Choose an empty directory; keys are never overwritten.") from None
    with os.fdopen(descriptor, "wb") as file:
        file.write(data)


def make_agency(directory: Path, name: str, dock_host: str = "127.0.0.1") -> Agency:
    """A new agency in ``directory``; ``UsageError`` when there is one already."""
    directory.mkdir(parents=True, exist_ok=True)
    root = pki.make_root(name, _new_key(), _new_serial(), _validity(YEARS_ROOT))
    device_ca = pki.make_authority(root, Role.DEVICE_CA, _new_key(), _new_serial(), _validity(YEARS_ROOT))
    dock_ca = pki.make_authority(root, Role.DOCK_CA, _new_key(), _new_serial(), _validity(YEARS_ROOT))
    for stem, authority in (("root", root), ("device-ca", device_ca), ("dock-ca", dock_ca)):
        write_secret(directory / f"{stem}.key", pki.private_key_pem(authority.private_key))
        (directory / f"{stem}.crt").write_bytes(pki.certificate_pem(authority.certificate))
    for recipient in RECIPIENTS:
        _leaf(directory, recipient, root, Role.RECIPIENT, f"{name} {recipient}", [])
    _leaf(directory, "publisher", root, Role.PUBLISHER, f"{name} release", [])
    _make_policy_key(directory)
    _make_dock(directory / "dock", dock_ca, dock_host)
    return Agency(directory, root, device_ca, dock_ca)


def _leaf(
    directory: Path,
    stem: str,
    authority: pki.Authority,
    role: Role,
    name: str,
    chain: Sequence[x509.Certificate],
    alternative_names: Sequence[str] = (),
) -> None:
    """A leaf with its key: ``stem``.crt (leaf first, then ``chain``) and ``stem``.key."""
    key = _new_key()
    certificate = pki.issue(authority, role, name, key.public_key(), _new_serial(), _validity(YEARS_LEAF), alternative_names)
    write_secret(directory / f"{stem}.key", pki.private_key_pem(key))
    (directory / f"{stem}.crt").write_bytes(pki.certificate_pem(certificate, *chain))


def _make_policy_key(directory: Path) -> None:
    seed, key_id = secrets.token_bytes(32), secrets.token_bytes(8)
    write_secret(directory / "policy.key", (key_id + seed).hex().encode() + b"\n")
    public = SigningKey(seed).verify_key.encode()
    (directory / "policy.pub").write_text(public_key_text(key_id, public), encoding="ascii")


def _make_dock(directory: Path, dock_ca: pki.Authority, host: str) -> None:
    directory.mkdir(exist_ok=True)
    names = [host] if _is_address(host) else [host, "127.0.0.1"]
    _leaf(directory, "tls", dock_ca, Role.DOCK, "dock-1", [dock_ca.certificate], names)
    _leaf(directory, "store", dock_ca, Role.STORE, "store-1", [dock_ca.certificate])
    seed = secrets.token_bytes(32)
    write_secret(directory / "witness.key", seed.hex().encode() + b"\n")
    (directory / "witness.pub").write_text(SigningKey(seed).verify_key.encode().hex() + "\n", encoding="ascii")


def _is_address(text: str) -> bool:
    try:
        ip_address(text)
    except ValueError:
        return False
    return True


def load_agency(directory: Path) -> Agency:
    """The authorities of an agency directory; ``UsageError`` names what is absent."""

    def authority(stem: str) -> pki.Authority:
        try:
            certificate = x509.load_pem_x509_certificate((directory / f"{stem}.crt").read_bytes())
            key = load_pem_private_key((directory / f"{stem}.key").read_bytes(), None)
        except (OSError, ValueError) as error:
            raise UsageError(
                f"{str(directory)!r} is not an agency directory: {stem}: {error}", remedy="Make one with `oathcam provision agency`."
            ) from None
        assert isinstance(key, ec.EllipticCurvePrivateKey)
        return pki.Authority(certificate, key)

    return Agency(directory, authority("root"), authority("device-ca"), authority("dock-ca"))


@dataclass(frozen=True, slots=True)
class CameraOrder:
    """What one camera is to be."""

    serial: str
    model: str
    officer: str
    profile: str
    backend: str
    protection: KeyProtection
    dock_host: str = ""
    dock_port: int = 0
    key_store: KeyStoreSettings = field(default_factory=KeyStoreSettings)
    """Where a TPM or a token is, when ``protection`` says so."""


def make_camera(directory: Path, agency: Agency, order: CameraOrder, hal_options: Callable[[], str] = lambda: "") -> Path:
    """One provisioned camera; returns its ``oathcamd.toml``. ``hal_options`` gives the lines of its ``[hal.<backend>]``."""
    if (directory / "oathcamd.toml").exists():
        raise UsageError(f"{str(directory)!r} holds a camera", remedy="Choose an empty directory.")
    if not is_serial(order.serial):
        raise UsageError(f"no recording can be named after the serial {order.serial!r}", remedy="Use 1 to 40 letters, digits, '-' and '_'.")
    policy, text = read_profile(order.profile)
    for name in ("card", "keys", "link", "run", "trust/recipients", "trust/witnesses"):
        (directory / name).mkdir(parents=True, exist_ok=True)
    for name in ("keys", "link"):
        (directory / name).chmod(0o700)
    _enrol(directory / "keys", agency, order)
    if order.officer:
        _assign(directory / "keys", agency, order)
    _leaf(directory / "link", "link", agency.dock_ca, Role.CAMERA_LINK, order.serial, [agency.dock_ca.certificate])
    trust = directory / "trust"
    for name in ("root.crt", "dock-ca.crt", "policy.pub"):
        (trust / name).write_bytes((agency.directory / name).read_bytes())
    for recipient in RECIPIENTS:
        (trust / "recipients" / f"{recipient}.crt").write_bytes((agency.directory / f"{recipient}.crt").read_bytes())
    (trust / "witnesses" / "dock.pub").write_bytes((agency.directory / "dock" / "witness.pub").read_bytes())
    (directory / "policy.toml").write_text(text, encoding="utf-8")
    comment = f"oathcam policy {policy.profile} version {policy.version}"
    key_id, seed = _policy_key(agency.directory)
    (directory / "policy.toml.minisig").write_text(sign_minisign(seed, key_id, text.encode(), comment), encoding="utf-8")
    config = directory / "oathcamd.toml"
    config.write_text(_config_text(order, _key_store_lines(order) + hal_options()), encoding="utf-8")
    return config


def _enrol(directory: Path, agency: Agency, order: CameraOrder) -> None:
    """The key is made in the key store and stays there; what leaves it is a request signed by it (BWC-POL-36)."""
    store = open_key_store(order.protection, directory, order.key_store)
    spki = store.generate_key()
    subject = pki.subject_name(agency.root.agency, Role.CAMERA, order.serial)
    request = pki.make_csr_with_key_store(store.sign_digest, spki, subject)
    certificate = pki.issue_from_csr(request, agency.device_ca, Role.CAMERA, order.serial, _new_serial(), _validity(YEARS_LEAF))
    store.install_certificates([to_der(certificate), to_der(agency.device_ca.certificate)])


def _assign(directory: Path, agency: Agency, order: CameraOrder) -> None:
    """As a dock would, before the first visit: the camera gets the sealed name only (BWC-POL-30)."""
    dock = agency.directory / "dock"
    keys = (dock / "store.crt", dock / "store.key")
    signed = make_order(order.serial, order.officer, "", recipients_beside(dock), keys, time.time_ns())
    board = Board(directory)
    board.stage_order(signed.to_bytes())
    board.commit_order()


def _policy_key(directory: Path) -> tuple[bytes, bytes]:
    data = bytes.fromhex((directory / "policy.key").read_text(encoding="ascii"))
    return data[:8], data[8:]


def _config_text(order: CameraOrder, hal_options: str) -> str:
    dock = f"\n[dock]\nhost = {toml(order.dock_host)}\nport = {order.dock_port}\n" if order.dock_host else ""
    return (
        "# One camera. Paths are relative to this file.\n"
        f"serial = {toml(order.serial)}\nmodel = {toml(order.model)}\n"
        'state_directory = "card"\nkey_directory = "keys"\nlink_directory = "link"\n'
        'trust_directory = "trust"\n'
        'policy = "policy.toml"\nrun_directory = "run"\n\n'
        f'[hal]\nbackend = "{order.backend}"\n\n[hal.{order.backend}]\n{hal_options}{dock}'
    )


def _key_store_lines(order: CameraOrder) -> str:
    """The lines that make the back-end open the same key store; a file is what it opens without any."""
    if order.protection not in (KeyProtection.TPM, KeyProtection.PKCS11):
        return ""
    table = settings_table(order.key_store)
    return "".join(f"{key} = {toml(value) if isinstance(value, str) else f'0x{value:08x}'}\n" for key, value in table.items())


def hal_lines(order: CameraOrder, source: str = "", microphone: str = "") -> str:
    """Lines of the back-end's table: where the camera looks and listens; on a laptop, how long the hold key presses."""
    settings: dict[str, str | int] = {}
    if source:
        settings["source"] = source if source.startswith("/dev/") else str(Path(source).resolve())
    if microphone:
        settings["microphone"] = microphone
    if order.backend == "pc":
        settings["hold_ms"] = read_profile(order.profile)[0].activation.hold_to_stop_ms + HOLD_SPARE_MS
    return "".join(f"{name} = {toml(value) if isinstance(value, str) else value}\n" for name, value in settings.items())


@app.command("agency")
def agency_command(
    directory: Annotated[Path, typer.Argument(help="New directory for the agency's keys and certificates.")],
    name: Annotated[str, typer.Option(help="Name of the agency, as it stands in certificates.")] = "Example Agency",
    dock_host: Annotated[str, typer.Option(help="Host name or address in the dock's TLS certificate.")] = "127.0.0.1",
) -> None:
    """Make an agency: root, authorities, recipients, publisher, policy key, dock identity."""
    make_agency(directory, name, dock_host)
    output.print(
        f"agency {name!r} in {directory}: give {directory}/root.crt to whoever is to verify; keep *.key to yourself", soft_wrap=True
    )


@app.command("camera")
def camera_command(
    directory: Annotated[Path, typer.Argument(help="New directory for the camera.")],
    agency: Annotated[Path, typer.Option(help="The agency's directory.")],
    serial: Annotated[str, typer.Option(help="Serial number, unique in the agency.")],
    profile: Annotated[str, typer.Option(help="Policy profile or policy file.")] = "default",
    officer: Annotated[str, typer.Option(help="Who wears it, until a dock says otherwise; the camera gets the name sealed.")] = "",
    hal: Annotated[str, typer.Option(help="Back-end: sim, pc or pi.")] = "sim",
    source: Annotated[str, typer.Option(help="What the camera of sim or pc looks at: a video file, or a device below /dev.")] = "",
    microphone: Annotated[str, typer.Option(help="Microphone of pc or pi: an ALSA device; on pc also auto or none.")] = "",
    key_store: Annotated[str, typer.Option(help="Where the signing key lives: file, tpm or pkcs11 (the simulator's is simulated).")] = "",
    tpm_tcti: Annotated[str, typer.Option(help="TPM as TSS name:configuration (default: device:/dev/tpmrm0).")] = "",
    tpm_handle: Annotated[str, typer.Option(help="Persistent handle for the key, such as 0x8100bc01.")] = "",
    tpm_counter: Annotated[str, typer.Option(help="NV index for the boot counter, such as 0x0180bc01.")] = "",
    pkcs11_module: Annotated[str, typer.Option(help="PKCS#11 library of the token, an absolute path.")] = "",
    pkcs11_token: Annotated[str, typer.Option(help="Label of the token.")] = "",
    pkcs11_label: Annotated[str, typer.Option(help="Label for the key (default: oathcam).")] = "",
    pkcs11_pin_file: Annotated[str, typer.Option(help="File with the token's PIN, mode 0600, an absolute path.")] = "",
) -> None:
    """Make one camera of an agency. A key in hardware is made in the TPM or token of the machine on which this runs."""
    given = {
        "tpm_tcti": tpm_tcti,
        "tpm_handle": tpm_handle,
        "tpm_counter": tpm_counter,
        "pkcs11_module": pkcs11_module,
        "pkcs11_token": pkcs11_token,
        "pkcs11_label": pkcs11_label,
        "pkcs11_pin_file": pkcs11_pin_file,
    }
    settings = key_store_settings(hal, key_store, {key: value for key, value in given.items() if value})
    protection = KeyProtection.SIMULATED if hal == "sim" else settings.key_store
    order = CameraOrder(serial, "oathcam", officer, profile, hal, protection, key_store=settings)
    config = make_camera(directory, load_agency(agency), order, lambda: hal_lines(order, source, microphone))
    output.print(f"camera {serial!r} provisioned, signing key: {protection.value}: {config}", soft_wrap=True)


def key_store_settings(backend: str, kind: str, given: Mapping[str, str]) -> KeyStoreSettings:
    """The options of the command line, checked as the back-end will check them; ``UsageError``."""
    if backend == "sim" and (kind or given):
        raise UsageError("the simulator's key store is simulated", remedy="Leave the key store's options out, or choose --hal pi or pc.")
    table: dict[str, str | int] = {"key_store": kind or "file", **given}
    try:
        table |= {key: int(given[key], 0) for key in ("tpm_handle", "tpm_counter") if key in given}
        return parse_key_store(table)
    except (HalError, ValueError) as error:
        raise UsageError(str(error), remedy="See `oathcam provision camera --help`.") from None
