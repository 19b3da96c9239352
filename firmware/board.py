"""What the camera keeps beside its keys: the policy and the order that a dock brought.

Responsible for files below ``orders/`` of the key directory, which neither a card nor the dock-sync process reaches: a card that is
swapped or turned back cannot bring an older policy or another officer. That is also why there is no counter for either: the newest
file is the floor (BWC-POL-29, -30). Refuses to judge what it keeps. Called at boot, then from the custodian's worker only.

``stage_*`` makes the bytes durable under a name that no boot looks at; ``commit_*`` gives them their name. The leaf comes between the two.
An order that is returned is over first, then its leaf is written, then it is settled: a leaf must not end what stays in force.
"""

from __future__ import annotations

import re
from pathlib import Path

from firmware.errors import UnavailableError
from firmware.storage import durable
from hal.directory_volume import DirectoryVolume
from hal.errors import HalError

ORDERS = "orders"
ORDER, RETURNING, RETURNED = "order.json", "order.returning.json", "order.returned.json"
STAGED = ".staged"
SIGNATURE = ".minisig"
_POLICY = re.compile(r"policy-([1-9][0-9]{0,9})\.toml\Z")


class Board:
    """The place on one camera. ``UnavailableError`` when it cannot be read or written."""

    def __init__(self, key_directory: Path) -> None:
        self._directory = key_directory

    def policies(self) -> list[tuple[str, bytes, bytes]]:
        """Name, file and signature of every policy that was committed, the highest version first. A lost signature is empty."""
        have = self._names()
        found = sorted(((int(match[1]), name) for name in have if (match := _POLICY.match(name))), reverse=True)
        return [(name, self._read(name), self._read(name + SIGNATURE) if name + SIGNATURE in have else b"") for _, name in found]

    def stage_policy(self, version: int, data: bytes, signature: bytes) -> None:
        self._write([(f"policy-{version}.toml{SIGNATURE}", signature), (f"policy-{version}.toml{STAGED}", data)])

    def commit_policy(self, version: int) -> None:
        """The staged one counts from the next boot on; older ones are removed after it, never before."""
        self._rename(f"policy-{version}.toml{STAGED}", f"policy-{version}.toml")
        for name in self._names():
            match = _POLICY.match(name.removesuffix(SIGNATURE).removesuffix(STAGED))
            if match and int(match[1]) < version:
                self._remove(name)

    def order(self) -> tuple[bytes, bool] | None:
        """The newest order as it was delivered, and whether it is in force: not after the camera was returned."""
        have = self._names()
        name = next((one for one in (ORDER, RETURNING, RETURNED) if one in have), None)
        return (self._read(name), name == ORDER) if name else None

    def stage_order(self, data: bytes) -> None:
        self._write([(ORDER + STAGED, data)])

    def commit_order(self) -> None:
        self._rename(ORDER + STAGED, ORDER)
        for name in sorted(self._names() & {RETURNING, RETURNED}):
            self._remove(name)

    def return_order(self) -> None:
        """The order in force is over, and remembered: it, and older ones, are not taken again. Its leaf is to come."""
        self._rename(ORDER, RETURNING)

    def returning_order(self) -> bytes | None:
        """The newest order, if it is over and was not settled: its leaf may be missing."""
        have = self._names()
        return self._read(RETURNING) if RETURNING in have and ORDER not in have else None

    def settle_return(self) -> None:
        """The leaf is durable."""
        self._rename(RETURNING, RETURNED)

    def _volume(self) -> DirectoryVolume:
        return DirectoryVolume(self._directory, own_file_system=False)

    def _names(self) -> set[str]:
        try:
            return {name for name, size in self._volume().list(ORDERS) if size >= 0}
        except HalError as error:
            raise _unavailable(error) from None

    def _read(self, name: str) -> bytes:
        try:
            return self._volume().read(f"{ORDERS}/{name}")
        except HalError as error:
            raise _unavailable(error) from None

    def _write(self, files: durable.Files) -> None:
        try:
            volume = self._volume()
            if ORDERS not in {name for name, _ in volume.list("")}:
                durable.make_directory(volume, ORDERS)
            durable.replace_group(volume, ORDERS, files)
        except HalError as error:
            raise _unavailable(error) from None

    def _rename(self, old: str, new: str) -> None:
        try:
            durable.move(self._volume(), f"{ORDERS}/{old}", f"{ORDERS}/{new}")
        except HalError as error:
            raise _unavailable(error) from None

    def _remove(self, name: str) -> None:
        try:
            volume = self._volume()
            volume.remove(f"{ORDERS}/{name}")
            volume.sync_directory(ORDERS)
        except HalError as error:
            raise _unavailable(error) from None


def _unavailable(error: HalError) -> UnavailableError:
    return UnavailableError(f"beside the keys: {error}", remedy="See that the key directory can be written.")
