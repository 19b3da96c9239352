"""A message of the dock link is a FormatError, or is written again as the same bytes."""

from __future__ import annotations

from firmware.dock import protocol
from firmware.errors import FormatError

_MARK = protocol.LedgerMark(5, "0" * 64, 900)
_FILES = (protocol.FileOffer("begin.json", "1" * 64, 10), protocol.FileOffer("000000.m4s.p7m", "2" * 64, 20))
GENUINE = (
    protocol.DeviceReport("OC-000001", "0.1.0", 7, 5, (protocol.RecordingOffer("R-1", "3" * 64, _FILES),)),
    _MARK,
    protocol.LedgerExtension(2, 0, b"leaf\n", b"= 3 x y", (bytes(32),), b"PEM"),
    protocol.SessionAnswer("site", _MARK, (protocol.OfferAnswer("R-1", protocol.OfferState.WANTED, (protocol.Progress("1" * 64, 0),)),)),
    protocol.LedgerAnswer(_MARK, "note\n"),
    protocol.SignedReceipt(b"{}", b"signature"),
    protocol.SignedPolicy(b"version = 1", b"signature"),
    protocol.SignedOrder(b"{}", b"signature", b"sealed"),
    protocol.SessionClose(("R-1",), ("an alarm",)),
    protocol.ProblemBody(409, protocol.Refusal.OFFSET, "expected offset 3", 3),
)
KINDS = tuple(type(one) for one in GENUINE)

SEEDS = (*(one.to_bytes() for one in GENUINE),)


def target(data: bytes) -> None:
    for kind in KINDS:
        try:
            found = kind.from_bytes(data)
        except FormatError:
            continue
        # A refusal of a kind that this camera does not know is read as "other" (RFC 9457 3.1.1): the one message with two forms.
        assert found.to_bytes() == data or (kind is protocol.ProblemBody and kind.from_bytes(found.to_bytes()) == found)
