"""Which policy is in force: the provisioned one, or one that a dock brought, whichever valid one has the higher version.

Responsible for the choice at boot, and for the check that both the boot and the spool make. Refuses to take anything in
(``deliveries.py``). A policy that does not pass is never in force; what is wrong with it becomes a ``fault`` leaf.
"""

from __future__ import annotations

from dataclasses import dataclass

from firmware.board import Board
from firmware.config import DeviceConfig
from firmware.errors import OathcamError, RefusedError, UsageError
from firmware.evidence.primitives import sha256
from firmware.policy.load import PROFILES, parse_policy
from firmware.policy.minisign import PublicKey, parse_public_key, parse_signature, verify_minisign
from firmware.policy.model import Policy


@dataclass(frozen=True, slots=True)
class Installed:
    """``sha256``: of the file's bytes, in hex. ``source``: where it came from, in words."""

    policy: Policy
    sha256: str
    source: str
    text: str


def load_policy_key(config: DeviceConfig) -> PublicKey:
    """The agency's policy key, from the trust directory. ``UsageError`` or ``FormatError``."""
    return parse_public_key(_decoded((config.trust_directory / "policy.pub").read_bytes()))


def check_policy(key: PublicKey, data: bytes, signature: bytes, source: str) -> Installed:
    """Signature, format, bounds. ``IntegrityError``, ``FormatError`` or ``UsageError`` when it is unsigned, changed or no policy."""
    verify_minisign(key, data, parse_signature(_decoded(signature)))
    text = _decoded(data)
    return Installed(parse_policy(text), sha256(data).hex(), source, text)


def check_known(policy: Policy) -> None:
    """``RefusedError`` for a profile that this firmware does not know: nobody could say what the name stands for."""
    if policy.profile not in PROFILES:
        raise RefusedError(
            f"policy: expected a profile of {', '.join(PROFILES)}, got {policy.profile!r}", remedy="Derive it from one of them."
        )


def load_policy(config: DeviceConfig) -> Installed:
    """The provisioned policy. ``UsageError`` when a file cannot be read; else as :func:`check_policy`."""
    path = config.policy
    try:
        key = load_policy_key(config)
        data, signature = path.read_bytes(), path.with_name(path.name + ".minisig").read_bytes()
    except OSError as error:
        raise UsageError(f"cannot read {str(error.filename)!r}: {error}", remedy="Provision the camera again.") from None
    return check_policy(key, data, signature, "provisioned")


def choose_policy(config: DeviceConfig) -> tuple[Installed, tuple[str, ...]]:
    """The policy in force, and what was wrong with others. Raises what :func:`load_policy` raises when there is no valid one at all."""
    troubles: list[str] = []
    provisioned, error = None, None
    try:
        provisioned = load_policy(config)
    except OathcamError as failure:
        error = failure
        troubles.append(f"provisioned: {failure}")
    delivered = _delivered(config, troubles)
    if delivered is not None and (provisioned is None or delivered.policy.version > provisioned.policy.version):
        return delivered, tuple(troubles)
    if provisioned is None:
        assert error is not None
        raise error
    return provisioned, tuple(troubles)


def _delivered(config: DeviceConfig, troubles: list[str]) -> Installed | None:
    """The highest version beside the keys that still passes every check."""
    try:
        key, kept = load_policy_key(config), Board(config.key_directory).policies()
    except (OathcamError, OSError) as error:
        troubles.append(f"delivered: {error}")
        return None
    for name, data, signature in kept:
        try:
            found = check_policy(key, data, signature, f"delivered by a dock ({name})")
            check_known(found.policy)
        except OathcamError as error:
            troubles.append(f"{name}: {error}")
        else:
            return found
    return None


def _decoded(data: bytes) -> str:
    try:
        return data.decode("utf-8")
    except UnicodeDecodeError as error:
        raise UsageError(f"policy: not UTF-8: {error}", remedy="Sign the policy again, as UTF-8.") from None
