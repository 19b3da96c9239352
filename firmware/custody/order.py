"""Orders: a store's signed word on who wears a camera from now on (BWC-POL-30).

Responsible for the order's fields and for the check. Refuses to know how an order travels, and who the officer is: the name is in an
object that the dock sealed to the agency's recipients, which a camera copies into its recordings and cannot open.
Invariant: :func:`check_order` returns only for an order that a store of the agency signed for this camera, over exactly this object.
"""
# ruff: noqa: RUF009  (a field's check is made by a call on purpose; it holds no state)

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from cryptography import x509

from firmware.errors import FormatError, RefusedError
from firmware.evidence import cms, jcs, pki, primitives
from firmware.evidence import fields as f
from firmware.evidence.fields import field

LAYER = "order"
FORMAT = "oathcam-order/1"
OFFICER_FORMAT = "oathcam-officer/1"
"""Of the document inside the sealed object: ``officer`` and ``tag``, texts; ``device`` and ``issued_utc`` as in the order."""
MAX_SEALED_BYTES = 16_384
MAX_ORDER_BYTES = 4096


@dataclass(frozen=True, slots=True)
class Officer:
    """The sealed object that names the officer."""

    sealed_sha256: str = field(f.digest)
    sealed_bytes: int = field(f.integer(1, MAX_SEALED_BYTES))


@dataclass(frozen=True, slots=True)
class Order:
    """``officer`` is null in an order that takes the camera away from whoever had it. Of two orders the one issued later counts."""

    device: str = field(f.text(64))
    issued_utc: str = field(f.utc)
    store: str = field(f.text(64))
    officer: Officer | None = field(f.nullable(f.nested(Officer)))

    def to_bytes(self) -> bytes:
        """Canonical JSON, which the store signs. ``FormatError`` when :meth:`from_bytes` would not accept it."""
        value = f.to_value(self)
        f.read(Order, value, LAYER)
        return jcs.canonical({"format": FORMAT, **value})

    @classmethod
    def from_bytes(cls, data: bytes) -> Order:
        """``FormatError`` naming the field that does not fit."""
        value = jcs.parse(data, LAYER, MAX_ORDER_BYTES)
        if not isinstance(value, dict) or value.pop("format", None) != FORMAT:
            raise FormatError(LAYER, f"expected an object with the format {FORMAT!r}")
        return f.read(cls, value, LAYER)


def check_order(data: bytes, signature: bytes, sealed: bytes, roots: Sequence[x509.Certificate], serial: str) -> Order:
    """The order in ``data``, if it is one for this camera. ``sealed`` is empty when it names nobody.

    ``RefusedError``: it speaks of something else. ``IntegrityError``: it is not signed by a store of the agency. ``FormatError``: it
    does not parse. ``UnavailableError``: no root fits.
    """
    signer = cms.verify_detached(data, signature, roots, pki.Role.STORE)
    order = Order.from_bytes(data)
    if pki.common_name(signer.certificate) != order.store:
        raise RefusedError(f"order of store {order.store!r}, signed by {pki.common_name(signer.certificate)!r}")
    if order.device != serial:
        raise RefusedError(f"order for {order.device!r}, expected one for {serial!r}")
    named = Officer(primitives.sha256(sealed).hex(), len(sealed)) if sealed else None
    if named != order.officer:
        raise RefusedError("the sealed officer is not the one that the order names")
    return order
