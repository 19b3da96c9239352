"""What a station is told: where it stores, where it listens, who it is, and its bounds."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path


@dataclass(frozen=True, slots=True)
class Identity:
    """Files of one dock. Certificates and keys are PEM; chains leaf first.

    ``tls_*``: the TLS server (role dock). ``store_*``: signs receipts (role store). ``witness_seed``: 32 bytes, or 64
    hexadecimal digits, of the Ed25519 key that cosigns checkpoints. ``root``: the agency's root. ``device_ca`` and
    ``dock_ca``: its two authorities.
    """

    tls_certificate: Path
    tls_key: Path
    store_certificate: Path
    store_key: Path
    witness_seed: Path
    root: Path
    device_ca: Path
    dock_ca: Path

    @classmethod
    def in_directory(cls, directory: Path) -> Identity:
        """The names that provisioning uses. The authorities' certificates lie beside the keys, or in the agency's directory above."""

        def authority(name: str) -> Path:
            return directory / name if (directory / name).is_file() else directory.parent / name

        return cls(
            tls_certificate=directory / "tls.crt",
            tls_key=directory / "tls.key",
            store_certificate=directory / "store.crt",
            store_key=directory / "store.key",
            witness_seed=directory / "witness.key",
            root=authority("root.crt"),
            device_ca=authority("device-ca.crt"),
            dock_ca=authority("dock-ca.crt"),
        )


@dataclass(frozen=True, slots=True)
class Limits:
    """Bounds of one station. Seconds and bytes."""

    connections: int = 64
    handshake_s: float = 10.0
    idle_s: float = 30.0
    drain_bytes: int = 8 * 1024 * 1024
    reserve_bytes: int = 512 * 1024 * 1024
    """Free space that an offer must leave on the store's volume."""


@dataclass(frozen=True, slots=True)
class StationConfig:
    """One station. ``port`` 0 takes any free one; ``site`` names the dock in answers and cosignatures."""

    store: Path
    identity: Identity
    host: str = "127.0.0.1"
    port: int = 0
    site: str = "dock"
    policy: Path | None = None
    """The policy that is offered to every camera, with its ``.minisig`` beside it; ``None``: none is."""
    limits: Limits = field(default_factory=Limits)
