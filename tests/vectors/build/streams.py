"""ONVIF Media Signing: whole streams that lost, gained or swapped something.

The pictures are no pictures: a slice is a NAL header, a byte that says "primary" and noise, which is all that signing looks at.
Signing is written here once more, from the specification, and not taken from the product.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from dataclasses import dataclass, field

from cryptography.hazmat.primitives.asymmetric import ec

from firmware.evidence.pki import Role
from tests.unit.helpers_evidence import signer
from tests.vectors.build import people
from tests.vectors.build.people import SERIAL, agency, holder, stream
from tests.vectors.build.seis import LITTLE_ENDIAN, NO_LINK, Sei, pem
from tests.vectors.build.vector import Vector
from tools import pki as issuing

SPS = bytes.fromhex("6742c00dda0507ec04400000030040000007a3c50aa8")
PPS = bytes.fromhex("68ce3c80")
WORDS = {
    "V": "valid",
    "A": "altered",
    "M": "missing",
    "B": "bad signature",
    "U": "unsigned",
    "C": "cannot tell",
    "H": "cut",
    "O": "out of order",
    "R": "repeated",
    "S": "by another signer",
}


@dataclass
class Gop:
    """Pictures of slices; ``sei`` travels in the next GOP."""

    pictures: list[list[bytes]]
    sei: bytes = b""
    hashes: list[bytes] = field(default_factory=list)


def slice_of(seed: str, idr: bool, primary: bool = True) -> bytes:
    noise = bytes(byte or 0x7F for byte in stream(seed)(40))
    return (b"\x65" if idr else b"\x41") + (b"\x88" if primary else b"\x48") + noise


def gop(number: int, pictures: int = 3, slices: int = 1) -> Gop:
    return Gop([[slice_of(f"{number}/{at}/{part}", at == 0, part == 0) for part in range(slices)] for at in range(pictures)])


def hash_slices(pictures: list[list[bytes]], anchor: bytes = b"") -> tuple[bytes, list[bytes]]:
    """Anchor and the hash of every slice (Basic rules)."""
    hashes = []
    for one in (one for picture in pictures for one in picture):
        digest = hashlib.sha256(one).digest()
        if anchor:
            digest = hashlib.sha256(anchor + digest).digest()
        else:
            anchor = digest
        hashes.append(digest)
    return anchor, hashes


def signed(gops: list[Gop], first_counter: int = 1, link: bytes = NO_LINK, **says) -> list[Gop]:
    for index, one in enumerate(gops):
        _, one.hashes = hash_slices(one.pictures)
        one.sei = Sei(tuple(one.hashes), first_counter + index, link, **says).nal()
        link = one.hashes[0]
    return gops


def flat(gops: list[Gop], *, last: bool = True) -> list[list[bytes]]:
    """Access units: parameter sets in front of an IDR, the SEI of the GOP before in front of the first P picture, the last at the end."""
    units: list[list[bytes]] = []
    before = b""
    for one in gops:
        units.append([SPS, PPS, *one.pictures[0]])
        for at, picture in enumerate(one.pictures[1:]):
            units.append([*([before] if before and at == 0 else []), *picture])
        before = one.sei
    return [*units, [before]] if last and before else units


def annexb(units: list[list[bytes]]) -> bytes:
    return b"".join(b"\0\0\0\1" + nal for unit in units for nal in unit)


def three(**says) -> list[Gop]:
    return signed([gop(number) for number in range(3)], **says)


def stream_vectors() -> Iterator[Vector]:
    yield from _streams_that_hold()
    yield from _pictures_changed()
    yield from _gops_changed()
    yield from _seis_changed()
    yield from _signers_changed()


def _stream(name: str, shows: str, units: list[list[bytes]], gops: str, reason: str = "", good: int | None = None) -> Vector:
    """``good``: how many pictures at the beginning may be released as authentic; ``None``: all."""
    pictures = [[nal for nal in unit if nal[0] & 0x1F in (1, 5)] for unit in units]
    kept = [one for one in pictures if one][:good]
    released = b"".join(nal for one in kept for nal in one)
    expect, layer = ("integrity", "stream") if reason else ("success", "")
    words = ", ".join(WORDS[one] for one in gops)
    return Vector(
        f"stream/{name}", shows, "stream", {"stream": annexb(units)}, expect, layer, reason, released, {"root": "root.crt"}, {"gops": words}
    )


def _streams_that_hold() -> Iterator[Vector]:
    yield _stream("three-gops", "three GOPs, each signed in the next, the last at the end", flat(three()), "VVV")
    slices = signed([gop(number, slices=2) for number in range(2)])
    yield _stream("two-slices", "two slices a picture", flat(slices), "VV")
    yield _stream("no-lists", "without hash lists", flat(three(listed=False)), "VVV")
    yield _stream("escaped-documents", "documents hashed after emulation prevention", flat(three(flags=0x40)), "VVV")
    p384 = holder(agency().device_ca, Role.CAMERA, SERIAL, 40, ec.SECP384R1())
    yield _stream("p384", "a signer with a key on P-384", flat(three(who=p384, reserved=104)), "VVV")
    one = signed([gop(0)])
    yield _stream("one-gop", "one GOP", flat(one), "V")
    late = three()
    units = flat(late)
    sei = units[4].pop(0)
    units[5].insert(0, sei)
    yield _stream("late-sei", "a slow signer: an SEI one picture later", units, "VVV")
    delimited = [[b"\x09\xf0", *unit] if any(nal[0] & 0x1F in (1, 5) for nal in unit) else unit for unit in flat(three())]
    yield _stream("delimiters", "access unit delimiters, which nothing hashes", delimited, "VVV")
    foreign = flat(three())
    foreign[1].insert(0, b"\x06\x05\x11" + b"another user UUID"[:16] + b"x\x80")
    yield _stream("foreign-sei", "an SEI of another kind, which nothing hashes: the manifest covers it", foreign, "VVV")
    sets = flat(three())
    sets[3][0] = bytes((*SPS[:-1], SPS[-1] ^ 8))
    yield _stream("sps-changed", "a parameter set changed: media signing does not cover it, the manifest does", sets, "VVV")
    yield _stream("partial", "a GOP signed in two parts", _partial(), "VVV")
    little = flat(three(general_layout=LITTLE_ENDIAN))
    shows = "integers little-endian, as the specification's text says and devices do not: the same statement, to be remarked"
    yield _stream("little-endian", shows, little, "VVV")
    mixed = three()
    mixed[1].sei = Sei(tuple(mixed[1].hashes), 2, mixed[0].hashes[0], general_layout=LITTLE_ENDIAN).nal()
    yield _stream("byte-order-changes", "integers little-endian in one SEI: no signer does that", flat(mixed), "VVV", "other byte order")


def _partial() -> list[list[bytes]]:
    whole, second = gop(0, 4), gop(1, 2)
    anchor, head = hash_slices(whole.pictures[:2])
    _, tail = hash_slices(whole.pictures[2:], anchor)
    _, next_hashes = hash_slices(second.pictures)
    seis = [
        Sei(tuple(head), 1, NO_LINK, partial=1).nal(),
        Sei(tuple(tail), 2, head[0]).nal(),
        Sei(tuple(next_hashes), 3, tail[0]).nal(),
    ]
    units = [[SPS, PPS, *whole.pictures[0]], whole.pictures[1], [seis[0], *whole.pictures[2]], whole.pictures[3]]
    return [*units, [SPS, PPS, *second.pictures[0]], [seis[1], *second.pictures[1]], [seis[2]]]


def _flip(nal: bytes, at: int = -1) -> bytes:
    made = bytearray(nal)
    made[at] ^= 1
    return bytes(made)


def _pictures_changed() -> Iterator[Vector]:
    def units() -> list[list[bytes]]:
        return flat(three())

    first = units()
    first[0][2] = _flip(first[0][2])
    yield _stream("idr-altered", "a bit of the first IDR picture flipped", first, "AVV", "altered: picture 0", 0)
    middle = units()
    middle[5][-1] = _flip(middle[5][-1])
    yield _stream("picture-altered", "a bit of one P picture flipped", middle, "VAV", "altered: picture 5", 3)
    last = units()
    last[8][-1] = _flip(last[8][-1])
    yield _stream("last-altered", "a bit of the last picture flipped", last, "VVA", "altered: picture 8", 6)
    unlisted = flat(three(listed=False))
    unlisted[5][-1] = _flip(unlisted[5][-1])
    yield _stream(
        "altered-no-list",
        "the same without a hash list: the GOP is altered, and which picture is not known",
        unlisted,
        "VAV",
        "no list tells which",
        3,
    )
    less = units()
    del less[5]
    yield _stream("picture-missing", "a P picture removed", less, "VAV", "missing", 3)
    more = units()
    more.insert(6, [slice_of("stranger", False)])
    yield _stream("picture-added", "a picture added", more, "VAV", "added: picture 6", 3)
    twice = units()
    twice.insert(6, [twice[5][-1]])
    yield _stream("picture-twice", "a picture twice", twice, "VAV", "added: picture", 3)
    swapped = units()
    swapped[7][-1], swapped[8][-1] = swapped[8][-1], swapped[7][-1]
    yield _stream("pictures-swapped", "two pictures swapped", swapped, "VVA", "moved: picture", 6)
    unknown = units()
    unknown[1].append(b"\x14\x80\x01")
    yield _stream("nal-type-20", "a slice extension, which no signature covers", unknown, "VVV", "no signature covers", 9)
    little = flat(three(general_layout=LITTLE_ENDIAN))
    little[5][-1] = _flip(little[5][-1])
    yield _stream("little-endian-altered", "integers little-endian, a bit of one P picture flipped", little, "VAV", "altered: picture 5", 3)
    header = units()
    header[1][-1] = b"\x21" + header[1][-1][1:]
    yield _stream("nal-header", "another nal_ref_idc: the header byte is hashed", header, "AVV", "altered: picture 1", 0)


def _gops_changed() -> Iterator[Vector]:
    gops = three()
    units = flat(gops)
    yield _stream(
        "gop-missing",
        "the second GOP removed, with the SEI that it carries",
        [*units[:3], *units[6:]],
        "UMV",
        "counter 2 is missing before picture 3",
        0,
    )
    yield _stream(
        "head-cut",
        "the first GOP removed: what is left is a clip, each GOP as signed; counter and link show that it does not begin there",
        units[3:],
        "VV",
        "the beginning is missing",
    )
    little = flat(three(general_layout=LITTLE_ENDIAN))
    yield _stream("little-endian-cut", "integers little-endian, the first GOP removed", little[3:], "VV", "has counter 2")
    head = [units[1], units[2], *units[3:]]
    yield _stream("head-no-idr", "the first picture removed: the clip is cut inside a GOP", head, "HVV", "is cut; 1 slices missing", 0)
    yield _stream(
        "tail-cut",
        "cut before the last SEI: what a power cut leaves, so no fault of the stream; the manifest covers it",
        units[:-1],
        "VVU",
        "",
        6,
    )
    yield _stream("tail-gop-cut", "the last GOP and the SEI that it carries removed", units[:6], "VU", "", 3)
    yield _stream("tail-pictures-cut", "the last GOP's last picture removed", [*units[:8], units[9]], "VVA", "missing", 6)
    again = [*units[:6], *units[3:]]
    yield _stream("gop-twice", "the second GOP twice", again, "VVRV", "it repeats GOP 1", 6)
    turned = [*units[3:6], *units[:3], *units[6:]]
    yield _stream(
        "gops-swapped",
        "the first two GOPs swapped: the one in front is as signed and not the beginning, the one behind is out of order",
        turned,
        "VOV",
        "is out of order",
        3,
    )
    other = flat(signed([gop(number) for number in range(10, 12)]))
    yield _stream(
        "two-recordings",
        "another recording of the same camera behind it: each GOP is as signed, and they are two recordings",
        [*units, *other],
        "VVVVV",
        "GOP 3 begins another signing session",
    )


def _seis_changed() -> Iterator[Vector]:
    def units() -> list[list[bytes]]:
        return flat(three())

    absent = units()
    absent[4].pop(0)
    yield _stream("sei-missing", "the first SEI removed", absent, "UVV", "unsigned", 0)
    none = [[nal for nal in unit if nal[0] != 6] for unit in units()]
    yield _stream("no-seis", "every SEI removed", [unit for unit in none if unit], "UUU", "unsigned", 0)
    for name, shows, says, reason in (
        ("signature-flipped", "a bit of a signature flipped", {"signature": _bad_signature()}, "does not verify"),
        ("signature-junk", "a signature that is none", {"signature": b"\x30\x03\x02\x01\x01"}, "does not verify"),
    ):
        gops = three()
        gops[1].sei = Sei(tuple(gops[1].hashes), 2, gops[0].hashes[0], **says).nal()
        yield _stream(name, shows, flat(gops), "VBV", reason, 3)
    changed = three()
    raw = bytearray(changed[1].sei)
    at = raw.index(b"oathcam")
    raw[at] ^= 1
    changed[1].sei = bytes(raw)
    yield _stream("vendor-changed", "the maker's name changed in one SEI", flat(changed), "VBV", "does not verify", 3)
    format_error = three()
    format_error[1].sei = Sei(tuple(format_error[1].hashes), 2, format_error[0].hashes[0], version=1).nal()
    yield _stream(
        "sei-version",
        "an SEI that says version 1 and has the fields of version 2: cannot be checked, so is not valid",
        flat(format_error),
        "VCV",
        "general information version 1 or 2",
        3,
    )
    skipped = three()
    skipped[1].sei = Sei(tuple(skipped[1].hashes), 3, skipped[0].hashes[0]).nal()
    skipped[2].sei = Sei(tuple(skipped[2].hashes), 4, skipped[1].hashes[0]).nal()
    yield _stream("counter-skips", "a counter left out", flat(skipped), "VVV", "not linked", 9)
    loose = three()
    loose[1].sei = Sei(tuple(loose[1].hashes), 2, bytes(32)).nal()
    yield _stream("link-other", "a link to another GOP", flat(loose), "VVV", "not linked", 9)


def _bad_signature() -> bytes:
    return signer(agency().camera.key)(hashlib.sha256(b"another document").digest())


def _signers_changed() -> Iterator[Vector]:
    stranger = agency("Other Agency").camera
    made = three(
        who=stranger, certificates=b"\x01\x00" + issuing.certificate_pem(stranger.certificate, agency("Other Agency").device_ca.certificate)
    )
    yield _stream("other-agency", "another agency's camera", flat(made), "BBB", "no trusted root", 0)
    forged = people.likeness().camera
    likeness = three(
        who=forged, certificates=b"\x01\x00" + issuing.certificate_pem(forged.certificate, people.likeness().device_ca.certificate)
    )
    yield _stream("same-name", "a camera of an agency of the same name with other keys", flat(likeness), "BBB", "no trusted root", 0)
    alone = three(certificates=b"\x01\x00" + issuing.certificate_pem(agency().camera.certificate))
    yield _stream("no-intermediate", "without the camera authority's certificate", flat(alone), "BBB", "no trusted root", 0)
    dock = holder(agency().dock_ca, Role.DOCK, "dock-1", 41)
    lines = issuing.certificate_pem(dock.certificate, agency().dock_ca.certificate)
    yield _stream(
        "dock-signs",
        "a dock's TLS certificate: not for signing documents",
        flat(three(who=dock, certificates=b"\x01\x00" + lines)),
        "BBB",
        "not for signing documents",
        0,
    )
    wrong = three(who=stranger, certificates=b"\x01\x00" + pem(agency().camera))
    yield _stream("wrong-key", "our camera's certificate, and a signature by another key", flat(wrong), "BBB", "does not verify", 0)
    twin = holder(agency().device_ca, Role.CAMERA, "OC-000002", 44)
    changes = three()
    changes[1].sei = Sei(tuple(changes[1].hashes), 2, changes[0].hashes[0], who=twin).nal()
    yield _stream("signer-changes", "another camera of the agency signs the second GOP", flat(changes), "VSV", "is by another signer", 3)
    junk = three(certificates=b"\x01\x00-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n")
    yield _stream("certificate-junk", "a certificate that does not parse", flat(junk), "CCC", "certificates in PEM", 0)
    none = three(order=(4, 5, 1, 2))
    yield _stream("certificate-absent", "no certificate anywhere", flat(none), "CCC", "expected certificates", 0)
