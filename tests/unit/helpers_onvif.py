"""Streams signed by other makers, made from the specification alone, and a naive second reader of signed streams.

Nothing here calls the signer or the validator: it is what they are checked against.
"""

from __future__ import annotations

import struct
from collections.abc import Callable
from hashlib import sha256

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, padding, rsa

Stream = list[list[bytes]]
Sign = Callable[[bytes], bytes]

UUID = bytes.fromhex("005bc93f2d715e95ada4796f90877a6f")
SHA256_OID = bytes.fromhex("0609608648016503040201")
PSS_OID = bytes.fromhex("06092a864886f70d01010a")
V15_OID = bytes.fromhex("06092a864886f70d01010b")


def h(data: bytes) -> bytes:
    return sha256(data).digest()


def escaped(data: bytes) -> bytes:
    """Emulation prevention, byte by byte."""
    made, zeros = bytearray(), 0
    for byte in data:
        if zeros == 2 and byte <= 3:
            made.append(3)
            zeros = 0
        made.append(byte)
        zeros = zeros + 1 if byte == 0 else 0
    return bytes(made)


def tlv(tag: int, value: bytes) -> bytes:
    return bytes((tag,)) + len(value).to_bytes(2, "big") + value


def crypto(signature_oid: bytes = b"", rsa_bits: int = 0, hash_oid: bytes = SHA256_OID) -> bytes:
    counted = bytes((len(hash_oid),)) + hash_oid + bytes((len(signature_oid),)) + signature_oid
    return tlv(4, b"\x01" + counted + rsa_bits.to_bytes(2, "big"))


def chain(pem: bytes, *, user: bool = False) -> bytes:
    return tlv(6, bytes((1, user)) + pem)


def general(counter: int, nals: list[bytes], linked: bytes, *, version: int = 2, order: str = ">", partial: bool = False) -> bytes:
    """``nals``: the hashes h1 to hn."""
    start = 134_000_000_000_000_000 + counter * 10_000_000
    times = [start, start + 10_000_000][:version]
    head = struct.pack(f"{order}B3sB{'q' * version}IH", version, bytes((24, 12, 0)), partial, *times, counter, len(nals))
    return tlv(1, head + h(b"".join(nals)) + linked)


def listed(nals: list[bytes]) -> bytes:
    return tlv(2, b"\x01" + b"".join(nals))


def sei(records: list[bytes], sign: Sign | None, *, flags: int = 0, reserve: int = 72, escape: bool = True) -> bytes:
    """The NAL unit; unsigned with ``sign`` None. ``escape`` False: stored as ONVIF's example signer stores it in MP4."""
    body = UUID + bytes((flags,)) + b"".join(records)
    size = len(body) + (6 + reserve if sign else 0)
    document = b"\x06\x05" + b"\xff" * (size // 255) + bytes((size % 255,)) + body
    if sign is None:
        return escaped(document + b"\x80") if escape else document + b"\x80"
    signature = sign(escaped(document) if flags & 0x40 else document)
    value = b"\x01" + len(signature).to_bytes(2, "big") + signature.ljust(reserve, b"\x01")
    raw = document + tlv(3, value) + b"\x80"
    return escaped(raw) if escape else raw


def ecdsa(key: ec.EllipticCurvePrivateKey, digest: hashes.HashAlgorithm | None = None) -> Sign:
    return lambda document: key.sign(document, ec.ECDSA(digest or hashes.SHA256()))


def pss(key: rsa.RSAPrivateKey, salt: int = 32) -> Sign:
    return lambda document: key.sign(document, padding.PSS(padding.MGF1(hashes.SHA256()), salt), hashes.SHA256())


def v15(key: rsa.RSAPrivateKey) -> Sign:
    return lambda document: key.sign(document, padding.PKCS1v15(), hashes.SHA256())


def gop_hashes(pictures: Stream) -> list[bytes]:
    """The hashes of one GOP that begins with an IDR: slices, and Media Signing SEIs without signature."""
    made: list[bytes] = []
    anchor = b""
    for nal in (nal for picture in pictures for nal in picture):
        if nal[0] & 31 in (1, 5):
            made.append(h(anchor + h(nal)) if anchor else h(nal))
            anchor = anchor or made[0]
        elif nal[0] == 6 and UUID in nal and 3 not in tags(nal):
            made.append(h(bare(nal)))
    return made


def bare(nal: bytes) -> bytes:
    """Without emulation prevention, where the size of the payload says that there is some."""
    size_at = next(at for at in range(2, len(nal)) if nal[at] != 0xFF)
    stands = len(nal) == size_at + 1 + 255 * (size_at - 2) + nal[size_at] + 1
    return nal if stands else nal.replace(b"\x00\x00\x03", b"\x00\x00")


def tags(nal: bytes) -> list[int]:
    """The tags of the records in an escaped SEI."""
    raw = bare(nal)
    position, found = raw.index(UUID) + 17, []
    while position < len(raw) - 1:
        found.append(raw[position])
        position += 3 + int.from_bytes(raw[position + 1 : position + 3], "big")
    return found


def join(gops: list[Stream], make: Callable[[int, list[bytes], bytes], list[bytes]]) -> Stream:
    """Put what ``make(counter, hashes, linked)`` returns for a GOP behind the IDR picture of the next; the last at the end."""
    made = [[list(picture) for picture in gop] for gop in gops]
    linked = bytes(32)
    for number, gop in enumerate(made):
        hashed = gop_hashes(gop)
        seis = make(number + 1, hashed, linked)
        linked = hashed[0]
        if number + 1 < len(made):
            made[number + 1][1][:0] = seis
        else:
            gop[-1] += seis
    return [picture for gop in made for picture in gop]


def second_reader(nals: list[bytes], leaf: x509.Certificate) -> list[bool]:
    """Whether each GOP of a plain stream (closed by IDR pictures, every SEI signed, chain of ``leaf``) is as signed, in order.

    Every rule as simply as it can be put: no window, no late SEI beyond the next GOP, no localisation.
    """
    key = leaf.public_key()
    assert isinstance(key, ec.EllipticCurvePublicKey)
    gops: list[list[bytes]] = []
    claims: set[tuple[bytes, bytes]] = set()
    for nal in (nal.rstrip(b"\x00") for nal in nals):
        kind = nal[0] & 31 if nal else 0
        if kind == 5 and nal[1:2] >= b"\x80":
            gops.append([h(nal)])
        elif kind in (1, 5) and gops:
            gops[-1].append(h(gops[-1][0] + h(nal)))
        elif kind == 6 and UUID in nal:
            claims |= _naive_claim(bare(nal), key)
    return [
        any(h(b"".join(gop)) == said and (linked in (bytes(32), gops[at - 1][0] if at else linked)) for said, linked in claims)
        for at, gop in enumerate(gops)
    ]


def _naive_claim(raw: bytes, key: ec.EllipticCurvePublicKey) -> set[tuple[bytes, bytes]]:
    """GOP hash and linked hash that an SEI signs; nothing when its signature is not good."""
    position, found = raw.index(UUID) + 17, set()
    try:
        while raw[position] != 3:
            tag, length = struct.unpack_from(">BH", raw, position)
            if tag == 1:
                value = raw[position + 3 : position + 3 + length]
                found.add((value[-64:-32], value[-32:]))
            position += 3 + length
        size = int.from_bytes(raw[position + 4 : position + 6], "big")
        key.verify(raw[position + 6 : position + 6 + size], raw[:position], ec.ECDSA(hashes.SHA256()))
    except Exception:  # noqa: BLE001 whatever is wrong with it, it claims nothing
        return set()
    return found
