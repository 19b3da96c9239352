"""Sealed objects: CMS AuthEnvelopedData, by one change at a time to one genuine object (RFC 5083, 5084, 5753, 4055)."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator
from dataclasses import replace

from cryptography.hazmat.primitives import keywrap
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from firmware.evidence import cms, pki
from tests.vectors.build import der, people
from tests.vectors.build.der import NULL, Node, integer, octets, oid, seq, set_of
from tests.vectors.build.vector import Vector

PLAIN = b"a fragment of a recording, as short as a vector wants it\n"
LAYER = "sealed object"
KEYS = {"recipient": "agency.crt", "private": "agency.key"}
FIRST = (1, 0, 1, 0)
"""Path to the first recipient info; the content's paths are below."""
VERSION, RECIPIENTS, CONTENT, MAC = (1, 0, 0), (1, 0, 1), (1, 0, 2), (1, 0, 3)
GCM = (*CONTENT, 1)
CIPHERTEXT = (*CONTENT, 2)
SHA1 = "1.3.14.3.2.26"


def sealed(seed: str = "vector", plain: bytes = PLAIN, who: int = 1) -> bytes:
    return cms.seal(plain, people.agency().recipients[:who], people.stream(seed))


def vectors() -> Iterator[Vector]:
    yield from _good()
    yield from _not_der()
    yield from _fields()
    yield from _recipients()
    yield from _keys()


def good(name: str, shows: str, data: bytes, plain: bytes = PLAIN, **keys: str) -> Vector:
    return Vector(f"sealed/{name}", shows, "sealed", {"sealed": data}, released=plain, keys={**KEYS, **keys})


def bad(name: str, shows: str, data: bytes, expect: str, reason: str, **keys: str) -> Vector:
    return Vector(f"sealed/{name}", shows, "sealed", {"sealed": data}, expect, LAYER, reason, keys={**KEYS, **keys})


def changed(path: tuple[int, ...], change: Callable[[Node], Node | list[Node]], base: bytes | None = None) -> bytes:
    return der.parse(base or sealed()).put(path, change).encode()


def set_to(node: Node) -> Callable[[Node], Node]:
    return lambda _: node


def flip(node: Node) -> Node:
    return replace(node, data=bytes((*node.data[:-1], node.data[-1] ^ 1)))


def _good() -> Iterator[Vector]:
    two = sealed(who=2)
    oversight = {"recipient": "oversight.crt", "private": "oversight.key"}
    yield good("one-recipient", "one EC P-256 recipient", sealed())
    yield good("two-recipients-first", "two recipients, opened by the one on P-256", two)
    yield good("two-recipients-second", "the same object, opened by the one on P-384", two, **oversight)
    yield good("rsa-recipient", "an RSA recipient: RSAES-OAEP with SHA-256", rsa_sealed(), recipient="archive.crt", private="archive.key")
    yield good("empty", "no content at all is content", sealed(plain=b""), b"")
    curve = (*FIRST, 1, 0, 0)
    yield good("curve-absent", "the originator's curve may be left out (RFC 5753 3.1.1)", changed(curve, lambda n: seq(n.get(0))))
    yield good("curve-null", "the originator's curve may be NULL (RFC 5753 3.1.1)", changed(curve, lambda n: seq(n.get(0), NULL)))


def _not_der() -> Iterator[Vector]:
    whole, root = sealed(), der.parse(sealed())
    twins = {
        "empty-input": ("nothing", b""),
        "trailing-byte": ("a byte behind the object", whole + b"\0"),
        "two-objects": ("two objects in one file: readers take the first only, so none is taken", whole + whole),
        "ber-indefinite": ("BER: the outer length is indefinite", replace(root, form="indefinite").encode()),
        "ber-long-length": ("BER: the outer length has a leading zero", replace(root, form="long").encode()),
        "ber-long-mac": ("BER: the tag's length in two bytes where one does", changed(MAC, lambda n: replace(n, form="long"))),
        "ber-constructed": (
            "BER: the ciphertext in pieces, as streaming writers make it",
            changed(CIPHERTEXT, lambda n: Node(0xA0, children=(octets(n.data[:9]), octets(n.data[9:])))),
        ),
        "integer-padded": ("the version 0 as two bytes", changed(VERSION, set_to(Node(0x02, b"\0\0")))),
        "not-a-sequence": ("the outer tag is a SET", replace(root, tag=0x31).encode()),
    }
    for name, (shows, data) in twins.items():
        yield bad(name, shows, data, "format", "DER")
    two = der.parse(sealed(who=2))
    turned = two.put(RECIPIENTS, lambda n: replace(n, children=n.children[::-1])).encode()
    yield bad("set-unsorted", "the recipients' SET is not in DER order", turned, "format", "DER")
    shows = "cut at every place where an element or its contents begin"
    yield replace(bad("cut", shows, whole, "format", "DER"), cuts=der.boundaries(whole))


