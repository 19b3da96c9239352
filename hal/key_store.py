"""The choice of a key store: the one place where provisioning and the back-ends open one.

Responsible for the settings that say where the signing key lives, and for the PIN's way to a token. Refuses to fall back: a
camera that was told to sign in hardware signs in hardware or not at all.

A back-end takes the keys of this dataclass out of its own table with :func:`split_settings`.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

from hal import pkcs11_key_store, tpm_key_store
from hal.errors import HalError, HalUnavailable
from hal.file_key_store import FileKeyStore
from hal.interfaces import KeyProtection, KeyStore
from hal.key_directory import refuse_others
from hal.pkcs11_key_store import Pkcs11KeyStore
from hal.settings import Check, Mismatch, one_of, parse_settings, text
from hal.tpm_key_store import TpmKeyStore

CREDENTIAL = "oathcam-pkcs11-pin"
"""Name of the systemd credential that holds the PIN when no file is named."""
DEFAULT_TCTI = "device:/dev/tpmrm0"
"""Through the kernel's resource manager, so that other programs may use the TPM too."""
_WHO = "key store"
_CHOICES = (KeyProtection.FILE, KeyProtection.TPM, KeyProtection.PKCS11)


@dataclass(frozen=True, slots=True)
class KeyStoreSettings:
    """``key_store`` says which; the options of the others must be left out. ``pkcs11_module`` and ``pkcs11_token`` have no default.

    ``tpm_tcti``: a TSS "name:configuration". ``tpm_handle``, ``tpm_counter``: where key and counter are put. ``pkcs11_label``:
    CKA_LABEL of the key. ``pkcs11_pin_file``: ``None`` for the systemd credential.
    """

    key_store: KeyProtection = KeyProtection.FILE
    tpm_tcti: str = DEFAULT_TCTI
    tpm_handle: int = tpm_key_store.DEFAULT_HANDLE
    tpm_counter: int = tpm_key_store.DEFAULT_COUNTER
    pkcs11_module: Path | None = None
    pkcs11_token: str = ""
    pkcs11_label: str = pkcs11_key_store.DEFAULT_LABEL
    pkcs11_pin_file: Path | None = None


def parse_key_store(table: Mapping[str, Any]) -> KeyStoreSettings:
    """``HalError`` naming the key for anything unknown, missing, of another type, or of another key store."""
    settings = parse_settings(KeyStoreSettings, _CHECKS, table, _WHO)
    kind = settings.key_store.value
    for key in table:
        if key != "key_store" and not key.startswith(f"{kind}_"):
            raise HalError(f"{_WHO} setting {key!r} does not belong to key_store = {kind!r}; remove it or choose another key_store")
    if settings.key_store is KeyProtection.PKCS11:
        for key in ("pkcs11_module", "pkcs11_token"):
            if key not in table:
                raise HalError(f"{_WHO} 'pkcs11' needs the setting {key!r}")
    return settings


def split_settings(table: Mapping[str, Any]) -> tuple[KeyStoreSettings, dict[str, Any]]:
    """The key store's settings of a back-end's table, checked, and what is left for the back-end."""
    ours = {each.name for each in fields(KeyStoreSettings)}
    mine = {key: value for key, value in table.items() if key in ours}
    return parse_key_store(mine), {key: value for key, value in table.items() if key not in ours}


def settings_table(settings: KeyStoreSettings) -> dict[str, str | int]:
    """What :func:`parse_key_store` reads back: ``key_store`` and everything that is not its default, in the dataclass's order."""
    default = KeyStoreSettings()
    changed = {each.name: getattr(settings, each.name) for each in fields(settings)}
    table = {key: value if isinstance(value, int) else str(value) for key, value in changed.items() if value != getattr(default, key)}
    return {**table, "key_store": settings.key_store.value}


def open_key_store(
    protection: KeyProtection,
    directory: Path,
    options: KeyStoreSettings = KeyStoreSettings(),
    environment: Mapping[str, str] = os.environ,
) -> KeyStore:
    """The key store; certificates and, but for a TPM, the counter lie in ``directory``. ``SIMULATED`` is a file that says so.

    ``HalUnavailable`` when a library or device is absent, ``HalError`` when key, PIN or settings are not acceptable.
    """
    match protection:
        case KeyProtection.TPM:
            return TpmKeyStore(directory, options.tpm_tcti, options.tpm_handle, options.tpm_counter)
        case KeyProtection.PKCS11:
            if options.pkcs11_module is None:
                raise HalError(f"{_WHO} 'pkcs11' needs the setting 'pkcs11_module'")
            file = options.pkcs11_pin_file
            return Pkcs11KeyStore(
                directory, options.pkcs11_module, options.pkcs11_token, lambda: read_pin(file, environment), options.pkcs11_label
            )
        case _:
            return FileKeyStore(directory, protection)


def read_pin(file: Path | None, environment: Mapping[str, str]) -> str:
    """The PIN: from ``file``, which nobody else may read, or else from the systemd credential ``oathcam-pkcs11-pin``.

    A credential's mode is not looked at: systemd lends it to the service's user by an access list, which shows as a right of the
    group, in a directory that no other user can enter (systemd.exec(5), LoadCredential=).
    """
    credentials = environment.get("CREDENTIALS_DIRECTORY")
    if file is None and credentials is None:
        raise HalUnavailable(f"no PIN for the token; name a file with pkcs11_pin_file, or give the service the credential {CREDENTIAL!r}")
    path = file if file is not None else Path(str(credentials)) / CREDENTIAL
    try:
        if file is not None:
            refuse_others(path, "chmod 0600, and change the PIN if somebody may have read it")
        pin = path.read_text(encoding="utf-8").rstrip("\r\n")
    except (OSError, UnicodeDecodeError) as error:
        raise HalUnavailable(f"cannot read the PIN from {str(path)!r}: {error}; write it there, mode 0600") from error
    if not pin:
        raise HalUnavailable(f"no PIN in {str(path)!r}; write it there, mode 0600")
    return pin


def _protection(key: str, value: Any) -> KeyProtection:
    return KeyProtection(one_of(*(each.value for each in _CHOICES))(key, value))


def _within(first: int, last: int) -> Check:
    """A handle, in a block that is the owner's to use."""

    def check(key: str, value: Any) -> int:
        if type(value) is not int or not first <= value <= last:
            raise Mismatch(key, f"a handle from 0x{first:08x} to 0x{last:08x}", value)
        return value

    return check


def _absolute(key: str, value: Any) -> Path:
    """Not a bare name: that would be looked for wherever the loader looks."""
    if not isinstance(value, (str, Path)) or not Path(value).is_absolute():
        raise Mismatch(key, "an absolute path", value)
    return Path(value)


_CHECKS: dict[str, Check] = {
    "key_store": _protection,
    "tpm_tcti": text,
    # The owner's persistent objects (Part 2 §7.4); NV indices but those that the TCG's registry gives to vendors and platforms.
    "tpm_handle": _within(0x81000000, 0x817FFFFF),
    "tpm_counter": _within(0x01800000, 0x01BFFFFF),
    "pkcs11_module": _absolute,
    "pkcs11_token": text,
    "pkcs11_label": text,
    "pkcs11_pin_file": _absolute,
}
