"""Reading the vault again while the camera rests: a card that changes what it holds is found out while the store may still help.

Responsible for one file at a time of every closed recording, newest first, each once a run: is it what the camera's own manifest names, and
is there nothing else? Refuses to repair, to move and to judge content: what is found is told (a ``fault`` leaf, a felt signal), and
stays as it is, for who examines the card. Called from the custodian's worker only.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence

from cryptography import x509

from firmware.errors import OathcamError
from firmware.evidence.cms import verify_detached
from firmware.evidence.manifest import Manifest
from firmware.evidence.pki import Role, to_der
from firmware.evidence.primitives import sha256
from firmware.storage import vault as names
from firmware.storage.vault import Vault
from hal.errors import HalError

_RESTS = 10
"""Calls without a look after one that found nothing new: a full vault is a long list."""


class Rereading:
    """Remembers what was read in this run. ``camera`` is this camera's certificate, DER."""

    def __init__(self, camera: bytes, roots: Sequence[x509.Certificate]) -> None:
        self._camera = camera
        self._roots = tuple(roots)
        self._begun: set[str] = set()
        self._waiting: deque[tuple[str, str, str]] = deque()
        self._rests = 0

    def step(self, vault: Vault) -> tuple[str, ...]:
        """Look at one file, or begin the next recording; what is wrong, a sentence each."""
        if self._waiting:
            return self._look(vault, *self._waiting.popleft())
        if self._rests:
            self._rests -= 1
            return ()
        new = [one for one in vault.recordings() if one not in self._begun]
        if not new:
            self._rests = _RESTS
            return ()
        recording = max(new, key=lambda one: names.order_of(one) or (0, 0))
        self._begun.add(recording)
        return self._begin(vault, recording)

    def _begin(self, vault: Vault, recording: str) -> tuple[str, ...]:
        found = vault.files(recording)
        try:
            manifest = own_manifest(vault, recording, self._camera, self._roots, fresh=True)
        except (HalError, OathcamError) as error:
            return (f"{recording} reads back without a manifest of this camera: {error}"[:200],)
        named = named_files(manifest)
        self._waiting.extend((recording, name, digest) for name, digest in named.items() if digest)
        return tuple(f"{recording} holds {name}, which its manifest does not name"[:200] for name in found if name not in named)

    def _look(self, vault: Vault, recording: str, name: str, digest: str) -> tuple[str, ...]:
        try:
            if sha256(vault.read(recording, name, fresh=True)).hex() == digest:
                return ()
            damage = "is not what was written"
        except HalError as error:
            if recording not in vault.recordings():
                return ()  # released meanwhile
            damage = str(error)
        return (f"{name} of {recording} reads back wrong: {damage}"[:200],)


def own_manifest(vault: Vault, recording: str, camera: bytes, roots: Sequence[x509.Certificate], fresh: bool = False) -> Manifest:
    """A recording's manifest, if the camera with this certificate (DER) signed it for that recording; else ``HalError`` or
    ``OathcamError``. ``fresh``: from the card, not from memory."""
    data = vault.read(recording, names.MANIFEST, fresh)
    signer = verify_detached(data, vault.read(recording, names.MANIFEST_SIGNATURE, fresh), roots, Role.CAMERA)
    manifest = Manifest.from_bytes(data)
    if to_der(signer.certificate) != camera or manifest.recording != recording:
        raise OathcamError("it is another's")
    return manifest


def named_files(manifest: Manifest) -> dict[str, str]:
    """Every file of a closed recording with its SHA-256 in hex; empty where only a signature vouches for it."""
    named = {names.BEGIN: manifest.begin_sha256, names.BEGIN_SIGNATURE: "", names.MANIFEST: "", names.MANIFEST_SIGNATURE: ""}
    for name, sealed in ((names.INIT, manifest.init), (names.NOTES, manifest.notes), (names.ASSIGNMENT, manifest.assignment)):
        if sealed is not None:
            named[name] = sealed.sealed_sha256
    return {**named, **{names.fragment_name(one.seq): one.sealed_sha256 for one in manifest.fragments}}