def _fields() -> Iterator[Vector]:
    gcm = {
        "nonce-8": ("a nonce of 8 bytes", seq(octets(bytes(8)), integer(16)), "nonce length"),
        "nonce-16": ("a nonce of 16 bytes", seq(octets(bytes(16)), integer(16)), "nonce length"),
        "icv-12": ("an ICV length of 12, with a tag of 16 bytes", seq(octets(bytes(12)), integer(12)), "tag length"),
        "icv-17": ("an ICV length beyond GCM's", seq(octets(bytes(12)), integer(17)), "tag length"),
    }
    for name, (shows, parameters, reason) in gcm.items():
        yield bad(name, shows, changed((*GCM, 1), set_to(parameters)), "format", reason)
    absent = changed((*GCM, 1), lambda n: seq(n.get(0)))
    yield bad("icv-default", "the ICV length left out means 12 (RFC 5084 3.2), and the tag has 16 bytes", absent, "format", "DER")
    short = der.parse(absent).put(MAC, lambda n: octets(n.data[:12])).encode()
    yield bad("icv-default-short-tag", "legal by RFC 5084: the default of 12 with 12 bytes of tag; not our profile", short, "format", "DER")
    twelve = der.parse(changed((*GCM, 1, 1), set_to(integer(12)))).put(MAC, lambda n: octets(n.data[:12])).encode()
    yield bad("icv-12-short-tag", "a tag cut to 12 bytes, and saying so", twelve, "format", "tag length")
    yield bad("tag-short", "a tag cut to 12 bytes", changed(MAC, lambda n: octets(n.data[:12])), "format", "tag length")
    values = {
        "version-1": ("a version that is not 0", VERSION, integer(1), "version"),
        "type-enveloped": ("the content type of EnvelopedData", (0,), oid("1.2.840.113549.1.7.3"), "content type"),
        "inner-type": ("an inner content type other than data", (*CONTENT, 0), oid("1.2.840.113549.1.7.2"), "inner content type"),
        "aes-128": ("AES-128-GCM", (*GCM, 0), oid("2.16.840.1.101.3.4.1.6"), "content algorithm"),
        "aes-256-ccm": ("AES-256-CCM", (*GCM, 0), oid("2.16.840.1.101.3.4.1.47"), "content algorithm"),
    }
    for name, (shows, path, node, reason) in values.items():
        yield bad(name, shows, changed(path, set_to(node)), "format", reason)
    attributes = Node(0xA1, children=(seq(oid("1.2.840.113549.1.9.3"), set_of(oid("1.2.840.113549.1.7.1"))),))
    yield bad("authenticated-attributes", "attributes in front of the tag", changed(MAC, lambda n: [attributes, n]), "format", "DER")
    after = replace(attributes, tag=0xA2)
    yield bad("unauthenticated-attributes", "attributes that nothing covers", changed(MAC, lambda n: [n, after]), "format", "DER")
    originator = Node(0xA0, children=())
    yield bad("originator-info", "an empty originator info", changed(VERSION, lambda n: [n, originator]), "format", "DER")
    for name, path, shows in (
        ("content-flipped", CIPHERTEXT, "a bit of the ciphertext"),
        ("tag-flipped", MAC, "a bit of the tag"),
        ("nonce-flipped", (*GCM, 1, 0), "a bit of the nonce"),
    ):
        yield bad(name, f"{shows} flipped: an error and no output", changed(path, flip), "integrity", "authentication tag")
    cut = changed(CIPHERTEXT, lambda n: replace(n, data=n.data[:-1]))
    yield bad("content-shortened", "a byte of ciphertext less, lengths corrected", cut, "integrity", "authentication tag")
    other = der.parse(sealed("another fragment", b"X" * len(PLAIN)))
    swapped = der.parse(sealed()).put(CONTENT, set_to(other.get(*CONTENT))).put(MAC, set_to(other.get(*MAC))).encode()
    yield bad("content-swapped", "the content of one fragment with the recipients of another", swapped, "integrity", "authentication tag")


