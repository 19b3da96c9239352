"""What a wearer said of a recording, sealed: a category, or the reason of a stop or a mute (BWC-POL-04, BWC-POL-18, BWC-POL-31).

Responsible for the document inside an ``annotation`` leaf, both ways. Refuses to know lists: any code of the right form is read, also one
that no policy here has (a newer one, or one that was taken out of a list).

Invariants: every annotation is as long as every other, so that its sealed bytes tell nothing of the answer; what is in the document and
what its leaf says in plain agree, or it is refused.
"""

from __future__ import annotations

import base64
import re
from collections.abc import Sequence
from dataclasses import dataclass

from cryptography import x509

from firmware.errors import FormatError, IntegrityError
from firmware.evidence import cms, jcs
from firmware.evidence import fields as f
from firmware.evidence.fields import field

LAYER = "annotation"
FORMAT = "oathcam-annotation/1"
ABOUT = ("category", "stop-reason", "mute-reason")
NOT_GIVEN = "NOT_GIVEN"
"""The code of who was asked and did not answer."""
PLAIN_BYTES = 320
"""Of every annotation: codes differ in length."""
CODE = re.compile(r"[A-Z][A-Z0-9_]{0,39}")


@dataclass(frozen=True, slots=True)
class Annotation:
    """``code``: of the agency's list, or ``NOT_GIVEN``. ``at_us``: boot time of the answer."""

    recording: str = field(f.name)
    about: str = field(f.one_of(*ABOUT))
    code: str = field(f.matching(CODE, "a code of 1 to 40 capital letters, digits and underscores"))
    at_us: int = field(f.integer())
    padding: str = field(f.text(256), ".")

    def to_bytes(self) -> bytes:
        """Canonical JSON of ``PLAIN_BYTES`` bytes. ``FormatError`` when a field would not be accepted by :meth:`from_bytes`."""
        value = {**f.to_value(self), "format": FORMAT, "padding": ""}
        value["padding"] = "." * (PLAIN_BYTES - len(jcs.canonical(value)))
        data = jcs.canonical(value)
        self.from_bytes(data)  # what would be refused is not written
        return data

    @classmethod
    def from_bytes(cls, data: bytes) -> Annotation:
        """``FormatError`` naming what does not fit. The padding is not kept."""
        value = jcs.parse(data, LAYER, PLAIN_BYTES)
        if len(data) != PLAIN_BYTES or not isinstance(value, dict) or value.pop("format", None) != FORMAT:
            raise FormatError(LAYER, f"expected {PLAIN_BYTES} bytes of the format {FORMAT!r}")
        found = f.read(cls, value, LAYER)
        if found.padding.strip("."):
            raise FormatError(LAYER, "padding: expected full stops")
        return cls(found.recording, found.about, found.code, found.at_us)


def seal_annotation(annotation: Annotation, recipients: Sequence[cms.Recipient], random_bytes: cms.RandomBytes) -> str:
    """The ``sealed`` field of its leaf: base64 of a sealed object (:func:`firmware.evidence.cms.seal`)."""
    return base64.b64encode(cms.seal(annotation.to_bytes(), recipients, random_bytes)).decode("ascii")


def open_annotation(sealed: str, recording: str, about: str, private_key: cms.PrivateKey, certificate: x509.Certificate) -> Annotation:
    """The annotation in a leaf that says ``recording`` and ``about``.

    ``FormatError``: it does not parse. ``UnavailableError``: not sealed to this certificate. ``IntegrityError``: it does not open, or
    speaks of something else than its leaf.
    """
    try:
        data = base64.b64decode(sealed, validate=True)
    except ValueError:
        raise FormatError(LAYER, "expected base64") from None
    found = Annotation.from_bytes(cms.open_sealed(data, private_key, certificate))
    if (found.recording, found.about) != (recording, about):
        raise IntegrityError(LAYER, f"expected the {about} of {recording}, got the {found.about} of {found.recording}")
    return found
