"""What the agency has for its cameras: one policy, and an order for each camera that was assigned here.

Responsible for finding both when a camera asks. Refuses to judge: the camera checks signatures, versions and times. Orders lie in the
store, ``orders/<serial>.json``, written by ``oathcam dock assign`` while the station runs; the policy is a file of the operator's, with its
minisign signature beside it, read anew at each request.
"""

from __future__ import annotations

from pathlib import Path

from firmware.dock.protocol import SignedOrder, SignedPolicy
from firmware.errors import FormatError, UsageError
from firmware.evidence.primitives import sha256
from firmware.policy.load import parse_policy
from firmware.policy.minisign import parse_public_key, parse_signature, verify_minisign
from firmware.policy.model import Policy
from tools.dock import files
from tools.dock.layout import Layout

MAX_POLICY_BYTES = 262_144


class Orders:
    """``policy``: the file that the station was given; ``None``: it offers none."""

    def __init__(self, layout: Layout, policy: Path | None) -> None:
        self._layout = layout
        self._policy = policy

    def policy(self) -> SignedPolicy | None:
        """As it lies there now; ``None`` while one of the two files is absent, as while they are being replaced."""
        if self._policy is None:
            return None
        try:
            signed = SignedPolicy(self._policy.read_bytes(), _signature_of(self._policy).read_bytes())
        except FileNotFoundError:
            return None
        return signed if len(signed.policy) + len(signed.signature) <= MAX_POLICY_BYTES else None

    def order(self, serial: str) -> SignedOrder | None:
        try:
            return SignedOrder.from_bytes(self._layout.order(serial).read_bytes())
        except FileNotFoundError:
            return None

    def keep(self, serial: str, signed: SignedOrder) -> None:
        """From the camera's next session on."""
        path = self._layout.order(serial)
        files.make_directory(path.parent)
        files.write_file(path, signed.to_bytes())


def _signature_of(policy: Path) -> Path:
    return policy.with_name(policy.name + ".minisig")


def check_policy_file(policy: Path, key: Path) -> tuple[Policy, str]:
    """Policy and SHA-256, before a station begins to offer it: a bad one would be refused by every camera, one after the other."""
    try:
        data, signature, public = policy.read_bytes(), _signature_of(policy).read_text("utf-8"), key.read_text("utf-8")
        verify_minisign(parse_public_key(public), data, parse_signature(signature))
        return parse_policy(data.decode("utf-8")), sha256(data).hex()
    except OSError as error:
        remedy = "Sign the policy with `minisign -S`, and leave the signature beside it."
        raise UsageError(f"cannot read {str(error.filename)!r}: {error.strerror}", remedy=remedy) from None
    except UnicodeDecodeError as error:
        raise FormatError("policy", f"not UTF-8: {error}") from None