def _recipients() -> Iterator[Vector]:
    yield bad("no-recipients", "an empty set of recipients", changed(RECIPIENTS, set_to(set_of())), "format", "1 to 16 recipients")
    many = der.parse(sealed()).get(*FIRST)
    crowd = set_of(*(many.put((0,), set_to(integer(index))) for index in range(17)))
    yield bad("17-recipients", "more recipients than are looked at", changed(RECIPIENTS, set_to(crowd)), "format", "1 to 16 recipients")
    issuer = seq(seq(), integer(1))
    forms = {
        "recipient-by-serial": ("the recipient by issuer and serial number", (*FIRST, 3, 0, 0), issuer),
        "originator-by-key-id": ("the originator by a key identifier", (*FIRST, 1, 0), Node(0x80, bytes(20))),
        "wrap-with-null": ("NULL parameters beside the key wrap: refused, or two forms would open", (*FIRST, 2, 1), None),
    }
    for name, (shows, path, node) in forms.items():
        if node is None:
            data = changed(path, lambda n: seq(n.get(0), NULL))
            yield bad(name, shows, data, "format", "key wrap")
        else:
            yield bad(name, shows, changed(path, set_to(node)), "format", "DER")
    ukm = Node(0xA1, children=(octets(b"ukm"),))
    yield bad(
        "ukm", "user keying material, which our key derivation does not take in", changed((*FIRST, 1), lambda n: [n, ukm]), "format", "DER"
    )
    values = {
        "recipient-version": ("a key agreement recipient of version 2", (0,), integer(2), "format", "recipient version"),
        "originator-algorithm": (
            "the originator's key is not id-ecPublicKey",
            (1, 0, 0, 0),
            oid("1.3.132.1.12"),
            "format",
            "originator key",
        ),
        "curve-other": ("the originator's curve is another", (1, 0, 0, 1), oid("1.3.132.0.34"), "integrity", "another curve"),
        "kdf-other": ("the key derivation with SHA-384 for a key on P-256", (2, 0), oid("1.3.132.1.11.2"), "integrity", "another curve"),
        "kdf-sha1": ("the key derivation with SHA-1", (2, 0), oid("1.3.133.16.840.63.0.2"), "integrity", "another curve"),
        "wrap-aes-128": ("AES-128 key wrap", (2, 1, 0), oid("2.16.840.1.101.3.4.1.5"), "format", "key wrap"),
    }
    for name, (shows, path, node, expect, reason) in values.items():
        yield bad(name, shows, changed((*FIRST, *path), set_to(node)), expect, reason)


def _keys() -> Iterator[Vector]:
    point, wrapped = (*FIRST, 1, 0, 1), (*FIRST, 3, 0, 1)
    whole = der.parse(sealed()).get(*point).data
    points = {
        "point-off-curve": ("the ephemeral key is no point of the curve", whole[:-1] + bytes((whole[-1] ^ 1,))),
        "point-infinity": ("the ephemeral key is the point at infinity", b"\0\0"),
        "point-empty": ("the ephemeral key is empty", b"\0"),
        "point-compressed": ("the ephemeral key compressed: the same point in another form", _compressed(whole)),
        "point-hybrid": ("the ephemeral key in hybrid form", whole[:1] + bytes((6 + (whole[-1] & 1),)) + whole[2:]),
        "point-p384": ("the ephemeral key is on P-384", der.parse(sealed(who=2)).get(1, 0, 1, 1, 1, 0, 1).data),
    }
    for name, (shows, data) in points.items():
        yield bad(name, shows, changed(point, lambda n, data=data: replace(n, data=data)), "format", "point of the curve")
    bits = changed(point, lambda n: replace(n, data=b"\x01" + n.data[1:]))
    yield bad("point-unused-bits", "the ephemeral key's bit string says that a bit is unused", bits, "format", "point of the curve")
    unwrap = "does not unwrap"
    yield bad("wrapped-flipped", "a bit of the wrapped content key flipped", changed(wrapped, flip), "integrity", unwrap)
    cut = changed(wrapped, lambda n: replace(n, data=n.data[:-8]))
    yield bad("wrapped-short", "the wrapped content key cut to 32 bytes", cut, "integrity", unwrap)
    yield bad("wrapped-empty", "no wrapped content key", changed(wrapped, lambda n: replace(n, data=b"")), "integrity", unwrap)
    yield bad("content-key-16", "a content key of 16 bytes, well wrapped", _short_key(), "integrity", "content key of 32 bytes")
    oversight = {"recipient": "oversight.crt", "private": "oversight.key"}
    stranger = bad(
        "not-a-recipient", "opened by somebody whom it was not sealed to", sealed(), "unavailable", "not sealed to the key", **oversight
    )
    yield replace(stranger, layer="sealed object")
    yield bad("wrong-private-key", "the recipient's certificate with another's key", sealed(), "integrity", unwrap, private="camera.key")
    curve = bad(
        "wrong-curve-key",
        "the recipient's certificate with a key on P-384",
        sealed(),
        "integrity",
        "another curve",
        private="oversight.key",
    )
    yield curve
    rsa = {"recipient": "archive.crt", "private": "archive.key"}
    yield bad(
        "rsa-key-for-ec", "the recipient's certificate with an RSA key", sealed(), "integrity", "private key is none", private="archive.key"
    )
    yield bad(
        "ec-key-for-rsa",
        "an RSA recipient's certificate with an EC key",
        rsa_sealed(),
        "integrity",
        "private key is none",
        **rsa | {"private": "agency.key"},
    )
    yield bad(
        "rsa-version",
        "a key transport recipient of version 0",
        changed((*FIRST, 0), set_to(integer(0)), rsa_sealed()),
        "format",
        "recipient version",
        **rsa,
    )
    yield bad(
        "rsa-flipped",
        "a bit of the RSA ciphertext flipped",
        changed((*FIRST, 3), flip, rsa_sealed()),
        "integrity",
        "does not decrypt",
        **rsa,
    )
    sha1 = changed((*FIRST, 2, 1, 0, 0, 0), set_to(oid(SHA1)), rsa_sealed())
    yield bad("rsa-sha1", "OAEP with SHA-1", sha1, "format", "RSAES-OAEP", **rsa)
    pkcs = changed((*FIRST, 2), set_to(seq(oid("1.2.840.113549.1.1.1"), NULL)), rsa_sealed())
    yield bad("rsa-pkcs1", "RSAES-PKCS1-v1_5, which leaks", pkcs, "format", "DER", **rsa)


def _compressed(whole: bytes) -> bytes:
    return bytes((0, 2 + (whole[-1] & 1))) + whole[2:34]


def _short_key() -> bytes:
    """Sealed with AES-128 as far as the keys go, while saying AES-256."""
    from firmware.evidence import primitives

    one, draw = people.agency().agency, people.stream("short key")
    ephemeral = primitives.private_key_from_seed(one.key.curve, draw(40))
    scheme_hash = cms._KDF["secp256r1"][1]
    wrapping = primitives.agree(ephemeral, one.key.public_key(), cms._SHARED_INFO, scheme_hash)
    key, nonce = draw(16), draw(12)
    cipher = AESGCM(key).encrypt(nonce, PLAIN, None)
    from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

    point = ephemeral.public_key().public_bytes(Encoding.X962, PublicFormat.UncompressedPoint)
    tree = der.parse(sealed()).put((*FIRST, 1, 0, 1), lambda n: replace(n, data=b"\0" + point))
    tree = tree.put((*FIRST, 3, 0, 1), set_to(octets(keywrap.aes_key_wrap(wrapping, key)))).put((*GCM, 1, 0), set_to(octets(nonce)))
    return tree.put(CIPHERTEXT, lambda n: replace(n, data=cipher[:-16])).put(MAC, set_to(octets(cipher[-16:]))).encode()


def rsa_sealed() -> bytes:
    """As ``cms.seal`` writes it, but with a padding that comes from a seed: the library's own draws from the system."""
    key, certificate = people.rsa_recipient()
    draw = people.stream("rsa sealed")
    content_key, nonce = draw(32), draw(12)
    numbers = key.public_key().public_numbers()
    encrypted = pow(int.from_bytes(_oaep(content_key, draw(32), 256), "big"), numbers.e, numbers.n).to_bytes(256, "big")
    cipher = AESGCM(content_key).encrypt(nonce, PLAIN, None)
    info = seq(integer(2), Node(0x80, pki.subject_key_identifier(certificate)), der.parse(_OAEP_DER), octets(encrypted))
    tree = der.parse(sealed()).put(RECIPIENTS, set_to(set_of(info))).put((*GCM, 1, 0), set_to(octets(nonce)))
    return tree.put(CIPHERTEXT, lambda n: replace(n, data=cipher[:-16])).put(MAC, set_to(octets(cipher[-16:]))).encode()


_SHA256 = seq(oid("2.16.840.1.101.3.4.2.1"), NULL)
_OAEP_DER = seq(
    oid("1.2.840.113549.1.1.7"),
    seq(Node(0xA0, children=(_SHA256,)), Node(0xA1, children=(seq(oid("1.2.840.113549.1.1.8"), _SHA256),))),
).encode()


def _oaep(message: bytes, seed: bytes, size: int) -> bytes:
    """EME-OAEP with SHA-256 and no label (RFC 8017 7.1.1)."""
    block = hashlib.sha256(b"").digest() + bytes(size - len(message) - 66) + b"\x01" + message
    masked = _xor(block, _mgf(seed, len(block)))
    return b"\0" + _xor(seed, _mgf(masked, 32)) + masked


def _mgf(seed: bytes, size: int) -> bytes:
    return b"".join(hashlib.sha256(seed + index.to_bytes(4, "big")).digest() for index in range(-(-size // 32)))[:size]


def _xor(one: bytes, other: bytes) -> bytes:
    return bytes(a ^ b for a, b in zip(one, other, strict=True))
